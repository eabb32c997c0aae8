import * as crypto from 'node:crypto'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startDynamodb } from '../dynalite-server.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { unpackBundle } from '../lambda/bundle.js'
import { startLambda } from '../lambda/emulator.js'
import type { Lambda, LambdaOptions } from '../lambda/emulator.js'
import { cleanUp, temporaryFolder } from '../serving.js'

const root = unpackBundle('postern')
const started: Lambda[] = []
let dynamodb: LocalDynamodb
let files = ''

beforeAll(async () => {
  dynamodb = await startDynamodb()
  await dynamodb.prepare('postern')
})

afterAll(async () => {
  await dynamodb.stop()
  rmSync(root, { recursive: true })
})

afterEach(async () => {
  for (const lambda of started.splice(0)) await lambda.close()
  await cleanUp()
})

/** The bundle over a folder, as a file system of EFS would be one; `admin` may do everything. */
async function gateway(
  options: Partial<LambdaOptions> = {},
  variables: Readonly<Record<string, string | undefined>> = {},
): Promise<Lambda> {
  files = temporaryFolder()
  const all: Readonly<Record<string, string | undefined>> = {
    POSTERN_MOUNTS: JSON.stringify([{ path: '/', local: files }]),
    POSTERN_CATALOG: JSON.stringify({
      dynamodb: { table: 'postern', region: 'eu-west-1', endpoint: dynamodb.endpoint },
    }),
    POSTERN_SECRET: '{ env: FILES_SECRET }',
    FILES_SECRET: randomBytes(32).toString('hex'),
    POSTERN_IDENTITY: JSON.stringify([{ tokens: [{ name: 'ci', sha256: hashOfToken, grants: ['rw:/**'] }] }]),
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    ...variables,
  }
  const set = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
  const lambda = await startLambda({ root, ...options, variables: Object.fromEntries(set) })
  started.push(lambda)
  return lambda
}

const token = 'a-token-of-the-build-that-nobody-guesses'
const hashOfToken = 'nGx+BEIFFBfq4cXXXgC5U0TUPXLNHmcka+CxNPTH34Y='
const known = { authorization: `Bearer ${token}` }

for (const streams of [false, true])
  describe(streams ? 'a function that streams' : 'a function that buffers', () => {
    const mode = { streams, handler: streams ? 'index.streaming' : 'index.handler' }

    it('takes files and gives them back, whatever they hold', async () => {
      const { url, outcomes, lines } = await gateway(mode)
      const bytes = randomBytes(300_000)
      const put = await fetch(`${url}/a%20b/c.bin`, { method: 'PUT', headers: known, body: bytes })
      expect([put.status, outcomes, lines.slice(-3)]).toMatchObject([201, {}, {}])
      expect(readFileSync(join(files, 'a b', 'c.bin')).equals(bytes)).toBe(true)
      const got = await fetch(`${url}/a%20b/c.bin`, { headers: known })
      expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true)
      const head = await fetch(`${url}/a%20b/c.bin`, { method: 'HEAD', headers: known })
      expect([head.status, head.headers.get('etag')]).toEqual([200, got.headers.get('etag')])
      const part = await fetch(`${url}/a%20b/c.bin`, { headers: { ...known, range: 'bytes=1-3' } })
      expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, bytes.subarray(1, 4)])
      const kept = { ...known, 'if-none-match': got.headers.get('etag') ?? '' }
      expect((await fetch(`${url}/a%20b/c.bin`, { headers: kept })).status).toBe(304)
    })

    it('refuses whom it does not know, and speaks no WebDAV to anybody', async () => {
      const { url } = await gateway(mode)
      const stranger = await fetch(`${url}/a`)
      expect([stranger.status, stranger.headers.get('www-authenticate')]).toEqual([
        401,
        expect.stringMatching(/Bearer/),
      ])
      const wrong = await fetch(`${url}/a`, { method: 'PUT', headers: { authorization: 'Bearer x' }, body: 'x' })
      expect([wrong.status, existsSync(join(files, 'a'))]).toEqual([401, false])
      for (const headers of [{}, known]) {
        const found = await fetch(`${url}/`, { method: 'PROPFIND', headers })
        expect([found.status, found.headers.get('allow'), found.headers.get('dav')]).toEqual([
          405,
          'GET, HEAD, PUT, DELETE, PATCH, OPTIONS',
          null,
        ])
      }
      const options = await fetch(`${url}/`, { method: 'OPTIONS', headers: known })
      expect([options.status, options.headers.get('dav')]).toEqual([200, null])
    })

    it('says that an answer is too large where it has no way to give it', async () => {
      const { url } = await gateway({ ...mode, streamBytes: 20_000_000 })
      const put = await gatewayFile(files, 7_000_000)
      const got = await fetch(`${url}/large.bin`, { headers: known })
      if (streams) expect(Buffer.from(await got.arrayBuffer()).equals(put)).toBe(true)
      else expect([got.status, await got.text()]).toEqual([501, expect.stringMatching(/range of it/)])
    })
  })

/** Puts a file where the function finds it. */
async function gatewayFile(folder: string, size: number): Promise<Buffer> {
  const { writeFile } = await import('node:fs/promises')
  const bytes = randomBytes(size)
  await writeFile(join(folder, 'large.bin'), bytes)
  return bytes
}

describe('a function behind a load balancer', () => {
  it.each(['alb', 'alb-single'] as const)('takes and gives files (%s)', async (front) => {
    const { url } = await gateway({ front })
    const bytes = randomBytes(500_000)
    expect((await fetch(`${url}/x%25y`, { method: 'PUT', headers: known, body: bytes })).status).toBe(201)
    expect(readFileSync(join(files, 'x%y')).equals(bytes)).toBe(true)
    const got = await fetch(`${url}/x%25y`, { headers: known })
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true)
  })
})

describe('a function', () => {
  it('streams what is larger than its memory should be, and stays small', async () => {
    const lambda = await gateway({ streams: true, handler: 'index.streaming' })
    const size = 190 * 2 ** 20
    truncateSync(openNew(join(files, 'large.bin')), size)
    const got = await fetch(`${lambda.url}/large.bin`, { headers: known })
    let bytes = 0
    await got.body?.pipeTo(new WritableStream<Uint8Array>({ write: (chunk) => void (bytes += chunk.length) }))
    expect(bytes).toBe(size)
    expect(mostMemory(lambda.pids()[0] ?? 0)).toBeLessThan(160 * 2 ** 20)
  })

  it('breaks off what is longer than can be streamed, and says so beforehand where that is known', async () => {
    const { url } = await gateway({ streams: true, handler: 'index.streaming' })
    truncateSync(openNew(join(files, 'large.bin')), 200 * 2 ** 20 + 1)
    expect((await fetch(`${url}/large.bin`, { headers: known })).status).toBe(501)
    const range = { ...known, range: `bytes=${200 * 2 ** 20}-` }
    expect((await fetch(`${url}/large.bin`, { headers: range })).status).toBe(206)
  })

  it('takes no request for another, whatever its headers and its path say', async () => {
    const { url } = await gateway()
    // As it is: fetch would tidy the path.
    const put = async (path: string, headers: object = {}): Promise<number | undefined> =>
      await new Promise((resolve, reject) => {
        const sent = request({ port: new URL(url).port, path, method: 'PUT', headers: { ...known, ...headers } })
        sent.on('response', (answer) => resolve(answer.resume().statusCode)).on('error', reject)
        sent.end('x')
      })
    for (const path of ['/a/../../b', '/%2e%2e/b', '/a%00b', '/%zz', '/a%2Fb/../c', '/-/own', '/a?/../b/'])
      expect([path, (await put(path)) ?? 0]).toEqual([path, path.includes('?') ? 201 : expect.toSatisfy(isRefused)])
    expect(await put('/forged', { authorization: 'Bearer wrong', 'x-forwarded-for': '127.0.0.1' })).toBe(401)
    expect(await put('/host', { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' })).toBe(201)
    expect(existsSync(join(files, '..', 'b'))).toBe(false)
    expect(existsSync(join(files, 'forged'))).toBe(false)
  })

  it('writes its log as lines of JSON, all of them before it stands still', async () => {
    const lambda = await gateway()
    await fetch(`${lambda.url}/nothing`, { headers: known })
    await expect.poll(() => lambda.lines.some((line) => line.includes('GET /nothing 404'))).toBe(true)
    for (const line of lambda.lines) expect(() => JSON.parse(line) as unknown).not.toThrow()
  })

  it('says at the start what its configuration lacks', async () => {
    for (const [missing, told] of [
      ['POSTERN_CATALOG', /^catalog: /],
      ['POSTERN_SECRET', /secret/],
      ['POSTERN_MOUNTS', /^mounts: /],
    ] as const) {
      const lambda = await gateway({}, { [missing]: undefined })
      expect(await lambda.invoke({ job: 'all' })).toMatchObject({
        kind: 'error',
        error: { errorMessage: expect.stringMatching(told) as string },
      })
    }
  })

  it('answers 503 while its catalog cannot be reached, and serves when it can', async () => {
    dynamodb.decide(() => 'drop')
    const { url } = await gateway()
    expect((await fetch(`${url}/`, { headers: known })).status).toBe(503)
    dynamodb.decide()
    await expect.poll(async () => (await fetch(`${url}/`, { headers: known })).status).toBe(200)
  })

  it('checks passwords with what Node has built in, and makes the first admin of the one it is given', async () => {
    const lambda = await gateway({}, { POSTERN_IDENTITY: '[catalog]', POSTERN_ADMIN_PASSWORD: 'correct horse' })
    const statusOf = async (password: string): Promise<number> => {
      const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`
      return (await fetch(`${lambda.url}/`, { headers: { authorization } })).status
    }
    const canHash = 'argon2' in crypto
    expect([await statusOf('correct horse'), await statusOf('wrong')]).toEqual(canHash ? [200, 401] : [503, 503])
    if (!canHash) expect(lambda.lines.join('\n')).toMatch(/needs Node 24\.7/)
  })

  it('has drops, which come before everything else', async () => {
    const drops = [{ path: '/inbox', to: '/in', limit: '1M', tokens: [{ name: 'sender', sha256: hashOfToken }] }]
    const lambda = await gateway({}, { POSTERN_DROPS: JSON.stringify(drops) })
    const ask = async (method: string, headers: object, body?: Buffer): Promise<number> =>
      (await fetch(`${lambda.url}/inbox`, { method, headers: { ...headers }, ...(body && { body }) })).status
    const bytes = randomBytes(1_000_000)
    expect(await ask('POST', known, bytes)).toBe(202)
    expect(await ask('POST', { authorization: 'Bearer x' }, bytes)).toBe(401)
    expect(await ask('POST', known, randomBytes(2 ** 20 + 1))).toBe(413)
    expect(await ask('GET', known)).toBe(405)
    const [name = '', ...others] = readdirSync(join(files, 'in')).filter((each) => !each.startsWith('.'))
    expect(others).toEqual([])
    expect(readFileSync(join(files, 'in', name)).equals(bytes)).toBe(true)
  })

  it('runs jobs that are due, or one by its name, and says what they did', async () => {
    const lambda = await gateway()
    const all = await lambda.invoke({ source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} })
    expect(all).toMatchObject({ kind: 'result', text: expect.stringMatching(/"result":"done"/) as string })
    const again = await lambda.invoke({ job: 'all' })
    expect(again).toMatchObject({ kind: 'result', text: expect.not.stringMatching(/"result"/) as string })
    expect(await lambda.invoke({ job: 'uploads' })).toMatchObject({ kind: 'result' })
    expect(await lambda.invoke({ job: 'no-such' })).toMatchObject({
      kind: 'error',
      error: { errorMessage: expect.stringMatching(/There are: /) as string },
    })
  })

  it('knows no other events than it says', async () => {
    const lambda = await gateway()
    expect(await lambda.invoke({ Records: [] })).toMatchObject({
      kind: 'error',
      error: { errorMessage: expect.stringMatching(/Function URL/) as string },
    })
  })

  it('answers as a plain server where the platform says where to listen', async () => {
    const port = await freePort()
    const lambda = await gateway({ freezes: false }, { AWS_LAMBDA_HTTP_ENDPOINT: `127.0.0.1:${port}` })
    void lambda.invoke({})
    await expect.poll(() => statusAt(port), { timeout: 10_000 }).toBe(200)
  })
})

const isRefused = (status: number): boolean => status >= 400 && status < 500

function openNew(path: string): string {
  writeFileSync(path, '')
  return path
}

/** The largest resident size that a process has had, in bytes. */
function mostMemory(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Infinity) * 1024
}

async function freePort(): Promise<number> {
  const { createServer } = await import('node:net')
  return await new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

async function statusAt(port: number): Promise<number | undefined> {
  return await new Promise((resolve) => {
    const sent = request({ port, host: '127.0.0.1', path: '/', headers: known }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    sent.on('error', () => resolve(undefined))
    sent.end()
  })
}
