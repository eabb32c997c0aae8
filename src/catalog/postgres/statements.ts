import type { Statement } from './connections.js'

/** Most rows that one sweep removes; Aurora DSQL allows 3,000 in a transaction. */
export const sweptAtOnce = 500

/** Everything that is asked of the tables. Times are in milliseconds; the last value is the present wherever expiry matters. */
export const statements = {
  get: named('get', `SELECT value, version FROM postern_items WHERE grp = $1 AND name = $2 AND ${live('$3')}`),

  getAll: named(
    'get_all',
    `SELECT name, value, version FROM postern_items WHERE grp = $1 AND name = ANY ($2) AND ${live('$3')}`,
  ),

  /** Of an expired item as well. */
  version: named('version', `SELECT version, ${live('$3')} FROM postern_items WHERE grp = $1 AND name = $2`),

  list: named(
    'list',
    `SELECT name, value, version FROM postern_items
     WHERE grp = $1 AND name >= $2 AND name < $3 AND ${live('$5')} ORDER BY name LIMIT $4`,
  ),

  put: named('put', insert()),

  /** Only where there is none that is live. */
  make: named('make', `${insert()} WHERE postern_items.expires <= $6`),

  replace: named(
    'replace',
    `UPDATE postern_items SET value = $3, version = $4, expires = $5
     WHERE grp = $1 AND name = $2 AND version = $6 AND ${live('$7')}`,
  ),

  removeAny: named('remove_any', 'DELETE FROM postern_items WHERE grp = $1 AND name = $2'),

  remove: named('remove', `DELETE FROM postern_items WHERE grp = $1 AND name = $2 AND version = $3 AND ${live('$4')}`),

  sum: named('sum', 'SELECT sum FROM postern_counters WHERE grp = $1 AND name = $2 AND expires > $3'),

  add: named(
    'add',
    `INSERT INTO postern_counters (grp, name, sum, expires) VALUES ($1, $2, $3, $4)
     ON CONFLICT (grp, name) DO UPDATE
       SET sum = CASE WHEN postern_counters.expires > $5 THEN postern_counters.sum + excluded.sum ELSE excluded.sum END,
         expires = CASE WHEN postern_counters.expires > $5 THEN postern_counters.expires ELSE excluded.expires END
     RETURNING sum`,
  ),

  sweepItems: named('sweep_items', sweep('postern_items')),
  sweepCounters: named('sweep_counters', sweep('postern_counters')),

  clock: named('clock', 'SELECT CAST (extract(epoch FROM now()) * 1000 AS double precision)'),
}

function named(name: string, text: string): Statement {
  return { name: `postern_${name}`, text: text.replace(/\s+/g, ' ') }
}

function live(now: string): string {
  return `(expires IS NULL OR expires > ${now})`
}

function insert(): string {
  return `INSERT INTO postern_items (grp, name, value, version, expires) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (grp, name) DO UPDATE
      SET value = excluded.value, version = excluded.version, expires = excluded.expires`
}

/** The time is asked for twice: a row that is renewed meanwhile is looked at again, what was selected is not. */
function sweep(table: string): string {
  return `DELETE FROM ${table} WHERE expires <= $1 AND (grp, name) IN
    (SELECT grp, name FROM ${table} WHERE expires <= $1 ORDER BY expires LIMIT ${sweptAtOnce})`
}
