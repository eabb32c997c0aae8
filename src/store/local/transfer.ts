import { closeSync, readSync } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure } from '../../core/failure.js'
import { isWithin, rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import type { Place } from '../beneath.js'
import { absentOr, type LocalContext, lookAtOwn, openFile, placeOf, placeOfPresent, required } from './context.js'
import { failureOf, fileFailure } from './errors.js'
import { makeDirectory } from './directory.js'
import { entryOfKnown, isForeign, type Known, knownOf } from './facts.js'
import { isWorthNoting, type Noted, shown } from './notes.js'
import { present } from './remove.js'
import { parting } from './parting.js'
import { smallBytes } from './pour.js'
import type { Staging } from './staging.js'
import { syncPlace } from './sync.js'
import { lockBoth, renameNew, Target } from './target.js'
import { executableMode, remember, settleNote } from './write.js'
import { directoryKind, fact, factsLength, linkKind } from '../native.js'
import { exists, intoItself, isDirectory, notDirectory, refuseRoot, sameTarget } from '../refusals.js'
import type { Transfer, Written } from '../store.js'

const { errno } = system

/** Reused by every small copy: those never wait in between. */
const smallCopy = Buffer.allocUnsafeSlow(smallBytes)

/** `Store.copy` of a file; `keepTime` for a move that cannot be a rename. */
export async function copyFile(
  context: LocalContext,
  from: StorePath,
  to: StorePath,
  { overwrite, settle, signal }: Transfer,
  keepTime = false,
): Promise<Written> {
  throwIfAborted(signal)
  const { fd, known: source } = openFile(context, from)
  let staging: Staging | undefined
  let noting: Known | undefined
  let target: Target | undefined
  try {
    target = openTarget(context, from, to)
    const judge = (there: Known | undefined): void => requireFree(to, source, there, overwrite)
    judge(target.look())
    staging = target.stage()
    if (source.size <= smallBytes) copySmall(fd, source.size, staging, to)
    else await staging.appendFrom(fd, 0, source.size, () => throwIfAborted(signal))
    staging.stamp(keepTime ? source.modifiedMilliseconds : undefined)
    // Without a way to make all durable at once it is done one by one.
    const now = context.full && (settle !== 'later' || !context.settlesAtOnce)
    if (now) await staging.sync()
    throwIfAborted(signal)
    const noted = await context.notes.read(source)
    if (isWorthNoting(noted)) await context.notes.write((noting = staging.known()), noted, false)
    const replaced = await target.commit(staging, (there) => {
      judge(there)
      return executableMode(there === undefined ? source.mode : there.mode, (source.mode & 0o111) !== 0)
    })
    if (now) await target.settle(staging)
    const known = staging.known()
    if (replaced !== undefined) context.later(context.notes.forget(replaced))
    if (noting !== undefined) await settleNote(context, noting, known, noted)
    staging.close()
    target.close()
    return {
      entry: { ...entryOfKnown(to, known), ...shown(context.notes, known, noted) },
      created: replaced === undefined,
    }
  } catch (error) {
    staging?.discard()
    target?.abandon()
    if (noting !== undefined) context.later(context.notes.forget(noting))
    throw error
  } finally {
    closeSync(fd)
  }
}

/** `Store.copy` of a directory, without its members. */
export async function copyDirectory(
  context: LocalContext,
  from: StorePath,
  to: StorePath,
  { overwrite, settle, signal }: Transfer,
): Promise<Written> {
  refuseOntoItself(from, to)
  const facts = new Float64Array(factsLength)
  const looked = context.beneath.stat(from, facts)
  if (looked < 0) throw absentOr(looked, from)
  const source = knownOf(facts)
  if (context.beneath.stat(to, facts) >= 0 && !isForeign(facts[fact.kind]))
    requireFree(to, source, knownOf(facts), overwrite)
  const noted = await context.notes.read(source)
  const entry = await makeDirectory(context, to, signal, settle !== 'later' || !context.settlesAtOnce)
  if (!isWorthNoting(noted) || context.beneath.stat(to, facts) < 0) return { entry, created: true }
  const known = knownOf(facts)
  await context.notes.write(known, noted, true)
  return { entry: { ...entry, ...shown(context.notes, known, noted) }, created: true }
}

function copySmall(fd: number, size: number, staging: Staging, path: StorePath): void {
  try {
    for (let at = 0; at < size;) {
      const got = readSync(fd, smallCopy, at, size - at, at)
      // The source became shorter meanwhile: the copy would not be what was promised.
      if (got === 0) throw failureOf(-errno.EIO, path)
      at += got
    }
  } catch (error) {
    throw fileFailure(error, path)
  }
  staging.appendSync([smallCopy.subarray(0, size)])
}

/** `Store.move` */
export async function moveFile(
  context: LocalContext,
  from: StorePath,
  to: StorePath,
  options: Transfer,
): Promise<Written> {
  throwIfAborted(options.signal)
  const source = openSource(context, from)
  try {
    const known = present(context, source, from)
    if (known.kind === directoryKind) throw isDirectory(from)
    return await rename(context, { path: from, place: source }, to, options.overwrite)
  } catch (error) {
    if (!(error instanceof Failure) || error.kind !== 'elsewhere') throw error
    const written = await copyFile(context, from, to, { ...options, settle: 'now' }, true)
    required(context.beneath.calls.unlinkAt(source.directory, source.name, false), from)
    if (context.full) await syncPlace(context, source, from)
    return written
  } finally {
    closeSync(source.directory)
  }
}

/** `Store.moveTree` */
export async function moveTree(context: LocalContext, from: StorePath, to: StorePath): Promise<Written> {
  const source = openSource(context, from)
  try {
    present(context, source, from)
    if (isWithin(to, from)) throw intoItself(to)
    return await rename(context, { path: from, place: source }, to, false)
  } finally {
    closeSync(source.directory)
  }
}

async function rename(
  context: LocalContext,
  source: { readonly path: StorePath; readonly place: Place },
  to: StorePath,
  overwrite: boolean,
): Promise<Written> {
  refuseOntoItself(source.path, to)
  if (to === rootPath) throw overwrite ? isDirectory(to) : exists(to)
  const target = placeOf(context, to, false)
  try {
    const noted = await notedOf(context, judge()[0])
    let replaced: Known | undefined
    for (let result = -errno.EEXIST; result === -errno.EEXIST;) {
      const unlock = await lockBoth(context, source.place.directory, target.directory, to)
      try {
        const [known, there] = judge()
        result = renameOver(context, source.place, target, known, there)
        replaced = there
      } finally {
        unlock()
      }
      if (result === -errno.EINVAL) throw intoItself(to)
      // What is not Postern has made the target meanwhile: judged again.
      if (result !== -errno.EEXIST) required(result, to)
    }
    if (context.full) {
      await syncPlace(context, target, to)
      await syncPlace(context, source.place, source.path)
    }
    if (replaced !== undefined) context.later(context.notes.forget(replaced))
    const moved = present(context, target, to)
    // To be renamed is to be changed: what was noted is bound to the new time of change.
    if (isWorthNoting(noted)) await remember(context, moved, noted, true)
    return {
      entry: { ...entryOfKnown(to, moved), ...shown(context.notes, moved, noted) },
      created: replaced === undefined,
    }
  } finally {
    closeSync(target.directory)
  }

  function judge(): [Known, Known | undefined] {
    const known = present(context, source.place, source.path)
    const there = lookAtOwn(context, target, to)
    requireFree(to, known, there, overwrite)
    return [known, there]
  }
}

function renameOver(
  context: LocalContext,
  source: Place,
  target: Place,
  known: Known,
  there: Known | undefined,
): number {
  const { calls } = context.beneath
  if (there === undefined) return renameNew(context, source.directory, source.name, target.directory, target.name)
  // Two hard links to one file: rename(2) would leave both.
  if (known.links > 1 && known.inode === there.inode && known.device === there.device)
    return calls.unlinkAt(source.directory, source.name, false)
  return parting(calls, target, there, () =>
    calls.renameAt(source.directory, source.name, target.directory, target.name, false),
  )
}

async function notedOf(context: LocalContext, known: Known): Promise<Noted> {
  return known.kind === linkKind ? {} : await context.notes.read(known)
}

function openSource(context: LocalContext, from: StorePath): Place {
  refuseRoot(from)
  return placeOfPresent(context, from)
}

function openTarget(context: LocalContext, from: StorePath, to: StorePath): Target {
  refuseOntoItself(from, to)
  return Target.open(context, to, false)
}

function refuseOntoItself(from: StorePath, to: StorePath): void {
  if (from === to) throw sameTarget(to)
}

/** Throws `exists`, `is-directory`, `not-directory`, `denied` for what cannot be there. */
function requireFree(to: StorePath, source: Known, there: Known | undefined, overwrite: boolean): void {
  if (there === undefined) return
  const fromDirectory = source.kind === directoryKind
  const ontoDirectory = there.kind === directoryKind
  if (!overwrite || (fromDirectory && ontoDirectory)) throw exists(to)
  if (ontoDirectory) throw isDirectory(to)
  if (fromDirectory) throw notDirectory(to)
}
