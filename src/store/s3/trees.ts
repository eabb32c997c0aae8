import { Failure, isFailure } from '../../core/failure.js'
import { isWithin, rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { exists, intoItself, notDirectory, refuseRoot, sameTarget } from '../refusals.js'
import type { Entry, Written } from '../store.js'
import type { S3Context } from './context.js'
import { keepParent, makeDirectoryWith } from './directories.js'
import { headersOf } from './entries.js'
import { findPresent, type FoundDirectory } from './look.js'
import { noteMove, settleBelow } from './move-journal.js'
import { removeOne } from './remove.js'
import { isForbidden } from './service-errors.js'
import { copyKeys, removeCopied, removeKeysBelow, rollBack } from './tree-keys.js'
import { moveOne } from './transfer.js'

/** Later than anything that is there. */
const now = Infinity

/** `Store.removeTree`. Where it throws `unsupported`, only what may not go is left. */
export async function removeTree(context: S3Context, path: StorePath, signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal)
  refuseRoot(path)
  const [found] = await both(findPresent(context, path, signal), settleBelow(context, path))
  if (found.kind === 'file') {
    await removeOne(context, path, signal === undefined ? {} : { signal })
    return
  }
  await keepParent(context, path, signal)
  try {
    await removeKeysBelow(context, path, signal)
  } finally {
    await context.directories.changed()
  }
}

/**
 * `Store.copyTree`. Members show up one after the other; each is whole. A directory that could not be copied whole goes again; only
 * where the process itself is killed does a part of it stay.
 */
export async function copyTree(
  context: S3Context,
  from: StorePath,
  to: StorePath,
  signal?: AbortSignal,
): Promise<Written> {
  throwIfAborted(signal)
  const [source] = await both(findDirectory(context, from, to, signal), settleBelow(context, from, to))
  const entry = await claim(context, source, to, signal)
  try {
    await copyKeys(context, from, to, signal)
  } catch (error) {
    await rollBack(context, from, to, { begun: entry.modified, ended: now }).catch(() => undefined)
    throw copyFailure(error, from)
  }
  return { entry, created: true }
}

/**
 * `Store.moveTree`. It is written down in the bucket what is going on, so that an interrupted move is undone or finished by
 * the next one who comes by. Throws `unavailable` where the source could not be removed for now: that is made up for;
 * `denied` where some of it may not be removed: it stays, all else has moved.
 */
export async function moveTree(context: S3Context, from: StorePath, to: StorePath): Promise<Written> {
  refuseRoot(from)
  const [found] = await both(findPresent(context, from), settleBelow(context, from, to))
  if (from === to) throw sameTarget(to)
  if (isWithin(to, from)) throw intoItself(to)
  if (found.kind === 'file') return await moveOne(context, from, to, { overwrite: false })
  const source = await findDirectory(context, from, to)
  const entry = await claim(context, source, to)
  const span = { begun: entry.modified, ended: now }
  const undo = (): Promise<void> => rollBack(context, from, to, span)
  const move = await noteMove(context, from, to, entry.modified).catch(async (error: unknown) => {
    await undo().catch(() => undefined)
    throw error
  })
  try {
    await copyKeys(context, from, to, move.lost)
  } catch (error) {
    if (!move.lost.aborted)
      await undo().then(
        () => move.forget(),
        () => move.giveUp(),
      )
    throw copyFailure(error, from)
  }
  let isWhole: boolean
  try {
    await move.copied()
    await keepParent(context, from)
    isWhole = await removeCopied(context, from, to, move.lost)
    await context.directories.changed()
    await move.forget()
  } catch (error) {
    await move.giveUp()
    throw error
  }
  if (!isWhole) throw new Failure('denied', 'Some members may not be removed; they stay here.', { path: from })
  return { entry, created: true }
}

/** The source of a transfer. What is wrong with it counts first. */
async function findDirectory(
  context: S3Context,
  from: StorePath,
  to: StorePath,
  signal?: AbortSignal,
): Promise<FoundDirectory> {
  const source = await findPresent(context, from, signal)
  if (source.kind === 'file') throw notDirectory(from)
  if (to === rootPath) throw exists(to)
  if (isWithin(to, from)) throw intoItself(to)
  return source
}

/** Makes the target, so that of several who want the name one gets it. Throws as `Store.copy` does for the target. */
async function claim(
  context: S3Context,
  { facts }: FoundDirectory,
  to: StorePath,
  signal?: AbortSignal,
): Promise<Entry> {
  const headers = facts?.headers ?? headersOf(to, { kind: 'directory', size: 0 })
  return await makeDirectoryWith(context, to, headers, signal)
}

/** Members that cannot be copied are named by whoever goes on one by one. */
function copyFailure(error: unknown, path: StorePath): unknown {
  return isForbidden(error) || isFailure(error, 'denied', 'invalid', 'too-large')
    ? new Failure('unsupported', 'Some members cannot be copied.', { path, cause: error })
    : error
}

/** Awaits both, so that no failure goes unheard; the first one's failure counts first. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second])
  if (a.status === 'rejected') throw a.reason
  if (b.status === 'rejected') throw b.reason
  return [a.value, b.value]
}
