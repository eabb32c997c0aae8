import { describe, expect, it } from 'vitest'
import type { SystemAccount } from '../../store/native.js'
import { decide } from './decide.js'
import type { PamSystem } from './decide.js'
import type { PamQuestion, PamRules } from './question.js'

const rules: PamRules = { minimumUid: 1000, allowedUsers: [], allowedGroups: [], deniedUsers: [], deniedGroups: [] }
const question: PamQuestion = {
  ask: 'login',
  service: 'files',
  user: 'alice',
  address: '192.0.2.7',
  rules,
  stampKey: '',
}
const alice: SystemAccount = {
  name: 'alice',
  uid: 1001,
  gid: 1001,
  groups: ['alice', 'staff'],
  groupIds: [1001, 50],
  home: '/home/alice',
  state: Buffer.from('alice:x:$y$hash'),
  locked: false,
  expired: false,
  passwordExpired: false,
}

interface Asked {
  readonly service: string
  readonly user: string
  readonly password: string
  readonly address: string
}

/** A system with these accounts, where PAM says this to everybody. */
function system(said: string | number, ...accounts: readonly SystemAccount[]): PamSystem & { readonly asked: Asked[] } {
  const asked: Asked[] = []
  return {
    asked,
    hasService: (service) => service === 'files',
    account(name) {
      const found = accounts.find((account) => account.name.toLowerCase() === name.toLowerCase())
      return found && { ...found, state: Buffer.from(found.state) }
    },
    pamLogin(service, user, password, address) {
      asked.push({ service, user, password: Buffer.from(password).toString(), address })
      return said
    },
  }
}

const secret = (): Buffer => Buffer.from('wonderland')

describe('who may not come in, though PAM says yes', () => {
  it.each<readonly [why: string, account: Partial<SystemAccount>, own: Partial<PamRules>]>([
    ['root', { uid: 0 }, {}],
    ['root', { uid: 0 }, { allowedUsers: ['alice'], minimumUid: 1 }],
    ['group-of-root', { gid: 0 }, { minimumUid: 1 }],
    ['uid-below-minimum', { uid: 999 }, {}],
    ['uid-below-minimum', { uid: 1001 }, { minimumUid: 1002, allowedUsers: ['alice'] }],
    ['denied-user', {}, { deniedUsers: ['alice'], allowedUsers: ['alice'] }],
    ['denied-group', {}, { deniedGroups: ['staff'], allowedGroups: ['staff'] }],
    ['denied-group', {}, { deniedGroups: ['staff'], allowedUsers: ['alice'] }],
    ['not-allowed', {}, { allowedUsers: ['bob'] }],
    ['not-allowed', {}, { allowedGroups: ['wheel'] }],
    ['not-allowed', {}, { allowedUsers: ['Alice'], allowedGroups: ['Staff'] }],
  ])('%s: %o %o', (why, account, own) => {
    const pam = system('alice', { ...alice, ...account })
    const answer = decide({ ...question, rules: { ...rules, ...own } }, secret(), pam)
    expect(answer).toEqual({ kind: 'refused', why })
    // PAM was asked, and never saw the password: whether it was right shows nowhere.
    expect(pam.asked).toHaveLength(1)
    expect(pam.asked[0]?.password).not.toContain('wonderland')
  })

  it('under a name that a module has put in the place of their own', () => {
    const root = { ...alice, name: 'toor', uid: 0 }
    expect(decide(question, secret(), system('toor', alice, root))).toEqual({ kind: 'refused', why: 'root' })
    expect(decide(question, secret(), system('ghost', alice))).toEqual({ kind: 'unknown' })
  })

  it('without a password', () => {
    for (const none of [undefined, Buffer.alloc(0)]) {
      const pam = system('alice', alice)
      expect(decide(question, none, pam)).toEqual({ kind: 'refused', why: 'no-possible-password' })
      expect(pam.asked[0]?.password.length).toBeGreaterThan(0)
    }
  })

  it('where there is no such service, which PAM would take for another', () => {
    const pam = system('alice', alice)
    expect(decide({ ...question, service: 'file' }, secret(), pam).kind).toBe('failed')
    expect(pam.asked).toEqual([])
  })
})

describe('what PAM says', () => {
  it.each([
    [7, {}, 'wrong-password'],
    [7, { locked: true }, 'locked'],
    [7, { expired: true }, 'wrong-password'],
    [6, {}, 'permission-denied'],
    [8, {}, 'insufficient-credentials'],
    [10, {}, 'unknown-to-pam'],
    [11, {}, 'too-many-tries'],
    [12 | 256, {}, 'password-expired'],
    [13 | 256, {}, 'account-expired'],
    [7 | 256, { expired: true }, 'account-expired'],
    [7 | 256, { passwordExpired: true }, 'password-expired'],
    [7 | 256, { locked: true }, 'locked'],
    [7 | 256, {}, 'account-refused'],
    [19 | 512, {}, 'asks-for-more-than-a-password'],
    [4 | 512, {}, 'asks-for-more-than-a-password'],
  ])('%i of %o is %s', (code, account, why) => {
    expect(decide(question, secret(), system(code, { ...alice, ...account }))).toEqual({ kind: 'refused', why })
    expect(decide(question, secret(), system(code))).toEqual({ kind: 'unknown' })
  })

  it.each([1, 2, 3, 4, 5, 9, 26, 28, 29, 9 | 256, -38, -22])('%i is no verdict, whoever it is about', (code) => {
    expect(decide(question, secret(), system(code, alice)).kind).toBe('failed')
    expect(decide(question, secret(), system(code)).kind).toBe('failed')
  })

  it('is not asked for where accounts cannot be looked up', () => {
    const pam = { ...system('alice', alice), account: () => -5 }
    expect(decide(question, secret(), pam)).toMatchObject({ kind: 'failed' })
  })

  it('is asked about a name that nobody has, at the same cost', () => {
    const pam = system(7)
    expect(decide({ ...question, user: 'nobody-here' }, secret(), pam)).toEqual({ kind: 'unknown' })
    expect(pam.asked).toEqual([{ service: 'files', user: 'nobody-here', password: 'wonderland', address: '192.0.2.7' }])
  })
})

describe('an account', () => {
  const ask = { ask: 'account', user: 'Alice' } as const

  it('is not told of where there is none, or nobody can say', () => {
    expect(decide(ask, undefined, system(0))).toEqual({ kind: 'unknown' })
    expect(decide(ask, undefined, { ...system(0), account: () => -5 })).toMatchObject({ kind: 'failed' })
  })

  it('is told of without what is secret, and without asking PAM', () => {
    const pam = system('alice', { ...alice, expired: true })
    expect(decide(ask, secret(), pam)).toEqual({
      kind: 'account',
      account: {
        name: 'alice',
        uid: 1001,
        gid: 1001,
        groups: ['alice', 'staff'],
        groupIds: [1001, 50],
        home: '/home/alice',
        expired: true,
      },
    })
    expect(pam.asked).toEqual([])
  })
})

describe('who comes in', () => {
  it('is called as the system writes the name, with all groups', () => {
    const pam = system('ALICE', alice)
    const answer = decide({ ...question, user: 'Alice' }, secret(), pam)
    expect(answer).toEqual({ kind: 'accepted', name: 'alice', groups: ['alice', 'staff'], stamp: expect.any(String) as string }) // prettier-ignore
    expect(pam.asked).toEqual([{ service: 'files', user: 'Alice', password: 'wonderland', address: '192.0.2.7' }])
  })

  it.each<Partial<PamRules>>([
    { allowedUsers: ['alice'] },
    { allowedGroups: ['staff'] },
    { allowedUsers: ['bob'], allowedGroups: ['staff'] },
    { deniedUsers: ['Alice', 'alic'], deniedGroups: ['wheel'] },
  ])('is let in by %o', (own) => {
    expect(decide({ ...question, rules: { ...rules, ...own } }, secret(), system('alice', alice)).kind).toBe('accepted')
  })

  it('has a stamp that changes with the account and says nothing of the hash', () => {
    const stampOf = (account: SystemAccount, stampKey = 'a2V5'): unknown => {
      const answer = decide({ ...question, ask: 'stamp', stampKey }, undefined, system(7, account))
      return answer.kind === 'stamp' ? answer.stamp : undefined
    }
    const stamp = stampOf(alice)
    expect(stamp).toBe(stampOf(alice))
    expect(stamp).toBe(stampOf({ ...alice, groups: ['staff', 'alice'] }))
    const others = [
      { ...alice, state: Buffer.from('alice:x:!$y$hash') },
      { ...alice, uid: 1002 },
      { ...alice, gid: 1002 },
      { ...alice, groups: ['alice'] },
      { ...alice, name: 'alice2' },
    ].map((account) => decide({ ...question, user: account.name, ask: 'stamp', stampKey: 'a2V5' }, undefined, system(7, account))) // prettier-ignore
    for (const other of others) expect(other).not.toEqual({ kind: 'stamp', stamp })
    expect(stampOf(alice, 'b3RoZXI=')).not.toBe(stamp)
    expect(decide({ ...question, ask: 'stamp', user: 'bob' }, undefined, system('bob', alice))).toEqual({
      kind: 'unknown',
    })
  })

  it('leaves no password behind', () => {
    for (const said of ['alice', 7, 9]) {
      const password = secret()
      decide(question, password, system(said, alice))
      expect([...password].every((byte) => byte === 0)).toBe(true)
    }
  })
})
