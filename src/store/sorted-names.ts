import { compareKeys } from './key-order.js'
import type { Pace } from './local/pace.js'

/** Sorted in one go; longer lists are merged from as many, with pauses. */
const runLength = 4096

/**
 * The names in a directory in the order of keys, those of directories with a slash at their end. Held as bytes, so that a
 * million of them weigh little more than their letters, and searched without a look at more than a few.
 */
export class SortedNames {
  readonly #bytes: Buffer
  readonly #ends: Uint32Array
  readonly #onDisk: ReadonlyMap<string, string>

  private constructor(bytes: Buffer, ends: Uint32Array, onDisk: ReadonlyMap<string, string>) {
    this.#bytes = bytes
    this.#ends = ends
    this.#onDisk = onDisk
  }

  /** Takes over `keys`; one that comes twice is kept once. `onDisk` has names that the disk writes otherwise, without slashes. */
  static async of(keys: string[], onDisk: ReadonlyMap<string, string>, pace: Pace): Promise<SortedNames> {
    const sorted = (await sort(keys, pace)).filter((key, index, all) => key !== all[index - 1])
    const ends = new Uint32Array(sorted.length)
    const pieces: Buffer[] = []
    let end = 0
    for (let from = 0; from < sorted.length; from += runLength) {
      if (pace.isDueNow()) await pace.pause()
      const run = sorted.slice(from, from + runLength)
      const piece = Buffer.from(run.join(''))
      pieces.push(piece)
      // Where every letter is one byte, the lengths are known.
      const plain = piece.length === run.reduce((sum, key) => sum + key.length, 0)
      for (const [index, key] of run.entries()) ends[from + index] = end += plain ? key.length : Buffer.byteLength(key)
    }
    return new SortedNames(Buffer.concat(pieces), ends, onDisk)
  }

  get length(): number {
    return this.#ends.length
  }

  /** Memory that it takes, about, in bytes. */
  get weight(): number {
    return this.#bytes.length + 4 * this.#ends.length + 200 * (this.#onDisk.size + 1)
  }

  /** The name with that index, with a slash behind that of a directory. */
  keyAt(index: number): string {
    return this.#bytes.toString('utf8', index === 0 ? 0 : this.#ends[index - 1], this.#ends[index])
  }

  /** How the disk writes a name (without slash). */
  onDisk(name: string): string {
    return this.#onDisk.size === 0 ? name : (this.#onDisk.get(name) ?? name)
  }

  /** The index of the first key that is not before the text; with `behind`, of the first that comes after it. */
  find(text: string, behind = false): number {
    let low = 0
    let high = this.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const order = compareKeys(this.keyAt(middle), text)
      if (order < 0 || (behind && order === 0)) low = middle + 1
      else high = middle
    }
    return low
  }
}

async function sort(keys: string[], pace: Pace): Promise<string[]> {
  // Where no letter lies behind the surrogates, the order of UTF-16 is that of UTF-8, and what is built in is faster.
  const order = keys.some((key) => /[\ud800-\uffff]/.test(key)) ? compareKeys : undefined
  if (keys.length <= runLength) return keys.sort(order)
  let runs: string[][] = []
  for (let from = 0; from < keys.length; from += runLength) {
    if (pace.isDueNow()) await pace.pause()
    runs.push(keys.slice(from, from + runLength).sort(order))
  }
  while (runs.length > 1) {
    const longer: string[][] = []
    for (let at = 0; at < runs.length; at += 2)
      longer.push(await merge(runs[at] ?? [], runs[at + 1] ?? [], order, pace))
    runs = longer
  }
  return runs[0] ?? []
}

async function merge(
  one: readonly string[],
  other: readonly string[],
  order: ((a: string, b: string) => number) | undefined,
  pace: Pace,
): Promise<string[]> {
  const merged: string[] = []
  for (let at = 0, besides = 0; at < one.length || besides < other.length;) {
    if (pace.isDue()) await pace.pause()
    const a = one[at]
    const b = other[besides]
    const isFirst = b === undefined || (a !== undefined && (order === undefined ? a < b : order(a, b) < 0))
    merged.push(isFirst ? (a ?? '') : b)
    if (isFirst) at++
    else besides++
  }
  return merged
}
