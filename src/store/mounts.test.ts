import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  body,
  bytesOf,
  failureOf,
  listed,
  p,
  pathsBelow,
  put,
  textOf,
  watchedBody,
} from '../../test/contract/store/subject.js'
import { contents, failureWithPathOf, faults } from '../../test/contract/store/refusing.js'
import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import { bound } from './bound.js'
import { compareKeys, keyOf } from './key-order.js'
import { limited } from './limited.js'
import { openMemoryStore } from './memory.js'
import { mountStores } from './mounts.js'
import type { Entry, Store } from './store.js'
import { copyTree, moveTree, removeTree } from './tree.js'

interface Site {
  /** What is mounted at `/`. */
  readonly base: Store
  /** At `/m`. */
  readonly m: Store
  /** At `/way/to/deep`. */
  readonly deep: Store
  readonly tree: Store
}

function site(): Site {
  const [base, m, deep] = [openMemoryStore(), openMemoryStore(), openMemoryStore()]
  const tree = mountStores([
    { path: '/m', store: m },
    { path: '/', store: base },
    { path: '/way/to/deep', store: deep },
  ])
  return { base, m, deep, tree }
}

/** The same without an ability. */
function lacking(store: Store, ...names: readonly (keyof Store)[]): Store {
  const others = Object.entries(bound(store)).filter(([name]) => !(names as readonly string[]).includes(name))
  return Object.fromEntries(others) as unknown as Store
}

const everything = (store: Store): Promise<readonly StorePath[]> =>
  pathsBelow(store, '/', { depth: 'infinity', order: 'key' })

describe('mounts that make no tree', () => {
  const other = (path: string): (() => Store) => {
    return () =>
      mountStores([
        { path: '/', store: openMemoryStore() },
        { path, store: openMemoryStore() },
      ])
  }

  it.each([
    ['the same path twice', other('/')],
    ['a path with ..', other('/a/../b')],
    ['a relative path', other('a')],
    ['a path of the server itself', other('/-/x')],
    ['a name that stores keep for themselves', other('/.postern-x')],
    ['nothing at /', () => mountStores([{ path: '/a', store: openMemoryStore() }])],
    ['nothing', () => mountStores([])],
    [
      'one store in two places',
      () => {
        const store = openMemoryStore()
        return mountStores([
          { path: '/', store },
          { path: '/a', store },
        ])
      },
    ],
    [
      'one path written in two ways',
      () =>
        mountStores([
          { path: '/', store: openMemoryStore() },
          { path: '/a/b', store: openMemoryStore() },
          { path: '//a/b/', store: openMemoryStore() },
        ]),
    ],
  ])('%s', (_, make) => {
    expect(make).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })

  it('is the store itself where there is only one', () => {
    const store = openMemoryStore()
    expect(mountStores([{ path: '/', store }])).toBe(store)
  })
})

describe('a mount point and the way to it', () => {
  it('are there, and cannot be removed, moved or replaced', async () => {
    const { tree, base, m, deep } = site()
    for (const [store, path] of [
      [m, '/f'],
      [deep, '/f'],
      [base, '/f'],
      [base, '/d/f'],
    ] as const)
      await put(store, path)
    const all = await everything(tree)
    const held = ['/m', '/way', '/way/to', '/way/to/deep'] as const
    for (const path of held.map(p)) {
      expect(await tree.stat(path)).toMatchObject({ path, kind: 'directory' })
      const kept = path === '/m' || path === '/way/to/deep' ? 'denied' : 'not-empty'
      expect([path, await failureOf(tree.remove(path))]).toEqual([path, kept])
      expect([path, await failureOf(tree.remove(path, { ifMatch: ['x'] }))]).toEqual([path, kept])
      expect([path, await failureOf(tree.makeDirectory(path))]).toEqual([path, 'exists'])
      expect([path, await failureOf(tree.open(path))]).toEqual([path, 'is-directory'])
      const { body: never, pulled } = watchedBody('x')
      expect([path, await failureOf(tree.write(path, never))]).toEqual([path, 'is-directory'])
      expect([path, await failureOf(tree.write(path, never, { ifNoneMatch: '*' }))]).toEqual([path, 'precondition'])
      expect([path, await failureOf(tree.assemble!(path, [{ body: never }]))]).toEqual([path, 'is-directory'])
      expect(pulled()).toBe(false)
      expect([path, await failureOf(tree.move(path, p('/new'), { overwrite: true }))]).toEqual([path, 'denied'])
      for (const verb of ['copy', 'move'] as const) {
        expect([path, await failureOf(tree[verb](p('/f'), path, { overwrite: true }))]).toEqual([path, 'is-directory'])
        expect([path, await failureOf(tree[verb](p('/f'), path, { overwrite: false }))]).toEqual([path, 'exists'])
        expect([path, await failureOf(tree[verb](p('/none'), path, { overwrite: true }))]).toEqual([path, 'not-found'])
      }
      expect([path, await failureOf(tree.moveTree!(p('/d'), path))]).toEqual([path, 'exists'])
      expect([path, await failureOf(tree.copyTree!(p('/d'), path))]).toEqual([path, 'exists'])
      expect([path, await failureOf(tree.moveTree!(path, p('/new')))]).toEqual([path, 'denied'])
      expect([path, await failureOf(moveTree(tree, path, p('/new'), { overwrite: false }))]).toEqual([path, 'denied'])
      expect([path, await failureOf(moveTree(tree, path, p('/d'), { overwrite: true }))]).toEqual([path, 'denied'])
      expect([path, await failureOf(copyTree(tree, p('/d'), path, { overwrite: true }))]).toEqual([path, 'denied'])
      expect([path, await failureOf(copyTree(tree, p('/f'), path, { overwrite: true }))]).toEqual([path, 'denied'])
      expect(await tree.permits('create', path)).toBe(false)
      expect(await tree.permits('delete', path)).toBe(false)
      expect(await tree.permits('list', path)).toBe(true)
    }
    for (const path of ['/m', '/way/to/deep'] as const) {
      expect(await failureOf(removeTree(tree, p(path)))).toBe('denied')
      expect(await failureOf(tree.removeTree!(p(path)))).toBe('denied')
    }
    expect(await failureOf(tree.removeTree!(p('/way')))).toBe('unsupported')
    expect(await everything(tree)).toEqual(all)
    expect(await everything(base)).toEqual(['/d', '/d/f', '/f'])
  })

  it('stay where a tree goes that holds them, and are reported', async () => {
    const { tree, base, deep } = site()
    await put(tree, '/way/f')
    await put(tree, '/way/to/d/f')
    await put(tree, '/way/to/deep/d/f')
    const result = await removeTree(tree, p('/way'))
    expect(faults(result)).toEqual(['denied /way/to/deep'])
    expect(await everything(tree)).toEqual(['/m', '/way', '/way/to', '/way/to/deep'])
    expect(await everything(deep)).toEqual([])
    expect(await everything(base)).toEqual(['/way', '/way/to'])
  })

  it('hide what the store has there', async () => {
    const { tree, base } = site()
    await put(base, '/m/hidden/f')
    await put(base, '/way', 'a file in the way')
    expect(await tree.stat(p('/m/hidden'))).toBeUndefined()
    expect(await failureOf(tree.open(p('/m/hidden/f')))).toBe('not-found')
    expect(await tree.stat(p('/way'))).toMatchObject({ kind: 'directory' })
    expect(await failureOf(tree.open(p('/way')))).toBe('is-directory')
    for (const order of ['key', 'any'] as const)
      expect([...(await pathsBelow(tree, '/', { depth: 'infinity', order }))].sort()).toEqual([
        '/m',
        '/way',
        '/way/to',
        '/way/to/deep',
      ])
    expect(await pathsBelow(tree, '/way', { order: 'key' })).toEqual(['/way/to'])
    // Nothing can be made where a file lies beneath.
    expect(await failureWithPathOf(tree.write(p('/way/f'), body('x')))).toBe('denied /way')
    expect(await failureWithPathOf(tree.write(p('/way/to/f'), body('x'), { parents: true }))).toBe('denied /way')
    expect(await failureWithPathOf(tree.makeDirectory(p('/way/d')))).toBe('denied /way')
    await put(tree, '/f')
    expect(await failureWithPathOf(tree.copy(p('/f'), p('/way/f'), { overwrite: false }))).toBe('denied /way')
    await put(tree, '/way/to/deep/f')
    expect(await textOf(base, '/way')).toBe('a file in the way')
  })

  it('take new members, which their own store keeps', async () => {
    const { tree, base } = site()
    await put(tree, '/way/f')
    await tree.makeDirectory(p('/way/to/d'))
    await tree.change(p('/way'), { attributes: { a: 'b' } })
    expect(await tree.stat(p('/way'))).toMatchObject({ attributes: { a: 'b' } })
    expect(await everything(base)).toEqual(['/way', '/way/f', '/way/to', '/way/to/d'])
    expect(await everything(tree)).toEqual(['/m', '/way', '/way/f', '/way/to', '/way/to/d', '/way/to/deep'])
  })

  it('show although the store behind cannot be reached', async () => {
    const broken = lacking(openMemoryStore())
    const down = new Failure('unavailable', 'The service is away.', { retryAfterSeconds: 1 })
    const tree = mountStores([
      { path: '/', store: openMemoryStore() },
      { path: '/m', store: { ...broken, stat: async () => Promise.reject(down) } },
    ])
    expect(await pathsBelow(tree, '/')).toEqual(['/m'])
    await expect(tree.stat(p('/m'))).rejects.toMatchObject({ kind: 'unavailable', retryAfterSeconds: 1 })
  })
})

describe('a listing over several stores', () => {
  async function filled(): Promise<{ tree: Store; all: readonly Entry[] }> {
    const stores = Object.fromEntries(
      ['/', '/a/b', '/a/b/c/d', '/a-', '/a0', '/z'].map((path) => [path, openMemoryStore()]),
    )
    const tree = mountStores(Object.entries(stores).map(([path, store]) => ({ path, store })))
    for (const path of ['/a.', '/a/a', '/a/c/x', '/a/b.', '/a/b/x', '/a/b/c/e', '/a/b/c/d/y', '/a-/x', '/b', '/zz'])
      await put(tree, path)
    for (const hidden of ['/a/b/h/i', '/a/b/z', '/a-/h', '/a0']) await put(stores['/']!, hidden)
    await put(stores['/a/b']!, '/c/d/hidden')
    const all = [...(await listed(tree, '/', { depth: 'infinity' }))]
    return { tree, all: all.sort((one, other) => compareKeys(keyOf(one), keyOf(other))) }
  }

  it('is in the order of keys, whatever it begins with', async () => {
    const { tree, all } = await filled()
    expect(all.map(keyOf)).toEqual(
      '/a-/ /a-/x /a. /a/ /a/a /a/b. /a/b/ /a/b/c/ /a/b/c/d/ /a/b/c/d/y /a/b/c/e /a/b/x /a/c/ /a/c/x /a0/ /b /z/ /zz'.split(' '), // prettier-ignore
    )
    const texts = ['', '/', '/a', '/a-', '/a-/', '/a/', '/a/b', '/a/b/', '/a/b/c', '/a/b/c/d/', '/a/b/c/d/y', '/a/b/d', '/a/c', '/a0', '/a0/', '/a0/x', '/b', '/z', '/zz', '\uffff'] // prettier-ignore
    for (const depth of [1, 'infinity'] as const)
      for (const directory of ['/', '/a', '/a/b', '/a/b/c', '/a/b/c/d', '/z'])
        for (const after of texts)
          for (const prefix of ['', ...texts]) {
            const start = directory === '/' ? '/' : `${directory}/`
            const expected = all.filter(
              (entry) =>
                entry.path.startsWith(start) &&
                (depth === 'infinity' || !entry.path.slice(start.length).includes('/')) &&
                entry.path.startsWith(prefix) &&
                compareKeys(keyOf(entry), after) > 0,
            )
            const got = await listed(tree, directory, { order: 'key', depth, after, prefix })
            expect({ depth, directory, after, prefix, got: got.map(keyOf) }).toEqual({
              depth,
              directory,
              after,
              prefix,
              got: expected.map(keyOf),
            })
          }
  })

  it('gives a directory before its members in any order, each once, as `stat` does', async () => {
    const { tree, all } = await filled()
    const seen = new Set<string>(['/'])
    for (const entry of await listed(tree, '/', { depth: 'infinity' })) {
      expect(seen).toContain(entry.path.slice(0, entry.path.lastIndexOf('/')) || '/')
      expect(seen).not.toContain(entry.path)
      seen.add(entry.path)
      expect(await tree.stat(entry.path)).toEqual(entry)
    }
    expect(seen.size).toBe(all.length + 1)
    expect([...(await pathsBelow(tree, '/a', { prefix: '/a/b' }))].sort()).toEqual(['/a/b', '/a/b.'])
  })

  it('passes over a million hidden files at once', async () => {
    const { base, tree } = site()
    for (let index = 0; index < 2000; index++) await put(base, `/m/${index}`, '')
    await put(base, '/n', '')
    let shown = 0
    const counting = {
      ...bound(base),
      async *list(...args: Parameters<Store['list']>) {
        for await (const batch of base.list(...args)) {
          shown += batch.length
          yield batch
        }
      },
    }
    const counted = mountStores([
      { path: '/', store: counting },
      { path: '/m', store: openMemoryStore() },
    ])
    expect(await pathsBelow(counted, '/', { depth: 'infinity', order: 'key' })).toEqual(['/m', '/n'])
    expect(shown).toBeLessThan(1000)
    expect(await pathsBelow(tree, '/', { order: 'key' })).toEqual(['/m', '/n', '/way'])
  })
})

describe('between two stores', () => {
  const attributes = { 'content-type': 'text/plain' }

  it.each(['copy', 'move'] as const)('a %s carries all that is known of a file', async (verb) => {
    const { tree, m } = site()
    const source = await tree.write(p('/f'), body('bytes'), {
      attributes,
      executable: true,
      modified: 1e12,
      digests: ['md5'],
    })
    const { entry, created } = await tree[verb](p('/f'), p('/m/f'), { overwrite: false })
    expect(created).toBe(true)
    expect(entry).toMatchObject({ path: '/m/f', size: 5, executable: true, attributes, digests: source.entry.digests })
    expect(await tree.stat(p('/m/f'))).toEqual(entry)
    expect(await textOf(m, '/f')).toBe('bytes')
    expect((await tree.stat(p('/f'))) === undefined).toBe(verb === 'move')
    if (verb === 'move') expect(entry.modified).toBe(1e12)
    else expect(entry.modified).toBeGreaterThan(1e12)
  })

  it.each(['copy', 'move'] as const)('a %s obeys `overwrite` and throws for the end at fault', async (verb) => {
    const { tree } = site()
    for (const path of ['/f', '/d/in', '/m/f', '/m/d/in', '/way/to/deep/f']) await put(tree, path)
    const before = await everything(tree)
    for (const [from, to, overwrite, failure] of [
      ['/f', '/m/f', false, 'exists /m/f'],
      ['/f', '/m/d', true, 'is-directory /m/d'],
      ['/f', '/m/d', false, 'exists /m/d'],
      ['/f', '/m/none/f', true, 'no-parent /m/none'],
      ['/f', '/m/f/g', true, 'not-directory /m/f'],
      ['/none', '/m/g', true, 'not-found /none'],
      ['/m/none', '/g', true, 'not-found /m/none'],
      ['/m/f/g', '/g', true, 'not-found /m/f/g'],
    ] as const) {
      const kind = await failureWithPathOf(tree[verb](p(from), p(to), { overwrite }))
      expect([from, to, kind]).toEqual([from, to, failure])
    }
    expect(await failureOf(tree[verb](p('/f'), p('/m/g'), { overwrite: true, signal: AbortSignal.abort() }))).toBe(
      'incomplete',
    )
    expect(await everything(tree)).toEqual(before)
    const { created } = await tree[verb](p('/m/f'), p('/way/to/deep/f'), { overwrite: true })
    expect([created, await textOf(tree, '/way/to/deep/f')]).toEqual([false, '/m/f'])
    if (verb === 'move')
      expect(await failureOf(tree.move(p('/d'), p('/m/e'), { overwrite: false }))).toBe('is-directory')
    else {
      const { entry } = await tree.copy(p('/d'), p('/m/e'), { overwrite: false })
      expect(entry).toMatchObject({ path: '/m/e', kind: 'directory' })
      expect(await failureOf(tree.copy(p('/d'), p('/m/d'), { overwrite: true }))).toBe('exists')
      expect(await failureOf(tree.copy(p('/d'), p('/m/f'), { overwrite: true }))).toBe('not-directory')
    }
  })

  it('lets exactly one of many transfers take a free name', async () => {
    const { tree } = site()
    for (const name of ['a', 'b', 'c']) await put(tree, `/${name}`, name)
    const outcomes = await Promise.all(
      ['a', 'b', 'c'].map((name) => failureOf(tree.copy(p(`/${name}`), p('/m/to'), { overwrite: false }))),
    )
    expect([...outcomes].sort()).toEqual(['exists', 'exists', 'none'])
  })

  it('a move copies anew what changes meanwhile, and gives up where that has no end', async () => {
    for (const [changes, outcome] of [
      [1, 'none'],
      [9, 'conflict'],
    ] as const) {
      const [base, m] = [openMemoryStore(), openMemoryStore()]
      let left = changes as number
      const changing: Store = {
        ...bound(base),
        async remove(path, options) {
          if (left-- > 0) await put(base, '/f', `version ${left}`)
          await base.remove(path, options)
        },
      }
      const tree = mountStores([
        { path: '/', store: changing },
        { path: '/m', store: m },
      ])
      await put(base, '/f', 'first')
      expect(await failureOf(tree.move(p('/f'), p('/m/f'), { overwrite: false }))).toBe(outcome)
      if (outcome === 'none')
        expect([await textOf(m, '/f'), await base.stat(p('/f'))]).toEqual(['version 0', undefined])
      else expect([await m.stat(p('/f')), (await textOf(base, '/f')).slice(0, 7)]).toEqual([undefined, 'version'])
    }
  })

  it('a move whose source cannot go leaves no copy', async () => {
    const [base, m] = [openMemoryStore(), openMemoryStore()]
    await put(base, '/f')
    const refused = new Failure('unavailable', 'later', { path: p('/f') })
    const sticky: Store = { ...bound(base), remove: async () => Promise.reject(refused) }
    for (const [source, kind] of [
      [sticky, 'unavailable'],
      [limited(base, { readOnly: true }), 'denied'],
    ] as const) {
      const tree = mountStores([
        { path: '/', store: source },
        { path: '/m', store: m },
      ])
      expect(await failureOf(tree.move(p('/f'), p('/m/f'), { overwrite: false }))).toBe(kind)
      expect(await everything(m)).toEqual([])
    }
  })

  it('limits of the target hold', async () => {
    const [base, m] = [openMemoryStore(), openMemoryStore()]
    await put(base, '/f', 'four')
    const to = (target: Store): Store =>
      mountStores([
        { path: '/', store: base },
        { path: '/m', store: target },
      ])
    const small = to(limited(m, { maxFileBytes: 3 }))
    const frozen = to(limited(m, { readOnly: true }))
    for (const verb of ['copy', 'move'] as const) {
      expect(await failureOf(small[verb](p('/f'), p('/m/f'), { overwrite: true }))).toBe('too-large')
      expect(await failureWithPathOf(frozen[verb](p('/f'), p('/m/f'), { overwrite: true }))).toBe('denied /m/f')
    }
    expect(await textOf(base, '/f')).toBe('four')
  })

  it('trees go member by member', async () => {
    const { tree, base, m } = site()
    for (const path of ['/d/f', '/d/e/g', '/d/empty/x']) await put(tree, path)
    await tree.remove(p('/d/empty/x'))
    await tree.change(p('/d/e'), { attributes })
    expect(await failureOf(tree.copyTree!(p('/d'), p('/m/d')))).toBe('unsupported')
    expect(await failureOf(tree.moveTree!(p('/d'), p('/m/d')))).toBe('elsewhere')
    const copied = await copyTree(tree, p('/d'), p('/m/copy'), { overwrite: false })
    expect([copied.created, copied.failures]).toEqual([true, []])
    expect(await tree.stat(p('/m/copy/e'))).toMatchObject({ attributes })
    const moved = await moveTree(tree, p('/d'), p('/m/moved'), { overwrite: false })
    expect([moved.created, moved.failures]).toEqual([true, []])
    for (const root of ['/copy', '/moved'])
      expect(await pathsBelow(m, root, { depth: 'infinity', order: 'key' })).toEqual(
        ['/e', '/e/g', '/empty', '/f'].map((path) => root + path),
      )
    expect(await everything(base)).toEqual([])
    // A tree with another store in it.
    await put(tree, '/way/x')
    await put(tree, '/way/to/deep/y')
    const whole = await copyTree(tree, p('/way'), p('/m/way'), { overwrite: false })
    expect(whole.failures).toEqual([])
    expect(await pathsBelow(m, '/way', { depth: 'infinity', order: 'key' })).toEqual(
      ['/way/to', '/way/to/deep', '/way/to/deep/y', '/way/x'].map(p),
    )
    expect(await failureOf(copyTree(tree, p('/way'), p('/way/to/deep/in'), { overwrite: false }))).toBe('denied')
  })

  it('files are put together of pieces from anywhere', async () => {
    for (const target of [openMemoryStore(), lacking(openMemoryStore(), 'assemble')]) {
      const tree = mountStores([
        { path: '/', store: openMemoryStore() },
        { path: '/m', store: target },
      ])
      await put(tree, '/a', '0123456789')
      await put(tree, '/m/b', 'abcdef')
      const from = (path: string, start: number, end: number): { from: StorePath; range: { start: number; end: number } } => ({
        from: p(path),
        range: { start, end },
      }) // prettier-ignore
      const { entry } = await tree.assemble!(
        p('/m/b'),
        [from('/a', 2, 4), { body: body('<>') }, from('/m/b', 1, 3), from('/a', 9, 10)],
        { attributes, length: 7 },
      )
      expect([entry.path, entry.attributes, await textOf(tree, '/m/b')]).toEqual(['/m/b', attributes, '23<>bc9'])
      const { body: never, pulled } = watchedBody('x')
      for (const [piece, failure] of [
        [from('/a', 0, 11), 'bad-range /a'],
        [from('/none', 0, 1), 'not-found /none'],
        [from('/', 0, 1), 'is-directory /'],
      ] as const)
        expect(await failureWithPathOf(tree.assemble!(p('/m/b'), [{ body: never }, piece]))).toBe(failure)
      expect(pulled()).toBe(false)
    }
  })

  it('gives failures of callbacks as they are, and those of stores with whole paths', async () => {
    const { tree } = site()
    const refused = new Failure('locked', 'not now', { path: p('/m/locked') })
    const beforeCommit = async (): Promise<void> => Promise.reject(refused)
    await expect(tree.write(p('/m/f'), body('x'), { beforeCommit })).rejects.toBe(refused)
    await expect(tree.assemble!(p('/m/f'), [{ body: body('x') }], { beforeCommit })).rejects.toBe(refused)
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x')
      throw refused
    }
    await expect(tree.write(p('/m/f'), broken())).rejects.toBe(refused)
    const signal = AbortSignal.abort(refused)
    await expect(tree.write(p('/m/f'), body('x'), { signal })).rejects.toBe(refused)
    await expect(tree.stat(p('/m/f'), signal)).rejects.toBe(refused)
    expect(await failureWithPathOf(tree.write(p('/m/none/f'), body('x')))).toBe('no-parent /m/none')
    expect(await failureWithPathOf(listed(tree, '/m/none'))).toBe('not-found /m/none')
  })
})

describe('rooms for parts', () => {
  it('are those of the store that has the path, and stay so when other mounts come and go', async () => {
    const { tree, base, m, deep } = site()
    const names = await Promise.all(['/x', '/m/x', '/way/to/deep/x'].map((path) => tree.parts!.open(p(path))))
    const again = mountStores([
      { path: '/way/to/deep', store: deep },
      { path: '/other', store: openMemoryStore() },
      { path: '/m', store: m },
      { path: '/', store: base },
    ])
    for (const name of names) expect(name).toMatch(/^[0-9a-z]{1,64}$/)
    for (const [index, path] of ['/x', '/m/x', '/way/to/deep/x'].entries()) {
      const part = await again.parts!.put(names[index]!, 1, body(path))
      await again.parts!.become(names[index]!, p(path), [part])
      expect(await textOf(again, path)).toBe(path)
    }
    // Without mounts the root's rooms are the same.
    const room = await base.parts!.open(p('/y'))
    await tree.parts!.put(room, 1, body('y'))
    const listedRooms: string[] = []
    for await (const batch of tree.parts!.list()) listedRooms.push(...batch.map((entry) => entry.room))
    expect(listedRooms).toEqual([room])
  })

  it('of one store are none of another', async () => {
    const { tree, m } = site()
    const own = await tree.parts!.open(p('/m/x'))
    const part = await tree.parts!.put(own, 1, body('x'))
    const inner = own.slice(0, -10)
    const foreign = await tree.parts!.open(p('/way/to/deep/x'))
    for (const room of [inner, own.slice(-10), inner + foreign.slice(-10), own + own.slice(-10), `${own}z`, 'none']) {
      expect([room, await failureOf(tree.parts!.put(room, 1, body('x')))]).toEqual([room, 'not-found'])
      expect([room, await failureOf(tree.parts!.become(room, p('/m/x'), [part]))]).toEqual([room, 'not-found'])
      await tree.parts!.close(room)
    }
    // A file cannot come to lie in another store than its parts.
    expect(await failureOf(tree.parts!.become(own, p('/x'), [part]))).toBe('not-found')
    expect(await failureOf(tree.parts!.become(own, p('/m/x'), [part]))).toBe('none')
    expect(await textOf(m, '/x')).toBe('x')
  })

  it('take parts of files in other stores', async () => {
    const { tree } = site()
    await put(tree, '/source', '0123456789')
    const room = await tree.parts!.open(p('/m/x'))
    const from = (start: number, end: number, path = '/source'): Promise<unknown> =>
      tree.parts!.putFrom(room, 1, p(path), { start, end })
    expect(await failureWithPathOf(from(0, 11))).toBe('bad-range /source')
    expect(await failureWithPathOf(from(0, 1, '/none'))).toBe('not-found /none')
    expect(await failureWithPathOf(from(0, 1, '/way'))).toBe('is-directory /way')
    const part = await tree.parts!.putFrom(room, 1, p('/source'), { start: 2, end: 5 }, { digests: ['md5'] })
    expect([part.size, part.digests.md5?.length]).toEqual([3, 16])
    await tree.parts!.become(room, p('/m/x'), [part])
    expect(await textOf(tree, '/m/x')).toBe('234')
  })

  it('are told of all stores that can be asked, before one that cannot', async () => {
    const [base, m] = [openMemoryStore(), openMemoryStore()]
    const down = new Failure('unavailable', 'The service is away.')
    const away = {
      ...bound(m),
      parts: {
        ...bound(m).parts!,
        list: (): AsyncIterable<never> => ({
          [Symbol.asyncIterator]: () => ({ next: async () => Promise.reject(down) }),
        }),
      },
    }
    const tree = mountStores([
      { path: '/', store: base },
      { path: '/m', store: away },
    ])
    const room = await tree.parts!.open(p('/x'))
    const told: string[] = []
    const all = async (): Promise<void> => {
      for await (const batch of tree.parts!.list()) told.push(...batch.map((entry) => entry.room))
    }
    await expect(all()).rejects.toBe(down)
    expect(told).toEqual([room])
  })

  it('are refused by a store that has none', async () => {
    const tree = mountStores([
      { path: '/', store: openMemoryStore() },
      { path: '/m', store: lacking(openMemoryStore(), 'parts') },
    ])
    expect(await failureOf(tree.parts!.open(p('/m/x')))).toBe('unsupported')
    expect(await failureOf(tree.parts!.open(p('/x')))).toBe('none')
  })
})

describe('abilities that only some of the stores have', () => {
  it('are refused where they are not', async () => {
    const names = ['removeTree', 'moveTree', 'copyTree', 'digest', 'space', 'settle'] as const
    const tree = mountStores([
      { path: '/', store: openMemoryStore() },
      { path: '/m', store: lacking(openMemoryStore(), ...names) },
    ])
    for (const path of ['/f', '/m/f', '/m/d/f']) await put(tree, path)
    expect(await failureOf(tree.digest!(p('/m/f'), ['md5']))).toBe('unsupported')
    expect(await failureOf(tree.digest!(p('/f'), ['md5']))).toBe('none')
    expect(await tree.space!(p('/m'))).toEqual({})
    expect(await failureOf(tree.space!(p('/m/none')))).toBe('not-found')
    expect((await tree.space!(p('/'))).used).toBe(2)
    expect(await failureOf(tree.removeTree!(p('/m/d')))).toBe('unsupported')
    await moveTree(tree, p('/m/d'), p('/m/e'), { overwrite: false })
    await tree.copy(p('/m/f'), p('/m/g'), { overwrite: false, settle: 'later' })
    await tree.settle!()
    expect(await pathsBelow(tree, '/m', { depth: 'infinity', order: 'key' })).toEqual([
      '/m/e',
      '/m/e/f',
      '/m/f',
      '/m/g',
    ])
  })

  it('are absent where none has them', () => {
    const names = ['removeTree', 'moveTree', 'copyTree', 'digest', 'space', 'settle', 'assemble', 'parts', 'presign'] as const // prettier-ignore
    const tree = mountStores(['/', '/m'].map((path) => ({ path, store: lacking(openMemoryStore(), ...names) })))
    for (const name of names) expect(tree[name]).toBeUndefined()
  })
})

it('reads ranges of files wherever they are', async () => {
  const { tree } = site()
  await put(tree, '/m/f', '0123456789')
  const content = await tree.open(p('/m/f'))
  expect(content.entry.path).toBe('/m/f')
  expect((await bytesOf(content, { start: 2, end: 4 })).toString()).toBe('23')
})

describe('a tree of two stores', () => {
  const names = ['/f', '/d', '/d/f', '/d/d', '/m/f', '/m/d', '/m/d/f', '/m/d/d'] as const
  const name = fc.constantFrom(...names)
  const step = fc.oneof(
    fc.record({ verb: fc.constant('write' as const), path: name, text: fc.string({ maxLength: 3 }), parents: fc.boolean() }),
    fc.record({ verb: fc.constantFrom('makeDirectory' as const, 'remove' as const, 'removeTree' as const), path: name }),
    fc.record({
      verb: fc.constantFrom('copy' as const, 'move' as const, 'copyTree' as const, 'moveTree' as const),
      from: name,
      to: name,
      overwrite: fc.boolean(),
    }),
  ) // prettier-ignore

  async function take(
    store: Store,
    one: typeof step extends fc.Arbitrary<infer Step> ? Step : never,
  ): Promise<unknown> {
    switch (one.verb) {
      case 'write':
        return (await store.write(p(one.path), body(one.text), { parents: one.parents })).created
      case 'makeDirectory':
        return (await store.makeDirectory(p(one.path))).kind
      case 'remove':
        return store.remove(p(one.path))
      case 'removeTree':
        return (await removeTree(store, p(one.path))).failures.length
      case 'copy':
      case 'move':
        return (await store[one.verb](p(one.from), p(one.to), { overwrite: one.overwrite })).created
      default: {
        const work = one.verb === 'copyTree' ? copyTree : moveTree
        const { created, failures } = await work(store, p(one.from), p(one.to), { overwrite: one.overwrite })
        return [created, failures.length]
      }
    }
  }

  it('does what one store does, for any steps', async () => {
    const outcome = async (store: Store, one: Parameters<typeof take>[1]): Promise<unknown> =>
      take(store, one).catch((error: unknown) => (error instanceof Failure ? `${error.kind} ${error.path}` : error))
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
        const whole = openMemoryStore()
        await whole.makeDirectory(p('/m'))
        const tree = mountStores([
          { path: '/', store: openMemoryStore() },
          { path: '/m', store: openMemoryStore() },
        ])
        for (const one of steps) {
          const expected = await outcome(whole, one)
          expect({ one, outcome: await outcome(tree, one) }).toEqual({ one, outcome: expected })
        }
        expect(await contents(tree)).toEqual(await contents(whole))
      }),
      { numRuns: 300 },
    )
  })
})
