import { Failure } from '../../core/failure.js'
import type { Clock } from '../../core/clock.js'
import { issueTicket } from '../ticket.js'
import type { Link } from '../wire/link.js'

/** What lets a front act for a user for a while. */
export interface Granted {
  readonly ticket: string
  /** Milliseconds since the epoch. */
  readonly ticketExpires: number
  /** Whom it is for, as the system writes the name. */
  readonly unixUser: string
}

/** Somebody, by the Unix user whom they act as. */
export interface ActsAs {
  readonly unixUser?: string | undefined
}

/** Somebody who may act as a Unix user. */
export interface Acting {
  readonly unixUser?: string | undefined
}

/** Makes tickets: each for somebody who has just proved who they are. */
export interface Tickets {
  /**
   * For the Unix user whom an identity acts as; undefined where it acts as none. `until` is when the proof is over, in
   * milliseconds since the epoch: the ticket does not outlive it by more than a minute. Throws `denied` where nobody may act as
   * that user, with the reason for the audit log as the message of its cause; `unavailable` where that cannot be known.
   */
  grant(identity: ActsAs, until?: number): Promise<Granted | undefined>
}

/** An account may have changed for so long before it is looked up again, unless somebody says that it has. */
const accountMilliseconds = 2000
const shortestMilliseconds = 60_000
const mostKept = 10_000

/** What the broker says of somebody whom the workers of its system may be. */
interface Account {
  readonly user: string
  readonly uid: number
  readonly generation: string
  readonly key: Uint8Array
  /** Milliseconds since the epoch. */
  readonly askedAt: number
}

/** Tickets under the keys of a broker. */
export class BrokerTickets implements Tickets {
  readonly #broker: Pick<Link, 'ask'>
  readonly #clock: Clock
  readonly #ticketMilliseconds: number
  readonly #accounts = new Map<string, Promise<Account>>()

  constructor(broker: Pick<Link, 'ask'>, clock: Clock, ticketSeconds: number) {
    this.#broker = broker
    this.#clock = clock
    this.#ticketMilliseconds = ticketSeconds * 1000
  }

  async grant({ unixUser }: ActsAs, until = Infinity): Promise<Granted | undefined> {
    if (unixUser === undefined) return undefined
    const { user, uid, generation, key } = await this.#account(unixUser)
    const now = this.#clock.now()
    const ticketExpires = Math.floor(
      Math.min(now + this.#ticketMilliseconds, Math.max(until, now + shortestMilliseconds)),
    )
    return {
      ticket: issueTicket(key, { user, uid, generation, expires: ticketExpires }),
      ticketExpires,
      unixUser: user,
    }
  }

  /** What was known of an account is no longer true. */
  forget(unixUser: string): void {
    this.#accounts.delete(unixUser)
  }

  async #account(name: string): Promise<Account> {
    for (;;) {
      const known = this.#accounts.get(name) ?? this.#look(name)
      const account = await known
      if (Math.abs(this.#clock.now() - account.askedAt) < accountMilliseconds) return account
      if (this.#accounts.get(name) === known) this.#accounts.delete(name)
    }
  }

  #look(name: string): Promise<Account> {
    if (this.#accounts.size >= mostKept) this.#accounts.clear()
    const asked = this.#ask(name)
    this.#accounts.set(name, asked)
    asked.catch(() => {
      if (this.#accounts.get(name) === asked) this.#accounts.delete(name)
    })
    return asked
  }

  async #ask(name: string): Promise<Account> {
    try {
      const { head } = await this.#broker.ask('account', { user: name }, { timeoutMilliseconds: 10_000 })
      const { user, uid, generation, key } = head
      // The broker is to be believed.
      if (
        typeof user !== 'string' ||
        typeof uid !== 'number' ||
        typeof generation !== 'string' ||
        typeof key !== 'string'
      )
        throw new Failure('unavailable', 'Accounts of this system cannot be looked up now.')
      return { user, uid, generation, key: Buffer.from(key, 'base64'), askedAt: this.#clock.now() }
    } catch (cause) {
      if (!(cause instanceof Failure) || cause.kind !== 'denied') throw cause
      throw new Failure('denied', 'This login may not act as its Unix user.', { cause })
    }
  }
}
