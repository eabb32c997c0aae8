import { describe, expect, it } from 'vitest'
import { compareKeys } from '../../../src/store/key-order.js'
import type { Entry, ListOptions } from '../../../src/store/store.js'
import { body, bytesOf, failureOf, listed, p, pathsBelow, put, textOf, type Group, type Lacking } from './subject.js'

const names = [
  '100%',
  '%2F',
  '%00',
  'a#b',
  'a?b=c',
  'with space',
  ' leading and trailing ',
  'back\\slash',
  'quote"and\'',
  '<tag>&amp;',
  'new\nline',
  'tab\tand\x7f',
  ':colon;semi',
  '*glob[a-z]{x,y}',
  '.hidden',
  '..dots',
  '...',
  '-dash',
  '~tilde',
  'trailing.',
  'con',
  '\u{1F600} emoji \u{1F468}\u200d\u{1F469}\u200d\u{1F467}',
  'caf\u00e9',
  '\uac00\ub098',
  '\u202eltr',
  'a'.repeat(255),
  '\u{1F4A9}'.repeat(63) + 'abc',
  '\u00e9'.repeat(127) + 'x',
]

/** Without what the store's listings do not tell of files. */
function toldOf(entry: Entry, lacking: Lacking): Entry {
  if (lacking.notedFiles === undefined || entry.kind === 'directory') return entry
  const { path, kind, size, modified, etag } = entry
  return { path, kind, size, modified, etag }
}

export const looking: Group = (subject, lacking) => {
  describe('stat and open', () => {
    it('knows the root, and nothing where nothing is', async () => {
      const { store } = subject()
      expect(await store.stat(p('/'))).toMatchObject({ path: '/', kind: 'directory', size: 0 })
      await put(store, '/f')
      for (const path of ['/none', '/none/deeper', '/f/below', '/f/below/deeper']) {
        expect(await store.stat(p(path))).toBeUndefined()
        expect(await failureOf(store.open(p(path)))).toBe('not-found')
      }
    })

    it('opens no directory', async () => {
      const { store } = subject()
      await store.makeDirectory(p('/d'))
      expect(await failureOf(store.open(p('/d')))).toBe('is-directory')
      expect(await failureOf(store.open(p('/')))).toBe('is-directory')
    })

    it('opens only the version that is wanted', async () => {
      const { store } = subject()
      const { etag } = await put(store, '/f')
      expect(await failureOf(store.open(p('/f'), { ifMatch: ['other'] }))).toBe('precondition')
      expect(await failureOf(store.open(p('/f'), { ifMatch: [] }))).toBe('precondition')
      expect(await failureOf(store.open(p('/f'), { ifNoneMatch: ['other', etag] }))).toBe('precondition')
      for (const options of [{ ifMatch: ['other', etag] }, { ifNoneMatch: ['other'] }]) {
        const content = await store.open(p('/f'), options)
        expect(content.entry.etag).toBe(etag)
        await content.close()
      }
    })

    it('gives any range of the bytes', async () => {
      const { store } = subject()
      const whole = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index * 7))
      await store.write(p('/f'), body(whole))
      for (const [start, end] of [
        [0, 200_000],
        [0, 1],
        [199_999, 200_000],
        [65_535, 131_073],
        [77, 77],
      ] as const) {
        const bytes = await bytesOf(await store.open(p('/f')), { start, end })
        expect(bytes.equals(whole.subarray(start, end))).toBe(true)
      }
    })

    it('gives any bytes, whatever it was told beforehand', async () => {
      const { store } = subject()
      const whole = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index * 7))
      await store.write(p('/f'), body(whole))
      await store.write(p('/empty'), body())
      const parts = [
        { start: 0 },
        { start: 5, end: 100_000 },
        { start: 199_999 },
        { start: 10, end: 1e9 },
        { start: 5e5 },
      ]
      const ranges = [undefined, { start: 0, end: 5 }, { start: 5, end: 100_000 }, { start: 199_999, end: 200_000 }]
      for (const options of [{ lazy: true }, ...parts.map((part) => ({ part }))])
        for (const range of ranges) {
          const content = await store.open(p('/f'), options)
          expect(content.entry.size).toBe(200_000)
          expect((await bytesOf(content, range)).equals(whole.subarray(range?.start, range?.end))).toBe(true)
        }
      for (const part of parts) {
        const content = await store.open(p('/empty'), { part })
        expect([content.entry.size, (await bytesOf(content)).length]).toEqual([0, 0])
        expect(await failureOf(store.open(p('/none'), { part }))).toBe('not-found')
        expect(await failureOf(store.open(p('/'), { part }))).toBe('is-directory')
      }
    })

    it('may be closed unread, and after reading', async () => {
      const { store } = subject()
      await put(store, '/f')
      const unread = await store.open(p('/f'))
      await unread.close()
      const read = await store.open(p('/f'))
      await bytesOf(read)
      await read.close()
    })

    it('gives up for an aborted signal', async () => {
      const { store } = subject()
      await put(store, '/f')
      const signal = AbortSignal.abort()
      expect(await failureOf(store.stat(p('/f'), signal))).toBe('incomplete')
      expect(await failureOf(store.open(p('/f'), { signal }))).toBe('incomplete')
      expect(await failureOf(listed(store, '/', { signal }))).toBe('incomplete')
      expect(await failureOf(store.makeDirectory(p('/d'), signal))).toBe('incomplete')
      expect(await failureOf(store.remove(p('/f'), { signal }))).toBe('incomplete')
      expect(await failureOf(store.copy(p('/f'), p('/g'), { overwrite: true, signal }))).toBe('incomplete')
      expect(await failureOf(store.move(p('/f'), p('/g'), { overwrite: true, signal }))).toBe('incomplete')
      expect(await pathsBelow(store, '/')).toEqual(['/f'])
    })
  })

  describe('list', () => {
    it('throws for what is not there and for a file', async () => {
      const { store } = subject()
      await put(store, '/f')
      expect(await failureOf(listed(store, '/none'))).toBe('not-found')
      expect(await failureOf(listed(store, '/none/deeper', { depth: 'infinity' }))).toBe('not-found')
      expect(await failureOf(listed(store, '/f/below'))).toBe('not-found')
      expect(await failureOf(listed(store, '/f'))).toBe('not-directory')
      expect(await failureOf(listed(store, '/f', { order: 'key', depth: 'infinity' }))).toBe('not-directory')
    })

    it('gives nothing for an empty directory, and members only for depth 1', async () => {
      const { store } = subject()
      expect(await listed(store, '/')).toEqual([])
      await put(store, '/d/e/f')
      await store.makeDirectory(p('/empty'))
      expect(await listed(store, '/empty', { depth: 'infinity' })).toEqual([])
      expect(await pathsBelow(store, '/', { order: 'key' })).toEqual(['/d', '/empty'])
      expect(await pathsBelow(store, '/d')).toEqual(['/d/e'])
      for (const { path, kind, etag } of await listed(store, '/'))
        expect(await store.stat(path)).toMatchObject({ path, kind, etag })
    })

    it('keeps S3 key order where names lie on both sides of the slash', async () => {
      const { store } = subject()
      for (const path of [
        '/t/a0',
        '/t/a-',
        '/t/a/x',
        '/t/a/b/y',
        '/t/a.',
        '/t/a/x0',
        '/t/A',
        '/t/\uff5e',
        '/t/\u{1F600}',
        '/u',
      ])
        await put(store, path)
      const all = [
        '/t/A',
        '/t/a-',
        '/t/a.',
        '/t/a',
        '/t/a/b',
        '/t/a/b/y',
        '/t/a/x',
        '/t/a/x0',
        '/t/a0',
        '/t/\uff5e',
        '/t/\u{1F600}',
      ]
      const list = (options: ListOptions): Promise<readonly string[]> =>
        pathsBelow(store, '/t', { order: 'key', ...options })
      expect(await list({ depth: 'infinity' })).toEqual(all)
      expect(await list({})).toEqual(all.filter((path) => path.split('/').length === 3))
      expect(await pathsBelow(store, '/', { order: 'key', depth: 'infinity' })).toEqual(['/t', ...all, '/u'])

      // `after` is any text that a key can be compared with; a directory's key ends with a slash.
      for (const after of [
        '/',
        '/t',
        '/t/A',
        '/t/a',
        '/t/a-',
        '/t/a/',
        '/t/a/b',
        '/t/a/b/',
        '/t/a/b/y',
        '/t/a/x',
        '/t/a/zz',
        '/t/a0',
        '/t/b',
        '/u',
        '\uffff',
      ]) {
        const key = (path: string): string => (path === '/t/a' || path === '/t/a/b' ? path + '/' : path)
        const expected = all.filter((path) => compareKeys(key(path), after) > 0)
        expect([after, await list({ depth: 'infinity', after })]).toEqual([after, expected])
      }
      for (const prefix of ['/t/a', '/t/a/', '/t/a/x', '/t/a/b/', '/t/A', '/t/', '/', '/t/q', '/u', '/t/a/x00']) {
        const expected = all.filter((path) => path.startsWith(prefix))
        expect([prefix, await list({ depth: 'infinity', prefix })]).toEqual([prefix, expected])
        const any = await pathsBelow(store, '/t', { depth: 'infinity', prefix })
        expect([prefix, [...any].sort()]).toEqual([prefix, [...expected].sort()])
      }
      expect(await list({ depth: 'infinity', prefix: '/t/a', after: '/t/a/b' })).toEqual([
        '/t/a/b',
        '/t/a/b/y',
        '/t/a/x',
        '/t/a/x0',
        '/t/a0',
      ])
    })

    it('gives a directory before its members in any order', async () => {
      const { store } = subject()
      for (const path of ['/a/b/c/d', '/a/b/e', '/a/f', '/g/h', '/i']) await put(store, path)
      const seen = new Set<string>(['/'])
      for (const path of await pathsBelow(store, '/', { depth: 'infinity' })) {
        expect(seen).toContain(path.slice(0, path.lastIndexOf('/')) || '/')
        seen.add(path)
      }
      expect(seen.size).toBe(10)
    })

    it('lists 3,100 members in batches, each once, in either order', async () => {
      const { store, medium } = subject()
      const expected = Array.from({ length: 3100 }, (_, index) => `/d/${index.toString().padStart(5, '0')}`)
      await put(store, '/seed', '')
      await store.makeDirectory(p('/d'))
      // Behind the store's back where that can be: thousands of durable writes take their time.
      for (let at = 0; at < expected.length; at += 20)
        await Promise.all(
          expected
            .slice(at, at + 20)
            .map((path) => (medium === undefined ? put(store, path, '') : medium.put(path, ''))),
        )
      let batches = 0
      const seen: string[] = []
      for await (const batch of store.list(p('/d'), { order: 'key' })) {
        batches++
        seen.push(...batch.map((entry) => entry.path))
      }
      expect(batches).toBeGreaterThan(1)
      expect(seen).toEqual(expected)
      expect([...(await pathsBelow(store, '/d'))].sort()).toEqual(expected)
      expect(await pathsBelow(store, '/', { order: 'key', depth: 'infinity', after: expected[3000]! })).toEqual([
        ...expected.slice(3001),
        '/seed',
      ])
    })

    it('gives what is noted of members where that is asked for, in either order', async () => {
      const { store } = subject()
      await put(store, '/d/plain')
      await store.write(p('/d/digested'), body('x'), { digests: ['md5'] })
      await store.write(p('/d/e/both'), body('y'), { parents: true, digests: ['crc32'], attributes: { a: 'b' } })
      await store.write(p('/d/e/gone'), body('z'), { attributes: { c: 'd' } })
      await put(store, '/d/e/gone')
      await store.change(p('/d/e'), { attributes: { 'of-directory': '1' } })
      await store.change(p('/d/plain'), { attributes: { later: '2' } })
      const expected: Entry[] = []
      for (const path of ['/d/digested', '/d/e', '/d/e/both', '/d/e/gone', '/d/plain'])
        expected.push((await store.stat(p(path)))!)
      expect(expected.map(({ attributes }) => Object.keys(attributes ?? {}))).toEqual([
        [],
        ['of-directory'],
        ['a'],
        [],
        ['later'],
      ])
      const noted = { depth: 'infinity', noted: true } as const
      const told = (entries: readonly Entry[]): readonly Entry[] => entries.map((entry) => toldOf(entry, lacking))
      expect(told(await listed(store, '/d', { ...noted, order: 'key' }))).toEqual(told(expected))
      const sorted = (entries: readonly Entry[]): readonly Entry[] =>
        told([...entries].sort((a, b) => compareKeys(a.path, b.path)))
      expect(sorted(await listed(store, '/d', noted))).toEqual(told(expected))
      for (const order of ['key', 'any'] as const)
        expect(sorted(await listed(store, '/d/e', { order, noted: true }))).toEqual(told(expected.slice(2, 4)))
    })

    it('may be left early', async () => {
      const { store } = subject()
      for (const path of ['/a/b', '/c/d']) await put(store, path)
      for await (const batch of store.list(p('/'), { depth: 'infinity' })) {
        expect(batch.length).toBeGreaterThan(0)
        break
      }
      expect((await pathsBelow(store, '/', { depth: 'infinity' })).length).toBe(4)
    })

    it('lists what stays once while other members go', async () => {
      const { store } = subject()
      for (let index = 0; index < 40; index++) await put(store, `/d/${index}`, '')
      const seen: string[] = []
      for await (const batch of store.list(p('/d'))) {
        seen.push(...batch.map((entry) => entry.path))
        for (let index = 1; index < 40; index += 2) await store.remove(p(`/d/${index}`)).catch(() => undefined)
      }
      for (let index = 0; index < 40; index += 2) expect(seen.filter((path) => path === `/d/${index}`)).toHaveLength(1)
    })
  })

  describe('names', () => {
    it('keeps every name that a path can hold', async () => {
      const { store } = subject()
      for (const name of names) {
        await put(store, `/files/${name}`, name)
        await put(store, `/directories/${name}/${name}`, name)
      }
      for (const name of names) {
        expect(await textOf(store, `/files/${name}`)).toBe(name)
        expect(await textOf(store, `/directories/${name}/${name}`)).toBe(name)
      }
      const sorted = names.map((name) => `/files/${name}`).sort(compareKeys)
      expect(await pathsBelow(store, '/files', { order: 'key' })).toEqual(sorted)
      for (const name of names)
        await store.move(p(`/files/${name}`), p(`/directories/${name}/moved`), { overwrite: false })
      expect(await listed(store, '/files')).toEqual([])
    })

    it('takes NFC and NFD for one name, and shows NFC', async () => {
      const { store } = subject()
      await put(store, '/cafe\u0301', 'decomposed')
      await put(store, '/caf\u00e9', 'composed')
      expect(await pathsBelow(store, '/')).toEqual(['/caf\u00e9'])
      expect(await textOf(store, '/cafe\u0301')).toBe('composed')
    })

    it('holds a path of many levels', async () => {
      const { store } = subject()
      const path = '/deep'.repeat(100) + '/f'
      await put(store, path)
      expect(await textOf(store, path)).toBe(path)
      expect(await pathsBelow(store, '/', { depth: 'infinity' })).toHaveLength(101)
    })
  })
}
