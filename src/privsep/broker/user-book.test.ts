import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import type { KnownAccount } from '../../auth/pam/question.js'
import { issueTicket } from '../ticket.js'
import { UserBook } from './user-book.js'

const alice: KnownAccount = {
  name: 'alice',
  uid: 1001,
  gid: 1001,
  groups: ['alice', 'staff'],
  groupIds: [1001, 50],
  home: '/home/alice',
  expired: false,
}
const rules = { minimumUid: 1000, maximumUid: 60000, allowedGroups: [], reservedUids: [], reservedGids: [] }

/** Of a system whose accounts a test changes. */
function book() {
  const system = new Map<string, KnownAccount | Failure>([['alice', alice]])
  const voided: string[] = []
  const clock = new ManualClock()
  const users = new UserBook({
    accounts: {
      lookUp(name) {
        const found = system.get(name)
        return found instanceof Failure ? Promise.reject(found) : Promise.resolve(found)
      },
      close: () => Promise.resolve(),
    },
    rules,
    onVoid: ({ name }, why) => voided.push(`${name}: ${why}`),
    clock,
    ticketSeconds: 900,
  })
  return { users, system, voided, clock }
}

describe('a ticket is not good', () => {
  it('that is none, is forged, over, or too long-lived', async () => {
    const { users, clock } = book()
    const { uid, key, generation } = await users.admit('alice')
    const claim = { user: 'alice', uid, generation, expires: clock.now() + 60_000 }
    const good = issueTicket(key, claim)
    expect(users.bearerOf(good)?.name).toBe('alice')
    const bad = [
      undefined,
      7,
      '',
      'v1..',
      good.slice(0, -1),
      `${good}x`,
      good.replace('v1', 'v2'),
      issueTicket(Buffer.alloc(32), claim),
      issueTicket(key, { ...claim, user: 'bob' }),
      issueTicket(key, { ...claim, uid: 1002 }),
      issueTicket(key, { ...claim, generation: 'ab'.repeat(12) }),
      issueTicket(key, { ...claim, expires: clock.now() }),
      // Whoever has taken the process of a user has the key.
      issueTicket(key, { ...claim, expires: clock.now() + 3600_000 }),
    ]
    for (const ticket of bad) expect(users.bearerOf(ticket), String(ticket)).toBeUndefined()
    clock.advanceSeconds(61)
    expect(users.bearerOf(good)).toBeUndefined()
  })

  it('of another broker', async () => {
    const [mine, other] = [book(), book()]
    const { uid, key, generation } = await other.users.admit('alice')
    await mine.users.admit('alice')
    const ticket = issueTicket(key, { user: 'alice', uid, generation, expires: mine.clock.now() + 60_000 })
    expect(mine.users.bearerOf(ticket)).toBeUndefined()
  })

  it.each<readonly [what: string, account: Partial<KnownAccount>]>([
    ['uid', { uid: 1002 }],
    ['gid', { gid: 1002 }],
    ['a group more', { groupIds: [1001, 50, 51] }],
    ['a group less', { groupIds: [1001] }],
    ['home', { home: '/home/other' }],
  ])('after the account has changed: %s', async (_what, change) => {
    const { users, system, voided, clock } = book()
    const { uid, key, generation } = await users.admit('alice')
    const ticket = issueTicket(key, { user: 'alice', uid, generation, expires: clock.now() + 60_000 })
    system.set('alice', { ...alice, ...change })
    const after = await users.admit('alice')
    expect(voided).toEqual(['alice: account-changed'])
    expect(users.bearerOf(ticket)).toBeUndefined()
    expect(after.key.equals(key)).toBe(false)
  })

  it.each<readonly [why: string, account: KnownAccount | undefined]>([
    ['account-expired', { ...alice, expired: true }],
    ['root', { ...alice, uid: 0 }],
    ['no-such-account', undefined],
  ])('after nobody may act as the user any more: %s', async (why, account) => {
    const { users, system, voided } = book()
    await users.admit('alice')
    if (account === undefined) system.delete('alice')
    else system.set('alice', account)
    await expect(users.admit('alice')).rejects.toMatchObject({ kind: 'denied', message: why })
    expect(voided).toEqual([`alice: ${why}`])
    expect(users.find('alice')).toBeUndefined()
  })

  it('after it was made void', async () => {
    const { users, voided } = book()
    const before = await users.admit('alice')
    expect(users.void('alice', 'closed')).toBe(true)
    expect(users.void('alice', 'closed')).toBe(false)
    expect(voided).toEqual(['alice: closed'])
    expect((await users.admit('alice')).generation).not.toBe(before.generation)
  })
})

describe('an account', () => {
  it('is not looked up under a name that cannot be one', async () => {
    const { users, system } = book()
    for (const name of ['', '..', 'a/b', 'a\nb', '-x', '.x', 'a\0b']) {
      system.set(name, { ...alice, name })
      await expect(users.admit(name)).rejects.toMatchObject({ kind: 'denied', message: 'unfit-name' })
    }
  })

  it('that cannot be looked up stays what it was', async () => {
    const { users, system, voided } = book()
    await users.admit('alice')
    system.set('alice', new Failure('unavailable', 'later'))
    await expect(users.admit('alice')).rejects.toMatchObject({ kind: 'unavailable' })
    expect(voided).toEqual([])
  })

  it('keeps its generation while it is the same, in whatever order its groups come', async () => {
    const { users, system } = book()
    const before = await users.admit('alice')
    system.set('alice', { ...alice, groupIds: [50, 1001, 50] })
    expect(await users.admit('alice')).toBe(before)
    expect(before.groups).toEqual([50, 1001])
  })

  it.each([
    ['/home/alice/', '/home/alice'],
    ['/', undefined],
    ['', undefined],
    ['home', undefined],
    ['/home/../etc', undefined],
    ['/home//alice', undefined],
    ['/home/./alice', undefined],
  ])('has a home only where that is a plain path: %s', async (home, known) => {
    const { users, system } = book()
    system.set('alice', { ...alice, home })
    expect((await users.admit('alice')).home).toBe(known)
  })
})
