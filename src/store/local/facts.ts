import type { StorePath } from '../../core/path.js'
import { directoryKind, fact, fileKind } from '../native.js'
import type { Entry } from '../store.js'

/** What is known of a file or directory on disk, kept beyond the next system call. */
export interface Known {
  readonly kind: number
  readonly mode: number
  readonly size: number
  readonly links: number
  readonly uid: number
  readonly gid: number
  readonly device: number
  /** Inode number, in base 36. */
  readonly inode: string
  /** Seconds and nanoseconds of birth, modification and change, each in base 36. */
  readonly born: string
  readonly modified: string
  readonly changed: string
  /** Milliseconds since the epoch. */
  readonly modifiedMilliseconds: number
  readonly bornMilliseconds: number
}

export function knownOf(facts: Float64Array, at = 0): Known {
  return {
    kind: value(facts, at + fact.kind),
    mode: value(facts, at + fact.mode),
    size: value(facts, at + fact.size),
    links: value(facts, at + fact.links),
    uid: value(facts, at + fact.uid),
    gid: value(facts, at + fact.gid),
    device: value(facts, at + fact.device),
    inode: inodeText(facts, at),
    born: timeText(facts, at + fact.bornSeconds),
    modified: timeText(facts, at + fact.modifiedSeconds),
    changed: timeText(facts, at + fact.changedSeconds),
    modifiedMilliseconds: milliseconds(facts, at + fact.modifiedSeconds),
    bornMilliseconds: milliseconds(facts, at + fact.bornSeconds),
  }
}

/**
 * Kernels stamp files by their last tick, of at most 10 ms: what a file was more than so many milliseconds after its last
 * change, it stays until its times change.
 */
export const tickMilliseconds = 50

/** Whether anything but a file or a directory is there. */
export function isForeign(kind: number | undefined): boolean {
  return kind !== fileKind && kind !== directoryKind
}

/** The entry of a file or directory, straight from facts: listings make tens of thousands. */
export function entryOf(path: StorePath, facts: Float64Array, at = 0): Entry {
  const size = value(facts, at + fact.size)
  const modified = milliseconds(facts, at + fact.modifiedSeconds)
  const created = value(facts, at + fact.bornSeconds) === 0 ? undefined : milliseconds(facts, at + fact.bornSeconds)
  const etag = `${inodeText(facts, at)}-${size.toString(36)}-${timeText(facts, at + fact.modifiedSeconds)}`
  const directory = value(facts, at + fact.kind) === directoryKind
  return assemble(path, directory, directory ? 0 : size, modified, created, etag, value(facts, at + fact.mode))
}

/** The same from what was kept. */
export function entryOfKnown(path: StorePath, known: Known): Entry {
  const directory = known.kind === directoryKind
  const created = known.born === '0.0' ? undefined : known.bornMilliseconds
  const size = directory ? 0 : known.size
  return assemble(path, directory, size, known.modifiedMilliseconds, created, etagOf(known), known.mode)
}

/**
 * Inode, size and time of modification to the nanosecond. Every write gives its file a time that no other write of this
 * machine has, so that an inode that comes again never brings an old etag back.
 */
export function etagOf(known: Known): string {
  return `${known.inode}-${known.size.toString(36)}-${known.modified}`
}

function assemble(
  path: StorePath,
  directory: boolean,
  size: number,
  modified: number,
  created: number | undefined,
  etag: string,
  mode: number,
): Entry {
  if (directory)
    return created === undefined
      ? { path, kind: 'directory', size, modified, etag }
      : { path, kind: 'directory', size, modified, created, etag }
  const executable = (mode & 0o111) !== 0
  return created === undefined
    ? { path, kind: 'file', size, modified, etag, executable }
    : { path, kind: 'file', size, modified, created, etag, executable }
}

function value(facts: Float64Array, at: number): number {
  return facts[at] ?? 0
}

function inodeText(facts: Float64Array, at: number): string {
  const high = value(facts, at + fact.inodeHigh)
  const low = value(facts, at + fact.inodeLow).toString(36)
  return high === 0 ? low : `${high.toString(36)}.${low}`
}

function timeText(facts: Float64Array, at: number): string {
  return `${value(facts, at).toString(36)}.${value(facts, at + 1).toString(36)}`
}

/** Of a time as `Known` has it, with those below. */
export function millisecondsOf(time: string): number {
  const dot = time.indexOf('.')
  return parseInt(time.slice(0, dot), 36) * 1000 + parseInt(time.slice(dot + 1), 36) / 1e6
}

function milliseconds(facts: Float64Array, at: number): number {
  return value(facts, at) * 1000 + Math.floor(value(facts, at + 1) / 1e6)
}
