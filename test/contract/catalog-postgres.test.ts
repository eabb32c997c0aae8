import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Catalog } from '../../src/catalog/catalog.js'
import { openPostgresCatalog, postgresTarget } from '../../src/catalog/postgres.js'
import type { ManualClock } from '../../src/core/clock.js'
import { DsqlRules } from '../dsql-rules.js'
import { TestPostgres } from '../postgres.js'
import { catalogContract } from './catalog.js'

let server: TestPostgres
let rules: DsqlRules
beforeAll(async () => {
  server = await TestPostgres.start()
  rules = await DsqlRules.start(server.port, { conflicts: 0.1 })
}, 60_000)
afterAll(async () => {
  await rules.close()
  await server.stop()
})

let database = ''
const databases = new Map<string, string>()

for (const [name, order, at] of [
  ['postgres', 'words', () => postgresTarget(server.url(database))],
  // Nothing but the dialect tells the catalog that it speaks to Aurora DSQL.
  [
    'postgres under the rules of DSQL',
    'bytes',
    () => ({ ...postgresTarget(server.url(database, rules.port)), dialect: 'dsql' as const }),
  ],
] as const) {
  const again = async (clock: ManualClock): Promise<Catalog> => (await openPostgresCatalog({ at: at(), clock })).catalog
  catalogContract({
    name,
    open: async (clock) => {
      database = databases.get(order) ?? (await server.newDatabase(order))
      databases.set(order, database)
      await server.query(database, 'DROP TABLE IF EXISTS postern_items, postern_counters, postern_schema')
      return again(clock)
    },
    again,
  })
}

it('had nothing to refuse, and many conflicts to make', () => {
  expect(rules.refused).toEqual([])
  expect(rules.conflicts).toBeGreaterThan(50)
})
