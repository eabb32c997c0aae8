import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually, startServer } from '../harness.js'
import type { Caller, Server } from '../harness.js'
import { awsEnvironment, realm, sha3, startProxy, startTable, tableName } from '../users-table.js'
import type { FaultyProxy, LocalTable } from '../users-table.js'

const docs = readFileSync(fileURLToPath(new URL('../../docs/identity.md', import.meta.url)), 'utf8')
const section = docs.slice(docs.indexOf('\n## DynamoDB'))
const password = 'correct horse: battery stäple'
const alice: Caller = ['alice', password]

let local: LocalTable
let proxy: FaultyProxy
let folder: string
const servers: Server[] = []

beforeAll(async () => {
  local = await startTable()
  proxy = await startProxy(local.port)
})
afterAll(async () => {
  await proxy.stop()
  await local.stop()
})
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-table-'))
  await local.put('alice', { password: { S: sha3(password, 'pepper') }, salt: { S: 'pepper' }, scopes: { L: [{ S: 'admin' }] } })
}) // prettier-ignore
afterEach(async () => {
  proxy.set('none')
  const logs = servers.map((server) => server.stderr() + server.stdout()).join('')
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
  for (const secret of [password, 'battery', sha3(password, 'pepper'), 'pepper', '$argon2id$'])
    expect(logs).not.toContain(secret)
})

/** A server with the table as one of its sources, beside the catalog. */
async function serve(settings: Readonly<Record<string, unknown>> = {}, args: readonly string[] = []): Promise<Server> {
  const own = {
    table: tableName,
    realm,
    region: 'eu-west-1',
    endpoint: proxy.endpoint,
    grants: ['rw:/**'],
    ...settings,
  }
  const config = `identity: ${JSON.stringify(['catalog', { dynamodb: own }])}`
  const server = await startServer({ config, args, env: awsEnvironment })
  servers.push(server)
  return server
}

const status = async (server: Server, as: Caller): Promise<number> => (await server.request('PROPFIND', '/', { as, headers: { Depth: '0' } })).status // prettier-ignore

/** `postern user …` as it is run beside the server. */
const user = (server: Server, verb: string, args: readonly string[], stdin?: string) =>
  server.cli(['user', verb, ...args, '--directory', 'dynamodb', '--config', server.configFile], stdin)

describe('the old container', () => {
  it('is replaced by the line of docs/identity.md', async () => {
    const line = (/```sh\n([^]*?)\n```/.exec(section)?.[1] ?? '').replace(/\\\n */g, '')
    const [, variables = '', root, listen] = /^((?:\w+=\S+ )+)postern serve (\S+) --listen (\S+)$/.exec(line) ?? []
    expect([root, listen]).toEqual(['/dav/root', '0.0.0.0:80'])
    const environment = Object.fromEntries(variables.trim().split(' ').map((pair) => pair.split('=') as [string, string])) // prettier-ignore
    expect(environment).toMatchObject({ TABLE: tableName, REALM: realm, CACHE_DURATION: '120' })
    const env = {
      ...environment,
      ...awsEnvironment,
      CACHE_FOLDER: folder,
      AWS_ENDPOINT_URL_DYNAMODB: local.endpoint,
    }
    const server = await startServer({ env })
    servers.push(server)

    const asked = await server.request('OPTIONS', '/', { as: null })
    expect([asked.status, asked.headers.get('www-authenticate')?.join()]).toEqual([401, expect.stringContaining('realm="private area"')]) // prettier-ignore
    expect(await status(server, ['admin', server.adminPassword])).toBe(401)
    expect(await status(server, ['alice', 'wrong'])).toBe(401)
    expect(await status(server, ['bob', password])).toBe(401)
    expect((await server.request('PUT', '/file', { as: alice, body: 'x' })).status).toBe(201)
    expect((await server.request('GET', '/file', { as: alice })).status).toBe(200)
    expect(server.stdout()).not.toContain('First start')
  })

  it('has a policy with no more than it needs', () => {
    const policy = JSON.parse(/```json\n([^]*?)\n```/.exec(section)?.[1] ?? '') as { Statement: readonly object[] }
    expect(policy.Statement).toEqual([
      { Effect: 'Allow', Action: 'dynamodb:GetItem', Resource: expect.stringMatching(/:table\/basicAuthUsers$/) as string },
    ]) // prettier-ignore
  })

  it('is replaced by the settings of docs/identity.md, with grants of its own', async () => {
    const yaml = (/```yaml\n([^]*?)\n```/.exec(section)?.[1] ?? '')
      .replace('/var/cache/postern', folder)
      .replace('region: eu-west-1', `region: eu-west-1\n      endpoint: ${local.endpoint}`)
    const server = await startServer({ config: yaml, env: awsEnvironment })
    servers.push(server)
    await local.put('carol', { password: { S: sha3(password) } })
    await local.put('dave', { password: { S: sha3(password) }, scopes: { L: [{ S: 'r:/**' }] } })
    expect((await server.request('PUT', '/home/carol/a?parents=1', { as: ['carol', password], body: 'x' })).status).toBe(201)
    expect((await server.request('PUT', '/other', { as: ['carol', password], body: 'x' })).status).toBe(403)
    expect((await server.request('PUT', '/other', { as: alice, body: 'x' })).status).toBe(201)
    expect((await server.request('GET', '/other', { as: ['dave', password] })).status).toBe(200)
    expect((await server.request('PUT', '/other', { as: ['dave', password], body: 'x' })).status).toBe(403)
  }) // prettier-ignore
})

describe('a table that cannot be reached', () => {
  it('is a 503 for who is not remembered, while others go on, after a restart too; never a 401', async () => {
    const server = await serve({ cacheFolder: folder })
    await local.put('bob', { password: { S: sha3(password) } })
    expect(await status(server, alice)).toBe(207)
    for (const fault of ['reset', 'stall'] as const) {
      proxy.set(fault)
      const [unknown, wrong] = await Promise.all([
        server.request('GET', '/', { as: ['bob', password] }),
        server.request('GET', '/', { as: ['alice', 'wrong'] }),
      ])
      for (const answer of [unknown, wrong]) {
        expect([fault, answer.status]).toEqual([fault, 503])
        expect(Number(answer.headers.get('retry-after')?.[0])).toBeGreaterThan(0)
      }
      expect(await status(server, alice)).toBe(207)
      // The catalog is another source, and it is there.
      expect(await status(server, ['admin', server.adminPassword])).toBe(207)
    }
    expect(server.stderr()).toMatch(/"source-unavailable".*"source":"dynamodb".*The users table cannot be asked: (?:ECONNRESET|it takes too long)/) // prettier-ignore
    await server.stop()
    await server.restart()
    const before = proxy.counts.requests
    expect(await status(server, alice)).toBe(207)
    expect(proxy.counts.requests).toBe(before)
    proxy.set('none')
    expect(await status(server, ['bob', password])).toBe(207)
  })

  it('is asked once by all workers together, where they share a file', async () => {
    const server = await serve({ cacheFolder: folder }, ['--workers', '2'])
    const before = proxy.counts.requests
    for (let at = 0; at < 12; at += 1) expect(await status(server, alice)).toBe(207)
    expect(proxy.counts.requests).toBe(before + 1)
  })
})

describe('a change', () => {
  it('that others make counts when its time is over, and not before', async () => {
    const server = await serve({ cacheSeconds: 2 })
    expect(await status(server, alice)).toBe(207)
    await local.put('alice', { password: { S: sha3('another') } })
    expect(await status(server, alice)).toBe(207)
    expect(await status(server, ['alice', 'another'])).toBe(207)
    await eventually('the old password is refused', async () => (await status(server, alice)) === 401)
  })

  it('that Postern makes counts from the next request, on every worker, whatever is remembered where', async () => {
    const server = await serve({ cacheFolder: folder }, ['--workers', '2'])
    const everywhere = async (as: Caller): Promise<readonly number[]> => [
      ...new Set(await Promise.all(Array.from({ length: 8 }, () => status(server, as)))),
    ]
    expect(await everywhere(alice)).toEqual([207])
    expect(await user(server, 'passwd', ['alice', '--password-stdin'], 'the next one\n')).toMatchObject({ code: 0 })
    expect(await everywhere(alice)).toEqual([401])
    expect(await everywhere(['alice', 'the next one'])).toEqual([207])
    expect(await user(server, 'grant', ['alice', '--grant', 'r:/books/**'])).toMatchObject({ code: 0 })
    expect((await server.request('PUT', '/x', { as: ['alice', 'the next one'], body: '' })).status).toBe(403)
    expect(await user(server, 'rm', ['alice'])).toMatchObject({ code: 0 })
    expect(await everywhere(['alice', 'the next one'])).toEqual([401])
  })
})

describe('postern check', () => {
  const check = (server: Server, ...args: readonly string[]) =>
    server.cli(['check', ...args, '--config', server.configFile])

  it('tries both names of the sort key, and does not fail for a network that does', async () => {
    const other = await startTable('username')
    try {
      const right = await serve()
      expect(await check(right)).toMatchObject({ code: 0, stdout: expect.stringContaining(`dynamodb: the table ${tableName} answers`) as string })
      const wrong = await serve({ endpoint: other.endpoint })
      expect(await check(wrong)).toMatchObject({ code: 2, stderr: `The sort key of the table ${tableName} is username: set sortKey: username\n` })
      const set = await serve({ endpoint: other.endpoint, sortKey: 'username' })
      expect((await check(set)).code).toBe(0)
      await other.put('frank', { password: { S: sha3(password) } })
      expect(await status(wrong, ['frank', password])).toBe(503)
      expect(await status(set, ['frank', password])).toBe(207)
    } finally {
      await other.stop()
    }
    const down = await serve({ endpoint: other.endpoint })
    expect(await check(down)).toMatchObject({ code: 0, stdout: expect.stringContaining('dynamodb: The users table cannot be asked') as string })
  }) // prettier-ignore

  it('explains what a user of the table may do, and why one is refused', async () => {
    await local.put('dave', { password: { S: sha3(password) }, scopes: { L: [{ S: 'r:/books/**' }] } })
    await local.put('mallory', { password: { S: sha3(password) }, scopes: { L: [{ S: 'rw:everything' }] } })
    const server = await serve({ scopeGrants: { admin: ['delete:/old/**'] } })
    const as = (...args: readonly string[]) => check(server, '--as', ...args)
    expect(await as('alice', 'DELETE', '/old/x')).toMatchObject({ code: 0, stdout: expect.stringContaining('delete: by rw:/** of dynamodb') as string })
    expect(await as('dave', 'GET', '/books/x')).toMatchObject({ code: 0, stdout: expect.stringContaining('by r:/books/** of dynamodb') as string })
    expect(await as('dave', 'PUT', '/books/x')).toMatchObject({ code: 1, stdout: expect.stringContaining('denied') as string })
    expect(await as('mallory', 'GET', '/')).toMatchObject({ code: 1, stdout: expect.stringContaining('dynamodb refuses mallory: The grant "rw:everything"') as string })
    expect(await as('admin', 'GET', '/')).toMatchObject({ code: 0, stdout: expect.stringContaining('of catalog') as string })
    expect(await as('nobody', 'GET', '/')).toMatchObject({ code: 1, stdout: 'No source knows "nobody". Asked: catalog, dynamodb.\n' })
  }) // prettier-ignore
})

describe('postern user --directory', () => {
  it('refuses what cannot be, with a reason', async () => {
    const server = await serve()
    const cases: readonly (readonly [verb: string, args: readonly string[], code: number, stderr: RegExp])[] = [
      ['add', ['alice', '--password-stdin'], 1, /There is a user "alice" already/],
      ['add', ['a:b', '--password-stdin'], 2, /no colon/],
      ['add', ['eve', '--grant', 'everything', '--password-stdin'], 2, /grant/],
      ['add', ['eve', '--scope', 'rw:nothing', '--password-stdin'], 2, /grant/],
      ['passwd', ['nobody', '--password-stdin'], 1, /There is no user "nobody"/],
      ['grant', ['nobody', '--grant', 'r:/**'], 1, /There is no user "nobody"/],
      ['rm', ['nobody'], 1, /There is no user "nobody"/],
      ['disable', ['alice'], 2, /has no word for a disabled user/],
      ['enable', ['alice'], 2, /has no word for a disabled user/],
    ]
    for (const [verb, args, code, stderr] of cases) {
      const done = await user(server, verb, args, 'a password\n')
      expect([verb, args, done.code, done.stderr]).toEqual([verb, args, code, expect.stringMatching(stderr)])
    }
    const unknown = await server.cli(['user', 'list', '--directory', 'ldap', '--config', server.configFile])
    expect(unknown).toMatchObject({ code: 2, stderr: 'There is no source "ldap", but catalog, dynamodb.\n' })
    proxy.set('reset')
    expect(await user(server, 'list', [])).toMatchObject({ code: 1, stderr: expect.stringMatching(/users table cannot be asked/) as string }) // prettier-ignore
    expect((await local.get('alice'))?.['salt']).toEqual({ S: 'pepper' })
    expect(await local.get('eve')).toBeUndefined()
  })

  it('adds, lists and changes, and shows no hash', async () => {
    const server = await serve()
    await local.remove('carol')
    await local.put('zoe', { password: { S: 'x' }, scopes: { N: '1' } })
    const added = await user(server, 'add', ['carol', '--grant', 'rw:/carol/**', '--scope', 'admin', '--json', '--password-stdin'], 'hers\n') // prettier-ignore
    expect(added).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(added.stdout)).toEqual({ name: 'carol', directory: 'dynamodb', realm, scopes: ['rw:/carol/**', 'admin'] }) // prettier-ignore
    expect((await local.get('carol'))?.['password']?.S).toMatch(/^\$argon2id\$/)
    expect((await server.request('MKCOL', '/carol', { as: ['carol', 'hers'] })).status).toBe(201)
    expect((await user(server, 'passwd', ['carol', '--sha3', '--password-stdin'], 'new\n')).code).toBe(0)
    const row = await local.get('carol')
    expect(row?.['password']?.S).toBe(sha3('new', row?.['salt']?.S))
    expect(row?.['salt']?.S).toMatch(/^[0-9a-f]{64}$/)
    expect(await status(server, ['carol', 'new'])).toBe(207)
    const listed = await user(server, 'list', ['--json'])
    const names = (JSON.parse(listed.stdout) as readonly { name: string }[]).map(({ name }) => name)
    expect(names).toEqual(['alice', 'carol', 'zoe'].concat(names.filter((name) => !['alice', 'carol', 'zoe'].includes(name))).sort()) // prettier-ignore
    for (const text of [listed.stdout, (await user(server, 'list', [])).stdout, added.stdout])
      for (const secret of ['password', 'salt', 'pepper', 'argon2', sha3(password, 'pepper')])
        expect(text).not.toContain(secret)
    for (const name of ['carol', 'zoe']) expect((await user(server, 'rm', [name])).code).toBe(0)
    expect(await local.get('carol')).toBeUndefined()
  })
})

describe('the calls of the old user manager', () => {
  const at = '/-/users/api/realm/dav/user/erin'
  const json = { 'Content-Type': 'application/json' }
  const body = JSON.stringify({ password: 'of erin', salt: 'yes' })

  it('are for nobody without a grant that names them', async () => {
    const server = await serve()
    const looks = await server.addUser('looks', 'r:/-/users/**')
    const adds = await server.addUser('adds', 'create:/-/users/api/realm/dav/user/*')
    const other = await server.addUser('other', 'rw:/-/usersx/**', 'rw:/*/users/**', 'rw:/**', 'rw:/-/**')
    const calls: readonly (readonly [method: string, target: string])[] = [
      ['GET', '/-/users/api'],
      ['GET', '/-/users/api/realm'],
      ['GET', '/-/users/api/realm/dav'],
      ['GET', at],
      ['POST', at],
      ['DELETE', at],
    ]
    for (const [method, target] of calls) {
      const request = (as: Caller) => server.request(method, target, { as, headers: json, body: method === 'GET' ? '' : body })
      for (const as of [alice, other, ['admin', server.adminPassword]] as const)
        expect([method, target, as[0], (await request(as)).status]).toEqual([method, target, as[0], 403])
      expect([method, target, (await request(null)).status]).toEqual([method, target, 401])
      expect([method, target, (await request(['looks', 'wrong'])).status]).toEqual([method, target, 401])
      if (method !== 'GET') expect((await request(looks)).status).toBe(403)
    }
    expect((await server.request('DELETE', '/-/users/api/realm/dav/user/alice', { as: adds })).status).toBe(403)
    expect((await server.request('POST', '/-/users/api/realm/dav/user/alice', { as: adds, headers: json, body })).status).toBe(409)
    expect(await local.get('erin')).toBeUndefined()
    expect(await status(server, alice)).toBe(207)
  }) // prettier-ignore

  it('answer wrong ones with the right status and the old texts', async () => {
    const server = await serve()
    const as = await server.addUser('manager', 'rw:/-/users/**')
    const post = (text: string, headers: Readonly<Record<string, string>> = json) =>
      server.request('POST', at, { as, headers, body: text })
    const cases: readonly (readonly [text: string, status: number, error: string])[] = [
      ['{"salt":"yes"}', 400, "'password' field is mandatory"],
      ['{"password":7,"salt":"yes"}', 400, "'password' field is mandatory"],
      ['{"password":"","salt":"yes"}', 400, "'password' field is mandatory"],
      ['{"password":"x"}', 400, "'salt' field is mandatory"],
      ['{"password":"x","salt":true}', 400, "'salt' field can only be 'yes' or 'no'"],
      ['{"password":"x","salt":"maybe"}', 400, "'salt' field can only be 'yes' or 'no'"],
      ['{"password":"x","hash":"md5"}', 400, "'hash' field can only be 'argon2id'"],
      ['{"password":"x","salt":"no","scopes":"admin"}', 400, "'scopes' field can only be a list of texts"],
      ['{"password":"x","salt":"no","scopes":["rw:x"]}', 400, 'The grant "rw:x" is not right'],
      [`{"password":"${'x'.repeat(1025)}","salt":"no"}`, 400, 'The password is longer than 1024 bytes.'],
      ['{"password":"x","salt":"no","admin":true}', 400, '"admin" is not a field that is known'],
      ['{"password":"secret of erin', 400, 'Request must be JSON.'],
      ['[]', 400, 'Request must be JSON.'],
      ['null', 400, 'Request must be JSON.'],
      ['', 400, 'Request must be JSON.'],
      [JSON.stringify({ password: 'x'.repeat(70_000), salt: 'no' }), 413, 'The body is too large.'],
    ]
    for (const [text, wanted, error] of cases) {
      const answer = await post(text)
      expect([text.slice(0, 60), answer.status]).toEqual([text.slice(0, 60), wanted])
      expect(JSON.parse(answer.text)).toEqual({ error: expect.stringContaining(error) as string })
      expect(answer.text).not.toContain('secret of erin')
    }
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx'])
      expect((await post(body, { 'Content-Type': type })).status).toBe(415)
    for (const [method, target, wanted] of [
      ['GET', at, 404],
      ['DELETE', at, 404],
      ['GET', '/-/users/api/realm/other', 404],
      ['POST', '/-/users/api/realm/other/user/x', 404],
      ['GET', '/-/users', 404],
      ['GET', '/-/users/api/x', 404],
      ['GET', `${at}/more`, 404],
      ['PUT', at, 405],
      ['DELETE', '/-/users/api/realm/dav', 405],
      ['POST', '/-/users/api', 405],
      ['GET', '/-/users/api/realm/dav/user/a%2Fb', 400],
    ] as const)
      expect([method, target, (await server.request(method, target, { as, headers: json, body: method === 'POST' ? body : '' })).status]).toEqual([method, target, wanted])
    proxy.set('reset')
    const down = await server.request('GET', at, { as })
    expect([down.status, down.headers.get('retry-after')?.[0]]).toEqual([503, '5'])
    expect(await local.get('erin')).toBeUndefined()
  }) // prettier-ignore

  it('make, change, show and remove a user at once, without any hash', async () => {
    const server = await serve()
    const as = await server.addUser('manager', 'rw:/-/users/**')
    const answers: string[] = []
    const call = async (method: string, target: string, value?: unknown): Promise<readonly [number, unknown]> => {
      const text = value === undefined ? '' : JSON.stringify(value)
      const answer = await server.request(method, target, { as, headers: json, body: text })
      answers.push(answer.text)
      return [answer.status, JSON.parse(answer.text)]
    }
    expect(await call('GET', '/-/users/api')).toEqual([200, { ping: 'pong' }])
    expect(await call('GET', '/-/users/api/realm')).toEqual([200, { data: [realm] }])
    const erin = { realm, user: 'erin', scopes: [] }
    expect(await call('POST', at, { password: 'one', salt: 'yes' })).toEqual([201, erin])
    const salted = await local.get('erin')
    expect(salted?.['password']?.S).toBe(sha3('one', salted?.['salt']?.S))
    expect(await status(server, ['erin', 'one'])).toBe(207)
    expect(await call('POST', at, { password: 'two', salt: 'no', scopes: ['r:/**'] })).toEqual([200, { ...erin, scopes: ['r:/**'] }])
    expect((await local.get('erin'))?.['password']?.S).toBe(sha3('two'))
    expect(await status(server, ['erin', 'one'])).toBe(401)
    expect(await status(server, ['erin', 'two'])).toBe(207)
    expect(await call('POST', at, { password: 'three', hash: 'argon2id' })).toEqual([200, { ...erin, scopes: ['r:/**'] }])
    expect(await status(server, ['erin', 'two'])).toBe(401)
    expect(await call('GET', at)).toEqual([200, { data: { ...erin, scopes: ['r:/**'] } }])
    const [listed, { data }] = (await call('GET', '/-/users/api/realm/dav')) as [number, { data: readonly object[] }]
    expect([listed, data]).toEqual([200, expect.arrayContaining([{ realm, user: 'alice' }, { realm, user: 'erin' }])])
    expect(await call('DELETE', at)).toEqual([200, { status: 'deleted' }])
    expect(await status(server, ['erin', 'three'])).toBe(401)
    expect(await call('DELETE', at)).toEqual([404, { status: 'item does not exist' }])
    for (const text of answers) expect(text).not.toMatch(/password|salt|argon2|[0-9a-f]{64}/)
    expect(server.stderr()).toMatch(/"event":"user-changed","what":"removed","source":"dynamodb","realm":"dav","user":"erin","by":"catalog:manager"/)
  }) // prettier-ignore
})
