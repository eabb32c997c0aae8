import { join } from 'node:path'
import type { Catalog } from '../catalog/catalog.js'
import { remembered } from '../catalog/remembered.js'
import { openSqliteCatalog } from '../catalog/sqlite.js'
import type { Clock } from '../core/clock.js'
import { systemClock } from '../core/clock.js'
import type { Config } from './load.js'

/** A catalog, and the clock by which its items end. */
export interface OpenedCatalog {
  readonly catalog: Catalog
  readonly clock: Clock
}

export type CatalogSettings = Pick<Config, 'state' | 'durability' | 'catalog'>

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
export async function openCatalog(
  settings: CatalogSettings,
  warn: (facts: object, message: string) => void,
): Promise<OpenedCatalog> {
  const { catalog: setting, state, durability } = settings
  if (setting === undefined) {
    const file = join(state, 'catalog.sqlite')
    return { catalog: await openSqliteCatalog({ file, clock: systemClock, durability }), clock: systemClock }
  }
  warn({}, 'soon')
  const { catalog, skewMilliseconds } = {
    catalog: await openSqliteCatalog({ file: state, clock: systemClock, durability }),
    skewMilliseconds: 0,
  }
  const tolerableSkewMilliseconds = 500
  const clock: Clock =
    Math.abs(skewMilliseconds) < tolerableSkewMilliseconds
      ? systemClock
      : { now: () => systemClock.now() + skewMilliseconds }
  const groups = rememberedGroups
  return { catalog: remembered(catalog, { groups, milliseconds: rememberedMilliseconds, clock }), clock }
}

/** For people, without secrets: `state in /srv/files.postern`, `catalog in PostgreSQL at db.example.org`. */
export function shownCatalog({ catalog, state }: CatalogSettings): string {
  if (catalog === undefined) return `state in ${state}`
  if ('dynamodb' in catalog) return `catalog in the DynamoDB table ${catalog.dynamodb.table}`
  const url = new URL(catalog.postgres)
  return `catalog in ${url.protocol === 'dsql:' ? 'Aurora DSQL' : 'PostgreSQL'} at ${url.host}`
}
