import type { StorePath } from '../../core/path.js'

/** Tells all who share a bucket that a directory is gone. */
export interface Removals {
  /** Another text after every removal that any of them has told of. */
  current(): Promise<string>
  /** Resolves when all the others will see that. */
  tell(): Promise<void>
}

/** Among those who share this very object. */
export function localRemovals(): Removals {
  let count = 0
  return {
    current: async () => String(count),
    async tell() {
      count++
    },
  }
}

/** What others than Postern take away is noticed after that time. */
const knownMilliseconds = 1000
const mostKnown = 10_000

/**
 * Directories that were seen a moment ago, so that who puts many files into one need not look each time whether it is still
 * there. One that Postern itself removes, here or elsewhere, is unknown at once.
 */
export class KnownDirectories {
  readonly #removals: Removals
  readonly #now: () => number
  readonly #seen = new Map<StorePath, number>()
  #mark = ''

  constructor(removals: Removals, now: () => number = () => performance.now()) {
    this.#removals = removals
    this.#now = now
  }

  /** Whether it is there, by what is known or else by `look`, which is asked after all that was removed before this call. */
  async has(path: StorePath, look: () => Promise<boolean>): Promise<boolean> {
    const mark = await this.#removals.current()
    if (mark !== this.#mark) {
      this.#seen.clear()
      this.#mark = mark
    }
    const until = this.#seen.get(path)
    if (until !== undefined && until > this.#now()) return true
    if (!(await look())) return false
    if (this.#mark === mark) {
      if (this.#seen.size >= mostKnown) this.#seen.clear()
      this.#seen.set(path, this.#now() + knownMilliseconds)
    }
    return true
  }

  /** To be called when a directory is gone, before anybody is told so. */
  async removed(): Promise<void> {
    this.#seen.clear()
    await this.#removals.tell()
  }
}
