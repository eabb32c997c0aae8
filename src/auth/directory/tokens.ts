import type { Clock } from '../../core/clock.js'
import { compileGrants, expandUser } from '../grant.js'
import type { Directory, Identity } from '../identity.js'
import { indexOfToken } from '../token-hash.js'

/** A bearer token that a configuration knows by its hash. */
export interface KnownToken {
  /** The principal; several tokens may share it, which is how one is replaced. */
  readonly name: string
  /** SHA-256 of the token's text. */
  readonly hash: Uint8Array
  readonly grants: readonly string[]
  /** Milliseconds since the epoch, from when on it is refused. */
  readonly expires?: number
  /** Whom it acts as under privilege separation. */
  readonly unixUser?: string
}

/** Bearer tokens from a configuration. Throws `invalid` where grants are not right, `denied` where `{user}` in them cannot be the name. */
export function tokensDirectory(options: {
  readonly name: string
  readonly tokens: readonly KnownToken[]
  readonly clock: Clock
}): Directory {
  const { name: source, tokens, clock } = options
  const hashes = tokens.map(({ hash }) => hash)
  const identities = tokens.map(({ name, grants, unixUser }): Identity => {
    const expanded = expandUser(grants, name)
    compileGrants(expanded, source)
    return { name, source, grants: expanded, ...(unixUser !== undefined && { unixUser }) }
  })
  return {
    name: source,
    accepts: new Set(['bearer'] as const),
    async check(credential) {
      if (credential.kind !== 'bearer') return { kind: 'unknown' }
      const index = indexOfToken(hashes, credential.token)
      const identity = identities[index]
      if (identity === undefined) return { kind: 'unknown' }
      const expires = tokens[index]?.expires
      if (expires !== undefined && expires <= clock.now()) return { kind: 'refused', why: 'expired' }
      return { kind: 'identity', identity, ...(expires !== undefined && { until: expires }) }
    },
  }
}
