import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { Catalog, Change, Item, NamedItem, Unless } from './catalog.js'
import { checkChanges, checkItem, checkKey } from './limits.js'

interface Kept extends Item {
  /** Milliseconds since the epoch; Infinity for never. */
  readonly expires: number
}

interface Counter {
  sum: number
  readonly expires: number
}

const batchItems = 500
const writesBetweenSweeps = 1024

/** A catalog that lives and dies with the process. */
export function openMemoryCatalog(options: { readonly clock: Clock }): Catalog {
  return new MemoryCatalog(options.clock)
}

class MemoryCatalog implements Catalog {
  readonly #clock: Clock
  readonly #items = new Map<string, Map<string, Kept>>()
  readonly #counters = new Map<string, Map<string, Counter>>()
  #lastVersion = 0
  #writes = 0
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async get(group: string, name: string): Promise<Item | undefined> {
    this.#enter(() => checkKey(group, name))
    const item = this.#live(group, name)
    return item && { value: new Uint8Array(item.value), version: item.version }
  }

  async getAll(group: string, names: readonly string[]): Promise<readonly (Item | undefined)[]> {
    return Promise.all(names.map((name) => this.get(group, name)))
  }

  async swap(
    group: string,
    name: string,
    next: Uint8Array | undefined,
    expected: string | undefined,
    expires?: Date,
  ): Promise<string | false> {
    this.#enter(() => checkItem(group, name, next))
    return this.#matches(group, name, expected) && this.#put(group, name, next, expires)
  }

  async *list(
    group: string,
    options: { readonly prefix?: string; readonly after?: string } = {},
  ): AsyncIterable<readonly NamedItem[]> {
    const { prefix = '', after } = options
    this.#enter(() => checkKey(group, prefix))
    const names = [...(this.#items.get(group)?.keys() ?? [])]
      .filter((name) => name.startsWith(prefix))
      .map((name) => ({ name, bytes: Buffer.from(name) }))
      .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    const behind = after === undefined ? undefined : Buffer.from(after)
    let at = behind === undefined ? 0 : names.findIndex(({ bytes }) => Buffer.compare(bytes, behind) > 0)
    if (at === -1) return
    for (; at < names.length; at += batchItems) {
      const batch: NamedItem[] = []
      for (const { name } of names.slice(at, at + batchItems)) {
        const item = this.#live(group, name)
        if (item) batch.push({ name, value: new Uint8Array(item.value), version: item.version })
      }
      if (batch.length > 0) yield batch
    }
  }

  async add(group: string, name: string, by: number, expires: Date): Promise<number> {
    this.#enter(() => checkKey(group, name))
    const counters = of(this.#counters, group)
    const counter = counters.get(name)
    const live = counter !== undefined && counter.expires > this.#clock.now() ? counter : undefined
    if (by === 0) return live?.sum ?? 0
    this.#countWrite()
    if (live) return (live.sum += by)
    counters.set(name, { sum: by, expires: expires.getTime() })
    return by
  }

  async transaction(changes: readonly Change[]): Promise<boolean> {
    this.#enter(() => checkChanges(changes))
    if (!changes.every(({ group, name, expected }) => this.#matches(group, name, expected))) return false
    for (const { group, name, next, expires } of changes) this.#put(group, name, next, expires)
    return true
  }

  async claim(
    group: string,
    name: string,
    next: Uint8Array,
    { absent, prefix }: Unless,
    expires?: Date,
  ): Promise<string | false> {
    this.#enter(() => checkItem(group, name, next))
    if ([name, ...absent].some((each) => this.#live(group, each) !== undefined)) return false
    if (prefix !== undefined)
      for (const other of this.#items.get(group)?.keys() ?? [])
        if (other.startsWith(prefix) && this.#live(group, other) !== undefined) return false
    return this.#put(group, name, next, expires)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #enter(check: () => void): void {
    if (this.#closed) throw new Failure('unavailable', 'The catalog is closed.')
    check()
  }

  #live(group: string, name: string): Kept | undefined {
    const item = this.#items.get(group)?.get(name)
    return item !== undefined && item.expires > this.#clock.now() ? item : undefined
  }

  #matches(group: string, name: string, expected: string | undefined): boolean {
    return expected === 'any' || this.#live(group, name)?.version === expected
  }

  #put(group: string, name: string, next: Uint8Array | undefined, expires: Date | undefined): string {
    this.#countWrite()
    if (next === undefined) {
      this.#items.get(group)?.delete(name)
      return ''
    }
    const version = String(++this.#lastVersion)
    of(this.#items, group).set(name, { value: new Uint8Array(next), version, expires: expires?.getTime() ?? Infinity })
    return version
  }

  #countWrite(): void {
    if (++this.#writes % writesBetweenSweeps !== 0) return
    const now = this.#clock.now()
    for (const groups of [this.#items, this.#counters])
      for (const kept of groups.values()) for (const [name, { expires }] of kept) if (expires <= now) kept.delete(name)
  }
}

function of<T>(groups: Map<string, Map<string, T>>, group: string): Map<string, T> {
  const found = groups.get(group)
  if (found) return found
  const made = new Map<string, T>()
  groups.set(group, made)
  return made
}
