import { randomBytes } from 'node:crypto'
import { chmod, open, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { Catalog, Change, Item, NamedItem, Unless } from './catalog.js'
import { checkChanges, checkItem, checkKey } from './limits.js'
import type { Database, SqlRow, SqlValue } from './sqlite-engine.js'
import { type ExpiringItem, ReadCache } from './read-cache.js'
import { mostInSmallGroup } from './small-groups.js'
import { Commits } from './sqlite-commits.js'
import { bytesOf, firstRow, isBusy, numberOf, openDatabase, patiently, sqliteFailure, textOf } from './sqlite-engine.js'
import { batchItems, prepareSchema, prepareStatements, type Statements } from './sqlite-schema.js'
import { openWalIndex } from './wal-index.js'
import type { WalSync } from './wal-sync.js'
import { openWalSync } from './wal-sync.js'

export interface SqliteOptions {
  /** Made with mode 0600 where there is none; its directory must exist. */
  readonly file: string
  readonly clock: Clock
  /**
   * `full`: what is resolved survives a power cut, except in the groups of `fleeting`. `fast`: it survives a crash of the
   * process only.
   */
  readonly durability: 'full' | 'fast'
  /** Groups that a power cut may set back by some seconds, so that nobody waits for the disk. Default: locks, which may end early (RFC 4918 §6.6), and what processes tell each other of work that a power cut ends. */
  readonly fleeting?: readonly string[]
  /** Remember what was read, where the system lets us see without a call whether it still holds (default: true). */
  readonly cached?: boolean
}

const commitsPerCheckpoint = 256
const batchBytes = 1024 * 1024

/**
 * Opens a catalog in one SQLite file, which any number of processes of this host may share. Throws `unsupported` for a
 * network disk, a database of a newer Postern and a file that is something else, `unavailable` where it cannot be opened.
 */
export async function openSqliteCatalog(options: SqliteOptions): Promise<Catalog> {
  let database: Database | undefined
  let log: WalSync | undefined
  try {
    refuseNetworkDisk((await statfs(dirname(options.file))).type)
    await makePrivate(options.file)
    database = openDatabase(options.file)
    await prepareSchema(database)
    log = await openWalSync(options.file)
    const index = options.cached === false ? undefined : openWalIndex(options.file)
    return new SqliteCatalog(database, options, index && new ReadCache(index, options.clock), log)
  } catch (error) {
    await log?.close()
    database?.close()
    throw sqliteFailure(error)
  }
}

/** Throws `unsupported` for the type (statfs(2)) of a disk on which SQLite's locks and shared memory cannot be relied on. */
export function refuseNetworkDisk(type: number): void {
  const kind = networkDisks.get(type >>> 0)
  if (kind !== undefined)
    throw new Failure(
      'unsupported',
      `The SQLite catalog cannot be kept on ${kind}: use a local disk for the state, or a shared catalog (postgres or dynamodb).`,
    )
}

const networkDisks: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS (or EFS)'],
  [0x517b, 'SMB'],
  [0xff534d42, 'SMB'],
  [0xfe534d42, 'SMB'],
])

async function makePrivate(file: string): Promise<void> {
  try {
    await (await open(file, 'wx', 0o600)).close()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    // Never by a descriptor: closing one would drop the locks of another catalog of this process on the same file.
    await chmod(file, 0o600)
  }
}

class SqliteCatalog implements Catalog {
  readonly #database: Database
  readonly #clock: Clock
  readonly #statements: Statements
  readonly #commits: Commits
  readonly #cache: ReadCache | undefined
  readonly #log: WalSync
  #commitsSinceCheckpoint = 0
  #checkpoint = Promise.resolve()
  readonly #fleeting: ReadonlySet<string>
  /** Versions are unique by the random part, which no other opening of the file shares. */
  readonly #versionPrefix = randomBytes(9).toString('base64url') + '.'
  #lastVersion = 0
  #closed = false

  constructor(
    database: Database,
    { clock, durability, fleeting = ['locks', 'commits', 'turns', 'directories', 'jobs'] }: SqliteOptions,
    cache: ReadCache | undefined,
    log: WalSync,
  ) {
    this.#database = database
    this.#clock = clock
    this.#cache = cache
    this.#log = log
    this.#fleeting = new Set(fleeting)
    this.#statements = prepareStatements(database)
    const hooks = {
      begun: () => cache?.begin(),
      tidy: () => this.#sweep(),
      committed: () => {
        cache?.commit()
        if (++this.#commitsSinceCheckpoint % commitsPerCheckpoint === 0)
          this.#checkpoint = this.#checkpoint.then(() => this.#makeCheckpoint())
      },
      failed: () => cache?.fail(),
    }
    this.#commits = new Commits(database, hooks, durability === 'full' ? () => log.sync() : undefined)
  }

  async get(group: string, name: string): Promise<Item | undefined> {
    checkKey(group, name)
    return this.#read(() => this.#get(group, name))
  }

  async getAll(group: string, names: readonly string[]): Promise<readonly (Item | undefined)[]> {
    for (const name of names) checkKey(group, name)
    return this.#read(() => names.map((name) => this.#get(group, name)))
  }

  async swap(
    group: string,
    name: string,
    next: Uint8Array | undefined,
    expected: string | undefined,
    expires?: Date,
  ): Promise<string | false> {
    checkItem(group, name, next)
    const change = prepareChange({ group, name, next, expected, ...(expires && { expires }) })
    return this.#write(() => this.#matches(change) && this.#put(change), !this.#fleeting.has(group))
  }

  async claim(
    group: string,
    name: string,
    next: Uint8Array,
    { absent, prefix }: Unless,
    expires?: Date,
  ): Promise<string | false> {
    checkItem(group, name, next)
    const change = prepareChange({ group, name, next, expected: undefined, ...(expires && { expires }) })
    const others = absent.map((each) => ({ group, name: each, key: Buffer.from(each), expected: undefined }))
    const from = prefix === undefined ? undefined : Buffer.from(prefix)
    return this.#write(
      () =>
        this.#matches(change) &&
        others.every((other) => this.#matches(other)) &&
        (from === undefined || this.#isEmpty(group, from)) &&
        this.#put(change),
      !this.#fleeting.has(group),
    )
  }

  glance(group: string, names: readonly string[]): readonly (Item | undefined)[] | undefined {
    this.#refuseClosed()
    this.#cache?.refresh()
    const items: (Item | undefined)[] = []
    for (const name of names) {
      const known = this.#cache?.find(group, name)
      if (known === undefined) return undefined
      items.push(known.item)
    }
    return items
  }

  glanceList(group: string, prefix: string): readonly NamedItem[] | undefined {
    this.#refuseClosed()
    this.#cache?.refresh()
    return this.#cache?.list(group, prefix)
  }

  async *list(
    group: string,
    options: { readonly prefix?: string; readonly after?: string } = {},
  ): AsyncIterable<readonly NamedItem[]> {
    const { prefix = '', after } = options
    checkKey(group, prefix)
    let start = Buffer.from(prefix)
    const end = endOf(start)
    // Nothing lies between a name and the same with a NUL behind it.
    const behind = after === undefined ? undefined : Buffer.from(after + '\0')
    if (behind && Buffer.compare(behind, start) > 0) start = behind
    for (let whole = after === undefined; ; whole = false) {
      const from = start
      const { batch, last } = await this.#read(() =>
        whole ? this.#firstPage(group, prefix, from, end) : this.#page(group, from, end),
      )
      if (batch.length > 0) yield batch
      if (last === undefined) return
      start = Buffer.concat([last, Buffer.of(0)])
    }
  }

  async add(group: string, name: string, by: number, expires: Date): Promise<number> {
    checkKey(group, name)
    const key = Buffer.from(name)
    if (by === 0)
      return this.#read(() => numberOf(firstRow(this.#statements.sum, group, key, this.#clock.now())?.['sum']))
    return this.#write(() => {
      this.#cache?.writeElsewhere()
      return numberOf(firstRow(this.#statements.add, group, key, by, expires.getTime(), this.#clock.now())?.['sum'])
    })
  }

  async transaction(changes: readonly Change[]): Promise<boolean> {
    checkChanges(changes)
    const prepared = changes.map(prepareChange)
    return this.#write(() => {
      if (!prepared.every((change) => this.#matches(change))) return false
      for (const change of prepared) this.#put(change)
      return true
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#commits.settled()
    await this.#checkpoint
    await this.#log.close()
    this.#intoOneFile()
    this.#database.close()
  }

  /** With the log synced off the event loop before, little is left to sync on it. */
  async #makeCheckpoint(): Promise<void> {
    try {
      await this.#log.sync()
      this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)')
    } catch {
      // The log grows on, and the next one may succeed.
    }
  }

  /** SQLite does this by itself when the last one closes, but not with every engine while statements are left. */
  #intoOneFile(): void {
    try {
      this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch {
      // Others use it, or the disk is full: the log beside it is as good.
    }
  }

  #write<T>(write: () => T, durable = true): Promise<T> {
    this.#refuseClosed()
    return this.#commits.add(write, durable)
  }

  #sweep(): void {
    const now = this.#clock.now()
    // What is swept had expired, so that the cache need not know which items they were.
    const items = this.#statements.sweepItems.run(now)
    const counters = this.#statements.sweepCounters.run(now)
    if (Number(items.changes) + Number(counters.changes) > 0) this.#cache?.writeElsewhere()
  }

  #isEmpty(group: string, prefix: Uint8Array): boolean {
    return firstRow(this.#statements.any, group, prefix, endOf(prefix), this.#clock.now()) === undefined
  }

  #matches(change: Pick<PreparedChange, 'group' | 'name' | 'key' | 'expected'>): boolean {
    if (change.expected === 'any') return true
    const known = this.#cache?.version(change.group, change.name)
    if (known !== undefined) return known.version === change.expected
    const row = firstRow(this.#statements.version, change.group, change.key, this.#clock.now())
    return row?.['version'] === change.expected
  }

  #put({ group, name, key, next, expires }: PreparedChange): string {
    if (next === undefined) {
      const { changes } = this.#statements.remove.run(group, key)
      if (Number(changes) > 0) this.#cache?.write(group, name, undefined)
      return ''
    }
    const version = this.#versionPrefix + (++this.#lastVersion).toString(36)
    this.#statements.put.run(group, key, next, version, expires?.getTime() ?? null)
    this.#cache?.write(group, name, { value: next, version }, expires?.getTime())
    return version
  }

  #get(group: string, name: string): Item | undefined {
    this.#cache?.refresh()
    const known = this.#cache?.find(group, name) ?? (this.#learn(group) ? this.#cache?.find(group, name) : undefined)
    if (known !== undefined) return known.item
    const row = firstRow(this.#statements.get, group, Buffer.from(name), this.#clock.now())
    const item = row && { value: bytesOf(row['value']), version: textOf(row['version']) }
    this.#cache?.keep(group, name, item, expiryOf(row?.['expires']))
    return item
  }

  /** The page with which a list begins; from the cache, if the whole list is in there. */
  #firstPage(group: string, prefix: string, start: Uint8Array, end: Uint8Array): Omit<Page, 'expires'> {
    this.#cache?.refresh()
    const known =
      this.#cache?.list(group, prefix) ?? (this.#learn(group) ? this.#cache?.list(group, prefix) : undefined)
    if (known !== undefined) return { batch: known, last: undefined }
    const page = this.#page(group, start, end)
    if (page.last === undefined) this.#cache?.keepList(group, prefix, page.batch, page.expires)
    return page
  }

  /** Looks through a group that may be small; whether it is. */
  #learn(group: string): boolean {
    if (this.#cache?.wants(group) !== true) return false
    const items: ExpiringItem[] = []
    const all = this.#statements.list.iterate(group, Buffer.alloc(0), endOf(Buffer.alloc(0)), this.#clock.now())
    for (const row of all as Iterable<SqlRow>) {
      const name = Buffer.from(bytesOf(row['name'])).toString()
      items.push({
        name,
        value: bytesOf(row['value']),
        version: textOf(row['version']),
        expires: expiryOf(row['expires']),
      })
      if (items.length > mostInSmallGroup) break
    }
    const small = items.length <= mostInSmallGroup
    this.#cache.learn(group, small ? items : undefined)
    return small
  }

  #page(group: string, start: Uint8Array, end: Uint8Array): Page {
    const batch: NamedItem[] = []
    let last: Uint8Array | undefined
    let bytes = 0
    let expires = Infinity
    for (const row of this.#statements.list.iterate(group, start, end, this.#clock.now()) as Iterable<SqlRow>) {
      last = bytesOf(row['name'])
      const value = bytesOf(row['value'])
      batch.push({ name: Buffer.from(last).toString(), value, version: textOf(row['version']) })
      expires = Math.min(expires, expiryOf(row['expires']))
      bytes += value.byteLength
      if (bytes >= batchBytes) return { batch, last, expires }
    }
    return { batch, last: batch.length < batchItems ? undefined : last, expires }
  }

  /** `read` is synchronous, so that nothing comes between a look at the shared memory and what is read. */
  async #read<T>(read: () => T): Promise<T> {
    this.#refuseClosed()
    try {
      return read()
    } catch (error) {
      if (!isBusy(error)) throw sqliteFailure(error)
    }
    try {
      return await patiently(read)
    } catch (error) {
      throw sqliteFailure(error)
    }
  }

  #refuseClosed(): void {
    if (this.#closed) throw new Failure('unavailable', 'The catalog is closed.')
  }
}

interface PreparedChange extends Change {
  readonly key: Uint8Array
}

/** One batch of a list, bounded by number and bytes. */
interface Page {
  readonly batch: readonly NamedItem[]
  /** The name to go on behind, where there may be more. */
  readonly last: Uint8Array | undefined
  /** When the first of them expires. */
  readonly expires: number
}

/** What every name with a prefix comes before: no UTF-8 text holds the byte FF. */
function endOf(prefix: Uint8Array): Uint8Array {
  return Buffer.concat([prefix, Buffer.of(0xff)])
}

function expiryOf(value: SqlValue | undefined): number {
  return typeof value === 'number' ? value : Infinity
}

/** Values are copied: the caller may reuse its buffer before the commit. */
function prepareChange(change: Change): PreparedChange {
  return { ...change, next: change.next && new Uint8Array(change.next), key: Buffer.from(change.name) }
}
