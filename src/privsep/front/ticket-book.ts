import type { Clock } from '../../core/clock.js'
import { claimOf } from '../ticket.js'

/** The tickets of this front: one for each Unix user, which says that somebody has logged in as them. */
export interface TicketBook {
  /** Keeps a ticket where it is worth it. `expires` in milliseconds since the epoch. */
  put(unixUser: string, ticket: string, expires: number): void
  /** When the ticket of that user is over, in milliseconds since the epoch; undefined where there is none that still holds. */
  expiresOf(unixUser: string): number | undefined
}

export interface KeptTicket {
  readonly ticket: string
  /** Milliseconds since the epoch. */
  readonly expires: number
}

/** A ticket that is over so little later does not take the place of another: its worker need not be shown each. */
const worthMilliseconds = 30_000
const manyTickets = 1000

/** Keeps tickets in memory, for as long as they hold. */
export class KeptTickets implements TicketBook {
  readonly #clock: Clock
  readonly #onNew: (unixUser: string, ticket: KeptTicket) => void
  readonly #tickets = new Map<string, KeptTicket>()

  /** `onNew` is told of each ticket that is kept: the user's worker must see it before the one before is over. */
  constructor(clock: Clock, onNew: (unixUser: string, ticket: KeptTicket) => void = () => undefined) {
    this.#clock = clock
    this.#onNew = onNew
  }

  put(unixUser: string, ticket: string, expires: number): void {
    const known = this.ticketOf(unixUser)
    if (known !== undefined && isSameLife(known.ticket, ticket) && expires < known.expires + worthMilliseconds) return
    if (this.#tickets.size >= manyTickets) this.#tidy()
    const kept = { ticket, expires }
    this.#tickets.set(unixUser, kept)
    this.#onNew(unixUser, kept)
  }

  expiresOf(unixUser: string): number | undefined {
    return this.ticketOf(unixUser)?.expires
  }

  /** What the broker and the user's worker are shown; undefined where there is none that still holds. */
  ticketOf(unixUser: string): KeptTicket | undefined {
    const kept = this.#tickets.get(unixUser)
    return kept !== undefined && kept.expires > this.#clock.now() ? kept : undefined
  }

  /** Tickets of this user are worth nothing any more; gives the names that they were kept under. */
  drop(uid: number): readonly string[] {
    const names = [...this.#tickets].filter(([, { ticket }]) => claimOf(ticket)?.uid === uid).map(([name]) => name)
    for (const name of names) this.#tickets.delete(name)
    return names
  }

  #tidy(): void {
    const now = this.#clock.now()
    for (const [name, { expires }] of this.#tickets) if (expires <= now) this.#tickets.delete(name)
  }
}

/** Whether two tickets are for the same life of a user's process: a new one makes those from before worthless. */
function isSameLife(one: string, other: string): boolean {
  const [first, second] = [claimOf(one), claimOf(other)]
  return first?.uid === second?.uid && first?.generation === second?.generation
}
