import { describe, expect, it } from 'vitest'
import { cachedByAddress } from '../cached-by-address.js'
import { createCredentialKey } from '../cached.js'
import { ManualClock } from '../../core/clock.js'
import type { PamLogins } from '../pam/pool.js'
import { isUnixName, pamDirectory } from './pam.js'

interface Shown {
  readonly user: string
  readonly password: string | undefined
  readonly address: string | undefined
}

/** A system that lets everybody in, and remembers who has asked. */
function open(grants: readonly string[] = ['rw:/home/{user}/**']) {
  const shown: Shown[] = []
  const logins: PamLogins = {
    async login(user, password, address) {
      shown.push({ user, password, address })
      return { kind: 'accepted', name: user, groups: ['staff'], stamp: `stamp of ${user}` }
    },
    stampOf: async (user) => `stamp of ${user}`,
    close: async () => undefined,
  }
  return { shown, directory: pamDirectory({ name: 'pam', logins, grants }) }
}

const facts = { method: 'GET', target: '/' }
const login = (name: string, password = 'pw') => ({ kind: 'password', name, password }) as const

describe('names', () => {
  it.each([
    '', '.', '..', 'a/b', '/', 'a:b', ':', 'a\0', '\0', 'a\nb', 'a\r', 'a\tb', '\u007f', 'a\u0085', ' alice', 'alice ', ' ',
    '-l', '--help', '+', '+alice', '~alice', '\u202ealice', 'a\u2028b', 'a\u00a0', '\ud800', 'a\udc00', 'x'.repeat(257),
    'é'.repeat(129), '\ufeffalice',
  ])('never come before PAM: %j', async (name) => {
    const { shown, directory } = open(['rw:/**'])
    expect(isUnixName(name)).toBe(false)
    expect(await directory.check(login(name), facts)).toEqual({ kind: 'unknown' })
    expect(shown).toEqual([])
  }) // prettier-ignore

  it.each(['a', 'alice', 'Alice', 'alice.b', 'alice-b', 'alice_', 'machine$', 'alice@example.org', 'domain users', 'josé', '1000', 'CORP\\alice'])(
    'may be a Unix user: %s',
    (name) => expect(isUnixName(name)).toBe(true),
  ) // prettier-ignore

  it('that would reach into what is granted to others are refused', async () => {
    const { directory } = open()
    expect(await directory.check(login('*'), facts)).toEqual({ kind: 'refused', why: 'broken-grants' })
  })
})

describe('passwords', () => {
  it.each(['', '\0', 'pw\0', 'pw\0tail', '\ud800', 'x'.repeat(512), 'é'.repeat(256)])(
    'that PAM would cut, change or take for none are not shown to it: %j',
    async (password) => {
      const { shown, directory } = open()
      await directory.check(login('alice', password), facts)
      expect(shown).toEqual([{ user: 'alice', password: undefined, address: undefined }])
    },
  )

  it.each([' ', 'x'.repeat(511), 'é', '🦊', ':', 'pw\n'])('are shown as they are: %j', async (password) => {
    const { shown, directory } = open()
    await directory.check(login('alice', password), facts)
    expect(shown[0]?.password).toBe(password)
  })
})

describe('addresses', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['$(reboot)', undefined],
    ['', undefined],
  ])('%s reaches modules as %s', async (address, told) => {
    const { shown, directory } = open()
    await directory.check(login('alice'), { ...facts, address })
    expect(shown[0]?.address).toBe(told)
  })

  it('that are new are asked about, though the password is remembered', async () => {
    const { shown, directory } = open()
    const keyOf = createCredentialKey()
    const memory = cachedByAddress(directory, { clock: new ManualClock(), keyOf })
    const credential = login('alice')
    const at = (address: string) => ({ key: keyOf(credential), credential, facts: { ...facts, address } })
    expect((await memory.check(credential, { ...facts, address: '192.0.2.7' })).kind).toBe('identity')
    expect(await memory.remembered(at('192.0.2.7'))).toMatchObject({ identity: { name: 'alice' } })
    expect(await memory.remembered(at('192.0.2.8'))).toBeUndefined()
    expect(await memory.remembered({ key: keyOf(credential), credential, facts })).toBeUndefined()
    await memory.check(credential, { ...facts, address: '192.0.2.7' })
    expect(shown).toHaveLength(1)
    await memory.check(credential, { ...facts, address: '192.0.2.8' })
    expect(shown.map(({ address }) => address)).toEqual(['192.0.2.7', '192.0.2.8'])
  })
})

describe('an identity', () => {
  it('acts as its Unix user and has its groups', async () => {
    const { directory } = open()
    expect(await directory.check(login('alice'), facts)).toEqual({
      kind: 'identity',
      stamp: 'stamp of alice',
      identity: { name: 'alice', source: 'pam', grants: ['rw:/home/alice/**'], unixUser: 'alice', groups: ['staff'] },
    })
  })
})
