import { systemClock } from '../core/clock.js'
import { dynamodbPlace } from './catalogs.js'
import type { CatalogSettings } from './catalogs.js'
import { readEnvironment } from './environment.js'

/** What a database needs before Postern can keep its catalog there. */
export interface CatalogMigration {
  readonly database: 'postgres' | 'dsql' | 'dynamodb'
  /** Schemas that are numbered: the one that was found (0 for none), and the one that this Postern works with. */
  readonly from?: number
  readonly to?: number
  /** Statements of SQL, or sentences; none where nothing is to be done. */
  readonly steps: readonly string[]
}

/**
 * Says what is to be done in the database of the catalog, and does it where that is wanted; undefined for a file in the
 * state directory, which sees to itself. May be repeated, and done by several at once. Throws `unsupported` for the
 * database of a newer Postern, `denied` or `unavailable` where it is refused or cannot be reached, `invalid` for a table
 * that is something else.
 */
export async function migrateCatalog(
  { catalog: setting }: Pick<CatalogSettings, 'catalog'>,
  apply: boolean,
): Promise<CatalogMigration | undefined> {
  if (setting === undefined) return undefined
  if ('postgres' in setting) {
    const { migratePostgres, planPostgresMigration, postgresTarget } = await import('../catalog/postgres.js')
    const at = postgresTarget(setting.postgres, readEnvironment())
    const { from, to, statements } = await (apply ? migratePostgres : planPostgresMigration)({ at, clock: systemClock })
    return { database: at.dialect, from, to, steps: statements }
  }
  const { dynamodbClient } = await import('../catalog/dynamodb.js')
  const { prepareDynamodbTable } = await import('../catalog/dynamodb/prepare-table.js')
  const place = await dynamodbPlace(setting.dynamodb)
  const client = dynamodbClient(place)
  try {
    return { database: 'dynamodb', steps: await prepareDynamodbTable({ table: place.table, client, apply }) }
  } finally {
    client.close()
  }
}
