import type { Identity } from '../../auth/identity.js'
import type { AdmittedHead } from '../auth/check.js'
import type { Head } from '../wire/link.js'
import type { TicketBook } from './ticket-book.js'

/** Somebody whom the process that knows all callers has let in. */
export interface Admitted {
  readonly identity: Identity
  /** Milliseconds since the epoch, from when on it must be asked again; absent where the source sets no end. */
  readonly until?: number
}

/** Reads its answer, and keeps the ticket that came with it. */
export function admitted(head: Head, book: TicketBook): Admitted {
  // Whoever knows all callers is to be believed.
  const { identity, until, ticket, ticketExpires, unixUser } = head as unknown as AdmittedHead
  const ended = until === undefined ? {} : { until }
  if (ticket === undefined || ticketExpires === undefined || unixUser === undefined) return { identity, ...ended }
  book.put(unixUser, ticket, ticketExpires)
  return { identity: { ...identity, unixUser }, ...ended }
}
