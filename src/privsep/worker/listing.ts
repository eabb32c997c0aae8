import type { LocalStore } from '../../store/local.js'
import type { StorePath } from '../../core/path.js'
import { Failure } from '../../core/failure.js'
import type { Entry, ListOptions } from '../../store/store.js'
import type { KnownOnWire } from '../known.js'
import type { Answer, Asked, Head, Table } from '../wire/link.js'
import { countIn, malformed, pathIn } from '../write-head.js'
import { storeOf, told } from './told.js'

const frame = 64 * 1024

/** Members of one page, at most, and about as much text. */
const pageEntries = 500
const pageCharacters = 512 * 1024

/** Of what is told of each, beside its name. */
const knownCharacters = 100

/** Listings that may be under way at a time, over one link. */
const mostAtOnce = 1024

/** One listing, which its reader fetches page by page. */
class Listing {
  readonly #control = new AbortController()
  readonly #batches: AsyncIterator<readonly Entry[]>
  readonly #base: number
  #waiting: readonly Entry[] = []
  #at = 0
  #working: Promise<unknown> = Promise.resolve()

  constructor(store: LocalStore, directory: StorePath, options: ListOptions) {
    this.#base = directory === '/' ? 1 : directory.length + 1
    const all = { ...options, noted: true, signal: this.#control.signal }
    this.#batches = store.list(directory, all)[Symbol.asyncIterator]()
  }

  /** The next members: their names from the directory on, and what is known of each. */
  page(): Promise<{ readonly page: Head; readonly isLast: boolean }> {
    const page = this.#working.then(() => this.#page())
    this.#working = page.catch(() => undefined)
    return page
  }

  /** Resolves, never rejects, once the directory is closed. */
  async end(): Promise<void> {
    this.#control.abort()
    await this.#working
    await this.#batches.return?.().catch(() => undefined)
  }

  async #page(): Promise<{ readonly page: Head; readonly isLast: boolean }> {
    const names: string[] = []
    const known: KnownOnWire[] = []
    for (let left = pageCharacters; names.length < pageEntries && left > 0;) {
      const entry = this.#waiting[this.#at]
      if (entry === undefined) {
        const next = await this.#batches.next()
        if (next.done === true) return { page: { names, known }, isLast: true }
        this.#waiting = next.value
        this.#at = 0
        continue
      }
      this.#at += 1
      const name = entry.path.slice(this.#base)
      names.push(name)
      known.push(told(entry))
      left -= name.length + knownCharacters
    }
    return { page: { names, known }, isLast: false }
  }
}

/** All listings of one link. */
export class Lister {
  readonly #stores: readonly LocalStore[]
  readonly #open = new Map<number, Listing>()
  #last = 0
  readonly beginning: Table
  readonly goingOn: Table

  constructor(stores: readonly LocalStore[]) {
    this.#stores = stores
    this.beginning = { list: { maxBytes: frame, handle: (asked) => this.#begin(asked) } }
    this.goingOn = {
      'list-next': {
        maxBytes: frame,
        handle: async ({ head }) => {
          const list = countIn(head, 'list')
          const listing = this.#open.get(list)
          if (listing === undefined) throw malformed()
          return await this.#next(list, listing)
        },
      },
      'list-end': {
        maxBytes: frame,
        handle: async ({ head }) => {
          await this.#end(countIn(head, 'list'))
          return {}
        },
      },
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((list) => this.#end(list)))
  }

  async #begin({ head, signal }: Asked): Promise<Answer> {
    const directory = pathIn(head, 'path')
    const options = listOptionsIn(head)
    if (this.#open.size >= mostAtOnce)
      throw new Failure('unavailable', 'Too many directories are being listed.', { retryAfterSeconds: 1 })
    const listing = new Listing(storeOf(this.#stores, head), directory, options)
    const list = ++this.#last
    this.#open.set(list, listing)
    // Whoever has given up does not know its number.
    const giveUp = (): void => void this.#end(list)
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    return await this.#next(list, listing)
  }

  async #next(list: number, listing: Listing): Promise<Answer> {
    try {
      const { page, isLast } = await listing.page()
      if (isLast) await this.#end(list)
      return { head: isLast ? page : { ...page, list } }
    } catch (error) {
      await this.#end(list)
      throw error
    }
  }

  async #end(list: number): Promise<void> {
    const listing = this.#open.get(list)
    this.#open.delete(list)
    await listing?.end()
  }
}

function listOptionsIn({ order, depth, prefix, after }: Head): ListOptions {
  const isKnown =
    (order === undefined || order === 'key' || order === 'any') &&
    (depth === undefined || depth === 1 || depth === 'infinity') &&
    (prefix === undefined || typeof prefix === 'string') &&
    (after === undefined || typeof after === 'string')
  if (!isKnown) throw malformed()
  return {
    ...(order !== undefined && { order }),
    ...(depth !== undefined && { depth }),
    ...(prefix !== undefined && { prefix }),
    ...(after !== undefined && { after }),
  }
}
