import { randomBytes } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import type { KnownAccount } from '../../auth/pam/question.js'
import type { Clock } from '../../core/clock.js'
import { claimOf, readTicket, workerKey } from '../ticket.js'
import type { Accounts } from './accounts.js'
import { barOf, isPlainUserName } from './rules.js'
import type { AccountRules } from './rules.js'
import type { ProcessUser } from './spawn.js'

/** A Unix user whom processes may be at present. */
export interface ActiveUser extends ProcessUser {
  readonly name: string
  /** Absolute; undefined where the account has none that is. */
  readonly home: string | undefined
  /** Tickets of another one are void. */
  readonly generation: string
  /** Of the tickets of this generation. */
  readonly key: Buffer
}

/** Told when what was handed out for a user is void: their processes must end. */
export type OnVoid = (user: { readonly name: string; readonly uid: number }, why: string) => void

export interface UserBookOptions {
  readonly accounts: Accounts
  readonly rules: AccountRules
  readonly onVoid: OnVoid
  readonly clock: Clock
  /** No ticket is good for longer, whoever has made it. */
  readonly ticketSeconds: number
}

/** By how much the clocks of two looks may differ. */
const slackMilliseconds = 60_000

/** All Unix users whom a login has named, as the system knew them then, with the keys of their tickets. */
export class UserBook {
  readonly #options: UserBookOptions
  /** Never leaves this process; with it go all tickets. */
  readonly #masterKey = randomBytes(32)
  readonly #users = new Map<string, ActiveUser>()
  readonly #byGeneration = new Map<string, ActiveUser>()

  constructor(options: UserBookOptions) {
    this.#options = options
  }

  /**
   * Looks the account up anew. Where it has changed, or nobody may act as it any more, what was handed out before is void.
   * Throws `denied`, with a reason for the audit log as its message, and `unavailable`.
   */
  async admit(name: string): Promise<ActiveUser> {
    if (!isPlainUserName(name)) throw new Failure('denied', 'unfit-name')
    const account = await this.#options.accounts.lookUp(name)
    const bar = account === undefined ? 'no-such-account' : barOf(name, account, this.#options.rules)
    const before = this.#users.get(name)
    if (account === undefined || bar !== undefined) {
      if (before !== undefined) this.#end(before, bar ?? '')
      throw new Failure('denied', bar ?? '')
    }
    if (before !== undefined && isSame(before, account)) return before
    if (before !== undefined) this.#end(before, 'account-changed')
    return this.#enter(account)
  }

  /** As of the last login. */
  find(name: string): ActiveUser | undefined {
    return this.#users.get(name)
  }

  /** Whom a ticket is for; undefined for all that are not good now, alike. */
  bearerOf(ticket: unknown): ActiveUser | undefined {
    const claim = claimOf(ticket)
    const user = claim && this.#byGeneration.get(claim.generation)
    if (user === undefined) return undefined
    const { clock, ticketSeconds } = this.#options
    const now = clock.now()
    const read = readTicket(user.key, ticket, { uid: user.uid, generation: user.generation, now })
    // Who has taken a user's process has the key of that user's tickets.
    const isShort = read !== undefined && read.expires <= now + ticketSeconds * 1000 + slackMilliseconds
    return isShort && read.user === user.name ? user : undefined
  }

  /** What was handed out for this user is void, until the next login. False where there is no such user. */
  void(name: string, why: string): boolean {
    const user = this.#users.get(name)
    if (user !== undefined) this.#end(user, why)
    return user !== undefined
  }

  #end(user: ActiveUser, why: string): void {
    this.#users.delete(user.name)
    this.#byGeneration.delete(user.generation)
    this.#options.onVoid(user, why)
  }

  #enter({ name, uid, gid, groupIds, home }: KnownAccount): ActiveUser {
    const generation = randomBytes(12).toString('hex')
    const user: ActiveUser = {
      name,
      uid,
      gid,
      groups: groupsOf(gid, groupIds),
      home: plainHome(home),
      generation,
      key: workerKey(this.#masterKey, uid, generation),
    }
    this.#users.set(name, user)
    this.#byGeneration.set(generation, user)
    return user
  }
}

function isSame(user: ActiveUser, { uid, gid, groupIds, home }: KnownAccount): boolean {
  const sameIds = user.uid === uid && user.gid === gid && user.groups.join() === groupsOf(gid, groupIds).join()
  return sameIds && user.home === plainHome(home)
}

/** The order in which a name service gives them says nothing. */
function groupsOf(gid: number, groupIds: readonly number[]): readonly number[] {
  return [...new Set([gid, ...groupIds])].sort((a, b) => a - b)
}

/** A path that means the same to everybody; without a slash at its end. */
function plainHome(home: string): string | undefined {
  const segments = home.split('/').slice(1)
  if (segments.at(-1) === '') segments.pop()
  const isPlain = home.startsWith('/') && !home.includes('\0') && segments.length > 0
  return isPlain && segments.every((segment) => !['', '.', '..'].includes(segment))
    ? `/${segments.join('/')}`
    : undefined
}
