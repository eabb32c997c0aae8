import type { Clock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import type { Catalog } from './catalog.js'
import { Connections, type PostgresTimes } from './postgres/connections.js'
import { PostgresCatalog } from './postgres/postgres-catalog.js'
import { migrate, type Migration, type MigrationPlan, planMigration, prepareSchema } from './postgres/schema.js'
import { statements } from './postgres/statements.js'
import { type PostgresTarget, postgresTarget } from './postgres/target.js'
import { harmless, persistently } from './postgres/troubles.js'

export { dsqlTarget, postgresTarget } from './postgres/target.js'
export type { DsqlSettings, PostgresTarget } from './postgres/target.js'
export type { MigrationPlan } from './postgres/schema.js'

export interface PostgresOptions {
  /** What `postgresTarget` makes of a URL, or that URL. */
  readonly at: PostgresTarget | string
  readonly clock: Clock
  /** Told of what an operator should know. */
  readonly warn?: (facts: object, message: string) => void
  /** Most connections at a time (default 10); they are made when they are needed. */
  readonly poolSize?: number
  /** Default: 5 s for a connection, 10 s for a statement. */
  readonly times?: PostgresTimes
  /** The migrations there are (default: this Postern's). */
  readonly known?: readonly Migration[]
}

export interface OpenedPostgres {
  readonly catalog: Catalog
  /**
   * How far the database's clock is ahead of ours. Instances that share a catalog must agree on the time, for each judges
   * expiry by its own clock: whoever opens it may add this to theirs.
   */
  readonly skewMilliseconds: number
}

/** From here on the clocks are worth a warning. */
const tolerableSkewMilliseconds = 2000
const defaultTimes: PostgresTimes = { connect: 5000, statement: 10_000 }

/**
 * Opens a catalog in PostgreSQL or Aurora DSQL, making the tables in an empty database. Throws `unsupported` for the
 * database of another version of Postern, `unavailable` with the reason where it cannot be reached or used, `invalid` for
 * a URL that is none.
 */
export async function openPostgresCatalog(options: PostgresOptions): Promise<OpenedPostgres> {
  const { clock, warn } = options
  return connected(options, async (connections, needs) => {
    await prepareSchema(needs)
    const skewMilliseconds = await measureSkew(connections, clock)
    if (Math.abs(skewMilliseconds) > tolerableSkewMilliseconds)
      warn?.(
        { skewMilliseconds },
        "the clock of the catalog's database differs from the one here: set one of them right",
      )
    return { catalog: new PostgresCatalog(connections, clock), skewMilliseconds }
  })
}

/** Says what `migratePostgres` would do. Throws as `openPostgresCatalog` does. */
export async function planPostgresMigration(options: PostgresOptions): Promise<MigrationPlan> {
  return connected(options, async (connections, needs) => {
    const plan = await planMigration(needs)
    await connections.close()
    return plan
  })
}

/** Brings the database to the schema of this Postern; may be done by several at once, and again. Throws as `openPostgresCatalog` does. */
export async function migratePostgres(options: PostgresOptions): Promise<MigrationPlan> {
  return connected(options, async (connections, needs) => {
    const plan = await migrate(needs)
    await connections.close()
    return plan
  })
}

async function connected<T>(
  { at, clock, poolSize = 10, times = defaultTimes, known }: PostgresOptions,
  work: (connections: Connections, needs: Parameters<typeof migrate>[0]) => Promise<T>,
): Promise<T> {
  const target = typeof at === 'string' ? postgresTarget(at) : at
  const connections = await Connections.open({ target, size: poolSize, times })
  try {
    return await work(connections, { connections, dialect: target.dialect, clock, ...(known && { known }) })
  } catch (error) {
    await connections.close()
    throw startFailure(target, error)
  }
}

/** Before anything is served, the reason is for whoever starts the program. */
function startFailure({ host, port }: PostgresTarget, error: unknown): unknown {
  if (!isFailure(error, 'unavailable') || !(error.cause instanceof Error)) return error
  return new Failure(
    'unavailable',
    `The catalog's database at ${host}:${port} cannot be used: ${reasonOf(error.cause)}`,
    { cause: error.cause },
  )
}

function reasonOf(error: Error): string {
  if (error.message.includes('password must be')) return 'it asks for a password, and neither the URL nor PGPASSWORD has one'
  // Where a name has several addresses, the reasons are inside.
  const [first] = error instanceof AggregateError ? (error.errors as readonly unknown[]) : []
  return first instanceof Error ? first.message : error.message
}

/** The database's clock less ours, at the middle of the way there and back. */
async function measureSkew(connections: Connections, clock: Clock): Promise<number> {
  const before = clock.now()
  const { rows } = await persistently(() => connections.ask(statements.clock, []), harmless)
  return Math.round(Number(rows[0]?.[0]) - (before + clock.now()) / 2)
}
