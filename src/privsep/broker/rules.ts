import type { KnownAccount } from '../../auth/pam/question.js'
import { isOrdinaryId } from './spawn.js'

/** Whom no worker may be, whatever an account says. Root's ids never are allowed. */
export interface AccountRules {
  readonly minimumUid: number
  readonly maximumUid: number
  /** By name, or by number where a group has none. Where not empty, a user must be in one of them. */
  readonly allowedGroups: readonly string[]
  /** Of the server's own processes: who has one of them could reach what only those may. */
  readonly reservedUids: readonly number[]
  readonly reservedGids: readonly number[]
}

const longestName = 255
const mostGroups = 8192
const unfit = /[\u0000-\u001f\u007f/]/

/**
 * Whether a name can be that of a user: it is one plain component of a path, shows what it is on a line, and no program
 * takes it for an option.
 */
export function isPlainUserName(name: unknown): name is string {
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > longestName) return false
  // Paths are NFC: two users whose names are written alike would have one place in the tree.
  const isOneInTree = name.isWellFormed() && !name.includes('\uFFFD') && name === name.normalize('NFC')
  return isOneInTree && !unfit.test(name) && !name.startsWith('.') && !name.startsWith('-')
}

/** Why nobody may act as this account, which was found under the name `asked`; for the audit log. */
export function barOf(asked: string, account: KnownAccount, rules: AccountRules): string | undefined {
  const { name, uid, gid, groups, groupIds, expired } = account
  const ids = [gid, ...groupIds]
  if (uid === 0) return 'root'
  if (ids.includes(0)) return 'group-of-root'
  // Two names of one user would have two places in the tree, and two sets of locks.
  if (name !== asked) return 'other-name'
  if (!isPlainUserName(name)) return 'unfit-name'
  if (rules.reservedUids.includes(uid)) return 'user-of-the-server'
  if (ids.some((id) => rules.reservedGids.includes(id))) return 'group-of-the-server'
  if (uid < rules.minimumUid) return 'uid-below-minimum'
  if (uid > rules.maximumUid) return 'uid-above-maximum'
  if (![uid, ...ids].every(isOrdinaryId)) return 'unfit-id'
  if (ids.length > mostGroups) return 'too-many-groups'
  if (expired) return 'account-expired'
  const { allowedGroups } = rules
  if (allowedGroups.length === 0) return undefined
  const isAllowed = allowedGroups.some((group) => groups.includes(group) || ids.map(String).includes(group))
  return isAllowed ? undefined : 'not-allowed'
}
