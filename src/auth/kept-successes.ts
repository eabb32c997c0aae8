import { createHash, hkdfSync } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, lstat, open, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import { refuseNetworkDisk } from '../catalog/sqlite.js'
import { createSeal } from '../catalog/seal.js'
import type { Seal } from '../catalog/seal.js'
import { firstRow, isBusy, openDatabase, textOf } from '../catalog/sqlite-engine.js'
import type { Database, Statement } from '../catalog/sqlite-engine.js'
import type { Accepted } from './cached.js'
import { credentialText } from './cached.js'
import { hmacUnder } from './hmac.js'
import type { Credential } from './identity.js'

/** A success and when it ends, in milliseconds since the epoch. */
export interface KeptSuccess {
  readonly verdict: Accepted
  readonly expires: number
}

/** Successes that outlive the process. Never throws: what cannot be kept or found is asked for again. */
export interface KeptSuccesses {
  find(credential: Credential): KeptSuccess | undefined
  keep(credential: Credential, success: KeptSuccess): void
  forget(credential: Credential): void
  close(): void
}

export interface KeptSuccessesOptions {
  /** Made with mode 0600; any number of processes of this host may share it. A broken one is made anew. */
  readonly file: string
  /** Of this installation. */
  readonly secret: Uint8Array
  /** All that the successes hang on: which source it is and what it was told. With another one they are not found. */
  readonly scope: string
  /** No entry lasts longer, whatever it says of itself. */
  readonly ttlSeconds: number
  readonly clock: Clock
  readonly warn: (facts: object, message: string) => void
  /** Those that end first go first; 10,000 by default. */
  readonly maxEntries?: number
}

/**
 * Opens the file; undefined, after a warning that says why, where that is not possible. A row is found by an HMAC of the
 * credential and holds what it says under a seal, both by keys that come of the secret of the installation: who
 * reads the file learns nothing, who writes to it gains nothing.
 */
export async function openKeptSuccesses(options: KeptSuccessesOptions): Promise<KeptSuccesses | undefined> {
  const { file, warn } = options
  try {
    refuseNetworkDisk((await statfs(dirname(file))).type)
    await makePrivate(file)
    try {
      return new SqliteSuccesses(openPrepared(file), options)
    } catch (error) {
      if (isBusy(error)) throw error
      warn({ file, err: error }, 'The file of remembered logins is broken; it is made anew.')
      for (const part of ['', '-wal', '-shm', '-journal']) await rm(file + part, { force: true })
      await makePrivate(file)
      return new SqliteSuccesses(openPrepared(file), options)
    }
  } catch (error) {
    warn({ file, err: error }, 'Logins are remembered in memory only: the file for them cannot be used.')
    return undefined
  }
}

/** Nobody else's file, no link and nothing that others may read: a folder such as /tmp belongs to everybody. */
async function makePrivate(file: string): Promise<void> {
  try {
    await (await open(file, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)).close()
    return
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  const found = await lstat(file)
  if (!found.isFile() || found.nlink > 1 || (process.geteuid !== undefined && found.uid !== process.geteuid()))
    throw new Failure('unsupported', 'What has its name is not a file of this user.')
  if ((found.mode & 0o077) !== 0) await chmod(file, 0o600)
}

function openPrepared(file: string): Database {
  const database = openDatabase(file)
  try {
    // Workers that start together meet here. Afterwards nobody waits for a lock or for the disk: it is a cache.
    database.exec(`PRAGMA busy_timeout = 300; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
      CREATE TABLE IF NOT EXISTS successes (key TEXT PRIMARY KEY, expires INTEGER NOT NULL, sealed TEXT NOT NULL) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS successes_expires ON successes (expires);
      PRAGMA busy_timeout = 0;`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** So many may be there beyond the limit, and be over, until somebody looks. */
const keepsPerSweep = 64

class SqliteSuccesses implements KeptSuccesses {
  readonly #options: KeptSuccessesOptions
  readonly #hmac: (text: string) => string
  readonly #seal: Seal
  readonly #statements: { readonly find: Statement; readonly keep: Statement; readonly forget: Statement }
  readonly #sweeps: readonly [over: Statement, tooMany: Statement]
  #database: Database | undefined
  #keeps = 0

  constructor(database: Database, options: KeptSuccessesOptions) {
    this.#options = options
    this.#database = database
    const purpose = `remembered logins ${createHash('sha256').update(options.scope).digest('hex')}`
    this.#hmac = hmacUnder(new Uint8Array(hkdfSync('sha256', options.secret, '', `postern names of ${purpose}`, 32)))
    this.#seal = createSeal(options.secret, purpose)
    this.#statements = {
      find: database.prepare('SELECT sealed FROM successes WHERE key = ?'),
      keep: database.prepare('INSERT OR REPLACE INTO successes (key, expires, sealed) VALUES (?, ?, ?)'),
      forget: database.prepare('DELETE FROM successes WHERE key = ?'),
    }
    this.#sweeps = [
      database.prepare('DELETE FROM successes WHERE expires <= ?'),
      database.prepare(
        'DELETE FROM successes WHERE key IN (SELECT key FROM successes ORDER BY expires DESC LIMIT -1 OFFSET ?)',
      ),
    ]
  }

  find(credential: Credential): KeptSuccess | undefined {
    return this.#attempt(() => {
      const key = this.#key(credential)
      const row = firstRow(this.#statements.find, key)
      const kept = row && this.#unsealed(key, textOf(row['sealed']))
      if (kept === undefined) return undefined
      const left = kept.expires - this.#options.clock.now()
      // One that lasts longer than any may was made under another clock.
      return left > 0 && left <= this.#options.ttlSeconds * 1000 ? kept : undefined
    })
  }

  keep(credential: Credential, success: KeptSuccess): void {
    this.#attempt(() => {
      const key = this.#key(credential)
      this.#statements.keep.run(key, success.expires, this.#seal.close(JSON.stringify(success), key))
      if (this.#keeps++ % keepsPerSweep !== 0) return
      const [over, tooMany] = this.#sweeps
      over.run(this.#options.clock.now())
      tooMany.run(this.#options.maxEntries ?? 10_000)
    })
  }

  forget(credential: Credential): void {
    this.#attempt(() => void this.#statements.forget.run(this.#key(credential)))
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

  #key(credential: Credential): string {
    return this.#hmac(credentialText(credential))
  }

  /** Undefined for what was sealed otherwise, or has been touched. */
  #unsealed(key: string, sealed: string): KeptSuccess | undefined {
    try {
      // Whoever can seal wrote it.
      return JSON.parse(this.#seal.open(sealed, key)) as KeptSuccess
    } catch (error) {
      if (isFailure(error, 'unavailable')) return undefined
      throw error
    }
  }
}
