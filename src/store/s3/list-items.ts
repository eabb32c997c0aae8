import { compareKeys } from '../key-order.js'
import type { StorePath } from '../../core/path.js'
import type { S3Context } from './context.js'
import { pathOfKey } from './keys.js'
import type { ListedObject, ListPage, ListRequest } from './service.js'

/** Something that a listing of keys has come by: a file, a marker, or names below a directory. */
export interface Item {
  readonly path: StorePath
  /** What it is sorted by, as `keyOf` of its entry. */
  readonly key: string
  readonly isDirectory: boolean
  /** Undefined where only names below were seen. */
  readonly listed: ListedObject | undefined
}

export interface ItemRequest {
  /** Of all keys, as the service has them. */
  readonly prefix: string
  /** The key of the directory, as it begins the keys of this listing. */
  readonly base: string
  /** Only the directory's own members. */
  readonly isFlat: boolean
  /** Only keys behind this one. */
  readonly after: string | undefined
  readonly signal: AbortSignal
}

/** Pages of what is below a directory, in key order; whatever no path can name is left out. Empty pages come too. */
export async function* itemPages(context: S3Context, request: ItemRequest): AsyncGenerator<readonly Item[], void> {
  const { base } = request
  /** Names that others left in NFD: S3 gives them before their place in NFC. */
  const early: Item[] = []
  for await (const page of pages(context, request)) {
    const items: Item[] = []
    for (const [key, listed] of inOrder(page)) {
      const path = key === base ? undefined : pathOfKey(key)
      if (path === undefined) continue
      const isDirectory = key.endsWith('/')
      const item = { path, key: isDirectory ? path + '/' : path, isDirectory, listed }
      if (!item.key.endsWith(key.slice(base.length))) {
        early.splice(placeOf(early, item), 0, item)
        continue
      }
      while (early[0] !== undefined && compareKeys(early[0].key, item.key) < 0) items.push(...early.splice(0, 1))
      // Both forms of one name are there: Postern's own counts.
      while (early[0]?.key === item.key) early.shift()
      items.push(item)
    }
    yield items
  }
  yield early
}

/** The next page is asked for while the one before is being used. */
async function* pages({ service }: S3Context, request: ItemRequest): AsyncGenerator<ListPage, void> {
  const { prefix, isFlat, after, signal } = request
  const ask = (more: Pick<ListRequest, 'after' | 'token'>): Promise<ListPage> => {
    const page = service.list({ prefix, signal, ...(isFlat ? { delimiter: '/' } : {}), ...more })
    // Nobody may come for it.
    page.catch(() => undefined)
    return page
  }
  let next: Promise<ListPage> | undefined = ask(after === undefined ? {} : { after })
  while (next !== undefined) {
    const page: ListPage = await next
    next = page.token === undefined ? undefined : ask({ token: page.token })
    yield page
  }
}

/** Objects and common prefixes of a page, which come sorted each for themselves. */
function* inOrder({ objects, prefixes }: ListPage): Generator<[string, ListedObject | undefined], void> {
  let at = 0
  for (const object of objects) {
    for (
      let prefix = prefixes[at];
      prefix !== undefined && compareKeys(prefix, object.key) < 0;
      prefix = prefixes[at]
    ) {
      yield [prefix, undefined]
      at++
    }
    yield [object.key, object]
  }
  for (; at < prefixes.length; at++) yield [prefixes[at] ?? '', undefined]
}

function placeOf(sorted: readonly Item[], { key }: Item): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareKeys(sorted[middle]?.key ?? '', key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Two listings in key order as one; of what both have, the first one's. */
export async function* mergedItems(
  first: AsyncGenerator<readonly Item[], void>,
  second: AsyncGenerator<readonly Item[], void>,
): AsyncGenerator<readonly Item[], void> {
  const [a, b] = [new Cursor(first), new Cursor(second)]
  try {
    for (;;) {
      const [one, other] = [await a.peek(), await b.peek()]
      if (one === undefined && other === undefined) return
      const order = one === undefined ? 1 : other === undefined ? -1 : compareKeys(one.key, other.key)
      if (order >= 0) b.take()
      if (order <= 0) a.take()
      const item = order <= 0 ? one : other
      if (item !== undefined) yield [item]
    }
  } finally {
    await a.end()
    await b.end()
  }
}

class Cursor {
  readonly #pages: AsyncGenerator<readonly Item[], void>
  #page: readonly Item[] = []
  #at = 0

  constructor(pages: AsyncGenerator<readonly Item[], void>) {
    this.#pages = pages
  }

  async peek(): Promise<Item | undefined> {
    while (this.#at >= this.#page.length) {
      const next = await this.#pages.next()
      if (next.done === true) return undefined
      this.#page = next.value
      this.#at = 0
    }
    return this.#page[this.#at]
  }

  take(): void {
    this.#at++
  }

  async end(): Promise<void> {
    await this.#pages.return()
  }
}
