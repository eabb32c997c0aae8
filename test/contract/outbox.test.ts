import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { openSqliteCatalog } from '../../src/catalog/sqlite.js'
import { outboxContract } from './outbox.js'

const directory = mkdtempSync(join(tmpdir(), 'postern-outbox-'))
afterAll(() => rmSync(directory, { recursive: true }))

outboxContract({ name: 'memory', open: async (clock) => openMemoryCatalog({ clock }) })

let opened = 0
outboxContract({
  name: 'sqlite',
  open: (clock) => openSqliteCatalog({ file: join(directory, `${opened++}.sqlite`), clock, durability: 'fast' }),
})
