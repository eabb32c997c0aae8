import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  clientToken,
  contractCases,
  contractVariables,
  dropKey,
  expectedOf,
  headersOf,
  serverToken,
} from '../drop-contract.js'
import type { ContractCase } from '../drop-contract.js'
import { startServer } from '../harness.js'
import type { Server } from '../harness.js'
import type { Answer } from '../raw-http.js'

const sensor = 'token-of-the-sensor'
const renewed = 'the-next-token-of-the-sensor'
const config = `
drops:
  - { path: /v1/drop, to: /inbox }
  - path: /v1/readings
    to: /readings
    cdn: off
    limit: 1M
    name: "{date}/{token}-{time}-{uuid}"
    tokens:
      - { name: sensor, sha256: ["${serverToken(sensor)}", "${serverToken(renewed)}"], to: /cellar, limit: 20, types: [application/json] }
      - { name: other, sha256: "${serverToken('other')}" }
  - { path: /v1/open, to: /open, public: true, cdn: off, limit: 5 }
  - path: /v1/page
    to: /page
    page: true
    name: "{name}-{uuid}"
    types: [image/*]
    tokens: [{ name: phone, sha256: "${serverToken('of the phone')}", limit: 1M }]
`

let server: Server

beforeAll(async () => {
  server = await startServer({ config, env: contractVariables })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

function ask(path: string, one: Partial<ContractCase>): Promise<Answer> {
  const { method = 'POST', body, chunked } = one
  const given = chunked === true ? { chunks: [body ?? ''] } : body === undefined ? {} : { body }
  return server.request(method, path, { as: null, headers: headersOf(one), ...given })
}

function bearer(token: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { authorization: `Bearer ${token}`, ...more }
}

async function dropped(folder: string): Promise<readonly string[]> {
  return await readdir(join(server.root, folder)).catch(() => [])
}

describe('the contract of s3-dropbox, on a server', () => {
  it.each(contractCases)('$status: $title', async (one) => {
    const before = await dropped('inbox')
    const answer = await ask('/v1/drop', one)
    expect({ status: answer.status, text: answer.text, contentType: answer.headers.get('content-type')?.[0] }).toEqual(
      expectedOf(one),
    )
    for (const name of ['www-authenticate', 'allow', 'dav']) expect(answer.headers.has(name)).toBe(false)
    const after = await dropped('inbox')
    expect(after.length - before.length).toBe(one.status === 202 ? 1 : 0)
    for (const name of after) expect(name).toMatch(dropKey)
  })

  it('keeps the bytes as they came', async () => {
    const body = 'a drop with ü'
    const answer = await server.request('POST', '/v1/drop?x=1', {
      as: null,
      headers: headersOf({ headers: { accept: 'application/json', 'content-type': 'text/plain' } }),
      body,
    })
    expect(answer.status).toBe(202)
    const receipt = JSON.parse(answer.text) as Record<string, unknown>
    const sha256 = createHash('sha256').update(body).digest('hex')
    expect(receipt).toMatchObject({ size: 14, sha256, type: 'text/plain' })
    expect(await readFile(join(server.root, String(receipt['key'])), 'utf8')).toBe(body)
  })
})

describe('the token of a drop', () => {
  it('does nothing anywhere else', async () => {
    const { key } = JSON.parse(
      (
        await server.request('POST', '/v1/readings', {
          as: null,
          headers: bearer(sensor, { accept: 'application/json', 'content-type': 'application/json' }),
          body: '{}',
        })
      ).text,
    ) as { key: string }
    expect(key).toMatch(/^readings\/cellar\/\d{4}-\d\d-\d\d\/sensor-\d{4}-/)
    for (const token of [sensor, renewed, clientToken])
      for (const [method, target] of [
        ['GET', `/${key}`],
        ['PUT', `/${key}`],
        ['DELETE', `/${key}`],
        ['PROPFIND', '/readings/'],
        ['GET', '/readings/?list-type=2'],
        ['PUT', '/readings/cellar/mine'],
        ['POST', '/-/uploads'],
      ] as const) {
        const answer = await server.request(method, target, {
          as: null,
          headers: { ...headersOf({}), ...bearer(token) },
          body: method === 'GET' || method === 'PROPFIND' ? '' : '{"path":"/readings/cellar/x","size":1}',
        })
        expect([method, target, answer.status]).toEqual([method, target, token === clientToken ? 403 : 401])
      }
    // Nor is it known at the next drop.
    expect((await ask('/v1/drop', { headers: bearer(sensor), body: 'a' })).status).toBe(401)
  })

  it('has its own limit, types and folder, and two while one is replaced', async () => {
    const json = { 'content-type': 'application/json; charset=utf-8' }
    const post = async (token: string, body: string, headers: Readonly<Record<string, string>>): Promise<number> =>
      (await server.request('POST', '/v1/readings', { as: null, headers: bearer(token, headers), body })).status
    expect(await post(sensor, 'x'.repeat(21), json)).toBe(413)
    expect(await post(sensor, 'x'.repeat(20), json)).toBe(202)
    expect(await post(renewed, 'x', json)).toBe(202)
    expect(await post(sensor, 'x', { 'content-type': 'text/plain' })).toBe(415)
    expect(await post(sensor, 'x', {})).toBe(415)
    expect(await post('other', 'x'.repeat(21), {})).toBe(202)
    expect(await post('another', 'x', {})).toBe(401)
  })
})

describe('an idempotency key', () => {
  it('makes one drop of many tries, each sender having its own', async () => {
    const headers = { 'idempotency-key': 'reading-1', accept: 'application/json' }
    const post = (token: string): Promise<Answer> =>
      server.request('POST', '/v1/readings', {
        as: null,
        headers: bearer(token, { ...headers, 'content-type': 'application/json' }),
        body: 'abc',
      })
    const [first, again, other] = [await post(sensor), await post(renewed), await post('other')]
    expect([first.status, again.status, other.status]).toEqual([202, 202, 202])
    expect([first.header('idempotency-replayed'), again.header('idempotency-replayed')]).toEqual(['', 'true'])
    const keyOf = (answer: Answer): unknown => (JSON.parse(answer.text) as { key: string }).key
    expect(keyOf(again)).toBe(keyOf(first))
    expect(keyOf(other)).not.toBe(keyOf(first))
    expect(other.header('idempotency-replayed')).toBe('')
  })

  it('is refused where it is none', async () => {
    for (const key of ['', 'a b', 'x'.repeat(256)])
      expect((await ask('/v1/drop', { headers: { 'idempotency-key': key }, body: 'a' })).status).toBe(400)
  })
})

describe('other callers', () => {
  it('drop where their grants let them create', async () => {
    const may = await server.addUser('may', 'create:/inbox/**')
    const reader = await server.addUser('reader', 'r:/**')
    const post = async (as: readonly [string, string] | null): Promise<number> =>
      (await server.request('POST', '/v1/readings', { as, body: 'abc' })).status
    expect(await post(reader)).toBe(403)
    expect(await post(may)).toBe(403)
    expect(await post(['may', 'wrong'])).toBe(401)
    expect(await post(null)).toBe(401)
    expect(await post(['admin', server.adminPassword])).toBe(202)
    const headers = { 'x-cdn-token': headersOf({})['x-cdn-token'] ?? '' }
    expect((await server.request('POST', '/v1/drop', { as: may, headers, body: 'abc' })).status).toBe(202)
  })

  it('may be everybody', async () => {
    expect((await server.request('POST', '/v1/open', { as: null, body: 'abcde' })).status).toBe(202)
    expect((await server.request('POST', '/v1/open', { as: null, body: 'abcdef' })).status).toBe(413)
    expect((await server.request('GET', '/v1/open', { as: null })).status).toBe(405)
    // Strangers could take each other's keys.
    const headers = { 'idempotency-key': 'order-1' }
    expect((await server.request('POST', '/v1/open', { as: null, headers, body: 'a' })).status).toBe(400)
    // Not whoever says to be somebody else.
    expect((await server.request('POST', '/v1/open', { as: ['nobody', 'x'], body: 'a' })).status).toBe(401)
  })
})

it('a length that is none is refused, and none stores more than the limit', async () => {
  const connection = await server.connect()
  try {
    const head = Object.entries(headersOf({})).map(([name, value]) => `${name}: ${value}`)
    await connection.send(
      ['POST /v1/drop HTTP/1.1', 'Host: x', ...head, 'Content-Length: 3', '', 'abcdef'].join('\r\n'),
    )
    expect((await connection.answer({ method: 'POST' })).status).toBe(202)
  } finally {
    connection.destroy()
  }
  const names = await dropped('inbox')
  const bodies = await Promise.all(names.map((name) => readFile(join(server.root, 'inbox', name), 'utf8')))
  expect(bodies).toContain('abc')
  expect(bodies).not.toContain('abcdef')
})

it('a client token alone, without the CDN, is refused at the start', async () => {
  const env = { AUTH_TOKEN: contractVariables.AUTH_TOKEN }
  const drops = 'drops: [{ path: /v1/drop, to: /inbox }]\n'
  await expect(startServer({ config: drops, env })).rejects.toThrow(/POSTERN_CDN=off/)
  await using open = await startServer({ config: drops, env: { ...env, POSTERN_CDN: 'off' } })
  const answer = await open.request('POST', '/v1/drop', { as: null, headers: bearer(clientToken), body: 'a' })
  expect(answer.status).toBe(202)
})

it('a listener for drops has nothing else, and asks nobody to log in', async () => {
  const listen = 'listen: [{ at: "127.0.0.1:0", surfaces: [drop] }]\n'
  await using only = await startServer({ config: listen + config, env: contractVariables, listensAsConfigured: true })
  for (const [method, target] of [
    ['GET', '/'],
    ['PROPFIND', '/'],
    ['PUT', '/a'],
    ['POST', '/v1/drops'],
    ['GET', '/inbox?list-type=2'],
  ] as const) {
    const answer = await only.request(method, target)
    expect([method, target, answer.status, answer.text]).toEqual([method, target, 404, 'There is no drop here.'])
  }
  expect((await only.request('POST', '/v1/open', { as: null, body: 'a' })).status).toBe(202)
})

describe('the upload page of a drop', () => {
  const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
  const cdn = { 'x-cdn-token': headersOf({})['x-cdn-token'] ?? '' }

  it('is shown to browsers only, which come through the CDN', async () => {
    const get = (path: string, headers: Readonly<Record<string, string>>): Promise<Answer> =>
      server.request('GET', path, { as: null, headers })
    expect((await get('/v1/page', html)).text).toBe('The X-CDN-Token header must be present')
    expect((await get('/v1/page', cdn)).text).toBe('The authorization header must be present')
    expect((await get('/v1/drop', { ...cdn, ...html })).status).toBe(401)
    const page = await get('/v1/page', { ...cdn, ...html })
    expect([page.status, page.header('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(page.text).toContain('accept="image/*"')
    expect(page.text).toContain('up to 1 MiB each')
  })

  it('runs its own script and nothing else', async () => {
    const page = await server.request('GET', '/v1/page', { as: null, headers: { ...cdn, ...html } })
    const policy = page.header('content-security-policy')
    const hashed = (tag: string): string =>
      `'sha256-${serverToken(new RegExp(`<${tag}>(.*)</${tag}>`, 's').exec(page.text)?.[1] ?? '')}'`
    expect(policy).toBe(
      `default-src 'none'; script-src ${hashed('script')}; style-src ${hashed('style')}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    )
    expect(page.text).not.toMatch(/ on[a-z]+=|style=|src=|href=|https?:/)
  })

  it('sends files under names that lead nowhere else', async () => {
    const post = async (disposition: string): Promise<string> => {
      const headers = { ...cdn, ...bearer('of the phone'), 'content-type': 'image/png', accept: 'application/json' }
      const all = { ...headers, 'content-disposition': disposition }
      const answer = await server.request('POST', '/v1/page', { as: null, headers: all, body: 'x'.repeat(20_000) })
      return (JSON.parse(answer.text) as { key: string }).key.slice(0, -37)
    }
    expect(await post("attachment; filename*=UTF-8''%C3%BCber%20uns.png")).toBe('page/über_uns.png')
    expect(await post('attachment; filename="../../etc/x.png"')).toBe('page/x.png')
    expect(await post("attachment; filename*=UTF-8''..%2F%2E%2E%2Fy%00.png")).toBe('page/y_.png')
    expect(await post("attachment; filename*=UTF-8''%ff")).toBe('page/unnamed')
  })
})
