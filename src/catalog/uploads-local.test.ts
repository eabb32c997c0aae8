import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Catalog } from './catalog.js'
import { catalogUploads } from './catalog-uploads.js'
import { openSqliteCatalog } from './sqlite.js'
import { bound } from '../store/bound.js'
import type { UploadPart, Uploads } from './uploads.js'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import { memoryNotes } from '../store/local/notes.js'
import { openLocalStore, type LocalStore } from '../store/local.js'

// What the records say must hold of files as a disk gives them back.

const path = toPath('/b/file')
const options = { parents: true, attributes: { 's3-etag': 'e-1', 'x-amz-meta-a': 'é', 'content-type': 'text/x' } }

let folder: string
let catalog: Catalog
let store: LocalStore
let uploads: Uploads

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-uploads-'))
  catalog = await openSqliteCatalog({ file: `${folder}.catalog`, clock: systemClock, durability: 'fast' })
  store = await openLocalStore({ root: folder, durability: 'fast', symlinks: 'absent', notes: memoryNotes() })
  uploads = catalogUploads({ catalog, clock: systemClock, store })
})
afterEach(async () => {
  await store.close()
  await catalog.close()
  for (const name of [folder, `${folder}.catalog`, `${folder}.catalog-wal`, `${folder}.catalog-shm`])
    rmSync(name, { recursive: true, force: true })
})

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

async function begun(): Promise<{ readonly id: string; readonly parts: readonly UploadPart[] }> {
  const { id } = await uploads.begin(path, { owner: 'test:alice', attributes: {} })
  const put = (number: number, content: string) =>
    uploads.part(path, id, number, text(content), { digests: ['md5', 'crc32'] })
  return { id, parts: [await put(1, 'one'), await put(2, 'two')] }
}

it.each(['complete', 'list', 'abort'])('a process that died after the rename is told of by the file: %s', async (next) => {
  const { id, parts } = await begun()
  const dead: Catalog = Object.assign(Object.create(catalog) as Catalog, {
    async swap(...change: Parameters<Catalog['swap']>) {
      if ((await store.stat(path)) !== undefined) throw new Failure('unavailable', 'The process is dead.')
      return catalog.swap(...change)
    },
    get: catalog.get.bind(catalog),
    list: catalog.list.bind(catalog),
  })
  const { entry } = await catalogUploads({ catalog: dead, clock: systemClock, store }).complete(path, id, parts, options)
  expect(await uploadsThere(false)).toBe(1)
  if (next === 'complete')
    expect(await uploads.complete(path, id, parts, options)).toMatchObject({ created: true, entry: { etag: entry.etag } })
  else if (next === 'abort') await expect(uploads.abort(path, id)).rejects.toMatchObject({ reason: 'NoSuchUpload' })
  else expect(await uploadsThere(true)).toBe(0)
  expect(await uploadsThere(false)).toBe(0)
  expect(readFileSync(join(folder, 'b', 'file'), 'utf8')).toBe('onetwo')
}) // prettier-ignore

/** Uploads in the list, or in the records. */
async function uploadsThere(listed: boolean): Promise<number> {
  let count = 0
  for await (const items of listed ? uploads.list(toPath('/')) : catalog.list('uploads')) count += items.length
  return count
}

it('several who complete it at the same time make one file, in one store or two', async () => {
  const other = await openLocalStore({ root: folder, durability: 'fast', symlinks: 'absent', notes: memoryNotes() })
  try {
    const { id, parts } = await begun()
    const second = catalogUploads({ catalog, clock: systemClock, store: { ...bound(other) } })
    const orders = [parts, parts.slice(0, 1), parts, parts.slice(1)]
    const results = await Promise.allSettled(
      orders.map((order, at) => (at % 2 === 0 ? uploads : second).complete(path, id, order, options)),
    )
    const etags = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.entry.etag] : []))
    expect(new Set(etags).size).toBe(1)
    expect(etags).toContain((await store.stat(path))?.etag)
    for (const result of results)
      if (result.status === 'rejected')
        expect((result.reason as Failure).kind).toMatch(/^(?:conflict|not-found|invalid)$/)
    expect(['one', 'two', 'onetwo']).toContain(readFileSync(join(folder, 'b', 'file'), 'utf8'))
  } finally {
    await other.close()
  }
})

it('more parts than a catalog gives or takes at once are listed, completed and forgotten', async () => {
  const { id } = await uploads.begin(path, { owner: 'test:alice', attributes: {} })
  for (let at = 1; at <= 1200; at += 50)
    await Promise.all(Array.from({ length: 50 }, (_, more) => uploads.part(path, id, at + more, text('x'), {})))
  const parts: UploadPart[] = []
  for await (const batch of uploads.parts(path, id)) parts.push(...batch)
  expect(parts.map(({ number }) => number)).toEqual(Array.from({ length: 1200 }, (_, at) => at + 1))
  expect((await uploads.complete(path, id, parts, options)).entry.size).toBe(1200)
  for (const group of ['uploads', 'upload-parts'])
    for await (const items of catalog.list(group)) expect(items).toEqual([])
})
