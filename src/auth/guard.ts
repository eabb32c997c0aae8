import type { Permit } from './permit.js'
import type { Lock, LockHolder, Locks, LockedWrite } from '../catalog/locks.js'
import type { Properties } from '../catalog/properties.js'
import { bound } from '../catalog/tended.js'
import { Failure, isFailure } from '../core/failure.js'
import { ownSegment, parentOf, type StorePath } from '../core/path.js'
import type { Action, Conditions, Staged, Store, Transfer, WriteOptions } from '../store/store.js'

/** What a protocol holds: every call through it is allowed by grants and locks, or throws `denied` or `locked`. */
export interface GuardedSet {
  readonly store: Store
  readonly locks: Pick<Locks, 'take' | 'refresh' | 'release' | 'covering' | 'below' | 'members'>
  readonly properties: Pick<Properties, 'of' | 'members' | 'change'>
}

/**
 * Puts one caller's rights around everything that a protocol may touch. Which method needs which action is written here
 * and nowhere else. Writes are judged against the locks of others before a body is read and again right before the
 * commit. `removeTree` and `moveTree` throw `unsupported` where the caller must go member by member.
 */
export function guard(
  { store, locks, properties }: { readonly store: Store; readonly locks: Locks; readonly properties: Properties },
  permit: Permit,
  holder: LockHolder,
): GuardedSet {
  function demand(action: Action, path: StorePath): void {
    if (!allows(action, path)) throw denied(action, path)
  }

  function allows(action: Action, path: StorePath): boolean {
    return !isOwn(path) && permit.allows(action, path)
  }

  function visible(path: StorePath, directory: boolean): boolean {
    if (isOwn(path)) return false
    return permit.allows('list', path) || permit.allows('read', path) || (directory && permit.mayAllowBelow(path))
  }

  function demandVisible(path: StorePath): void {
    if (!visible(path, true)) throw denied('list', path)
  }

  /** What is known of a resource beside its bytes is as visible as itself: a mere way to a grant shows directories only. */
  async function isKnowable(path: StorePath): Promise<boolean> {
    return visible(path, false) || (visible(path, true) && (await store.stat(path))?.kind !== 'file')
  }

  async function demandKnowable(path: StorePath): Promise<void> {
    if (!(await isKnowable(path))) throw denied('list', path)
  }

  async function onlyKnowable<Value>(members: ReadonlyMap<StorePath, Value>): Promise<ReadonlyMap<StorePath, Value>> {
    const shown = new Map<StorePath, Value>()
    for (const [path, value] of members) if (await isKnowable(path)) shown.set(path, value)
    return shown
  }

  /** Locks stand in the way of the write: throws `locked`. A name that is there already does not change its parent. */
  async function checkLocks(write: LockedWrite): Promise<void> {
    await locks.check(write, holder)
  }

  async function checkPut(path: StorePath): Promise<void> {
    try {
      await checkLocks({ path, extent: 'self', membership: true })
    } catch (error) {
      if (!isFailure(error, 'locked') || (await store.stat(path)) === undefined) throw error
      await checkLocks({ path, extent: 'self', membership: false })
    }
  }

  /**
   * Conditions under which a caller who may only create, or only replace, cannot do the other: decided by the store in
   * the step of the commit, never by a look before.
   */
  function narrowed<Options extends Conditions>(path: StorePath, options: Options): Options {
    const create = allows('create', path)
    const replace = allows('replace', path)
    if (create && replace) return options
    if (create) {
      if (options.ifMatch !== undefined) throw denied('replace', path)
      return { ...options, ifNoneMatch: '*' }
    }
    if (!replace) throw denied('create', path)
    if (options.ifNoneMatch === '*') throw denied('create', path)
    return { ...options, ifMatch: options.ifMatch ?? '*' }
  }

  /** The failed condition was ours, not the caller's: what it lacks is the right. */
  async function explained(error: unknown, path: StorePath, asked: Conditions, put: Conditions): Promise<unknown> {
    if (!isFailure(error, 'precondition')) return error
    if (put.ifNoneMatch === '*' && asked.ifNoneMatch !== '*') return denied('replace', path)
    if (put.ifMatch === '*' && asked.ifMatch === undefined && (await store.stat(path)) === undefined)
      return denied('create', path)
    return error
  }

  /** Missing parents become members of what is there: a lock on that keeps them out. Resolves to whether any is missing. */
  async function checkParents(path: StorePath): Promise<boolean> {
    let missing = false
    for (let at = parentOf(path); at !== '/' && (await store.stat(at)) === undefined; at = parentOf(at)) {
      await checkLocks({ path: at, extent: 'self', membership: true })
      missing = true
    }
    return missing
  }

  async function put<Result>(
    path: StorePath,
    options: WriteOptions,
    commit: (options: WriteOptions) => Promise<Result>,
  ): Promise<Result> {
    const put = narrowed(path, options)
    await checkPut(path)
    const makesParents = options.parents === true && (await checkParents(path))
    const beforeCommit = async (staged: Staged): Promise<void> => {
      await options.beforeCommit?.(staged)
      await checkPut(path)
      if (makesParents) await checkParents(path)
    }
    try {
      return await commit({ ...put, beforeCommit })
    } catch (error) {
      throw await explained(error, path, options, put)
    }
  }

  /** The target end of COPY and MOVE: which of create and replace is needed depends on what is there. */
  async function checkTarget(to: StorePath, options: Transfer): Promise<Transfer> {
    const create = allows('create', to)
    const replace = allows('replace', to)
    if (!create && !replace) throw denied('create', to)
    await checkPut(to)
    if (create && replace) return options
    const exists = (await store.stat(to)) !== undefined
    if (exists && !replace && options.overwrite) throw denied('replace', to)
    if (!exists && !create) throw denied('create', to)
    return create ? { ...options, overwrite: false } : options
  }

  const guarded: { -readonly [Key in keyof Store]: Store[Key] } = {
    ...bound(store),

    async stat(path, signal) {
      if (isOwn(path)) return undefined
      if (permit.allows('list', path) || permit.allows('read', path)) return store.stat(path, signal)
      if (!permit.mayAllowBelow(path)) throw denied('list', path)
      const entry = await store.stat(path, signal)
      if (entry?.kind === 'file') throw denied('list', path)
      return entry
    },

    async *list(directory, options) {
      demandVisible(directory)
      const all = directory !== '/' && permit.allowsAllBelow('list', directory)
      for await (const entries of store.list(directory, options)) {
        yield all ? entries : entries.filter((entry) => visible(entry.path, entry.kind === 'directory'))
      }
    },

    async open(path, options) {
      demand('read', path)
      return store.open(path, options)
    },

    write: (path, body, options = {}) => put(path, options, (narrow) => store.write(path, body, narrow)),

    async change(path, change) {
      demand('replace', path)
      await checkLocks({ path, extent: 'self', membership: false })
      return store.change(path, change)
    },

    async makeDirectory(path, signal) {
      demand('create', path)
      await checkPut(path)
      return store.makeDirectory(path, signal)
    },

    async remove(path, options) {
      demand('delete', path)
      await checkLocks({ path, extent: 'self', membership: true })
      await store.remove(path, options)
    },

    async copy(from, to, options) {
      // A directory's own copy shows no more than its name.
      if (!allows('read', from)) {
        if (!visible(from, true) || (await store.stat(from))?.kind !== 'directory') throw denied('read', from)
      }
      return store.copy(from, to, await checkTarget(to, options))
    },

    async move(from, to, options) {
      demand('read', from)
      demand('delete', from)
      await checkLocks({ path: from, extent: 'self', membership: true })
      return store.move(from, to, await checkTarget(to, options))
    },

    permits: async (action, path) => allows(action, path) && (await store.permits(action, path)),
  }
  // A multipart upload is named by an id that says nothing of its path; whoever offers it must bind the two.
  delete guarded.uploads

  const { removeTree, moveTree, assemble, space, presign } = bound(store)
  if (removeTree !== undefined)
    guarded.removeTree = async (path, signal) => {
      demand('delete', path)
      if (!permit.allowsAllBelow('delete', path)) throw memberByMember()
      await checkLocks({ path, extent: 'self', membership: true })
      await shortWay(checkLocks({ path, extent: 'tree', membership: true }))
      await removeTree(path, signal)
    }
  if (moveTree !== undefined)
    guarded.moveTree = async (from, to) => {
      demand('read', from)
      demand('delete', from)
      demand('create', to)
      for (const action of ['read', 'delete'] as const) if (!permit.allowsAllBelow(action, from)) throw memberByMember()
      if (!permit.allowsAllBelow('create', to)) throw memberByMember()
      await checkLocks({ path: from, extent: 'self', membership: true })
      await shortWay(checkLocks({ path: from, extent: 'tree', membership: true }))
      await checkLocks({ path: to, extent: 'tree', membership: true })
      return moveTree(from, to)
    }
  if (assemble !== undefined)
    guarded.assemble = async (to, pieces, options = {}) => {
      for (const piece of pieces) if ('from' in piece && piece.from !== to) demand('read', piece.from)
      return put(to, options, (narrow) => assemble(to, pieces, narrow))
    }
  if (space !== undefined)
    guarded.space = async (path) => {
      demandVisible(path)
      return space(path)
    }
  if (presign !== undefined)
    guarded.presign = async (request) => {
      if (request.method === 'GET') demand('read', request.path)
      else {
        demand('create', request.path)
        demand('replace', request.path)
        await checkPut(request.path)
      }
      return presign(request)
    }

  return {
    store: guarded,
    locks: {
      async take(request) {
        if (!allows('create', request.path)) demand('replace', request.path)
        const entry = await store.stat(request.path)
        demand(entry === undefined ? 'create' : 'replace', request.path)
        // A deep lock keeps others out of everything below, so it needs the right to write there.
        if (
          entry?.kind === 'directory' &&
          request.depth === 'infinity' &&
          !permit.allowsAllBelow('replace', request.path)
        )
          throw denied('replace', request.path)
        return locks.take(request)
      },
      async refresh(path, by, timeoutSeconds) {
        if (!allows('replace', path)) demand('create', path)
        return locks.refresh(path, by, timeoutSeconds)
      },
      async release(path, token, principal) {
        if (!allows('replace', path)) demand('create', path)
        await locks.release(path, token, principal)
      },
      async covering(path) {
        await demandKnowable(path)
        return locks.covering(path)
      },
      async *below(path) {
        demandVisible(path)
        for await (const found of locks.below(path)) {
          const shown: Lock[] = []
          for (const lock of found) if (await isKnowable(lock.path)) shown.push(lock)
          if (shown.length > 0) yield shown
        }
      },
      async members(directory) {
        demandVisible(directory)
        return onlyKnowable(await locks.members(directory))
      },
    },
    properties: {
      async of(path) {
        await demandKnowable(path)
        return properties.of(path)
      },
      async members(directory) {
        demandVisible(directory)
        return onlyKnowable(await properties.members(directory))
      },
      async change(path, changes) {
        demand('replace', path)
        await checkLocks({ path, extent: 'self', membership: false })
        await properties.change(path, changes)
      },
    },
  }
}

/** `/-` and all below it is Postern's own: whatever lies there on a medium is neither shown nor touched. */
function isOwn(path: StorePath): boolean {
  return path.charCodeAt(1) === 45 && (path.length === 2 || path.charCodeAt(2) === 47) && path[1] === ownSegment
}

async function shortWay(check: Promise<void>): Promise<void> {
  try {
    await check
  } catch (error) {
    throw isFailure(error, 'locked') ? memberByMember() : error
  }
}

function memberByMember(): Failure {
  return new Failure('unsupported', 'This tree must be dealt with member by member.')
}

const wanted: Readonly<Record<Action, string>> = {
  read: 'read',
  list: 'list',
  create: 'create files in',
  replace: 'change',
  delete: 'delete',
}

function denied(action: Action, path: StorePath): Failure {
  return new Failure('denied', `You have no right to ${wanted[action]} this.`, { path })
}
