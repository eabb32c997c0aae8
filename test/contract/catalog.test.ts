import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { ManualClock } from '../../src/core/clock.js'
import type { Catalog } from '../../src/catalog/catalog.js'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { openSqliteCatalog } from '../../src/catalog/sqlite.js'
import { catalogContract } from './catalog.js'

const directory = mkdtempSync(join(tmpdir(), 'postern-catalog-'))
afterAll(() => rmSync(directory, { recursive: true }))

catalogContract({ name: 'memory', open: async (clock) => openMemoryCatalog({ clock }) })

for (const durability of ['full', 'fast'] as const) {
  let opened = 0
  const again = (clock: ManualClock): Promise<Catalog> =>
    openSqliteCatalog({ file: join(directory, `${durability}-${opened}.sqlite`), clock, durability })
  catalogContract({
    name: `sqlite, ${durability}`,
    open: async (clock) => {
      opened++
      return again(clock)
    },
    again,
  })
}
