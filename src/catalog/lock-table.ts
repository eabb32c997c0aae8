import type { Catalog, Item } from './catalog.js'
import { Decoded } from './decoded.js'
import { decode, encode, group, type LockRecord, type StoredLock } from './lock-records.js'
import { recordName, treePrefix } from './record-name.js'
import type { Clock } from '../core/clock.js'
import { ancestorsOf, isWithin, type StorePath } from '../core/path.js'

/** A record as it was read; without a version there is none. */
export interface FoundRecord extends LockRecord {
  readonly version: string | undefined
}

/**
 * The records of locks in a catalog. Where several machines share it, a lock stands in the way for some seconds longer
 * than its owner was told, for the clock of whoever looks may be ahead.
 */
export class LockTable {
  readonly #catalog: Catalog
  readonly #clock: Clock
  readonly #grace: number
  readonly #decoded = new Decoded<LockRecord>(decode)

  constructor(catalog: Catalog, clock: Clock, graceMilliseconds: number) {
    this.#catalog = catalog
    this.#clock = clock
    this.#grace = graceMilliseconds
  }

  /** The live locks of one resource. */
  async read(path: StorePath): Promise<FoundRecord> {
    const name = recordName(path)
    return this.#found(path, name, await this.#catalog.get(group, name))
  }

  /** The same, without waiting where the engine can do so. */
  async glance(path: StorePath): Promise<FoundRecord> {
    const name = recordName(path)
    const known = this.#catalog.glance?.(group, [name])
    return this.#found(path, name, known === undefined ? await this.#catalog.get(group, name) : known[0])
  }

  /** The record with nothing but its live locks: whoever decoded it last has made that of it already. */
  live(record: LockRecord): LockRecord {
    const past = this.#clock.now() - this.#grace
    return record.locks.every((lock) => lock.expires > past)
      ? record
      : { path: record.path, locks: record.locks.filter((lock) => lock.expires > past) }
  }

  /** Replaces the locks of one resource, begun with a record that is `known`, by what `edit` makes of them, however often others get in between. */
  async update(
    path: StorePath,
    edit: (locks: readonly StoredLock[]) => readonly StoredLock[],
    known?: FoundRecord,
  ): Promise<void> {
    for (let found = known ?? (await this.read(path)); ; found = await this.read(path)) {
      const next = edit(found.locks)
      if (next === found.locks || (await this.write(path, next, found.version)) !== false) return
    }
  }

  /** Resolves to the new version, `''` where no record is left; false where the record was another one. */
  async write(path: StorePath, locks: readonly StoredLock[], version: string | undefined): Promise<string | false> {
    if (locks.length === 0)
      return version === undefined ? '' : this.#catalog.swap(group, recordName(path), undefined, version)
    return this.#catalog.swap(group, recordName(path), encode({ path, locks }), version, this.expiryOf(locks))
  }

  /** When a record of these locks may go. */
  expiryOf(locks: readonly StoredLock[]): Date {
    return new Date(Math.max(...locks.map((lock) => lock.expires)) + this.#grace)
  }

  /** The live records of a path and of everything above it, nearest first; those without locks are left out. */
  async near(path: StorePath): Promise<readonly FoundRecord[]> {
    const names = namesNear(path)
    const items = this.#catalog.glance?.(group, names) ?? (await this.#catalog.getAll(group, names))
    const found: FoundRecord[] = []
    for (const [at, name] of names.entries()) {
      const item = items[at]
      if (item === undefined) continue
      const { path: of, locks } = this.live(this.#decoded.of(name, item))
      found.push({ path: of, locks, version: item.version })
    }
    return found
  }

  /** The locks that a path has, and those of depth infinity above it; `purged`. */
  async purgedCovering(path: StorePath): Promise<readonly StoredLock[]> {
    const items = await this.#catalog.getAll(group, namesNear(path))
    const found = await Promise.all(items.map((item) => this.purged(item)))
    return found.flatMap((locks) => locks.filter((lock) => lock.path === path || lock.depth === 'infinity'))
  }

  /** The live locks strictly below a path, in batches. */
  async *below(
    path: StorePath,
    locksOf: (item: Item) => readonly StoredLock[] | Promise<readonly StoredLock[]> = (item) =>
      this.live(decode(item)).locks,
  ): AsyncGenerator<readonly StoredLock[]> {
    for await (const items of this.#catalog.list(group, { prefix: treePrefix(path) })) {
      const found: StoredLock[] = []
      for (const item of items) {
        const record = decode(item)
        if (record.path !== path && isWithin(record.path, path)) found.push(...(await locksOf(item)))
      }
      if (found.length > 0) yield found
    }
  }

  /**
   * The live locks of a record, the others taken out of it: whoever builds on their end must be sure that no late write
   * of their owner, begun before it, brings them back.
   */
  async purged(item: Item | undefined): Promise<readonly StoredLock[]> {
    for (let present = item; present !== undefined;) {
      const record = decode(present)
      const { locks } = this.live(record)
      if (locks.length === record.locks.length) return locks
      if ((await this.write(record.path, locks, present.version)) !== false) return locks
      present = await this.#catalog.get(group, recordName(record.path))
    }
    return []
  }

  #found(path: StorePath, name: string, item: Item | undefined): FoundRecord {
    if (item === undefined) return { path, locks: [], version: undefined }
    return { path, locks: this.live(this.#decoded.of(name, item)).locks, version: item.version }
  }
}

/** Record names of a path and of everything above it, nearest first. */
export function namesNear(path: StorePath): readonly string[] {
  return [path, ...ancestorsOf(path)].map(recordName)
}
