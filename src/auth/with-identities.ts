import { isFailure } from '../core/failure.js'
import type { CachedDirectory } from './cached.js'
import type { Directory, Identity, Verdict } from './identity.js'
import type { Links } from './links.js'

/** What becomes of the identities of a source. Throws `denied` or `invalid` for one that can be none. */
export type IdentityChange = (identity: Identity) => Identity

/** A directory whose identities are changed. Whoever can be none then is refused; `why` is for the audit log. */
export function withIdentities(
  directory: Directory | CachedDirectory,
  change: IdentityChange,
  why: string,
): Directory | CachedDirectory {
  const current = directory.current?.bind(directory)
  const signingKey = directory.signingKey?.bind(directory)
  const changed = (verdict: Verdict): Verdict => {
    if (verdict.kind !== 'identity') return verdict
    try {
      return { ...verdict, identity: change(verdict.identity) }
    } catch (error) {
      if (isFailure(error, 'denied', 'invalid')) return { kind: 'refused', why }
      throw error
    }
  }
  return {
    name: directory.name,
    accepts: directory.accepts,
    ...(directory.dependsOn && { dependsOn: directory.dependsOn }),
    check: async (credential, facts) => changed(await directory.check(credential, facts)),
    ...(current && { current }),
    ...(signingKey && {
      signingKey: async (accessKeyId) => {
        const found = await signingKey(accessKeyId)
        return found && { ...found, identity: change(found.identity) }
      },
    }),
    ...('remembered' in directory && {
      remembered: async (asked) => {
        const found = await directory.remembered(asked)
        const verdict = found && changed(found)
        return verdict?.kind === 'identity' ? verdict : undefined
      },
    }),
  }
}

/** Links whose signers are changed in the same way. */
export function linksWithIdentities(links: Links, change: IdentityChange): Links {
  return {
    below: links.below,
    open: async (request, target) => {
      const opened = await links.open(request, target)
      return opened && { ...opened, identity: change(opened.identity) }
    },
  }
}
