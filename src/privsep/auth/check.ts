import type { Accepted, Asked } from '../../auth/cached.js'
import { addressOf, createCredentialCheck, loginOf, nameIn } from '../../auth/credential-check.js'
import type { Credential, Identity, RequestFacts } from '../../auth/identity.js'
import { isFailure } from '../../core/failure.js'
import { maxCredentialBytes, readCredentialHead } from './credential-head.js'
import type { DoorPart } from './door.js'
import type { Granted } from './tickets.js'

/** Whom a front may let in. */
export interface AdmittedHead extends Partial<Granted> {
  readonly identity: Identity
  /** Milliseconds since the epoch, from when on it must ask again; absent where the source sets no end. */
  readonly until?: number
}

/** Of logins that were told of. */
const mostSeen = 10_000

/**
 * `check {credential, facts}`: whose a credential is, with a ticket for the Unix user that they act as. Passwords are
 * slowed, and all is written down, here: a front that somebody has taken can guess no faster than its callers could.
 */
export const checkPart: DoorPart = ({ directories, throttle, noteLogin, keyOf }, tickets) => {
  const check = createCredentialCheck({ directories, throttle, audit: noteLogin })
  const seen = new Set<string>()

  async function accepted(credential: Credential, facts: RequestFacts): Promise<Accepted> {
    const key = keyOf(credential)
    const asked: Asked = { key, credential, facts }
    try {
      const verdict = (await check.remembered({ ...asked, kind: credential.kind })) ?? (await check.check(asked))
      if (!seen.has(key)) noteLogin(loginOf(verdict.identity, credential, facts))
      if (seen.size >= mostSeen) seen.clear()
      seen.add(key)
      return verdict
    } catch (error) {
      seen.delete(key)
      throw error
    }
  }

  /** Nobody else's reason but the system's keeps a caller out whose credential is right. */
  async function granted(
    { identity, until }: Accepted,
    credential: Credential,
    facts: RequestFacts,
  ): Promise<Granted | undefined> {
    try {
      return await tickets.grant(identity, until)
    } catch (error) {
      if (isFailure(error, 'denied')) {
        const why = error.cause instanceof Error ? error.cause.message : 'no-unix-user'
        const { source } = identity
        noteLogin({ event: 'login-failed', name: nameIn(credential), source, why, ...addressOf(facts) })
      }
      throw error
    }
  }

  return {
    check: {
      maxBytes: maxCredentialBytes,
      handle: async ({ head }) => {
        const { credential, facts } = readCredentialHead(head)
        const verdict = await accepted(credential, facts)
        const ticket = await granted(verdict, credential, facts)
        const { identity } = verdict
        const until = Math.min(verdict.until ?? Infinity, ticket?.ticketExpires ?? Infinity)
        const answer: AdmittedHead = { identity, ...(until !== Infinity && { until }), ...ticket }
        return { head: { ...answer } }
      },
    },
  }
}
