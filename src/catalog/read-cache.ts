import type { Clock } from '../core/clock.js'
import type { Item, NamedItem } from './catalog.js'
import { SmallGroups } from './small-groups.js'
import type { WalIndex } from './wal-index.js'

/** What is kept of a name. Strings, one character for each byte: the garbage collector has a hard time with many small buffers. */
interface Kept {
  /** Undefined where there is no item. */
  readonly version: string | undefined
  readonly value: string
  /** Milliseconds since the epoch; Infinity for never. */
  readonly expires: number
}

/** An item of a group, and until when it is one: milliseconds since the epoch, Infinity for ever. */
export interface ExpiringItem extends NamedItem {
  readonly expires: number
}

/** All items whose names begin with a prefix. */
interface KeptList {
  readonly items: readonly (Kept & { readonly name: string; readonly version: string })[]
  /** When the first of them expires. */
  readonly expires: number
}

/** Longer lists are not kept. */
const maxListItems = 64

/** What one cache may hold, keys and all, in bytes; everything is forgotten beyond it. */
const maxBytes = 8 * 1024 * 1024
/** Larger values are rare and are read again instead. */
const maxValueBytes = 16 * 1024
const entryBytes = 200

/**
 * Remembers what was read from an SQLite database for as long as nobody else commits to it, and what was written beyond
 * that. It holds exactly what a read would find now: `refresh` compares with the shared memory first, so that a commit
 * of any process is seen by the very next read.
 */
export class ReadCache {
  readonly #index: WalIndex
  readonly #clock: Clock
  readonly #items = new Map<string, Map<string, Kept>>()
  /** By group, length of the prefix, and prefix: so a written name finds all the lists in which it stands. */
  readonly #lists = new Map<string, Map<number, Map<string, KeptList>>>()
  readonly #written = new Map<string, Map<string, Kept>>()
  readonly #small: SmallGroups<Kept>
  #bytes = 0
  #hasWritten = false

  constructor(index: WalIndex, clock: Clock) {
    this.#index = index
    this.#clock = clock
    this.#small = new SmallGroups(clock)
  }

  /** Forgets everything if somebody has committed. To be called right before `find`, `list` and reads whose results are kept. */
  refresh(): void {
    if (this.#index.isUnchanged()) return
    this.#forget()
    this.#index.mark()
  }

  /** What a read would find under the name; undefined where that is not known. */
  find(group: string, name: string): { readonly item: Item | undefined } | undefined {
    const kept = this.#live(group, name)
    if (kept === undefined) return undefined
    return kept.version === undefined ? nothing : { item: itemOf(kept.value, kept.version) }
  }

  /** The version that a transaction of ours would find, which is undefined where there is no item; undefined where that is not known. */
  version(group: string, name: string): { readonly version: string | undefined } | undefined {
    return this.#live(group, name, this.#written.get(group)?.get(name))
  }

  /** What a read of all items with the prefix would find, where that is known. */
  list(group: string, prefix: string): readonly NamedItem[] | undefined {
    const small = this.#small.items(group)
    if (small !== undefined) return this.#listOf(small, prefix)
    const kept = this.#lists.get(group)?.get(prefix.length)?.get(prefix)
    if (kept === undefined || kept.expires <= this.#clock.now()) return undefined
    return kept.items.map(({ name, value, version }) => ({ name, value: bytesOf(value), version }))
  }

  /** Whether `learn` would be welcome: the group may be so small that it can be kept whole. */
  wants(group: string): boolean {
    return this.#small.wants(group)
  }

  /** Keeps all items of a group, as `keep` does; undefined says that there are too many. */
  learn(group: string, items: readonly ExpiringItem[] | undefined): void {
    const fits = items?.every(({ value }) => value.byteLength <= entryBytes * 4) === true
    const kept = fits ? new Map(items.map((item) => [item.name, keptOf(item, item.expires)])) : undefined
    this.#small.learn(group, kept)
  }

  /** Keeps what was found after the last `refresh`, in the same turn. */
  keep(group: string, name: string, item: Item | undefined, expires = Infinity): void {
    if ((item?.value.byteLength ?? 0) <= maxValueBytes) this.#keep(group, name, keptOf(item, expires))
  }

  /** Keeps a whole list, as `keep` does. */
  keepList(group: string, prefix: string, items: readonly NamedItem[], expires: number): void {
    if (items.length > maxListItems) return
    let size = entryBytes + 2 * prefix.length
    for (const { name, value } of items) size += entryBytes + 2 * name.length + value.byteLength
    if (size > maxListItems * entryBytes + maxValueBytes) return
    this.#makeRoom(size)
    const kept = items.map((item) => ({ ...keptOf(item, expires), name: item.name, version: item.version }))
    inner(inner(this.#lists, group), prefix.length).set(prefix, { items: kept, expires })
  }

  /** A transaction of ours has begun: until it ends, nobody else can commit. */
  begin(): void {
    this.refresh()
    this.#written.clear()
    this.#hasWritten = false
  }

  /** The transaction has written an item, or has removed it. */
  write(group: string, name: string, item: Item | undefined, expires = Infinity): void {
    inner(this.#written, group).set(name, keptOf(item, expires))
    this.#hasWritten = true
  }

  /** The transaction has written something that is not kept here. */
  writeElsewhere(): void {
    this.#hasWritten = true
  }

  /** The transaction is committed: what it has written is what a read would find now, if nobody has come behind it. */
  commit(): void {
    // Where nothing was written, nothing was committed: then one more commit is somebody else's.
    if (!this.#hasWritten) this.refresh()
    else if (!this.#index.markOneMore()) this.#forget()
    else
      for (const [group, items] of this.#written) {
        for (const [name, kept] of items) {
          this.#forgetLists(group, name)
          this.#items.get(group)?.delete(name)
          this.#small.write(group, name, kept.version === undefined ? undefined : kept)
          if (kept.value.length <= maxValueBytes) this.#keep(group, name, kept)
        }
      }
    this.#written.clear()
  }

  /** The transaction has failed, and nobody knows how far it came. */
  fail(): void {
    this.#written.clear()
    this.#forget()
  }

  #live(group: string, name: string, kept = this.#known(group, name)): Kept | undefined {
    return kept === undefined || kept.expires > this.#clock.now() ? kept : absent
  }

  #known(group: string, name: string): Kept | undefined {
    const kept = this.#items.get(group)?.get(name)
    if (kept !== undefined) return kept
    const small = this.#small.items(group)
    return small && (small.get(name) ?? absent)
  }

  #listOf(items: ReadonlyMap<string, Kept>, prefix: string): readonly NamedItem[] {
    const now = this.#clock.now()
    const found: NamedItem[] = []
    for (const [name, { value, version, expires }] of items)
      if (version !== undefined && expires > now && name.startsWith(prefix))
        found.push({ name, value: bytesOf(value), version })
    return found.length < 2 ? found : found.sort(byName)
  }

  #keep(group: string, name: string, kept: Kept): void {
    this.#makeRoom(entryBytes + 2 * name.length + kept.value.length)
    inner(this.#items, group).set(name, kept)
  }

  #forgetLists(group: string, name: string): void {
    for (const [length, lists] of this.#lists.get(group) ?? [])
      if (length <= name.length && lists.delete(name.slice(0, length)) && lists.size === 0)
        this.#lists.get(group)?.delete(length)
  }

  #makeRoom(bytes: number): void {
    // What is replaced or forgotten counts on: the sum only tells when to begin anew.
    if (this.#bytes + bytes > maxBytes) this.#forget()
    this.#bytes += bytes
  }

  #forget(): void {
    this.#items.clear()
    this.#lists.clear()
    this.#small.forget()
    this.#bytes = 0
  }
}

const absent: Kept = { version: undefined, value: '', expires: Infinity }
const nothing = { item: undefined }

function keptOf(item: Item | undefined, expires: number): Kept {
  if (item === undefined) return absent
  const { buffer, byteOffset, byteLength } = item.value
  return { version: item.version, value: Buffer.from(buffer, byteOffset, byteLength).toString('latin1'), expires }
}

/** Many ask for nothing but the version. */
function itemOf(value: string, version: string): Item {
  let bytes: Uint8Array | undefined
  return {
    version,
    get value() {
      return (bytes ??= bytesOf(value))
    },
  }
}

/** As the catalog lists them. */
function byName(one: NamedItem, other: NamedItem): number {
  return Buffer.compare(Buffer.from(one.name), Buffer.from(other.name))
}

/** A copy each time: whoever gets it may change it. In memory that small buffers share, which are many in a listing. */
function bytesOf(value: string): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.from(value, 'latin1')
  return new Uint8Array(buffer, byteOffset, length)
}

function inner<Key, Name, Value>(maps: Map<Key, Map<Name, Value>>, key: Key): Map<Name, Value> {
  const found = maps.get(key)
  if (found) return found
  const made = new Map<Name, Value>()
  maps.set(key, made)
  return made
}
