import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../../src/core/failure.js'
import { Digester, digestNames } from '../../../src/store/digester.js'
import type { Digests, Entry } from '../../../src/store/store.js'
import {
  body,
  bytesOf,
  expectSame,
  failureOf,
  itWith,
  kept,
  listed,
  p,
  pathsBelow,
  put,
  stalledBody,
  textOf,
  watchedBody,
  type Group,
} from './subject.js'

const old = 'old content'

export const writing: Group = (subject, lacking) => {
  describe('a write that fails leaves the old content and nothing else', () => {
    it.each([
      ['over a file', '/d/f', old],
      ['to a new name', '/d/new', undefined],
      ['below new parents', '/x/y/new', undefined],
    ])('%s', async (_, path, before) => {
      const { store } = subject()
      await put(store, '/d/f', old)
      const all = await pathsBelow(store, '/', { depth: 'infinity' })
      const stat = await store.stat(p(path))

      const broken = new Error('the line broke')
      async function* breaking(): AsyncGenerator<Uint8Array, void> {
        yield Buffer.alloc(100_000, 'x')
        throw broken
      }
      await expect(store.write(p(path), breaking(), { parents: true })).rejects.toBe(broken)

      const refused = new Failure('locked', 'not now')
      const beforeCommit = async (): Promise<void> => Promise.reject(refused)
      await expect(store.write(p(path), body('new'), { parents: true, beforeCommit })).rejects.toBe(refused)

      const controller = new AbortController()
      const stalled = stalledBody(() => {
        controller.abort('gone')
      }, 'half')
      const aborted = store.write(p(path), stalled, { parents: true, signal: controller.signal })
      await expect(aborted).rejects.toMatchObject({ kind: 'incomplete', cause: 'gone' })

      const tooShort = store.write(p(path), body('12345'), { parents: true, length: 6 })
      expect(await failureOf(tooShort)).toBe('incomplete')
      const tooLong = store.write(p(path), body('123', '4567'), { parents: true, length: 6 })
      expect(await failureOf(tooLong)).toBe('incomplete')
      const some = store.write(p(path), body('1'), { parents: true, length: 0 })
      expect(await failureOf(some)).toBe('incomplete')

      expect(await store.stat(p(path))).toEqual(stat)
      expect(await pathsBelow(store, '/', { depth: 'infinity' })).toEqual(all)
      if (before !== undefined) expect(await textOf(store, path)).toBe(before)
    })
  })

  it('stops a body that is longer than said as soon as that is known', async () => {
    const { store } = subject()
    let given = 0
    async function* endless(): AsyncGenerator<Uint8Array, void> {
      for (;;) {
        given += 1000
        yield Buffer.alloc(1000)
      }
    }
    expect(await failureOf(store.write(p('/f'), endless(), { length: 5000 }))).toBe('incomplete')
    expect(given).toBeLessThan(10_000_000)
  })

  it('gives up at once for a signal that has aborted already, with its reason where that is a Failure', async () => {
    const { store } = subject()
    const late = watchedBody('new')
    expect(await failureOf(store.write(p('/f'), late.body, { signal: AbortSignal.abort() }))).toBe('incomplete')
    expect(late.pulled()).toBe(false)
    const reason = new Failure('timeout', 'too slow')
    await expect(store.write(p('/f'), body('new'), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(await store.stat(p('/f'))).toBeUndefined()
  })

  it('does not commit when the signal aborts during `beforeCommit`', async () => {
    const { store } = subject()
    const controller = new AbortController()
    const beforeCommit = async (): Promise<void> => {
      controller.abort()
    }
    const write = store.write(p('/f'), body('new'), { signal: controller.signal, beforeCommit })
    expect(await failureOf(write)).toBe('incomplete')
    expect(await store.stat(p('/f'))).toBeUndefined()
  })

  it('refuses what is known to fail before it pulls the body', async () => {
    const { store } = subject()
    await put(store, '/f', old)
    await store.makeDirectory(p('/d'))
    const { body: never, pulled } = watchedBody('new')
    expect(await failureOf(store.write(p('/none/f'), never))).toBe('no-parent')
    expect(await failureOf(store.write(p('/f/g'), never))).toBe('not-directory')
    expect(await failureOf(store.write(p('/f/g/h'), never, { parents: true }))).toBe('not-directory')
    expect(await failureOf(store.write(p('/d'), never))).toBe('is-directory')
    expect(await failureOf(store.write(p('/'), never))).toBe('is-directory')
    expect(await failureOf(store.write(p('/f'), never, { ifNoneMatch: '*' }))).toBe('precondition')
    expect(await failureOf(store.write(p('/d'), never, { ifNoneMatch: '*' }))).toBe('precondition')
    expect(await failureOf(store.write(p('/g'), never, { ifMatch: '*' }))).toBe('precondition')
    expect(pulled()).toBe(false)
    expect(await textOf(store, '/f')).toBe(old)
  })

  it('says whether the name is new', async () => {
    const { store } = subject()
    expect((await store.write(p('/f'), body('1'))).created).toBe(true)
    expect((await store.write(p('/f'), body('2'))).created).toBe(false)
    await store.remove(p('/f'))
    expect((await store.write(p('/f'), body('3'))).created).toBe(true)
  })

  it('takes 0 bytes, whether no chunk comes or an empty one', async () => {
    const { store } = subject()
    for (const nothing of [body(), body(''), body('', '')]) {
      const { entry } = await store.write(p('/f'), nothing, { length: 0, digests: ['md5'] })
      expect(entry).toMatchObject({ kind: 'file', size: 0 })
      expect(await textOf(store, '/f')).toBe('')
    }
  })

  it('keeps bytes as they are, in many chunks of odd sizes', async () => {
    const { store } = subject()
    const chunks = Array.from({ length: 400 }, (_, index) => Buffer.alloc((index * 97) % 9001, index))
    const whole = Buffer.concat(chunks)
    const { entry } = await store.write(p('/f'), body(...chunks), { length: whole.length })
    expect(entry.size).toBe(whole.length)
    expect((await bytesOf(await store.open(p('/f')))).equals(whole)).toBe(true)
  })

  it('makes missing parents when asked, and only then', async () => {
    const { store } = subject()
    expect(await failureOf(store.write(p('/a/b/f'), body('x')))).toBe('no-parent')
    expect(await store.stat(p('/a'))).toBeUndefined()
    await store.write(p('/a/b/f'), body('x'), { parents: true })
    await store.write(p('/a/c/f'), body('x'), { parents: true })
    expect(await pathsBelow(store, '/', { depth: 'infinity', order: 'key' })).toEqual(
      ['/a', '/a/b', '/a/b/f', '/a/c', '/a/c/f'].map(p),
    )
  })

  it('gives what it wrote: the same entry in the answer, in `stat`, in a listing and in `open`', async () => {
    const { store } = subject()
    const attributes = { 'content-type': 'text/plain', 'x-amz-meta-ä': 'ö "quoted" \u{1F600}' }
    const given = kept(lacking, { modified: 1_000_000_000_000, executable: true })
    const { entry } = await store.write(p('/f'), body('abc'), { attributes, ...given })
    expect(entry).toMatchObject({ path: '/f', kind: 'file', size: 3, ...given, attributes })
    expect(entry.etag).toMatch(/^[\x21\x23-\x5b\x5d-\x7e]+$/)
    const content = await store.open(p('/f'))
    await content.close()
    for (const again of [await store.stat(p('/f')), ...(await listed(store, '/')), content.entry]) {
      const basics = ({ path, kind, size, modified, etag, executable }: Entry): Entry =>
        executable === undefined
          ? { path, kind, size, modified, etag }
          : { path, kind, size, modified, etag, executable }
      expectSame(lacking, again === undefined ? undefined : basics(again), basics(entry))
    }
    expect((await store.stat(p('/f')))?.attributes).toEqual(attributes)
    expect(content.entry.attributes).toEqual(attributes)
  })

  itWith('ownTimes', lacking, 'keeps the modified time to the second at least', async () => {
    const { store } = subject()
    for (const modified of [0, 951_782_400_123, 4_102_444_800_999]) {
      const { entry } = await store.write(p('/f'), body('x'), { modified })
      expect(Math.floor(entry.modified / 1000)).toBe(Math.floor(modified / 1000))
    }
  })

  it('takes now for the modified time without one', async () => {
    const { store } = subject()
    const start = Date.now()
    const { entry } = await store.write(p('/f'), body('x'))
    // A kernel stamps files by its last tick, which may lie a little before.
    expect(entry.modified).toBeGreaterThan(start - 1000)
    expect(entry.modified).toBeLessThan(Date.now() + 1000)
  })

  it('drops attributes that the next write does not name', async () => {
    const { store } = subject()
    await store.write(p('/f'), body('x'), { attributes: { a: '1', b: '2' } })
    await store.write(p('/f'), body('x'), { attributes: { b: '3' } })
    expect((await store.stat(p('/f')))?.attributes).toEqual({ b: '3' })
    await store.write(p('/f'), body('x'))
    expect((await store.stat(p('/f')))?.attributes ?? {}).toEqual({})
  })

  itWith('executable', lacking, 'keeps the executable flag until a write names it', async () => {
    const { store } = subject()
    const first = await store.write(p('/f'), body('x'), { attributes: { a: '1', b: '2' } })
    expect(first.entry.executable ?? false).toBe(false)
    await store.write(p('/f'), body('x'), { executable: true })
    await store.write(p('/f'), body('x'), { attributes: { b: '3' } })
    expect(await store.stat(p('/f'))).toMatchObject({ attributes: { b: '3' }, executable: true })
    expect((await store.write(p('/f'), body('x'), { executable: false })).entry.executable ?? false).toBe(false)
  })

  it('changes the etag with other bytes', async () => {
    const { store } = subject()
    const seen = new Set<string>()
    for (let round = 0; round < 20; round++)
      seen.add((await store.write(p('/f'), body(String(round % 10) + String(round)))).entry.etag)
    expect(seen.size).toBe(20)
  })

  itWith('ownEtags', lacking, 'changes the etag with every write, of the same bytes at the same time too', async () => {
    const { store } = subject()
    const seen = new Set<string>()
    for (let round = 0; round < 20; round++)
      seen.add((await store.write(p('/f'), body('same'), { modified: 1_000_000_000_000 })).entry.etag)
    expect(seen.size).toBe(20)
  })

  it('gives `beforeCommit` the size and exactly the digests that were asked for, while the old content stands', async () => {
    const { store } = subject()
    await put(store, '/f', old)
    const digester = new Digester(digestNames)
    digester.update(Buffer.from('new content'))
    for (const digests of [[], ['md5'], ['crc64nvme', 'sha256'], digestNames] as const) {
      let judged = false
      const { entry } = await store.write(p('/f'), body('new ', 'content'), {
        digests,
        beforeCommit: async (staged) => {
          judged = true
          expect(staged.size).toBe(11)
          expect(Object.keys(staged.digests).sort()).toEqual([...digests].sort())
          for (const name of digests)
            expect(Buffer.from(staged.digests[name]!).equals(digester.digests()[name]!)).toBe(true)
          expect(await textOf(store, '/f')).toBe(old)
        },
      })
      expect(judged).toBe(true)
      for (const name of digestNames) {
        const known = entry.digests?.[name]
        if (known !== undefined) expect(Buffer.from(known).equals(digester.digests()[name]!)).toBe(true)
      }
      await put(store, '/f', old)
    }
  })

  describe('digests that the maker of the body knows', () => {
    const md5 = new Uint8Array(createHash('md5').update('new content').digest())
    const sha1 = new Uint8Array(createHash('sha1').update('new content').digest())

    it('are not asked for where the body breaks or is not as long as said', async () => {
      const { store } = subject()
      let asked = 0
      const knownDigests = (): Digests => {
        asked++
        return { md5 }
      }
      const broken = new Error('the line broke')
      async function* breaking(): AsyncGenerator<Uint8Array, void> {
        yield Buffer.from('new')
        throw broken
      }
      await expect(store.write(p('/f'), breaking(), { knownDigests })).rejects.toBe(broken)
      expect(await failureOf(store.write(p('/f'), body('new'), { knownDigests, length: 4 }))).toBe('incomplete')
      expect(asked).toBe(0)
      expect(await store.stat(p('/f'))).toBeUndefined()
    })

    it.each([
      ['alone', {}],
      ['with attributes', { attributes: { a: 'b' } }],
      ['beside computed ones', { digests: ['sha1'] as const }],
      ['over a file', { ifMatch: '*' as const, attributes: { a: 'b' } }],
    ])('are kept like computed ones: %s', async (_, options) => {
      const { store } = subject()
      if ('ifMatch' in options) await store.write(p('/f'), body(old), { attributes: { old: 'x' }, digests: ['md5'] })
      let ended = false
      let asked = 0
      async function* whole(): AsyncGenerator<Uint8Array, void> {
        yield Buffer.from('new ')
        yield Buffer.from('content')
        ended = true
      }
      const expected = 'digests' in options ? { md5, sha1 } : { md5 }
      const { entry } = await store.write(p('/f'), whole(), {
        ...options,
        knownDigests: () => {
          expect(ended).toBe(true)
          asked++
          return { md5 }
        },
        beforeCommit: async (staged) => {
          expect(staged).toEqual({ size: 11, digests: expected })
        },
      })
      expect(asked).toBe(1)
      expect(entry.digests).toEqual(expected)
      expectSame(lacking, await store.stat(p('/f')), entry)
      const content = await store.open(p('/f'))
      await content.close()
      expectSame(lacking, content.entry, entry)
      await store.write(p('/f'), body('other'))
      const { digests, attributes } = (await store.stat(p('/f')))!
      const own =
        lacking.ownDigests === undefined ? {} : { md5: new Uint8Array(createHash('md5').update('other').digest()) }
      expect([digests ?? {}, attributes ?? {}]).toEqual([own, {}])
    })

    it('count for a file made of pieces as well', async () => {
      const { store } = subject()
      const written = await store.assemble?.(p('/f'), [{ body: body('new content') }], {
        knownDigests: () => ({ md5 }),
      })
      expect(written?.entry.digests ?? { md5 }).toEqual({ md5 })
      expect((await store.stat(p('/f')))?.digests).toEqual(written?.entry.digests)
    })
  })

  it('lets a reader finish with the content that it opened', async () => {
    const { store } = subject()
    await put(store, '/f', old)
    const content = await store.open(p('/f'))
    await put(store, '/f', 'new')
    const bytes = await bytesOf(content)
    expect(bytes.toString()).toBe(old)
  })
}
