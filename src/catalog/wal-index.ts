import { loadNative } from '../store/native.js'

/** The header of SQLite's WAL index (https://www.sqlite.org/walformat.html §2.1) in words of 32 bits. */
const headerWords = 12
const supportedVersion = 3007000
const versionWord = 0
const changesWord = 2

/**
 * Tells without a system call whether anybody, this process or another, has committed to a database in WAL mode, by the
 * shared memory in which SQLite itself looks for that.
 */
export class WalIndex {
  readonly #live: Int32Array
  readonly #marked = new Int32Array(headerWords)

  /** `live`: the first copy of the header, which a writer changes last: by then its commit can be read. */
  constructor(live: Int32Array) {
    this.#live = live
    this.mark()
  }

  /** Whether nobody has committed since the last mark: what was read after that is what would be read now. */
  isUnchanged(): boolean {
    // The first load is one that none of the reads behind it may overtake, on any processor.
    if (Atomics.load(this.#live, changesWord) !== this.#marked[changesWord]) return false
    for (let word = 0; word < headerWords; word++) if (this.#live[word] !== this.#marked[word]) return false
    return true
  }

  /** Marks, and gives whether there was exactly one commit since the mark before. */
  markOneMore(): boolean {
    const before = this.#marked[changesWord] ?? 0
    this.mark()
    return this.#marked[changesWord] === ((before + 1) | 0)
  }

  /**
   * Remembers the state as it is. A header that somebody is just writing comes out torn, and then is no later state: no
   * harm, for it only seems to have changed once more.
   */
  mark(): void {
    for (let word = 0; word < headerWords; word++) this.#marked[word] = Atomics.load(this.#live, word)
  }
}

/** The WAL index of a database that this process has open and has read; undefined without the addon, and off Linux. */
export function openWalIndex(databaseFile: string): WalIndex | undefined {
  const view = loadNative()?.viewMapping(`${databaseFile}-shm`, headerWords * 4)
  if (!(view instanceof ArrayBuffer)) return undefined
  const live = new Int32Array(view)
  return live[versionWord] === supportedVersion ? new WalIndex(live) : undefined
}
