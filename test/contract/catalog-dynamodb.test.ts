import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ManualClock } from '../../src/core/clock.js'
import type { Catalog } from '../../src/catalog/catalog.js'
import { operations } from '../../src/catalog/dynamodb/table.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { startDynamodb } from '../dynalite-server.js'
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

it('asks for nothing that the policy for a server does not allow', () => {
  const preparing = ['CreateTable', 'DescribeTable', 'DescribeTimeToLive', 'UpdateTimeToLive']
  const asked = new Set(local.seen.map(({ operation }) => operation).filter((each) => !preparing.includes(each)))
  expect([...asked].sort()).toEqual([...operations].sort())
})
