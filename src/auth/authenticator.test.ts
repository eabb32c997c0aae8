import { describe, expect, it } from 'vitest'
import { Accounts } from '../catalog/accounts.js'
import { Credentials } from '../catalog/credentials.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { ManualClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import type { LoginEvent } from './audit.js'
import { createAuthenticator, type AuthenticatorOptions } from './authenticator.js'
import { cached, createCredentialKey } from './cached.js'
import { catalogDirectory } from './directory/catalog.js'
import type { Directory, Verdict } from './identity.js'
import type { PasswordHasher } from './password-hash.js'
import { apiKeyScheme } from './scheme/api-key.js'
import { basicScheme } from './scheme/basic.js'
import { createThrottle } from './throttle.js'

/** What every request over the network comes after. */
const nextTurn = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve))

function request(headers: Readonly<Record<string, string>> = {}, address = '192.0.2.1'): HttpRequest {
  return {
    method: 'GET',
    target: '/',
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
    body: (async function* () {})(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: { address },
    signal: new AbortController().signal,
  }
}

const login = (name: string, password: string, address?: string): HttpRequest =>
  request({ authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` }, address)

/** A cheap stand-in for argon2 that counts: `hash of X` opens with `X`. */
function countingHasher() {
  const calls: (string | undefined)[] = []
  const hasher: PasswordHasher = {
    hash: async (password) => `hash of ${password}`,
    verify: async (hash, password) => {
      calls.push(hash)
      return hash === `hash of ${password}`
    },
    accepts: () => true,
  }
  return { calls, hasher }
}

async function setUp(
  more: Partial<AuthenticatorOptions> & {
    readonly after?: readonly Directory[]
    readonly before?: readonly Directory[]
  } = {},
) {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  const accounts = new Accounts(catalog, clock)
  const credentials = new Credentials(catalog, clock, new Uint8Array(32))
  await accounts.add({ name: 'alice', grants: ['rw:/home/{user}/**'], passwordHash: 'hash of right', unixUser: 'al' })
  await accounts.add({ name: 'off', grants: ['rw:/**'], passwordHash: 'hash of right', disabled: true })
  await accounts.add({ name: 'closed', grants: ['rw:/**'] })
  await accounts.add({ name: 'broken', grants: ['rw:nonsense'], passwordHash: 'hash of right' })
  await accounts.add({ name: '*', grants: ['rw:/home/{user}/**'], passwordHash: 'hash of right' })
  const { calls, hasher } = countingHasher()
  const keyOf = createCredentialKey()
  const events: LoginEvent[] = []
  const { after = [], before = [], ...rest } = more
  const authenticator = createAuthenticator({
    schemes: [basicScheme({ realm: 'test' })],
    directories: [...before, cached(catalogDirectory({ accounts, credentials, hasher }), { clock, keyOf }), ...after],
    throttle: createThrottle({ catalog, clock, secret: new Uint8Array(32) }),
    keyOf,
    audit: (event) => events.push(event),
    ...rest,
  })
  return { clock, catalog, accounts, calls, events, authenticator }
}

const failures = [
  ['an unknown name', 'nobody', 'right', 'unknown-name'],
  ['a name that cannot be', '../x', 'right', 'unknown-name'],
  ['a wrong password', 'alice', 'wrong', 'wrong-password'],
  ['an empty password', 'alice', '', 'wrong-password'],
  ['a disabled user', 'off', 'right', 'disabled'],
  ['a disabled user with a wrong password', 'off', 'wrong', 'disabled'],
  ['a user without a password', 'closed', '', 'no-password'],
  ['a user whose grants are broken', 'broken', 'right', 'broken-grants'],
  ['a user whose name would widen a grant', '*', 'right', 'broken-grants'],
] as const

describe('failures', () => {
  it.each(failures)('%s looks like any other and costs one hash', async (_, name, password, why) => {
    const { authenticator, calls, events } = await setUp()
    const thrown = await authenticator.authenticate(login(name, password)).catch((error: unknown) => error)
    expect(thrown).toMatchObject({ kind: 'unauthenticated', message: 'This needs a valid login.' })
    expect(thrown).not.toHaveProperty('cause')
    expect(calls).toHaveLength(1)
    expect(events).toEqual([
      { event: 'login-failed', name, why, address: '192.0.2.1', ...(why !== 'unknown-name' && { source: 'catalog' }) },
    ])
  })

  it.each(['Basic !', 'Basic', 'Digest username="alice"', 'Negotiate abc', 'Bearer abc', 'nonsense', ''])(
    'the header %j is none the less 401, also where anyone may read',
    async (authorization) => {
      const { authenticator, calls, events } = await setUp({ anonymous: { grants: ['rw:/**'] } })
      await expect(authenticator.authenticate(request({ authorization }))).rejects.toMatchObject({
        kind: 'unauthenticated',
        message: 'This needs a valid login.',
      })
      expect(calls).toEqual([])
      expect(events).toMatchObject([{ event: 'login-failed', why: 'malformed' }])
    },
  )

  it('a login that no scheme here can read is not let in as anonymous', async () => {
    const { authenticator, events } = await setUp({ schemes: [apiKeyScheme()], anonymous: { grants: ['rw:/**'] } })
    await expect(authenticator.authenticate(login('alice', 'right'))).rejects.toMatchObject({ kind: 'unauthenticated' })
    expect(events).toMatchObject([{ event: 'login-failed', why: 'malformed' }])
    expect((await authenticator.authenticate(request())).source).toBe('anonymous')
  })

  it('a wrong password is not let in as anonymous', async () => {
    const { authenticator } = await setUp({ anonymous: { grants: ['rw:/**'] } })
    await expect(authenticator.authenticate(login('alice', 'wrong'))).rejects.toMatchObject({ kind: 'unauthenticated' })
  })

  it('tell the audit log no secret and no control characters, nor more than it can bear', async () => {
    const { authenticator, events } = await setUp()
    const name = 'x\u202e\u2028' + 'y'.repeat(500)
    await expect(authenticator.authenticate(login(name, 'hunter2-wrong'))).rejects.toThrow()
    const text = JSON.stringify(events)
    expect(text).not.toContain('hunter2')
    expect(text).not.toMatch(/[\u202e\u2028]/)
    expect(events[0]).toMatchObject({ name: expect.stringMatching(/^x\\u\{202e\}\\u\{2028\}y{97}…$/) as unknown })
  })
})

describe('without a credential', () => {
  it('asks for one', async () => {
    const { authenticator, events } = await setUp()
    await expect(authenticator.authenticate(request())).rejects.toMatchObject({ kind: 'unauthenticated' })
    expect(authenticator.challenges()).toEqual(['Basic realm="test", charset="UTF-8"'])
    expect(events).toEqual([])
  })

  it('is told what keeps anonymous callers out, with the Unix user that they would act as otherwise', async () => {
    let failure: Failure | undefined = new Failure('unavailable', 'not now')
    const admit = async (): Promise<void> => {
      if (failure !== undefined) throw failure
    }
    const { authenticator } = await setUp({ anonymous: { grants: ['r:/public/**'], unixUser: 'www', admit } })
    await expect(authenticator.authenticate(request())).rejects.toMatchObject({ kind: 'unavailable' })
    failure = undefined
    expect(await authenticator.authenticate(request())).toMatchObject({ source: 'anonymous', unixUser: 'www' })
  })

  it('is anonymous where that is configured', async () => {
    const { authenticator } = await setUp({ anonymous: { grants: ['r:/public/**'] } })
    expect(await authenticator.authenticate(request({ 'user-agent': 'curl/8' }))).toEqual({
      name: 'anonymous',
      source: 'anonymous',
      grants: ['r:/public/**'],
    })
  })

  it('asks Windows all the same, which else would never show one, unless there is nothing to gain', async () => {
    const windows = request({ 'user-agent': 'Microsoft-WebDAV-MiniRedir/10.0.19045' })
    for (const grants of [['r:/**'], ['rw:/public/**'], ['read,list,create,replace:/**']]) {
      const { authenticator } = await setUp({ anonymous: { grants } })
      await expect(authenticator.authenticate(windows)).rejects.toMatchObject({ kind: 'unauthenticated' })
    }
    const { authenticator } = await setUp({ anonymous: { grants: ['rw:/**'] } })
    expect(await authenticator.authenticate(windows)).toMatchObject({ source: 'anonymous' })
  })

  it('refuses grants of anonymous that are not right', async () => {
    await expect(setUp({ anonymous: { grants: ['everything'] } })).rejects.toMatchObject({ kind: 'invalid' })
  })
})

describe('the right password', () => {
  it('gives the identity with its grants, and is hashed once', async () => {
    const { authenticator, calls } = await setUp()
    const identity = await authenticator.authenticate(login('alice', 'right'))
    expect(identity).toEqual({ name: 'alice', source: 'catalog', grants: ['rw:/home/alice/**'], unixUser: 'al' })
    expect(await authenticator.authenticate(login('DOMAIN\\alice', 'right'))).toBe(identity)
    expect(calls).toHaveLength(1)
  })

  it.each([
    ['disabled', (accounts: Accounts) => accounts.setDisabled('alice', true)],
    ['removed', (accounts: Accounts) => accounts.remove('alice')],
    ['given another password', (accounts: Accounts) => accounts.setPassword('alice', 'hash of new')],
  ])('is refused in the very next request when the user is %s', async (_, change) => {
    const { authenticator, accounts } = await setUp()
    await authenticator.authenticate(login('alice', 'right'))
    await authenticator.authenticate(login('alice', 'right'))
    await change(accounts)
    await nextTurn()
    await expect(authenticator.authenticate(login('alice', 'right'))).rejects.toMatchObject({ kind: 'unauthenticated' })
  })

  it('has its new grants in the very next request', async () => {
    const { authenticator, accounts } = await setUp()
    await authenticator.authenticate(login('alice', 'right'))
    await authenticator.authenticate(login('alice', 'right'))
    await accounts.setGrants('alice', ['r:/**'])
    await nextTurn()
    expect(await authenticator.authenticate(login('alice', 'right'))).toMatchObject({ grants: ['r:/**'] })
  })
})

describe('too many failures', () => {
  it('are refused before any hash runs, even with the right password', async () => {
    const { authenticator, calls, events, clock } = await setUp()
    for (let at = 0; at < 10; at++)
      await authenticator.authenticate(login('alice', `wrong${at}`)).catch(() => undefined)
    expect(calls).toHaveLength(10)
    await expect(authenticator.authenticate(login('alice', 'right', '198.51.100.1'))).rejects.toMatchObject({
      kind: 'throttled',
      retryAfterSeconds: 1,
    })
    expect(calls).toHaveLength(10)
    expect(events.at(-1)).toEqual({
      event: 'login-throttled',
      name: 'alice',
      why: 'too-many-failures',
      address: '198.51.100.1',
    })
    clock.advanceSeconds(1)
    expect(await authenticator.authenticate(login('alice', 'right'))).toMatchObject({ name: 'alice' })
  })

  it('do not slow who is remembered', async () => {
    const { authenticator } = await setUp()
    await authenticator.authenticate(login('alice', 'right'))
    for (let at = 0; at < 60; at++)
      await authenticator.authenticate(login('alice', `wrong${at}`)).catch(() => undefined)
    await expect(authenticator.authenticate(login('alice', 'wrong'))).rejects.toMatchObject({ kind: 'throttled' })
    expect(await authenticator.authenticate(login('alice', 'right'))).toMatchObject({ name: 'alice' })
  })

  it('by one address slow all names from there, unknown ones too', async () => {
    const { authenticator, calls } = await setUp()
    for (let at = 0; at < 50; at++) await authenticator.authenticate(login(`user${at}`, 'x')).catch(() => undefined)
    await expect(authenticator.authenticate(login('alice', 'right'))).rejects.toMatchObject({ kind: 'throttled' })
    expect(calls).toHaveLength(50)
    expect(await authenticator.authenticate(login('alice', 'right', '198.51.100.1'))).toMatchObject({ name: 'alice' })
  })

  it('are not what a client makes that opens many connections at once with the right password', async () => {
    const { authenticator, calls } = await setUp()
    const identities = await Promise.all(
      Array.from({ length: 40 }, () => authenticator.authenticate(login('alice', 'right'))),
    )
    expect(new Set(identities).size).toBe(1)
    expect(calls).toHaveLength(1)
  })
})

describe('several sources', () => {
  const fixed = (name: string, check: Directory['check']): Directory => ({
    name,
    accepts: new Set(['password'] as const),
    check,
  })
  const down = fixed('remote', async () => {
    throw new Failure('unavailable', 'down', { retryAfterSeconds: 7 })
  })
  const taking = fixed('other', async (credential) => ({
    kind: 'identity',
    identity: { name: credential.kind === 'password' ? credential.name : '', source: 'other', grants: [] },
  }))
  const empty = fixed('empty', async () => ({ kind: 'unknown' }))

  it('the first that knows the name decides', async () => {
    const { authenticator } = await setUp({ before: [empty], after: [taking] })
    await expect(authenticator.authenticate(login('alice', 'wrong'))).rejects.toMatchObject({ kind: 'unauthenticated' })
    await expect(authenticator.authenticate(login('off', 'right'))).rejects.toMatchObject({ kind: 'unauthenticated' })
    expect(await authenticator.authenticate(login('alice', 'right'))).toMatchObject({ source: 'catalog' })
    expect(await authenticator.authenticate(login('nobody', 'any'))).toMatchObject({ source: 'other' })
  })

  it('one that asks in its own way is passed on, and one that forbids asks for nothing; both are failures', async () => {
    const asking = (name: string, verdict: Verdict): Directory => ({
      name,
      accepts: new Set(['password'] as const),
      check: async () => verdict,
    })
    const one = await setUp({
      before: [asking('service', { kind: 'refused', why: 'wrong', challenges: ['Basic realm="theirs"'] })],
    })
    await expect(one.authenticator.authenticate(login('alice', 'right'))).rejects.toMatchObject({
      kind: 'unauthenticated',
      challenges: ['Basic realm="theirs"'],
    })
    const other = await setUp({ before: [asking('service', { kind: 'refused', why: 'forbidden', forbidden: true })] })
    for (let at = 0; at < 10; at++)
      await expect(other.authenticator.authenticate(login('alice', `guess ${at}`))).rejects.toMatchObject({
        kind: 'denied',
      })
    expect(other.events).toHaveLength(10)
    await expect(other.authenticator.authenticate(login('alice', 'right'))).rejects.toMatchObject({ kind: 'throttled' })
  })

  it('one that is down is 503 unless another accepts', async () => {
    const { authenticator, events } = await setUp({ before: [down] })
    expect(await authenticator.authenticate(login('alice', 'right'))).toMatchObject({ source: 'catalog' })
    for (const attempt of [login('nobody', 'x'), login('alice', 'wrong')])
      await expect(authenticator.authenticate(attempt)).rejects.toMatchObject({
        kind: 'unavailable',
        retryAfterSeconds: 7,
      })
    expect(events).toContainEqual(expect.objectContaining({ event: 'source-unavailable', source: 'remote' }))
  })

  it('one that is down slows nobody, but guesses at those that are not are counted', async () => {
    const { authenticator } = await setUp({ before: [down] })
    for (let at = 0; at < 20; at++) await authenticator.authenticate(login('nobody', `x${at}`)).catch(() => undefined)
    await expect(authenticator.authenticate(login('nobody', 'x'))).rejects.toMatchObject({ kind: 'unavailable' })
    for (let at = 0; at < 10; at++) await authenticator.authenticate(login('alice', `x${at}`)).catch(() => undefined)
    await expect(authenticator.authenticate(login('alice', 'x'))).rejects.toMatchObject({ kind: 'throttled' })
  })

  it('a fault of one is told as it is and leaves no attempt open', async () => {
    const broken = fixed('broken', async () => {
      throw new TypeError('a mistake')
    })
    const { authenticator } = await setUp({ before: [broken] })
    for (let at = 0; at < 30; at++)
      await expect(authenticator.authenticate(login('alice', `x${at}`))).rejects.toThrow(TypeError)
  })
})
