import { describe, expect, it } from 'vitest'
import { contents, failureWithPathOf, faults, refusing, storeOf, tree } from '../../test/contract/store/refusing.js'
import { Failure } from '../core/failure.js'
import { toPath as p, type StorePath } from '../core/path.js'
import { bound } from './bound.js'
import type { Store } from './store.js'
import { copyTree, moveTree, removeTree } from './tree.js'

describe.each(['copyTree', 'moveTree'] as const)('%s', (name) => {
  const transfer = name === 'copyTree' ? copyTree : moveTree

  it('refuses what cannot be, and leaves all as it is', async () => {
    const store = await storeOf(...tree, '/file')
    const before = await contents(store)
    const all: readonly (readonly [from: string, to: string, overwrite: boolean, failure: string])[] = [
      ['/none', '/new', true, 'not-found /none'],
      ['/a', '/a', true, 'denied /a'],
      ['/a', '/a', false, 'denied /a'],
      ['/file', '/file', true, 'denied /file'],
      ['/a', '/a/b/new', true, 'denied /a/b/new'],
      ['/a', '/a/b', true, 'denied /a/b'],
      ['/', '/new', true, name === 'copyTree' ? 'denied /new' : 'denied /'],
      ['/a/b', '/a', true, 'denied /a'],
      ['/a/f', '/a', true, 'denied /a'],
      ['/a', '/', true, 'denied /'],
      ['/a/b', '/a', false, 'exists /a'],
      ['/a', '/z', false, 'exists /z'],
      ['/a', '/file', false, 'exists /file'],
      ['/file', '/z/keep', false, 'exists /z/keep'],
      ['/a', '/none/new', true, 'no-parent /none'],
      ['/file', '/none/new', true, 'no-parent /none'],
      ['/a', '/file/new', true, 'not-directory /file'],
      ['/file', '/file/new', true, 'not-directory /file'],
    ]
    for (const [from, to, overwrite, failure] of all)
      expect([from, to, await failureWithPathOf(transfer(store, p(from), p(to), { overwrite }))]).toEqual([
        from,
        to,
        failure,
      ])
    expect(await contents(store)).toEqual(before)
  })

  it.each(['all', 'members'] as const)('carries a whole tree, by %s ways', async (ways) => {
    const inner = await storeOf(...tree)
    const store = refusing(inner, {}, { ways })
    const result = await transfer(store, p('/a'), p('/z/new'), { overwrite: false })
    expect(result).toMatchObject({
      created: true,
      failures: [],
      omitted: 0,
      entry: { path: '/z/new', kind: 'directory' },
    })
    const carried = [
      '/z/new/b/',
      '/z/new/b/c/',
      '/z/new/b/c/h=/a/b/c/h',
      '/z/new/b/g=/a/b/g',
      '/z/new/d/',
      '/z/new/f=/a/f',
    ]
    expect(await contents(inner, '/z/new')).toEqual(carried)
    expect((await inner.stat(p('/a'))) === undefined).toBe(name === 'moveTree')
    expect(await inner.stat(p('/z/keep'))).toBeDefined()
  })

  it.each(['all', 'members'] as const)('takes the place of whatever was there, by %s ways', async (ways) => {
    for (const [from, to, expected] of [
      ['/a/f', '/z/keep', ['/z/keep=/a/f', '/z/other/', '/z/other/x=/z/other/x']],
      ['/a/f', '/z/other', ['/z/keep=/z/keep', '/z/other=/a/f']],
      [
        '/a/b',
        '/z/keep',
        ['/z/keep/', '/z/keep/c/', '/z/keep/c/h=/a/b/c/h', '/z/keep/g=/a/b/g', '/z/other/', '/z/other/x=/z/other/x'],
      ],
      [
        '/a/b',
        '/z/other',
        ['/z/keep=/z/keep', '/z/other/', '/z/other/c/', '/z/other/c/h=/a/b/c/h', '/z/other/g=/a/b/g'],
      ],
    ] as const) {
      const inner = await storeOf(...tree, '/z/other/x')
      const result = await transfer(refusing(inner, {}, { ways }), p(from), p(to), { overwrite: true })
      expect(result).toMatchObject({ created: false, failures: [], entry: { path: to } })
      expect(await contents(inner, '/z')).toEqual(expected)
      expect((await inner.stat(p(from))) === undefined).toBe(name === 'moveTree')
    }
  })

  it('keeps what is at the target where the source cannot be read or the name not be made again', async () => {
    const inner = await storeOf('/a/f', '/z/other/x')
    const before = await contents(inner)
    const unreadable = refusing(inner, { 'open /a/f': 'denied' })
    expect(await failureWithPathOf(transfer(unreadable, p('/a/f'), p('/z/other'), { overwrite: true }))).toBe(
      'denied /a/f',
    )
    const unmakeable = refusing(inner, { 'permits /z/other': 'denied' })
    expect(await failureWithPathOf(transfer(unmakeable, p('/a'), p('/z/other'), { overwrite: true }))).toBe(
      'denied /z/other',
    )
    expect(await contents(inner)).toEqual(before)
  })

  it('transfers nothing where something at the target cannot go', async () => {
    const inner = await storeOf(...tree, '/t/x', '/t/sub/locked')
    const store = refusing(inner, { 'remove /t/sub/locked': 'locked' }, { ways: 'members' })
    const result = await transfer(store, p('/a'), p('/t'), { overwrite: true })
    expect(result.entry).toBeUndefined()
    expect([result.created, faults(result)]).toEqual([false, ['locked /t/sub/locked']])
    expect(await contents(inner, '/t')).toEqual(['/t/sub/', '/t/sub/locked=/t/sub/locked'])
    expect(await inner.stat(p('/a/b/c/h'))).toBeDefined()
    const root = refusing(inner, { 'remove /z': 'locked' }, { ways: 'members' })
    expect(await failureWithPathOf(transfer(root, p('/a'), p('/z'), { overwrite: true }))).toBe('locked /z')
  })

  it('stops by its signal, and leaves nothing running', async () => {
    const inner = await storeOf(...Array.from({ length: 50 }, (_, index) => `/a/${index % 5}/${index}`))
    const controller = new AbortController()
    const calls: string[] = []
    const store = refusing(inner, {}, { ways: 'members', calls })
    const verb = name === 'copyTree' ? 'copy' : 'move'
    const aborting: Store = {
      ...store,
      [verb]: async (from: StorePath, to: StorePath, options: { overwrite: boolean }) => {
        if (calls.length > 20) controller.abort()
        return store[verb](from, to, options)
      },
    }
    const work = transfer(aborting, p('/a'), p('/new'), { overwrite: false, signal: controller.signal })
    expect(await failureWithPathOf(work)).toBe('incomplete')
    const after = calls.length
    expect(after).toBeLessThan(40)
    await new Promise((resolve) => setImmediate(resolve))
    expect(calls.length).toBe(after)
  })

  it('passes on what is no Failure, as it is', async () => {
    const inner = await storeOf(...tree)
    const bug = new TypeError('a bug')
    const store = refusing(inner, {}, { ways: 'members' })
    const broken: Store = { ...store, copy: async () => Promise.reject(bug), move: async () => Promise.reject(bug) }
    await expect(transfer(broken, p('/a'), p('/new'), { overwrite: false })).rejects.toBe(bug)
    const late: Store = {
      ...store,
      [name === 'copyTree' ? 'copy' : 'move']: async (
        from: StorePath,
        to: StorePath,
        options: { overwrite: boolean },
      ) => (from === '/a/b/g' ? Promise.reject(bug) : store[name === 'copyTree' ? 'copy' : 'move'](from, to, options)),
    }
    await expect(transfer(late, p('/a'), p('/new'), { overwrite: false })).rejects.toBe(bug)
  })

  it('ends where the medium is full, and says so once for each step that ran', async () => {
    const inner = await storeOf(...Array.from({ length: 100 }, (_, index) => `/a/${index}`))
    const verb = name === 'copyTree' ? 'copy' : 'move'
    const full = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`${verb} /a/${index}`, 'no-space' as const]),
    )
    const store = refusing(inner, full, { ways: 'members' })
    const result = await transfer(store, p('/a'), p('/new'), { overwrite: false })
    expect(result.failures.length).toBeGreaterThan(0)
    expect(result.failures.length).toBeLessThanOrEqual(4)
    expect((await contents(inner, '/a')).length).toBe(100)
  })
})

describe('copyTree', () => {
  it('copies a directory alone with depth 0', async () => {
    const store = await storeOf(...tree, '/t/x')
    expect(await copyTree(store, p('/a'), p('/new'), { overwrite: false, depth: 0 })).toMatchObject({ created: true })
    expect(await copyTree(store, p('/a'), p('/t'), { overwrite: true, depth: 0 })).toMatchObject({ created: false })
    expect([await contents(store, '/new'), await contents(store, '/t')]).toEqual([[], []])
  })

  it('goes on as far as it can, and reports the target, or the source that could not be read', async () => {
    const inner = await storeOf(...tree, '/a/d/i', '/a/e/j', '/a/k')
    const store = refusing(inner, {
      'copy /new/b': 'denied',
      'copy /a/f': 'denied',
      'copy /new/d/i': 'locked',
      'list /a/e': 'denied',
    })
    const result = await copyTree(store, p('/a'), p('/new'), { overwrite: false })
    expect(faults(result)).toEqual(['denied /a/e', 'denied /a/f', 'denied /new/b', 'locked /new/d/i'])
    expect(result).toMatchObject({ created: true, omitted: 0 })
    expect(await contents(inner, '/new')).toEqual(['/new/d/', '/new/e/', '/new/k=/a/k'])
  })

  it('passes over what vanishes meanwhile', async () => {
    const inner = await storeOf(...tree)
    const store = refusing(inner, { 'copy /a/f': 'not-found', 'list /a/b': 'not-found' })
    expect(faults(await copyTree(store, p('/a'), p('/new'), { overwrite: false }))).toEqual([])
    expect(await contents(inner, '/new')).toEqual(['/new/b/', '/new/d/'])
  })

  it('settles once, after the last copy', async () => {
    const calls: string[] = []
    const inner = await storeOf(...tree)
    await copyTree(refusing(inner, {}, { calls }), p('/a'), p('/new'), { overwrite: false })
    expect(calls.filter((call) => call === 'settle')).toHaveLength(1)
    expect(calls.at(-1)).toBe('settle')
  })

  it('copies a few files at once, never more than four', async () => {
    const inner = await storeOf(...Array.from({ length: 40 }, (_, index) => `/a/${index % 4}/${index}`))
    let running = 0
    let most = 0
    const store: Store = {
      ...refusing(inner, {}),
      copy: async (from, to, options) => {
        if ((await inner.stat(from))?.kind === 'directory') return inner.copy(from, to, options)
        most = Math.max(most, ++running)
        await new Promise((resolve) => setImmediate(resolve))
        running--
        return inner.copy(from, to, options)
      },
    }
    await copyTree(store, p('/a'), p('/new'), { overwrite: false })
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(4)
    expect(await contents(inner, '/new')).toHaveLength(44)
  })

  it('keeps the first thousand failures and counts the rest', async () => {
    const inner = await storeOf(...Array.from({ length: 1200 }, (_, index) => `/a/${index}`))
    const refused = Object.fromEntries(
      Array.from({ length: 1200 }, (_, index) => [`copy /a/${index}`, 'denied' as const]),
    )
    const result = await copyTree(refusing(inner, refused), p('/a'), p('/new'), { overwrite: false })
    expect([result.failures.length, result.omitted]).toEqual([1000, 200])
  })

  it('goes deep', async () => {
    const inner = await storeOf('/a' + '/d'.repeat(300) + '/f')
    await copyTree(inner, p('/a'), p('/new'), { overwrite: false })
    expect(await contents(inner, '/new')).toHaveLength(301)
    expect(faults(await removeTree(refusing(inner, {}, { ways: 'members' }), p('/new')))).toEqual([])
    expect(await inner.stat(p('/new'))).toBeUndefined()
  })
})

describe('moveTree', () => {
  it('takes the short way where it may, and throws what that throws', async () => {
    const inner = await storeOf(...tree)
    const calls: string[] = []
    await moveTree(refusing(inner, {}, { calls }), p('/a'), p('/new'), { overwrite: false })
    expect(calls).toEqual(['moveTree /a /new'])
    const locked = refusing(inner, { 'moveTree /new': 'locked' })
    expect(await failureWithPathOf(moveTree(locked, p('/new'), p('/b'), { overwrite: false }))).toBe('locked /new')
    expect(await contents(inner)).toHaveLength(9)
  })

  it.each(['unsupported', 'elsewhere'] as const)(
    'goes member by member after `%s`, in one step where a branch allows',
    async (kind) => {
      const inner = await storeOf(...tree)
      const calls: string[] = []
      const result = await moveTree(refusing(inner, { 'moveTree /a': kind }, { calls }), p('/a'), p('/new'), {
        overwrite: false,
      })
      expect(result).toMatchObject({ created: true, failures: [] })
      expect(calls).toContain('moveTree /a/b /new/b')
      expect(calls).toContain('move /a/f /new/f')
      expect(await contents(inner)).toEqual([
        '/new/',
        '/new/b/',
        '/new/b/c/',
        '/new/b/c/h=/a/b/c/h',
        '/new/b/g=/a/b/g',
        '/new/d/',
        '/new/f=/a/f',
        '/z/',
        '/z/keep=/z/keep',
      ])
    },
  )

  it('leaves a member that cannot move, with the directories above it, and reports that member alone', async () => {
    const inner = await storeOf(...tree, '/a/e/i')
    const store = refusing(
      inner,
      { 'move /a/b/c/h': 'locked', 'copy /new/e': 'denied', 'remove /a/d': 'locked' },
      { ways: 'members' },
    )
    const result = await moveTree(store, p('/a'), p('/new'), { overwrite: false })
    expect(faults(result)).toEqual(['denied /new/e', 'locked /a/b/c/h', 'locked /a/d'])
    expect(await contents(inner)).toEqual([
      '/a/',
      '/a/b/',
      '/a/b/c/',
      '/a/b/c/h=/a/b/c/h',
      '/a/d/',
      '/a/e/',
      '/a/e/i=/a/e/i',
      '/new/',
      '/new/b/',
      '/new/b/c/',
      '/new/b/g=/a/b/g',
      '/new/d/',
      '/new/f=/a/f',
      '/z/',
      '/z/keep=/z/keep',
    ])
  })

  it('blames the source for a lock above it', async () => {
    const inner = await storeOf('/a/f')
    const store: Store = {
      ...refusing(inner, {}, { ways: 'members' }),
      move: async () => Promise.reject(new Failure('locked', 'held', { path: p('/a') })),
    }
    expect(faults(await moveTree(store, p('/a'), p('/new'), { overwrite: false }))).toEqual(['locked /a/f'])
  })
})

describe('how much is done at once', () => {
  it.each([
    [undefined, 4],
    [1, 1],
    [32, 32],
  ])('follows the store, which says %s', async (concurrency, most) => {
    const inner = await storeOf(...Array.from({ length: 100 }, (_, index) => `/d/${index}`))
    let running = 0
    let seen = 0
    const store: Store = {
      ...bound(inner),
      ...(concurrency !== undefined && { concurrency }),
      removeTree: undefined,
      async remove(path, options) {
        seen = Math.max(seen, ++running)
        await new Promise((resolve) => setImmediate(resolve))
        await inner.remove(path, options)
        running--
      },
    }
    expect((await removeTree(store, p('/d'))).failures).toEqual([])
    expect(seen).toBe(most)
    expect(bound(store).concurrency).toBe(concurrency)
  })
})
