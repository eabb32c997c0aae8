import { createHash, createHmac, hkdfSync } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, lstat, open, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import { refuseNetworkDisk } from './sqlite.js'
import { createSeal } from './seal.js'
import type { Seal } from './seal.js'
import { firstRow, isBusy, openDatabase, textOf } from './sqlite-engine.js'
import type { Database, Statement } from './sqlite-engine.js'

/** A text and when it ends, in milliseconds since the epoch. */
export interface KeptValue {
  readonly value: string
  readonly expires: number
}

/** Texts under secret names, which outlive the process. Never throws: what cannot be kept or found is not there. */
export interface KeptValues {
  find(name: string): KeptValue | undefined
  keep(name: string, kept: KeptValue): void
  forget(name: string): void
  close(): void
}

export interface KeptValuesOptions {
  /** Made with mode 0600; any number of processes of this host may share it. A broken one is made anew. */
  readonly file: string
  /** Of this installation. */
  readonly secret: Uint8Array
  /** All that the values hang on: which source they are of and what it was told. With another one they are not found. */
  readonly scope: string
  /** No value lasts longer, whatever it says of itself. */
  readonly ttlSeconds: number
  readonly clock: Clock
  readonly warn: (facts: object, message: string) => void
  /** Those that end first go first; 10,000 by default. */
  readonly maxEntries?: number
}

/**
 * Opens the file; undefined, after a warning that says why, where that is not possible. A row is found by an HMAC of
 * the name and holds its value under a seal, both by keys that come of the secret of the installation: who reads the file
 * learns nothing, who writes to it gains nothing.
 */
export async function openKeptValues(options: KeptValuesOptions): Promise<KeptValues | undefined> {
  const { file, warn } = options
  try {
    refuseNetworkDisk((await statfs(dirname(file))).type)
    await makePrivate(file)
    try {
      return new SqliteValues(openPrepared(file), options)
    } catch (error) {
      if (isBusy(error)) throw error
      warn({ file, err: error }, 'The file of remembered logins is broken; it is made anew.')
      for (const part of ['', ...companions]) await rm(file + part, { force: true })
      await makePrivate(file)
      return new SqliteValues(openPrepared(file), options)
    }
  } catch (error) {
    warn({ file, err: error }, 'Logins are remembered in memory only: the file for them cannot be used.')
    return undefined
  }
}

/** What SQLite puts beside its file. */
const companions = ['-wal', '-shm', '-journal']

/** Nobody else's file, no link and nothing that others may read: a folder such as /tmp belongs to everybody. */
async function makePrivate(file: string): Promise<void> {
  for (const companion of companions) await checkOwn(file + companion)
  try {
    await (await open(file, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)).close()
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    await checkOwn(file)
    await chmod(file, 0o600)
  }
}

/** Throws `unsupported` where something is there that is no plain file of this user alone. */
async function checkOwn(file: string): Promise<void> {
  try {
    const found = await lstat(file)
    if (found.isFile() && found.nlink === 1 && found.uid === (process.geteuid?.() ?? found.uid)) return
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  throw new Failure('unsupported', 'What has its name is not a file of this user.')
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function openPrepared(file: string): Database {
  const database = openDatabase(file)
  try {
    // Workers that start together meet here. Afterwards nobody waits for a lock or for the disk: it is a cache.
    database.exec(`PRAGMA busy_timeout = 300; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
      CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, expires INTEGER NOT NULL, sealed TEXT NOT NULL) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS kept_expires ON kept (expires);
      PRAGMA busy_timeout = 0;`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** So many may be there beyond the limit, and be over, until somebody looks. */
const keepsPerSweep = 64

class SqliteValues implements KeptValues {
  readonly #options: KeptValuesOptions
  readonly #nameKey: Uint8Array
  readonly #seal: Seal
  readonly #statements: { readonly find: Statement; readonly keep: Statement; readonly forget: Statement }
  readonly #sweeps: readonly [over: Statement, tooMany: Statement]
  #database: Database | undefined
  #keeps = 0

  constructor(database: Database, options: KeptValuesOptions) {
    this.#options = options
    this.#database = database
    const purpose = `remembered logins ${createHash('sha256').update(options.scope).digest('hex')}`
    this.#nameKey = new Uint8Array(hkdfSync('sha256', options.secret, '', `postern names of ${purpose}`, 32))
    this.#seal = createSeal(options.secret, purpose)
    this.#statements = {
      find: database.prepare('SELECT sealed FROM kept WHERE key = ?'),
      keep: database.prepare('INSERT OR REPLACE INTO kept (key, expires, sealed) VALUES (?, ?, ?)'),
      forget: database.prepare('DELETE FROM kept WHERE key = ?'),
    }
    this.#sweeps = [
      database.prepare('DELETE FROM kept WHERE expires <= ?'),
      database.prepare('DELETE FROM kept WHERE key IN (SELECT key FROM kept ORDER BY expires DESC LIMIT -1 OFFSET ?)'),
    ]
  }

  find(name: string): KeptValue | undefined {
    return this.#attempt(() => {
      const key = this.#key(name)
      const row = firstRow(this.#statements.find, key)
      const kept = row && this.#unsealed(key, textOf(row['sealed']))
      if (kept === undefined) return undefined
      const left = kept.expires - this.#options.clock.now()
      // One that lasts longer than any may was made under another clock.
      return left > 0 && left <= this.#options.ttlSeconds * 1000 ? kept : undefined
    })
  }

  keep(name: string, kept: KeptValue): void {
    this.#attempt(() => {
      const key = this.#key(name)
      this.#statements.keep.run(key, kept.expires, this.#seal.close(JSON.stringify(kept), key))
      if (this.#keeps++ % keepsPerSweep !== 0) return
      const [over, tooMany] = this.#sweeps
      over.run(this.#options.clock.now())
      tooMany.run(this.#options.maxEntries ?? 10_000)
    })
  }

  forget(name: string): void {
    this.#attempt(() => void this.#statements.forget.run(this.#key(name)))
  }

  close(): void {
    this.#database?.close()
    this.#database = undefined
  }

  /** A file that is busy is passed over this time; one that fails is passed over from now on. */
  #attempt<T>(work: () => T): T | undefined {
    if (this.#database === undefined) return undefined
    try {
      return work()
    } catch (error) {
      if (isBusy(error)) return undefined
      const { file, warn } = this.#options
      warn({ file, err: error }, 'Logins are remembered in memory only from now on: the file for them fails.')
      try {
        this.close()
      } catch {
        this.#database = undefined
      }
      return undefined
    }
  }

  #key(name: string): string {
    return createHmac('sha256', this.#nameKey).update(name).digest('base64')
  }

  /** Undefined for what was sealed otherwise, or has been touched. */
  #unsealed(key: string, sealed: string): KeptValue | undefined {
    try {
      // Whoever can seal wrote it.
      return JSON.parse(this.#seal.open(sealed, key)) as KeptValue
    } catch (error) {
      if (isFailure(error, 'unavailable')) return undefined
      throw error
    }
  }
}
