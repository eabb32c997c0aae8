import { join } from 'node:path'
import { cached } from '../../auth/cached.js'
import type { CachedDirectory, CredentialKey } from '../../auth/cached.js'
import type { TableUsers } from '../../auth/directory/table-users.js'
import { linksToHomes, withHomes } from '../../auth/home.js'
import type { HomeSetting } from '../../auth/home.js'
import type { Directory, Identity } from '../../auth/identity.js'
import type { Links } from '../../auth/links.js'
import { keptSuccesses } from '../../auth/kept-successes.js'
import { asUnixUser } from '../../auth/unix-user.js'
import type { UnixUserRules } from '../../auth/unix-user.js'
import { linksWithIdentities, withIdentities } from '../../auth/with-identities.js'
import { openKeptValues } from '../../catalog/kept-values.js'
import type { KeptValues } from '../../catalog/kept-values.js'
import type { IdentitySetting } from './entry.js'
import type { IdentityNeeds, OpenSource } from './kind.js'
import { identityKinds } from './kinds.js'

export interface OpenSources {
  /** In the order in which they are asked. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  /** Those whose users Postern may manage. */
  readonly users: readonly TableUsers[]
  /** Those whose callers sign links. */
  readonly links: readonly Links[]
  close(): Promise<void>
}

/**
 * Opens the sources of a configuration, each with its cache. `homeOf`: where Unix users are at home, who are no more than a
 * name without it. Throws `invalid` and what the kinds throw; then none stays open.
 */
export async function openSources(
  settings: readonly IdentitySetting[],
  needs: Omit<IdentityNeeds, 'cacheSeconds' | 'keyOf'>,
  keyOf: CredentialKey,
  homeOf?: UnixUserRules['homeOf'],
): Promise<OpenSources> {
  const opened: OpenSource[] = []
  const close = async (): Promise<void> => {
    for (const source of opened) await source.close?.()
  }
  try {
    const directories: (Directory | CachedDirectory)[] = []
    for (const setting of settings) {
      const { kind, name, cacheSeconds, settings: own } = setting
      const found = await identityKinds.get(kind)?.open(name, own, { ...needs, cacheSeconds, keyOf })
      if (found === undefined) continue
      const housed = setting.home === undefined ? found : withHomesOf(found, setting.home)
      const source = homeOf === undefined ? housed : withUnixUsersOf(housed, { actsAs: setting.unixUser, homeOf })
      opened.push(source)
      const { directory } = source
      if (cacheSeconds === 0 || 'remembered' in directory) {
        directories.push(directory)
        continue
      }
      const kept = await openKept(setting, needs)
      if (kept) opened.push({ directory, close: async () => kept.close() })
      const { clock } = needs
      directories.push(
        cached(directory, { clock, keyOf, ttlSeconds: cacheSeconds, ...(kept && { persisted: keptSuccesses(kept) }) }),
      )
    }
    const users = opened.flatMap(({ users }) => users ?? [])
    return { directories, users, links: opened.flatMap(({ links }) => links ?? []), close }
  } catch (error) {
    await close()
    throw error
  }
}

function withHomesOf(source: OpenSource, home: HomeSetting): OpenSource {
  const { directory, links } = source
  return { ...source, directory: withHomes(directory, home), ...(links && { links: linksToHomes(links, home) }) }
}

function withUnixUsersOf(source: OpenSource, rules: UnixUserRules): OpenSource {
  const { directory, links } = source
  const change = (identity: Identity): Identity => asUnixUser(identity, rules)
  return {
    ...source,
    directory: withIdentities(directory, change, 'no-unix-user'),
    ...(links && { links: linksWithIdentities(links, change) }),
  }
}

/** Hangs on all settings of the source: a success under others is none. */
function openKept(
  setting: IdentitySetting,
  { secret, clock, warn }: Pick<IdentityNeeds, 'secret' | 'clock' | 'warn'>,
): Promise<KeptValues | undefined> {
  const { name, cacheFolder, cacheSeconds: ttlSeconds } = setting
  if (cacheFolder === undefined) return Promise.resolve(undefined)
  const file = join(cacheFolder, `postern-${name}.sqlite`)
  return openKeptValues({ file, secret, scope: JSON.stringify(setting), ttlSeconds, clock, warn })
}
