import { closeSync, constants, fchmodSync, fsync } from 'node:fs'
import { constants as system } from 'node:os'
import { promisify } from 'node:util'
import { Failure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { requireConditions } from '../conditions.js'
import { type LocalContext, lookAt, lookAtOwn, lookInto, onDisk, placeOf, placeOfPresent, required } from './context.js'
import { fileFailure } from './errors.js'
import { entryOfKnown } from './facts.js'
import { isWorthNoting, type Noted, shown } from './notes.js'
import { present } from './remove.js'
import { uniqueStamp } from './stamp.js'
import { syncPlace } from './sync.js'
import { executableMode, requireAttributes } from './write.js'
import { directoryKind, linkKind } from '../native.js'
import { exists } from '../refusals.js'
import type { Entry, EntryChange } from '../store.js'

const { errno } = system
const syncFile = promisify(fsync)

/** `Store.makeDirectory`; `settle` false leaves its durability to a later sync. */
export async function makeDirectory(
  context: LocalContext,
  path: StorePath,
  signal?: AbortSignal,
  settle = true,
): Promise<Entry> {
  throwIfAborted(signal)
  if (path === rootPath) throw exists(path)
  const place = placeOf(context, path, false)
  try {
    if (lookAtOwn(context, place, path) !== undefined) throw exists(path)
    const result = context.beneath.calls.mkdirAt(place.directory, place.name, 0o777)
    if (result === -errno.EEXIST) throw exists(path)
    if (result === -errno.ENOENT) throw context.beneath.blame(path, result)
    required(result, path)
    if (context.full && settle) await syncPlace(context, place, path)
    const known = lookAt(context, place, path)
    if (known === undefined) throw new Failure('conflict', 'The directory was removed again at once.', { path })
    return { ...entryOfKnown(path, known), ...shown(context.notes, known, {}) }
  } finally {
    closeSync(place.directory)
  }
}

/** `Store.change` */
export async function changeEntry(context: LocalContext, path: StorePath, change: EntryChange): Promise<Entry> {
  requireAttributes(path, change.attributes)
  const fd = openForChange(context, path)
  try {
    const before = lookInto(context, fd, path)
    if (change.ifMatch !== undefined && before.kind !== directoryKind)
      requireConditions(path, entryOfKnown(path, before), { ifMatch: change.ifMatch })
    const noted = await context.notes.read(before)
    if (change.executable !== undefined && before.kind !== directoryKind)
      setMode(fd, executableMode(before.mode, change.executable), path)
    if (change.modified !== undefined) {
      const { seconds, nanoseconds } = uniqueStamp(change.modified)
      required(context.beneath.calls.touch(fd, seconds, nanoseconds), path)
    }
    const known = lookInto(context, fd, path)
    const next: Noted = change.attributes === undefined ? noted : { ...noted, attributes: change.attributes }
    if (isWorthNoting(next)) await context.notes.write(known, next, true)
    else if (isWorthNoting(noted)) await context.notes.forget(known)
    if (context.full) await onDisk(path, syncFile(fd))
    return { ...entryOfKnown(path, known), ...shown(context.notes, known, next) }
  } finally {
    closeSync(fd)
  }
}

function openForChange(context: LocalContext, path: StorePath): number {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY
  if (path === rootPath) return required(context.beneath.open(path, flags), path)
  const place = placeOfPresent(context, path)
  try {
    const known = present(context, place, path)
    if (known.kind === linkKind) return required(context.beneath.open(path, flags), path)
    return required(context.beneath.calls.openAt(place.directory, place.name, flags, 0), path)
  } finally {
    closeSync(place.directory)
  }
}

function setMode(fd: number, mode: number, path: StorePath): void {
  try {
    fchmodSync(fd, mode)
  } catch (error) {
    throw fileFailure(error, path)
  }
}
