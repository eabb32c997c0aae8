import { randomBytes } from 'node:crypto'
import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import type { Catalog, Change, Item, NamedItem } from '../catalog.js'
import { checkChanges, checkItem, checkKey } from '../limits.js'
import type { Answer, Connections, Link, SqlValue, Statement } from './connections.js'
import { endOf, keyOf, nameOf } from './keys.js'
import { statements, sweptAtOnce } from './statements.js'
import { harmless, persistently, type Verdict } from './troubles.js'

const batchItems = 500
const batchBytes = 1024 * 1024
const namesAtOnce = 250
const writesBetweenSweeps = 1024
const batchesPerSweep = 10
/** The clocks of instances may differ: what has expired is kept a while, so that nobody loses what is still live by its own. */
const sweepDelayMilliseconds = 60_000

/**
 * A catalog in a database of PostgreSQL or Aurora DSQL, which any number of instances may share. Every verb is one
 * statement, so that it is right under any isolation. There is no `claim`: nothing but locking everybody out could keep a
 * name from coming up elsewhere meanwhile, and Aurora DSQL has no such locks.
 */
export class PostgresCatalog implements Catalog {
  readonly #connections: Connections
  readonly #clock: Clock
  readonly #onClose: (() => void) | undefined
  /** Versions are unique by the random part, which no other instance shares. */
  readonly #versionPrefix = randomBytes(9).toString('base64url') + '.'
  #lastVersion = 0
  #writes = 0
  #sweeping: Promise<void> | undefined
  readonly #running = new Set<Promise<unknown>>()
  readonly #counterTurns = new Map<string, Promise<unknown>>()
  #closed = false

  /** The tables must be there. The connections are closed with the catalog. */
  constructor(connections: Connections, clock: Clock, onClose?: () => void) {
    this.#connections = connections
    this.#clock = clock
    this.#onClose = onClose
  }

  async get(group: string, name: string): Promise<Item | undefined> {
    checkKey(group, name)
    const { rows } = await this.#ask(statements.get, [keyOf(group), keyOf(name), this.#now()])
    const [row] = rows
    return row && { value: bytesOf(row[0]), version: String(row[1]) }
  }

  async getAll(group: string, names: readonly string[]): Promise<readonly (Item | undefined)[]> {
    for (const name of names) checkKey(group, name)
    const keys = names.map(keyOf)
    const found = new Map<unknown, Item>()
    for (let at = 0; at < keys.length; at += namesAtOnce) {
      const wanted = keys.slice(at, at + namesAtOnce)
      const { rows } = await this.#ask(statements.getAll, [keyOf(group), wanted, this.#now()])
      for (const [key, value, version] of rows) found.set(key, { value: bytesOf(value), version: String(version) })
    }
    return keys.map((key) => found.get(key))
  }

  async swap(
    group: string,
    name: string,
    next: Uint8Array | undefined,
    expected: string | undefined,
    expires?: Date,
  ): Promise<string | false> {
    checkItem(group, name, next)
    return this.#run(async () => {
      const change = this.#prepared({ group, name, next, expected, ...(expires && { expires }) })
      if (next === undefined && expected === undefined) return (await this.#isAbsent(change)) && ''
      const { statement, values } = swapOf(change)
      // Of what was perhaps done, a later try says that it does not match.
      let isDoubtful = false
      const afterLoss = async (): Promise<Verdict<string | false>> => {
        isDoubtful = true
        return this.#lookAgain(change)
      }
      const swapped = await persistently<string | false>(async () => {
        const outcome = await this.#connections.ask(statement, values())
        if (!('done' in outcome)) return outcome
        if (outcome.done.count > 0 || expected === 'any') return { done: change.version }
        return isDoubtful ? { trouble: 'lost', error: unknownEnd() } : { done: false }
      }, afterLoss)
      this.#countWrite()
      return swapped
    })
  }

  async *list(
    group: string,
    options: { readonly prefix?: string; readonly after?: string } = {},
  ): AsyncIterable<readonly NamedItem[]> {
    const { prefix = '', after } = options
    checkKey(group, prefix)
    const end = endOf(prefix)
    let start = keyOf(prefix)
    if (after !== undefined) {
      const behind = behindOf(keyOf(after))
      if (Buffer.compare(Buffer.from(behind), Buffer.from(start)) > 0) start = behind
    }
    for (let limit = 100; ;) {
      const { rows } = await this.#ask(statements.list, [keyOf(group), start, end, limit, this.#now()])
      let bytes = 0
      const batch = rows.map(([key, value, version]) => {
        const item = { name: nameOf(String(key)), value: bytesOf(value), version: String(version) }
        bytes += item.value.byteLength
        return item
      })
      if (batch.length > 0) yield batch
      if (batch.length < limit) return
      start = behindOf(String(rows.at(-1)?.[0]))
      limit = Math.min(Math.max(Math.floor((batchBytes * batch.length) / (bytes + 1)), 1), batchItems)
    }
  }

  async add(group: string, name: string, by: number, expires: Date): Promise<number> {
    checkKey(group, name)
    const key = [keyOf(group), keyOf(name)] as const
    if (by === 0) return sumOf(await this.#ask(statements.sum, [...key, this.#now()]))
    const sum = await this.#run(() =>
      this.#inTurn(key.join('\0'), () =>
        persistently(
          () => this.#connections.ask(statements.add, [...key, by, expires.getTime(), this.#now()]),
          async () => 'unknown',
        ),
      ),
    )
    this.#countWrite()
    return sumOf(sum)
  }

  async transaction(changes: readonly Change[]): Promise<boolean> {
    checkChanges(changes)
    return this.#run(async () => {
      if (changes.length === 0) return true
      // All go through the rows in the same order, so that none waits for one that waits for it.
      const prepared = changes.map((change) => this.#prepared(change)).sort(byKey)
      const attempt = async (link: Link): Promise<boolean> => {
        for (const change of prepared) {
          const { statement, values } = heldSwapOf(change)
          const { count } = await link.ask(statement, values())
          if (count === 0 && change.expected !== 'any') return false
        }
        return true
      }
      let isDoubtful = false
      const isDone = await persistently<boolean>(
        async () => {
          const outcome = await this.#connections.transaction(attempt)
          const isUnclear = isDoubtful && 'done' in outcome && !outcome.done
          return isUnclear ? { trouble: 'lost', error: unknownEnd() } : outcome
        },
        async () => {
          isDoubtful = true
          return this.#lookAgainAtAll(prepared)
        },
      )
      this.#countWrite()
      return isDone
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#onClose?.()
    await Promise.allSettled([...this.#running, this.#sweeping])
    await this.#connections.close()
  }

  #prepared(change: Change): PreparedChange {
    const { group, name, next, expected, expires } = change
    return {
      group: keyOf(group),
      name: keyOf(name),
      // A copy: the caller may reuse its buffer before this is sent.
      next: next && Buffer.from(next),
      expected,
      expires: expires?.getTime() ?? null,
      version: next === undefined ? '' : this.#versionPrefix + (++this.#lastVersion).toString(36),
      now: () => this.#now(),
    }
  }

  /** Whether a change that was perhaps made has been made. */
  async #lookAgain({ group, name, expected, version }: PreparedChange): Promise<Verdict<string>> {
    const { rows } = await persistently(
      () => this.#connections.ask(statements.version, [group, name, this.#now()]),
      harmless,
    )
    const present = rows[0]?.[0]
    if (version !== '' && present === version) return { done: version }
    if (expected === 'any') return 'again'
    const live = rows[0]?.[1] === true ? present : undefined
    return live === expected ? 'again' : 'unknown'
  }

  async #lookAgainAtAll(changes: readonly PreparedChange[]): Promise<Verdict<boolean>> {
    let isUndone = true
    for (const change of changes) {
      const verdict = await this.#lookAgain(change)
      if (typeof verdict === 'object') return { done: true }
      isUndone &&= verdict === 'again'
    }
    return isUndone ? 'again' : 'unknown'
  }

  async #isAbsent({ group, name }: PreparedChange): Promise<boolean> {
    const { rows } = await persistently(
      () => this.#connections.ask(statements.version, [group, name, this.#now()]),
      harmless,
    )
    return rows[0]?.[1] !== true
  }

  /** For statements that may be run twice as well as once. */
  #ask(statement: Statement, values: readonly SqlValue[]): Promise<Answer> {
    return this.#run(() => persistently(() => this.#connections.ask(statement, values), harmless))
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new Failure('unavailable', 'The catalog is closed.')
    const running = work()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  /** Adds to the same counter would only wait for each other in the database, with a connection each. */
  async #inTurn<T>(counter: string, work: () => Promise<T>): Promise<T> {
    const before = this.#counterTurns.get(counter)
    const turn = before === undefined ? work() : before.then(work, work)
    this.#counterTurns.set(counter, turn)
    try {
      return await turn
    } finally {
      if (this.#counterTurns.get(counter) === turn) this.#counterTurns.delete(counter)
    }
  }

  #countWrite(): void {
    if (++this.#writes % writesBetweenSweeps !== 0 || this.#closed) return
    this.#sweeping ??= this.#sweep().finally(() => (this.#sweeping = undefined))
  }

  /** Away from all requests; what fails is left to the next sweep. */
  async #sweep(): Promise<void> {
    const until = this.#now() - sweepDelayMilliseconds
    for (const statement of [statements.sweepItems, statements.sweepCounters])
      for (let batch = 0; batch < batchesPerSweep && !this.#closed; batch++) {
        const outcome = await this.#connections.ask(statement, [until])
        if (!('done' in outcome) || outcome.done.count < sweptAtOnce) break
      }
  }

  #now(): number {
    return Math.trunc(this.#clock.now())
  }
}

/** A change with keys and bytes as the database has them, and the version that it will bear: '' for a removal. */
interface PreparedChange {
  readonly group: string
  readonly name: string
  readonly next: Buffer | undefined
  readonly expected: string | undefined
  readonly expires: number | null
  readonly version: string
  readonly now: () => number
}

interface Prepared {
  readonly statement: Statement
  readonly values: () => readonly SqlValue[]
}

/** The statement of a swap; it touches one row if the version was as expected, else none. */
function swapOf({ group, name, next, expected, expires, version, now }: PreparedChange): Prepared {
  if (next === undefined)
    return expected === 'any'
      ? { statement: statements.removeAny, values: () => [group, name] }
      : { statement: statements.remove, values: () => [group, name, expected ?? null, now()] }
  const row = [group, name, next, version, expires]
  if (expected === 'any') return { statement: statements.put, values: () => row }
  return expected === undefined
    ? { statement: statements.make, values: () => [...row, now()] }
    : { statement: statements.replace, values: () => [...row, expected, now()] }
}

/** In a transaction, "there must be none" has to hold until its end: an item that has expired at once keeps others off. */
function heldSwapOf(change: PreparedChange): Prepared {
  if (change.next !== undefined || change.expected !== undefined) return swapOf(change)
  return swapOf({ ...change, next: Buffer.alloc(0), version: '-', expires: 0 })
}

function byKey(one: PreparedChange, other: PreparedChange): number {
  return Buffer.compare(Buffer.from(`${one.group}\0${one.name}`), Buffer.from(`${other.group}\0${other.name}`))
}

/** Nothing lies between a name and the same with a NUL behind it. */
function behindOf(key: string): string {
  return key + keyOf('\0')
}

function unknownEnd(): Failure {
  return new Failure('unavailable', 'It is not known whether the catalog has taken the last change.', {
    retryAfterSeconds: 1,
  })
}

/** A copy, so that a small value does not keep all that came with it in memory. */
function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return new Uint8Array(value)
  throw new Failure('unavailable', 'The catalog holds a value of another type than it should.')
}

function sumOf({ rows }: Answer): number {
  return Number(rows[0]?.[0] ?? 0)
}
