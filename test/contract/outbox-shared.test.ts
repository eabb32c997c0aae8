import { afterAll, beforeAll } from 'vitest'
import { openPostgresCatalog } from '../../src/catalog/postgres.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { startDynamodb } from '../dynalite-server.js'
import { TestPostgres } from '../postgres.js'
import { outboxContract } from './outbox.js'

let server: TestPostgres
let local: LocalDynamodb
let count = 0

beforeAll(async () => {
  server = await TestPostgres.start()
  local = await startDynamodb()
}, 60_000)
afterAll(async () => {
  await local.stop()
  await server.stop()
})

outboxContract({
  name: 'postgres',
  async open(clock) {
    const at = server.url(await server.newDatabase('bytes'))
    return (await openPostgresCatalog({ at, clock })).catalog
  },
})

outboxContract({
  name: 'dynamodb',
  async open(clock) {
    const table = `outbox-${count++}`
    await local.prepare(table)
    return (await local.open({ table, clock })).catalog
  },
})
