import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { doorTo } from '../../../test/privsep-door.js'
import { arrived } from '../../../test/s3-verification.js'
import { realm, startTable, tableName, type LocalTable } from '../../../test/users-table.js'
import type { AccountEvent } from '../../auth/audit.js'
import { createAuthenticator } from '../../auth/authenticator.js'
import { createCredentialKey } from '../../auth/cached.js'
import { DynamodbTable } from '../../auth/directory/dynamodb-table.js'
import { TableUsers } from '../../auth/directory/table-users.js'
import type { Directory } from '../../auth/identity.js'
import { createPasswordHasher } from '../../auth/password-hash.js'
import { schemesFor } from '../../auth/scheme/schemes-for.js'
import { createThrottle } from '../../auth/throttle.js'
import { openMemoryCatalog } from '../../catalog/memory.js'
import { SourceChanges } from '../../catalog/source-changes.js'
import { ManualClock } from '../../core/clock.js'
import { isFailure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import { usersPath } from '../../protocol/admin/users.js'
import { remoteUsersCalls } from '../front/remote-pages.js'
import { sentRequest } from '../sent-request.js'
import type { Head } from '../wire/link.js'
import { pagesPart } from './pages.js'

const password = 'right password'
const grants: Readonly<Record<string, readonly string[]>> = {
  manager: ['rw:/-/users/**'],
  looks: ['r:/-/users/**'],
  alice: ['rw:/**'],
}

const people: Directory = {
  name: 'people',
  accepts: new Set(['password']),
  check: async (credential) => {
    const name = credential.kind === 'password' ? credential.name : ''
    if (credential.kind !== 'password' || credential.password !== password) return { kind: 'refused', why: 'wrong' }
    return { kind: 'identity', identity: { name, source: 'people', grants: grants[name] ?? [] } }
  },
}

let local: LocalTable
const tables: DynamodbTable[] = []

beforeAll(async () => {
  local = await startTable()
})
afterAll(async () => {
  await local.stop()
})
afterEach(() => {
  for (const table of tables.splice(0)) table.close()
})

function setUp({ managed = true } = {}) {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  const table = new DynamodbTable({ table: tableName, realm, sortKey: 'user', region: 'eu-west-1', endpoint: local.endpoint }) // prettier-ignore
  tables.push(table)
  const changes = new SourceChanges(catalog, clock, 'here')
  const users = new TableUsers({ source: 'staff', realm, table, hasher: createPasswordHasher(), changes })
  const events: AccountEvent[] = []
  const authenticator = createAuthenticator({
    schemes: schemesFor([people], 'files'),
    directories: [people],
    throttle: createThrottle({ catalog, clock, secret: Buffer.alloc(32) }),
    keyOf: createCredentialKey(),
    audit: () => undefined,
  })
  const known = { authenticator, users: managed ? [users] : [], basePath: '', noteAccount: (event: AccountEvent) => events.push(event) } // prettier-ignore
  const door = doorTo(pagesPart(known))
  const calls = remoteUsersCalls(door)
  const call = async (method: string, target: string, as?: string, body?: string | Buffer, shown = password) => {
    const authorization = as && `Basic ${Buffer.from(`${as}:${shown}`).toString('base64')}`
    const headers = { host: 'h', 'content-type': 'application/json', ...(authorization && { authorization }) }
    const request: HttpRequest = arrived({ method, target, headers, body: Buffer.from(body ?? '') })
    try {
      const { status, body: answer } = await calls(request, usersPath)
      return [status, Buffer.from(answer as Uint8Array).toString()] as const
    } catch (error) {
      if (isFailure(error)) return [error.kind, error.message] as const
      throw error
    }
  }
  return { door, call, events }
}

const carol = '/-/users/api/realm/dav/user/carol'
const change = JSON.stringify({ password: 'secret of carol', salt: 'yes' })

describe('who manages no users', () => {
  it('is nobody, a stranger, or somebody without a grant for it', async () => {
    const { call, events } = setUp()
    for (const [method, as, shown, status] of [
      ['GET', undefined, password, 'unauthenticated'],
      ['POST', undefined, password, 'unauthenticated'],
      ['GET', 'manager', 'wrong', 'unauthenticated'],
      ['POST', 'manager', 'wrong', 'unauthenticated'],
      ['POST', 'alice', password, 403],
      ['POST', 'looks', password, 403],
      ['DELETE', 'looks', password, 403],
    ] as const)
      expect((await call(method, carol, as, change, shown))[0], `${method} ${as ?? ''}`).toBe(status)
    expect(events).toEqual([])
    expect(await local.get('carol')).toBeUndefined()
  })

  it('is a front, whatever it says of its callers', async () => {
    const { door, events } = setUp()
    const bytes = Buffer.from(change)
    const identity = { name: 'manager', source: 'people', grants: grants.manager }
    const headers = { host: 'h', 'content-type': 'application/json', 'remote-user': 'manager', 'x-remote-user': 'manager' } // prettier-ignore
    const request = { ...sentRequest(arrived({ method: 'POST', target: carol, headers })), identity, trusted: true }
    await expect(door.ask('page', { request, identity, path: carol, unixUser: 'root' }, { bytes })).rejects.toMatchObject({ kind: 'unauthenticated' }) // prettier-ignore
    for (const head of [{}, { request: [] }, { request: { ...request, headers: [['authorization']] } }])
      await expect(door.ask('page', head as Head, { bytes })).rejects.toMatchObject({ kind: 'invalid' })
    expect(events).toEqual([])
  })

  it('is somebody who guesses: they are slowed as anywhere', async () => {
    const { call } = setUp()
    for (let count = 0; count < 10; count += 1)
      expect((await call('GET', carol, 'manager', '', `guess ${count}`))[0]).toBe('unauthenticated')
    expect((await call('GET', carol, 'manager', '', 'one more'))[0]).toBe('throttled')
  })
})

describe('what is no page', () => {
  it.each(['/', '/-', '/-/health', '/-/auth', '/-/usersx', '/-/users/../auth', '/%2d/usersx', 'x', '*'])(
    '%s',
    async (target) => {
      const { door, call } = setUp()
      const [outcome] = await call('GET', target, 'manager')
      expect(['not-found', 'invalid']).toContain(outcome)
      await expect(door.ask('page', { request: sentRequest(arrived({ target })), path: '/-/users/api' })).rejects.toMatchObject({ kind: outcome }) // prettier-ignore
    },
  )

  it('any, where no users can be managed', async () => {
    expect((await setUp({ managed: false }).call('GET', '/-/users/api', 'manager'))[0]).toBe('not-found')
  })
})

describe('a call', () => {
  it('is answered as in one process, and written down once', async () => {
    const { call, events } = setUp()
    expect(await call('GET', '/-/users/api', 'manager')).toEqual([200, '{"ping":"pong"}\n'])
    expect((await call('POST', carol, 'manager', change))[0]).toBe(201)
    expect(await call('GET', carol, 'looks')).toEqual([200, '{"data":{"realm":"dav","user":"carol","scopes":[]}}\n'])
    expect((await call('DELETE', carol, 'manager'))[0]).toBe(200)
    expect((await call('PATCH', carol, 'manager'))[0]).toBe(405)
    const by = { event: 'user-changed', source: 'staff', realm, user: 'carol', by: 'people:manager', address: '192.0.2.1' } // prettier-ignore
    expect(events).toEqual([
      { ...by, what: 'made' },
      { ...by, what: 'removed' },
    ])
  })

  it('has a body of 64 KiB at most, whoever calls', async () => {
    const { call, door } = setUp()
    const longest = JSON.stringify({ password: 'x', salt: 'no' }).padEnd(64 * 1024)
    expect((await call('POST', carol, 'manager', longest))[0]).toBe(201)
    expect((await call('POST', carol, 'manager', `${longest} `))[0]).toBe(413)
    expect((await call('POST', carol, 'manager', Buffer.alloc(5_000_000, ' ')))[0]).toBe(413)
    expect((await call('POST', carol, undefined, `${longest} `))[0]).toBe('unauthenticated')
    expect((await call('DELETE', carol, 'manager'))[0]).toBe(200)
    const link = await door.link()
    await expect(door.ask('page', {}, { bytes: Buffer.alloc(1_000_000) })).rejects.toMatchObject({
      kind: 'unavailable',
    })
    expect((await link.closed).how).not.toBe('closed')
  })
})
