import { closeSync, openSync, writeFileSync } from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../core/http.js'
import type { Exchange } from '../exchange.js'
import { proxyTrust } from '../forwarded.js'
import type { BufferedResult } from './buffered-answer.js'
import { createLambdaTransport } from './lambda-transport.js'
import type { LambdaTransportOptions } from './lambda-transport.js'
import { balancedBytes, bufferedBytes } from './limits.js'
import type { LambdaContext, ManagedRuntime, StreamHead } from './managed-runtime.js'

type Front = 'url' | 'alb' | 'alb-multi'

const longTime: LambdaContext = { getRemainingTimeInMillis: () => 60_000 }
const elb = { elb: { targetGroupArn: 'arn' } }

function eventOf(front: Front, method = 'GET', headers: Readonly<Record<string, string>> = {}): unknown {
  if (front === 'url')
    return {
      version: '2.0',
      rawPath: '/a',
      rawQueryString: '',
      headers,
      requestContext: { domainName: 'abc.lambda-url.eu-west-1.on.aws', http: { method, sourceIp: '192.0.2.7' } },
    }
  if (front === 'alb') return { requestContext: elb, httpMethod: method, path: '/a', headers }
  const lists = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]))
  return { requestContext: elb, httpMethod: method, path: '/a', multiValueHeaders: lists }
}

interface Setting extends Partial<LambdaTransportOptions> {
  readonly trusted?: readonly string[]
}

/** A transport whose gateway gives this answer, and what it was told. */
function transportOf(answer: HttpResponse | ((request: HttpRequest) => Promise<HttpResponse>), setting: Setting = {}) {
  const exchanges: Exchange[] = []
  const requests: HttpRequest[] = []
  const trust = proxyTrust(setting.trusted ?? [], 'auto')
  if (trust === undefined) throw new Error('no such proxies')
  const transport = createLambdaTransport({
    handle: async (request) => {
      requests.push(request)
      return typeof answer === 'function' ? await answer(request) : answer
    },
    refuse: ({ kind, message }) => ({
      status: kind === 'unavailable' ? 503 : 501,
      headers: [],
      body: Buffer.from(message),
    }),
    onExchange: (exchange) => exchanges.push(exchange),
    trust,
    limits: { headers: 100, headerBytes: 10_000 },
    ...setting,
  })
  const buffered = async (front: Front = 'url', method?: string, headers?: Readonly<Record<string, string>>) =>
    (await transport.buffered(eventOf(front, method, headers), longTime)) as BufferedResult
  return { transport, exchanges, requests, buffered }
}

const bytesIn = ({ body, isBase64Encoded }: BufferedResult): Buffer =>
  Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8')

function typed(type: string, body: Uint8Array | string): HttpResponse {
  return { status: 200, headers: [['Content-Type', type]], body: Buffer.from(body) }
}

async function allOf(body: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return chunks
}

/** A body that says when it is let go of. */
function watched(pieces: readonly (Uint8Array | Error)[]): {
  readonly body: AsyncIterable<Uint8Array>
  readonly isOver: () => boolean
} {
  let isOver = false
  return {
    isOver: () => isOver,
    body: (async function* () {
      try {
        for (const piece of pieces) {
          if (piece instanceof Error) throw piece
          yield piece
        }
      } finally {
        isOver = true
      }
    })(),
  }
}

describe('a request of an event', () => {
  it('comes from whom the front says, however much its headers claim', async () => {
    const { requests, buffered } = transportOf(typed('text/plain', 'x'))
    const forged = {
      host: 'abc.lambda-url.eu-west-1.on.aws',
      'x-forwarded-for': '10.0.0.1',
      'x-forwarded-host': 'files.example.org',
      'x-forwarded-proto': 'http',
      forwarded: 'for=10.0.0.1;host=files.example.org',
    }
    await buffered('url', 'GET', forged)
    expect(requests[0]).toMatchObject({
      listener: 'lambda',
      origin: { scheme: 'https', authority: 'abc.lambda-url.eu-west-1.on.aws' },
      peer: { address: '192.0.2.7' },
    })
    expect(requests[0]?.peer.trusted).toBeUndefined()
    await buffered('alb', 'GET', { ...forged, 'x-forwarded-for': '10.0.0.1, 192.0.2.9', host: 'lb.example.org' })
    expect(requests[1]).toMatchObject({
      origin: { scheme: 'http', authority: 'lb.example.org' },
      peer: { address: '192.0.2.9' },
    })
  })

  it('comes from whom a trusted proxy before the front names', async () => {
    const { requests, buffered } = transportOf(typed('text/plain', 'x'), { trusted: ['192.0.2.0/24'] })
    const headers = { 'x-forwarded-for': '6.6.6.6, 198.51.100.1, 192.0.2.7', 'x-forwarded-host': 'files.example.org' }
    for (const front of ['url', 'alb', 'alb-multi'] as const) await buffered(front, 'GET', headers)
    for (const request of requests)
      expect(request).toMatchObject({ origin: { authority: 'files.example.org' }, peer: { address: '198.51.100.1' } })
  })

  it('is trusted by nobody whose address is not known', async () => {
    const { requests, buffered } = transportOf(typed('text/plain', 'x'), { trusted: ['unix'] })
    await buffered('alb', 'GET', { 'x-forwarded-host': 'files.example.org', host: 'lb.example.org' })
    expect([requests[0]?.origin.authority, requests[0]?.peer]).toMatchObject(['lb.example.org', {}])
  })

  it.each([
    ['two hosts', { host: 'a b' }, 400],
    ['another coding', { 'transfer-encoding': 'gzip' }, 501],
    ['long headers', { a: 'x'.repeat(10_000) }, 431],
  ])('is refused as by a listener: %s', async (_, headers, status) => {
    const { requests, buffered } = transportOf(typed('text/plain', 'x'))
    expect([(await buffered('url', 'GET', headers)).statusCode, requests.length]).toEqual([status, 0])
  })

  it('has a body that can be read once, and is counted', async () => {
    const { transport, exchanges } = transportOf(async ({ body }) => {
      const first = await allOf(body)
      expect(() => body[Symbol.asyncIterator]()).toThrow(/once/)
      return typed('application/octet-stream', Buffer.concat(first))
    })
    const event = { ...(eventOf('url', 'PUT') as object), body: 'AAEC', isBase64Encoded: true }
    expect(bytesIn((await transport.buffered(event, longTime)) as BufferedResult)).toEqual(Buffer.from([0, 1, 2]))
    expect(exchanges).toMatchObject([{ received: 3, sent: { status: 200, bodyBytes: 3, complete: true } }])
  })
})

describe('a buffered answer', () => {
  it('is text where its type and its bytes say so, else base64', async () => {
    const cases = [
      [typed('text/plain', 'ä'), false],
      [typed('application/problem+json', '{}'), false],
      [typed('application/xml; charset=utf-8', '<a/>'), false],
      [typed('text/plain', Buffer.from([0xff])), true],
      [typed('application/octet-stream', 'abc'), true],
      [
        {
          ...typed('text/plain', 'abc'),
          headers: [
            ['Content-Type', 'text/plain'],
            ['Content-Encoding', 'gzip'],
          ],
        },
        true,
      ],
      [{ status: 200, headers: [], body: Buffer.from('abc') }, true],
      [{ status: 200, headers: [] }, false],
    ] as const
    for (const [answer, isBase64Encoded] of cases)
      expect(await transportOf(answer as HttpResponse).buffered()).toMatchObject({ statusCode: 200, isBase64Encoded })
  })

  it('holds the same bytes, whatever they are and however they come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 }),
        fc.constantFrom('text/plain', 'application/octet-stream'),
        fc.constantFrom<Front>('url', 'alb', 'alb-multi'),
        async (pieces, type, front) => {
          const { buffered } = transportOf({
            status: 200,
            headers: [['Content-Type', type]],
            body: watched(pieces).body,
          })
          expect(bytesIn(await buffered(front)).equals(Buffer.concat(pieces))).toBe(true)
        },
      ),
    )
  })

  it('has headers as each front takes them', async () => {
    const answer: HttpResponse = {
      status: 401,
      headers: [
        ['WWW-Authenticate', 'Basic realm="a"'],
        ['www-authenticate', 'Bearer'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['Connection', 'close'],
        ['X-Name', 'caf\u00e9'],
      ],
    }
    const headers = { 'WWW-Authenticate': 'Basic realm="a", Bearer', 'X-Name': 'caf%C3%A9' }
    const { buffered } = transportOf(answer)
    expect(await buffered('url')).toEqual({
      statusCode: 401,
      headers,
      cookies: ['a=1', 'b=2'],
      body: '',
      isBase64Encoded: false,
    })
    expect(await buffered('alb-multi')).toMatchObject({
      statusDescription: '401 Unauthorized',
      multiValueHeaders: { 'WWW-Authenticate': ['Basic realm="a", Bearer'], 'Set-Cookie': ['a=1', 'b=2'] },
    })
    const single = (await buffered('alb')).headers ?? {}
    const cookies = Object.entries(single).filter(([name]) => name.toLowerCase() === 'set-cookie')
    expect(cookies.map(([, value]) => value)).toEqual(['a=1', 'b=2'])
  })

  it('is none where a header would be two', async () => {
    const { buffered, exchanges } = transportOf({
      status: 200,
      headers: [['X-A', 'b\r\nSet-Cookie: c=d']],
      body: Buffer.from('x'),
    })
    expect(await buffered()).toEqual({ statusCode: 500, headers: {}, body: '', isBase64Encoded: false })
    expect(exchanges[0]?.sent.error).toBeInstanceOf(Error)
  })

  it('has no body for HEAD, 204 and 304, and lets go of it', async () => {
    for (const [method, status] of [
      ['HEAD', 200],
      ['GET', 204],
      ['GET', 304],
    ] as const) {
      const { body } = watched([Buffer.from('abc')])
      const { buffered } = transportOf({ status, headers: [['Content-Length', '3']], body })
      expect(await buffered('url', method)).toMatchObject({
        statusCode: status,
        body: '',
        headers: { 'Content-Length': '3' },
      })
      expect(await allOf(body)).toEqual([])
    }
  })

  it('gives ranges of files, and closes them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-'))
    try {
      writeFileSync(join(folder, 'a'), '0123456789')
      for (const [end, status] of [
        [7, 200],
        [11, 500],
      ] as const) {
        const fd = openSync(join(folder, 'a'), 'r')
        let closed = 0
        const close = (): void => {
          closed += 1
          closeSync(fd)
        }
        const result = await transportOf({ status: 200, headers: [], body: { fd, start: 2, end, close } }).buffered()
        expect([result.statusCode, bytesIn(result).toString(), closed]).toEqual([status, end === 7 ? '23456' : '', 1])
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('is a failure in the words of the dialect where the body fails, for nothing has gone out yet', async () => {
    const failing = watched([Buffer.from('abc'), new Failure('unavailable', 'The storage service is gone.')])
    const result = await transportOf({ status: 200, headers: [], body: failing.body }).buffered()
    expect([result.statusCode, bytesIn(result).toString(), failing.isOver()]).toEqual([
      503,
      'The storage service is gone.',
      true,
    ])
    const broken = transportOf({ status: 200, headers: [], body: watched([new Error('a secret')]).body })
    expect(await broken.buffered()).toEqual({ statusCode: 500, headers: {}, body: '', isBase64Encoded: false })
    expect(broken.exchanges[0]?.sent.error).toMatchObject({ message: 'a secret' })
  })

  it('is none where it has another length than it says', async () => {
    for (const length of ['2', '4']) {
      const { body } = watched([Buffer.from('abc')])
      const { buffered } = transportOf({ status: 200, headers: [['Content-Length', length]], body })
      expect(await buffered()).toMatchObject({ statusCode: 500, body: '' })
    }
  })

  it.each([
    ['url', bufferedBytes],
    ['alb', balancedBytes],
    ['alb-multi', balancedBytes],
  ] as const)('fits into the result of %s to the byte, or says that it does not', async (front, most) => {
    const resultBytes = async (size: number, fill: string): Promise<readonly [number, number]> => {
      const result = await transportOf(typed('text/plain', fill.repeat(size))).buffered(front)
      return [result.statusCode, Buffer.byteLength(JSON.stringify(result))]
    }
    const [, overhead] = await resultBytes(0, 'x')
    expect(await resultBytes(most - overhead - 1, 'x')).toEqual([200, most - 1])
    expect(await resultBytes(most - overhead, 'x')).toEqual([200, most])
    expect((await resultBytes(most - overhead + 1, 'x'))[0]).toBe(501)
    // As JSON this takes six times as much.
    expect((await resultBytes(Math.ceil(most / 5), '\u0001'))[0]).toBe(501)
    const huge = watched([Buffer.alloc(most), Buffer.alloc(1)])
    expect((await transportOf({ status: 200, headers: [], body: huge.body }).buffered(front)).statusCode).toBe(501)
    expect(huge.isOver()).toBe(true)
  })
})

/** A stream as the runtime hands it over, and what has been written to it. */
function recorder() {
  const heads: StreamHead[] = []
  const chunks: Buffer[] = []
  let hasHead = false
  const stream = new Writable({
    highWaterMark: 4,
    write(chunk: Buffer, _, done) {
      hasHead = true
      chunks.push(chunk)
      setImmediate(done)
    },
  })
  const runtime: ManagedRuntime = {
    streamifyResponse: (handler) => handler,
    HttpResponseStream: {
      from(to, head) {
        heads.push(head)
        return to
      },
    },
  }
  return { stream, runtime, heads, hasHead: () => hasHead, bytes: () => Buffer.concat(chunks) }
}

describe('a streamed answer', () => {
  it('goes out as it comes, its head with the first write', async () => {
    for (const pieces of [[], [Buffer.from('abc'), Buffer.alloc(0), Buffer.from('defgh')]]) {
      const { transport, exchanges } = transportOf({
        status: 201,
        headers: [
          ['X-A', 'b'],
          ['Set-Cookie', 'c=d'],
        ],
        body: watched(pieces).body,
      })
      const { stream, runtime, heads, hasHead, bytes } = recorder()
      await transport.streaming(runtime)(eventOf('url'), stream, longTime)
      expect(heads).toEqual([{ statusCode: 201, headers: { 'X-A': 'b' }, cookies: ['c=d'] }])
      expect([hasHead(), stream.writableEnded, bytes().toString()]).toEqual([true, true, pieces.join('')])
      expect(exchanges).toMatchObject([{ sent: { status: 201, complete: true } }])
    }
  })

  it('has a head where it has no body', async () => {
    for (const [method, status] of [
      ['HEAD', 200],
      ['GET', 204],
      ['GET', 304],
    ] as const) {
      const { transport } = transportOf({ status, headers: [['ETag', '"a"']], body: Buffer.from('abc') })
      const { stream, runtime, heads, hasHead, bytes } = recorder()
      await transport.streaming(runtime)(eventOf('url', method), stream, longTime)
      expect([heads[0]?.statusCode, hasHead(), bytes().length]).toEqual([status, true, 0])
    }
  })

  it('breaks off where it cannot go on, so that nobody takes a part for the whole', async () => {
    const cases = [
      { status: 200, headers: [], body: watched([Buffer.from('abc'), new Error('gone')]).body },
      { status: 200, headers: [['Content-Length', '4']], body: watched([Buffer.from('abc')]).body },
      { status: 200, headers: [['Content-Length', '2']], body: watched([Buffer.from('abc')]).body },
    ] as const
    for (const answer of cases) {
      const { transport, exchanges } = transportOf(answer)
      const { stream, runtime } = recorder()
      await expect(transport.streaming(runtime)(eventOf('url'), stream, longTime)).rejects.toThrow()
      expect([stream.writableEnded, exchanges[0]?.sent.complete]).toEqual([false, false])
    }
  })

  it('is a failure in time where it would be longer than can be streamed', async () => {
    const { body, isOver } = watched([])
    const { transport } = transportOf({ status: 200, headers: [['Content-Length', '209715201']], body })
    const { stream, runtime, heads } = recorder()
    await transport.streaming(runtime)(eventOf('url'), stream, longTime)
    expect(heads[0]?.statusCode).toBe(501)
    expect([isOver(), await allOf(body)]).toEqual([false, []])
  })

  it('is the result itself for all but Function URLs', async () => {
    const { transport } = transportOf(typed('text/plain', 'abc'), { runJobs: async (name) => [name] })
    for (const [event, result] of [
      [eventOf('alb'), { statusCode: 200, body: 'abc' }],
      [{ job: 'sweep' }, { jobs: ['sweep'] }],
    ] as const) {
      const { stream, runtime, heads, bytes } = recorder()
      await transport.streaming(runtime)(event, stream, longTime)
      expect([heads, JSON.parse(bytes().toString())]).toMatchObject([[], result])
    }
  })
})

describe('an invocation', () => {
  it('says that its time is over before the platform ends it, and tells whoever works on', async () => {
    const short: LambdaContext = { getRemainingTimeInMillis: () => 120 }
    const signals: AbortSignal[] = []
    const forever = async (request: HttpRequest): Promise<HttpResponse> => {
      signals.push(request.signal)
      return await new Promise(() => undefined)
    }
    const { transport, exchanges } = transportOf(forever, { runJobs: async () => new Promise(() => undefined) })
    expect(await transport.buffered(eventOf('url'), short)).toMatchObject({ statusCode: 503 })
    const { stream, runtime, heads } = recorder()
    await transport.streaming(runtime)(eventOf('url'), stream, short)
    expect(heads).toMatchObject([{ statusCode: 503 }])
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true])
    expect(exchanges.map(({ sent }) => sent.status)).toEqual([503, 503])
    await expect(transport.buffered({ job: 'all' }, short)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('breaks a streamed answer off when its time is over in the middle', async () => {
    const body = (async function* () {
      yield Buffer.from('abc')
      await new Promise(() => undefined)
    })()
    const { transport } = transportOf({ status: 200, headers: [], body })
    const { stream, runtime, bytes } = recorder()
    const context = { getRemainingTimeInMillis: () => 150 }
    await expect(transport.streaming(runtime)(eventOf('url'), stream, context)).rejects.toMatchObject({
      kind: 'unavailable',
    })
    expect(bytes().toString()).toBe('abc')
  })

  it('ends a stream of events in time, and gives none where answers are whole', async () => {
    const events = (): AsyncIterable<Uint8Array> =>
      (async function* () {
        yield Buffer.from('data: 1\n\n')
        await new Promise(() => undefined)
      })()
    const { transport, exchanges } = transportOf(async () => ({
      status: 200,
      headers: [['Content-Type', 'text/event-stream']],
      body: events(),
    }))
    const { stream, runtime, bytes } = recorder()
    await transport.streaming(runtime)(eventOf('url'), stream, { getRemainingTimeInMillis: () => 150 })
    expect([stream.writableEnded, bytes().toString()]).toEqual([true, 'data: 1\n\n'])
    expect(exchanges[0]?.sent.error).toBeUndefined()
    expect(await transport.buffered(eventOf('url'), longTime)).toMatchObject({ statusCode: 501 })
  })

  it('settles what waits, however it ends', async () => {
    let settled = 0
    const settle = async (): Promise<void> => void (settled += 1)
    const { transport } = transportOf(typed('text/plain', 'x'), { settle })
    await transport.buffered(eventOf('url'), longTime)
    await expect(transport.buffered({}, longTime)).rejects.toThrow(/Function URL/)
    expect(settled).toBe(2)
  })

  it('passes on what a job has done, and what went wrong with it', async () => {
    const runJobs = async (name: string): Promise<unknown> => {
      if (name === 'broken') throw new Failure('unavailable', 'The catalog is gone.')
      return [{ name, removed: 1 }]
    }
    const { transport } = transportOf(typed('text/plain', 'x'), { runJobs })
    expect(await transport.buffered({ job: 'sweep' }, longTime)).toEqual({ jobs: [{ name: 'sweep', removed: 1 }] })
    await expect(transport.buffered({ job: 'broken' }, longTime)).rejects.toThrow('The catalog is gone.')
    const without = transportOf(typed('text/plain', 'x'))
    await expect(without.transport.buffered({ job: 'sweep' }, longTime)).rejects.toMatchObject({ kind: 'unsupported' })
  })

  it('answers 500 where a gateway throws, which none does', async () => {
    const { buffered } = transportOf(async () => Promise.reject(new Error('never')))
    expect(await buffered()).toMatchObject({ statusCode: 500, body: '' })
  })
})
