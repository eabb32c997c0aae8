import { connect } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { request as secureRequest } from 'node:https'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { isFailure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import { frame, frameType, headerBlock, headers, RawHttp2, request } from '../../test/raw-http2.js'
import {
  broken,
  cleanUp,
  collect,
  fileRange,
  hash,
  makePair,
  ok,
  recorded,
  serve,
  stream,
  text,
} from '../../test/serving.js'
import type { Handle, Served } from '../../test/serving.js'
import type { KeyPair } from './key-pair.js'
import type { TransportLimits } from './node-http.js'

let tls: KeyPair
const clients: (ClientHttp2Session | RawHttp2)[] = []

beforeAll(async () => {
  tls = await makePair()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await cleanUp()
})
afterAll(cleanUp)

interface Http2Served extends Served {
  readonly client: ClientHttp2Session
}

async function serveHttp2(handle: Handle, limits: Partial<TransportLimits> = {}): Promise<Http2Served> {
  const served = await serve(handle, { tls, limits })
  const client = connect(`https://127.0.0.1:${served.port}`, { rejectUnauthorized: false })
  client.on('error', () => undefined)
  clients.push(client)
  return { ...served, client }
}

async function serveRaw(handle: Handle, limits: Partial<TransportLimits> = {}): Promise<Served & { raw: RawHttp2 }> {
  const served = await serve(handle, { tls, limits })
  const raw = await RawHttp2.open(served.port)
  clients.push(raw)
  return { ...served, raw }
}

interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly interim: readonly number[]
  /** The code of RST_STREAM. */
  readonly reset: number
}

/** Reads the answer to a stream, however it ends. */
async function answerTo(sent: ClientHttp2Stream): Promise<Answered> {
  const pieces: Buffer[] = []
  const interim: number[] = []
  let found: IncomingHttpHeaders = {}
  sent.on('headers', (fields) => interim.push(Number(fields[':status'])))
  sent.on('response', (fields) => (found = fields))
  sent.on('data', (piece: Buffer) => pieces.push(piece))
  sent.on('error', () => undefined)
  await new Promise((resolve) => sent.once('close', resolve))
  return { status: Number(found[':status']), headers: found, body: Buffer.concat(pieces), interim, reset: sent.rstCode }
}

async function ask(client: ClientHttp2Session, fields: OutgoingHttpHeaders, body?: Uint8Array): Promise<Answered> {
  const sent = client.request(fields, { endStream: body === undefined })
  if (body !== undefined) sent.end(body)
  return await answerTo(sent)
}

describe('HTTP/2', () => {
  it('is spoken beside HTTP/1.1 on one port, to those who ask for it', async () => {
    const { client, port } = await serveHttp2(async (seen) =>
      text(`${seen.method} ${seen.target} ${seen.origin.scheme}://${seen.origin.authority} ${seen.peer.address ?? ''}`),
    )
    const second = await ask(client, { ':method': 'PROPFIND', ':path': '/a//%2e?x', ':authority': 'Files.example' })
    expect(second.body.toString()).toBe('PROPFIND /a//%2e?x https://files.example 127.0.0.1')
    const first = await new Promise<string>((resolve, reject) => {
      const sent = secureRequest({ port, host: '127.0.0.1', rejectUnauthorized: false }, (answer) => {
        let found = answer.httpVersion
        answer.on('data', (piece: Buffer) => (found += ` ${piece.toString()}`)).on('end', () => resolve(found))
      })
      sent.on('error', reject).end()
    })
    expect(first).toBe(`1.1 GET / https://127.0.0.1:${port} 127.0.0.1`)
  })

  it('keeps repeated headers in both directions, and joins a cookie that came in pieces', async () => {
    let seen: HttpRequest | undefined
    const { client } = await serveHttp2(async (found) => {
      seen = found
      return { ...ok, headers: [['WWW-Authenticate', 'Basic'], ['WWW-Authenticate', 'Bearer'], ['DAV', '1, 2']] } // prettier-ignore
    })
    const answer = await ask(client, { ':path': '/', 'x-a': ['1', '2'], cookie: ['a=1', 'b=2'] })
    expect(seen?.headers.get('x-a')).toEqual(['1', '2'])
    expect(seen?.headers.get('cookie')).toEqual(['a=1; b=2'])
    expect(answer.headers['www-authenticate']).toBe('Basic, Bearer')
    expect([answer.headers.dav, answer.headers['content-length']]).toEqual(['1, 2', '2'])
  })

  it('serves many requests at once, each in its own time', async () => {
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    const { client } = await serveHttp2(async (seen) => {
      if (seen.target === '/slow') await gate
      return text(seen.target)
    })
    const slow = ask(client, { ':path': '/slow' })
    const quick = await Promise.all(Array.from({ length: 50 }, (_, n) => ask(client, { ':path': `/${n}` })))
    expect(quick.map((answer) => answer.body.toString())).toEqual(Array.from({ length: 50 }, (_, n) => `/${n}`))
    go()
    expect((await slow).body.toString()).toBe('/slow')
  })

  it.each([0, 1, 65_537, 5_000_000])('carries a body of %i bytes both ways', async (size) => {
    const content = Buffer.alloc(size, 'postern ')
    const range = fileRange(content, 0, size)
    const { client } = await serveHttp2(async (seen) => {
      if (seen.method === 'GET') return { status: 200, headers: [], body: range }
      return text(hash(Buffer.from(await collect(seen), 'latin1')))
    })
    const up = await ask(client, { ':method': 'PUT', ':path': '/' }, content)
    expect(up.body.toString()).toBe(hash(content))
    const down = await ask(client, { ':path': '/' })
    expect([down.headers['content-length'], hash(down.body), down.reset]).toEqual([String(size), hash(content), 0])
    expect(range.closed).toBe(1)
  })

  it('answers HEAD and 304 without a body', async () => {
    const range = fileRange(Buffer.from('0123456789'), 0, 10)
    const { client } = await serveHttp2(async (seen) =>
      seen.method === 'HEAD' ? { status: 200, headers: [], body: range } : { status: 304, headers: [['ETag', '"a"']] },
    )
    const head = await ask(client, { ':method': 'HEAD', ':path': '/' })
    expect([head.status, head.headers['content-length'], head.body.length, range.closed]).toEqual([200, '10', 0, 1])
    const unchanged = await ask(client, { ':path': '/' })
    expect([unchanged.status, unchanged.headers.etag, unchanged.body.length]).toEqual([304, '"a"', 0])
  })
})

describe('a request body over HTTP/2', () => {
  it('is asked for only when it is read', async () => {
    const { client } = await serveHttp2(async (seen) => text(await collect(seen)))
    const sent = client.request({ ':method': 'PUT', ':path': '/', expect: '100-continue' })
    sent.once('continue', () => sent.end('hello'))
    expect((await answerTo(sent)).body.toString()).toBe('hello')
  })

  it('that nobody wants costs the stream, not the connection', async () => {
    const { client } = await serveHttp2(async (seen) =>
      seen.method === 'PUT' ? { status: 413, headers: [], body: Buffer.from('too much') } : ok,
    )
    const sent = client.request({ ':method': 'PUT', ':path': '/' })
    const answering = answerTo(sent)
    sent.write(Buffer.alloc(10_000_000))
    const answer = await answering
    expect([answer.status, answer.body.toString(), answer.reset]).toEqual([413, 'too much', 0])
    expect((await ask(client, { ':path': '/' })).body.toString()).toBe('ok')
  })

  it('that is read halfway does not hold the stream open', async () => {
    const { client, exchanges } = await serveHttp2(async (seen) => {
      for await (const piece of seen.body) return text(String(piece.length > 0))
      return ok
    })
    const sent = client.request({ ':method': 'PUT', ':path': '/' })
    const answering = answerTo(sent)
    sent.write(Buffer.alloc(1_000_000))
    expect((await answering).body.toString()).toBe('true')
    expect((await exchanges(1))[0]?.sent.complete).toBe(true)
  })

  it.each([
    ['is reset', 8],
    ['is reset as if nothing were wrong', 0],
  ])('that %s is incomplete, never taken for the whole', async (_name, code) => {
    const { outcome, handle } = recorded(collect)
    const { raw } = await serveRaw(handle)
    raw.write(headers(1, request('PUT', '/'), { end: false }), frame(frameType.data, 0, 1, Buffer.from('half')))
    const reset = Buffer.alloc(4)
    reset.writeUInt32BE(code)
    raw.write(frame(frameType.reset, 0, 1, reset))
    expect(isFailure(await outcome, 'incomplete')).toBe(true)
  })

  it('whose connection breaks is incomplete', async () => {
    let begun: () => void = () => undefined
    const running = new Promise<void>((resolve) => (begun = resolve))
    const { outcome, handle } = recorded(async (seen) => {
      begun()
      return await collect(seen)
    })
    const { raw } = await serveRaw(handle)
    raw.write(headers(1, request('PUT', '/'), { end: false }), frame(frameType.data, 0, 1, Buffer.from('half')))
    await running
    raw.destroy()
    expect(isFailure(await outcome, 'incomplete')).toBe(true)
  })

  it('shorter or longer than said is incomplete', async () => {
    for (const [length, body] of [
      ['10', 'short'],
      ['2', 'longer'],
    ] as const) {
      const { outcome, handle } = recorded(collect)
      const { raw } = await serveRaw(handle)
      raw.write(
        headers(1, [...request('PUT', '/'), ['content-length', length]], { end: false }),
        frame(frameType.data, 1, 1, Buffer.from(body)),
      )
      expect(isFailure(await outcome, 'incomplete')).toBe(true)
    }
  })

  it('that stands still ends with a time-out', async () => {
    const { outcome, handle } = recorded(collect)
    const { client } = await serveHttp2(handle, { idleSeconds: 0.1 })
    client
      .request({ ':method': 'PUT', ':path': '/' })
      .on('error', () => undefined)
      .write('half')
    expect(isFailure(await outcome, 'timeout')).toBe(true)
  })
})

describe('an answer over HTTP/2', () => {
  it.each([
    ['fails midway', [], true],
    ['is shorter than announced', [['Content-Length', '100']] as const, false],
    ['is longer than announced', [['Content-Length', '2']] as const, false],
  ])('that %s is broken off', async (_name, fields, fails) => {
    const { client, exchanges } = await serveHttp2(async (seen) =>
      seen.target === '/bad' ? { status: 200, headers: fields, body: fails ? broken() : stream('abc', 'def') } : ok,
    )
    const answer = await ask(client, { ':path': '/bad' })
    expect(answer.reset).not.toBe(0)
    expect((await exchanges(1))[0]?.sent.error).toBeInstanceOf(Error)
    expect((await ask(client, { ':path': '/' })).status).toBe(200)
  })

  it('whose client goes away closes the file and aborts the work', async () => {
    const range = fileRange(Buffer.alloc(50_000_000), 0, 50_000_000)
    const { outcome, handle } = recorded(
      (seen) => new Promise((resolve) => seen.signal.addEventListener('abort', () => resolve('aborted'))),
    )
    const { client, exchanges } = await serveHttp2(async (seen) =>
      seen.target === '/file' ? { status: 200, headers: [], body: range } : handle(seen),
    )
    const download = client.request({ ':path': '/file' }).on('error', () => undefined)
    await new Promise((resolve) => download.once('response', resolve))
    download.close(8)
    expect((await exchanges(1))[0]?.sent.complete).toBe(false)
    expect(range.closed).toBe(1)
    const waiting = client.request({ ':path': '/wait' }).on('error', () => undefined)
    await new Promise<void>((resolve) => client.ping(() => resolve()))
    waiting.close(8)
    expect(await outcome).toBe('aborted')
  })

  it('that nobody takes is given up', async () => {
    const range = fileRange(Buffer.alloc(5_000_000), 0, 5_000_000)
    const { raw, exchanges } = await serveRaw(async () => ({ status: 200, headers: [], body: range }), {
      idleSeconds: 0.2,
    })
    // The window that a connection begins with is all that it gives (RFC 9113 §6.9.2).
    raw.write(headers(1, request('GET', '/'), { end: true }))
    expect((await exchanges(1))[0]?.sent.complete).toBe(false)
    expect(range.closed).toBe(1)
  })

  it('with a header that cannot be written is 500', async () => {
    const { client } = await serveHttp2(async () => ({ ...ok, headers: [['X-A', 'a\r\nSet-Cookie: b']] }))
    const answer = await ask(client, { ':path': '/' })
    expect([answer.status, answer.body.length, answer.headers['set-cookie']]).toEqual([500, 0, undefined])
  })
})

describe('a malformed request over HTTP/2', () => {
  it.each([
    ['a connection header', [['connection', 'close']]],
    ['a transfer coding', [['transfer-encoding', 'chunked']]],
    ['keep-alive', [['keep-alive', 'timeout=5']]],
    ['a proxy connection', [['proxy-connection', 'keep-alive']]],
    ['an upgrade', [['upgrade', 'h2c']]],
    ['te other than trailers', [['te', 'gzip']]],
    ['capitals in a name', [['X-A', 'b']]],
    [
      'a pseudo-header after others',
      [
        ['x-a', 'b'],
        [':path', '/other'],
      ],
    ],
    ['an unknown pseudo-header', [[':extra', 'b']]],
    ['another host', [['host', 'other.example']]],
    [
      'two lengths',
      [
        ['content-length', '1'],
        ['content-length', '2'],
      ],
    ],
    ['a length that is none', [['content-length', '+1']]],
    ['an expectation that nobody has', [['expect', 'miracles']]],
  ] as [string, [string, string][]][])('is refused before anybody sees it: %s', async (_name, fields) => {
    let reached = false
    const { raw } = await serveRaw(async () => {
      reached = true
      return ok
    })
    raw.write(headers(1, [...request('GET', '/'), ...fields], { end: true }))
    expect(await raw.fate(1)).toMatch(/^(?:answered|reset|goaway|closed)/)
    expect(reached).toBe(false)
  })

  it.each([
    ['a line break in a value', ['x-a', 'b\r\nx-c: d']],
    ['NUL in a value', ['x-a', 'b\0c']],
    ['a space in a name', ['x a', 'b']],
  ] as [string, [string, string]][])('never shows a field that is none: %s', async (_name, field) => {
    const seen: string[] = []
    const { raw } = await serveRaw(async (found) => {
      seen.push(...found.headers.keys())
      return ok
    })
    raw.write(headers(1, [...request('GET', '/'), field], { end: true }))
    await raw.fate(1)
    expect(seen.filter((name) => name.startsWith('x'))).toEqual([])
  })

  it.each([
    [
      'no path',
      [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'a'],
      ],
    ],
    ['an empty path', request('GET', '')],
    ['a path without a slash', request('GET', 'x')],
    ['an absolute form', request('GET', 'https://other/x')],
    ['a star', request('GET', '*')],
    ['an authority with a user', [...request('GET', '/').slice(0, 3), [':authority', 'a@b']]],
    ['a line break in the path', request('GET', '/a\r\nb')],
    [
      'CONNECT',
      [
        [':method', 'CONNECT'],
        [':authority', 'a:1'],
      ],
    ],
  ] as [string, [string, string][]][])('gets no answer of 2xx: %s', async (_name, fields) => {
    const seen: string[] = []
    const { raw } = await serveRaw(async (found) => {
      seen.push(found.target)
      return ok
    })
    raw.write(headers(1, fields, { end: true }))
    await raw.fate(1)
    // What begins with no slash is for the gateway to refuse, as over HTTP/1.1.
    expect(seen.filter((target) => target.startsWith('/'))).toEqual([])
  })
})

describe('a hostile client over HTTP/2', () => {
  const many = (count: number, make: (index: number) => Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, (_, index) => make(index)))
  const cancel = Buffer.from([0, 0, 0, 8])

  it('that resets what it asks for is shut out, and never has more than its share under way', async () => {
    let running = 0
    let most = 0
    const { raw, client } = await serveBoth(async (seen) => {
      if (seen.target === '/other') return ok
      most = Math.max(most, (running += 1))
      await new Promise((resolve) => setTimeout(resolve, 50))
      running -= 1
      return ok
    })
    for (let round = 0; round < 40 && !raw.closed; round += 1) {
      raw.write(
        many(100, (index) => {
          const id = 2 * (round * 100 + index) + 1
          return Buffer.concat([headers(id, request('GET', '/'), { end: true }), frame(frameType.reset, 0, id, cancel)])
        }),
      )
      await raw.flushed()
      expect((await ask(client, { ':path': '/other' })).status).toBe(200)
    }
    await raw.untilClosed()
    expect(most).toBeLessThanOrEqual(200)
  })

  it.each([
    ['pings', () => frame(frameType.ping, 0, 0, Buffer.alloc(8))],
    ['settings', () => frame(frameType.settings, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100]))],
    ['empty pieces of a body', () => frame(frameType.data, 0, 1)],
  ])('that floods with %s is shut out', async (_name, make) => {
    const { raw, client } = await serveBoth(async (seen) => text(seen.method === 'PUT' ? await collect(seen) : 'ok'))
    raw.write(headers(1, request('PUT', '/'), { end: false }))
    for (let round = 0; round < 200 && !raw.closed; round += 1) {
      raw.write(many(100, make))
      await raw.flushed()
    }
    await raw.untilClosed()
    expect((await ask(client, { ':path': '/' })).status).toBe(200)
  })

  it('is refused header lists that are too long, by count and by size, and endless ones', async () => {
    const { outcome, handle } = recorded(async (seen) => seen.headers.size)
    const { raw } = await serveRaw(handle, { headers: 50, headerBytes: 8192 })
    const small = Array.from({ length: 60 }, (_, n) => [`x-${n}`, 'y'] as const)
    raw.write(headers(1, [...request('GET', '/'), ...small], { end: true }))

    expect(await raw.fate(1)).toMatch(/^reset/)
    raw.write(headers(3, [...request('GET', '/'), ['x-a', 'y'.repeat(10_000)]], { end: true }))
    expect(await raw.fate(3)).toBe('answered')
    raw.write(headers(5, request('GET', '/'), { end: true }))
    expect(await outcome, 'only the sound request was shown to anybody').toBe(0)
    const endless = await RawHttp2.open((await serve(async () => ok, { tls })).port)
    clients.push(endless)
    endless.write(frame(frameType.headers, 0, 1, headerBlock(request('GET', '/'))))
    for (let n = 0; n < 2000 && !endless.closed; n += 1) {
      endless.write(frame(frameType.continuation, 0, 1, headerBlock([[`x-${n}`, 'y'.repeat(1000)]])))
      await endless.flushed()
    }
    await endless.untilClosed()
  })

  it('may have so many streams at a time', async () => {
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    const { raw } = await serveRaw(async () => {
      await gate
      return ok
    })
    raw.write(many(101, (index) => headers(2 * index + 1, request('GET', '/'), { end: true })))
    expect(await raw.fate(201)).toMatch(/^reset|^goaway/)
    go()
    expect(await raw.fate(1)).toBe('answered')
  })

  it('that says nothing after the handshake, or nothing more, is let go', async () => {
    const { raw } = await serveRaw(async () => ok, { headerSeconds: 0.5, keepAliveSeconds: 1000 })
    await raw.untilClosed()
    const second = await serveRaw(async () => ok, { headerSeconds: 1000, keepAliveSeconds: 0.5 })
    second.raw.write(headers(1, request('GET', '/'), { end: true }))
    expect(await second.raw.fate(1)).toBe('answered')
    await second.raw.untilClosed()
  })

  async function serveBoth(handle: Handle): Promise<{ raw: RawHttp2; client: ClientHttp2Session }> {
    const { client, port } = await serveHttp2(handle)
    const raw = await RawHttp2.open(port)
    clients.push(raw)
    return { raw, client }
  }
})

describe('a connection of HTTP/2', () => {
  it('is told goodbye after its last request, which is answered', async () => {
    const { client } = await serveHttp2(async () => ok, { requestsPerConnection: 3 })
    const goodbye = new Promise<number>((resolve) => client.once('goaway', resolve))
    for (let n = 0; n < 3; n += 1) expect((await ask(client, { ':path': '/' })).status).toBe(200)
    expect(await goodbye).toBe(0)
  })

  it('is closed by a stop when what it has under way is over', async () => {
    let begun: () => void = () => undefined
    const running = new Promise<void>((resolve) => (begun = resolve))
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    const { client, transport, port } = await serveHttp2(async () => {
      begun()
      await gate
      return ok
    })
    const idle = await RawHttp2.open(port)
    clients.push(idle)
    const asked = ask(client, { ':path': '/' })
    await running
    const stopping = transport.stop(10)
    await idle.untilClosed()
    go()
    expect((await asked).body.toString()).toBe('ok')
    await stopping
  })
})
