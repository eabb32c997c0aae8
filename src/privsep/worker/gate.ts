import { Failure } from '../../core/failure.js'
import { readTicket } from '../ticket.js'
import type { Table, TableEntry } from '../wire/link.js'

/** Of whom tickets must be, and the key that they are made with. */
export interface TicketRules {
  readonly key: Uint8Array
  readonly uid: number
  readonly generation: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Lets the other side ask only while it holds a ticket, which says that somebody has logged in as this user. */
export class TicketGate {
  readonly #rules: TicketRules
  #expires = 0

  constructor(rules: TicketRules) {
    this.#rules = rules
  }

  /** Looks at a ticket; throws `unauthenticated` for any that does not hold, which leaves those before as they were. */
  show(text: unknown): void {
    const { key, uid, generation, now } = this.#rules
    const ticket = readTicket(key, text, { uid, generation, now: now() })
    if (ticket === undefined) throw refused()
    this.#expires = Math.max(this.#expires, ticket.expires)
  }

  /** Throws `unauthenticated` without one, and after the last has expired. */
  require(): void {
    if (this.#rules.now() >= this.#expires) throw refused()
  }

  /** The same messages, each of which needs a ticket, and what `before` waits for. */
  guard(table: Table, before: (mount: unknown) => Promise<void> | undefined): Table {
    const guarded = (entry: TableEntry): TableEntry => ({
      maxBytes: entry.maxBytes,
      handle: (asked) => {
        this.require()
        const ready = before(asked.head.mount)
        return ready === undefined ? entry.handle(asked) : ready.then(() => entry.handle(asked))
      },
    })
    return Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, guarded(entry)]))
  }
}

function refused(): Failure {
  return new Failure('unauthenticated', 'This needs a login that is not over.')
}
