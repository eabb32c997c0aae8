import { beforeEach, describe, expect, it } from 'vitest'
import { compileGrants } from './grant.js'
import { guard, type GuardedSet, type Unguarded } from './guard.js'
import { belowHome } from './home-view.js'
import { bytesBelow, withinQuota } from './quota-store.js'
import { createUploadLimits } from './upload-limits.js'
import type { Catalog } from '../catalog/catalog.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import { catalogUploads } from '../catalog/catalog-uploads.js'
import { expireUploads } from '../catalog/expire-uploads.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { catalogProperties } from '../catalog/properties.js'
import { tended } from '../catalog/tended.js'
import { unfinishedBytes } from '../catalog/unfinished-bytes.js'
import type { UploadPart, Uploads } from '../catalog/uploads.js'
import { createUsage } from '../catalog/usage.js'
import { ManualClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import { openMemoryStore } from '../store/memory.js'
import type { Store, WriteOptions } from '../store/store.js'

const p = toPath
const facts = { owner: 'test:alice', attributes: {} }
const home = p('/home/alice')

let clock: ManualClock
let catalog: Catalog
let set: Unguarded

beforeEach(async () => {
  clock = new ManualClock()
  catalog = openMemoryCatalog({ clock })
  const locks = catalogLocks(catalog, clock)
  const properties = catalogProperties(catalog)
  const store = tended(openMemoryStore({ clock }), { catalog, locks, properties }) // prettier-ignore
  set = { store, locks, properties, uploads: catalogUploads({ catalog, clock, store }) }
  await store.write(p('/a/f'), text('there'), { parents: true })
})

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

function as(grants: readonly string[], on: Unguarded = set): GuardedSet {
  return guard(on, compileGrants(grants, 'test'), { principal: 'test:alice', tokens: new Set() })
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'fine'
  } catch (error) {
    if (error instanceof Failure) return error.reason ?? error.kind
    throw error
  }
}

async function allOf<Item>(batches: AsyncIterable<readonly Item[]>): Promise<Item[]> {
  const all: Item[] = []
  for await (const batch of batches) all.push(...batch)
  return all
}

/** An upload with one part, by whoever holds these. */
async function begun(
  uploads: Uploads,
  path: string,
  content = 'new',
): Promise<{ readonly id: string; readonly parts: readonly UploadPart[] }> {
  const { id } = await uploads.begin(p(path), facts)
  return { id, parts: [await uploads.part(p(path), id, 1, text(content))] }
}

describe('to complete an upload', () => {
  it('needs the right to do what it then comes to, whatever was allowed when it began', async () => {
    const creator = as(['create:/a/**']).uploads
    const { id, parts } = await begun(creator, '/a/f')
    expect(await kindOf(creator.complete(p('/a/f'), id, parts))).toBe('denied')
    const replacer = as(['replace:/a/**']).uploads
    const fresh = await begun(replacer, '/a/new')
    expect(await kindOf(replacer.complete(p('/a/new'), fresh.id, fresh.parts))).toBe('denied')
    expect(await set.store.stat(p('/a/new'))).toBeUndefined()
    expect((await set.store.stat(p('/a/f')))?.size).toBe(5)
  })

  it('needs a right that was not taken away since', async () => {
    const { id, parts } = await begun(as(['rw:/a/**']).uploads, '/a/f')
    for (const grants of [[], ['r:/a/**'], ['delete:/a/**'], ['rw:/b/**']])
      for (const use of [
        () => as(grants).uploads.complete(p('/a/f'), id, parts),
        () => as(grants).uploads.part(p('/a/f'), id, 2, text('x')),
        () => as(grants).uploads.abort(p('/a/f'), id),
        () => allOf(as(grants).uploads.parts(p('/a/f'), id)),
      ])
        expect(await kindOf(use())).toBe('denied')
    expect((await set.store.stat(p('/a/f')))?.size).toBe(5)
    expect(await allOf(set.uploads.parts(p('/a/f'), id))).toHaveLength(1)
  })

  it('is nothing that a lock of another lets happen, whenever it was taken', async () => {
    const { uploads } = as(['rw:/a/**'])
    const { id, parts } = await begun(uploads, '/a/f')
    const take = (): Promise<{ readonly token: string }> =>
      set.locks.take({ path: p('/a/f'), scope: 'exclusive', depth: 0, principal: 'test:bob', timeoutSeconds: 60 })
    const lock = await take()
    expect(await kindOf(uploads.complete(p('/a/f'), id, parts))).toBe('lock-token-submitted')
    expect(await kindOf(uploads.begin(p('/a/f'), facts))).toBe('lock-token-submitted')
    await set.locks.release(p('/a/f'), lock.token, 'test:bob')
    // Between the first look and the commit.
    const late: WriteOptions = {
      beforeCommit: async () => {
        await take()
      },
    }
    expect(await kindOf(uploads.complete(p('/a/f'), id, parts, late))).toBe('lock-token-submitted')
    expect((await set.store.stat(p('/a/f')))?.size).toBe(5)
  })

  it('forgets the properties that a file of that name once had', async () => {
    const named = { namespace: '', name: 'x', xml: '<x/>' }
    await set.properties.change(p('/a/new'), [{ kind: 'set', property: named }])
    const { uploads } = as(['rw:/a/**'])
    const { id, parts } = await begun(uploads, '/a/new')
    await uploads.complete(p('/a/new'), id, parts)
    expect(await set.properties.of(p('/a/new'))).toEqual([])
  })
})

describe('a list of uploads', () => {
  it('shows those that the caller could deal with, and no others', async () => {
    for (const path of ['/a/one', '/a/two', '/b/one']) await begun(set.uploads, path)
    const names = async (grants: readonly string[], directory = '/'): Promise<readonly string[]> =>
      (await allOf(as(grants).uploads.list(p(directory)))).map(({ path }) => path)
    expect(await names(['rw:/**'])).toEqual(['/a/one', '/a/two', '/b/one'])
    expect(await names(['create:/a/one'])).toEqual(['/a/one'])
    expect(await names(['replace:/a/**', 'r:/**'])).toEqual(['/a/one', '/a/two'])
    expect(await names(['r:/**', 'delete:/**'])).toEqual([])
    expect(await names(['create:/b/**'], '/b')).toEqual(['/b/one'])
    expect(await kindOf(names(['rw:/a/**'], '/b'))).toBe('denied')
  })

  it('does not tell those who may only put files there what others are about to put', async () => {
    await begun(set.uploads, '/a/mine')
    await set.uploads.begin(p('/a/secret'), { ...facts, owner: 'test:bob' })
    const names = async (...grants: readonly string[]): Promise<readonly string[]> =>
      (await allOf(as(grants).uploads.list(p('/a')))).map(({ path }) => path)
    expect(await names('create:/a/**')).toEqual(['/a/mine'])
    expect(await names('create,list:/a/**')).toEqual(['/a/mine', '/a/secret'])
    expect(await names('rw:/a/**')).toEqual(['/a/mine', '/a/secret'])
  })
})

describe('a limit of sizes', () => {
  it('holds for each part, for all together, and for what they become', async () => {
    const limits = createUploadLimits([{ path: '/a/**', bytes: 10 }])
    const { uploads } = guard(set, compileGrants(['rw:/**'], 'test'), { principal: 'test:alice', tokens: new Set() }, limits) // prettier-ignore
    const { id, parts } = await begun(uploads, '/a/f', '123456')
    const put = (content: string, length?: number): Promise<unknown> =>
      uploads.part(p('/a/f'), id, 2, text(content), length === undefined ? {} : { length })
    expect(await kindOf(put('12345678901'))).toBe('too-large')
    expect(await kindOf(put('12345678901', 11))).toBe('too-large')
    expect(await kindOf(put('12345', 5))).toBe('too-large')
    expect(await kindOf(put('12345'))).toBe('too-large')
    await set.store.write(p('/b/big'), text('12345'), { parents: true })
    expect(await kindOf(uploads.partFrom(p('/a/f'), id, 2, p('/b/big'), { start: 0, end: 5 }))).toBe('too-large')
    await put('1234', 4)
    // What another has put without a limit is refused at the end.
    const more = await set.uploads.part(p('/a/f'), id, 3, text('x'))
    const all = [...parts, ...(await allOf(uploads.parts(p('/a/f'), id))).slice(1, 2), more]
    expect(await kindOf(uploads.complete(p('/a/f'), id, all))).toBe('too-large')
    expect((await uploads.complete(p('/a/f'), id, all.slice(0, 2))).entry.size).toBe(10)
  })
})

describe('below a home', () => {
  let mine: GuardedSet

  beforeEach(async () => {
    await set.store.makeDirectory(p('/home'))
    await set.store.makeDirectory(home)
    mine = belowHome(as(['rw:/**']), compileGrants(['rw:/**'], 'test'), home)
  })

  it('an upload is for a file of the home, and nothing outside can be named', async () => {
    const upload = await mine.uploads.begin(p('/f'), facts)
    expect(upload.path).toBe('/f')
    expect((await set.uploads.find(p('/home/alice/f'), upload.id)).path).toBe('/home/alice/f')
    const part = await mine.uploads.part(p('/f'), upload.id, 1, text('mine'))
    expect(await kindOf(mine.uploads.partFrom(p('/f'), upload.id, 2, p('/a/f'), { start: 0, end: 1 }))).toBe('not-found') // prettier-ignore
    expect(await kindOf(mine.uploads.find(p('/home/alice/f'), upload.id))).toBe('NoSuchUpload')
    const { entry } = await mine.uploads.complete(p('/f'), upload.id, [part])
    expect(entry.path).toBe('/f')
    expect((await set.store.stat(p('/home/alice/f')))?.size).toBe(4)
  })

  it('those of others are not there', async () => {
    const other = await begun(set.uploads, '/a/f')
    const { id } = await begun(mine.uploads, '/a/f')
    await begun(mine.uploads, '/a/g')
    for (const path of ['/a/f', '/f', '/'])
      expect(await kindOf(mine.uploads.abort(p(path), other.id))).toBe('NoSuchUpload')
    const shown = async (options?: Parameters<Uploads['list']>[1]): Promise<readonly string[]> =>
      (await allOf(mine.uploads.list(p('/'), options))).map(({ path }) => path)
    expect(await shown()).toEqual(['/a/f', '/a/g'])
    expect(await shown({ prefix: '/a/g' })).toEqual(['/a/g'])
    expect(await shown({ after: { path: '/a/f' } })).toEqual(['/a/g'])
    expect(await shown({ after: { path: '/a/f', id } })).toEqual(['/a/g'])
    expect(await allOf(mine.uploads.parts(p('/a/f'), id))).toHaveLength(1)
  })

  it("Postern's own is out of reach", async () => {
    for (const path of ['/-', '/-/x']) expect(await kindOf(mine.uploads.begin(p(path), facts))).toBe('denied')
  })
})

describe('within a quota', () => {
  const path = p('/home/alice/f')
  let store: Store
  let uploads: Uploads
  let used: () => Promise<number>

  beforeEach(async () => {
    await set.store.makeDirectory(p('/home'))
    await set.store.makeDirectory(home)
    const count = async (tree: typeof home): Promise<number> =>
      (await bytesBelow(set.store, tree)) + (await unfinishedBytes(catalog, tree))
    const usage = createUsage({ catalog, clock, count })
    store = withinQuota(set.store, { home, quotaBytes: 10, usage })
    uploads = catalogUploads({ catalog, clock, store })
    used = async () => 10 - (await usage.room(home, 10, 0))
  })

  it('parts count from when they come until they go', async () => {
    const { id } = await begun(uploads, path, '123456')
    expect(await used()).toBe(6)
    expect(await kindOf(uploads.part(path, id, 2, text('12345')))).toBe('quota-not-exceeded')
    expect(await kindOf(uploads.part(path, id, 2, text('12345'), { length: 5 }))).toBe('quota-not-exceeded')
    expect(await kindOf(store.write(p('/home/alice/g'), text('12345')))).toBe('quota-not-exceeded')
    expect(await used()).toBe(6)
    await uploads.part(path, id, 1, text('1234'))
    expect(await used()).toBe(4)
    await uploads.part(path, id, 2, text('123456'))
    expect(await used()).toBe(10)
    await uploads.abort(path, id)
    expect(await used()).toBe(0)
  })

  it('a part that is refused or copied too far counts nothing', async () => {
    await store.write(p('/home/alice/g'), text('123456'))
    const { id } = await begun(uploads, path, '1')
    const refused = new Failure('bad-digest', 'no')
    expect(await kindOf(uploads.part(path, id, 2, text('1'), { beforeCommit: () => Promise.reject(refused) }))).toBe('bad-digest') // prettier-ignore
    expect(await kindOf(uploads.partFrom(path, id, 2, p('/home/alice/g'), { start: 0, end: 6 }))).toBe('quota-not-exceeded') // prettier-ignore
    expect(await used()).toBe(7)
    await uploads.partFrom(path, id, 2, p('/home/alice/g'), { start: 0, end: 3 })
    expect(await used()).toBe(10)
  })

  it('they become the file without needing its room again, and what it replaces is free', async () => {
    await store.write(path, text('old'))
    const { id, parts } = await begun(uploads, path, '1234567')
    expect(await used()).toBe(10)
    const { created } = await uploads.complete(path, id, parts)
    expect({ created, used: await used() }).toEqual({ created: false, used: 7 })
    clock.advanceSeconds(25 * 3600)
    expect(await used()).toBe(7)
  })

  it('uploads that expire are counted no more, at the next count', async () => {
    await begun(uploads, path, '1234567890')
    clock.advanceSeconds(25 * 3600)
    await expireUploads({ catalog, clock, store: set.store }, 1000)
    await store.write(path, text('1234567890'))
    expect(await used()).toBe(10)
  })
})
