import { closeSync, constants } from 'node:fs'
import { constants as system } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { Failure } from '../../core/failure.js'
import { nameOf, parentOf, rootPath, type StorePath } from '../../core/path.js'
import type { Place } from '../beneath.js'
import { type LocalContext, lookAtOwn, lookInto, placeOf, required } from './context.js'
import { failureOf } from './errors.js'
import { type Known, knownOf } from './facts.js'
import type { Stamp } from './stamp.js'
import { parting } from './parting.js'
import { reservedName, Staging } from './staging.js'
import { syncDirectory, syncPlace } from './sync.js'
import { directoryKind, fact, factsLength } from '../native.js'
import { isDirectory, noParent } from '../refusals.js'
import { refuseReserved } from '../reserved.js'

const { errno } = system

/** Another process holds a directory's lock only for a few system calls. */
const lockPatienceMilliseconds = 10_000

/** How often a directory may vanish between being made and being used. */
const stageTries = 20

interface Made {
  readonly directory: number
  readonly name: string
}

/**
 * The name that a new file is to get, with its directory held open. Parents can be made on the way; `abandon` takes them
 * back. One of `abandon` and `close` must be called.
 */
export class Target {
  readonly path: StorePath
  readonly #context: LocalContext
  readonly #parents: boolean
  #place: Place | undefined
  #made: Made[] = []

  private constructor(context: LocalContext, path: StorePath, place: Place | undefined, parents: boolean) {
    this.#context = context
    this.#parents = parents
    this.path = path
    this.#place = place
  }

  /** With `parents` the directories above need not be there yet. Throws `no-parent`, `not-directory`, `denied`. */
  static open(context: LocalContext, path: StorePath, parents: boolean): Target {
    refuseReserved(path)
    if (path === rootPath) throw isDirectory(path)
    try {
      return new Target(context, path, placeOf(context, path, true), parents)
    } catch (error) {
      if (parents && error instanceof Failure && error.kind === 'no-parent')
        return new Target(context, path, undefined, parents)
      throw error
    }
  }

  /** What has the name now. Throws `denied` for what is not served. */
  look(): Known | undefined {
    return this.#place === undefined ? undefined : lookAtOwn(this.#context, this.#place, this.path)
  }

  /** The open directory; made, with those above, where it was missing. */
  directory(): number {
    this.#place ??= { directory: this.#makeParents(), name: nameOf(this.path), passOnly: false }
    return this.#place.directory
  }

  /** A file beside the name, for the new content. Throws `no-parent` where the directory was removed meanwhile. */
  stage(): Staging {
    for (let tries = 0; tries < stageTries; tries++) {
      const staging = Staging.create(this.#context, this.path, this.directory())
      if (staging !== undefined) return staging
      // Another upload may have taken back the parents that it had made; those can be made again.
      if (!this.#parents) break
      this.close()
    }
    throw this.#context.beneath.blame(this.path, -errno.ENOENT)
  }

  /**
   * Judges what has the name and puts the staged file there, both in one step as far as any process of Postern is
   * concerned. `judge` may throw; what it gives are the permission bits of the new file. Gives what was replaced.
   */
  async commit(
    staging: Staging,
    judge: (present: Known | undefined) => number | undefined,
  ): Promise<Known | undefined> {
    const { calls } = this.#context.beneath
    const directory = this.directory()
    const name = this.#place?.name ?? ''
    for (;;) {
      const held = lockDirectory(this.#context, directory, this.path)
      const unlock = typeof held === 'function' ? held : await held
      try {
        const present = this.look()
        const mode = judge(present)
        if (present?.kind === directoryKind) throw isDirectory(this.path)
        if (mode !== undefined) {
          const staged = staging.known()
          const owner = present !== undefined && (present.uid !== staged.uid || present.gid !== staged.gid)
          if (owner || mode !== staged.mode) staging.dress(mode, owner ? present : undefined)
        }
        const result =
          present === undefined
            ? renameNew(this.#context, staging.directory, staging.name, directory, name)
            : parting(calls, { directory, name }, present, () =>
                calls.renameAt(staging.directory, staging.name, directory, name, false),
              )
        // Something that is not Postern has made it meanwhile: judged again.
        if (result === -errno.EEXIST && present === undefined) continue
        if (result === -errno.ENOENT) throw noParent(parentOf(this.path))
        required(result, this.path)
        return present
      } finally {
        unlock()
      }
    }
  }

  /**
   * Makes a small file and commits it in one step, as `commit` does; undefined where that could not be done, for whatever
   * reason, and nothing was done. `staged` tells of the file as it was before it got its name.
   */
  async putSmall(
    chunks: readonly Uint8Array[],
    { seconds, nanoseconds }: Stamp,
    judge: (present: Known | undefined) => void,
  ): Promise<{ readonly staged: Known; readonly replaced: Known | undefined } | undefined> {
    const { calls } = this.#context.beneath
    if (calls.putSmall === undefined) return undefined
    const bytes = asOne(chunks)
    const directory = this.directory()
    const held = lockDirectory(this.#context, directory, this.path)
    const unlock = typeof held === 'function' ? held : await held
    try {
      const present = this.look()
      judge(present)
      let dress: Float64Array | undefined
      if (present !== undefined) {
        dress = replacedFacts
        dress[fact.mode] = present.mode
        dress[fact.uid] = present.uid
        dress[fact.gid] = present.gid
      }
      const name = this.#place?.name ?? ''
      const staged = reservedName('write')
      const result = calls.putSmall(directory, staged, name, bytes, seconds, nanoseconds, dress, madeFacts)
      return result < 0 ? undefined : { staged: knownOf(madeFacts), replaced: present }
    } finally {
      unlock()
    }
  }

  /** Makes the new name durable, and the directories made for it. */
  async settle(staging: Staging): Promise<void> {
    const place = this.#place
    if (place === undefined) return
    await syncPlace(this.#context, place, this.path, staging.fd)
    await Promise.all(this.#made.map(async ({ directory }) => syncDirectory(this.#context, directory, this.path)))
  }

  abandon(): void {
    for (const { directory, name } of this.#made.toReversed())
      this.#context.beneath.calls.unlinkAt(directory, name, true)
    this.close()
  }

  close(): void {
    if (this.#place !== undefined) closeSync(this.#place.directory)
    for (const { directory } of this.#made) closeSync(directory)
    this.#made = []
    this.#place = undefined
  }

  #makeParents(): number {
    const { beneath } = this.#context
    const missing: string[] = []
    let above = parentOf(this.path)
    let at = beneath.open(above, constants.O_RDONLY | constants.O_DIRECTORY)
    while (at === -errno.ENOENT && above !== rootPath) {
      missing.push(nameOf(above))
      above = parentOf(above)
      at = beneath.open(above, constants.O_RDONLY | constants.O_DIRECTORY)
    }
    if (at < 0) throw beneath.blame(this.path, at)
    for (let name = missing.pop(); name !== undefined; name = missing.pop()) {
      const result = beneath.calls.mkdirAt(at, name, 0o777)
      const next =
        result < 0 && result !== -errno.EEXIST
          ? result
          : beneath.calls.openAt(at, name, constants.O_RDONLY | constants.O_DIRECTORY, 0)
      if (result >= 0) this.#made.push({ directory: at, name })
      else closeSync(at)
      // Another may have taken back a parent that it had made itself.
      if (next === -errno.ENOENT) return this.#makeParents()
      if (next < 0) throw beneath.blame(this.path, next)
      at = next
    }
    return at
  }
}

const replacedFacts = new Float64Array(factsLength)
const madeFacts = new Float64Array(factsLength)

function asOne(chunks: readonly Uint8Array[]): Buffer {
  const [first] = chunks
  if (chunks.length !== 1 || first === undefined) return Buffer.concat(chunks)
  return Buffer.from(first.buffer, first.byteOffset, first.byteLength)
}

/** Renames to a name that must not be there: EEXIST if it is. */
export function renameNew(context: LocalContext, from: number, name: string, to: number, newName: string): number {
  const { calls } = context.beneath
  const result = calls.renameAt(from, name, to, newName, true)
  if (result !== -errno.EINVAL && result !== -errno.ENOSYS && result !== -errno.EOPNOTSUPP) return result
  // A disk without such a rename: a hard link refuses to replace just as well.
  const linked = calls.linkAt(from, name, to, newName)
  if (linked === -errno.EEXIST || linked === -errno.ENOENT) return linked
  if (linked >= 0) return calls.unlinkAt(from, name, false)
  const there = calls.openAt(to, newName, constants.O_RDONLY | constants.O_NONBLOCK, 0)
  if (there >= 0) closeSync(there)
  return there === -errno.ENOENT ? calls.renameAt(from, name, to, newName, false) : -errno.EEXIST
}

/**
 * Keeps Postern's other processes from changing names in a directory until the function that it gives is called, which
 * must be before anything is awaited: that keeps this process's own work out. At once, or a promise where another
 * process has it. A disk without locks goes without.
 */
export function lockDirectory(
  context: LocalContext,
  directory: number,
  path: StorePath,
): (() => void) | Promise<() => void> {
  return tryLock(context, directory) ?? waitForLock(context, directory, path)
}

/** Locks two directories at once, which may be one. Never holds the one while it waits for the other. */
export async function lockBoth(
  context: LocalContext,
  one: number,
  other: number,
  path: StorePath,
): Promise<() => void> {
  const a = lookInto(context, one, path)
  const b = lookInto(context, other, path)
  for (;;) {
    const unlockOne = await lockDirectory(context, one, path)
    if (a.inode === b.inode && a.device === b.device) return unlockOne
    const unlockOther = tryLock(context, other)
    if (unlockOther !== undefined)
      return () => {
        unlockOther()
        unlockOne()
      }
    unlockOne()
    const unlock = await lockDirectory(context, other, path)
    unlock()
  }
}

function tryLock({ beneath: { calls } }: LocalContext, directory: number): (() => void) | undefined {
  if (calls.flock(directory, true) === -errno.EWOULDBLOCK) return undefined
  return () => {
    calls.flock(directory, false)
  }
}

async function waitForLock(context: LocalContext, directory: number, path: StorePath): Promise<() => void> {
  const end = Date.now() + lockPatienceMilliseconds
  for (let pause = 1; ; pause = Math.min(pause * 2, 20)) {
    await setTimeout(pause)
    const unlock = tryLock(context, directory)
    if (unlock !== undefined) return unlock
    if (Date.now() > end) throw failureOf(-errno.ETIMEDOUT, path)
  }
}
