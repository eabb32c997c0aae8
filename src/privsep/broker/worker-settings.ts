import { isAbsolute } from 'node:path'
import type { WorkerMount, WorkerSettings } from '../settings.js'
import type { ActiveUser } from './user-book.js'

/** Where nobody's home is, as the account `nobody` has it. */
const nowhere = '/nonexistent'

/** What the process of a user is told. A mount that lies in a home has no place for an account that has none. */
export function workerSettings(
  { name, uid, generation, key, home }: ActiveUser,
  mounts: readonly WorkerMount[],
  umask: number,
  sweeps: boolean,
): WorkerSettings {
  return {
    user: name,
    uid,
    key: key.toString('base64'),
    generation,
    umask,
    home,
    mounts: mounts.map((mount) => ({ ...mount, directory: directoryOf(mount.directory, name, home) })),
    sweeps,
  }
}

/** `{user}` stands for a name that is one plain component of a path, `{home}` at the beginning for an absolute path. */
function directoryOf(pattern: string, user: string, home: string | undefined): string {
  if (pattern.startsWith('{home}')) return home === undefined ? nowhere : home + pattern.slice('{home}'.length)
  const directory = pattern.replaceAll('{user}', () => user)
  return isAbsolute(directory) ? directory : nowhere
}
