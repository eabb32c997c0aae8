import { describe, expect, it } from 'vitest'
import { Failure, isFailure, type FailureKind } from '../core/failure.js'
import { toPath as p, type StorePath } from '../core/path.js'
import { openMemoryStore } from './memory.js'
import type { Store } from './store.js'
import { copyTree, moveTree, removeTree, type TreeRemoved } from './tree.js'

async function* text(value: string): AsyncGenerator<Uint8Array, void> {
  yield Buffer.from(value)
}

/** A store with these files (each holds its own path) and directories (names that end in a slash). */
async function storeOf(...paths: readonly string[]): Promise<Store> {
  const store = openMemoryStore()
  for (const path of paths) {
    if (path.endsWith('/')) await store.makeDirectory(p(path))
    else await store.write(p(path), text(path), { parents: true })
  }
  return store
}

async function contents(store: Store, path = '/'): Promise<readonly string[]> {
  const found: string[] = []
  for await (const batch of store.list(p(path), { depth: 'infinity', order: 'key' }))
    for (const entry of batch) {
      if (entry.kind === 'directory') found.push(entry.path + '/')
      else found.push(`${entry.path}=${await read(store, entry.path)}`)
    }
  return found
}

async function read(store: Store, path: StorePath): Promise<string> {
  const chunks: Uint8Array[] = []
  const bytes = (await store.open(path)).bytes()
  if ('fd' in bytes) throw new Error('A descriptor from memory.')
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

type Verb = 'copy' | 'move' | 'remove' | 'list' | 'open' | 'removeTree' | 'moveTree' | 'permits'

/**
 * What a guard does, with a list of refusals: `move /a/x` fails with the kind that is given, for that source or target.
 * `ways: 'members'` keeps the short ways shut.
 */
function refusing(
  inner: Store,
  refusals: Readonly<Record<string, FailureKind>>,
  { ways = 'all', calls = [] as string[] }: { ways?: 'all' | 'members'; calls?: string[] } = {},
): Store {
  const check = (verb: Verb, ...paths: readonly StorePath[]): void => {
    calls.push([verb, ...paths].join(' '))
    for (const path of paths) {
      const kind = refusals[`${verb} ${path}`]
      if (kind !== undefined) throw new Failure(kind, 'refused', { path })
    }
  }
  const short = (): void => {
    if (ways === 'members') throw new Failure('unsupported', 'Only member by member.')
  }
  return {
    stat: (path, signal) => inner.stat(path, signal),
    async *list(path, options) {
      check('list', path)
      yield* inner.list(path, options)
    },
    open: async (path, options) => {
      check('open', path)
      return inner.open(path, options)
    },
    write: (path, body, options) => inner.write(path, body, options),
    change: (path, change) => inner.change(path, change),
    makeDirectory: (path, signal) => inner.makeDirectory(path, signal),
    remove: async (path, options) => {
      check('remove', path)
      return inner.remove(path, options)
    },
    copy: async (from, to, options) => {
      check('copy', from, to)
      return inner.copy(from, to, options)
    },
    move: async (from, to, options) => {
      check('move', from, to)
      return inner.move(from, to, options)
    },
    permits: async (action, path) => refusals[`permits ${path}`] === undefined && inner.permits(action, path),
    removeTree: async (path, signal) => {
      short()
      check('removeTree', path)
      return inner.removeTree?.(path, signal)
    },
    moveTree: async (from, to) => {
      short()
      check('moveTree', from, to)
      const written = await inner.moveTree?.(from, to)
      if (written === undefined) throw new Failure('unsupported', 'Absent.')
      return written
    },
    settle: async () => {
      calls.push('settle')
      return inner.settle?.()
    },
    close: () => inner.close(),
  }
}

function faults(result: TreeRemoved): readonly string[] {
  return result.failures.map(({ path, failure }) => `${failure.kind} ${path}`).sort()
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.path === undefined ? error.kind : `${error.kind} ${error.path}`
  }
}

const tree = ['/a/f', '/a/b/g', '/a/b/c/h', '/a/d/', '/z/keep'] as const

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
      expect([from, to, await failureOf(transfer(store, p(from), p(to), { overwrite }))]).toEqual([from, to, failure])
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
    expect(await failureOf(transfer(unreadable, p('/a/f'), p('/z/other'), { overwrite: true }))).toBe('denied /a/f')
    const unmakeable = refusing(inner, { 'permits /z/other': 'denied' })
    expect(await failureOf(transfer(unmakeable, p('/a'), p('/z/other'), { overwrite: true }))).toBe('denied /z/other')
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
    expect(await failureOf(transfer(root, p('/a'), p('/z'), { overwrite: true }))).toBe('locked /z')
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
    expect(await failureOf(work)).toBe('incomplete')
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
    expect(await failureOf(moveTree(locked, p('/new'), p('/b'), { overwrite: false }))).toBe('locked /new')
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

describe('removeTree', () => {
  it('refuses the root and what is not there', async () => {
    const store = await storeOf(...tree)
    expect(await failureOf(removeTree(store, p('/')))).toBe('denied /')
    expect(await failureOf(removeTree(refusing(store, {}, { ways: 'members' }), p('/')))).toBe('denied /')
    expect(await failureOf(removeTree(store, p('/none')))).toBe('not-found /none')
    expect(await contents(store)).toHaveLength(9)
  })

  it.each(['all', 'members'] as const)('removes files and trees, by %s ways', async (ways) => {
    const inner = await storeOf(...tree)
    const store = refusing(inner, {}, { ways })
    expect(await removeTree(store, p('/a'))).toEqual({ failures: [], omitted: 0 })
    expect(await removeTree(store, p('/z/keep'))).toEqual({ failures: [], omitted: 0 })
    expect(await contents(inner)).toEqual(['/z/'])
  })

  it('goes on as far as it can, and reports neither what lies above nor below', async () => {
    const inner = await storeOf(...tree, '/a/b/c/i')
    const store = refusing(inner, { 'remove /a/b/c/h': 'locked', 'list /a/d': 'denied' }, { ways: 'members' })
    expect(faults(await removeTree(store, p('/a')))).toEqual(['denied /a/d', 'locked /a/b/c/h'])
    expect(await contents(inner, '/a')).toEqual(['/a/b/', '/a/b/c/', '/a/b/c/h=/a/b/c/h', '/a/d/'])
  })

  it('takes the long way where the medium refuses the short one, and the short one below', async () => {
    const inner = await storeOf(...tree)
    const calls: string[] = []
    expect(await removeTree(refusing(inner, { 'removeTree /a': 'denied' }, { calls }), p('/a'))).toMatchObject({
      failures: [],
    })
    expect(calls).toContain('removeTree /a/b')
    expect(await contents(inner)).toEqual(['/z/', '/z/keep=/z/keep'])
  })

  it('throws what keeps the directory itself, or the file', async () => {
    const inner = await storeOf(...tree)
    const store = refusing(
      inner,
      { 'remove /a': 'locked', 'remove /z/keep': 'denied', 'list /z': 'denied' },
      { ways: 'members' },
    )
    expect(await failureOf(removeTree(store, p('/a')))).toBe('locked /a')
    expect(await failureOf(removeTree(store, p('/z/keep')))).toBe('denied /z/keep')
    expect(await failureOf(removeTree(store, p('/z')))).toBe('denied /z')
    expect(await contents(inner)).toEqual(['/a/', '/z/', '/z/keep=/z/keep'])
  })

  it('counts what vanishes meanwhile as done, and takes what comes meanwhile too', async () => {
    const inner = await storeOf(...tree)
    let late = 2
    const store: Store = {
      ...refusing(inner, { 'remove /a/d': 'not-found' }, { ways: 'members' }),
      remove: async (path, options) => {
        await inner.remove(path, options)
        if (late-- > 0) await inner.write(p(`/a/late-${late}`), text('x'))
        if (path === '/a/f') throw new Failure('not-found', 'gone', { path })
      },
    }
    expect(await removeTree(store, p('/a'))).toEqual({ failures: [], omitted: 0 })
    expect(await contents(inner)).toEqual(['/z/', '/z/keep=/z/keep'])
  })

  it('gives up on a directory that is filled for ever or holds what it may not see', async () => {
    const inner = await storeOf(...tree)
    const filling: Store = {
      ...refusing(inner, {}, { ways: 'members' }),
      remove: async (path, options) => {
        if (path === '/a') await inner.write(p('/a/again'), text('x'))
        await inner.remove(path, options)
      },
    }
    expect(await failureOf(removeTree(filling, p('/a')))).toBe('not-empty /a')
    const blind: Store = { ...refusing(inner, {}, { ways: 'members' }), list: async function* () {} }
    expect(await failureOf(removeTree(blind, p('/z')))).toBe('not-empty /z')
    expect(await inner.stat(p('/z/keep'))).toBeDefined()
  })

  it('stops by its signal', async () => {
    const inner = await storeOf(...tree)
    expect(await failureOf(removeTree(inner, p('/a'), { signal: AbortSignal.abort() }))).toBe('incomplete')
    expect(await contents(inner)).toHaveLength(9)
  })
})
