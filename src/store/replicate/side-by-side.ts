import type { StorePath } from '../../core/path.js'
import { compareKeys, keyOf } from '../key-order.js'
import type { Entry, Store } from '../store.js'

/** One end of a copy: a directory of a store, with all below. */
export interface TreeEnd {
  readonly store: Store
  readonly path: StorePath
  /**
   * A store of objects: it keeps the modified time and the executable flag only as attributes (`x-amz-meta-mtime`,
   * `x-amz-meta-mode`, which other tools know too).
   */
  readonly isObjects?: boolean
}

/** What has one key in one of the trees, or in both. */
export type Pair =
  | { readonly source: Entry; readonly target: Entry }
  | { readonly source: Entry; readonly target: undefined }
  | { readonly source: undefined; readonly target: Entry }

/**
 * Two trees side by side, in the order of keys, so that neither is held in memory. A file and a directory of the same name
 * have different keys, and come apart. A target that is not there is an empty one.
 */
export async function* sideBySide(source: TreeEnd, target: TreeEnd, signal: AbortSignal): AsyncGenerator<Pair> {
  const [left, right] = [new Cursor(source, signal), new Cursor(target, signal)]
  try {
    let [one, other] = [await left.next(), await right.next()]
    while (one !== undefined || other !== undefined) {
      const order = one === undefined ? 1 : other === undefined ? -1 : compareKeys(one.key, other.key)
      if (one !== undefined && order < 0) {
        yield { source: one.entry, target: undefined }
        one = await left.next()
      } else if (other !== undefined && order > 0) {
        yield { source: undefined, target: other.entry }
        other = await right.next()
      } else if (one !== undefined && other !== undefined) {
        yield { source: one.entry, target: other.entry }
        ;[one, other] = [await left.next(), await right.next()]
      }
    }
  } finally {
    await left.end()
    await right.end()
  }
}

/** The entries of a tree one by one, with their keys as they are below its root. */
class Cursor {
  readonly #batches: AsyncIterator<readonly Entry[]>
  readonly #cut: number
  #batch: readonly Entry[] = []
  #at = 0

  constructor({ store, path }: TreeEnd, signal: AbortSignal) {
    this.#batches = store.list(path, { order: 'key', depth: 'infinity', signal })[Symbol.asyncIterator]()
    this.#cut = path === '/' ? 0 : path.length
  }

  async next(): Promise<{ readonly key: string; readonly entry: Entry } | undefined> {
    while (this.#at === this.#batch.length) {
      const next = await this.#batches.next()
      if (next.done === true) return undefined
      this.#batch = next.value
      this.#at = 0
    }
    const entry = this.#batch[this.#at++]
    return entry && { key: keyOf(entry).slice(this.#cut), entry }
  }

  async end(): Promise<void> {
    await this.#batches.return?.()
  }
}
