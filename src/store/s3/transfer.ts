import { isFailure } from '../../core/failure.js'
import { parentOf, rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { exists, isDirectory, notDirectory, refuseRoot, sameTarget } from '../refusals.js'
import type { Entry, Transfer, Written } from '../store.js'
import { busy, commit, type LastStep } from './commit.js'
import { compose } from './compose.js'
import { changeTries, changing, judgesAll, type S3Context } from './context.js'
import { hasMarkedParent, makeDirectoryWith, putMarker } from './directories.js'
import { headersOf } from './entries.js'
import { fileKey } from './keys.js'
import { type Found, findPresent, type FoundFile, lookAtTarget, type Target, type TargetPresent } from './look.js'
import { ObjectSink } from './object-sink.js'
import { removeOne } from './remove.js'
import { isForbidden } from './service-errors.js'
import { maxObjectBytesAtOnce } from './service.js'
import { written } from './write.js'

/** A turn is short: what takes longer is copied before it. */
const mostInTurnBytes = 512 * 2 ** 20

/** `Store.copy` */
export async function copyOne(context: S3Context, from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
  const { source, target } = await lookAtEnds(context, from, to, options)
  if (source.kind === 'directory') {
    const headers = source.facts?.headers ?? headersOf(to, { kind: 'directory', size: 0 })
    return { entry: await makeDirectoryWith(context, to, headers, options.signal), created: true }
  }
  return (await copyLatest(context, from, source, target, options)).written
}

/**
 * `Store.move`: a copy, after which the source goes. Where somebody writes to the source meanwhile, what was written is
 * moved as well. Moves that share an end take turns: of two with the same source one finds it, and two that swap files
 * do not each remove the other's copy. The ETag of a file in parts is another then.
 */
export async function moveOne(context: S3Context, from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
  throwIfAborted(options.signal)
  refuseRoot(from)
  const move = (): Promise<Written> => moveInTurn(context, from, to, options)
  // That fails in any case, and nobody waits for a turn within that same turn.
  if (from === to) return await move()
  const [first = '', second = ''] = [from, to].map((path) => `move ${fileKey(path)}`).sort()
  return await context.turns.inTurn(first, () => context.turns.inTurn(second, move))
}

async function moveInTurn(context: S3Context, from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
  const { source: first, target } = await lookAtEnds(context, from, to, options, 'file')
  if (first.kind === 'directory') throw isDirectory(from)
  const isKept = hasMarkedParent(context, from).catch(() => false)
  let copy = await copyLatest(context, from, first, target, options)
  const { created } = copy.written
  try {
    if (!(await isKept)) await putMarker(context, parentOf(from))
    for (let tries = 1; tries < changeTries && !(await removeSeen(context, from, copy.source)); tries++) {
      const ends = await lookAtEnds(context, from, to, { overwrite: true }).catch(() => undefined)
      // Where the copy is another by now, what has come to the source stays there, as if it had been written later.
      if (ends?.source.kind !== 'file' || ends.target.present?.etag !== copy.written.entry.etag) break
      copy = await copyLatest(context, from, ends.source, ends.target, { overwrite: true })
    }
  } catch (error) {
    // The source is there for sure only where the service said no. A copy too many is better than none.
    if (created && (isForbidden(error) || isFailure(error, 'locked')))
      await removeOne(context, to).catch(() => undefined)
    throw error
  }
  return { ...copy.written, created }
}

/** Both ends, judged; what is wrong with the source counts first. */
async function lookAtEnds(
  context: S3Context,
  from: StorePath,
  to: StorePath,
  { overwrite, signal }: Transfer,
  kind?: 'file',
): Promise<{ readonly source: Found; readonly target: Target }> {
  throwIfAborted(signal)
  const [source, target] = await Promise.allSettled([
    findPresent(context, from, signal),
    lookAtTarget(context, to, { signal }),
  ])
  if (source.status === 'rejected') throw source.reason
  if (kind !== undefined && source.value.kind !== kind) throw isDirectory(from)
  if (from === to) throw sameTarget(to)
  if (to === rootPath) throw overwrite && source.value.kind === 'file' ? isDirectory(to) : exists(to)
  if (target.status === 'rejected') throw target.reason
  judgeTransfer(to, source.value.kind, target.value.present, overwrite)
  return { source: source.value, target: target.value }
}

/** Throws `exists`, `is-directory`, `not-directory`, where what is there may not be replaced by that kind. */
function judgeTransfer(
  to: StorePath,
  kind: Entry['kind'],
  present: TargetPresent | undefined,
  overwrite: boolean,
): void {
  if (present === undefined) return
  if (!overwrite || (kind === 'directory' && present.kind === 'directory')) throw exists(to)
  if (present.kind === 'directory') throw isDirectory(to)
  if (kind === 'directory') throw notDirectory(to)
}

/** Copies a file as it was seen; where it is another one by now, that. */
async function copyLatest(
  context: S3Context,
  from: StorePath,
  first: FoundFile,
  target: Target,
  options: Transfer,
): Promise<{ readonly written: Written; readonly source: FoundFile }> {
  let source = first
  for (let tries = 1; tries <= changeTries; tries++) {
    const isLarge = source.facts.size > (judgesAll(context.service) ? maxObjectBytesAtOnce : mostInTurnBytes)
    const made = await (isLarge ? copyLarge : copyAtOnce)(context, source, target, options)
    if (made !== undefined) return { written: made, source }
    const found = await findPresent(context, from, options.signal)
    if (found.kind === 'directory') throw isDirectory(from)
    source = found
  }
  throw busy(new Error('The source is another each time.'))
}

/** Undefined where the source is another by now. */
async function copyAtOnce(
  context: S3Context,
  { key, facts }: FoundFile,
  target: Target,
  { overwrite, signal }: Transfer,
): Promise<Written | undefined> {
  const { service } = context
  throwIfAborted(signal)
  let isOther = false as boolean
  const put: LastStep['put'] = async (condition, turn) => {
    try {
      return await service.copy(key, target.key, {
        ifMatch: facts.etag,
        ...(condition === undefined ? {} : { condition }),
        ...(turn === undefined ? {} : { signal: turn }),
      })
    } catch (error) {
      if (!isFailure(error, 'precondition', 'not-found')) throw error
      // It does not say which end is another.
      isOther = error.kind === 'not-found' || (await service.head(key, turn))?.etag !== facts.etag
      throw isOther ? busy(error) : error
    }
  }
  try {
    const { conditionalCopy: isConditional } = service.abilities
    const judge: LastStep['judge'] = (present) => judgeTransfer(target.path, 'file', present, overwrite)
    const committed = await commit(context, { target, judge, isConditional, put })
    return await written(context, committed, { size: facts.size, headers: facts.headers, isInParts: false })
  } catch (error) {
    if (isOther) return undefined
    throw error
  }
}

/** What is too large to be copied in one request, or in one turn. Throws `unavailable` where the source is another by now. */
async function copyLarge(
  context: S3Context,
  { key, facts }: FoundFile,
  target: Target,
  { overwrite, signal }: Transfer,
): Promise<Written> {
  const { etag, size, headers } = facts
  const seen = performance.now()
  const sink = new ObjectSink(context, { key: target.key, headers, length: size, signal })
  try {
    await compose(sink, [{ key, etag, range: { start: 0, end: size } }], size)
    await sink.finish()
    const committed = await commit(context, {
      target,
      seen,
      judge: (present) => judgeTransfer(target.path, 'file', present, overwrite),
      isConditional: context.service.abilities.conditionalComplete,
      put: (condition, turn) => sink.put(condition, headers, turn),
    })
    return await written(context, committed, { size, headers, isInParts: true })
  } catch (error) {
    await sink.abandon()
    throw error
  } finally {
    sink.end()
  }
}

/** Removes the source of a move as it was copied; false where it is another by now. */
async function removeSeen(context: S3Context, from: StorePath, { key, facts }: FoundFile): Promise<boolean> {
  const { service } = context
  return await changing(context, fileKey(from), async (turn) => {
    const { conditionalRemove } = service.abilities
    if (!conditionalRemove) {
      const present = await service.head(key, turn)
      if (present?.etag !== facts.etag) return present === undefined
    }
    try {
      await service.remove(key, {
        ...(conditionalRemove ? { ifMatch: facts.etag } : {}),
        ...(turn === undefined ? {} : { signal: turn }),
      })
      return true
    } catch (error) {
      if (isFailure(error, 'precondition')) return false
      throw error
    }
  })
}
