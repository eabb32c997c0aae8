import { resolve } from 'node:path'
import { Failure } from '../core/failure.js'
import { memberOf } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import { defaultRuntime } from '../privsep/broker/runtime-directory.js'
import type { PrivsepSettings } from '../privsep/settings.js'
import type { LocalMount, MountSetting } from './mount-settings.js'
import type { Settings } from './schema.js'

export interface PrivsepSurroundings {
  readonly state: string
  /** From which paths go. */
  readonly directory: string
  /** How messages begin. */
  readonly where: string
  /** The served directory that a path lies in. */
  readonly servedAround: (path: string) => string | undefined
}

/** The settings of privilege separation with defaults and absolute paths. Throws `invalid` with `where` before it. */
export function privsepSettings(
  given: NonNullable<Settings['privsep']>,
  { state, directory, where, servedAround }: PrivsepSurroundings,
): PrivsepSettings {
  const { user, authUser, records, runtime, minimumUid, maximumUid, allowedGroups, umask, ticketSeconds, workers } =
    given
  if (minimumUid > maximumUid) throw new Failure('invalid', `${where} minimumUid must not be above maximumUid`)
  if (user !== undefined && user === authUser)
    throw new Failure(
      'invalid',
      `${where} user and authUser must be two users: one must not be able to touch the other`,
    )
  const places = {
    records: records === undefined ? `${state}-records` : resolve(directory, records),
    runtime: runtime === undefined ? defaultRuntime(state) : resolve(directory, runtime),
  }
  for (const [name, path] of Object.entries(places)) {
    const served = servedAround(path)
    if (served !== undefined)
      throw new Failure('invalid', `${where} ${name} (${path}) must not lie inside the served directory ${served}`)
  }
  return {
    user,
    authUser,
    ...places,
    minimumUid,
    maximumUid,
    allowedGroups,
    umask: Number.parseInt(umask, 8),
    ticketSeconds,
    workers: { max: workers.max, idleSeconds: workers.idleSeconds, memoryBytes: workers.memory },
  }
}

/** Whether there is a directory for each Unix user: `{user}` stands for the name, a leading `{home}` for its home directory. */
export function isPerUser({ directory }: Pick<LocalMount, 'directory'>): boolean {
  return directory.includes('{user}') || directory.startsWith('{home}')
}

/** The directory of a mount: absolute, or what begins with `{home}`. */
export function mountDirectory(text: string, from: string): string {
  return /^\{home\}(?:\/|$)/.test(text) ? text.replace(/\/+$/, '') : resolve(from, text)
}

/** Where a Unix user is at home in the tree: in its own directory, where the first such mount has one for each. */
export function homeInTree(mounts: readonly MountSetting[], unixUser: string): StorePath | undefined {
  const mount = mounts.find((each) => each.kind === 'local' && each.separated && isPerUser(each))
  return mount && memberOf(mount.path, unixUser)
}
