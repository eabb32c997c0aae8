import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileGrants } from '../../../auth/grant.js'
import { guard } from '../../../auth/guard.js'
import { catalogLocks } from '../../../catalog/catalog-locks.js'
import { openMemoryCatalog } from '../../../catalog/memory.js'
import { catalogProperties } from '../../../catalog/properties.js'
import { catalogUploads } from '../../../catalog/catalog-uploads.js'
import { systemClock } from '../../../core/clock.js'
import { parentOf, toPath } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import type { Permit } from '../../../auth/permit.js'
import { openLocalStore } from '../../../store/local.js'
import { openMemoryStore } from '../../../store/memory.js'
import type { Entry, ListOptions, Store } from '../../../store/store.js'
import { markerAttribute } from '../buckets/bucket.js'
import { pageOfKeys } from './key-page.js'
import type { KeyRange } from './key-page.js'

const bucket = toPath('/b')
const signal = new AbortController().signal

type Kind = 'file' | 'marker' | 'folder'

/** Keys and what they are; those of directories with a slash at the end. */
type Tree = ReadonlyMap<string, Kind>

interface Caller {
  readonly store: Store
  readonly permit: Permit
}

function asCaller(store: Store, grants: readonly string[] = ['rw:/**']): Caller {
  const catalog = openMemoryCatalog({ clock: systemClock })
  const permit = compileGrants(grants, 'test')
  const all = {
    store,
    locks: catalogLocks(catalog, systemClock),
    properties: catalogProperties(catalog),
    uploads: catalogUploads({ catalog, clock: systemClock, store }),
  }
  return { ...guard(all, permit, { principal: 'test:alice', tokens: new Set() }), permit }
}

async function put(store: Store, key: string, kind: Kind = key.endsWith('/') ? 'marker' : 'file'): Promise<void> {
  const path = toPath(`/b/${key}`)
  if (kind === 'file') await store.write(path, none(), { parents: true })
  else {
    for (const above of [...ancestors(path)].reverse())
      if ((await store.stat(above)) === undefined) await store.makeDirectory(above)
    if (kind === 'marker') await store.change(path, { attributes: { [markerAttribute]: '1' } })
  }
}

function* ancestors(path: StorePath): Generator<StorePath> {
  for (let at = path; at !== '/'; at = parentOf(at)) yield at
}

async function* none(): AsyncGenerator<Uint8Array> {
  // A file of no bytes.
}

async function storeOf(tree: Tree, store = openMemoryStore()): Promise<Store> {
  await store.makeDirectory(bucket)
  for (const [key, kind] of tree) await put(store, key, kind)
  return store
}

async function filled(...keys: readonly string[]): Promise<Store> {
  const store = openMemoryStore()
  await store.makeDirectory(bucket)
  for (const key of keys) await put(store, key)
  return store
}

/** Tells of each directory when it is opened, then of what is listed of it. */
function onList(store: Store, tell: (entries: readonly Entry[] | undefined, directory: StorePath) => void): Store {
  const list = store.list.bind(store)
  return Object.assign(store, {
    list: async function* (directory: StorePath, options?: ListOptions) {
      tell(undefined, directory)
      for await (const entries of list(directory, options)) {
        tell(entries, directory)
        yield entries
      }
    },
  })
}

const everything: KeyRange = { prefix: '', delimiter: '', after: '', limit: 1000 }

async function texts(caller: Caller, range: Partial<KeyRange>): Promise<readonly string[]> {
  const page = await pageOfKeys(caller, bucket, { ...everything, ...range }, signal)
  return page.listed.map(({ text }) => text)
}

/** All pages of a listing, each begun where the one before ended. */
async function allPages(caller: Caller, range: KeyRange): Promise<readonly string[]> {
  const found: string[] = []
  for (let after = range.after, pages = 0; ; pages++) {
    if (pages > 1000) throw new Error('the pages do not end')
    const page = await pageOfKeys(caller, bucket, { ...range, after }, signal)
    expect(page.listed.length).toBeLessThanOrEqual(range.limit)
    if (page.isTruncated) expect(page.listed).toHaveLength(range.limit)
    found.push(...page.listed.map(({ text }) => text))
    if (!page.isTruncated) return found
    after = page.listed.at(-1)?.text ?? ''
  }
}

/** What S3 lists of a set of keys, worked out without any folder. */
function expected(tree: Tree, { prefix, delimiter, after }: KeyRange): readonly string[] {
  const found = new Set<string>()
  for (const [key, kind] of tree) {
    if (!key.startsWith(prefix) || (kind === 'folder' && delimiter !== '/')) continue
    const at = delimiter === '' ? -1 : key.slice(prefix.length).indexOf(delimiter)
    if (at !== -1) found.add(key.slice(0, prefix.length + at + delimiter.length))
    else if (kind !== 'folder') found.add(key)
  }
  return [...found].filter((text) => bytesOrder(text, after) > 0).sort(bytesOrder)
}

function bytesOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

const segment = fc.string({
  unit: fc.constantFrom('a', 'b', '-', '.', '0', ' ', 'é', '～', '😀'),
  minLength: 1,
  maxLength: 3,
})
const names = fc.array(
  segment.filter((name) => name !== '.' && name !== '..'),
  { minLength: 1, maxLength: 4 },
)
const someText = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.', '/', '0', '～', '😀'), maxLength: 4 })

const trees: fc.Arbitrary<Tree> = fc
  .array(fc.tuple(names, fc.constantFrom<Kind>('file', 'file', 'marker', 'folder')), { maxLength: 25 })
  .map((members) => {
    const tree = new Map<string, Kind>()
    for (const [path, kind] of members) {
      const key = path.join('/')
      const above = path.slice(1).map((_, at) => path.slice(0, at + 1).join('/'))
      if (above.some((each) => tree.has(each)) || tree.has(key) || tree.has(`${key}/`)) continue
      for (const each of above) if (!tree.has(`${each}/`)) tree.set(`${each}/`, 'folder')
      tree.set(kind === 'file' ? key : `${key}/`, kind)
    }
    return tree
  })

const ranges: fc.Arbitrary<KeyRange> = fc.record({
  prefix: fc.oneof(
    fc.constant(''),
    someText,
    names.map((path) => path.join('/')),
    names.map((path) => `${path.join('/')}/`),
  ),
  delimiter: fc.oneof(fc.constantFrom('', '/', '/', 'a', '-', '/a', 'a/', '//'), someText),
  after: fc.oneof(
    fc.constant(''),
    someText,
    names.map((path) => path.join('/')),
  ),
  limit: fc.integer({ min: 1, max: 7 }),
})

describe('pages of keys', () => {
  it('are empty for texts that no key can begin with, and never lead out of the bucket', async () => {
    const store = await filled('a/b', 'c')
    await store.write(toPath('/other/x'), none(), { parents: true })
    const caller = asCaller(store)
    for (const prefix of [
      '../',
      '../other/',
      'a/../',
      './',
      '/',
      '//',
      'a//',
      'a/./',
      '\0/',
      'c/',
      'c/x',
      'x/y/z',
      `${'n'.repeat(300)}/`,
    ])
      for (const delimiter of ['', '/', 'b']) expect(await texts(caller, { prefix, delimiter })).toEqual([])
    for (const after of ['..', '../', '/', '//', '\0', './x', '.'])
      expect(await texts(caller, { after })).toEqual(['a/b', 'c'])
  })

  it('show what a caller may see, and go into nothing else', async () => {
    const store = await filled('x/1', 'x/y/2', 'z/3', 'top', 'secret/deep/4')
    const opened: string[] = []
    const caller = asCaller(
      onList(store, (entries, directory) => {
        if (entries === undefined) opened.push(directory)
      }),
      ['rw:/b/x/**'],
    )
    expect(await texts(caller, {})).toEqual(['x/1', 'x/y/2'])
    expect(opened).toEqual(['/b', '/b/x', '/b/x/y'])
    expect(await texts(caller, { delimiter: '/' })).toEqual(['x/'])
    expect(await texts(caller, { prefix: 'x/', delimiter: '/' })).toEqual(['x/1', 'x/y/'])
    for (const prefix of ['z/', 'secret/', 'secret/deep/', 'missing/', 't', 'secret'])
      for (const delimiter of ['', '/']) expect(await texts(caller, { prefix, delimiter })).toEqual([])
    expect(await allPages(caller, { ...everything, limit: 1 })).toEqual(['x/1', 'x/y/2'])
  })

  it('show nothing of a letter box, nor of a bucket that no grant leads to', async () => {
    const store = await filled('in/1')
    expect(await texts(asCaller(store, ['create:/b/**']), {})).toEqual([])
    await expect(texts(asCaller(store, ['rw:/c/**']), {})).rejects.toMatchObject({ kind: 'denied' })
  })

  it('have the order of UTF-8 bytes, a directory counting with its slash', async () => {
    const order = ['a', 'a-', 'a.', 'a/', 'a/b', 'a0', 'b', 'b-/x', 'b/😀', 'b0', 'é', '～', '😀']
    const tree = new Map<string, Kind>()
    for (const key of order) if (key !== 'a' && key !== 'b') tree.set(key, key.endsWith('/') ? 'marker' : 'file')
    const keys = [...tree.keys()]
    const caller = asCaller(await storeOf(new Map([...tree].reverse())))
    expect(await texts(caller, {})).toEqual(keys)
    expect(await allPages(caller, { ...everything, limit: 1 })).toEqual(keys)
    expect(await texts(caller, { delimiter: '/' })).toEqual([
      'a-',
      'a.',
      'a/',
      'a0',
      'b-/',
      'b/',
      'b0',
      'é',
      '～',
      '😀',
    ])
  })

  it('put the key of the prefix itself first, where it is one', async () => {
    const caller = asCaller(await filled('d/', 'd/a', 'e/a'))
    expect(await texts(caller, { prefix: 'd/', delimiter: '/' })).toEqual(['d/', 'd/a'])
    expect(await texts(caller, { prefix: 'd/' })).toEqual(['d/', 'd/a'])
    expect(await texts(caller, { prefix: 'd/', after: 'd/' })).toEqual(['d/a'])
    expect(await texts(caller, { prefix: 'e/', delimiter: '/' })).toEqual(['e/a'])
    expect(await texts(caller, { prefix: 'd', delimiter: '/' })).toEqual(['d/'])
  })

  it('take a marker that is or lies in a common prefix as the end of that', async () => {
    const caller = asCaller(await filled('asdf', 'boo/bar', 'boo/baz/x', 'cquux/t'))
    expect(await texts(caller, { delimiter: '/', after: 'boo/' })).toEqual(['cquux/'])
    expect(await texts(caller, { delimiter: '/', after: 'boo/bar' })).toEqual(['cquux/'])
    expect(await texts(caller, { delimiter: '/', after: 'boo' })).toEqual(['boo/', 'cquux/'])
    expect(await texts(caller, { delimiter: 'a', after: 'boo/ba' })).toEqual(['cquux/t'])
  })

  it('find one key by both forms of an accent', async () => {
    const caller = asCaller(await filled('caf\u00e9/a'))
    expect(await texts(caller, { prefix: 'cafe\u0301/' })).toEqual(['caf\u00e9/a'])
    expect(await texts(caller, { after: 'cafe\u0301/' })).toEqual(['caf\u00e9/a'])
  })

  it('leap over a common prefix instead of walking through it', async () => {
    const store = await filled()
    for (let at = 0; at < 5000; at++) await store.write(toPath(`/b/log-${at}`), none())
    for (const key of ['later', 'zip-1']) await put(store, key)
    let seen = 0
    const counted = onList(store, (entries) => {
      seen += entries?.length ?? 0
    })
    expect(await texts(asCaller(counted), { delimiter: '-' })).toEqual(['later', 'log-', 'zip-'])
    expect(seen).toBeLessThan(2000)
    seen = 0
    expect(await texts(asCaller(counted), { delimiter: '-', after: 'log-' })).toEqual(['zip-'])
    expect(seen).toBe(1)
  })

  it('say what S3 says of the same keys, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(trees, ranges, async (tree, range) => {
        const store = await storeOf(tree)
        const wanted = expected(tree, range)
        expect(await allPages(asCaller(store), range)).toEqual(wanted)
        // With the way that is taken for callers who do not see all.
        expect(await allPages(asCaller(store, ['r:/b', 'r:/b/*', 'r:/b/*/**']), range)).toEqual(wanted)
      }),
    )
  })

  it('are the same of files on a disk', async () => {
    await fc.assert(
      fc.asyncProperty(trees, fc.array(ranges, { minLength: 1, maxLength: 5 }), async (tree, asked) => {
        const root = await mkdtemp(join(tmpdir(), 'postern-keys-'))
        const store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent' })
        try {
          await storeOf(tree, store)
          for (const range of asked) expect(await allPages(asCaller(store), range)).toEqual(expected(tree, range))
        } finally {
          await store.close()
          await rm(root, { recursive: true })
        }
      }),
      { numRuns: 25 },
    )
  })

  it('keep every key that stays, once, whatever comes and goes between them', async () => {
    const steps = fc.array(fc.tuple(fc.boolean(), names), { maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(trees, ranges, steps, async (tree, range, changes) => {
        const store = await storeOf(tree)
        const caller = asCaller(store)
        const touched = new Set<string>()
        const found: string[] = []
        const queue = [...changes]
        for (let after = range.after; ;) {
          const page = await pageOfKeys(caller, bucket, { ...range, delimiter: '', after }, signal)
          found.push(...page.listed.map(({ text }) => text))
          if (!page.isTruncated) break
          after = page.listed.at(-1)?.text ?? ''
          const change = queue.shift()
          if (change === undefined) continue
          const key = change[1].join('/')
          touched.add(key)
          touched.add(`${key}/`)
          const done = change[0] ? put(store, key, 'file') : store.remove(toPath(`/b/${key}`))
          await done.catch(() => undefined)
        }
        expect(new Set(found).size).toBe(found.length)
        expect(found).toEqual([...found].sort(bytesOrder))
        const wanted = expected(tree, { ...range, delimiter: '' })
        expect(found).toEqual(expect.arrayContaining(wanted.filter((key) => !touched.has(key))))
      }),
    )
  })
})
