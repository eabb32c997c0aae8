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
  /**
   * Told how far the database's clock is ahead of `clock`, now and then, where it is more than a second: a clock that is
   * set right or wrong while the program runs must not end the locks of others.
   */
  readonly followSkew?: (milliseconds: number) => void
  /** Between two such looks, in milliseconds (default 30 s). */
  readonly skewInterval?: number
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
/** Below this it may as well be the way there that took long. */
const noticedSkewMilliseconds = 1000
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
    const stop = followed(options, connections)
    return { catalog: new PostgresCatalog(connections, clock, stop), skewMilliseconds }
  })
}

/** Looks at the clocks again and again, until the returned function is called. A look that fails is made up for by the next. */
function followed(
  { clock, followSkew, skewInterval = 30_000 }: PostgresOptions,
  connections: Connections,
): (() => void) | undefined {
  if (followSkew === undefined) return undefined
  const look = async (): Promise<void> => {
    const begun = performance.now()
    const skew = await measureSkew(connections, clock)
    // An answer that took long tells little of when it was given.
    if (performance.now() - begun > noticedSkewMilliseconds) return
    if (Math.abs(skew) > noticedSkewMilliseconds) followSkew(skew)
  }
  const timer = setInterval(() => void look().catch(() => undefined), skewInterval).unref()
  return () => clearInterval(timer)
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
  if (error.message.includes('password must be'))
    return 'it asks for a password, and neither the URL nor PGPASSWORD has one'
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
