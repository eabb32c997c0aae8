import type { Clock } from '../../core/clock.js'
import { isFailure } from '../../core/failure.js'
import type { Link } from '../wire/link.js'
import { patience } from './patience.js'
import type { TicketBook } from './ticket-book.js'

export interface AnonymousTicketOptions {
  /** To the process that knows all callers. */
  readonly door: Pick<Link, 'ask'>
  readonly book: TicketBook
  readonly clock: Clock
  /** Whom callers without a credential act as. */
  readonly unixUser: string
}

/** So often it is asked whether they still may. */
const renewMilliseconds = 60_000

/**
 * Lets callers without a credential in, for as long as there is a ticket for them; to be called before each. Where no new one
 * can be had, the one that is there goes on. Throws what the other process says, and `unavailable`.
 */
export function anonymousTicket({ door, book, clock, unixUser }: AnonymousTicketOptions): () => Promise<void> {
  let renewAt = 0
  let renewing: Promise<void> | undefined

  const holds = (): boolean => book.expiresOf(unixUser) !== undefined

  async function renew(): Promise<void> {
    const { head } = await door.ask('anonymous', {}, patience)
    const { ticket, ticketExpires } = head
    if (typeof ticket === 'string' && typeof ticketExpires === 'number') book.put(unixUser, ticket, ticketExpires)
    renewAt = clock.now() + renewMilliseconds
  }

  return async () => {
    if (clock.now() < renewAt && holds()) return
    renewing ??= renew().finally(() => (renewing = undefined))
    try {
      await renewing
    } catch (error) {
      if (!isFailure(error, 'unavailable') || !holds()) throw error
    }
  }
}
