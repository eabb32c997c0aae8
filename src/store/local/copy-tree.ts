import { closeSync, constants, fchmodSync } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure, isFailure } from '../../core/failure.js'
import { isWithin, memberOf, nameOf, rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import type { Place } from '../beneath.js'
import { type LocalContext, lookAtOwn, lookInto, placeOf, required } from './context.js'
import { failureOf, fileFailure } from './errors.js'
import { entryOfKnown, isForeign, type Known, knownOf } from './facts.js'
import { openDirectory } from './members.js'
import { namesIn } from './names.js'
import { isReservedName } from '../reserved.js'
import { isWorthNoting, type Noted, nothingNoted, shown, type Sieve } from './notes.js'
import { emptyAndRemove } from './remove.js'
import { copyBytes, reservedName } from './staging.js'
import { uniqueStamp } from './stamp.js'
import { syncPlace } from './sync.js'
import { lockDirectory, renameNew } from './target.js'
import { fact, factsLength, fileKind, linkKind } from '../native.js'
import { exists, intoItself } from '../refusals.js'
import type { Written } from '../store.js'

const { errno } = system
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY

/** Each holds two descriptors; deeper trees take the long way. */
const maxLevels = 100

/**
 * `Store.copyTree`: all goes into a directory with a reserved name beside the target, which takes the target's name at
 * the end. The directory is locked meanwhile, so that a sweep knows that it is alive.
 */
export async function copyTree(
  context: LocalContext,
  from: StorePath,
  to: StorePath,
  signal?: AbortSignal,
): Promise<Written> {
  throwIfAborted(signal)
  const source = openDirectory(context, from)
  try {
    if (isWithin(to, from)) throw intoItself(to)
    if (to === rootPath) throw exists(to)
    const target = placeOf(context, to, false)
    try {
      if (lookAtOwn(context, target, to) !== undefined) throw exists(to)
      if (context.full && !context.settlesAtOnce) throw memberByMember()
      return await copyBeside(context, { fd: source, path: from }, target, to, signal)
    } finally {
      closeSync(target.directory)
    }
  } finally {
    closeSync(source)
  }
}

interface Source {
  readonly fd: number
  readonly path: StorePath
}

async function copyBeside(
  context: LocalContext,
  source: Source,
  target: Place,
  to: StorePath,
  signal: AbortSignal | undefined,
): Promise<Written> {
  const { calls } = context.beneath
  const name = reservedName('tree')
  const made = calls.mkdirAt(target.directory, name, 0o777)
  if (made === -errno.ENOENT) throw context.beneath.blame(to, made)
  required(made, to)
  const fd = calls.openAt(target.directory, name, directoryFlags, 0)
  try {
    required(fd, to)
    calls.flock(fd, true)
    const copying = new TreeCopy(context, await context.notes.sieve(), signal)
    await copying.members(source, fd, 0)
    const noted = await copying.attributes(lookInto(context, source.fd, source.path), fd)
    if (context.full) required(await calls.syncFileSystem(fd), to)
    throwIfAborted(signal)
    await giveName(context, target, name, to)
    calls.flock(fd, false)
    if (context.full) await syncPlace(context, target, to, fd)
    const known = lookInto(context, fd, to)
    return { entry: { ...entryOfKnown(to, known), ...shown(context.notes, known, noted) }, created: true }
  } catch (error) {
    await emptyAndRemove(context, target.directory, name)
    throw isFailure(error) && !signal?.aborted && !passedOn.includes(error.kind) ? memberByMember(error) : error
  } finally {
    if (fd >= 0) closeSync(fd)
  }
}

/** What is wrong with the target, or would be just as wrong the long way. All else is the fault of a member. */
const passedOn: readonly Failure['kind'][] = ['exists', 'no-parent', 'no-space', 'unsupported']

async function giveName(context: LocalContext, target: Place, name: string, to: StorePath): Promise<void> {
  const held = lockDirectory(context, target.directory, to)
  const unlock = typeof held === 'function' ? held : await held
  try {
    const result = renameNew(context, target.directory, name, target.directory, target.name)
    if (result === -errno.EEXIST || result === -errno.ENOTEMPTY) throw exists(to)
    if (result === -errno.ENOENT) throw context.beneath.blame(to, result)
    required(result, to)
  } finally {
    unlock()
  }
}

class TreeCopy {
  readonly #context: LocalContext
  readonly #sieve: Sieve
  readonly #signal: AbortSignal | undefined
  readonly #facts = new Float64Array(factsLength)

  constructor(context: LocalContext, sieve: Sieve, signal: AbortSignal | undefined) {
    this.#context = context
    this.#sieve = sieve
    this.#signal = signal
  }

  /** Copies what clients can see of an open directory into another. What vanishes meanwhile is passed over. */
  async members({ fd, path }: Source, to: number, level: number): Promise<void> {
    if (level > maxLevels) throw memberByMember()
    const { pace, beneath } = this.#context
    // Of two names on disk that mean the same to clients the composed one wins: the other comes after it.
    const decomposed: [name: string, path: StorePath, kind: number][] = []
    // Names are collected first: the directory may be written to while others have their turn.
    for (const { name, kind } of [...namesIn(beneath.calls, fd)]) {
      if (pace.isDue()) await this.#pause()
      const member = isReservedName(name) ? undefined : memberOf(path, name)
      if (member === undefined) continue
      if (member.endsWith(name)) await this.#member(fd, name, kind, member, to, level, false)
      else decomposed.push([name, member, kind])
    }
    for (const [name, member, kind] of decomposed) await this.#member(fd, name, kind, member, to, level, true)
  }

  /** What is noted of a directory itself goes along. */
  async attributes(source: Known, to: number): Promise<Noted> {
    if (!this.#sieve.mayHold(source)) return nothingNoted
    const noted = await this.#context.notes.read(source)
    if (isWorthNoting(noted)) await this.#context.notes.write(lookInto(this.#context, to, rootPath), noted, true)
    return noted
  }

  async #member(
    from: number,
    name: string,
    kind: number,
    path: StorePath,
    to: number,
    level: number,
    mayBeThere: boolean,
  ): Promise<void> {
    const { calls, followsLinks } = this.#context.beneath
    if (kind === 0 && calls.statAt(from, name, this.#facts) >= 0) kind = this.#facts[fact.kind] ?? 0
    if (kind === linkKind && followsLinks) throw memberByMember()
    if (isForeign(kind)) return
    const newName = mayBeThere ? nameOf(path) : name
    const result =
      kind === fileKind
        ? await this.#file(from, name, path, to, newName)
        : await this.#directory(from, name, path, to, newName, level)
    if (result >= 0 || result === -errno.ENOENT || (mayBeThere && result === -errno.EEXIST)) return
    throw failureOf(result, path)
  }

  async #directory(
    from: number,
    name: string,
    path: StorePath,
    to: number,
    newName: string,
    level: number,
  ): Promise<number> {
    const { calls } = this.#context.beneath
    const fd = calls.openAt(from, name, directoryFlags, 0)
    if (fd < 0) return fd
    try {
      const made = calls.mkdirAt(to, newName, 0o777)
      if (made < 0) return made === -errno.ENOENT ? -errno.ESTALE : made
      const copy = required(calls.openAt(to, newName, directoryFlags, 0), path)
      try {
        await this.members({ fd, path }, copy, level + 1)
        await this.attributes(lookInto(this.#context, fd, path), copy)
      } finally {
        closeSync(copy)
      }
      return 0
    } finally {
      closeSync(fd)
    }
  }

  /** Synchronous for a small file of which nothing is noted. */
  async #file(from: number, name: string, path: StorePath, to: number, newName: string): Promise<number> {
    const { calls } = this.#context.beneath
    const { seconds, nanoseconds } = uniqueStamp()
    const result = calls.copySmall(from, name, to, newName, seconds, nanoseconds, this.#facts)
    if (result === -errno.EFBIG) return await this.#large(from, name, path, to, newName)
    if (result >= 0 && !this.#sieve.isEmpty) await this.#note(knownOf(this.#facts), to, newName, path)
    return result
  }

  async #large(from: number, name: string, path: StorePath, to: number, newName: string): Promise<number> {
    const { calls } = this.#context.beneath
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY
    const fd = calls.openAt(from, name, flags, 0)
    if (fd < 0) return fd
    try {
      const source = lookInto(this.#context, fd, path)
      if (source.kind !== fileKind) return -errno.ENOENT
      const mode = source.mode & 0o777
      const copy = calls.openAt(to, newName, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, mode)
      if (copy < 0) return copy === -errno.ENOENT ? -errno.ESTALE : copy
      try {
        const goOn = (): void => throwIfAborted(this.#signal)
        await copyBytes(this.#context, { fd, start: 0, end: source.size }, { fd: copy, at: 0, path }, goOn)
        try {
          fchmodSync(copy, mode)
        } catch (error) {
          throw fileFailure(error, path)
        }
        const { seconds, nanoseconds } = uniqueStamp()
        required(calls.touch(copy, seconds, nanoseconds), path)
      } finally {
        closeSync(copy)
      }
      await this.#note(source, to, newName, path)
      return 0
    } finally {
      closeSync(fd)
    }
  }

  /** A file that stays where it is put is changed no more: its digests count at once. */
  async #note(source: Known, to: number, newName: string, path: StorePath): Promise<void> {
    if (!this.#sieve.mayHold(source)) return
    const noted = await this.#context.notes.read(source)
    if (!isWorthNoting(noted)) return
    required(this.#context.beneath.calls.statAt(to, newName, this.#facts), path)
    await this.#context.notes.write(knownOf(this.#facts), noted, true)
  }

  async #pause(): Promise<void> {
    await this.#context.pace.pause()
    throwIfAborted(this.#signal)
  }
}

function memberByMember(cause?: unknown): Failure {
  return new Failure('unsupported', 'This tree must be copied member by member.', { cause })
}
