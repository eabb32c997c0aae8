import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import type { Answer, Connections, Statement } from './connections.js'
import type { PostgresTarget } from './target.js'
import { codeOf, harmless, type Outcome, persistently } from './troubles.js'

type Dialect = PostgresTarget['dialect']

/**
 * One step from a schema to the next. Each of its statements changes the schema in one way, can be run again, and is a
 * transaction of its own: Aurora DSQL allows no more, and so a migration that was cut off is simply begun anew.
 */
export interface Migration {
  /** What the schema is afterwards; they are numbered from 1 on without a gap. */
  readonly version: number
  readonly statements: (dialect: Dialect) => readonly string[]
}

export const migrations: readonly Migration[] = [
  {
    version: 1,
    statements: (dialect) => [
      `CREATE TABLE IF NOT EXISTS postern_items (
         grp ${key(dialect)}, name ${key(dialect)}, value bytea NOT NULL, version text NOT NULL, expires bigint,
         PRIMARY KEY (grp, name))`,
      index(dialect, 'postern_items_expires', 'postern_items (expires)'),
      `CREATE TABLE IF NOT EXISTS postern_counters (
         grp ${key(dialect)}, name ${key(dialect)}, sum double precision NOT NULL, expires bigint NOT NULL,
         PRIMARY KEY (grp, name))`,
      index(dialect, 'postern_counters_expires', 'postern_counters (expires)'),
    ],
  },
]

/** Names are in the order of their bytes: all that Aurora DSQL knows, and will not be told. */
function key(dialect: Dialect): string {
  return dialect === 'dsql' ? 'text NOT NULL' : 'text COLLATE "C" NOT NULL'
}

/** An index: in the background on Aurora DSQL, where the first sweeps may have to do without it. */
export function index(dialect: Dialect, name: string, on: string): string {
  return `CREATE INDEX ${dialect === 'dsql' ? 'ASYNC ' : ''}IF NOT EXISTS ${name} ON ${on}`
}

const versionTable =
  'CREATE TABLE IF NOT EXISTS postern_schema (version integer NOT NULL PRIMARY KEY, applied bigint NOT NULL)'

const present: Statement = { name: 'postern_schema', text: 'SELECT max(version) FROM postern_schema' }
const encoding: Statement = { name: 'postern_encoding', text: "SELECT current_setting('server_encoding')" }
const record: Statement = {
  name: 'postern_schema_record',
  text: 'INSERT INTO postern_schema (version, applied) VALUES ($1, $2) ON CONFLICT (version) DO NOTHING',
}

/** What a database needs. */
export interface MigrationPlan {
  /** The schema that is there; 0 for none. */
  readonly from: number
  /** The one that this Postern works with. */
  readonly to: number
  /** What leads from one to the other, in order. */
  readonly statements: readonly string[]
}

export interface SchemaNeeds {
  readonly connections: Connections
  readonly dialect: Dialect
  readonly clock: Clock
  /** Default: all there are. */
  readonly known?: readonly Migration[]
}

/**
 * Looks what is to be done, and does nothing. Throws `unsupported` for the database of a newer Postern, and for one that
 * cannot hold every name.
 */
export async function planMigration(needs: SchemaNeeds): Promise<MigrationPlan> {
  const { dialect, known = migrations } = needs
  // Aurora DSQL has no other.
  if (dialect === 'postgres') await refuseOtherEncodings(needs.connections)
  const from = await presentVersion(needs.connections)
  const to = known.length
  if (from > to)
    throw new Failure(
      'unsupported',
      `The catalog's database was made by a newer Postern (schema ${from}, this one knows ${to}): upgrade, or use another database.`,
    )
  const statements = known.slice(from).flatMap((migration) => migration.statements(dialect))
  return { from, to, statements: from === 0 ? [versionTable, ...statements] : statements }
}

/** Brings the database to the present schema, also where several do so at once. Throws what `planMigration` throws. */
export async function migrate(needs: SchemaNeeds): Promise<MigrationPlan> {
  const { connections, dialect, clock, known = migrations } = needs
  const plan = await planMigration(needs)
  if (plan.from === 0) await define(connections, versionTable)
  for (const migration of known.slice(plan.from)) {
    for (const statement of migration.statements(dialect)) await define(connections, statement)
    await persistently(() => connections.ask(record, [migration.version, Math.trunc(clock.now())]), harmless)
  }
  return plan
}

/**
 * What a server does when it starts: an empty database gets the tables. Throws `unsupported` for the database of a newer
 * Postern, and of an older one, naming `postern migrate`.
 */
export async function prepareSchema(needs: SchemaNeeds): Promise<void> {
  const { from, to } = await planMigration(needs)
  if (from === to) return
  if (from > 0)
    throw new Failure(
      'unsupported',
      `The catalog's database has schema ${from}, this Postern needs ${to}: run "postern migrate --apply" first.`,
    )
  await migrate(needs)
}

async function refuseOtherEncodings(connections: Connections): Promise<void> {
  const { rows } = await persistently(() => connections.ask(encoding, []), harmless)
  const name = String(rows[0]?.[0])
  if (name !== 'UTF8')
    throw new Failure(
      'unsupported',
      `The catalog's database has the encoding ${name}: use one that was made with ENCODING 'UTF8'.`,
    )
}

async function presentVersion(connections: Connections): Promise<number> {
  const answer = await persistently(async () => {
    const outcome = await connections.ask(present, [])
    return 'error' in outcome && codeOf(outcome.error) === undefinedTable ? { done: nothing } : outcome
  }, harmless)
  return Number(answer.rows[0]?.[0] ?? 0)
}

async function define(connections: Connections, statement: string): Promise<void> {
  await persistently(async (): Promise<Outcome<Answer>> => {
    const outcome = await connections.command(statement)
    if (!('error' in outcome)) return outcome
    // Two who make the same thing at the same moment may both find it missing.
    if (raced.has(codeOf(outcome.error))) return { trouble: 'conflict', error: outcome.error }
    return outcome
  }, harmless)
}

const undefinedTable = '42P01'
/** unique_violation (in the system's own tables), duplicate_table, duplicate_object */
const raced: ReadonlySet<string> = new Set(['23505', '42P07', '42710'])
const nothing: Answer = { rows: [], count: 0 }
