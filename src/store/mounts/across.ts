import { Failure, isFailure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { contentBytes } from '../content-bytes.js'
import { exists, isDirectory, notDirectory, notFound } from '../refusals.js'
import type { Body, ByteRange, Entry, Store, Transfer, WriteOptions, Written } from '../store.js'

/** How often a file is copied anew that others change while it is moved. */
const maxTries = 3

/** `Store.copy` of a file or a directory alone from one store to another. */
export async function copyAcross(
  source: Store,
  target: Store,
  from: StorePath,
  to: StorePath,
  transfer: Transfer,
): Promise<Written> {
  const entry = await source.stat(from, transfer.signal)
  if (entry === undefined) throw notFound(from)
  if (entry.kind === 'directory') return copyDirectoryAcross(entry, target, to, transfer)
  return (await copyFileAcross(source, target, from, to, transfer)).written
}

/** Makes a directory with the attributes of another one. Throws like `Store.copy`. */
export async function copyDirectoryAcross(
  source: Entry,
  target: Store,
  to: StorePath,
  { overwrite, signal }: Transfer,
): Promise<Written> {
  const present = await target.stat(to, signal)
  if (present !== undefined) throw overwrite && present.kind === 'file' ? notDirectory(to) : exists(to)
  const made = await target.makeDirectory(to, signal)
  const { attributes = {} } = source
  if (Object.keys(attributes).length === 0) return { entry: made, created: true }
  return { entry: await target.change(to, { attributes }), created: true }
}

/**
 * `Store.move` of a file from one store to another. The source goes once its copy is durable, and only in the version
 * that was copied; where it cannot go, a copy that took no other's place goes again. Throws like `Store.move`, and
 * `conflict` where others keep changing the source.
 */
export async function moveAcross(
  source: Store,
  target: Store,
  from: StorePath,
  to: StorePath,
  transfer: Transfer,
): Promise<Written> {
  if (!(await source.permits('delete', from)))
    throw new Failure('denied', 'This file cannot be moved away.', { path: from })
  const copyOnce = (own?: Written): Promise<{ readonly written: Written; readonly copied: Entry }> =>
    copyFileAcross(source, target, from, to, transfer, { keepTime: true, ...(own && { ifMatch: [own.entry.etag] }) })
  let { written, copied } = await copyOnce()
  for (let tries = 1; ; tries++) {
    try {
      await source.remove(from, { ifMatch: [copied.etag] })
      return written
    } catch (error) {
      if (isFailure(error, 'not-found')) return written
      if (!isFailure(error, 'precondition') || tries === maxTries) {
        await undo(target, to, written)
        throw isFailure(error, 'precondition') ? changing(from) : error
      }
    }
    const again = await copyOnce(written)
    copied = again.copied
    written = { entry: again.written.entry, created: written.created }
  }
}

function changing(path: StorePath): Failure {
  return new Failure('conflict', 'The file keeps changing while it is being moved. Try again.', { path })
}

async function undo(target: Store, to: StorePath, written: Written): Promise<void> {
  if (!written.created) return
  try {
    await target.remove(to, { ifMatch: [written.entry.etag] })
  } catch (error) {
    // Two files are better than none.
    if (!isFailure(error)) throw error
  }
}

async function copyFileAcross(
  source: Store,
  target: Store,
  from: StorePath,
  to: StorePath,
  { overwrite, signal }: Transfer,
  { keepTime = false, ifMatch }: { readonly keepTime?: boolean; readonly ifMatch?: readonly string[] } = {},
): Promise<{ readonly written: Written; readonly copied: Entry }> {
  const aborting = signal === undefined ? {} : { signal }
  if (to === rootPath) throw isDirectory(to)
  const content = await source.open(from, aborting)
  const { entry } = content
  try {
    const present = await target.stat(to, signal)
    if (present !== undefined && !overwrite && ifMatch === undefined) throw exists(to)
    if (present?.kind === 'directory') throw isDirectory(to)
    const isFree = !overwrite && ifMatch === undefined
    const options: WriteOptions = {
      length: entry.size,
      attributes: entry.attributes ?? {},
      executable: entry.executable ?? false,
      knownDigests: () => entry.digests ?? {},
      ...(keepTime && { modified: entry.modified }),
      ...(isFree && { ifNoneMatch: '*' }),
      ...(ifMatch !== undefined && { ifMatch }),
      ...aborting,
    }
    const written = await target.write(to, contentBytes(content), options).catch((error: unknown) => {
      throw isFree && isFailure(error, 'precondition') ? exists(to) : error
    })
    return { written, copied: entry }
  } finally {
    // A body that nobody has pulled closes nothing.
    await content.close()
  }
}

/** Bytes that go into a file of another store. Nothing is opened before they are asked for. */
export interface ForeignBytes {
  readonly body: Body
  readonly length: number
}

/** A part of a file in one store, for a file in another. Throws `not-found`, `is-directory`, `bad-range`. */
export async function foreignBytes(
  store: Store,
  from: StorePath,
  range: ByteRange,
  signal: AbortSignal | undefined,
): Promise<ForeignBytes> {
  const entry = await store.stat(from, signal)
  if (entry === undefined) throw notFound(from)
  if (entry.kind === 'directory') throw isDirectory(from)
  const { start, end } = range
  if (start < 0 || end < start || end > entry.size)
    throw new Failure('bad-range', 'The range does not lie within the file.', { path: from, size: entry.size })
  return { body: bytesOf(store, entry, range, signal), length: end - start }
}

async function* bytesOf(
  store: Store,
  { path, etag }: Entry,
  range: ByteRange,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const content = await store
    .open(path, { ifMatch: [etag], part: range, ...(signal !== undefined && { signal }) })
    .catch((cause: unknown) => {
      if (!isFailure(cause, 'precondition')) throw cause
      throw new Failure('conflict', 'The file changed while it was read. Try again.', { path, cause })
    })
  yield* contentBytes(content, range)
}
