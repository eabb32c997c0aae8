import type { StorePath } from '../core/path.js'
import type { Identity } from './identity.js'

/** Whom the callers of a source act as under privilege separation, where they say nothing else themselves. */
export interface UnixUserRules {
  /** The name of a Unix user; `{user}` for that of the caller. Nobody without it. */
  readonly actsAs?: string | undefined
  /** Where a Unix user is at home in the tree; everywhere where it gives undefined. */
  readonly homeOf: (unixUser: string) => StorePath | undefined
}

/** The identity with the Unix user that it acts as, and at home there unless it has another home. */
export function asUnixUser(identity: Identity, { actsAs, homeOf }: UnixUserRules): Identity {
  const unixUser = identity.unixUser ?? (actsAs === '{user}' ? identity.name : actsAs)
  if (unixUser === undefined) return identity
  const home = identity.home ?? homeOf(unixUser)
  return { ...identity, unixUser, ...(home !== undefined && { home }) }
}
