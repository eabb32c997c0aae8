import { Failure, isFailure } from '../core/failure.js'
import { isWithin, parentOf, rebase, type StorePath } from '../core/path.js'
import { exists, heldByMount, intoItself, notFound, refuseRoot, sameTarget } from './refusals.js'
import type { Entry, Store } from './store.js'
import { TreeWork, type MemberFailure, type Scope } from './tree-work.js'

export type { MemberFailure } from './tree-work.js'

/** How often a directory is emptied that others keep filling. */
const maxRounds = 3

/** How a COPY or MOVE of a tree is to be done. */
export interface TreeTransfer {
  /** Take the place of whatever is there, which is removed first where it is not a file for a file; else `exists`. */
  readonly overwrite: boolean
  readonly signal?: AbortSignal
}

/** What became of a tree. */
export interface TreeRemoved {
  /** The members that stayed as they were, without those above or below them; the first thousand. */
  readonly failures: readonly MemberFailure[]
  /** How many more failed. */
  readonly omitted: number
}

export interface TreeTransferred extends TreeRemoved {
  /** Nothing had the target's name before. */
  readonly created: boolean
  /** The target's own; absent where what was there could not be removed, so that nothing was transferred. */
  readonly entry?: Entry
}

/**
 * Copies a file, a directory alone (`depth` 0) or a tree (RFC 4918 §9.8): in one step where the store can, else as far as
 * it can. It is all durable when this resolves. Throws what is wrong with source or target themselves: `not-found`,
 * `no-parent`, `not-directory`, `exists`, `denied` (onto itself, into itself, over a directory that holds the source);
 * `incomplete` where the signal aborts, with what was copied member by member left in place. Where the medium is full in
 * the one step, that is `no-space` and nothing is left. Failures of members are reported for the target's member, for
 * the source's where it could not be read. A member of the source that vanishes meanwhile is passed over.
 */
export async function copyTree(
  store: Store,
  from: StorePath,
  to: StorePath,
  options: TreeTransfer & { readonly depth?: 0 | 'infinity' },
): Promise<TreeTransferred> {
  const { signal } = options
  const work = new TreeWork(store, signal)
  const room = await makeRoom(store, from, to, options, work, 'copy')
  if (room === undefined) return { created: false, ...work.outcome() }
  const whole = room.source.kind === 'directory' && options.depth !== 0
  if (whole && store.copyTree !== undefined) {
    try {
      return { created: room.created, entry: (await store.copyTree(from, to, signal)).entry, ...work.outcome() }
    } catch (error) {
      if (!isFailure(error, 'unsupported')) throw error
    }
  }
  const durably = whole ? later(store, signal) : withSignal(signal)
  const { entry } = await store.copy(from, to, { overwrite: room.overwrite, ...durably })
  if (!whole) return { created: room.created, entry, ...work.outcome() }
  const transfer = { overwrite: false, ...durably }

  async function copyMembers(source: StorePath, target: StorePath, level: number): Promise<void> {
    const scope: Scope = { failed: false }
    await work.members(source, level, scope, async (member) => {
      const step = { source: member.path, target: below(target, member) }
      const copyOne = (): Promise<unknown> => store.copy(step.source, step.target, transfer)
      if (member.kind === 'file') await work.start(scope, step, copyOne)
      else if ((await work.now(scope, step, copyOne)) !== undefined)
        await copyMembers(step.source, step.target, level + 1)
    })
  }

  await work.run(() => copyMembers(from, to, 0))
  await store.settle?.()
  return { created: room.created, entry, ...work.outcome() }
}

/**
 * Moves a file or a tree (RFC 4918 §9.9): in one step where the store can, else member by member as far as it can. A
 * member that cannot be moved stays where it is, and so do the directories above it. Throws and reports like `copyTree`.
 */
export async function moveTree(
  store: Store,
  from: StorePath,
  to: StorePath,
  options: TreeTransfer,
): Promise<TreeTransferred> {
  refuseRoot(from)
  const { signal } = options
  const work = new TreeWork(store, signal)
  const room = await makeRoom(store, from, to, options, work, 'move')
  if (room === undefined) return { created: false, ...work.outcome() }
  const { created } = room
  if (room.source.kind === 'file') {
    const { entry } = await store.move(from, to, { overwrite: room.overwrite, ...withSignal(signal) })
    return { created, entry, ...work.outcome() }
  }
  const transfer = { overwrite: false, ...later(store, signal) }

  /** Moves at one stroke, or else makes the target and leaves the members to be moved. */
  async function moveOrMake(source: StorePath, target: StorePath): Promise<{ entry: Entry; membersLeft: boolean }> {
    if (store.moveTree !== undefined) {
      try {
        return { entry: (await store.moveTree(source, target)).entry, membersLeft: false }
      } catch (error) {
        if (!isFailure(error, 'unsupported', 'elsewhere')) throw error
      }
    }
    return { entry: (await store.copy(source, target, transfer)).entry, membersLeft: true }
  }

  async function moveMembers(source: StorePath, target: StorePath, level: number): Promise<Scope> {
    const scope: Scope = { failed: false }
    await work.members(source, level, scope, async (member) => {
      const step = { source: member.path, target: below(target, member) }
      if (member.kind === 'file') {
        await work.start(scope, step, () => store.move(step.source, step.target, transfer))
        return
      }
      const made = await work.now(scope, step, () => moveOrMake(step.source, step.target))
      if (made?.membersLeft !== true) return
      if ((await moveMembers(step.source, step.target, level + 1)).failed) scope.failed = true
    })
    if (await work.isClean(scope)) await work.now(scope, { source }, () => store.remove(source, withSignal(signal)))
    return scope
  }

  const { entry, membersLeft } = await moveOrMake(from, to)
  if (membersLeft) {
    await work.run(() => moveMembers(from, to, 0))
    await store.settle?.()
  }
  return { created, entry, ...work.outcome() }
}

/**
 * Removes a file or a tree (RFC 4918 §9.6.1): in one step where the store can, else member by member as far as it can.
 * What vanishes meanwhile counts as done. Throws `not-found`, and what keeps the file or directory itself where all its
 * members could go (`denied`, `locked`, …); `incomplete` where the signal aborts, with the rest left in place.
 */
export async function removeTree(
  store: Store,
  path: StorePath,
  options: { readonly signal?: AbortSignal } = {},
): Promise<TreeRemoved> {
  refuseRoot(path)
  const root = await store.stat(path, options.signal)
  if (root === undefined) throw notFound(path)
  // The way to one loses its other members; what is named itself is more likely a mistake.
  if (root.mount === 'here') throw heldByMount(path)
  const work = new TreeWork(store, options.signal)
  await removeEntry(store, root, work, options.signal)
  return work.outcome()
}

/** Throws where the root of the tree itself stays although nothing below it keeps it. */
async function removeEntry(store: Store, root: Entry, work: TreeWork, signal: AbortSignal | undefined): Promise<void> {
  async function removeAtOnce(path: StorePath): Promise<'gone' | 'members left'> {
    if (store.removeTree === undefined) return 'members left'
    try {
      await store.removeTree(path, signal)
      return 'gone'
    } catch (error) {
      if (isFailure(error, 'unsupported', 'denied')) return 'members left'
      throw error
    }
  }

  /** `count` members were found when it was emptied: more than none, and it is worth another look. */
  async function removeEmptied(path: StorePath, count: number): Promise<'gone' | 'members left'> {
    try {
      await store.remove(path, withSignal(signal))
      return 'gone'
    } catch (error) {
      // Someone has put a member there, or the listing passed over one while others went.
      if (isFailure(error, 'not-empty') && count > 0) return 'members left'
      throw error
    }
  }

  async function removeDirectory(path: StorePath, level: number): Promise<Scope> {
    const scope: Scope = { failed: false }
    const step = { source: path }
    let state = await work.now(scope, step, () => removeAtOnce(path))
    for (let round = 1; state === 'members left'; round++) {
      const found = await work.members(path, level, scope, async (member) => {
        const removeOne = (): Promise<void> => store.remove(member.path, withSignal(signal))
        if (member.kind === 'file') await work.start(scope, { source: member.path }, removeOne)
        else if ((await removeDirectory(member.path, level + 1)).failed) scope.failed = true
      })
      if (!(await work.isClean(scope))) break
      state = await work.now(scope, step, () => removeEmptied(path, round < maxRounds ? found : 0))
    }
    return scope
  }

  const removeFile = (): Promise<void> => store.remove(root.path, withSignal(signal))
  await work.run(() =>
    root.kind === 'file'
      ? work.now({ failed: false }, { source: root.path }, removeFile)
      : removeDirectory(root.path, 0),
  )
  const [only, ...others] = work.outcome().failures
  if (only?.path === root.path && others.length === 0) throw only.failure
}

/**
 * What stands in the way of a transfer goes, after everything that can be known beforehand was checked. Gives undefined
 * where some of it could not go.
 */
async function makeRoom(
  store: Store,
  from: StorePath,
  to: StorePath,
  { overwrite, signal }: TreeTransfer,
  work: TreeWork,
  verb: 'copy' | 'move',
): Promise<{ readonly source: Entry; readonly created: boolean; readonly overwrite: boolean } | undefined> {
  const source = await store.stat(from, signal)
  if (source === undefined) throw notFound(from)
  if (from === to) throw sameTarget(to)
  if (verb === 'move' && source.mount !== undefined) throw heldByMount(from)
  if (source.kind === 'directory' && isWithin(to, from)) throw intoItself(to)
  const present = await store.stat(to, signal)
  if (present === undefined) return { source, created: true, overwrite: false }
  if (!overwrite) throw exists(to)
  if (present.mount !== undefined) throw heldByMount(to)
  if (isWithin(from, to)) throw new Failure('denied', 'The target holds the source.', { path: to })
  if (source.kind === 'file' && present.kind === 'file') return { source, created: false, overwrite: true }

  // What was there must not go for a source that cannot be read or a name that cannot be made again.
  if (source.kind === 'file') await (await store.open(from, { lazy: true, ...withSignal(signal) })).close()
  if (!(await store.permits('create', to))) throw new Failure('denied', 'Nothing may be made there.', { path: to })
  await removeEntry(store, present, work, signal)
  return work.outcome().failures.length > 0 ? undefined : { source, created: false, overwrite: false }
}

function below(directory: StorePath, member: Entry): StorePath {
  return rebase(member.path, parentOf(member.path), directory)
}

/** Many steps are made durable by one `settle` at the end, where the store can. */
function later(
  store: Store,
  signal: AbortSignal | undefined,
): { readonly settle: 'now' | 'later'; readonly signal?: AbortSignal } {
  return { settle: store.settle === undefined ? 'now' : 'later', ...withSignal(signal) }
}

function withSignal(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
