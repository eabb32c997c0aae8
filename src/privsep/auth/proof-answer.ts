import { addressOf } from '../../auth/credential-check.js'
import type { Identity } from '../../auth/identity.js'
import { shownName } from '../../auth/shown-name.js'
import { isFailure } from '../../core/failure.js'
import type { RequestHead } from '../sent-request.js'
import type { Head } from '../wire/link.js'
import type { Knowledge } from './knowledge.js'
import type { Tickets } from './tickets.js'

/** Somebody who has proved who they are by something that they signed. */
export interface Proven {
  readonly identity: Identity
  /** Milliseconds since the epoch, from when on it proves nothing; absent where nothing was shown. */
  readonly until?: number
}

/**
 * What a front is told of them, with a ticket that does not outlive the proof. Throws what `Tickets` throws; who may not act
 * as their Unix user is written down.
 */
export async function proofAnswer(
  { identity, until }: Proven,
  request: Pick<RequestHead, 'peer'>,
  { noteLogin }: Pick<Knowledge, 'noteLogin'>,
  tickets: Tickets,
): Promise<Head> {
  try {
    return { identity, ...(await tickets.grant(identity, until)) }
  } catch (error) {
    if (isFailure(error, 'denied')) {
      const why = error.cause instanceof Error ? error.cause.message : 'no-unix-user'
      const { name, source } = identity
      noteLogin({ event: 'login-failed', name: shownName(name), source, why, ...addressOf(request.peer) })
    }
    throw error
  }
}
