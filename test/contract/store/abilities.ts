import { describe, expect, it } from 'vitest'
import { Digester, digestNames } from '../../../src/store/digester.js'
import type { Entry, Piece } from '../../../src/store/store.js'
import {
  ableTo,
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
  snapshot,
  textOf,
  watchedBody,
  type Group,
  type MethodAbility,
} from './subject.js'

const methods: readonly MethodAbility[] = [
  'settle',
  'removeTree',
  'moveTree',
  'copyTree',
  'assemble',
  'space',
  'digest',
  'parts',
]

export const abilities: Group = (subject, lacking) => {
  it('has exactly the abilities that it says it has', () => {
    for (const method of methods)
      expect([method, subject().store[method] === undefined]).toEqual([method, method in lacking])
  })

  describe('removeTree', () => {
    itWith('removeTree', lacking, 'removes a tree or one file, and nothing beside it', async () => {
      const { store } = subject()
      const able = ableTo(store, 'removeTree')
      for (const path of ['/d/a/b/c', '/d/e', '/d-not', '/dd/x']) await put(store, path)
      expect(await failureOf(able.removeTree(p('/none')))).toBe('not-found')
      expect(await failureOf(able.removeTree(p('/')))).toBe('denied')
      expect(await failureOf(able.removeTree(p('/d'), AbortSignal.abort()))).toBe('incomplete')
      expect(await textOf(store, '/d/a/b/c')).toBe('/d/a/b/c')
      await able.removeTree(p('/d'))
      await able.removeTree(p('/d-not'))
      expect(await pathsBelow(store, '/', { depth: 'infinity', order: 'key' })).toEqual(['/dd', '/dd/x'])
      await put(store, '/d/a/again')
      expect(await pathsBelow(store, '/d', { depth: 'infinity' })).toEqual(['/d/a', '/d/a/again'])
    })
  })

  describe('moveTree', () => {
    itWith('moveTree', lacking, 'moves a tree with all that is known of it', async () => {
      const { store } = subject()
      const able = ableTo(store, 'moveTree')
      await store.write(p('/d/a/f'), body('bytes'), {
        parents: true,
        attributes: { a: 'b' },
        ...kept(lacking, { executable: true, modified: 1e12 }),
      })
      await put(store, '/d/g')
      const before = (await listed(store, '/d', { depth: 'infinity', order: 'key' })).filter(
        ({ kind }) => kind === 'file',
      )
      const { entry, created } = await able.moveTree(p('/d'), p('/e'))
      expect(created).toBe(true)
      expect(entry).toMatchObject({ path: '/e', kind: 'directory' })
      const after = (await listed(store, '/e', { depth: 'infinity', order: 'key' })).filter(
        ({ kind }) => kind === 'file',
      )
      const stays = ({ etag, modified }: Entry): unknown => [etag, kept(lacking, { modified })]
      expect(after.map(stays)).toEqual(before.map(stays))
      const flag = kept(lacking, { executable: true })
      expect(await store.stat(p('/e/a/f'))).toMatchObject({ attributes: { a: 'b' }, ...flag })
      expect(await textOf(store, '/e/a/f')).toBe('bytes')
      expect(await store.stat(p('/d'))).toBeUndefined()
      expect(await store.stat(p('/d/a/f'))).toBeUndefined()
      const { etag } = (await store.stat(p('/e/g')))!
      expect((await able.moveTree(p('/e/g'), p('/file'))).entry).toMatchObject({ path: '/file', kind: 'file', etag })
    })

    itWith('moveTree', lacking, 'throws where it cannot, and changes nothing', async () => {
      const { store } = subject()
      const able = ableTo(store, 'moveTree')
      for (const path of ['/d/a/f', '/e/g', '/f']) await put(store, path)
      await store.makeDirectory(p('/empty'))
      const all = await snapshot(store)
      expect(await failureOf(able.moveTree(p('/none'), p('/new')))).toBe('not-found')
      for (const to of ['/e', '/empty', '/f', '/'])
        expect(await failureOf(able.moveTree(p('/d'), p(to)))).toBe('exists')
      expect(await failureOf(able.moveTree(p('/f'), p('/e/g')))).toBe('exists')
      expect(await failureOf(able.moveTree(p('/d'), p('/none/new')))).toBe('no-parent')
      expect(await failureOf(able.moveTree(p('/d'), p('/f/new')))).toBe('not-directory')
      expect(await failureOf(able.moveTree(p('/d'), p('/d')))).toBe('denied')
      expect(await failureOf(able.moveTree(p('/d'), p('/d/a/new')))).toBe('denied')
      expect(await failureOf(able.moveTree(p('/'), p('/new')))).toBe('denied')
      expect(await snapshot(store)).toEqual(all)
    })
  })

  describe('copyTree', () => {
    itWith(
      'copyTree',
      lacking,
      'copies a tree with all that is known of its files, and leaves the source',
      async () => {
        const { store } = subject()
        const able = ableTo(store, 'copyTree')
        const large = 'large '.repeat(100_000)
        await store.write(p('/d/a/f'), body('bytes'), {
          parents: true,
          attributes: { a: 'b' },
          ...kept(lacking, { executable: true, modified: 1e12 }),
        })
        await store.write(p('/d/digested'), body('x'), { digests: ['crc32'], attributes: { c: 'd' } })
        for (const [path, text] of [
          ['/d/none', ''],
          ['/d/a/large', large],
          ['/d/\u00e9/\u00fc', 'two marks'],
          ['/d-not', 'beside'],
        ] as const)
          await put(store, path, text)
        await store.makeDirectory(p('/d/empty'))
        await store.change(p('/d/empty'), { attributes: { e: 'f' } })
        const before = await snapshot(store)
        const { entry, created } = await able.copyTree(p('/d'), p('/e'))
        expect([created, entry.path, entry.kind]).toEqual([true, '/e', 'directory'])
        expectSame(lacking, await store.stat(p('/e')), entry)
        const relative = async (root: string): Promise<readonly string[]> =>
          (await pathsBelow(store, root, { depth: 'infinity', order: 'key' })).map((path) => path.slice(root.length))
        expect(await relative('/e')).toEqual(await relative('/d'))
        expect((await snapshot(store)).filter((line) => !line.startsWith('/e/'))).toEqual(before)
        const copied = (await store.stat(p('/e/a/f')))!
        expect(copied).toMatchObject({ attributes: { a: 'b' }, ...kept(lacking, { executable: true }), size: 5 })
        expect(Math.abs(copied.modified - Date.now())).toBeLessThan(60_000)
        if (lacking.ownEtags === undefined) expect(copied.etag).not.toBe((await store.stat(p('/d/a/f')))!.etag)
        const flag = kept(lacking, { executable: false })
        expect(await store.stat(p('/e/digested'))).toMatchObject({ attributes: { c: 'd' }, ...flag })
        expect((await store.stat(p('/e/empty')))!.attributes).toEqual({ e: 'f' })
        for (const name of ['a/f', 'a/large', 'none', '\u00e9/\u00fc'])
          expect(await textOf(store, `/e/${name}`)).toBe(await textOf(store, `/d/${name}`))
        await put(store, '/e/a/f', 'changed')
        expect(await textOf(store, '/d/a/f')).toBe('bytes')
      },
    )

    const etags = lacking.copyTree === undefined ? 'ownEtags' : 'copyTree'
    itWith(etags, lacking, 'gives no two files the same etag, nor one that was there before', async () => {
      const { store } = subject()
      const able = ableTo(store, 'copyTree')
      for (let i = 0; i < 50; i++) await put(store, `/d/${i % 5}/${i}`, 'same')
      const etags = new Set<string>()
      for (let round = 0; round < 4; round++) {
        await able.copyTree(p('/d'), p('/e'))
        for (const { kind, etag } of await listed(store, '/', { depth: 'infinity' }))
          if (kind === 'file') etags.add(etag)
        await ableTo(store, 'removeTree').removeTree(p('/e'))
      }
      expect(etags.size).toBe(50 * 5)
    })

    itWith('copyTree', lacking, 'throws where it cannot, and changes nothing', async () => {
      const { store } = subject()
      const able = ableTo(store, 'copyTree')
      for (const path of ['/d/a/f', '/e/g', '/f']) await put(store, path)
      await store.makeDirectory(p('/empty'))
      const all = await snapshot(store)
      expect(await failureOf(able.copyTree(p('/none'), p('/new')))).toBe('not-found')
      expect(await failureOf(able.copyTree(p('/f'), p('/new')))).toBe('not-directory')
      for (const to of ['/e', '/empty', '/f', '/'])
        expect(await failureOf(able.copyTree(p('/d'), p(to)))).toBe('exists')
      expect(await failureOf(able.copyTree(p('/d'), p('/none/new')))).toBe('no-parent')
      expect(await failureOf(able.copyTree(p('/d'), p('/f/new')))).toBe('not-directory')
      expect(await failureOf(able.copyTree(p('/d'), p('/d')))).toBe('denied')
      expect(await failureOf(able.copyTree(p('/d'), p('/d/a/new')))).toBe('denied')
      expect(await failureOf(able.copyTree(p('/'), p('/new')))).toBe('denied')
      expect(await failureOf(able.copyTree(p('/d'), p('/new'), AbortSignal.abort()))).toBe('incomplete')
      expect(await snapshot(store)).toEqual(all)
    })

    itWith('copyTree', lacking, 'lets only one of many at the same time have the target', async () => {
      const { store } = subject()
      const able = ableTo(store, 'copyTree')
      for (const source of ['a', 'b', 'c', 'd']) await put(store, `/${source}/f`, source)
      const kinds = await Promise.all(
        ['a', 'b', 'c', 'd'].map((source) => failureOf(able.copyTree(p(`/${source}`), p('/to')))),
      )
      expect(kinds.sort()).toEqual(['exists', 'exists', 'exists', 'none'])
      expect(await pathsBelow(store, '/to')).toEqual(['/to/f'])
    })
  })

  describe('digest', () => {
    itWith('digest', lacking, 'throws for what is no file, and where it is given up', async () => {
      const { store } = subject()
      const able = ableTo(store, 'digest')
      await put(store, '/d/f')
      expect(await failureOf(able.digest(p('/none'), ['md5']))).toBe('not-found')
      expect(await failureOf(able.digest(p('/d/f/g'), ['md5']))).toBe('not-found')
      expect(await failureOf(able.digest(p('/d'), ['md5']))).toBe('is-directory')
      expect(await failureOf(able.digest(p('/d/f'), ['md5'], AbortSignal.abort()))).toBe('incomplete')
      expect((await store.stat(p('/d/f')))?.digests ?? {}).toEqual({})
    })

    itWith('digest', lacking, 'computes what is asked for, and keeps it until the file changes', async () => {
      const { store } = subject()
      const able = ableTo(store, 'digest')
      const whole = Buffer.alloc(700_001, 'abc')
      const digester = new Digester(digestNames)
      digester.update(whole)
      const all = digester.digests()
      const { entry } = await store.write(p('/f'), body(whole), { attributes: { a: 'b' }, digests: ['sha1'] })
      expect(await able.digest(p('/f'), ['md5', 'crc64nvme'])).toEqual({
        sha1: all.sha1,
        md5: all.md5,
        crc64nvme: all.crc64nvme,
      })
      const { digests, ...rest } = (await store.stat(p('/f')))!
      expect(digests).toEqual({ sha1: all.sha1, md5: all.md5, crc64nvme: all.crc64nvme })
      expect(rest).toEqual({ ...entry, digests: undefined, ...rest })
      expect(rest).toMatchObject({ etag: entry.etag, modified: entry.modified, attributes: { a: 'b' } })
      expect(await able.digest(p('/f'), ['md5'])).toEqual(digests)
      expect(await able.digest(p('/f'), digestNames)).toEqual(all)
      expect((await store.move(p('/f'), p('/g'), { overwrite: false })).entry.digests).toEqual(all)
      await put(store, '/g', 'other')
      expect((await store.stat(p('/g')))?.digests ?? {}).toEqual({})
      expect(Buffer.from((await able.digest(p('/g'), ['crc32'])).crc32!).toString('hex')).toBe('d9583520')
    })

    itWith('digest', lacking, 'of one file several times at once, with attributes that change meanwhile', async () => {
      const { store } = subject()
      const able = ableTo(store, 'digest')
      await put(store, '/f', 'x'.repeat(2_000_000))
      await Promise.all([
        ...digestNames.map((name) => able.digest(p('/f'), [name])),
        store.change(p('/f'), { attributes: { a: 'b' } }),
      ])
      const { digests, attributes } = (await store.stat(p('/f')))!
      expect(attributes).toEqual({ a: 'b' })
      expect(Object.keys(digests ?? {}).sort()).toEqual([...digestNames].sort())
    })
  })

  describe('settle', () => {
    itWith('settle', lacking, 'ends what was copied and moved with `later`', async () => {
      const { store } = subject()
      await put(store, '/f')
      await store.copy(p('/f'), p('/g'), { overwrite: false, settle: 'later' })
      await store.move(p('/f'), p('/h'), { overwrite: false, settle: 'later' })
      await ableTo(store, 'settle').settle()
      await ableTo(store, 'settle').settle()
      expect(await pathsBelow(store, '/', { order: 'key' })).toEqual(['/g', '/h'])
      expect(await textOf(store, '/g')).toBe('/f')
    })
  })

  describe('space', () => {
    itWith('space', lacking, 'says what it knows', async () => {
      const { store } = subject()
      await put(store, '/d/f', 'x'.repeat(5000))
      const space = await ableTo(store, 'space').space(p('/d'))
      if (space.used !== undefined) expect(space.used).toBeGreaterThanOrEqual(5000)
      if (space.available !== undefined) expect(space.available).toBeGreaterThan(0)
      expect(space.used ?? space.available).toBeDefined()
      expect(await failureOf(ableTo(store, 'space').space(p('/none')))).toBe('not-found')
    })
  })

  describe('assemble', () => {
    itWith('assemble', lacking, 'makes a file of stored and new pieces in order', async () => {
      const { store } = subject()
      const able = ableTo(store, 'assemble')
      await put(store, '/a', '0123456789')
      await put(store, '/b', 'abcdef')
      const pieces: readonly Piece[] = [
        { from: p('/a'), range: { start: 2, end: 5 } },
        { body: body('<', 'new', '>') },
        { from: p('/b'), range: { start: 0, end: 6 } },
        { from: p('/b'), range: { start: 3, end: 3 } },
        { body: body() },
        { from: p('/a'), range: { start: 9, end: 10 } },
      ]
      let staged = 0
      const { entry, created } = await able.assemble(p('/d/out'), pieces, {
        parents: true,
        attributes: { a: 'b' },
        digests: ['crc32'],
        length: 15,
        beforeCommit: async ({ size, digests }) => {
          staged = size
          expect(Buffer.from(digests.crc32!).toString('hex')).toBe('a3dada86')
        },
      })
      expect([created, staged, entry.size, entry.attributes]).toEqual([true, 15, 15, { a: 'b' }])
      expect(await textOf(store, '/d/out')).toBe('234<new>abcdef9')
    })

    itWith('assemble', lacking, 'may build on the file that it replaces: append, patch, cut', async () => {
      const { store } = subject()
      const able = ableTo(store, 'assemble')
      let { etag } = await put(store, '/f', '0123456789')
      const own = (start: number, end: number): Piece => ({ from: p('/f'), range: { start, end } })
      const rounds: readonly (readonly [readonly Piece[], string])[] = [
        [[own(0, 10), { body: body('++') }], '0123456789++'],
        [[own(0, 3), { body: body('---') }, own(6, 12)], '012---6789++'],
        [[own(0, 4)], '012-'],
        [[], ''],
      ]
      for (const [pieces, expected] of rounds) {
        const written = await able.assemble(p('/f'), pieces, { ifMatch: [etag] })
        expect(written.created).toBe(false)
        expect(written.entry.etag).not.toBe(etag)
        etag = written.entry.etag
        expect([written.entry.size, await textOf(store, '/f')]).toEqual([expected.length, expected])
      }
      expect(await failureOf(able.assemble(p('/f'), [{ body: body('x') }], { ifMatch: ['other'] }))).toBe(
        'precondition',
      )
      expect(await failureOf(able.assemble(p('/f'), [{ body: body('x') }], { ifNoneMatch: '*' }))).toBe('precondition')
    })

    itWith('assemble', lacking, 'is all or nothing', async () => {
      const { store } = subject()
      const able = ableTo(store, 'assemble')
      await put(store, '/f', 'old')
      await store.makeDirectory(p('/d'))
      const { body: never, pulled } = watchedBody('x')
      const fails = async (piece: Piece, kind: string, path?: string): Promise<void> => {
        const start: Piece = { from: p('/f'), range: { start: 0, end: 1 } }
        const expected = path === undefined ? { kind } : { kind, path }
        await expect(able.assemble(p('/f'), [start, piece, { body: never }])).rejects.toMatchObject(expected)
        expect(await textOf(store, '/f')).toBe('old')
      }
      await fails({ from: p('/none'), range: { start: 0, end: 1 } }, 'not-found', '/none')
      await fails({ from: p('/d'), range: { start: 0, end: 1 } }, 'is-directory', '/d')
      await fails({ from: p('/f'), range: { start: 0, end: 4 } }, 'bad-range', '/f')
      await fails({ from: p('/f'), range: { start: 3, end: 2 } }, 'bad-range', '/f')
      expect(pulled()).toBe(false)

      const broken = new Error('the line broke')
      async function* breaking(): AsyncGenerator<Uint8Array, void> {
        yield Buffer.from('half')
        throw broken
      }
      await expect(able.assemble(p('/f'), [{ body: body('x') }, { body: breaking() }])).rejects.toBe(broken)
      expect(await failureOf(able.assemble(p('/f'), [{ body: body('123') }], { length: 4 }))).toBe('incomplete')
      expect(await failureOf(able.assemble(p('/f'), [{ body: body('x') }], { signal: AbortSignal.abort() }))).toBe(
        'incomplete',
      )
      expect(await failureOf(able.assemble(p('/none/f'), [{ body: body('x') }]))).toBe('no-parent')
      expect(await failureOf(able.assemble(p('/d'), [{ body: body('x') }]))).toBe('is-directory')
      expect(await textOf(store, '/f')).toBe('old')
      expect((await bytesOf(await store.open(p('/f')))).length).toBe(3)
    })
  })
}
