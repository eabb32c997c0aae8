import { createHash } from 'node:crypto'
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Failure } from '../../core/failure.js'
import { claim } from './claim.js'
import type { ServerUsers } from './options.js'
import { checkFolderOf } from './program-folder.js'

/** Where the processes of a server meet. Nobody else can reach any of it. */
export interface RuntimePlaces {
  readonly directory: string
  /** The broker's door for fronts, and the sockets that they fetch. */
  readonly front: string
  /** The same for the process of identities. */
  readonly auth: string
  /** Where the process of identities listens for fronts. */
  readonly door: string
  /** For root's commands. */
  readonly control: string
}

/** A runtime directory that no other server has. */
export interface OwnRuntime {
  readonly places: RuntimePlaces
  /** For the next. */
  readonly release: () => void
}

/** The places below a runtime directory. */
export function runtimePlaces(directory: string): RuntimePlaces {
  return {
    directory,
    front: join(directory, 'front'),
    auth: join(directory, 'auth'),
    door: join(directory, 'door'),
    control: join(directory, 'control'),
  }
}

/** Where the processes of a server with this state directory meet, where nothing else is configured. */
export function defaultRuntime(state: string): string {
  return `/run/postern-${createHash('sha256').update(state).digest('hex').slice(0, 8)}`
}

/** The socket in a folder of the runtime directory on which the broker listens. */
export function brokerSocket(folder: string): string {
  return join(folder, 'broker')
}

/** Sockets may not have longer paths (unix(7)); the longest name in there is that of a socket for one connection. */
const longestDirectory = 60

/**
 * Makes the directory with all that is in it, empty of what an ended server has left. Throws `invalid` where it is a link, no
 * directory, of another user, or where others could put something else in its place, and `conflict` where a server has it.
 */
export function makeRuntimeDirectory(directory: string, { front, auth }: ServerUsers): OwnRuntime {
  const places = runtimePlaces(directory)
  if (Buffer.byteLength(directory) > longestDirectory)
    throw new Failure(
      'invalid',
      `The runtime directory ${directory} has too long a name: at most ${longestDirectory} bytes.`,
    )
  mkdirSync(dirname(directory), { recursive: true, mode: 0o755 })
  checkFolderOf(directory)
  makeOwned(directory, 0, 0, 0o711)
  const release = claim(directory, 'runtime directory')
  try {
    // A broker that was killed has left it.
    unlinkIfThere(places.control)
    makeOwned(places.front, 0, front.gid, 0o710)
    makeOwned(places.auth, 0, auth.gid, 0o710)
    makeOwned(places.door, auth.uid, front.gid, 0o2710)
    return { places, release }
  } catch (error) {
    release()
    throw error
  }
}

/** Removes the directory, as far as it holds nothing that does not belong there. */
export function removeRuntimeDirectory({ directory, front, auth, door, control }: RuntimePlaces): void {
  try {
    unlinkIfThere(control)
    for (const folder of [front, auth, door]) {
      empty(folder)
      rmdirSync(folder)
    }
    rmdirSync(directory)
  } catch {
    // What is left does no harm, and is cleared by the next start.
  }
}

/** A folder that is there must be the same user's, or root's to give away. */
function makeOwned(path: string, uid: number, gid: number, mode: number): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const stats = lstatSync(path)
  if (!stats.isDirectory() || (stats.uid !== 0 && stats.uid !== uid))
    throw new Failure(
      'invalid',
      `The runtime directory ${path} is ${stats.isDirectory() ? `of another user (${stats.uid})` : 'no directory'}: remove it.`,
    )
  if (uid !== 0 || mode !== 0o711) empty(path)
  // Nobody gets in before it is right.
  chownSync(path, uid, gid)
  chmodSync(path, mode)
}

/** One entry after the other, for whoever owns the folder must not lead root elsewhere. */
function empty(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    try {
      unlinkSync(path)
    } catch (error) {
      if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error
      rmdirSync(path)
    }
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
