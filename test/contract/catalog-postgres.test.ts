import { afterAll, beforeAll } from 'vitest'
import type { Catalog } from '../../src/catalog/catalog.js'
import { openPostgresCatalog } from '../../src/catalog/postgres.js'
import type { ManualClock } from '../../src/core/clock.js'
import { TestPostgres } from '../postgres.js'
import { catalogContract } from './catalog.js'

let server: TestPostgres
beforeAll(async () => {
  server = await TestPostgres.start()
}, 60_000)
afterAll(() => server.stop())

let database = ''
const again = async (clock: ManualClock): Promise<Catalog> =>
  (await openPostgresCatalog({ at: database, clock })).catalog

catalogContract({
  name: 'postgres',
  open: async (clock) => {
    database = await server.newDatabase()
    return again(clock)
  },
  again,
})
