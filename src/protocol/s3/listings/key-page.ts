import { isFailure } from '../../../core/failure.js'
import { pathOf, segmentsOf } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import { compareKeys, keyOf } from '../../../store/key-order.js'
import type { Entry, Store } from '../../../store/store.js'
import type { Session } from '../../protocol.js'
import { isObject, markerAttribute } from '../buckets/bucket.js'

/** Which part of a bucket's keys is asked for. */
export interface KeyRange {
  readonly prefix: string
  /** Keys with this text behind the prefix are shown as one common prefix; none where it is empty. */
  readonly delimiter: string
  /** Only what comes after this text in the order of UTF-8 bytes; everything where it is empty. */
  readonly after: string
  readonly limit: number
}

/** A key or, without an entry, a common prefix. */
export interface ListedKey {
  readonly text: string
  readonly entry?: Entry
}

export interface KeyPage {
  readonly listed: readonly ListedKey[]
  /** There is more after the last of them. */
  readonly isTruncated: boolean
}

/** Behind every text that begins with what stands before it. */
const behindAll = '\u{10FFFF}'

/** So many keys of a common prefix are passed over one by one before the listing is begun anew behind all of them. */
const patience = 500

/**
 * A page of a bucket in S3's order: files, directories that are objects, and common prefixes, as far as the caller may see
 * them. With delimiter `/` every directory is a common prefix, even one that holds nothing. What a page costs depends on
 * the folders that it shows, not on what came before. Texts are taken as texts: one that no key can begin with matches
 * nothing. Throws `denied` where the caller may see nothing of the bucket.
 */
export async function pageOfKeys(
  session: Pick<Session, 'store' | 'permit'>,
  bucketPath: StorePath,
  range: KeyRange,
  signal: AbortSignal,
): Promise<KeyPage> {
  if (range.limit === 0) return { listed: [], isTruncated: false }
  const prefix = range.prefix.normalize('NFC')
  const folder = folderOf(bucketPath, prefix)
  if (folder === undefined) return { listed: [], isTruncated: false }
  try {
    const keys = new BucketKeys(session, bucketPath, folder, prefix, range.delimiter, signal)
    return await keys.page(range.after.normalize('NFC'), range.limit)
  } catch (error) {
    // A prefix that leads to no folder, or to one that the caller may see nothing of: there are no such keys.
    const isHidden = isFailure(error, 'denied') && folder !== bucketPath
    if (!isHidden && !isFailure(error, 'not-found', 'not-directory')) throw error
    return { listed: [], isTruncated: false }
  }
}

/** The folder that holds all keys with a prefix; undefined where no folder can. */
function folderOf(bucketPath: StorePath, prefix: string): StorePath | undefined {
  const names = prefix.split('/').slice(0, -1)
  try {
    return pathOf([...segmentsOf(bucketPath), ...names])
  } catch (error) {
    if (isFailure(error, 'invalid')) return undefined
    throw error
  }
}

class BucketKeys {
  readonly #store: Store
  readonly #permit: Session['permit']
  readonly #folder: StorePath
  readonly #prefix: string
  readonly #delimiter: string
  readonly #signal: AbortSignal
  /** What the paths of all members of the bucket begin with. */
  readonly #base: string

  constructor(
    { store, permit }: Pick<Session, 'store' | 'permit'>,
    bucketPath: StorePath,
    folder: StorePath,
    prefix: string,
    delimiter: string,
    signal: AbortSignal,
  ) {
    this.#store = store
    this.#permit = permit
    this.#folder = folder
    this.#prefix = prefix
    this.#delimiter = delimiter
    this.#signal = signal
    this.#base = bucketPath === '/' ? '/' : `${bucketPath}/`
  }

  /** Keys and common prefixes after a text. Throws what listing the folder throws. */
  async page(after: string, limit: number): Promise<KeyPage> {
    const listed: ListedKey[] = []
    let last = after
    const own = await this.#ownKey()
    if (own !== undefined && compareKeys(own.text, last) > 0) {
      listed.push(own)
      last = own.text
    }
    for (let start: string | undefined = this.#startAfter(last); start !== undefined;) {
      const begun: string = start
      start = undefined
      let passed = 0
      for await (const entries of this.#entries(begun)) {
        for (const entry of entries) {
          const one = this.#listedAs(entry)
          if (one === undefined) continue
          if (compareKeys(one.text, last) > 0) {
            if (listed.length === limit) return { listed, isTruncated: true }
            listed.push(one)
            last = one.text
            passed = 0
          } else if (one.entry === undefined && ++passed === patience) start = last + behindAll
        }
        if (start !== undefined) break
      }
    }
    return { listed, isTruncated: false }
  }

  /** The folder of the prefix itself, where it is an object and the prefix is its key. */
  async #ownKey(): Promise<ListedKey | undefined> {
    if (!this.#prefix.endsWith('/')) return undefined
    const entry = await this.#store.stat(this.#folder, this.#signal)
    return entry?.attributes?.[markerAttribute] === undefined ? undefined : { text: this.#prefix, entry }
  }

  /** Where the store is to begin: behind the whole of a common prefix that `after` is or lies in. */
  #startAfter(after: string): string {
    const end = after.startsWith(this.#prefix) ? this.#endOfCommon(after) : -1
    return end === -1 ? after : after.slice(0, end) + behindAll
  }

  /** Where the common prefix of a key ends; -1 for a key that stands for itself. */
  #endOfCommon(key: string): number {
    if (this.#delimiter === '') return -1
    const at = key.indexOf(this.#delimiter, this.#prefix.length)
    return at === -1 ? -1 : at + this.#delimiter.length
  }

  #listedAs(entry: Entry): ListedKey | undefined {
    if (this.#delimiter !== '/' && !isObject(entry)) return undefined
    const key = keyOf(entry).slice(this.#base.length)
    if (!key.startsWith(this.#prefix)) return undefined
    const end = this.#endOfCommon(key)
    return end === -1 ? { text: key, entry } : { text: key.slice(0, end) }
  }

  #entries(after: string): AsyncIterable<readonly Entry[]> {
    const options = {
      order: 'key',
      prefix: this.#base + this.#prefix,
      noted: true,
      signal: this.#signal,
      ...(after !== '' && { after: this.#base + after }),
    } as const
    if (this.#delimiter === '/') return this.#store.list(this.#folder, { ...options, depth: 1 })
    // Where not all is shown, the store would look into folders for nothing.
    return this.#permit.allowsAllBelow('list', this.#folder)
      ? this.#store.list(this.#folder, { ...options, depth: 'infinity' })
      : this.#visibleBelow(this.#folder, options)
  }

  /** All below a directory that the caller sees, going into no folder that it does not see. */
  async *#visibleBelow(
    directory: StorePath,
    options: { readonly order: 'key'; readonly prefix: string; readonly after?: string; readonly noted: true },
  ): AsyncGenerator<readonly Entry[]> {
    const { after, ...rest } = options
    const above = directory === '/' ? '/' : `${directory}/`
    const begin = after === undefined ? undefined : beginningIn(above, after)
    const members = { ...rest, ...(begin !== undefined && { after: begin }), depth: 1, signal: this.#signal } as const
    for await (const entries of this.#store.list(directory, members))
      for (const entry of entries) {
        yield [entry]
        if (entry.kind === 'directory') yield* this.#visibleBelow(entry.path, options)
      }
  }
}

/** Where the members of one directory begin that are, or hold, something after a text. */
function beginningIn(directory: string, after: string): string {
  const slash = after.startsWith(directory) ? after.indexOf('/', directory.length) : -1
  // `.` is the character before the slash that the key of a directory ends with.
  return slash === -1 ? after : `${after.slice(0, slash)}.${behindAll}`
}
