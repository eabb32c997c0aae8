import { expandUser } from './grant.js'
import type { Identity } from './identity.js'
import type { CachedDirectory } from './cached.js'
import type { Directory } from './identity.js'
import type { Links } from './links.js'
import { linksWithIdentities, withIdentities } from './with-identities.js'
import { Failure } from '../core/failure.js'
import { isOwnPath, rootPath, toPath, type StorePath } from '../core/path.js'

/** What a source says of all its callers, beside who they are. */
export interface HomeSetting {
  /** Where they find their root; `{user}` stands for the name. */
  readonly home: string
  /** Bytes that may lie below it, unless the caller has a number of its own. */
  readonly quotaBytes?: number
}

/**
 * The home of a caller. Throws `denied` where the name cannot stand for `{user}`, as in grants, and where the home would
 * be the root or lie in Postern's own part of the namespace; `invalid` for what is no path.
 */
export function homeOf(home: string, name: string): StorePath {
  const [text = ''] = expandUser([home], name)
  const path = toPath(text)
  if (path === rootPath || isOwnPath(path))
    throw new Failure('denied', 'The user name cannot stand for {user} in a home.')
  return path
}

/** The identity in its home: its own, where the source has given it one. Throws like `homeOf`. */
export function atHome(identity: Identity, { home, quotaBytes }: HomeSetting): Identity {
  if (identity.home === rootPath) return identity
  return {
    ...(quotaBytes !== undefined && { quotaBytes }),
    ...identity,
    home: identity.home ?? homeOf(home, identity.name),
  }
}

/** A directory whose callers each have a home. Whoever can have none, for its name, is refused. */
export function withHomes(directory: CachedDirectory, setting: HomeSetting): CachedDirectory
export function withHomes(directory: Directory, setting: HomeSetting): Directory
export function withHomes(directory: Directory | CachedDirectory, setting: HomeSetting): Directory | CachedDirectory {
  return withIdentities(directory, (identity) => atHome(identity, setting), 'no-home')
}

/** Links that lead into the home of whoever has signed them. */
export function linksToHomes(links: Links, setting: HomeSetting): Links {
  return linksWithIdentities(links, (identity) => atHome(identity, setting))
}
