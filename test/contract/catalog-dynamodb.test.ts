import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ManualClock } from '../../src/core/clock.js'
import type { Catalog } from '../../src/catalog/catalog.js'
import { catalogTableMaking, catalogTableStatement } from '../../src/config/policy-statements.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { localRegion, startDynamodb } from '../dynalite-server.js'
import { catalogContract } from './catalog.js'

let local: LocalDynamodb
let tables = 0

beforeAll(async () => {
  local = await startDynamodb()
})
afterAll(() => local.stop())

const again = async (clock: ManualClock): Promise<Catalog> =>
  (await local.open({ table: `postern-${tables}`, clock })).catalog

catalogContract({
  name: 'dynamodb',
  async open(clock) {
    tables++
    await local.prepare(`postern-${tables}`)
    return again(clock)
  },
  again,
})

it('asks for nothing that the printed policy does not allow, and for all that it allows', () => {
  const where = { region: localRegion, account: '*' }
  const preparing = catalogTableMaking('any', where).Action
  const asked = new Set<string>()
  const tables = new Set<string>()
  for (const { operation, body } of local.seen) {
    if (preparing.includes(`dynamodb:${operation}`)) continue
    asked.add(`dynamodb:${operation}`)
    for (const name of Object.keys(body['RequestItems'] ?? { [String(body['TableName'])]: true })) tables.add(name)
  }
  expect([...asked].sort()).toEqual([...catalogTableStatement('any', where).Action].sort())
  expect([...tables].filter((name) => !/^postern-\d+$/.test(name))).toEqual([])
})
