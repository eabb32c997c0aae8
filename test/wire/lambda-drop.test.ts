import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { IncomingHttpHeaders, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { contractCases, contractVariables, expectedOf, headersOf } from '../drop-contract.js'
import { unpackBundle } from '../lambda/bundle.js'
import { startLambda } from '../lambda/emulator.js'
import type { Lambda, LambdaOptions } from '../lambda/emulator.js'

const root = unpackBundle('drop')
const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64')

/** One object as the bucket has taken it. */
interface Taken {
  readonly path: string
  readonly body: string
  readonly headers: IncomingHttpHeaders
}

/** A bucket that takes what is put, unless it is told to answer something else, and forgets connections soon. */
let bucket: Server
let taken: Taken[] = []
let status = 200
const started: Lambda[] = []

beforeAll(async () => {
  bucket = createServer((incoming, outgoing) => {
    void buffer(incoming).then((body) => {
      if (status === 200) taken.push({ path: incoming.url ?? '', body: body.toString(), headers: incoming.headers })
      outgoing.writeHead(incoming.method === 'PUT' ? status : 405, { ETag: '"0"' }).end()
    })
  })
  bucket.keepAliveTimeout = 50
  await new Promise<void>((resolve) => bucket.listen(0, '127.0.0.1', resolve))
})

beforeEach(() => {
  taken = []
  status = 200
})

afterEach(async () => {
  for (const lambda of started.splice(0)) await lambda.close()
})

afterAll(() => {
  bucket.close()
  rmSync(root, { recursive: true })
})

async function drop(
  options: Partial<LambdaOptions> = {},
  variables: Readonly<Record<string, string | undefined>> = {},
): Promise<Lambda> {
  const all: Readonly<Record<string, string | undefined>> = {
    BUCKET: 'drops',
    AUTH_TOKEN: hashOf('client'),
    CDN_TOKEN: hashOf('cdn'),
    CDN_TOKEN_HTTP_HEADER_NAME: 'X-Cdn-Auth',
    S3_ENDPOINT_URL: `http://127.0.0.1:${(bucket.address() as AddressInfo).port}`,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    ...variables,
  }
  const set = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
  const lambda = await startLambda({ root, ...options, variables: Object.fromEntries(set) })
  started.push(lambda)
  return lambda
}

const sound = { 'x-cdn-auth': 'Bearer cdn', authorization: 'Bearer client' }

interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

interface Answered {
  readonly status: number | undefined
  readonly text: string
  readonly contentType: string | undefined
}

async function ask({ url }: Lambda, { method = 'POST', headers = {}, body = '' }: Asked): Promise<Answered> {
  return await new Promise((resolve, reject) => {
    const sent = request({ port: new URL(url).port, path: '/v1/drop', method, headers })
    sent.on('response', (answer) => {
      const { statusCode, headers } = answer
      void buffer(answer).then((bytes) =>
        resolve({ status: statusCode, text: bytes.toString(), contentType: headers['content-type'] }),
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

describe('the contract of s3-dropbox on Lambda', () => {
  it.each([
    ['buffered', {}],
    ['streamed', { streams: true, handler: 'index.streaming' }],
    ['behind a load balancer', { front: 'alb' }],
  ] as const)('is kept in its order, its statuses and its words (%s)', async (_, options) => {
    const lambda = await drop(options, contractVariables)
    for (const one of contractCases) {
      const before = taken.length
      const headers = one.chunked
        ? { 'transfer-encoding': 'chunked' }
        : { 'content-length': String(one.body?.length ?? 0) }
      const { method = 'POST', body = '' } = one
      const answer = await ask(lambda, { method, headers: { ...headersOf(one), ...headers }, body })
      expect({ title: one.title, ...answer }).toEqual({ title: one.title, ...expectedOf(one) })
      expect(taken.length - before).toBe(one.status === 202 ? 1 : 0)
    }
    for (const { path, headers } of taken) {
      expect(decodeURIComponent(path)).toMatch(/^\/drops\/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}-[0-9a-f-]{36}$/)
      expect(headers['if-none-match']).toBe('*')
    }
  })

  it('counts real bytes, whatever is said of them, and whether they are text or not', async () => {
    const lambda = await drop({ freezes: false })
    const event = (length: string | undefined, body: string, isBase64Encoded: boolean): unknown => ({
      version: '2.0',
      rawPath: '/',
      rawQueryString: '',
      headers: { ...sound, ...(length !== undefined && { 'content-length': length }) },
      requestContext: { http: { method: 'POST', sourceIp: '192.0.2.7' } },
      body,
      isBase64Encoded,
    })
    const statusOf = async (...given: Parameters<typeof event>): Promise<unknown> => {
      const outcome = await lambda.invoke(event(...given))
      return outcome.kind === 'result' ? (JSON.parse(outcome.text) as { statusCode: unknown }).statusCode : outcome
    }
    expect(await statusOf('3', 'x'.repeat(50_000), false)).toBe(413)
    expect(await statusOf('3', Buffer.alloc(10_241).toString('base64'), true)).toBe(413)
    expect(await statusOf('10', Buffer.alloc(10_240).toString('base64'), true)).toBe(202)
    expect(await statusOf(undefined, 'abc', false)).toBe(411)
    expect(await statusOf('three', 'abc', false)).toBe(400)
    expect(await statusOf('3', 'YWJ', true)).toBe(400)
    expect(taken).toHaveLength(1)
  })

  it('is 503 while the bucket does not take anything, and nobody is told why', async () => {
    const lambda = await drop()
    for (const bad of [403, 404, 500, 503]) {
      status = bad
      const { status: answered, text } = await ask(lambda, {
        headers: { ...sound, 'content-length': '3' },
        body: 'abc',
      })
      expect([bad, answered, /drops|127\.0\.0\.1/.test(text)]).toEqual([bad, 503, false])
    }
  })

  it.each(['alb', 'alb-single'] as const)('holds behind a load balancer (%s), and streamed', async (front) => {
    const headers = { ...sound, 'content-length': '3' }
    for (const lambda of [await drop({ front }), await drop({ streams: true, handler: 'index.streaming' })]) {
      expect(await ask(lambda, { headers, body: 'abc' })).toMatchObject({ status: 202, text: '' })
      expect((await ask(lambda, { headers: { ...headers, authorization: 'Bearer x' }, body: 'abc' })).status).toBe(401)
    }
  })

  it('takes drops after it has stood still for longer than the bucket keeps connections', async () => {
    const lambda = await drop()
    for (let count = 1; count <= 3; count += 1) {
      expect((await ask(lambda, { headers: { ...sound, 'content-length': '3' }, body: 'abc' })).status).toBe(202)
      expect(taken).toHaveLength(count)
      // The bucket has let go of the connection when this is over, and the function, which stands still, knows nothing of it.
      await expect.poll(() => connectionsOf(bucket)).toBe(0)
    }
    expect(lambda.coldStarts).toBe(1)
  })

  it('does not start half configured', async () => {
    for (const missing of ['CDN_TOKEN', 'CDN_TOKEN_HTTP_HEADER_NAME']) {
      const lambda = await drop({}, { [missing]: undefined })
      expect(await lambda.invoke({})).toMatchObject({
        kind: 'error',
        error: { errorMessage: expect.stringMatching(/CDN_TOKEN/) as string },
      })
    }
  })
})

async function connectionsOf(server: Server): Promise<number> {
  return await new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
}
