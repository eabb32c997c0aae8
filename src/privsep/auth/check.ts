import type { Accepted, Asked } from '../../auth/cached.js'
import { addressOf, loginOf } from '../../auth/credential-check.js'
import type { Credential, Identity, RequestFacts } from '../../auth/identity.js'
import { maxCredentialBytes, readCredentialHead } from './credential-head.js'
import type { DoorPart } from './door.js'
import { proofAnswer } from './proof-answer.js'
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
export const checkPart: DoorPart = (known, tickets) => {
  const { credentials, noteLogin, keyOf } = known
  const seen = new Set<string>()

  async function accepted(credential: Credential, facts: RequestFacts): Promise<Accepted> {
    const key = keyOf(credential)
    const asked: Asked = { key, credential, facts }
    try {
      const verdict =
        (await credentials.remembered({ ...asked, kind: credential.kind })) ?? (await credentials.check(asked))
      if (!seen.has(key)) noteLogin(loginOf(verdict.identity, credential, facts))
      if (seen.size >= mostSeen) seen.clear()
      seen.add(key)
      return verdict
    } catch (error) {
      seen.delete(key)
      throw error
    }
  }

  return {
    check: {
      maxBytes: maxCredentialBytes,
      handle: async ({ head }) => {
        const { credential, facts } = readCredentialHead(head)
        const { identity, until } = await accepted(credential, facts)
        // What was begun by then may go on for as long as any ticket holds.
        const answer = await proofAnswer({ identity }, { peer: addressOf(facts) }, known, tickets)
        return { head: { ...answer, ...(until !== undefined && { until }) } }
      },
    },
  }
}
