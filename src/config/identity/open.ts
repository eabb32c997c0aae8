import { cached } from '../../auth/cached.js'
import type { CachedDirectory, CredentialKey } from '../../auth/cached.js'
import type { Directory } from '../../auth/identity.js'
import type { IdentitySetting } from './entry.js'
import type { IdentityNeeds, OpenSource } from './kind.js'
import { identityKinds } from './kinds.js'

export interface OpenSources {
  /** In the order in which they are asked. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  close(): Promise<void>
}

/** Opens the sources of a configuration, each with its cache. Throws `invalid` and what the kinds throw; then none stays open. */
export async function openSources(
  settings: readonly IdentitySetting[],
  needs: Omit<IdentityNeeds, 'cacheSeconds'>,
  keyOf: CredentialKey,
): Promise<OpenSources> {
  const opened: OpenSource[] = []
  const close = async (): Promise<void> => {
    for (const source of opened) await source.close?.()
  }
  try {
    const directories: (Directory | CachedDirectory)[] = []
    for (const { kind, name, cacheSeconds, settings: own } of settings) {
      const source = await identityKinds.get(kind)?.open(name, own, { ...needs, cacheSeconds })
      if (source === undefined) continue
      opened.push(source)
      const { directory } = source
      directories.push(
        cacheSeconds === 0 || 'remembered' in directory
          ? directory
          : cached(directory, { clock: needs.clock, keyOf, ttlSeconds: cacheSeconds }),
      )
    }
    return { directories, close }
  } catch (error) {
    await close()
    throw error
  }
}
