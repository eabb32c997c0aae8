import { describe, expect, it } from 'vitest'
import { Accounts } from '../../catalog/accounts.js'
import { Credentials } from '../../catalog/credentials.js'
import { openMemoryCatalog } from '../../catalog/memory.js'
import { ManualClock } from '../../core/clock.js'
import { cached, createCredentialKey } from '../cached.js'
import type { Credential, Verdict } from '../identity.js'
import { principalOf } from '../identity.js'
import type { PasswordHasher } from '../password-hash.js'
import { catalogDirectory } from './catalog.js'

const facts = { method: 'GET', target: '/' }
const hasher: PasswordHasher = {
  hash: async (password) => `hash of ${password}`,
  accepts: () => true,
  verify: async (hash, password) => hash === `hash of ${password}`,
}

function setUp() {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  const accounts = new Accounts(catalog, clock)
  const credentials = new Credentials(catalog, clock, new Uint8Array(32))
  const directory = catalogDirectory({ accounts, credentials, hasher })
  const check = (credential: Credential): Promise<Verdict> => directory.check(credential, facts)
  return { clock, accounts, credentials, directory, check }
}

type Setup = ReturnType<typeof setUp>

async function newKey(
  { credentials }: Setup,
  name: string,
  more: { readonly grants?: readonly string[]; readonly expires?: number } = {},
) {
  // prettier-ignore
  const { issued, secret } = await credentials.issue('key', { name, grants: ['r:/{user}/**'], ...more })
  return { id: issued.id, shown: { kind: 'api-key', id: issued.id, secret } as const }
}

function accepted(verdict: Verdict): Extract<Verdict, { kind: 'identity' }> {
  if (verdict.kind !== 'identity') throw new Error(JSON.stringify(verdict))
  return verdict
}

describe('a key that is right', () => {
  it('is refused when it is over, while its user is disabled, and with grants that nobody understands', async () => {
    const setup = setUp()
    const { clock, accounts, check } = setup
    const short = await newKey(setup, 'short', { expires: clock.now() + 1000 })
    expect(accepted(await check(short.shown)).until).toBe(clock.now() + 1000)
    clock.advanceSeconds(1)
    expect(await check(short.shown)).toEqual({ kind: 'refused', why: 'expired' })

    const ofAlice = await newKey(setup, 'alice')
    await accounts.add({ name: 'alice', grants: [], disabled: true })
    expect(await check(ofAlice.shown)).toEqual({ kind: 'refused', why: 'disabled' })

    const broken = await newKey(setup, 'broken', { grants: ['rw:nonsense'] })
    expect(await check(broken.shown)).toEqual({ kind: 'refused', why: 'broken-grants' })
    const reaching = await newKey(setup, '*')
    expect(await check(reaching.shown)).toEqual({ kind: 'refused', why: 'broken-grants' })
  })

  it('says no more than "wrong-secret" under a wrong one, whatever else is the matter', async () => {
    const setup = setUp()
    const { clock, accounts, check } = setup
    await accounts.add({ name: 'alice', grants: [], disabled: true })
    for (const name of ['alice', 'nobody']) {
      const { shown } = await newKey(setup, name, { expires: clock.now() })
      expect(await check({ ...shown, secret: 'wrong' })).toEqual({ kind: 'refused', why: 'wrong-secret' })
    }
  })

  it('is what it is named after: one principal with all that bear the name, each with its own grants', async () => {
    const setup = setUp()
    const { accounts, credentials, check } = setup
    await accounts.add({ name: 'alice', grants: ['rw:/**'], passwordHash: 'hash of pw', unixUser: 'al' })
    const key = accepted(await check((await newKey(setup, 'alice')).shown)).identity
    const { secret } = await credentials.issue('token', { name: 'alice', grants: ['create:/inbox/**'] })
    const token = accepted(await check({ kind: 'bearer', token: secret })).identity
    const user = accepted(await check({ kind: 'password', name: 'alice', password: 'pw' })).identity
    expect(new Set([key, token, user].map(principalOf))).toEqual(new Set(['catalog:alice']))
    expect(key).toEqual({ name: 'alice', source: 'catalog', grants: ['r:/alice/**'], unixUser: 'al' })
    expect(token.grants).toEqual(['create:/inbox/**'])
    const other = accepted(await check((await newKey(setup, 'bob')).shown)).identity
    expect(other).toEqual({ name: 'bob', source: 'catalog', grants: ['r:/bob/**'] })
  })

  it('is asked about again when a user of its name comes, changes or goes', async () => {
    const setup = setUp()
    const { accounts, directory, check } = setup
    const { shown } = await newKey(setup, 'alice')
    const changes = [
      () => accounts.add({ name: 'alice', grants: [] }),
      () => accounts.setDisabled('alice', true),
      () => accounts.setDisabled('alice', false),
      () => accounts.remove('alice'),
    ]
    for (const change of changes) {
      const verdict = await check(shown)
      await change()
      if (verdict.kind === 'identity')
        expect(await directory.current?.(verdict.identity, verdict.stamp ?? '')).toBe(false)
    }
    const { identity, stamp } = accepted(await check(shown))
    expect(await directory.current?.(identity, stamp ?? '')).toBe(true)
  })

  it('is not remembered beyond its end', async () => {
    const setup = setUp()
    const { clock, directory } = setup
    const cache = cached(directory, { clock, keyOf: createCredentialKey() })
    const { shown } = await newKey(setup, 'short', { expires: clock.now() + 5000 })
    expect((await cache.check(shown, facts)).kind).toBe('identity')
    clock.advanceSeconds(5)
    expect(await cache.check(shown, facts)).toEqual({ kind: 'refused', why: 'expired' })
  })
})

describe('the secret that signatures are made with', () => {
  it('is not had of a key that is revoked, over, disabled with its user, or not understood', async () => {
    const { clock, accounts, credentials, directory } = setUp()
    const issue = async (name: string, grant: string, expires?: number): Promise<string> =>
      (await credentials.issue('s3-key', { name, grants: [grant], ...(expires !== undefined && { expires }) })).issued
        .id
    const revoked = await issue('a', 'r:/**')
    await credentials.revoke('s3-key', revoked)
    const over = await issue('b', 'r:/**', clock.now())
    const disabled = await issue('c', 'r:/**')
    await accounts.add({ name: 'c', grants: [], disabled: true })
    const broken = await issue('d', 'nonsense')
    for (const id of [revoked, over, disabled, broken, 'PSTNnone', ''])
      expect([id, await directory.signingKey?.(id)]).toEqual([id, undefined])
  })

  it('comes with whom it stands for, through a cache as well, and is no credential of another kind', async () => {
    const { clock, credentials, directory, check } = setUp()
    const { issued, secret } = await credentials.issue('s3-key', { name: 'backup', grants: ['rw:/{user}/**'] })
    const expected = { secret, identity: { name: 'backup', source: 'catalog', grants: ['rw:/backup/**'] } }
    for (const one of [directory, cached(directory, { clock, keyOf: createCredentialKey() })])
      expect(await one.signingKey?.(issued.id)).toEqual(expected)
    expect(await check({ kind: 'api-key', id: issued.id, secret })).toEqual({ kind: 'unknown' })
    expect(await check({ kind: 'bearer', token: secret })).toEqual({ kind: 'unknown' })
    expect(await check({ kind: 'password', name: issued.id, password: secret })).toEqual({ kind: 'unknown' })
  })
})

it('goes by the name that the configuration gives it', async () => {
  const { accounts, credentials } = setUp()
  const directory = catalogDirectory({ name: 'staff', accounts, credentials, hasher })
  const { secret } = await credentials.issue('token', { name: 'x', grants: [] })
  expect(directory.name).toBe('staff')
  expect(await directory.check({ kind: 'bearer', token: secret }, facts)).toMatchObject({
    identity: { source: 'staff' },
  })
})
