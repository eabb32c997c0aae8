import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openS3Service } from '../../src/store/s3/http-service.js'
import type { S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { openS3Store, type S3Store } from '../../src/store/s3.js'
import type { Entry, ListOptions } from '../../src/store/store.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { body, bytesOf, failureOf, listed, p, pathsBelow, put, textOf } from '../contract/store/subject.js'
import { describeForeign } from './tools.js'

/** What a bucket of others looks like as a tree, and what Postern leaves in one. */
describeForeign('the layout of a bucket', cephNeeds, () => {
  let ceph: Ceph
  let bucket = ''
  /** What other clients do. */
  let others: S3Service
  let store: S3Store
  let requests: string[] = []

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
  })

  afterAll(async () => {
    await ceph.stop()
  })

  beforeEach(async () => {
    const settings = parseS3Url(ceph.url(bucket, randomUUID()))
    others = await openS3Service({ settings, selfTest: true })
    requests = []
    store = await openS3Store({ service: counted(others, requests) })
  })

  afterEach(async () => {
    await store.close()
  })

  async function leave(...keys: readonly string[]): Promise<void> {
    for (const key of keys) await others.put(key, [Buffer.from(key.endsWith('/') ? '' : key)])
  }

  async function keys(): Promise<readonly string[]> {
    return (await others.list({})).objects.map(({ key }) => key)
  }

  const everything = { depth: 'infinity', order: 'key' } as const

  describe('keys that others left', () => {
    it('are absent where no path can name them', async () => {
      await leave(
        'f',
        '/f',
        'a//b',
        '../f',
        './f',
        'd/../f',
        'd/.',
        'd/..',
        'd//',
        '//',
        '.postern-x/f',
        'd/.postern-y',
      )
      await leave('x'.repeat(256), `d/${'x'.repeat(256)}/f`, 'caf\u00e9/cafe\u0301', 'd/f')
      expect(await pathsBelow(store, '/', everything)).toEqual(['/d', '/d/f', '/f'])
      expect(await textOf(store, '/f')).toBe('f')
      for (const path of ['/.postern-x/f', '/d/.postern-y']) expect(await store.stat(p(path))).toBeUndefined()
    })

    it('imply directories, which stay when their last member goes', async () => {
      await leave('a/b/f', 'a/g')
      expect(await pathsBelow(store, '/', everything)).toEqual(['/a', '/a/b', '/a/b/f', '/a/g'])
      expect(await store.stat(p('/a/b'))).toMatchObject({ kind: 'directory', modified: 0 })
      await store.remove(p('/a/b/f'))
      expect(await pathsBelow(store, '/', everything)).toEqual(['/a', '/a/b', '/a/g'])
      expect(await keys()).toEqual(['a/b/', 'a/g'])
      await store.move(p('/a/g'), p('/h'), { overwrite: false })
      await store.remove(p('/a/b'))
      expect(await pathsBelow(store, '/', everything)).toEqual(['/a', '/h'])
    })

    it('take attributes as directories, too', async () => {
      await leave('a/f')
      await store.change(p('/a'), { attributes: { b: 'c' } })
      expect((await store.stat(p('/a')))?.attributes).toEqual({ b: 'c' })
      expect(await pathsBelow(store, '/a')).toEqual(['/a/f'])
    })

    it('are files rather than directories where they could be both', async () => {
      await leave('a', 'a-', 'a-/x', 'a/b', 'a/c/d', 'ab', 'c/', 'c')
      expect(await pathsBelow(store, '/', everything)).toEqual(['/a', '/a-', '/ab', '/c'])
      expect((await listed(store, '/')).map(({ path, kind }) => [path, kind])).toEqual(
        ['/a', '/a-', '/ab', '/c'].map((path) => [path, 'file']),
      )
      expect((await store.stat(p('/a')))?.kind).toBe('file')
      expect(await failureOf(listed(store, '/a'))).toBe('not-directory')
      expect(await failureOf(store.write(p('/a/new'), body('x')))).toBe('not-directory')
      await store.remove(p('/a'))
      expect((await store.stat(p('/a')))?.kind).toBe('directory')
      expect(await pathsBelow(store, '/a', everything)).toEqual(['/a/b', '/a/c', '/a/c/d'])
    })

    it('may be markers with content and metadata of any kind', async () => {
      const headers = {
        'x-amz-meta-postern-attributes': 'bnVsbA',
        'x-amz-meta-postern-digests': '!',
        'x-amz-meta-q': 'r',
      }
      await others.put('d/', [Buffer.from('not empty')], { headers })
      await others.put('f', [Buffer.from('x')], { headers })
      expect(await store.stat(p('/d'))).toMatchObject({
        kind: 'directory',
        size: 0,
        attributes: { 'x-amz-meta-q': 'r' },
      })
      expect(await store.stat(p('/f'))).toMatchObject({ kind: 'file', size: 1, attributes: { 'x-amz-meta-q': 'r' } })
    })

    it('stand in NFC for both forms of a name, at their place', async () => {
      await leave('cafe\u0301/two', 'caf\u00e9/one', 'e\u0301', 'f', 'o\u0308/\u00fc', 'o\u0308/u\u0308', 'z', '\u00e9')
      const tree = [
        '/caf\u00e9',
        '/caf\u00e9/one',
        '/caf\u00e9/two',
        '/f',
        '/z',
        '/\u00e9',
        '/\u00f6',
        '/\u00f6/\u00fc',
      ]
      expect(await pathsBelow(store, '/', everything)).toEqual(tree)
      expect(await pathsBelow(store, '/', { order: 'key' })).toEqual(
        tree.filter((path) => path.split('/').length === 2),
      )
      expect(await pathsBelow(store, '/caf\u00e9', { order: 'key' })).toEqual(['/caf\u00e9/one', '/caf\u00e9/two'])
      expect(await pathsBelow(store, '/', { ...everything, prefix: '/caf\u00e9/t' })).toEqual(['/caf\u00e9/two'])
      expect(await textOf(store, '/\u00e9')).toBe('\u00e9')
      expect(await textOf(store, '/\u00f6/\u00fc')).toBe('o\u0308/u\u0308')
      await put(store, '/\u00f6/\u00fc', 'again')
      expect(await keys()).toContain('o\u0308/u\u0308')
      await store.remove(p('/\u00f6/\u00fc'))
      expect(await pathsBelow(store, '/\u00f6')).toEqual([])
    })
  })

  it('leaves plain objects, which every client can read', async () => {
    const attributes = {
      'content-type': 'text/html',
      'cache-control': 'no-cache',
      'x-amz-meta-color': 'blue',
      '\u00e4': '\u00f6',
    }
    await store.write(p('/d/f'), body('abc'), { parents: true, attributes, modified: 1_700_000_000_500 })
    expect(await keys()).toEqual(['d/', 'd/f'])
    expect((await others.head('d/'))?.headers['content-type']).toBe('application/x-directory')
    expect(await others.head('d/f')).toMatchObject({
      size: 3,
      etag: '900150983cd24fb0d6963f7d28e17f72',
      headers: {
        'content-type': 'text/html',
        'cache-control': 'no-cache',
        'x-amz-meta-color': 'blue',
        'x-amz-meta-mtime': '1700000000.5',
      },
    })
    expect((await store.stat(p('/d/f')))?.attributes).toEqual({ ...attributes, 'x-amz-meta-mtime': '1700000000.5' })
  })

  it('makes no directory where there was nothing to remove', async () => {
    expect(await failureOf(store.remove(p('/none/f')))).toBe('not-found')
    expect(await keys()).toEqual([])
  })

  it('never mixes the bytes of two versions', async () => {
    const long = 'old '.repeat(100_000)
    await put(store, '/f', long)
    const [whole, lazy] = [await store.open(p('/f')), await store.open(p('/f'), { lazy: true })]
    await put(store, '/f', 'new '.repeat(100_000))
    expect((await bytesOf(whole)).toString()).toBe(long)
    expect(await failureOf(bytesOf(lazy, { start: 4, end: 8 }))).toBe('unavailable')
    const gone = await store.open(p('/f'), { lazy: true })
    await store.remove(p('/f'))
    expect(await failureOf(bytesOf(gone))).toBe('unavailable')
  })

  it('lists 10,000 members with as few requests as S3 allows', async () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `d/${String(index).padStart(5, '0')}`)
    await leave('d/')
    for (let at = 0; at < names.length; at += 50)
      await Promise.all(names.slice(at, at + 50).map((key) => others.put(key, [Buffer.from('x')])))
    requests.length = 0
    expect(await pathsBelow(store, '/d')).toEqual(names.map((key) => '/' + key))
    expect(tally(requests)).toEqual({ list: 11, head: 1 })
  })

  describe('requests', () => {
    const cases: readonly (readonly [string, () => Promise<unknown>, Readonly<Record<string, number>>])[] = [
      ['GET of a small file', () => textOf(store, '/d/f'), { get: 1 }],
      ['GET of a large file', () => textOf(store, '/d/large'), { get: 1 }],
      [
        'GET of a part',
        async () => bytesOf(await store.open(p('/d/large'), { lazy: true }), { start: 5, end: 9 }),
        { head: 1, get: 1 },
      ],
      [
        'GET of the part that was told',
        async () => bytesOf(await store.open(p('/d/large'), { part: { start: 5, end: 9 } }), { start: 5, end: 9 }),
        { get: 1 },
      ],
      ['a condition that fails', () => failureOf(store.open(p('/d/f'), { ifNoneMatch: [fEtag] })), { head: 1 }],
      ['HEAD of a file', () => store.stat(p('/d/f')), { head: 1 }],
      ['HEAD of a directory', () => store.stat(p('/d')), { head: 2, list: 1 }],
      ['HEAD of nothing', () => store.stat(p('/d/none')), { head: 2, list: 1 }],
      ['PUT of a new file', () => store.write(p('/d/new'), body('x')), { head: 1, list: 1, put: 1 }],
      ['PUT over a file', () => store.write(p('/d/f'), body('y')), { head: 1, list: 1, put: 1 }],
      ['PUT at the root', () => store.write(p('/new'), body('x')), { list: 1, put: 1 }],
      ['DELETE of a file', () => store.remove(p('/d/f')), { head: 2, remove: 1 }],
      ['MKCOL', () => store.makeDirectory(p('/d/e')), { head: 1, list: 1, put: 1 }],
      ['a listing', () => listed(store, '/d'), { head: 1, list: 1 }],
      ['a listing with what is noted', () => listed(store, '/', { noted: true }), { list: 1, head: 1 }],
    ]
    let fEtag = ''

    it('PUT of a further file, a moment later', async () => {
      await put(store, '/d/f', 'x')
      await put(store, '/d/g', 'x')
      requests.length = 0
      await store.write(p('/d/h'), body('x'))
      expect(tally(requests)).toEqual({ list: 1, put: 1 })
    })

    it.each(cases)('%s', async (_, work, expected) => {
      fEtag = (await put(store, '/d/f', 'x')).etag
      await put(store, '/d/large', 'x'.repeat(200_000))
      // A store that has seen nothing yet.
      store = await openS3Store({ service: counted(others, requests) })
      requests.length = 0
      await work()
      expect(tally(requests)).toEqual(expected)
    })
  })

  it('goes on behind any key, at any depth', async () => {
    await leave('a', 'a-/x', 'b/', 'b/c/d', 'b/c/e', 'b/f', 'c/g')
    const all = await listed(store, '/', everything)
    const keyOf = ({ path, kind }: Entry): string => (kind === 'directory' ? path + '/' : path)
    for (const [index, entry] of all.entries()) {
      const rest = await listed(store, '/', { ...everything, after: keyOf(entry) })
      expect(rest.map(keyOf)).toEqual(all.slice(index + 1).map(keyOf))
    }
    const list = async (options: ListOptions): Promise<readonly string[]> => pathsBelow(store, '/b', options)
    expect(await list({ order: 'key', after: '/b/c/' })).toEqual(['/b/f'])
    expect(await list({ order: 'key', after: '/b/c/zzz' })).toEqual(['/b/f'])
    expect(await list({ prefix: '/b/c/', depth: 1 })).toEqual([])
    expect(await list({ prefix: '/c' })).toEqual([])
    expect(await failureOf(listed(store, '/none', { prefix: '/c' }))).toBe('not-found')
  })
})

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** The same service, which notes what it is asked for. */
function counted(service: S3Service, requests: string[]): S3Service {
  return new Proxy(service, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...args: readonly unknown[]): unknown => {
        requests.push(String(name))
        return Reflect.apply(value, target, args) as unknown
      }
    },
  })
}
