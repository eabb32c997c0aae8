import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { compareKeys } from '../key-order.js'
import { notDirectory, notFound } from '../refusals.js'
import type { Entry, ListOptions } from '../store.js'
import { requestsAtOnce, type S3Context } from './context.js'
import { directoryEntry, listedDirectory, listedEntry } from './entries.js'
import { directoryKey, isAbsentByName, twinsOf } from './keys.js'
import { find, findFileOnly } from './look.js'
import { type Item, itemPages, type ItemRequest, mergedItems } from './list-items.js'

/** A page of S3 holds twice as many. */
const batchEntries = 500

/**
 * `Store.list`, in key order whatever was asked for: S3 has no other. Of files it tells what the listing of the service
 * does: with `noted` the attributes of directories come too, but not those of files, which would be a request for each.
 */
export async function* list(
  context: S3Context,
  directory: StorePath,
  options: ListOptions = {},
): AsyncGenerator<readonly Entry[], void> {
  throwIfAborted(options.signal)
  if (isAbsentByName(directory)) throw notFound(directory)
  const leaving = new AbortController()
  const signal = options.signal === undefined ? leaving.signal : AbortSignal.any([options.signal, leaving.signal])
  try {
    const walk = new Walk(context, directory, options)
    const file = directory === rootPath ? undefined : findFileOnly(context, directory, signal)
    file?.catch(() => undefined)
    let isThere = false
    let batch: Entry[] = []
    for await (const items of walk.items(signal)) {
      throwIfAborted(options.signal)
      if (!isThere && items.length > 0) {
        // A file of the name hides all that is below it.
        if ((await file) !== undefined) throw notDirectory(directory)
        isThere = true
      }
      for (const item of items) walk.add(item, batch)
      if (batch.length < batchEntries) continue
      yield await walk.finished(batch, signal)
      batch = []
    }
    if (!isThere) await requireDirectory(context, directory, signal)
    if (batch.length > 0) yield await walk.finished(batch, signal)
  } finally {
    leaving.abort()
  }
}

async function requireDirectory(context: S3Context, directory: StorePath, signal: AbortSignal): Promise<void> {
  const found = await find(context, directory, signal)
  if (found === undefined) throw notFound(directory)
  if (found.kind === 'file') throw notDirectory(directory)
}

class Walk {
  readonly #context: S3Context
  readonly #directory: StorePath
  /** The directory's key as entries have it: with a slash at both ends. */
  readonly #base: string
  readonly #prefix: string
  readonly #after: string | undefined
  readonly #isFlat: boolean
  readonly #isNoted: boolean
  /** Keys of the directories that the last item lay in, each within the one before. */
  readonly #inside: string[] = []
  /** Keys of files with which further keys may begin, each longer than the one before. */
  readonly #files: string[] = []

  constructor(context: S3Context, directory: StorePath, options: ListOptions) {
    this.#context = context
    this.#directory = directory
    this.#base = directory === rootPath ? '/' : directory + '/'
    this.#prefix = options.prefix ?? ''
    this.#after = options.order === 'key' ? options.after : undefined
    this.#isFlat = options.depth !== 'infinity'
    this.#isNoted = options.noted === true
  }

  /** All that may be wanted, in key order. */
  items(signal: AbortSignal): AsyncIterable<readonly Item[]> {
    const [first, second] = this.#requests(signal).map((request) => itemPages(this.#context, request))
    if (first === undefined) return nothing()
    return second === undefined ? first : mergedItems(first, second)
  }

  /** One for each form of the name that the keys may have. */
  #requests(signal: AbortSignal): readonly ItemRequest[] {
    const base = this.#base
    const wanted = this.#prefix.startsWith(base) ? this.#prefix.slice(base.length) : ''
    if (wanted === '' && !base.startsWith(this.#prefix)) return []
    if (this.#isFlat && wanted.includes('/')) return []
    const after = this.#after
    if (after !== undefined && !after.startsWith('/') && compareKeys(after, '/') > 0) return []
    const bases = twinsOf(directoryKey(this.#directory))
    const prefixes = twinsOf(directoryKey(this.#directory) + wanted)
    return prefixes.map((prefix, form) => ({
      prefix,
      base: bases[form] ?? bases[0] ?? '',
      isFlat: this.#isFlat,
      // Keys in NFD lie elsewhere than those that they stand for.
      after:
        form === 0 && after !== undefined && after.length > 1 && after.startsWith('/') ? after.slice(1) : undefined,
      signal,
    }))
  }

  /** Adds the entry of an item, after those of the directories that it is the first sign of. */
  add({ path, key, isDirectory, listed }: Item, batch: Entry[]): void {
    const files = this.#files
    const inside = this.#inside
    while (files.length > 0 && !key.startsWith(files.at(-1) ?? '')) files.pop()
    if (files.some((file) => key.startsWith(file + '/'))) return
    while (inside.length > 0 && !key.startsWith(inside.at(-1) ?? '')) inside.pop()
    const known = inside.at(-1) ?? this.#base
    for (let slash = key.indexOf('/', known.length); slash !== -1; slash = key.indexOf('/', slash + 1)) {
      const above = key.slice(0, slash + 1)
      inside.push(above)
      if (!this.#isWanted(above)) continue
      const modified = above === key ? listed?.modified : undefined
      batch.push(listedDirectory(key.slice(0, slash) as StorePath, modified ?? 0))
    }
    if (isDirectory || listed === undefined) return
    files.push(key)
    if (this.#isWanted(key)) batch.push(listedEntry(this.#context, path, listed))
  }

  #isWanted(key: string): boolean {
    const path = key.endsWith('/') ? key.slice(0, -1) : key
    return path.startsWith(this.#prefix) && (this.#after === undefined || compareKeys(key, this.#after) > 0)
  }

  /** The batch with what is noted of directories, where that was asked for. */
  async finished(batch: readonly Entry[], signal: AbortSignal): Promise<readonly Entry[]> {
    if (!this.#isNoted) return batch
    const entries = [...batch]
    let next = 0
    const look = async (): Promise<void> => {
      while (next < entries.length) {
        const at = next++
        const entry = entries[at]
        // Where all keys are listed, a marker has shown itself by its time.
        if (entry?.kind !== 'directory' || (!this.#isFlat && entry.modified === 0)) continue
        entries[at] = directoryEntry(entry.path, await this.#marker(entry.path, signal))
      }
    }
    await Promise.all(Array.from({ length: requestsAtOnce }, look))
    return entries
  }

  async #marker(path: StorePath, signal: AbortSignal): ReturnType<S3Context['service']['head']> {
    for (const key of twinsOf(directoryKey(path))) {
      const facts = await this.#context.service.head(key, signal)
      if (facts !== undefined) return facts
    }
    return undefined
  }
}

async function* nothing(): AsyncGenerator<readonly Item[], void> {
  // Not even a request.
}
