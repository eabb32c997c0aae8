import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Catalog } from '../catalog/catalog.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { ManualClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import { bound } from '../store/bound.js'
import { contentBytes } from '../store/content-bytes.js'
import { openMemoryStore } from '../store/memory.js'
import type { Store } from '../store/store.js'
import { exportJob } from './export-lines.js'

const to = toPath('/admin/audit')
const signal = new AbortController().signal
let folder: string
let clock: ManualClock
let store: Store
let catalog: Catalog

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-export-'))
  clock = new ManualClock(Date.UTC(2026, 10, 23, 1))
  store = openMemoryStore({ clock })
  catalog = openMemoryCatalog({ clock })
})
afterEach(() => rmSync(folder, { recursive: true }))

const jobOf = (into: Store = store) =>
  exportJob({
    ...{ name: 'audit-export', to, store: into, catalog, clock, host: 'a/b' },
    files: [join(folder, 'audit.log.1'), join(folder, 'audit.log')],
  })

const line = (day: string, what: string): string => JSON.stringify({ time: `${day}T10:00:00.000Z`, what })

async function exported(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  if ((await store.stat(to)) === undefined) return found
  for await (const entries of store.list(to))
    for (const { path } of entries) {
      const content = await store.open(path)
      found[path.slice(to.length + 1)] = gunzipSync(await buffer(contentBytes(content))).toString()
    }
  return found
}

it('has nothing to do where no log is, and says so', async () => {
  expect(await jobOf().run(signal)).toEqual({ counts: { days: 0 } })
  expect(await exported()).toEqual({})
  expect(await jobOf().wanted?.()).toBe(false)
})

it('writes each day that is over once, out of both files, and never the one that goes on', async () => {
  writeFileSync(join(folder, 'audit.log.1'), [line('2026-11-21', 'a'), line('2026-11-22', 'b'), ''].join('\n'))
  writeFileSync(join(folder, 'audit.log'), [line('2026-11-22', 'c'), 'torn', line('2026-11-23', 'd')].join('\n'))
  expect(await jobOf().wanted?.()).toBe(true)
  expect(await jobOf().run(signal)).toEqual({ counts: { days: 2 } })
  const first = {
    '2026-11-21-a_b.jsonl.gz': `${line('2026-11-21', 'a')}\n`,
    '2026-11-22-a_b.jsonl.gz': `${line('2026-11-22', 'b')}\n${line('2026-11-22', 'c')}\n`,
  }
  expect(await exported()).toEqual(first)
  expect(await jobOf().run(signal)).toEqual({ counts: { days: 0 } })
  clock.advanceSeconds(24 * 3600)
  expect(await jobOf().run(signal)).toEqual({ counts: { days: 1 } })
  expect(await exported()).toEqual({ ...first, '2026-11-23-a_b.jsonl.gz': `${line('2026-11-23', 'd')}\n` })
})

it('leaves alone what somebody has put there, and does not bring back what was taken away', async () => {
  writeFileSync(join(folder, 'audit.log'), line('2026-11-22', 'b'))
  const path = toPath('/admin/audit/2026-11-22-a_b.jsonl.gz')
  await store.write(path, (async function* () {})(), { parents: true })
  expect(await jobOf().run(signal)).toEqual({ counts: { days: 0 } })
  expect((await store.stat(path))?.size).toBe(0)
  await store.remove(path)
  expect(await jobOf().run(signal)).toEqual({ counts: { days: 0 } })
  expect(await store.stat(path)).toBeUndefined()
})

it('comes back to the day that could not be written', async () => {
  writeFileSync(join(folder, 'audit.log'), [line('2026-11-21', 'a'), line('2026-11-22', 'b')].join('\n'))
  let writes = 0
  const failing: Store = {
    ...bound(store),
    write: (...args) => {
      if (++writes === 2) return Promise.reject(new Failure('unavailable', 'The bucket is gone.'))
      return store.write(...args)
    },
  }
  await expect(jobOf(failing).run(signal)).rejects.toThrow('The bucket is gone.')
  expect(Object.keys(await exported())).toEqual(['2026-11-21-a_b.jsonl.gz'])
  expect(await jobOf().wanted?.()).toBe(true)
  expect(await jobOf(failing).run(signal)).toEqual({ counts: { days: 1 } })
  expect(Object.keys(await exported())).toHaveLength(2)
})

it('leaves no half of a day where the log cannot be read', async () => {
  writeFileSync(join(folder, 'audit.log.1'), line('2026-11-22', 'b'))
  mkdirSync(join(folder, 'audit.log'))
  await expect(jobOf().run(signal)).rejects.toThrow('EISDIR')
  expect(await exported()).toEqual({})
})
