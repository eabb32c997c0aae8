import type { Permit } from './permit.js'
import type { UploadLimits } from './upload-limits.js'
import type { LockedWrite, LockHolder, Locks } from '../catalog/locks.js'
import { Failure, isFailure } from '../core/failure.js'
import { ancestorsOf, isOwnPath, parentOf, type StorePath } from '../core/path.js'
import { tooLarge } from '../store/at-most.js'
import type { Action, Conditions, Staged, Store, Transfer, WriteOptions } from '../store/store.js'

/** The questions that the guard asks: what one caller may do, see and overwrite. */
export class Rights {
  readonly permit: Permit
  readonly holder: LockHolder
  readonly #store: Store
  readonly #locks: Locks
  readonly #uploads: UploadLimits | undefined

  constructor(store: Store, locks: Locks, permit: Permit, holder: LockHolder, uploads?: UploadLimits) {
    this.#store = store
    this.#locks = locks
    this.#uploads = uploads
    this.permit = permit
    this.holder = holder
  }

  allows(action: Action, path: StorePath, collection?: boolean): boolean {
    return !isOwnPath(path) && this.permit.allows(action, path, collection)
  }

  /** Throws `denied`. */
  demand(action: Action, path: StorePath, collection?: boolean): void {
    if (!this.allows(action, path, collection)) throw denied(action, path)
  }

  /** Whether it shows in a listing; a directory does as well where it leads to something granted. */
  sees(path: StorePath, directory: boolean): boolean {
    if (isOwnPath(path)) return false
    const { permit } = this
    return permit.allows('list', path) || permit.allows('read', path) || (directory && permit.mayAllowBelow(path))
  }

  /** Throws `denied`. */
  demandVisible(path: StorePath): void {
    if (!this.sees(path, true)) throw denied('list', path)
  }

  /** What is known of a resource beside its bytes is as visible as itself: a mere way to a grant shows directories only. */
  async mayKnow(path: StorePath): Promise<boolean> {
    return this.sees(path, false) || (this.sees(path, true) && (await this.#store.stat(path))?.kind !== 'file')
  }

  /** Throws `denied`. */
  async demandKnowable(path: StorePath): Promise<void> {
    if (!this.sees(path, false) && !(await this.mayKnow(path))) throw denied('list', path)
  }

  async onlyKnowable<Value>(members: ReadonlyMap<StorePath, Value>): Promise<ReadonlyMap<StorePath, Value>> {
    if (members.size === 0) return members
    const shown = new Map<StorePath, Value>()
    for (const [path, value] of members) if (await this.mayKnow(path)) shown.set(path, value)
    return shown
  }

  /** The locks of others stand in the way of the write: throws `locked`. */
  checkLocks(path: StorePath, extent: 'self' | 'tree', membership: boolean): Promise<void> {
    return this.#locks.check({ path, extent, membership }, this.holder)
  }

  /**
   * A deed that locks may forbid, in its last step: whoever takes a lock meanwhile is told of it only when the deed is over.
   * Its signal, where there is one, must keep the deed from going on.
   */
  async during<Result>(
    writes: readonly LockedWrite[],
    check: () => Promise<unknown>,
    deed: (signal: AbortSignal | undefined) => Promise<Result>,
  ): Promise<Result> {
    const commit = this.#locks.commit(writes)
    try {
      await commit.begin()
      await check()
      return await deed(commit.signal)
    } finally {
      commit.end()
    }
  }

  /**
   * Locks against putting something at a path; throws `locked`. Those on the parent keep new names out: where they do,
   * resolves to what would be said of one, for what is there already may be replaced.
   */
  async checkPut(path: StorePath): Promise<Failure | undefined> {
    try {
      await this.checkLocks(path, 'self', true)
    } catch (error) {
      if (!isFailure(error, 'locked') || (await this.#store.stat(path)) === undefined) throw error
      await this.checkLocks(path, 'self', false)
      return error
    }
    return undefined
  }

  /** The most bytes that may be put there. */
  mostBytes(path: StorePath): number {
    if (this.#uploads === undefined && this.permit.mostBytes === undefined) return Infinity
    return Math.min(this.#uploads?.(path) ?? Infinity, this.permit.mostBytes?.(path) ?? Infinity)
  }

  /** Everything around a write that puts new content at a path: rights, sizes, locks before the body and before the commit. */
  async put<Result>(
    path: StorePath,
    options: WriteOptions,
    commit: (options: WriteOptions) => Promise<Result>,
  ): Promise<Result> {
    const put = this.#narrowed(path, options)
    const most = this.mostBytes(path)
    if (options.length !== undefined && options.length > most) throw tooLarge(most)
    const step = this.#locks.commit(puts(path, options.parents === true))
    try {
      // A body so short is here before anybody could know of the commit.
      if (options.length !== undefined && options.length <= shortBytes) step.prepare()
      const noNewName = await this.checkPut(path)
      const makesParents = options.parents === true && (await this.#checkParents(path))
      const beforeCommit = async (staged: Staged): Promise<void> => {
        if (staged.size > most) throw tooLarge(most)
        if (options.beforeCommit !== undefined) await options.beforeCommit(staged)
        await step.begin()
        const since = await this.checkPut(path)
        // It could go before it is replaced, and only a condition keeps it from being made again then.
        if (since !== undefined && noNewName === undefined) throw since
        if (makesParents) await this.#checkParents(path)
      }
      const signal = eitherSignal(options.signal, step.signal)
      const there = noNewName && put.ifMatch === undefined ? { ifMatch: '*' as const } : undefined
      try {
        return await commit(
          Object.assign({}, put, there, signal === undefined ? { beforeCommit } : { beforeCommit, signal }),
        )
      } catch (error) {
        if (there === undefined || !isFailure(error, 'precondition')) throw error
        if (noNewName !== undefined && (await this.#store.stat(path)) === undefined) throw noNewName
        throw error
      }
    } catch (error) {
      throw await this.#explained(error, path, options, put)
    } finally {
      step.end()
    }
  }

  /** The target end of COPY and MOVE: which of create and replace is needed depends on what is there. */
  async checkTarget(to: StorePath, options: Transfer): Promise<Transfer> {
    const create = this.allows('create', to)
    const replace = this.allows('replace', to)
    if (!create && !replace) throw denied('create', to)
    await this.checkPut(to)
    if (create && replace) return options
    const exists = (await this.#store.stat(to)) !== undefined
    if (exists && !replace && options.overwrite) throw denied('replace', to)
    if (!exists && !create) throw denied('create', to)
    return create ? { ...options, overwrite: false } : options
  }

  /**
   * Conditions under which a caller who may only create, or only replace, cannot do the other: decided by the store in
   * the step of the commit, never by a look before.
   */
  #narrowed(path: StorePath, options: WriteOptions): WriteOptions {
    const create = this.allows('create', path)
    const replace = this.allows('replace', path)
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
  async #explained(error: unknown, path: StorePath, asked: Conditions, put: Conditions): Promise<unknown> {
    if (!isFailure(error, 'precondition')) return error
    if (put.ifNoneMatch === '*' && asked.ifNoneMatch !== '*') return denied('replace', path)
    if (put.ifMatch === '*' && asked.ifMatch === undefined && (await this.#store.stat(path)) === undefined)
      return denied('create', path)
    return error
  }

  /** Missing parents become members of what is there: a lock on that keeps them out. Resolves to whether any is missing. */
  async #checkParents(path: StorePath): Promise<boolean> {
    let missing = false
    for (let at = parentOf(path); at !== '/' && (await this.#store.stat(at)) === undefined; at = parentOf(at)) {
      await this.checkLocks(at, 'self', true)
      missing = true
    }
    return missing
  }
}

/** What putting something at a path changes: the path and its name, and those of parents that may be made for it. */
export function puts(path: StorePath, parents = false): readonly LockedWrite[] {
  const paths = parents ? [path, ...ancestorsOf(path)] : [path]
  return paths.map((each) => ({ path: each, extent: 'self', membership: true }))
}

/** Aborts as soon as one of the two does. */
export function eitherSignal(one: AbortSignal | undefined, other: AbortSignal | undefined): AbortSignal | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return AbortSignal.any([one, other])
}

const shortBytes = 1024 * 1024

const wanted: Readonly<Record<Action, string>> = {
  read: 'read',
  list: 'list',
  create: 'create files in',
  replace: 'change',
  delete: 'delete',
}

/** What a caller is told who lacks a right. */
export function denied(action: Action, path: StorePath): Failure {
  return new Failure('denied', `You have no right to ${wanted[action]} this.`, { path })
}
