import { Failure } from '../core/failure.js'
import { type Database, firstRow, numberOf, patiently, type Statement } from './sqlite-engine.js'

const schemaVersion = 1
const schema = `
  CREATE TABLE items (grp TEXT NOT NULL, name BLOB NOT NULL, value BLOB NOT NULL, version TEXT NOT NULL, expires INTEGER,
    PRIMARY KEY (grp, name)) WITHOUT ROWID;
  CREATE INDEX items_expires ON items (expires) WHERE expires IS NOT NULL;
  CREATE TABLE counters (grp TEXT NOT NULL, name BLOB NOT NULL, sum NUMERIC NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (grp, name)) WITHOUT ROWID;
  CREATE INDEX counters_expires ON counters (expires);
  PRAGMA user_version = ${schemaVersion};`

/** SQLite's own checkpoints sync the disk while all wait, so they are only for what ours leave (large values). */
const pagesPerCheckpoint = 4000
/** Twice the writes between two sweeps, so that what expires cannot pile up. */
const sweptAtOnce = 128
/** SQLite itself may wait this long, which blocks the event loop; beyond it we come back later. */
const busyMilliseconds = 10
/** Most items that `list` gives at once. */
export const batchItems = 500

/** Makes the tables of a new file. Throws `unsupported` for a newer Postern's and for another program's. */
export async function prepareSchema(database: Database): Promise<void> {
  database.exec(`PRAGMA busy_timeout = ${busyMilliseconds}; PRAGMA trusted_schema = OFF`)
  const version = await patiently(() => numberOf(firstRow(database.prepare('PRAGMA user_version'))?.['user_version']))
  if (version > schemaVersion)
    throw new Failure(
      'unsupported',
      `The catalog was made by a newer Postern (schema ${version}, this one knows ${schemaVersion}): upgrade, or use another state directory.`,
    )
  await patiently(() => database.exec('PRAGMA journal_mode = WAL'))
  database.exec(`PRAGMA wal_autocheckpoint = ${pagesPerCheckpoint}`)
  // What must be durable is synced by ourselves, off the event loop.
  database.exec('PRAGMA synchronous = NORMAL')
  if (version === schemaVersion) return
  await patiently(() => {
    database.exec('BEGIN IMMEDIATE')
    try {
      if (numberOf(firstRow(database.prepare('PRAGMA user_version'))?.['user_version']) === 0) {
        if (firstRow(database.prepare('SELECT name FROM sqlite_schema LIMIT 1')) !== undefined)
          throw new Failure('unsupported', 'The catalog file is a database of another program.')
        database.exec(schema)
      }
      database.exec('COMMIT')
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  })
}

/** Everything that is asked of the tables, with names and values as bytes and times in milliseconds. */
export type Statements = Readonly<
  Record<
    'get' | 'version' | 'put' | 'remove' | 'list' | 'any' | 'sum' | 'add' | 'sweepItems' | 'sweepCounters',
    Statement
  >
>

/** Prepares them; the tables must be there. */
export function prepareStatements(database: Database): Statements {
  const live = '(expires IS NULL OR expires > ?)'
  return {
    get: database.prepare(
      `SELECT value, version, expires FROM items WHERE grp = ? AND name = ifnull(?, x'') AND ${live}`,
    ),
    version: database.prepare(`SELECT version FROM items WHERE grp = ? AND name = ifnull(?, x'') AND ${live}`),
    put: database.prepare(
      `INSERT INTO items (grp, name, value, version, expires) VALUES (?, ifnull(?, x''), ifnull(?, x''), ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version, expires = excluded.expires`,
    ),
    remove: database.prepare(`DELETE FROM items WHERE grp = ? AND name = ifnull(?, x'')`),
    list: database.prepare(
      `SELECT name, value, version, expires FROM items
       WHERE grp = ? AND name >= ifnull(?, x'') AND name < ? AND ${live} ORDER BY name LIMIT ${batchItems}`,
    ),
    any: database.prepare(
      `SELECT 1 FROM items WHERE grp = ? AND name >= ifnull(?, x'') AND name < ? AND ${live} LIMIT 1`,
    ),
    sum: database.prepare(`SELECT sum FROM counters WHERE grp = ? AND name = ifnull(?, x'') AND expires > ?`),
    add: database.prepare(
      `INSERT INTO counters (grp, name, sum, expires) VALUES (?1, ifnull(?2, x''), ?3, ?4)
       ON CONFLICT DO UPDATE SET sum = CASE WHEN expires > ?5 THEN sum + excluded.sum ELSE excluded.sum END,
         expires = CASE WHEN expires > ?5 THEN expires ELSE excluded.expires END
       RETURNING sum`,
    ),
    sweepItems: database.prepare(
      `DELETE FROM items WHERE (grp, name) IN
         (SELECT grp, name FROM items WHERE expires IS NOT NULL AND expires <= ? LIMIT ${sweptAtOnce})`,
    ),
    sweepCounters: database.prepare(
      `DELETE FROM counters WHERE (grp, name) IN (SELECT grp, name FROM counters WHERE expires <= ? LIMIT ${sweptAtOnce})`,
    ),
  }
}
