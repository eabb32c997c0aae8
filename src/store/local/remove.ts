import { closeSync, constants } from 'node:fs'
import { constants as system } from 'node:os'
import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import type { Place } from '../beneath.js'
import { requireConditions } from '../conditions.js'
import { type LocalContext, lookAt, placeOfPresent, required } from './context.js'
import { etagOf, isForeign, type Known, knownOf } from './facts.js'
import { namesIn } from './names.js'
import { parting } from './parting.js'
import { reservedName } from './staging.js'
import { syncPlace } from './sync.js'
import { lockDirectory } from './target.js'
import { directoryKind, fact, factsLength, fileKind, linkKind } from '../native.js'
import { notFound, refuseRoot } from '../refusals.js'
import { isReservedName } from '../reserved.js'
import type { RemoveOptions } from '../store.js'

const { errno } = system

/** Notes of removed files that are forgotten together. */
const forgottenAtOnce = 100

/** `Store.remove` */
export async function removeOne(context: LocalContext, path: StorePath, options: RemoveOptions = {}): Promise<void> {
  throwIfAborted(options.signal)
  const place = openPresent(context, path)
  try {
    const { calls } = context.beneath
    const held = lockDirectory(context, place.directory, path)
    const unlock = typeof held === 'function' ? held : await held
    let result: number
    let known: Known
    try {
      known = present(context, place, path)
      if (options.ifMatch !== undefined)
        requireConditions(
          path,
          { etag: etagOf(known), modified: known.modifiedMilliseconds },
          { ifMatch: options.ifMatch },
        )
      const isDirectory = known.kind === directoryKind
      result = parting(calls, place, known, () => calls.unlinkAt(place.directory, place.name, isDirectory))
    } finally {
      unlock()
    }
    // What is left of uploads, finished or not, is no member: to the client such a directory is empty.
    if (isNotEmpty(result) && holdsOnlyReserved(context, place)) await discardTree(context, place, path)
    else required(isNotEmpty(result) ? -errno.ENOTEMPTY : result, path)
    context.later(context.notes.forget(known))
    if (context.full) await syncPlace(context, place, path)
  } finally {
    closeSync(place.directory)
  }
}

/** `Store.removeTree` */
export async function removeTree(context: LocalContext, path: StorePath, signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal)
  const place = openPresent(context, path)
  try {
    const known = present(context, place, path)
    if (known.kind !== directoryKind) {
      await removeOne(context, path)
      return
    }
    await requireRemovable(context, place, path, signal)
    await discardTree(context, place, path)
    context.later(context.notes.forget(known))
    if (context.full) await syncPlace(context, place, path)
  } finally {
    closeSync(place.directory)
  }
}

function openPresent(context: LocalContext, path: StorePath): Place {
  refuseRoot(path)
  return placeOfPresent(context, path)
}

/** What is to be removed, changed or moved. Throws `not-found`, also for what is not served. */
export function present(context: LocalContext, place: Place, path: StorePath): Known {
  const known = lookAt(context, place, path)
  if (known === undefined) throw notFound(path)
  if (isForeign(known.kind) && !(context.beneath.followsLinks && known.kind === linkKind)) throw notFound(path)
  return known
}

function isNotEmpty(result: number): boolean {
  // POSIX allows either.
  return result === -errno.ENOTEMPTY || result === -errno.EEXIST
}

function holdsOnlyReserved(context: LocalContext, place: Place): boolean {
  const { calls } = context.beneath
  const fd = calls.openAt(place.directory, place.name, constants.O_RDONLY | constants.O_DIRECTORY, 0)
  if (fd < 0) return false
  try {
    for (const { name } of namesIn(calls, fd)) if (!isReservedName(name)) return false
    return true
  } catch {
    return false
  } finally {
    closeSync(fd)
  }
}

/** Takes a directory's name away in one step; the rest goes by itself. */
async function discardTree(context: LocalContext, place: Place, path: StorePath): Promise<void> {
  const { calls } = context.beneath
  const name = reservedName('trash')
  const held = lockDirectory(context, place.directory, path)
  const unlock = typeof held === 'function' ? held : await held
  try {
    required(calls.renameAt(place.directory, place.name, place.directory, name, true), path)
  } finally {
    unlock()
  }
  // A descriptor of its own: this goes on after the answer.
  const directory = calls.openAt(place.directory, '.', constants.O_RDONLY | constants.O_DIRECTORY, 0)
  if (directory < 0) return
  context.later(emptyAndRemove(context, directory, name).finally(() => closeSync(directory)))
}

/** Removes a directory and all below, never following a link, in slices. Gives false where something stays. */
export async function emptyAndRemove(context: LocalContext, directory: number, name: string): Promise<boolean> {
  const { calls } = context.beneath
  const { pace } = context
  const facts = new Float64Array(factsLength)
  const gone: Known[] = []
  const everything = await empty(directory, name)
  await forgetAll()
  return everything

  async function forgetAll(): Promise<void> {
    await Promise.all(gone.splice(0).map((known) => context.notes.forget(known).catch(() => undefined)))
  }

  async function empty(above: number, own: string): Promise<boolean> {
    const fd = calls.openAt(above, own, constants.O_RDONLY | constants.O_DIRECTORY, 0)
    if (fd < 0) return fd === -errno.ENOENT || calls.unlinkAt(above, own, true) >= 0
    try {
      // Names are collected first: what a directory gives while it is being emptied differs from disk to disk.
      for (const { name: member, kind } of [...namesIn(calls, fd)]) {
        if (pace.isDue()) await pace.pause()
        const known = kind === fileKind && calls.statAt(fd, member, facts) >= 0 ? knownOf(facts) : undefined
        const place = { directory: fd, name: member }
        if (kind !== directoryKind && parting(calls, place, known, () => calls.unlinkAt(fd, member, false)) >= 0) {
          if (known !== undefined) gone.push(known)
          if (gone.length >= forgottenAtOnce) await forgetAll()
          continue
        }
        await empty(fd, member)
      }
    } catch {
      // What cannot be listed stays; the outcome shows below.
    } finally {
      closeSync(fd)
    }
    const result = calls.unlinkAt(above, own, true)
    return result >= 0 || result === -errno.ENOENT
  }
}

/** Throws `denied` where some directory below would keep its members. Those who may do everything need no look. */
async function requireRemovable(
  context: LocalContext,
  place: Place,
  path: StorePath,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (process.geteuid?.() === 0) return
  const { calls } = context.beneath
  const facts = new Float64Array(factsLength)
  const { pace } = context
  await inspect(place.directory, place.name)

  async function inspect(above: number, own: string): Promise<void> {
    const fd = calls.openAt(above, own, constants.O_RDONLY | constants.O_DIRECTORY, 0)
    if (fd === -errno.ENOENT) return
    required(fd, path)
    try {
      if (pace.isDue()) await pace.pause()
      throwIfAborted(signal)
      const members = [...namesIn(calls, fd)]
      if (members.length > 0) required(calls.accessAt(above, own, constants.W_OK | constants.X_OK), path)
      required(calls.fstat(fd, facts), path)
      // Two links mean no directory below on the disks that count them; those that do not say one.
      if (facts[fact.links] === 2) return
      for (const { name, kind } of members) {
        if (kind !== 0 && kind !== directoryKind) continue
        if (kind === 0 && (calls.statAt(fd, name, facts) < 0 || facts[fact.kind] !== directoryKind)) continue
        await inspect(fd, name)
      }
    } finally {
      closeSync(fd)
    }
  }
}
