import { closeSync } from 'node:fs'
import { Failure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { requireConditions } from '../conditions.js'
import { Digester } from '../digester.js'
import { type LocalContext, openFile } from './context.js'
import { digestRange } from './digest.js'
import { entryOfKnown, etagOf, type Known } from './facts.js'
import { isSoonAfter, isWorthNoting, type Noted, shown } from './notes.js'
import { digestsOf, firstBytes, pour } from './pour.js'
import { roomAt } from './space.js'
import type { Staging } from './staging.js'
import { uniqueStamp } from './stamp.js'
import { Target } from './target.js'
import { directoryKind } from '../native.js'
import { isDirectory, wrongLength } from '../refusals.js'
import type { Attributes, Body, Conditions, Piece, WriteOptions, Written } from '../store.js'

/** Attributes are small: catalogs have limits. */
const attributesLimitBytes = 32 * 1024

/** Where the bytes of a new file go. */
export interface Sink {
  /** Gives the file that takes the bytes, which is made when the first ones are there. */
  readonly open: () => Staging
  /** Takes all the bytes of a small file instead. */
  readonly keep?: (chunks: readonly Uint8Array[]) => void
}

/** Brings bytes of a file, and computes their digests where it is given something to do so. Gives how many they are. */
export type Fill = (sink: Sink, digester: Digester | undefined) => Promise<number>

/** How a file comes to its bytes. */
export interface Making {
  readonly fill: Fill
  /** Gives a file that has them already, or most, if it can be renamed into this directory. */
  readonly adopt?: (directory: number) => Staging | undefined
}

/** `Store.write` */
export async function writeFile(
  context: LocalContext,
  path: StorePath,
  body: Body,
  options: WriteOptions = {},
): Promise<Written> {
  return await stage(context, path, options, { fill: (sink, digester) => pour(body, sink, digester, options) })
}

/** `Store.write` of bytes that somebody else brings: `fill` is called once all that can be known beforehand is in order. */
export async function fillFile(
  context: LocalContext,
  path: StorePath,
  fill: Fill,
  options: WriteOptions = {},
): Promise<Written> {
  return await stage(context, path, options, { fill })
}

/** A piece of a file that is assembled; `fill` brings the bytes in place of a body. */
export type FilledPiece = Piece | { readonly fill: Fill }

/** `Store.assemble` */
export async function assembleFile(
  context: LocalContext,
  path: StorePath,
  pieces: readonly FilledPiece[],
  options: WriteOptions = {},
): Promise<Written> {
  const sources = new Map<FilledPiece, number>()
  try {
    for (const piece of pieces) {
      if (!('from' in piece)) continue
      const { fd, known } = openFile(context, piece.from)
      sources.set(piece, fd)
      const { start, end } = piece.range
      if (start < 0 || end < start || end > known.size)
        throw new Failure('bad-range', 'The range does not lie within the file.', {
          path: piece.from,
          size: known.size,
        })
    }
    const fill: Fill = async ({ open }, digester) => {
      let size = 0
      for (const piece of pieces) {
        if ('fill' in piece) {
          size += await piece.fill({ open }, digester)
          continue
        }
        if ('body' in piece) {
          const left = options.length === undefined ? {} : { length: options.length - size }
          size += await pour(piece.body, { open }, digester, { ...options, ...left })
          continue
        }
        const fd = sources.get(piece) ?? -1
        const { start, end } = piece.range
        if (digester !== undefined) await digestRange(context, { fd, start, end, path }, digester, options.signal)
        await open().appendFrom(fd, start, end, () => throwIfAborted(options.signal))
        size += end - start
      }
      return size
    }
    return await stage(context, path, options, { fill })
  } finally {
    for (const fd of sources.values()) closeSync(fd)
  }
}

/** Everything around the bytes: conditions before and after, digests, notes, durability, and nothing left behind. */
export async function stage(
  context: LocalContext,
  path: StorePath,
  options: WriteOptions,
  { fill, adopt }: Making,
): Promise<Written> {
  const { signal, length, attributes, executable, beforeCommit } = options
  throwIfAborted(signal)
  requireAttributes(path, attributes)
  const target = Target.open(context, path, options.parents === true)
  const digester =
    options.digests === undefined || options.digests.length === 0 ? undefined : new Digester(options.digests)
  let staging: Staging | undefined
  let noting: Known | undefined
  let kept: readonly Uint8Array[] | undefined
  const open = (): Staging => (staging ??= target.stage())
  // Nothing has to be kept of such a file before it gets its name, so that it can be made and named in one step.
  const inOneStep = !context.full && !isWorthNoting({ attributes: attributes ?? {} }) && executable === undefined
  try {
    judge(path, target.look(), options)
    if (adopt !== undefined) staging = adopt(target.directory())
    if (staging === undefined && length !== undefined) await requireRoom(context, path, length)
    const size = await fill(inOneStep ? { open, keep: (chunks) => (kept = chunks) } : { open }, digester)
    throwIfAborted(signal)
    if (length !== undefined && size !== length) throw wrongLength()
    const digests = digestsOf(digester, options)
    const noted: Noted = attributes === undefined ? { digests } : { digests, attributes }
    const worthNoting = isWorthNoting(noted)
    if (kept !== undefined) {
      if (beforeCommit !== undefined) {
        await beforeCommit({ size, digests })
        throwIfAborted(signal)
      }
      const put = await target.putSmall(kept, uniqueStamp(options.modified), (present) => judge(path, present, options))
      if (put !== undefined) {
        target.close()
        if (put.replaced !== undefined) context.later(context.notes.forget(put.replaced))
        const { staged } = put
        const entry = entryOfKnown(path, staged)
        if (!worthNoting)
          return { entry: { ...entry, ...context.notes.tells?.(staged) }, created: put.replaced === undefined }
        // It got its name in the same call: what is true of the staged file is true of it.
        await remember(context, staged, noted, false)
        return { entry: { ...entry, ...shown(context.notes, staged, noted) }, created: put.replaced === undefined }
      }
      open().appendSync(kept)
    }
    const file = open()
    file.stamp(options.modified)
    const note = async (): Promise<void> => {
      if (worthNoting) await context.notes.write((noting = file.known()), noted, false)
    }
    // Both wait for the disk; that the note is one of a file which is then refused does no harm.
    if (context.full) await bothOf(file.sync(), note())
    if (beforeCommit !== undefined && kept === undefined) {
      await beforeCommit({ size, digests, ...context.notes.tells?.(file.known()) })
      throwIfAborted(signal)
    }
    if (!context.full) await note()
    const replaced = await target.commit(file, (present) => {
      judge(path, present, options)
      return modeOf(present?.mode, executable, file)
    })
    const known = file.known()
    const settling = noting === undefined ? undefined : settleNote(context, noting, known, noted)
    await (context.full ? bothOf(target.settle(file), settling) : settling)
    if (replaced !== undefined) context.later(context.notes.forget(replaced))
    file.close()
    target.close()
    return {
      entry: { ...entryOfKnown(path, known), ...shown(context.notes, known, noted) },
      created: replaced === undefined,
    }
  } catch (error) {
    staging?.discard()
    target.abandon()
    if (noting !== undefined) context.later(context.notes.forget(noting))
    throw error
  }
}

/** Waits for both also where one fails: what they work on must not be closed under the other. */
async function bothOf(one: Promise<void>, other: Promise<void> | undefined): Promise<void> {
  for (const result of await Promise.allSettled([one, other])) if (result.status === 'rejected') throw result.reason
}

/** Makes a note that was written of the staged file one of the file that has its name, where it is not one already. */
export async function settleNote(context: LocalContext, staged: Known, known: Known, noted: Noted): Promise<void> {
  if (!isSoonAfter(staged, known)) await remember(context, known, noted, true)
}

/** The file has its name and is durable: that its digests are not remembered is no reason to call that a failure. */
export async function remember(context: LocalContext, known: Known, noted: Noted, settled: boolean): Promise<void> {
  try {
    await context.notes.write(known, noted, settled)
  } catch {
    // A note made before still holds for the attributes.
  }
}

/** Throws `precondition`, then `is-directory`. */
function judge(path: StorePath, present: Known | undefined, conditions: Conditions): void {
  requireConditions(
    path,
    present === undefined ? undefined : { etag: etagOf(present), modified: present.modifiedMilliseconds },
    conditions,
  )
  if (present?.kind === directoryKind) throw isDirectory(path)
}

function modeOf(replaced: number | undefined, executable: boolean | undefined, file: Staging): number | undefined {
  if (replaced === undefined && executable !== true) return undefined
  return executableMode(replaced ?? file.known().mode, executable)
}

/** Permission bits with which whoever may read may execute too, or nobody; undefined leaves them. */
export function executableMode(mode: number, executable: boolean | undefined): number {
  const bits = mode & 0o777
  if (executable === undefined) return bits
  return executable ? bits | ((bits & 0o444) >> 2) : bits & ~0o111
}

/** Throws `no-space` where a large file cannot fit. */
export async function requireRoom(context: LocalContext, path: StorePath, length: number): Promise<void> {
  if (length <= firstBytes) return
  const { blocks, available } = await roomAt(context, path)
  if (blocks > 0 && length > available) throw new Failure('no-space', 'The file does not fit on the disk.', { path })
}

/** Throws `too-large`. */
export function requireAttributes(path: StorePath, attributes: Attributes | undefined): void {
  if (attributes === undefined) return
  const bytes = Object.entries(attributes).reduce((sum, [name, text]) => sum + name.length + Buffer.byteLength(text), 0)
  if (bytes > attributesLimitBytes)
    throw new Failure('too-large', 'The attributes of a file are too large.', { path, size: attributesLimitBytes })
}
