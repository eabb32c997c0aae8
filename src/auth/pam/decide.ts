import { createHmac, randomBytes } from 'node:crypto'
import type { AccountCalls, SystemAccount } from '../../store/native.js'
import type { AccountQuestion, PamAnswer, PamQuestion, PamRules } from './question.js'

/** What an answer is made of. */
export interface PamSystem extends Pick<AccountCalls, 'pamLogin' | 'account'> {
  /** Whether PAM has a service of that name; without one it would take what stands under `other`. */
  hasService(service: string): boolean
}

/**
 * Asks PAM and the system. A user who may not come in whatever the password is has PAM asked all the same, with a password
 * that is none: so it costs as much, and nobody learns whether theirs was right (as OpenSSH does). `password` is undefined
 * where it cannot be one; it is zero afterwards.
 */
export function decide(
  question: PamQuestion | AccountQuestion,
  password: Uint8Array | undefined,
  system: PamSystem,
): PamAnswer {
  if (question.ask === 'account') return accountOf(question.user, system)
  const { service, user, address = '', rules, stampKey } = question
  const asked = system.account(user)
  if (typeof asked === 'number') return { kind: 'failed', why: `accounts cannot be looked up (errno ${-asked})` }
  const stamp = asked && stampOf(asked, stampKey)
  if (question.ask === 'stamp') return stamp === undefined ? { kind: 'unknown' } : { kind: 'stamp', stamp }
  if (!system.hasService(service)) return { kind: 'failed', why: `there is no PAM service ${service}` }
  const bar = asked && barOf(asked, rules)
  const usable = bar === undefined && password !== undefined && password.length > 0
  const said = system.pamLogin(service, user, usable ? password : noPassword(password?.length), address)
  password?.fill(0)
  if (typeof said === 'number' && cannotSay.has(said & codeMask) && (said & askedMore) === 0)
    return { kind: 'failed', why: `the PAM service ${service} fails with code ${said & codeMask}` }
  if (typeof said === 'number' && said < 0) return { kind: 'failed', why: `PAM cannot be asked (errno ${-said})` }
  if (bar !== undefined) return { kind: 'refused', why: bar }
  if (!usable) return asked === undefined ? { kind: 'unknown' } : { kind: 'refused', why: 'no-possible-password' }
  if (typeof said === 'number')
    return asked === undefined ? { kind: 'unknown' } : { kind: 'refused', why: whyOf(said, asked) }
  return accepted(said, rules, stampKey, system)
}

function accountOf(asked: string, system: PamSystem): PamAnswer {
  const found = system.account(asked)
  if (typeof found === 'number') return { kind: 'failed', why: `accounts cannot be looked up (errno ${-found})` }
  if (found === undefined) return { kind: 'unknown' }
  const { name, uid, gid, groups, groupIds, home, expired, state } = found
  state.fill(0)
  return { kind: 'account', account: { name, uid, gid, groups, groupIds, home, expired } }
}

/** A module may have put another name in the place of that which was asked for: that one counts. */
function accepted(user: string, rules: PamRules, stampKey: string, system: PamSystem): PamAnswer {
  const account = system.account(user)
  if (typeof account === 'number') return { kind: 'failed', why: `accounts cannot be looked up (errno ${-account})` }
  if (account === undefined) return { kind: 'unknown' }
  const { name, groups } = account
  const stamp = stampOf(account, stampKey)
  const bar = barOf(account, rules)
  return bar === undefined ? { kind: 'accepted', name, groups, stamp } : { kind: 'refused', why: bar }
}

/** Why a user may not come in at all. */
export function barOf({ name, uid, gid, groups }: SystemAccount, rules: PamRules): string | undefined {
  const { minimumUid, allowedUsers, allowedGroups, deniedUsers, deniedGroups } = rules
  if (uid === 0) return 'root'
  if (gid === 0) return 'group-of-root'
  if (uid < minimumUid) return 'uid-below-minimum'
  if (deniedUsers.includes(name)) return 'denied-user'
  if (groups.some((group) => deniedGroups.includes(group))) return 'denied-group'
  const isOpen = allowedUsers.length === 0 && allowedGroups.length === 0
  if (isOpen || allowedUsers.includes(name) || groups.some((group) => allowedGroups.includes(group))) return undefined
  return 'not-allowed'
}

/** As long as the one in whose place it stands; it holds what nobody can type. */
function noPassword(length = 16): Uint8Array {
  const bytes = randomBytes(Math.max(length, 16))
  return bytes.map((byte) => (byte % 31) + 1)
}

function stampOf({ name, uid, gid, groups, state }: SystemAccount, key: string): string {
  const hmac = createHmac('sha256', Buffer.from(key, 'base64'))
  hmac.update(JSON.stringify([name, uid, gid, [...groups].sort()])).update(state)
  state.fill(0)
  return hmac.digest('base64url')
}

/* Of Linux-PAM (_pam_types.h), and what the addon adds. */
const codeMask = 255
const byAccount = 256
const askedMore = 512
/** Something is broken, unreachable or not installed: no verdict on the password. */
const cannotSay = new Set([1, 2, 3, 4, 5, 9, 26, 28, 29])
const plainReasons: ReadonlyMap<number, string> = new Map([
  [6, 'permission-denied'],
  [8, 'insufficient-credentials'],
  [10, 'unknown-to-pam'],
  [11, 'too-many-tries'],
  [12, 'password-expired'],
  [13, 'account-expired'],
  [27, 'password-expired'],
])

/** For the audit log. Many stacks turn every reason into one; then the account itself says more. */
function whyOf(said: number, account: SystemAccount): string {
  if ((said & askedMore) !== 0) return 'asks-for-more-than-a-password'
  const known = plainReasons.get(said & codeMask)
  if (known !== undefined) return known
  if (account.locked) return 'locked'
  if ((said & byAccount) === 0) return 'wrong-password'
  if (account.expired) return 'account-expired'
  return account.passwordExpired ? 'password-expired' : 'account-refused'
}
