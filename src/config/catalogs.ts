import { join } from 'node:path'
import type { Catalog } from '../catalog/catalog.js'
import type { DynamodbPlace } from '../catalog/dynamodb.js'
import { remembered } from '../catalog/remembered.js'
import { openSqliteCatalog } from '../catalog/sqlite.js'
import type { Clock } from '../core/clock.js'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { environmentCredentials } from './environment-credentials.js'
import { readEnvironment } from './environment.js'
import type { Config } from './load.js'

/** A catalog, and the clock by which its items end. */
export interface OpenedCatalog {
  readonly catalog: Catalog
  readonly clock: Clock
}

export type CatalogSettings = Pick<Config, 'state' | 'durability' | 'catalog'>

/** A database that other instances may use as well. */
export type SharedCatalog = NonNullable<Config['catalog']>

type DynamodbSetting = Extract<SharedCatalog, { dynamodb: unknown }>['dynamodb']

export type Warn = (facts: object, message: string) => void

/** How long accounts, keys and tokens of a shared catalog may be those of before: what is revoked ends within a second. */
const rememberedMilliseconds = 900
const rememberedGroups = ['users', 'keys', 's3-keys', 'tokens', 'source-changes']

/** Whether other instances may use it as well. */
export function isShared({ catalog }: Pick<CatalogSettings, 'catalog'>): boolean {
  return catalog !== undefined
}

/**
 * Opens the catalog of a configuration: a file in the state directory, which must be there, or a database. Throws what
 * `openSqliteCatalog`, `openPostgresCatalog` and `openDynamodbCatalog` throw.
 */
export async function openCatalog(settings: CatalogSettings, warn: Warn): Promise<OpenedCatalog> {
  const { catalog: setting, state, durability } = settings
  if (setting === undefined) {
    const file = join(state, 'catalog.sqlite')
    return { catalog: await openSqliteCatalog({ file, clock: systemClock, durability }), clock: systemClock }
  }
  // All instances go by the clock of the database.
  let skew = 0
  const clock: Clock = { now: () => systemClock.now() + skew }
  const followSkew = (milliseconds: number): void => {
    skew += milliseconds
    warn({ skewMilliseconds: milliseconds }, "the clock here was set: the one of the catalog's database is followed")
  }
  const { catalog, skewMilliseconds } = await openShared(setting, { clock, followSkew }, warn)
  skew += skewMilliseconds
  const groups = rememberedGroups
  return { catalog: remembered(catalog, { groups, milliseconds: rememberedMilliseconds, clock }), clock }
}

async function openShared(
  setting: SharedCatalog,
  { clock, followSkew }: { readonly clock: Clock; readonly followSkew: (milliseconds: number) => void },
  warn: Warn,
): Promise<{ readonly catalog: Catalog; readonly skewMilliseconds: number }> {
  if ('postgres' in setting) {
    const { openPostgresCatalog, postgresTarget } = await import('../catalog/postgres.js')
    const at = postgresTarget(setting.postgres, readEnvironment())
    return openPostgresCatalog({ at, clock, followSkew, warn, poolSize: setting.poolSize })
  }
  const { openDynamodbCatalog } = await import('../catalog/dynamodb.js')
  return openDynamodbCatalog({ ...(await dynamodbPlace(setting.dynamodb)), clock, followSkew, log: { warn } })
}

/** Where a table is, and the credentials for it. Throws `invalid` where nothing names the region. */
export async function dynamodbPlace(setting: DynamodbSetting): Promise<DynamodbPlace> {
  const { createCredentials } = await import('../store/aws/credentials.js')
  const { table, endpoint } = setting
  const environment = readEnvironment()
  const region = setting.region ?? environment['AWS_REGION'] ?? environment['AWS_DEFAULT_REGION']
  if (region === undefined)
    throw new Failure('invalid', 'catalog: name the region of the table: { dynamodb: { table: …, region: … } }')
  const credentials = environmentCredentials(environment) ?? createCredentials({ settings: {}, region })
  return { table, region, credentials, ...(endpoint !== undefined && { endpoint }) }
}

/** For people, without secrets: `state in /srv/files.postern`, `catalog in PostgreSQL at db.example.org`. */
export function shownCatalog({ catalog, state }: CatalogSettings): string {
  if (catalog === undefined) return `state in ${state}`
  if ('dynamodb' in catalog) return `catalog in the DynamoDB table ${catalog.dynamodb.table}`
  const url = new URL(catalog.postgres)
  return `catalog in ${url.protocol === 'dsql:' ? 'Aurora DSQL' : 'PostgreSQL'} at ${url.host || readEnvironment()['PGHOST']}`
}
