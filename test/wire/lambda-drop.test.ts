import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { IncomingHttpHeaders, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
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

async function ask(
  { url }: Lambda,
  { method = 'POST', headers = {}, body = '' }: Asked,
): Promise<readonly [number | undefined, string]> {
  return await new Promise((resolve, reject) => {
    const sent = request({ port: new URL(url).port, path: '/v1/drop', method, headers })
    sent.on('response', (answer) => {
      void buffer(answer).then((bytes) => resolve([answer.statusCode, bytes.toString()]))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

describe('the contract of s3-dropbox on Lambda', () => {
  it('is kept in its order, its statuses and its words', async () => {
    const lambda = await drop()
    const { authorization } = sound
    const cdn = { 'x-cdn-auth': sound['x-cdn-auth'] }
    const length = { 'content-length': '3' }
    const table: readonly (readonly [string, Asked, number, string])[] = [
      ['no CDN header', { method: 'GET', headers: { authorization } }, 401, 'The X-Cdn-Auth header must be present'],
      [
        'not Bearer',
        { headers: { ...sound, 'x-cdn-auth': 'bearer cdn' } },
        401,
        'The X-Cdn-Auth header must start with "Bearer "',
      ],
      [
        'wrong CDN token',
        { headers: { ...sound, 'x-cdn-auth': 'Bearer client' } },
        401,
        'The Bearer token in X-Cdn-Auth is not correct',
      ],
      ['no authorization', { method: 'GET', headers: cdn }, 401, 'The authorization header must be present'],
      [
        'not Bearer either',
        { headers: { ...cdn, authorization: 'Basic a' } },
        401,
        'The authorization header must start with "Bearer "',
      ],
      [
        'wrong token',
        { headers: { ...cdn, authorization: 'Bearer cdn' } },
        401,
        'The Bearer token in authorization is not correct',
      ],
      ['another method', { method: 'GET', headers: sound }, 405, 'Only POST is supported'],
      ['a method of WebDAV', { method: 'PROPFIND', headers: sound }, 405, 'Only POST is supported'],
      ['sound', { headers: { ...sound, ...length }, body: 'abc' }, 202, ''],
      ['at the limit', { headers: { ...sound, 'content-length': '10240' }, body: 'x'.repeat(10_240) }, 202, ''],
      [
        'above it',
        { headers: { ...sound, 'content-length': '10241' }, body: 'x'.repeat(10_241) },
        413,
        'The request body must be less 10240 bytes',
      ],
      ['empty', { headers: { ...sound, 'content-length': '0' } }, 202, ''],
    ]
    for (const [what, asked, status, text] of table)
      expect([what, ...(await ask(lambda, asked))]).toEqual([what, status, text])
    expect(taken.map(({ body }) => body.length)).toEqual([3, 10_240, 0])
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
      const [answered, text] = await ask(lambda, { headers: { ...sound, 'content-length': '3' }, body: 'abc' })
      expect([bad, answered, /drops|127\.0\.0\.1/.test(text)]).toEqual([bad, 503, false])
    }
  })

  it.each(['alb', 'alb-single'] as const)('holds behind a load balancer (%s), and streamed', async (front) => {
    const headers = { ...sound, 'content-length': '3' }
    for (const lambda of [await drop({ front }), await drop({ streams: true, handler: 'index.streaming' })]) {
      expect(await ask(lambda, { headers, body: 'abc' })).toEqual([202, ''])
      expect((await ask(lambda, { headers: { ...headers, authorization: 'Bearer x' }, body: 'abc' }))[0]).toBe(401)
    }
  })

  it('takes drops after it has stood still for longer than the bucket keeps connections', async () => {
    const lambda = await drop()
    for (let count = 1; count <= 3; count += 1) {
      expect((await ask(lambda, { headers: { ...sound, 'content-length': '3' }, body: 'abc' }))[0]).toBe(202)
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
