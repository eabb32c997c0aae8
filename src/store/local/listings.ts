import { type Known, millisecondsOf, tickMilliseconds } from './facts.js'
import type { SortedNames } from '../sorted-names.js'

/** All that is kept, in bytes. */
const maxBytes = 32 * 1024 * 1024

/** What `tickMilliseconds` is for disks that keep no more than seconds, or every other one. */
const coarseMilliseconds = 3000

interface Kept {
  readonly modified: string
  readonly changed: string
  readonly names: SortedNames
}

/**
 * Sorted names of directories, for as long as nothing came, went or was renamed there, whoever did it: each such change
 * gives a directory other times. Names are kept only where these times lay so far back when they were read that no change
 * afterwards can have left them as they were. What was not used longest goes first.
 */
export class Listings {
  readonly #kept = new Map<string, Kept>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(bytes = maxBytes) {
    this.#maxBytes = bytes
  }

  /** The names in a directory, of which this is known now. */
  find(directory: Known): SortedNames | undefined {
    const key = keyOf(directory)
    const kept = this.#kept.get(key)
    if (kept === undefined) return undefined
    this.#drop(key, kept)
    if (kept.modified !== directory.modified || kept.changed !== directory.changed) return undefined
    this.#kept.set(key, kept)
    this.#bytes += kept.names.weight
    return kept.names
  }

  /** Keeps what was read from a directory of which this was known at a time (milliseconds) before, and afterwards. */
  keep(names: SortedNames, before: Known, time: number, after: Known): void {
    if (before.modified !== after.modified || before.changed !== after.changed) return
    const isCoarse = before.modified.endsWith('.0')
    const passed = time - Math.max(before.modifiedMilliseconds, millisecondsOf(before.changed))
    if (passed < (isCoarse ? coarseMilliseconds : tickMilliseconds) || names.weight > this.#maxBytes) return
    const key = keyOf(before)
    const kept = this.#kept.get(key)
    if (kept !== undefined) this.#drop(key, kept)
    this.#kept.set(key, { modified: before.modified, changed: before.changed, names })
    this.#bytes += names.weight
    for (const [oldest, one] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) break
      this.#drop(oldest, one)
    }
  }

  #drop(key: string, kept: Kept): void {
    this.#kept.delete(key)
    this.#bytes -= kept.names.weight
  }
}

function keyOf({ device, inode, born }: Known): string {
  return `${device}:${inode}:${born}`
}
