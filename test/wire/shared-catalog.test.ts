import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'
import type { Server } from '../harness.js'
import { startDynamodb } from '../dynalite-server.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { TestPostgres } from '../postgres.js'

const secret = randomBytes(32).toString('base64')
const lockBody = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'

interface Shared {
  readonly config: string
  readonly env: Readonly<Record<string, string>>
}

let postgres: TestPostgres
let dynamodb: LocalDynamodb
const servers: Server[] = []

beforeAll(async () => {
  postgres = await TestPostgres.start()
  dynamodb = await startDynamodb()
})

afterAll(async () => {
  await postgres.stop()
  await dynamodb.stop()
})

afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]()
})

async function inPostgres(): Promise<Shared> {
  const url = postgres.url(await postgres.newDatabase())
  return { config: `catalog: { postgres: "${url}" }\nsecret: { env: FILES_SECRET }\n`, env: { FILES_SECRET: secret } }
}

let tables = 0
async function inDynamodb(): Promise<Shared> {
  const table = `postern-${++tables}`
  await dynamodb.prepare(table)
  return {
    config: `catalog: { dynamodb: { table: ${table}, region: eu-west-1, endpoint: "${dynamodb.endpoint}" } }\nsecret: { env: FILES_SECRET }\n`,
    env: { FILES_SECRET: secret, AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'a key for tests' },
  }
}

/** Instances of one server over one directory. */
async function instances({ config, env }: Shared): Promise<readonly [Server, Server]> {
  const one = await startServer({ config, env })
  servers.push(one)
  const other = await startServer({ config, env, root: one.root })
  servers.push(other)
  return [one, other]
}

describe.each([
  ['PostgreSQL', inPostgres],
  ['DynamoDB', inDynamodb],
] as const)('two instances over one catalog in %s', (_, shared) => {
  it('hold the same locks and properties', async () => {
    const [one, other] = await instances(await shared())
    expect((await one.request('PUT', '/f', { body: 'first' })).status).toBe(201)
    const lock = await one.request('LOCK', '/f', { body: lockBody, headers: { Timeout: 'Second-600' } })
    expect(lock.status).toBe(200)
    const token = /<(?:\w+:)?href>(opaquelocktoken:[^<]+)</.exec(lock.text)?.[1] ?? ''
    expect((await other.request('PUT', '/f', { body: 'no' })).status).toBe(423)
    expect((await other.request('LOCK', '/f', { body: lockBody })).status).toBe(423)
    const patch =
      '<propertyupdate xmlns="DAV:"><set><prop><colour xmlns="urn:x">green</colour></prop></set></propertyupdate>'
    const headers = { If: `(<${token}>)` }
    expect((await other.request('PROPPATCH', '/f', { body: patch, headers })).status).toBe(207)
    expect((await other.request('PUT', '/f', { body: 'second', headers })).status).toBe(204)
    expect((await other.request('UNLOCK', '/f', { headers: { 'Lock-Token': `<${token}>` } })).status).toBe(204)
    const ask = '<propfind xmlns="DAV:"><prop><colour xmlns="urn:x"/></prop></propfind>'
    expect((await one.request('PROPFIND', '/f', { body: ask, headers: { Depth: '0' } })).text).toContain('>green<')
    expect((await one.request('GET', '/f')).text).toBe('second')
    expect((await one.request('PUT', '/f', { body: 'third' })).status).toBe(204)
  })

  it('know each other’s users, and forget them within a second', async () => {
    const [one, other] = await instances(await shared())
    const ann = await one.addUser('ann', 'rw:/**')
    expect((await other.request('PUT', '/f', { body: 'x', as: ann })).status).toBe(201)
    expect((await one.cli(['user', 'disable', 'ann'])).code).toBe(0)
    const done = Date.now()
    let status = 200
    while (status === 200 && Date.now() < done + 5000) status = (await other.request('GET', '/f', { as: ann })).status
    expect(status).toBe(401)
    expect(Date.now() - done).toBeLessThan(1000)
  })

  it('make one admin, whoever starts first', async () => {
    const catalog = await shared()
    const started = await Promise.all([startServer(catalog), startServer(catalog)])
    servers.push(...started)
    for (const server of started) expect((await server.request('GET', '/')).status).toBe(200)
    const list = await started[0].cli(['user', 'list', '--json'])
    expect(JSON.parse(list.stdout)).toHaveLength(1)
  })
})

describe('a shared catalog', () => {
  it('is not served without a secret, one that is no secret, or a database that is not there', async () => {
    const { config, env } = await inPostgres()
    const start = (text: string, environment: Readonly<Record<string, string>>): Promise<unknown> =>
      startServer({ config: text, env: environment })
    await expect(start(config.replace(/^secret.*$/m, ''), env)).rejects.toThrow(/catalog: needs a secret/)
    await expect(start(config, {})).rejects.toThrow(/secret: the variable FILES_SECRET is not set/)
    await expect(start(config, { FILES_SECRET: 'hush' })).rejects.toThrow(/does not hold 32 bytes/)
    const nowhere = config.replace(/@127\.0\.0\.1:\d+/, '@127.0.0.1:9')
    const failure = await start(nowhere, env).catch((error: unknown) => String(error))
    expect(failure).toMatch(/cannot be reached|refused/i)
    expect(failure).not.toContain('a password')
  })

  it('that goes away makes answers 503 with Retry-After, and comes back without a restart', async () => {
    const own = await TestPostgres.start()
    try {
      const url = own.url(await own.newDatabase())
      const config = `catalog: { postgres: "${url}" }\nsecret: { env: FILES_SECRET }\n`
      const server = await startServer({ config, env: { FILES_SECRET: secret } })
      servers.push(server)
      expect((await server.request('PUT', '/f', { body: 'kept' })).status).toBe(201)
      await own.crash()
      const answer = await server.request('PUT', '/f', { body: 'lost' })
      expect(answer.status).toBe(503)
      expect(Number(answer.header('retry-after'))).toBeGreaterThan(0)
      expect((await server.request('GET', '/-/ready', { as: null })).status).toBe(503)
      expect((await server.request('GET', '/-/health', { as: null })).status).toBe(200)
      await own.startAgain()
      await expect
        .poll(async () => (await server.request('GET', '/f')).status, { timeout: 20_000, interval: 200 })
        .toBe(200)
      expect((await server.request('GET', '/f')).text).toBe('kept')
    } finally {
      await own.stop()
    }
  })

  it('needs no state directory: where none can be made, audit lines go to the log', async () => {
    const { config, env } = await inPostgres()
    const server = await startServer({ config, env, args: ['--state', '/dev/null/state'] })
    servers.push(server)
    expect((await server.request('GET', '/', { as: ['nobody', 'wrong'] })).status).toBe(401)
    expect(server.stderr()).toContain('"audit":{"event":"user-changed","what":"made"')
    await expect.poll(() => server.stderr()).toContain('"audit":{"event":"login-failed"')
  })
})
