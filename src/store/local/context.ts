import { closeSync, constants } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import type { Beneath, Place } from '../beneath.js'
import { failureOf, fileFailure } from './errors.js'
import { isForeign, type Known, knownOf } from './facts.js'
import type { Listings } from './listings.js'
import type { NoteKeeping } from './notes.js'
import type { Pace } from './pace.js'
import type { RoomOwner } from './parts-folder.js'
import type { DirectorySyncs, FileSyncs } from './sync.js'
import { directoryKind, fact, factsLength } from '../native.js'
import { isReserved, refuseReserved } from '../reserved.js'
import { isDirectory, notFound } from '../refusals.js'

const { errno } = system

/** What a process knows of rooms for parts, by name. */
export interface RoomMemory {
  /** Those that it has locked, and when it lets go of them. */
  readonly locks: Map<string, Promise<void>>
  /** How large slots are, in bytes, where that is decided. */
  readonly slotBytes: Map<string, number>
}

/** What all parts of the local store share. */
export interface LocalContext {
  readonly beneath: Beneath
  /** Durability: whatever is answered survives a power cut. */
  readonly full: boolean
  /** All of a disk can be made durable in one call, so that `settle: 'later'` may wait for it. */
  readonly settlesAtOnce: boolean
  readonly notes: NoteKeeping
  readonly listings: Listings
  readonly syncs: DirectorySyncs
  readonly fileSyncs: FileSyncs
  readonly pace: Pace
  readonly rooms: RoomMemory
  /** Whose rooms for parts these are; nobody's in particular where all users share a process. */
  readonly owner?: RoomOwner | undefined
  /** Lets something go on by itself; `close` waits for it. Its failures are of no consequence. */
  later(work: Promise<unknown>): void
  /** Aborts when the store closes. */
  readonly closing: AbortSignal
}

/** The directory that is to hold a path. Throws `no-parent`, `not-directory`, `denied`, `unavailable`. */
export function placeOf(context: LocalContext, path: StorePath, follow: boolean): Place {
  refuseReserved(path)
  const place = context.beneath.place(path, follow)
  if (typeof place === 'number') throw context.beneath.blame(path, place)
  return place
}

/** The same for what must already be there: throws `not-found` where nothing that is served can be. */
export function placeOfPresent(context: LocalContext, path: StorePath): Place {
  if (isReserved(path)) throw notFound(path)
  const place = context.beneath.place(path, false)
  if (typeof place !== 'number') return place
  if (!isAbsent(place)) throw failureOf(place, path)
  const blame = context.beneath.blame(path, place)
  throw blame.kind === 'unavailable' ? blame : notFound(path)
}

const facts = new Float64Array(factsLength)

/** What has that name in an open directory; undefined for nothing. */
export function lookAt(context: LocalContext, place: Place, path: StorePath): Known | undefined {
  const result = context.beneath.calls.statAt(place.directory, place.name, facts)
  if (result >= 0) return knownOf(facts)
  if (result === -errno.ENOENT) return undefined
  throw failureOf(result, path)
}

/** The same for what is to be written: throws `denied` for a symbolic link or special file. */
export function lookAtOwn(context: LocalContext, place: Place, path: StorePath): Known | undefined {
  const known = lookAt(context, place, path)
  if (known !== undefined && isForeign(known.kind))
    throw new Failure('denied', 'Something that is not served has this name.', { path })
  return known
}

/** What is known of an open file. */
export function lookInto(context: LocalContext, fd: number, path: StorePath): Known {
  required(context.beneath.calls.fstat(fd, facts), path)
  return knownOf(facts)
}

/** Throws the failure of a system call, if it is one. Gives its result. */
export function required(result: number, path: StorePath): number {
  if (result < 0) throw failureOf(result, path)
  return result
}

/** Opens a file to read, never anything else. Throws `not-found`, `is-directory`. */
export function openFile(context: LocalContext, path: StorePath): { readonly fd: number; readonly known: Known } {
  if (isReserved(path)) throw notFound(path)
  const { beneath } = context
  // Looked at before, because opening a device can have effects, and after, because it may have been swapped.
  const looked = beneath.stat(path, facts)
  if (looked < 0) throw absentOr(looked, path)
  requireFile(facts[fact.kind], path)
  const fd = beneath.open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  if (fd < 0) throw absentOr(fd, path)
  try {
    const known = lookInto(context, fd, path)
    requireFile(known.kind, path)
    return { fd, known }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** What is in the way of reading makes a path absent, not refused: a link, a file in place of a directory. */
export function absentOr(code: number, path: StorePath): Failure {
  return isAbsent(code) ? notFound(path) : failureOf(code, path)
}

/** Whether a negative errno means that, to who reads, nothing is there. */
export function isAbsent(code: number): boolean {
  return absent.includes(-code)
}

const absent: readonly number[] = [
  errno.ENOENT,
  errno.ENOTDIR,
  errno.ELOOP,
  errno.EXDEV,
  errno.ENXIO,
  errno.ENAMETOOLONG,
]

function requireFile(kind: number | undefined, path: StorePath): void {
  if (kind === directoryKind) throw isDirectory(path)
  if (isForeign(kind)) throw notFound(path)
}

/** Awaits work on an open file and gives its faults their meaning. */
export async function onDisk<T>(path: StorePath, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw fileFailure(error, path)
  }
}
