import { Failure, isFailure, type FailureKind } from '../../../src/core/failure.js'
import { toPath as p, type StorePath } from '../../../src/core/path.js'
import { openMemoryStore } from '../../../src/store/memory.js'
import type { Store } from '../../../src/store/store.js'
import type { TreeRemoved } from '../../../src/store/tree.js'

/** For the tests of trees: some files, some directories, one of them empty. */
export const tree = ['/a/f', '/a/b/g', '/a/b/c/h', '/a/d/', '/z/keep'] as const

async function* text(value: string): AsyncGenerator<Uint8Array, void> {
  yield Buffer.from(value)
}

/** A store with these files (each holds its own path) and directories (names that end in a slash). */
export async function storeOf(...paths: readonly string[]): Promise<Store> {
  const store = openMemoryStore()
  for (const path of paths) {
    if (path.endsWith('/')) await store.makeDirectory(p(path))
    else await store.write(p(path), text(path), { parents: true })
  }
  return store
}

/** Every path below, files with what they hold. */
export async function contents(store: Store, path = '/'): Promise<readonly string[]> {
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
  if (bytes instanceof Uint8Array) return Buffer.from(bytes).toString()
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

type Verb = 'copy' | 'move' | 'remove' | 'list' | 'open' | 'removeTree' | 'moveTree' | 'permits'

/**
 * What a guard does, with a list of refusals: `move /a/x` fails with the kind that is given, for that source or target.
 * `ways: 'members'` keeps the short ways shut.
 */
export function refusing(
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

/** Kind and path of every failure. */
export function faults(result: TreeRemoved): readonly string[] {
  return result.failures.map(({ path, failure }) => `${failure.kind} ${path}`).sort()
}

/** Kind and path of the failure that the promise rejects with. */
export async function failureWithPathOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.path === undefined ? error.kind : `${error.kind} ${error.path}`
  }
}
