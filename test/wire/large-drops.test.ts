import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { serverToken } from '../drop-contract.js'
import { startServer } from '../harness.js'
import type { Server } from '../harness.js'
import type { Answer } from '../raw-http.js'

const token = 'of-a-camera'
let behind: Server
let server: Server

/** A server with drops whose files lie in the S3 surface of another, which verifies checksums as Amazon's does. */
beforeAll(async () => {
  behind = await startServer()
  const made = await behind.cli(['s3-key', 'issue', 'behind', '--grant', 'rw:/**', '--json'])
  const key = JSON.parse(made.stdout) as { accessKeyId: string; secretAccessKey: string }
  await behind.request('MKCOL', '/bucket')
  const query = new URLSearchParams({
    endpoint: behind.url,
    region: 'us-east-1',
    access_key_id: key.accessKeyId,
    secret_access_key: key.secretAccessKey,
  })
  const drop = { to: '/in', large: '1M', limit: 10, tokens: [{ name: 'camera', sha256: serverToken(token) }] }
  server = await startServer({
    mounts: true,
    config: JSON.stringify({
      mounts: [{ path: '/', s3: `s3://bucket/?${query.toString()}` }],
      drops: [
        { ...drop, path: '/films', types: ['video/*'], name: '{name}-{uuid}' },
        { ...drop, path: '/open', public: true },
        { path: '/small', to: '/in', tokens: [{ name: 'camera', sha256: serverToken(token.toUpperCase()) }] },
      ],
    }),
  })
}, 60_000)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await behind[Symbol.asyncDispose]()
})

const film = Buffer.alloc(300_000, 'film')
const sha256 = createHash('sha256').update(film).digest('hex')
const promise = { size: film.length, sha256, type: 'video/mp4' }

interface Place {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly key: string
  readonly expires: string
}

function ask(body: unknown, path = '/films?large', headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const all = { authorization: `Bearer ${token}`, ...headers }
  return server.request('POST', path, {
    as: null,
    headers: all,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

async function placeFor(body: unknown): Promise<Place> {
  const answer = await ask(body, '/films?large', { 'content-disposition': 'attachment; filename="a.mp4"' })
  expect([answer.status, answer.header('cache-control')]).toEqual([201, 'no-store'])
  return JSON.parse(answer.text) as Place
}

function without(headers: Place['headers'], left: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== left))
}

async function put({ url, headers }: Pick<Place, 'url' | 'headers'>, body: Uint8Array): Promise<number> {
  const others = without(headers, 'content-length')
  return (await fetch(url, { method: 'PUT', headers: others, body: Buffer.from(body) })).status
}

it('a place is for what was promised, once, and for nothing else', async () => {
  const place = await placeFor(promise)
  expect(place.method).toBe('PUT')
  expect(place.key).toMatch(/^in\/a\.mp4-[0-9a-f-]{36}$/)
  const { headers } = place
  expect(headers).toMatchObject({ 'if-none-match': '*', 'content-length': '300000', 'content-type': 'video/mp4' })
  const stored = (): Promise<readonly string[]> => readdir(join(behind.root, 'bucket', 'in')).catch(() => [])
  for (const other of [film.subarray(1), Buffer.alloc(film.length), Buffer.concat([film, film])])
    expect(await put(place, other)).toBeGreaterThanOrEqual(400)
  for (const name of ['if-none-match', 'x-amz-checksum-sha256', 'content-type'])
    expect(await put({ ...place, headers: { ...headers, [name]: 'x' } }, film)).toBeGreaterThanOrEqual(400)
  for (const name of ['if-none-match', 'x-amz-checksum-sha256']) {
    expect(await put({ ...place, headers: without(headers, name) }, film)).toBe(403)
  }
  expect(await put({ ...place, url: place.url.replace('a.mp4', 'b.mp4') }, film)).toBe(403)
  expect((await fetch(place.url)).status).toBe(403)
  expect(await stored()).toEqual([])
  expect(await put(place, film)).toBe(200)
  expect(await put(place, film)).toBe(412)
  expect(await stored()).toHaveLength(1)
  expect(film.equals(await readFile(join(behind.root, 'bucket', place.key)))).toBe(true)
})

it('what is promised has bounds', async () => {
  for (const [body, status] of [
    [{ ...promise, size: 2 ** 20 }, 201],
    [{ ...promise, size: 2 ** 20 + 1 }, 413],
    [{ ...promise, size: -1 }, 400],
    [{ ...promise, size: 1.5 }, 400],
    [{ ...promise, size: '5' }, 400],
    [{ ...promise, sha256: 'abc' }, 400],
    [{ ...promise, sha256: undefined }, 400],
    [{ ...promise, type: 'text/html' }, 415],
    [{ ...promise, type: 'video/mp4\r\nx: y' }, 415],
    [{ ...promise, type: 7 }, 400],
    [[promise], 400],
    ['null', 400],
    ['{', 400],
    [{ ...promise, more: 'x'.repeat(4096) }, 413],
  ] as const)
    expect([body, (await ask(body)).status]).toEqual([body, status])
})

it('is for those who show a token of a drop that has large files', async () => {
  const silent = await server.request('POST', '/films?large', { as: null, body: JSON.stringify(promise) })
  expect(silent.status).toBe(401)
  // Whoever is nobody, and drops without large files, send a small one, as any query does.
  const small = (await server.request('POST', '/open?large', { as: null, body: '{"size":1}' })).status
  expect(small).toBe(202)
  expect((await server.request('POST', '/open?large', { as: null, body: JSON.stringify(promise) })).status).toBe(413)
  expect((await ask('{"size":1}', '/small?large', { authorization: `Bearer ${token.toUpperCase()}` })).status).toBe(202)
})

it('a store that has no URLs says so by not taking it', async () => {
  const config = `drops: [{ path: /films, to: /in, large: 1M, tokens: [{ name: camera, sha256: "${serverToken(token)}" }] }]\n`
  await using local = await startServer({ config })
  const headers = { authorization: `Bearer ${token}` }
  const answer = await local.request('POST', '/films?large', { as: null, headers, body: JSON.stringify(promise) })
  expect(answer.status).toBe(503)
})
