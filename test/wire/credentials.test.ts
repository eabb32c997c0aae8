import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Finished, Server } from '../harness.js'
import { basic, startServer } from '../harness.js'
import type { KeepAlive } from '../keep-alive.js'
import { connectToEach } from '../keep-alive.js'

type Headers = Readonly<Record<string, string | readonly string[]>>

let server: Server
let each: readonly KeepAlive[]
/** Everything that no log may hold. */
const secrets: string[] = []

beforeAll(async () => {
  server = await startServer({ args: ['--workers', '2', '--durability', 'fast'] })
  each = await connectToEach(server, 2)
  await writeFile(join(server.root, 'file'), 'content')
  key = await json('key', 'issue', 'table', '--grant', 'r:/**')
  token = await json('token', 'create', 'sensor', '--grant', 'r:/**')
  secrets.push(key.secret, token.token)
  expect(await statuses({ 'X-Api-Key': key.id, 'X-Api-Secret': key.secret })).toEqual(all(200))
  expect(await statuses({ Authorization: `Bearer ${token.token}` })).toEqual(all(200))
})

afterAll(async () => {
  for (const connection of each) connection.destroy()
  await server[Symbol.asyncDispose]()
})

/** A good key and a good token, which both workers remember. */
let key: { readonly id: string; readonly secret: string }
let token: { readonly id: string; readonly token: string }

/** What both workers answer, each asked twice: a cached credential has no other right than a new one. */
async function statuses(headers: Headers, path = '/file'): Promise<readonly number[]> {
  const found: number[] = []
  for (const connection of each)
    for (let again = 0; again < 2; again += 1)
      found.push((await connection.request('GET', path, { as: null, headers })).status)
  return found
}

const all = (status: number): readonly number[] => each.flatMap(() => [status, status])

async function command(...args: readonly string[]): Promise<Finished> {
  const done = await server.cli(args)
  expect([args, done.code, done.stderr]).toEqual([args, 0, ''])
  return done
}

async function json<Shape>(...args: readonly string[]): Promise<Shape> {
  return JSON.parse((await command(...args, '--json')).stdout) as Shape
}

async function newKey(...more: readonly string[]): Promise<{ readonly id: string; readonly headers: Headers }> {
  const made = await json<{ id: string; secret: string }>('key', 'issue', 'reports', '--grant', 'r:/**', ...more)
  expect(Object.keys(made)).toEqual(['id', 'secret'])
  secrets.push(made.secret)
  return { id: made.id, headers: { 'X-Api-Key': made.id, 'X-Api-Secret': made.secret } }
}

async function newToken(
  name: string,
  ...more: readonly string[]
): Promise<{ readonly id: string; readonly headers: Headers }> {
  const made = await json<{ id: string; token: string }>('token', 'create', name, '--grant', 'r:/**', ...more)
  secrets.push(made.token)
  return { id: made.id, headers: { Authorization: `Bearer ${made.token}` } }
}

describe('what is not let in, by every worker, cached or not', () => {
  it.each([
    ['a key without its secret', { 'X-Api-Key': 'ID' }],
    ['a secret without its key', { 'X-Api-Secret': 'SECRET' }],
    ['an empty key', { 'X-Api-Key': '', 'X-Api-Secret': '' }],
    ['an empty secret', { 'X-Api-Key': 'ID', 'X-Api-Secret': '' }],
    ['a key twice', { 'X-Api-Key': ['ID', 'ID'], 'X-Api-Secret': 'SECRET' }],
    ['a secret twice', { 'X-Api-Key': 'ID', 'X-Api-Secret': ['SECRET', 'SECRET'] }],
    ['a list of secrets', { 'X-Api-Key': 'ID', 'X-Api-Secret': 'SECRET, SECRET' }],
    ['a key in another case', { 'X-Api-Key': 'lower:ID', 'X-Api-Secret': 'SECRET' }],
    ['a secret in another case', { 'X-Api-Key': 'ID', 'X-Api-Secret': 'lower:SECRET' }],
    ['a key that is not ASCII', { 'X-Api-Key': 'ID\u00e9', 'X-Api-Secret': 'SECRET' }],
    ['a secret that is no UTF-8', { 'X-Api-Key': 'ID', 'X-Api-Secret': 'SECRET\u00ff' }],
    ['a long key', { 'X-Api-Key': 'x'.repeat(20_000), 'X-Api-Secret': 'SECRET' }],
    ['a long secret', { 'X-Api-Key': 'ID', 'X-Api-Secret': 'x'.repeat(20_000) }],
    ['a key as a name and password', { Authorization: 'basic:ID:SECRET' }],
    ['a key as a token', { Authorization: 'Bearer SECRET' }],
    ['a key beside a login', { 'X-Api-Key': 'ID', 'X-Api-Secret': 'SECRET', Authorization: 'basic:admin:ADMIN' }],
    ['a key beside a token', { 'X-Api-Key': 'ID', 'X-Api-Secret': 'SECRET', Authorization: 'Bearer TOKEN' }],
    ['a key beside another scheme', { 'X-Api-Key': 'ID', 'X-Api-Secret': 'SECRET', Authorization: 'Digest x' }],
    ['half a key beside a token', { 'X-Api-Key': 'ID', Authorization: 'Bearer TOKEN' }],
    ['half a key beside a login', { 'X-Api-Secret': 'SECRET', Authorization: 'basic:admin:ADMIN' }],
    ['no token', { Authorization: 'Bearer' }],
    ['an empty token', { Authorization: 'Bearer ' }],
    ['a token twice', { Authorization: ['Bearer TOKEN', 'Bearer TOKEN'] }],
    ['a token and a login', { Authorization: ['Bearer TOKEN', 'basic:admin:ADMIN'] }],
    ['a login and a token', { Authorization: ['basic:admin:ADMIN', 'Bearer TOKEN'] }],
    ['two tokens in one value', { Authorization: 'Bearer TOKEN TOKEN' }],
    ['a list of tokens', { Authorization: 'Bearer TOKEN, Bearer TOKEN' }],
    ['a token in quotes', { Authorization: 'Bearer "TOKEN"' }],
    ['a token in another case', { Authorization: 'Bearer lower:TOKEN' }],
    ['a token with more behind it', { Authorization: 'Bearer TOKENx' }],
    ['a token that is not ASCII', { Authorization: 'Bearer TOKEN\u00e9' }],
    ['a long token', { Authorization: `Bearer ${'x'.repeat(20_000)}` }],
    ['the token of another scheme', { Authorization: 'Token TOKEN' }],
    ['a token as a password', { Authorization: 'basic:sensor:TOKEN' }],
    ['a token where a key stands', { 'X-Api-Key': 'TOKENID', 'X-Api-Secret': 'TOKEN' }],
  ] as readonly (readonly [string, Headers])[])('%s', async (_what, wrong) => {
    const replace = (text: string): string => {
      const filled = text
        .replace('lower:ID', key.id.toLowerCase())
        .replace('lower:SECRET', key.secret.toLowerCase())
        .replace('lower:TOKEN', token.token.toLowerCase())
        .replace('TOKENID', token.id)
        .replaceAll('TOKEN', token.token)
        .replaceAll('SECRET', key.secret)
        .replace('ADMIN', server.adminPassword)
        .replaceAll(/\bID/g, key.id)
      if (!filled.startsWith('basic:')) return filled
      const [, name = '', password = ''] = /^basic:([^:]*):(.*)$/s.exec(filled) ?? []
      return basic([name, password])
    }
    const headers = Object.fromEntries(
      Object.entries(wrong).map(([name, value]) => [
        name,
        typeof value === 'string' ? replace(value) : value.map(replace),
      ]),
    )
    expect(await statuses(headers)).toEqual(all(401))
  })

  it('64 KiB of anything', async () => {
    for (const headers of [
      { Authorization: `Bearer ${'x'.repeat(65_536)}` },
      { 'X-Api-Key': 'x'.repeat(65_536), 'X-Api-Secret': 'x' },
      { 'X-Api-Key': 'x', 'X-Api-Secret': 'x'.repeat(65_536) },
    ])
      expect((await server.request('GET', '/file', { as: null, headers })).status).toBe(431)
  })

  it('a token in the query', async () => {
    expect((await server.request('GET', `/file?access_token=${token.token}`, { as: null })).status).toBe(401)
  })
})

describe('the answer to a stranger', () => {
  it('asks for Basic first, then Bearer, with the realm', async () => {
    const answer = await server.request('GET', '/file', { as: null })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toEqual([
      'Basic realm="Postern", charset="UTF-8"',
      'Bearer realm="Postern"',
    ])
  })

  it('is the same whatever was wrong', async () => {
    const { id } = await newKey()
    const texts = await Promise.all(
      [
        { 'X-Api-Key': id, 'X-Api-Secret': 'wrong' },
        { 'X-Api-Key': 'pstnk_nobody', 'X-Api-Secret': 'wrong' },
        { 'X-Api-Key': id },
        { Authorization: 'Bearer wrong' },
      ].map(async (headers) => {
        const answer = await server.request('GET', '/file', { as: null, headers })
        return [answer.status, answer.text]
      }),
    )
    expect(new Set(texts.map((text) => JSON.stringify(text))).size).toBe(1)
  })
})

describe('a key, from the next request on and on all workers', () => {
  it('is known when it is issued, and refused when it is revoked', async () => {
    const { id, headers } = await newKey()
    expect(await statuses(headers)).toEqual(all(200))
    await command('key', 'revoke', id)
    expect(await statuses(headers)).toEqual(all(401))
  })

  it('gives way to its successor', async () => {
    const { id, headers } = await newKey()
    expect(await statuses(headers)).toEqual(all(200))
    const next = await json<{ id: string; secret: string; replaces: string }>('key', 'rotate', id)
    secrets.push(next.secret)
    expect(next.replaces).toBe(id)
    expect(await statuses(headers)).toEqual(all(401))
    expect(await statuses({ 'X-Api-Key': next.id, 'X-Api-Secret': next.secret })).toEqual(all(200))
  })

  it('works beside its successor for the overlap, until that is over', async () => {
    const { id, headers } = await newKey()
    expect(await statuses(headers)).toEqual(all(200))
    const next = await json<{ id: string; secret: string; until: string }>('key', 'rotate', id, '--overlap', '2s')
    secrets.push(next.secret)
    expect(await statuses({ 'X-Api-Key': next.id, 'X-Api-Secret': next.secret })).toEqual(all(200))
    await over(next.until)
    expect(await statuses(headers)).toEqual(all(401))
    expect(await statuses({ 'X-Api-Key': next.id, 'X-Api-Secret': next.secret })).toEqual(all(200))
  })

  it('is refused while a user of its name is disabled, and not passed by', async () => {
    const made = await json<{ id: string; secret: string }>('key', 'issue', 'alice', '--grant', 'r:/**')
    secrets.push(made.secret)
    const headers = { 'X-Api-Key': made.id, 'X-Api-Secret': made.secret }
    expect(await statuses(headers)).toEqual(all(200))
    await server.addUser('alice', 'r:/other/**')
    expect(await statuses(headers)).toEqual(all(200))
    await command('user', 'disable', 'alice')
    expect(await statuses(headers)).toEqual(all(401))
    await command('user', 'enable', 'alice')
    expect(await statuses(headers)).toEqual(all(200))
    const removed = await command('user', 'rm', 'alice')
    expect(removed.stdout).toContain(`postern key revoke ${made.id}`)
    expect(await statuses(headers)).toEqual(all(200))
  })

  it('may do what it was granted and nothing else', async () => {
    const { headers } = await newKey()
    expect((await server.request('PUT', '/file', { as: null, headers, body: 'x' })).status).toBe(403)
    expect((await server.request('GET', '/file', { as: null, headers })).text).toBe('content')
  })
})

describe('a token, from the next request on and on all workers', () => {
  it('is known when it is created, and refused when it is revoked', async () => {
    const { id, headers } = await newToken('sensor')
    expect(await statuses(headers)).toEqual(all(200))
    await command('token', 'revoke', id)
    expect(await statuses(headers)).toEqual(all(401))
  })

  it('gives way to its successor', async () => {
    const { id, headers } = await newToken('sensor')
    expect(await statuses(headers)).toEqual(all(200))
    const next = await json<{ token: string }>('token', 'rotate', id)
    secrets.push(next.token)
    expect(await statuses(headers)).toEqual(all(401))
    expect(await statuses({ Authorization: `bearer ${next.token}` })).toEqual(all(200))
  })

  it('ends at its time, though it is remembered', async () => {
    const { headers, id } = await newToken('sensor', '--expires', '2s')
    expect(await statuses(headers)).toEqual(all(200))
    const listed = await json<readonly { id: string; expires: string }[]>('token', 'list')
    await over(listed.find((one) => one.id === id)?.expires ?? '')
    expect(await statuses(headers)).toEqual(all(401))
  })
})

it('leaves no secret in any line that the server has written', () => {
  expect(secrets.length).toBeGreaterThan(10)
  const told = server.stderr() + server.stdout()
  for (const secret of secrets) expect(told).not.toContain(secret)
  expect(told).toContain('"user":"catalog:reports"')
})

/** Waits until a time that was shown in whole seconds is over. */
async function over(time: string): Promise<void> {
  const end = Date.parse(time) + 1000
  expect(end).not.toBeNaN()
  while (Date.now() < end) await new Promise((resolve) => setTimeout(resolve, end - Date.now()))
}
