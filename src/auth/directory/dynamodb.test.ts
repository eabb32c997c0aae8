import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { realm, sha3, startProxy, startTable, tableName } from '../../../test/users-table.js'
import type { Fault, FaultyProxy, LocalTable } from '../../../test/users-table.js'
import { eventually } from '../../../test/harness.js'
import { openMemoryCatalog } from '../../catalog/memory.js'
import { SourceChanges } from '../../catalog/source-changes.js'
import { ManualClock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import type { Verdict } from '../identity.js'
import { createPasswordHasher } from '../password-hash.js'
import { dynamodbDirectory } from './dynamodb.js'
import { DynamodbTable } from './dynamodb-table.js'

const facts = { method: 'GET', target: '/' }
const hasher = createPasswordHasher()
const password = 'abcde12345'
/** The vector of the old program's own documentation. */
const vector = '1695ada822e61754dd50d5c1300a867c0562012cb88d8cc6d7ae8303f73593b1'

let local: LocalTable
let proxy: FaultyProxy

beforeAll(async () => {
  local = await startTable()
  proxy = await startProxy(local.port)
})
afterAll(async () => {
  await proxy.stop()
  await local.stop()
})

let open: DynamodbTable[] = []
afterEach(() => {
  proxy.set('none')
  for (const table of open) table.close()
  open = []
})

interface Settings {
  readonly grants?: readonly string[]
  readonly scopeGrants?: Readonly<Record<string, readonly string[]>>
  readonly rehash?: boolean
  readonly endpoint?: string
}

function setUp({ grants = ['r:/**'], scopeGrants = {}, rehash = false, endpoint = proxy.endpoint }: Settings = {}) {
  const clock = new ManualClock()
  const table = new DynamodbTable({ table: tableName, realm, sortKey: 'user', region: 'eu-west-1', endpoint })
  open.push(table)
  const warnings: string[] = []
  const changes = new SourceChanges(openMemoryCatalog({ clock }), clock, 'here')
  const warn = (told: object, message: string): void => void warnings.push(`${message} ${JSON.stringify(told)}`)
  const directory = dynamodbDirectory({ name: 'staff', table, hasher, changes, grants, scopeGrants, rehash, warn })
  const check = (name: string, shown = password): Promise<Verdict> =>
    directory.check({ kind: 'password', name, password: shown }, facts)
  return { check, table, warnings, changes, directory }
}

const S = (text: string): AttributeValue => ({ S: text })
const L = (...entries: readonly AttributeValue[]): AttributeValue => ({ L: [...entries] })
const cheap = '$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'

describe('a row that is not right', () => {
  const rows: readonly (readonly [what: string, row: Readonly<Record<string, AttributeValue>>])[] = [
    ['nothing but its key', {}],
    ['no password', { salt: S('x'), scopes: L() }],
    ['a number for a password', { password: { N: '1' } }],
    ['bytes for a password', { password: { B: Buffer.from(vector) } }],
    ['NULL for a password', { password: { NULL: true } }],
    ['a list for a password', { password: L(S(vector)) }],
    ['a map for a password', { password: { M: { S: S(vector) } } }],
    ['a truth for a password', { password: { BOOL: true } }],
    ['upper case', { password: S(vector.toUpperCase()) }],
    ['a digit less', { password: S(vector.slice(1)) }],
    ['a line break behind', { password: S(vector + '\n') }],
    ['the password itself', { password: S(password) }],
    ['SHA-256 in base64', { password: S('lUHn3GZTGdCFOXxmZGVpTBK5Vuq4yFuhp+e3LyAfJOs=') }],
    ['bcrypt', { password: S('$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy') }],
    ['argon2i', { password: S(cheap.replace('argon2id', 'argon2i')) }],
    ['argon2id of 1 GiB', { password: S(cheap.replace('m=1024', 'm=1048576')) }],
    ['argon2id of 4 TiB', { password: S(cheap.replace('m=1024', 'm=4294967295')) }],
    ['argon2id of 999 passes', { password: S(cheap.replace('t=1', 't=999')) }],
    ['argon2id of no pass', { password: S(cheap.replace('t=1', 't=0')) }],
    ['argon2id of 255 lanes', { password: S(cheap.replace('p=1', 'p=255')) }],
    ['argon2id of negative memory', { password: S(cheap.replace('m=1024', 'm=-1')) }],
    ['argon2id and nothing behind', { password: S('$argon2id$') }],
    ['argon2id and 300 KiB behind', { password: S('$argon2id$' + 'A'.repeat(300_000)) }],
    ['300 KiB of digits', { password: S('a'.repeat(300_000)) }],
    ['a number for a salt', { password: S(vector), salt: { N: '1' } }],
    ['a list for a salt', { password: S(vector), salt: L() }],
    ['300 KiB of salt', { password: S(vector), salt: S('a'.repeat(300_000)) }],
    ['a text for scopes', { password: S(vector), scopes: S('admin') }],
    ['a number among the scopes', { password: S(vector), scopes: L(S('r:/**'), { N: '1' }) }],
    ['a list among the scopes', { password: S(vector), scopes: L(L(S('r:/**'))) }],
    ['numbers for scopes', { password: S(vector), scopes: { NS: ['1'] } }],
    ['a map for scopes', { password: S(vector), scopes: { M: { L: L(S('r:/**')) } } }],
    ['257 scopes', { password: S(vector), scopes: L(...Array.from({ length: 257 }, (_, at) => S(`r:/${at}`))) }],
    ['a scope of 2 KiB', { password: S(vector), scopes: L(S('r:/' + 'a'.repeat(2048))) }],
  ]
  it.each(rows)('is refused, and said to be, without anything out of it: %s', async (what, row) => {
    const { check, warnings } = setUp({ endpoint: local.endpoint })
    await local.put('broken', row)
    expect([what, await check('broken')]).toEqual([what, { kind: 'refused', why: 'broken-row' }])
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^A row of the users table is refused: .*\bits?\b.*"user":"broken"/)
    for (const told of [vector, cheap, password, 'aaaa', 'AAAA']) expect(warnings[0]).not.toContain(told)
  })

  it('is refused for an empty password that it would have', async () => {
    const { check } = setUp()
    await local.put('empty', { password: S(sha3('')) })
    await local.put('saltonly', { password: S(sha3('pepper')), salt: S('pepper') })
    expect(await check('empty', '')).toEqual({ kind: 'refused', why: 'wrong-password' })
    expect(await check('saltonly', '')).toEqual({ kind: 'refused', why: 'wrong-password' })
  })

  it('is refused where the salt comes behind, or is taken for none', async () => {
    const { check } = setUp()
    await local.put('behind', { password: S(sha3(password + 'salt')), salt: S('salt') })
    await local.put('ignored', { password: S(vector), salt: S('salt') })
    for (const name of ['behind', 'ignored'])
      expect(await check(name)).toEqual({ kind: 'refused', why: 'wrong-password' })
  })

  it('is told from one without: NULL is as good as absent', async () => {
    const { check } = setUp()
    await local.put('nulls', { password: S(vector), salt: { NULL: true }, scopes: { NULL: true } })
    expect((await check('nulls')).kind).toBe('identity')
  })
})

describe('scopes', () => {
  const scopeGrants = { admin: ['rw:/**'], reader: ['r:/books/**'], home: ['rw:/home/{user}/**'] }
  const cases: readonly (readonly [what: string, scopes: AttributeValue | undefined, grants: readonly string[]])[] = [
    ['absent', undefined, ['r:/**']],
    ['none', L(), ['r:/**']],
    ['a word that means nothing', L(S('whatever')), ['r:/**']],
    ['words of every object', L(S('__proto__'), S('constructor'), S('toString')), ['r:/**']],
    ['a word that means something', L(S('reader')), ['r:/**', 'r:/books/**']],
    ['a grant', L(S('rw:/acme/**')), ['rw:/acme/**']],
    ['a grant and words', L(S('rw:/acme/**'), S('reader'), S('x')), ['rw:/acme/**', 'r:/books/**']],
    [
      'the name of the user',
      L(S('create:/inbox/{user}/**'), S('home')),
      ['create:/inbox/alice/**', 'rw:/home/alice/**'],
    ],
    ['twice the same', L(S('r:/a'), S('r:/a')), ['r:/a']],
    ['a set of texts', { SS: ['r:/a'] }, ['r:/a']],
    ['an empty text', L(S('')), ['r:/**']],
    ['methods of HTTP', L(S('GET,PUT:/acme/**')), ['GET,PUT:/acme/**']],
  ]
  it.each(cases)('%s', async (_what, scopes, grants) => {
    const { check } = setUp({ scopeGrants, endpoint: local.endpoint })
    await local.put('alice', { password: S(vector), ...(scopes && { scopes }) })
    expect(await check('alice')).toMatchObject({
      kind: 'identity',
      identity: { name: 'alice', source: 'staff', grants },
    })
  })

  it.each(['rw', ':', 'rw:', ':/**', 'rw:acme', 'rwx:/**', 'rw:/../**', 'admin:', 'RW:/**', 'rw :/**'])(
    'with a colon that are no grant deny the user, who is told nothing, and the log is: %s',
    async (scope) => {
      const { check, warnings } = setUp({ scopeGrants })
      await local.put('alice', { password: S(vector), scopes: L(S('r:/ok/**'), S(scope)) })
      if (!scope.includes(':')) {
        expect((await check('alice')).kind).toBe('identity')
        return
      }
      expect(await check('alice')).toEqual({ kind: 'refused', why: 'broken-scopes' })
      expect(warnings.join()).toContain(JSON.stringify(scope).slice(1, -1))
      expect(await check('alice', 'wrong')).toEqual({ kind: 'refused', why: 'wrong-password' })
      expect(warnings).toHaveLength(1)
    },
  )

  it('do not let a name reach into what is granted to others', async () => {
    const { check } = setUp({ grants: ['rw:/home/{user}/**'] })
    for (const name of ['*', '**', '..', 'a/b', 'a\\b']) {
      await local.put(name, { password: S(vector) })
      expect([name, await check(name)]).toEqual([name, { kind: 'refused', why: 'broken-scopes' }])
    }
  })
})

describe('failures', () => {
  it('cost the same: the same hashing whether there is such a user or not', async () => {
    let verified = 0
    const counting = { ...hasher, verify: async () => ((verified += 1), false) }
    const clock = new ManualClock()
    const changes = new SourceChanges(openMemoryCatalog({ clock }), clock, 'here')
    const table = new DynamodbTable({
      table: tableName,
      realm,
      sortKey: 'user',
      region: 'eu-west-1',
      endpoint: local.endpoint,
    })
    open.push(table)
    const directory = dynamodbDirectory({
      name: 'staff', table, hasher: counting, changes, grants: [], scopeGrants: {}, rehash: false, warn: () => undefined,
    }) // prettier-ignore
    await local.put('sha3', { password: S(vector) })
    await local.put('argon', { password: S(await hasher.hash(password)) })
    await local.put('odd', { password: { N: '1' } })
    for (const name of ['sha3', 'argon', 'odd', 'nobody', '', 'a\0b', '\ud800', 'x'.repeat(5000)]) {
      verified = 0
      const { kind } = await directory.check({ kind: 'password', name, password: 'wrong' }, facts)
      expect([name, kind, verified]).toEqual([name, expect.stringMatching(/refused|unknown/), 1])
    }
  })

  it('do not ask the table for names that it cannot hold', async () => {
    const { check } = setUp()
    const before = proxy.counts.requests
    for (const name of ['', 'a\0b', 'a\nb', '\ud800', 'é'.repeat(513)])
      expect(await check(name)).toEqual({ kind: 'unknown' })
    expect(proxy.counts.requests).toBe(before)
  })
})

describe('a table that misbehaves', () => {
  beforeEach(() => local.put('alice', { password: S(vector) }))

  const error = (name: string, message = 'x'): string =>
    JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${name}`, message })
  const faults: readonly (readonly [what: string, fault: Fault])[] = [
    ['cuts connections', 'reset'],
    ['throttles', { status: 400, body: error('ProvisionedThroughputExceededException') }],
    ['is throttled as a whole', { status: 400, body: error('ThrottlingException') }],
    ['has an inner error', { status: 500, body: error('InternalServerError') }],
    ['is replaced by a page of a proxy', { status: 200, body: '<html>Please log in</html>' }],
    ['is behind a gateway that fails', { status: 502, body: 'Bad Gateway' }],
    ['does not know our key', { status: 400, body: error('UnrecognizedClientException') }],
    ['does not let us', { status: 400, body: error('AccessDeniedException') }],
    ['is not there', { status: 400, body: error('ResourceNotFoundException') }],
    ['has other keys', { status: 400, body: error('ValidationException', 'The provided key element does not match the schema') }],
    ['answers with the row of another', { status: 200, body: JSON.stringify({ Item: { realm: S(realm), user: S('bob'), password: S(vector) } }) }],
    ['answers with the row of another realm', { status: 200, body: JSON.stringify({ Item: { realm: S('x'), user: S('alice'), password: S(vector) } }) }],
    ['answers half of it', { status: 200, body: `{"Item":{"password":{"S":"${vector}"` }],
    ['answers with a list for a row', { status: 200, body: '{"Item":["x"]}' }],
  ] // prettier-ignore
  it.each(faults)('is no verdict where it %s, and no hash is told', async (what, fault) => {
    const { check } = setUp()
    expect((await check('alice')).kind).toBe('identity')
    proxy.set(fault)
    const began = performance.now()
    const failure: unknown = await check('alice').catch((thrown: unknown) => thrown)
    expect([what, failure]).toEqual([
      what,
      expect.objectContaining({ name: 'Failure', kind: 'unavailable', retryAfterSeconds: 5 }),
    ])
    expect(performance.now() - began).toBeLessThan(5000)
    const { message, cause } = failure as Error
    expect(`${message} ${String(cause)}`).not.toContain(vector)
    proxy.set('none')
    expect((await check('alice')).kind).toBe('identity')
  })

  it('says what to set where its sort key has the other name', async () => {
    const { check } = setUp()
    proxy.set({ status: 400, body: error('ValidationException') })
    await expect(check('alice')).rejects.toThrow(/sortKey: username/)
  })

  it.each(['stall', 'trickle'] as const)('is given up within five seconds where it hangs (%s), and does not gather requests', async (fault) => {
    const { check } = setUp()
    proxy.set(fault)
    proxy.counts.mostOpen = 0
    const began = performance.now()
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, (_, at) => check(`user${at}`)))
    expect(performance.now() - began).toBeLessThan(5000)
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { kind: 'unavailable' } })
    expect(proxy.counts.mostOpen).toBeLessThanOrEqual(64)
    proxy.set('none')
    expect((await check('alice')).kind).toBe('identity')
    await eventually('all is let go', () => proxy.counts.open <= 32)
  }) // prettier-ignore
})

describe('what Postern changes', () => {
  it('ends what was remembered, and is read consistently from then on', async () => {
    const { check, changes, directory, table } = setUp()
    await local.put('alice', { password: S(vector) })
    const before = await check('alice')
    if (before.kind !== 'identity') throw new Error('not let in')
    expect(await directory.current?.(before.identity, before.stamp ?? '')).toBe(true)
    await changes.tell('alice')
    expect(await directory.current?.(before.identity, before.stamp ?? '')).toBe(false)
    const asked: unknown[] = []
    const find = table.find.bind(table)
    table.find = (user, options) => (asked.push(options), find(user, options))
    await check('alice')
    await check('bob')
    expect(asked).toEqual([{ consistent: true }, { consistent: false }])
  })
})

describe('a stronger hash in place of SHA3', () => {
  it('is written when its password is shown, once, and takes the salt away', async () => {
    const { check, warnings } = setUp({ rehash: true })
    await local.put('alice', { password: S(sha3(password, 'pepper')), salt: S('pepper'), scopes: L(S('rw:/a')), note: S('kept') })
    expect((await check('alice', 'wrong')).kind).toBe('refused')
    expect((await check('alice')).kind).toBe('identity')
    await eventually('the row is changed', async () => (await local.get('alice'))?.['password']?.S?.startsWith('$argon2id$') === true)
    const row = await local.get('alice')
    expect(row).toMatchObject({ scopes: L(S('rw:/a')), note: S('kept') })
    expect(row).not.toHaveProperty('salt')
    expect(await check('alice')).toMatchObject({ kind: 'identity', identity: { grants: ['rw:/a'] } })
    expect((await check('alice', 'wrong')).kind).toBe('refused')
    expect((await local.get('alice'))?.['password']).toEqual(row?.['password'])
    expect(warnings).toEqual([])
  }) // prettier-ignore

  it('never takes the place of a password that was set in the meantime', async () => {
    const { table } = setUp({ rehash: true })
    for (const [seen, row] of [
      [{ hash: vector }, { password: S(sha3('new')) }],
      [{ hash: vector }, { password: S(vector), salt: S('now with one') }],
      [{ hash: vector, salt: 'pepper' }, { password: S(vector) }],
      [
        { hash: vector, salt: 'pepper' },
        { password: S(vector), salt: S('another') },
      ],
    ] as const) {
      await local.put('alice', row)
      expect(await table.rehash('alice', seen, cheap)).toBe(false)
      expect(await local.get('alice')).toMatchObject(row)
    }
    await local.remove('alice')
    expect(await table.rehash('alice', { hash: vector }, cheap)).toBe(false)
    expect(await local.get('alice')).toBeUndefined()
  })

  it('is given up after one warning where the role may not write, and nobody is kept out by it', async () => {
    const { check, table, warnings } = setUp({ rehash: true })
    let tried = 0
    table.rehash = async () => {
      tried += 1
      throw new Failure('denied', 'The role of this server may not do that with the users table.')
    }
    for (const name of ['alice', 'bob', 'carol']) {
      await local.put(name, { password: S(vector) })
      expect((await check(name)).kind).toBe('identity')
      await eventually('the first try is over', () => warnings.length === 1)
    }
    expect(tried).toBe(1)
    expect(warnings.join()).not.toContain(vector)
  })

  it('is not tried where it is not asked for', async () => {
    const { check } = setUp()
    await local.put('alice', { password: S(vector) })
    const before = proxy.counts.requests
    await check('alice')
    expect(proxy.counts.requests).toBe(before + 1)
  })
})
