import { createRequire } from 'node:module'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../core/failure.js'

/** What we use of `node:sqlite`, and of the package with the same API where Node has none. */
export interface Database {
  exec(sql: string): void
  prepare(sql: string): Statement
  close(): void
}

export type SqlValue = string | number | null | Uint8Array

export type SqlRow = Readonly<Record<string, SqlValue>>

export interface Statement {
  run(...values: SqlValue[]): { readonly changes: number | bigint }
  get(...values: SqlValue[]): unknown
  iterate(...values: SqlValue[]): IterableIterator<unknown>
}

interface Engine {
  readonly DatabaseSync: new (file: string) => Database
}

/** Opens a database with the SQLite of this Node (22 and up), else with that of the package. */
export function openDatabase(file: string): Database {
  const engine = builtInEngine() ?? (createRequire(import.meta.url)('@photostructure/sqlite') as Engine)
  return new engine.DatabaseSync(file)
}

/** The one row of a statement that has at most one. */
export function firstRow(statement: Statement, ...values: SqlValue[]): SqlRow | undefined {
  return statement.get(...values) as SqlRow | undefined
}

/** A BLOB column. */
export function bytesOf(value: SqlValue | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new Failure('unavailable', 'The catalog holds a value of another type than it should.')
}

/** A TEXT column. */
export function textOf(value: SqlValue | undefined): string {
  if (typeof value === 'string') return value
  throw new Failure('unavailable', 'The catalog holds a value of another type than it should.')
}

/** A numeric column; 0 for NULL. */
export function numberOf(value: SqlValue | undefined): number {
  return typeof value === 'number' ? value : 0
}

/** Whether another connection holds the lock for the moment (SQLITE_BUSY and its extended codes). */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error)
  return code === sqliteBusy || code === sqliteLocked
}

const patienceMilliseconds = 10_000

/** Runs it until the database is not busy, without blocking the event loop; for at most ten seconds. */
export async function patiently<T>(action: () => T): Promise<T> {
  const until = performance.now() + patienceMilliseconds
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    try {
      return action()
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error
    }
    await delay(pause)
  }
}

/** A Failure for an error of SQLite: `no-space`, `unsupported` for a file that is something else, `unavailable` for the rest. */
export function sqliteFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  switch (resultCode(error)) {
    case sqliteFull:
      return new Failure('no-space', 'The disk that holds the catalog is full.', { cause: error })
    case sqliteNotADatabase:
      return new Failure('unsupported', 'The catalog file is not an SQLite database.', { cause: error })
    case sqliteBusy:
    case sqliteLocked:
      return new Failure('unavailable', 'The catalog is busy.', { cause: error, retryAfterSeconds: 2 })
    default:
      return new Failure('unavailable', 'The catalog cannot be read or written.', {
        cause: error,
        retryAfterSeconds: 5,
      })
  }
}

const sqliteBusy = 5
const sqliteLocked = 6
const sqliteFull = 13
const sqliteNotADatabase = 26

function resultCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
}

function builtInEngine(): Engine | undefined {
  // Node says on first use that its SQLite is experimental; the load is synchronous, so nothing else can be silenced by this.
  const emitWarning: unknown = Reflect.get(process, 'emitWarning')
  process.emitWarning = () => undefined
  try {
    return process.getBuiltinModule('node:sqlite') as Engine | undefined
  } finally {
    Reflect.set(process, 'emitWarning', emitWarning)
  }
}
