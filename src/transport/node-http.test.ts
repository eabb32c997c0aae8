import { createHash } from 'node:crypto'
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { isFailure } from '../core/failure.js'
import type { FileRange, HttpRequest, HttpResponse } from '../core/http.js'
import { RawConnection } from '../../test/raw-http.js'
import type { Exchange } from './exchange.js'
import { proxyTrust } from './forwarded.js'
import { createNodeTransport } from './node-http.js'
import type { Listener, Transport, TransportLimits } from './node-http.js'

type Handle = (request: HttpRequest) => Promise<HttpResponse>

const limits: TransportLimits = {
  headerBytes: 16 * 1024,
  headerSeconds: 20,
  idleSeconds: 20,
  keepAliveSeconds: 20,
  connections: 1000,
}
const ok: HttpResponse = { status: 200, headers: [], body: Buffer.from('ok') }

const started: Transport[] = []
const folders: string[] = []

afterEach(async () => {
  for (const transport of started.splice(0)) await transport.stop(0)
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

describe('a transport', () => {
  it('keeps the target and repeated headers exactly as sent', async () => {
    let seen: HttpRequest | undefined
    const { connection } = await serve(async (request) => {
      seen = request
      return ok
    })
    await connection.send('GET /a//%2e%2E/b?x=%41&y HTTP/1.1\r\nHost: Example.org\r\nX-A: 1\r\nx-a: 2\r\n\r\n')
    expect((await connection.answer()).text).toBe('ok')
    expect(seen?.target).toBe('/a//%2e%2E/b?x=%41&y')
    expect(seen?.headers.get('x-a')).toEqual(['1', '2'])
    expect(seen?.origin).toEqual(expect.objectContaining({ scheme: 'http', authority: 'example.org' }))
    expect(seen?.peer.address).toBe('127.0.0.1')
    expect(seen?.listener).toBe('main')
  })

  it('reduces an absolute form to its path and authority', async () => {
    const { connection } = await serve(async (request) => text(`${request.target} ${request.origin.authority}`))
    await connection.send('GET http://Files.example:81/a%20b?c HTTP/1.1\r\nHost: other\r\n\r\n')
    expect((await connection.answer()).text).toBe('/a%20b?c files.example:81')
    await connection.send('GET http://files.example HTTP/1.1\r\nHost: other\r\n\r\n')
    expect((await connection.answer()).text).toBe('/ files.example')
  })

  it.each([
    ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['user information in the host', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
    [
      'both framings',
      'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['another transfer coding', 'PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 501],
    ['two lengths', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd', 400],
    ['a signed length', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc', 400],
    ['a line folded into a header', 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n', 400],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n', 400],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', 400],
    ['an unknown method', 'FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n', 501],
    ['an unknown expectation', 'PUT / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n', 417],
    ['a header bomb', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(10_000)}\r\n`, 431],
    ['one huge header', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`, 431],
  ])('refuses %s', async (_name, bytes, status) => {
    const { connection } = await serve(async () => ok)
    await connection.trySend(bytes)
    expect((await connection.answer()).status).toBe(status)
  })

  it('shows every one of thousands of small headers, or refuses', async () => {
    const { connection } = await serve(async (request) => text(String(request.headers.size)))
    const many = Array.from({ length: 2500 }, (_, number) => `${number.toString(36)}:\r\n`).join('')
    await connection.send(`GET / HTTP/1.1\r\nHost: a\r\n${many}\r\n`)
    expect((await connection.answer()).text).toBe('2501')
  })

  it('answers 500 where a header cannot be written, and lives on', async () => {
    const { connection, port } = await serve(async (request) =>
      request.target === '/bad'
        ? { status: 200, headers: [['X-A', 'a\r\nSet-Cookie: b']], body: Buffer.from('x') }
        : ok,
    )
    await connection.send('GET /bad HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.status, answer.text, answer.header('set-cookie')]).toEqual([500, '', ''])
    const next = await RawConnection.open(port)
    await next.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await next.answer()).status).toBe(200)
    next.destroy()
  })

  it('answers what came whole before bytes that are no HTTP, and closes', async () => {
    const { connection } = await serve(async (request) => text(await collect(request)))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\x00garbage\r\n\r\n')
    expect((await connection.answer()).text).toBe('abc')
    await connection.untilClosed(1000)
  })

  it('does not break off an answer that takes longer than the idle time to make', async () => {
    const { connection } = await serve(
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 400))
        return { status: 200, headers: [], body: stream('late') }
      },
      { limits: { ...limits, idleSeconds: 0.1 } },
    )
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('late')
  })

  it('serves requests sent ahead in order, one after the other', async () => {
    const order: string[] = []
    const { connection } = await serve(async (request) => {
      order.push(`begin ${request.target}`)
      let size = 0
      for await (const chunk of request.body) size += chunk.length
      if (request.target === '/1') await new Promise((resolve) => setTimeout(resolve, 20))
      order.push(`end ${request.target}`)
      return text(`${request.target} ${size}`)
    })
    await connection.send(
      'PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n',
    )
    const answers = [await connection.answer(), await connection.answer(), await connection.answer()]
    expect(answers.map((answer) => answer.text)).toEqual(['/1 3', '/2 0', '/3 0'])
    expect(order).toEqual(['begin /1', 'end /1', 'begin /2', 'end /2', 'begin /3', 'end /3'])
  })
})

describe('a request body', () => {
  it('is asked for only when it is read', async () => {
    const { connection } = await serve(async (request) => text(await collect(request)))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
    const answering = connection.answer()
    await connection.send('hello')
    const answer = await answering
    expect(answer.interim).toEqual([100])
    expect(answer.text).toBe('hello')
  })

  it('costs nothing when the request is refused while the client still waits', async () => {
    const { connection } = await serve(async () => ({ status: 403, headers: [] }))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.status, answer.interim, answer.header('connection')]).toEqual([403, [], 'close'])
    await connection.untilClosed(1000)
  })

  it('that is small and unwanted does not cost the connection', async () => {
    const { connection } = await serve(async () => ok)
    await connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(20_000)}`)
    expect((await connection.answer()).header('connection')).toBe('keep-alive')
    await connection.send('x'.repeat(40_000) + 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('ok')
  })

  it('that was read halfway does not disturb the next request', async () => {
    const { connection } = await serve(async (request) => {
      for await (const chunk of request.body) return text(String(chunk.length > 0))
      return ok
    })
    await connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(100)}`)
    expect((await connection.answer()).text).toBe('true')
    await connection.send('x'.repeat(59_900) + 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('ok')
  })

  it('that is big and unwanted lets the client read the answer before the connection closes', async () => {
    const { connection } = await serve(async () => ({ status: 413, headers: [], body: Buffer.from('too much') }))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n')
    await connection.send(Buffer.alloc(6_000_000))
    const answer = await connection.answer()
    expect([answer.status, answer.text, answer.header('connection')]).toEqual([413, 'too much', 'close'])
    await connection.untilClosed(1500)
  })

  it('without an end is not listened to for ever', async () => {
    const { connection } = await serve(async () => ({ status: 413, headers: [] }))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    expect((await connection.answer()).status).toBe(413)
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000), Buffer.from('\r\n')])
    for (let sent = 0; sent < 40 && !connection.closed; sent += 1) await connection.trySend(chunk)
    await connection.untilClosed(4000)
  })

  it.each([
    ['is cut off by the end of the stream', 'finish'],
    ['is cut off by a reset', 'reset'],
  ] as const)('that %s is incomplete', async (_name, how) => {
    const { outcome, handle } = recorded(collect)
    const { connection } = await serve(handle)
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf')
    if (how === 'finish') connection.finish()
    else connection.destroy({ reset: true })
    expect(isFailure(await outcome, 'incomplete')).toBe(true)
  })

  it('in malformed chunks is incomplete and gets its answer', async () => {
    const { outcome, handle } = recorded(collect)
    const { connection } = await serve(async (request) => {
      await handle(request)
      return { status: 400, headers: [] }
    })
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n')
    expect(isFailure(await outcome, 'incomplete')).toBe(true)
    expect((await connection.answer()).status).toBe(400)
    await connection.untilClosed(1000)
  })

  it('that stands still ends with a time-out', async () => {
    const { outcome, handle } = recorded(collect)
    const { connection } = await serve(handle, { limits: { ...limits, idleSeconds: 0.1 } })
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf')
    expect(isFailure(await outcome, 'timeout')).toBe(true)
    expect((await connection.answer()).header('connection')).toBe('close')
  })

  it('waits in a bounded amount of memory for a slow reader', async () => {
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    let received = -1
    const { connection, exchanges } = await serve(async (request) => {
      const iterator = request.body[Symbol.asyncIterator]()
      await iterator.next()
      await gate
      received = (request.body as unknown as { readonly received: number }).received
      for (let step = await iterator.next(); step.done !== true;) step = await iterator.next()
      return ok
    })
    const size = 64 * 1024 * 1024
    await connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
    const sending = connection.send(Buffer.alloc(size))
    const winner = await Promise.race([sending.then(() => 'sent'), new Promise((r) => setTimeout(r, 300, 'held'))])
    expect(winner).toBe('held')
    go()
    await sending
    expect((await connection.answer()).status).toBe(200)
    expect(received).toBeLessThan(4 * 1024 * 1024)
    expect((await exchanges(1))[0]?.received).toBe(size)
  })
})

describe('a response', () => {
  it.each([0, 1, 65_536, 65_537, 524_288, 1_048_577, 5_000_000])(
    'sends a file of %i bytes and closes it once',
    async (size) => {
      const content = Buffer.alloc(size, 'postern ')
      const range = fileRange(content, 0, size)
      const { connection } = await serve(async () => ({ status: 200, headers: [], body: range }))
      await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      const answer = await connection.answer()
      expect(answer.header('content-length')).toBe(String(size))
      expect(hash(answer.body)).toBe(hash(content))
      await connection.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
      expect(range.closed).toBe(1)
    },
  )

  it('sends a part of a file', async () => {
    const range = fileRange(Buffer.from('0123456789'), 3, 7)
    const { connection } = await serve(async () => ({ status: 206, headers: [], body: range }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('3456')
  })

  it('to HEAD keeps the length and closes the file', async () => {
    const range = fileRange(Buffer.from('0123456789'), 0, 10)
    const { connection } = await serve(async () => ({ status: 200, headers: [['ETag', '"a"']], body: range }))
    await connection.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer({ method: 'HEAD' })
    expect([answer.header('content-length'), range.closed]).toEqual(['10', 1])
  })

  it('whose client goes away closes the file', async () => {
    const range = fileRange(Buffer.alloc(50_000_000), 0, 50_000_000)
    const { connection, exchanges } = await serve(async () => ({ status: 200, headers: [], body: range }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    connection.destroy({ reset: true })
    expect((await exchanges(1))[0]?.sent.complete).toBe(false)
    expect(range.closed).toBe(1)
  })

  it('of a file that becomes shorter is broken off, never ended cleanly', async () => {
    for (const size of [10, 1_000_000]) {
      const range = fileRange(Buffer.alloc(size), 0, size + 5)
      const { connection } = await serve(async () => ({ status: 200, headers: [], body: range }))
      await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await expect(connection.answer()).rejects.toThrow(/ended/)
      expect(range.closed).toBe(1)
    }
  })

  it('streams without a known length, in chunks', async () => {
    const { connection } = await serve(async () => ({ status: 200, headers: [], body: stream('ab', 'c') }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.text, answer.header('transfer-encoding')]).toEqual(['abc', 'chunked'])
  })

  it.each([
    ['fails midway', [], true],
    ['is shorter than announced', [['Content-Length', '100']] as const, false],
    ['is longer than announced', [['Content-Length', '2']] as const, false],
  ])('that %s is broken off', async (_name, headers, fails) => {
    const { connection, exchanges } = await serve(async () => ({
      status: 200,
      headers,
      body: fails ? broken() : stream('abc', 'def'),
    }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await connection.untilClosed(2000)
    const outcome = await connection.answer().then(
      (answer) => answer.text,
      () => 'broken off',
    )
    expect(['broken off', '']).toContain(outcome)
    const [over] = await exchanges(1)
    expect(over?.sent.complete).toBe(false)
    expect(over?.sent.error).toBeInstanceOf(Error)
  })

  it('that nobody reads is held back and its source let go of', async () => {
    let produced = 0
    let released = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          produced += 1
          yield Buffer.alloc(65_536)
        }
      } finally {
        released = true
      }
    }
    const { port, exchanges } = await serve(async () => ({ status: 200, headers: [], body: endless() }), {
      limits: { ...limits, idleSeconds: 0.3 },
    })
    const socket = connect({ port, host: '127.0.0.1' })
    socket.pause()
    socket.on('error', () => undefined)
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await exchanges(1))[0]?.sent.complete).toBe(false)
    expect(released).toBe(true)
    expect(produced).toBeLessThan(400)
    socket.destroy()
  })

  it('aborts the signal of a request whose client went away', async () => {
    const { outcome, handle } = recorded(
      (request) => new Promise((resolve) => request.signal.addEventListener('abort', () => resolve('aborted'))),
    )
    const { connection } = await serve(handle)
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    connection.destroy()
    expect(await outcome).toBe('aborted')
  })

  it('is 500 without a word where the handler throws', async () => {
    const { connection } = await serve(async () => {
      throw new Error('secret detail')
    })
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.status, answer.text]).toEqual([500, ''])
  })
})

describe('stopping', () => {
  it('lets a running request finish, closes idle connections and takes no new ones', async () => {
    let begun: () => void = () => undefined
    const running = new Promise<void>((resolve) => (begun = resolve))
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    const { transport, connection, port } = await serve(async () => {
      begun()
      await gate
      return ok
    })
    const idle = await RawConnection.open(port)
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await running
    const stopping = transport.stop(10)
    await idle.untilClosed(1000)
    await expect(RawConnection.open(port)).rejects.toThrow(/ECONNREFUSED/)
    go()
    const answer = await connection.answer()
    expect([answer.text, answer.header('connection')]).toEqual(['ok', 'close'])
    await stopping
  })

  it('closes a connection whose answer had begun before, once it is out', async () => {
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a')
      await gate
      yield Buffer.from('b')
    }
    const { transport, port } = await serve(async () => ({
      status: 200,
      headers: [['Content-Length', '2']],
      body: slow(),
    }))
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let received = ''
    const closed = new Promise((resolve) => socket.once('end', resolve))
    const begun = new Promise<void>((resolve) => {
      socket.on('data', (bytes) => {
        received += bytes.toString('latin1')
        if (received.endsWith('\r\n\r\na')) resolve()
      })
    })
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await begun
    const stopping = transport.stop(60)
    go()
    await closed
    expect(received.endsWith('\r\n\r\nab')).toBe(true)
    await stopping
    socket.destroy()
  })

  it('breaks off what is still running when the grace is over', async () => {
    let begun: () => void = () => undefined
    const running = new Promise<void>((resolve) => (begun = resolve))
    const { transport, connection } = await serve(
      (request) =>
        new Promise((resolve) => {
          request.signal.addEventListener('abort', () => resolve(ok))
          begun()
        }),
    )
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await running
    await transport.stop(0.05)
    await connection.untilClosed(1000)
  })
})

describe('listening', () => {
  it('on a Unix socket takes the place of a dead process, never of a live one or of a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-'))
    folders.push(folder)
    const path = join(folder, 'socket')
    const at: Listener = { name: 'main', at: { kind: 'unix', path } }
    const first = transportOf(async (request) => text(String(request.peer.address)), [at])
    expect(await first.start()).toEqual([{ name: 'main', url: `unix:${path}` }])
    await expect(transportOf(async () => ok, [at]).start()).rejects.toThrow(/Another process/)
    await first.stop(0)

    await abandonSocket(path)
    expect(existsSync(path)).toBe(true)
    const second = transportOf(async () => ok, [at])
    await second.start()
    await second.stop(0)

    writeFileSync(path, 'mine')
    await expect(transportOf(async () => ok, [at]).start()).rejects.toThrow(/not a socket/)
  })

  it('opens every listener or none', async () => {
    const { port } = await serve(async () => ok)
    const free: Listener = { name: 'free', at: { kind: 'tcp', host: '127.0.0.1', port: 0 } }
    const taken: Listener = { name: 'taken', at: { kind: 'tcp', host: '127.0.0.1', port } }
    await expect(transportOf(async () => ok, [free, taken]).start()).rejects.toThrow(/EADDRINUSE/)
  })

  it('believes the headers of trusted proxies only', async () => {
    const handle: Handle = async (request) =>
      text(`${request.origin.scheme}://${request.origin.authority} ${String(request.peer.address)}`)
    const said = 'X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: files.example\r\n'
    for (const [trusted, expected] of [
      [[], 'http://inner 127.0.0.1'],
      [['127.0.0.0/8'], 'https://files.example 203.0.113.9'],
    ] as const) {
      const { connection } = await serve(handle, { trusted })
      await connection.send(`GET / HTTP/1.1\r\nHost: inner\r\n${said}\r\n`)
      expect((await connection.answer()).text).toBe(expected)
    }
  })
})

interface Served {
  readonly transport: Transport
  readonly connection: RawConnection
  readonly port: number
  /** Resolves when so many exchanges are over. */
  readonly exchanges: (count: number) => Promise<readonly Exchange[]>
}

async function serve(
  handle: Handle,
  options: { readonly limits?: TransportLimits; readonly trusted?: readonly string[] } = {},
): Promise<Served> {
  const over: Exchange[] = []
  let wake: () => void = () => undefined
  const at: Listener = { name: 'main', at: { kind: 'tcp', host: '127.0.0.1', port: 0 } }
  const transport = createNodeTransport({
    listeners: [at],
    handle,
    limits: options.limits ?? limits,
    trust: proxyTrust(options.trusted ?? [], 'auto')!,
    onExchange: (exchange) => {
      over.push(exchange)
      wake()
    },
  })
  started.push(transport)
  const [listening] = await transport.start()
  const port = Number(new URL(listening!.url).port)
  return {
    transport,
    port,
    connection: await RawConnection.open(port),
    exchanges: async (count) => {
      while (over.length < count) await new Promise<void>((resolve) => (wake = resolve))
      return over
    },
  }
}

function transportOf(handle: Handle, listeners: readonly Listener[]): Transport {
  const transport = createNodeTransport({ listeners, handle, limits, trust: proxyTrust([], 'auto')! })
  started.push(transport)
  return transport
}

/** A handler that remembers what became of its work: the value, or the error it threw. */
function recorded(work: (request: HttpRequest) => Promise<unknown>): { outcome: Promise<unknown>; handle: Handle } {
  let settle: (value: unknown) => void = () => undefined
  const outcome = new Promise<unknown>((resolve) => (settle = resolve))
  return {
    outcome,
    handle: async (request) => {
      settle(await work(request).catch((error: unknown) => error))
      return ok
    },
  }
}

function text(body: string): HttpResponse {
  return { status: 200, headers: [], body: Buffer.from(body) }
}

async function collect(request: HttpRequest): Promise<string> {
  let found = ''
  for await (const chunk of request.body) found += Buffer.from(chunk).toString('latin1')
  return found
}

async function* stream(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

async function* broken(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('abc')
  throw new Error('the disk is gone')
}

function fileRange(content: Uint8Array, start: number, end: number): FileRange & { closed: number } {
  const folder = mkdtempSync(join(tmpdir(), 'postern-'))
  folders.push(folder)
  writeFileSync(join(folder, 'file'), content)
  const fd = openSync(join(folder, 'file'), 'r')
  expect(fstatSync(fd).size).toBe(content.length)
  return {
    fd,
    start,
    end,
    closed: 0,
    close() {
      this.closed += 1
      if (this.closed === 1) closeSync(fd)
    },
  }
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Leaves a socket file behind as a killed process would. */
async function abandonSocket(path: string): Promise<void> {
  const { spawnSync } = await import('node:child_process')
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
}
