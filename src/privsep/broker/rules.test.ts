import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KnownAccount } from '../../auth/pam/question.js'
import { barOf, isPlainUserName } from './rules.js'
import type { AccountRules } from './rules.js'

const alice: KnownAccount = {
  name: 'alice',
  uid: 1001,
  gid: 1001,
  groups: ['alice', 'staff', '4242'],
  groupIds: [1001, 50, 4242],
  home: '/home/alice',
  expired: false,
}
const rules: AccountRules = {
  minimumUid: 1000,
  maximumUid: 60000,
  allowedGroups: [],
  reservedUids: [990, 2000],
  reservedGids: [990, 2000],
}
const open: AccountRules = { ...rules, minimumUid: 0, maximumUid: 2 ** 33, reservedUids: [], reservedGids: [] }

describe('nobody acts as', () => {
  it.each<readonly [why: string, account: Partial<KnownAccount>, own: Partial<AccountRules>]>([
    ['root', { uid: 0 }, {}],
    ['root', { uid: 0, name: 'toor' }, open],
    ['group-of-root', { gid: 0 }, open],
    ['group-of-root', { groupIds: [1001, 0] }, open],
    ['other-name', { name: 'Alice' }, {}],
    ['other-name', { name: 'bob' }, open],
    ['user-of-the-server', { uid: 2000 }, {}],
    ['group-of-the-server', { gid: 2000 }, {}],
    ['group-of-the-server', { groupIds: [1001, 990] }, {}],
    ['uid-below-minimum', { uid: 999 }, {}],
    ['uid-above-maximum', { uid: 60001 }, {}],
    ['unfit-id', { uid: 0xffffffff }, open],
    ['unfit-id', { gid: 0xffffffff }, open],
    ['unfit-id', { groupIds: [0xffffffff] }, open],
    ['too-many-groups', { groupIds: Array.from({ length: 9000 }, (_, index) => index + 3000) }, {}],
    ['account-expired', { expired: true }, { allowedGroups: ['staff'] }],
    ['not-allowed', {}, { allowedGroups: ['wheel'] }],
    ['not-allowed', {}, { allowedGroups: ['Staff', '42'] }],
  ])('%s: %o %o', (why, account, own) => {
    expect(barOf('alice', { ...alice, ...account }, { ...rules, ...own })).toBe(why)
  })

  it('names that are no plain component of a path', () => {
    for (const name of [
      '',
      '.',
      '..',
      '.alice',
      'ame\u0301lie',
      'al\uFFFDce',
      '-alice',
      '--reuid=0',
      'a/b',
      '../bob',
      'a\0b',
      'a\nb',
      'a\u007fb',
      '\ud800',
    ])
      expect(isPlainUserName(name), JSON.stringify(name)).toBe(false)
    expect(isPlainUserName('a'.repeat(256))).toBe(false)
    expect(isPlainUserName(7)).toBe(false)
    expect(barOf('..', { ...alice, name: '..' }, open)).toBe('unfit-name')
  })
})

describe('somebody may act', () => {
  it('within the rules', () => {
    expect(barOf('alice', alice, rules)).toBeUndefined()
    expect(barOf('alice', alice, { ...rules, minimumUid: 1001, maximumUid: 1001 })).toBeUndefined()
  })

  it('as a member of an allowed group, by its name or number', () => {
    for (const group of ['staff', '4242', '50'])
      expect(barOf('alice', alice, { ...rules, allowedGroups: ['wheel', group] })).toBeUndefined()
  })

  it('under names as systems have them', () => {
    for (const name of ['alice', 'DOM\\alice', 'alice@example.org', 'pc$', 'ä'])
      expect(isPlainUserName(name), name).toBe(true)
  })

  it('never with an id of root, whatever the rules are', () => {
    const id = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffffffff }))
    fc.assert(
      fc.property(
        id,
        id,
        fc.array(id),
        fc.array(fc.constantFrom('staff', '0')),
        (uid, gid, groupIds, allowedGroups) => {
          const bar = barOf('alice', { ...alice, uid, gid, groupIds }, { ...open, allowedGroups })
          if ([uid, gid, ...groupIds].includes(0)) expect(bar).toBeDefined()
        },
      ),
    )
  })
})
