import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Catalog } from './catalog.js'
import { catalogUploads } from './catalog-uploads.js'
import { expireUploads } from './expire-uploads.js'
import { openMemoryCatalog } from './memory.js'
import { bound, boundParts } from '../store/bound.js'
import { unfinishedBytes } from './unfinished-bytes.js'
import { headOf, partGroup, resultGroup, uploadGroup, uploadName } from './upload-records.js'
import type { Upload, UploadPart, Uploads } from './uploads.js'
import { ManualClock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import { toPath, type StorePath } from '../core/path.js'
import { compareKeys } from '../store/key-order.js'
import { openMemoryStore } from '../store/memory.js'
import type { PartRooms } from '../store/part-rooms.js'
import type { Store, WriteOptions } from '../store/store.js'

const p = toPath
const path = p('/b/file')
const parents = { parents: true, attributes: { 's3-etag': 'e-1' } } as const
const day = 24 * 3600

let clock: ManualClock
let catalog: Catalog
let store: Store & { readonly parts: PartRooms }
let uploads: Uploads

beforeEach(() => {
  clock = new ManualClock()
  catalog = openMemoryCatalog({ clock })
  const memory = openMemoryStore({ clock })
  store = { ...bound(memory), parts: memory.parts! }
  uploads = catalogUploads({ catalog, clock, store })
})

async function* text(...chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}

function begin(at: StorePath = path): Promise<Upload> {
  return uploads.begin(at, { owner: 'test:alice', attributes: { 'content-type': 'text/x' }, notes: { kind: 'n' } })
}

function put(id: string, number: number, content: string, at: StorePath = path): Promise<UploadPart> {
  return uploads.part(at, id, number, text(content), { digests: ['md5'] })
}

async function allOf<Item>(batches: AsyncIterable<readonly Item[]>): Promise<Item[]> {
  const all: Item[] = []
  for await (const batch of batches) {
    expect(batch.length).toBeGreaterThan(0)
    all.push(...batch)
  }
  return all
}

async function contentOf(at: StorePath): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of (await store.open(at)).bytes() as AsyncIterable<Uint8Array>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** What the catalog and the store still hold of any upload. */
async function left(): Promise<{ uploads: number; parts: number; rooms: number }> {
  return {
    uploads: (await allOf(catalog.list(uploadGroup))).length,
    parts: (await allOf(catalog.list(partGroup))).length,
    rooms: (await allOf(store.parts.list())).length,
  }
}

const nothing = { uploads: 0, parts: 0, rooms: 0 }

async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'fine'
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return error.reason ?? error.kind
  }
}

/** Everything that an id can be used for. */
const uses: Readonly<Record<string, (at: StorePath, id: string) => Promise<unknown>>> = {
  find: (at, id) => uploads.find(at, id),
  part: (at, id) => uploads.part(at, id, 1, neverPulled()),
  partFrom: (at, id) => uploads.partFrom(at, id, 1, p('/source'), { start: 0, end: 1 }),
  parts: (at, id) => allOf(uploads.parts(at, id)),
  complete: (at, id) => uploads.complete(at, id, [], parents),
  abort: (at, id) => uploads.abort(at, id),
}

async function* neverPulled(): AsyncGenerator<Uint8Array> {
  expect.fail('the body was pulled')
  yield Buffer.alloc(0)
}

describe('an id', () => {
  it.each(Object.keys(uses))('means nothing to %s under another path', async (use) => {
    await store.write(p('/source'), text('s'))
    const { id } = await begin()
    await put(id, 1, 'one')
    for (const other of ['/b/file2', '/b', '/b/file/x', '/', '/B/file', '/b/file\x01x'])
      expect(await reasonOf(uses[use]!(p(other), id))).toBe('NoSuchUpload')
    expect(await left()).toEqual({ uploads: 1, parts: 1, rooms: 1 })
  })

  it.each(Object.keys(uses))('that was never given is unknown to %s', async (use) => {
    const { id } = await begin()
    const tricks = ['', '0'.repeat(31), `${id}x`, id.slice(1), id.toUpperCase(), `../${id}`, 'x'.repeat(5000), `${id}/00001`]
    for (const trick of tricks) if (trick !== id) expect(await reasonOf(uses[use]!(path, trick))).toBe('NoSuchUpload')
    expect((await uploads.find(path, id)).id).toBe(id)
  }) // prettier-ignore

  it.each(Object.keys(uses))('is unknown to %s once the upload was given up', async (use) => {
    const { id } = await begin()
    await put(id, 1, 'one')
    await uploads.abort(path, id)
    expect(await reasonOf(uses[use]!(path, id))).toBe('NoSuchUpload')
    expect(await left()).toEqual(nothing)
  })

  it.each(Object.keys(uses).filter((use) => use !== 'complete'))('is unknown to %s once the upload was completed', async (use) => {
    const { id } = await begin()
    await uploads.complete(path, id, [await put(id, 1, 'one')], parents)
    expect(await reasonOf(uses[use]!(path, id))).toBe('NoSuchUpload')
    expect(await left()).toEqual(nothing)
  }) // prettier-ignore

  it('of a path with the same head as another one means nothing under that', async () => {
    const long = p(`/${`${'d'.repeat(200)}/`.repeat(4)}one`)
    const other = p(`/${`${'d'.repeat(200)}/`.repeat(4)}two`)
    const { id } = await begin(long)
    expect(uploadName(long, id)).toBe(uploadName(other, id))
    for (const use of Object.values(uses)) expect(await reasonOf(use(other, id))).toBe('NoSuchUpload')
    expect((await uploads.find(long, id)).path).toBe(long)
  })

  it('is not to be guessed', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, async () => (await begin()).id))
    expect(new Set(ids).size).toBe(50)
    for (const id of ids) expect(id).toMatch(/^[0-9a-z]{31}$/)
  })
})

describe('an upload', () => {
  it('becomes a file of the parts that are named, in their order, and leaves nothing behind', async () => {
    const { id } = await begin()
    const two = await put(id, 2, 'two')
    const one = await put(id, 1, 'one')
    await put(id, 3, 'left out')
    const { entry, created } = await uploads.complete(path, id, [one, two], parents)
    expect({ size: entry.size, created }).toEqual({ size: 6, created: true })
    expect(await contentOf(path)).toBe('onetwo')
    expect((await store.stat(path))?.attributes).toEqual(parents.attributes)
    expect(await left()).toEqual(nothing)
  })

  it('keeps what it was begun with', async () => {
    const upload = await begin()
    expect(await uploads.find(path, upload.id)).toEqual(upload)
    expect(upload).toEqual({
      id: upload.id,
      path,
      owner: 'test:alice',
      begun: clock.now(),
      attributes: { 'content-type': 'text/x' },
      notes: { kind: 'n' },
    })
  })

  it('takes the last part of a number, and drops the one before', async () => {
    const { id } = await begin()
    const old = await put(id, 1, 'old')
    const part = await put(id, 1, 'newer')
    expect(await allOf(uploads.parts(path, id))).toEqual([part])
    expect(await reasonOf(uploads.complete(path, id, [old], parents))).toBe('InvalidPart')
    await uploads.complete(path, id, [part], parents)
    expect(await contentOf(path)).toBe('newer')
  })

  it('keeps the old part where the new one does not arrive whole', async () => {
    const { id } = await begin()
    const old = await put(id, 1, 'old')
    expect(await reasonOf(uploads.part(path, id, 1, text('ne'), { length: 3 }))).toBe('incomplete')
    const refused = new Failure('bad-digest', 'not what was signed')
    expect(await reasonOf(uploads.part(path, id, 1, text('new'), { beforeCommit: () => Promise.reject(refused) }))).toBe('bad-digest') // prettier-ignore
    expect(await allOf(uploads.parts(path, id))).toEqual([old])
  })

  it('has its parts in the order of their numbers', async () => {
    const { id } = await begin()
    for (const number of [10_000, 9, 100, 1, 10]) await put(id, number, String(number))
    const numbers = (parts: readonly UploadPart[]): number[] => parts.map(({ number }) => number)
    expect(numbers(await allOf(uploads.parts(path, id)))).toEqual([1, 9, 10, 100, 10_000])
    expect(numbers(await allOf(uploads.parts(path, id, 9)))).toEqual([10, 100, 10_000])
    expect(numbers(await allOf(uploads.parts(path, id, 10_000)))).toEqual([])
  })

  it.each([0, -1, 10_001, 1.5, NaN, Infinity])('takes no part of the number %d', async (number) => {
    const { id } = await begin()
    expect(await reasonOf(uploads.part(path, id, number, neverPulled()))).toBe('InvalidArgument')
  })

  it('takes a part of a file', async () => {
    await store.write(p('/source'), text('0123456789'))
    const { id } = await begin()
    const part = await uploads.partFrom(path, id, 1, p('/source'), { start: 2, end: 5 }, { digests: ['md5'] })
    expect(part).toMatchObject({ number: 1, size: 3 })
    expect(await reasonOf(uploads.partFrom(path, id, 2, p('/none'), { start: 0, end: 1 }))).toBe('not-found')
    expect(await reasonOf(uploads.partFrom(path, id, 2, p('/source'), { start: 0, end: 11 }))).toBe('bad-range')
    await uploads.complete(path, id, [part], parents)
    expect(await contentOf(path)).toBe('234')
  })

  it('is not over where it could not become the file', async () => {
    await store.write(path, text('there'), { parents: true })
    const { id } = await begin()
    const one = await put(id, 1, 'one')
    const wrong: readonly (readonly [UploadPart, WriteOptions, string])[] = [
      [one, { ifNoneMatch: '*' }, 'precondition'],
      [one, { ifMatch: ['other'] }, 'precondition'],
      [one, { beforeCommit: () => Promise.reject(new Failure('locked', 'locked')) }, 'locked'],
      [{ ...one, number: 2 }, {}, 'InvalidPart'],
      [{ ...one, size: 4 }, {}, 'InvalidPart'],
      [{ ...one, digests: { md5: Buffer.alloc(16) } }, {}, 'InvalidPart'],
    ]
    for (const [part, options, reason] of wrong)
      expect(await reasonOf(uploads.complete(path, id, [part], options))).toBe(reason)
    expect(await reasonOf(uploads.complete(path, id, [one, one]))).toBe('InvalidPart')
    expect(await contentOf(path)).toBe('there')
    expect(await allOf(uploads.list(p('/')))).toHaveLength(1)
    expect((await uploads.complete(path, id, [one])).created).toBe(false)
    expect(await contentOf(path)).toBe('one')
  })

  it('counts the bytes of its parts for whoever asks', async () => {
    const [one, other] = [await begin(), await begin(p('/c/file'))]
    await put(one.id, 1, '12345')
    await put(one.id, 2, '67')
    await put(other.id, 1, '89', other.path)
    expect(await unfinishedBytes(catalog, p('/'))).toBe(9)
    expect(await unfinishedBytes(catalog, p('/b'))).toBe(7)
    expect(await unfinishedBytes(catalog, p('/b/fil'))).toBe(0)
  })

  it('takes no more bytes than may come together', async () => {
    const { id } = await begin()
    const bounded = { mostTogether: 10, digests: ['md5'] } as const
    await uploads.part(path, id, 1, text('123456'), bounded)
    expect(await reasonOf(uploads.part(path, id, 2, neverPulled(), { ...bounded, length: 5 }))).toBe('too-large')
    expect(await reasonOf(uploads.part(path, id, 2, text('12345'), bounded))).toBe('too-large')
    const refused = new Failure('bad-digest', 'no')
    expect(await reasonOf(uploads.part(path, id, 2, text('1234'), { ...bounded, beforeCommit: () => Promise.reject(refused) }))).toBe('bad-digest') // prettier-ignore
    await uploads.part(path, id, 2, text('1234'), { ...bounded, length: 4 })
    await uploads.part(path, id, 1, text('654321'), bounded)
    await uploads.part(path, id, 1, text('1'), bounded)
    await uploads.part(path, id, 3, text('12345'), bounded)
    expect(await reasonOf(uploads.part(path, id, 4, text('1'), bounded))).toBe('too-large')
    expect(await allOf(uploads.parts(path, id))).toHaveLength(3)
  })
})

describe('to complete an upload again', () => {
  it('gives the same for an hour', async () => {
    const { id } = await begin()
    const parts = [await put(id, 1, 'one')]
    const first = await uploads.complete(path, id, parts, parents)
    clock.advanceSeconds(3599)
    expect(await uploads.complete(path, id, parts, parents)).toEqual(first)
    clock.advanceSeconds(1)
    expect(await reasonOf(uploads.complete(path, id, parts, parents))).toBe('NoSuchUpload')
  })

  it('does not where the file is another one by now, and never changes it', async () => {
    const { id } = await begin()
    const parts = [await put(id, 1, 'one')]
    await uploads.complete(path, id, parts, parents)
    await store.write(path, text('later'))
    expect(await reasonOf(uploads.complete(path, id, parts, parents))).toBe('NoSuchUpload')
    expect(await contentOf(path)).toBe('later')
    await store.remove(path)
    expect(await reasonOf(uploads.complete(path, id, parts, parents))).toBe('NoSuchUpload')
  })

  it('at the same time makes one file', async () => {
    const { id } = await begin()
    const [one, two] = [await put(id, 1, 'one'), await put(id, 2, 'two')]
    const orders = [[one], [two], [one, two], [one], [two]]
    const results = await Promise.allSettled(orders.map((order) => uploads.complete(path, id, order, parents)))
    const written = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.entry.etag] : []))
    expect(new Set(written)).toEqual(new Set([(await store.stat(path))?.etag]))
    for (const result of results)
      if (result.status === 'rejected') expect(isFailure(result.reason, 'conflict', 'not-found')).toBe(true)
    expect(['one', 'two', 'onetwo']).toContain(await contentOf(path))
    expect(await left()).toEqual(nothing)
  })

  it('loses against giving it up just before the commit', async () => {
    const { id } = await begin()
    const one = await put(id, 1, 'one')
    const beforeCommit = (): Promise<void> => uploads.abort(path, id)
    expect(await reasonOf(uploads.complete(path, id, [one], { ...parents, beforeCommit }))).toBe('NoSuchUpload')
    expect(await store.stat(path)).toBeUndefined()
    expect(await left()).toEqual(nothing)
  })
})

describe('a part that is still coming', () => {
  it.each(['abort', 'complete'])('when the upload ends by %s leaves nothing behind', async (end) => {
    const { id } = await begin()
    const one = await put(id, 1, 'one')
    const slow = (async function* () {
      yield Buffer.from('late')
      if (end === 'abort') await uploads.abort(path, id)
      else await uploads.complete(path, id, [one], parents)
    })()
    expect(await reasonOf(uploads.part(path, id, 2, slow))).toBe('NoSuchUpload')
    expect(await left()).toEqual(nothing)
  })

  it.each(['abort', 'complete'])('is taken back where the upload ends by %s after its last byte', async (end) => {
    const { id } = await begin()
    const one = await put(id, 1, 'one')
    let ended = false
    const ending = catalogUploads({
      catalog: dying(catalog, async (group, name) => {
        if (ended || group !== partGroup || !name.endsWith('2')) return
        ended = true
        if (end === 'abort') await uploads.abort(path, id)
        else await uploads.complete(path, id, [one], parents)
      }),
      clock,
      store,
    })
    expect(await reasonOf(ending.part(path, id, 2, text('late')))).toBe('NoSuchUpload')
    expect(await left()).toEqual(nothing)
  })
})

/** A catalog in front of whose every change something happens, such as its end. */
function dying(of: Catalog, before: (group: string, name: string) => Promise<void>): Catalog {
  return Object.assign(Object.create(of) as Catalog, {
    async swap(...change: Parameters<Catalog['swap']>) {
      await before(change[0], change[1])
      return of.swap(...change)
    },
    transaction: undefined,
    get: of.get.bind(of),
    list: of.list.bind(of),
    add: of.add.bind(of),
  })
}

describe('a process that dies between the file and the catalog', () => {
  let id: string
  let parts: readonly UploadPart[]

  beforeEach(async () => {
    id = (await begin()).id
    parts = [await put(id, 1, 'one'), await put(id, 2, 'two')]
    let alive = true
    const dead = dying(catalog, async () => {
      alive &&= (await store.stat(path)) === undefined
      if (!alive) throw new Failure('unavailable', 'The process is dead.')
    })
    await catalogUploads({ catalog: dead, clock, store }).complete(path, id, parts, parents)
    expect(alive).toBe(false)
    expect(await left()).toEqual({ uploads: 1, parts: 2, rooms: 0 })
  })

  it.each(Object.keys(uses).filter((use) => use !== 'complete'))('has no upload any more for %s', async (use) => {
    expect(await reasonOf(uses[use]!(path, id))).toBe('NoSuchUpload')
    expect(await contentOf(path)).toBe('onetwo')
    expect(await left()).toEqual(nothing)
  })

  it('is told of by the file: to complete again gives that', async () => {
    const written = await uploads.complete(path, id, parts, parents)
    expect(written).toEqual({ entry: await store.stat(path), created: true })
    expect(await uploads.complete(path, id, parts, parents)).toEqual(written)
    expect(await left()).toEqual(nothing)
  })

  it('has left no upload to list', async () => {
    expect(await allOf(uploads.list(p('/')))).toEqual([])
    expect(await left()).toEqual(nothing)
  })

  it('has left nothing after the next round', async () => {
    expect(await expireUploads({ catalog, clock, store }, 1000)).toEqual({ uploads: 0, rooms: 0, left: [] })
    expect(await left()).toEqual(nothing)
    expect(await contentOf(path)).toBe('onetwo')
  })

  it('does not bring the upload back over a file that came later', async () => {
    await store.write(path, text('later'))
    expect(await reasonOf(uploads.complete(path, id, parts, parents))).toBe('NoSuchUpload')
    expect(await contentOf(path)).toBe('later')
    await uploads.abort(path, id)
    expect(await contentOf(path)).toBe('later')
    expect(await left()).toEqual(nothing)
  })

  it('is no reason to touch the next upload for the same path', async () => {
    const next = await begin()
    const part = await put(next.id, 1, 'next')
    await uploads.complete(path, next.id, [part], parents)
    expect(await contentOf(path)).toBe('next')
    expect(await reasonOf(uploads.complete(path, id, parts, parents))).toBe('NoSuchUpload')
    expect(await contentOf(path)).toBe('next')
  })
})

describe('a process that dies right before the file takes its name', () => {
  it.each(['nothing', 'another file', 'the very same file'])('over %s leaves an open upload', async (there) => {
    if (there !== 'nothing')
      await store.write(path, text(there === 'another file' ? 'old' : 'one'), { ...parents, digests: ['md5'] })
    const before = await store.stat(path)
    const { id } = await begin()
    const one = await put(id, 1, 'one')
    const dying: Store = {
      ...bound(store),
      parts: {
        ...store.parts,
        async become(...[, , , options]: Parameters<PartRooms['become']>) {
          await options?.beforeCommit?.({ size: 3, digests: {} })
          throw new Error('dead')
        },
      },
    }
    await expect(catalogUploads({ catalog, clock, store: dying }).complete(path, id, [one], parents)).rejects.toThrow('dead') // prettier-ignore
    expect(await allOf(uploads.list(p('/')))).toHaveLength(1)
    expect(await allOf(uploads.parts(path, id))).toEqual([one])
    expect(await store.stat(path)).toEqual(before)
    const { entry } = await uploads.complete(path, id, [one], parents)
    expect(entry.etag).not.toBe(before?.etag)
    expect(await left()).toEqual(nothing)
  })
})

describe('a list of uploads', () => {
  it('comes by path in the order of bytes, then by id, from anywhere on', async () => {
    const segment = fc.constantFrom('a', 'b', 'a b', 'a!', 'a-', 'a0', 'é', '\u{1F600}', '\uE000', '\x01', 'a\x01', 'a\x02', 'd'.repeat(240), 'é'.repeat(110)) // prettier-ignore
    const paths = fc.array(fc.array(segment, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(paths, fc.nat(), fc.boolean(), async (segments, from, within) => {
        const one = openMemoryCatalog({ clock })
        const some = catalogUploads({ catalog: one, clock, store })
        const begun: Upload[] = []
        for (const each of segments)
          begun.push(await some.begin(p('/' + each.join('/')), { owner: 'o', attributes: {} }))
        const expected = begun
          .map(({ path: at, id }) => ({ path: at, id }))
          .sort((x, y) => compareKeys(x.path, y.path) || (x.id < y.id ? -1 : 1))
        const listed = async (...options: Parameters<Uploads['list']>): Promise<unknown> =>
          (await allOf(some.list(...options))).map(({ path: at, id }) => ({ path: at, id }))
        expect(await listed(p('/'))).toEqual(expected)
        const after = expected[from % expected.length]!
        const behind = expected.slice((from % expected.length) + 1)
        expect(await listed(p('/'), { after })).toEqual(behind)
        expect(await listed(p('/'), { after: { path: after.path } })).toEqual(behind.filter((each) => each.path !== after.path)) // prettier-ignore
        const characters = Array.from(after.path)
        const prefix = characters.slice(0, within ? undefined : 1 + (from % characters.length)).join('')
        expect(await listed(p('/'), { prefix })).toEqual(expected.filter((each) => each.path.startsWith(prefix)))
        const top = p('/' + after.path.split('/')[1]!)
        expect(await listed(top)).toEqual(expected.filter((each) => each.path.startsWith(`${top}/`)))
      }),
      { numRuns: 60 },
    )
  })

  it('sorts in rounds what names cannot sort', async () => {
    const folder = `/${`${'d'.repeat(240)}/`.repeat(2)}`
    for (let at = 0; at < 1200; at++) await begin(p(folder + String((at * 7919) % 1200).padStart(4, '0')))
    const paths = (await allOf(uploads.list(p('/')))).map((upload) => upload.path)
    expect(paths).toEqual([...paths].sort())
    expect(paths).toHaveLength(1200)
  })

  it('has names of records that are not too long for a catalog', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 100, maxLength: 1500 }), (text) => {
        const { head } = headOf(text.replaceAll('\uFFFD', ''))
        expect(Buffer.byteLength(head) + 32).toBeLessThanOrEqual(512)
      }),
    )
  })

  it('shows only what lies below the directory', async () => {
    for (const at of ['/b', '/b/x', '/b-c/x', '/b/x/y', '/bb']) await begin(p(at))
    const paths = async (...options: Parameters<Uploads['list']>): Promise<string[]> =>
      (await allOf(uploads.list(...options))).map((upload) => upload.path)
    expect(await paths(p('/b'))).toEqual(['/b/x', '/b/x/y'])
    expect(await paths(p('/b'), { prefix: '/b/x/' })).toEqual(['/b/x/y'])
    expect(await paths(p('/b'), { prefix: '/b-' })).toEqual([])
    expect(await paths(p('/b'), { prefix: '/' })).toEqual(['/b/x', '/b/x/y'])
  })
})

describe('what is old', () => {
  const needs = (): Parameters<typeof expireUploads>[0] => ({ catalog, clock, store })

  it('is given up when no part has come for so long', async () => {
    const { id } = await begin()
    clock.advanceSeconds(day)
    await put(id, 1, 'one')
    clock.advanceSeconds(day)
    expect(await expireUploads(needs(), 1.5 * day * 1000)).toEqual({ uploads: 0, rooms: 0, left: [] })
    clock.advanceSeconds(day)
    expect(await expireUploads(needs(), 1.5 * day * 1000)).toEqual({ uploads: 1, rooms: 0, left: [] })
    expect(await reasonOf(uploads.find(path, id))).toBe('NoSuchUpload')
    expect(await left()).toEqual(nothing)
  })

  it('goes where no upload knows of it: rooms after a day, parts at once', async () => {
    await store.parts.open(path)
    const kept = await begin()
    await put(kept.id, 1, 'one')
    const lost = await begin()
    await put(lost.id, 1, 'one')
    await catalog.swap(uploadGroup, uploadName(path, lost.id), undefined, 'any')
    expect(await expireUploads(needs(), 7 * day * 1000)).toEqual({ uploads: 0, rooms: 0, left: [] })
    expect(await left()).toEqual({ uploads: 1, parts: 1, rooms: 3 })
    clock.advanceSeconds(day + 1)
    expect(await expireUploads(needs(), 7 * day * 1000)).toEqual({ uploads: 0, rooms: 2, left: [] })
    expect(await left()).toEqual({ uploads: 1, parts: 1, rooms: 1 })
    await uploads.complete(path, kept.id, await allOf(uploads.parts(path, kept.id)), parents)
  })

  it('is not forgotten where the store cannot remove it, and keeps nobody from the rest', async () => {
    const broken = new Set<string>()
    const parts: PartRooms = {
      ...boundParts(store.parts),
      close: (room, bytes) =>
        broken.has(room)
          ? Promise.reject(new Failure('unavailable', 'The bucket is gone.'))
          : store.parts.close(room, bytes),
    }
    const failing = { catalog, clock, store: { ...bound(store), parts } }
    for (let number = 0; number < 3; number++) await put((await begin()).id, 1, 'one')
    const rooms: string[] = []
    for await (const entries of store.parts.list()) rooms.push(...entries.map(({ room }) => room))
    const [first = ''] = rooms
    broken.add(first)
    clock.advanceSeconds(2 * day)
    const { uploads: gone, left: sentences } = await expireUploads(failing, day * 1000)
    expect(gone).toBe(2)
    // It is said of the upload, and of the room that has become one without an upload.
    expect(sentences).toEqual([
      `the upload of ${path} could not be removed: The bucket is gone.`,
      `the unfinished upload ${first} could not be removed: The bucket is gone.`,
    ])
    expect(await left()).toEqual({ uploads: 0, parts: 0, rooms: 1 })
    expect((await expireUploads(failing, day * 1000)).left).toHaveLength(1)
    broken.clear()
    expect(await expireUploads(failing, day * 1000)).toEqual({ uploads: 0, rooms: 1, left: [] })
    expect(await left()).toEqual(nothing)
  })

  it('stays where rooms of others are in the store as well', async () => {
    await store.parts.open(path)
    clock.advanceSeconds(2 * day)
    expect(await expireUploads(needs(), day * 1000, { own: undefined })).toEqual({ uploads: 0, rooms: 0, left: [] })
    expect(await left()).toEqual({ uploads: 0, parts: 0, rooms: 1 })
  })

  it('stays where the work is to end', async () => {
    await begin()
    clock.advanceSeconds(2 * day)
    const signal = AbortSignal.abort(new Error('the server ends'))
    await expect(expireUploads(needs(), day * 1000, { signal })).rejects.toThrow('the server ends')
    expect(await left()).toEqual({ uploads: 1, parts: 0, rooms: 1 })
  })

  it('is nothing over a store without rooms', async () => {
    const bare = openMemoryStore({ clock })
    expect(await expireUploads({ catalog, clock, store: { ...bound(bare), parts: undefined } }, 0)).toEqual({ uploads: 0, rooms: 0, left: [] }) // prettier-ignore
  })
})

it('forgets what became of uploads', async () => {
  const { id } = await begin()
  await uploads.complete(path, id, [await put(id, 1, 'one')], parents)
  expect(await allOf(catalog.list(resultGroup))).toHaveLength(1)
  clock.advanceSeconds(3601)
  expect(await allOf(catalog.list(resultGroup))).toHaveLength(0)
})
