import { Failure, isFailure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { HttpResponse } from '../../core/http.js'
import type { StorePath } from '../../core/path.js'
import { contentBytes } from '../../store/content-bytes.js'
import type { Attributes, Body, ByteRange, Entry, Piece, Store, WriteOptions } from '../../store/store.js'
import { evaluate, readPreconditions } from '../conditional.js'
import { announcedLength, checkedBody } from './body.js'
import { essenceOf } from './content-type.js'
import { expectedDigests } from './digest-fields.js'
import type { FileContext } from './file-context.js'
import { newValidators } from './put.js'

/** The one media type of patches, as sabre/dav has it. */
export const patchType = 'application/x-sabredav-partialupdate'

/** Which bytes of a file a patch replaces. */
export type UpdateRange =
  | { readonly kind: 'from'; readonly start: number; readonly last?: number }
  | { readonly kind: 'suffix'; readonly length: number }
  | { readonly kind: 'append' }

/** Reads `X-Update-Range`: `bytes=A-B`, `bytes=A-`, `bytes=-N` or `append`. Throws `invalid` for anything else. */
export function parseUpdateRange(field: string | undefined): UpdateRange {
  const text = field?.trim().toLowerCase() ?? ''
  if (text === 'append') return { kind: 'append' }
  const [, first = '', last = ''] = /^bytes=(\d{0,16})-(\d{0,16})$/.exec(text) ?? []
  const start = Number(first)
  const end = Number(last)
  if ((first === '' && last === '') || !Number.isSafeInteger(start) || !Number.isSafeInteger(end))
    throw new Failure('invalid', 'X-Update-Range must be `bytes=A-B`, `bytes=A-`, `bytes=-N` or `append`.')
  if (first === '') return { kind: 'suffix', length: end }
  if (last === '') return { kind: 'from', start }
  if (end < start) throw new Failure('invalid', 'X-Update-Range ends before it begins.')
  return { kind: 'from', start, last: end }
}

/**
 * PATCH: writes the body over a part of a file or behind its end, all or nothing. 204 with the new validators. Throws
 * `media-type`, `invalid`, `length-required`, `not-found`, `is-directory`, `precondition`; `bad-range` where the part
 * begins behind the end; `conflict` where another write came first.
 */
export async function patchFile(context: FileContext): Promise<HttpResponse> {
  const { request, target, session } = context
  if (essenceOf(header(request, 'content-type') ?? '') !== patchType)
    throw new Failure('media-type', `A PATCH must be of the type ${patchType}.`)
  const update = parseUpdateRange(header(request, 'x-update-range'))
  const length = announcedLength(request, 'content-length')
  if (length === undefined) throw new Failure('length-required', 'A PATCH needs a Content-Length.')
  const expected = expectedDigests(request)
  const conditions = readPreconditions(request)
  const entry = await session.store.stat(target.path, request.signal)
  evaluate(conditions, entry, 'PATCH')
  if (entry === undefined) throw new Failure('not-found', 'There is nothing of that name.')
  if (entry.kind === 'directory' || target.slash) throw new Failure('is-directory', 'A directory cannot be patched.')
  const start = startOf(update, entry.size, length)
  const options: WriteOptions = {
    // Whatever the client asked: the part was computed for this version.
    ifMatch: [entry.etag],
    signal: request.signal,
    ...(entry.attributes !== undefined && { attributes: withoutContentNotes(entry.attributes) }),
    ...(entry.executable !== undefined && { executable: entry.executable }),
  }
  try {
    const body = checkedBody(request.body, length, expected)
    const { entry: patched } = await replacePart(session.store, entry, { start, end: start + length }, body, options)
    return { status: 204, headers: newValidators(patched) }
  } catch (error) {
    if (isFailure(error, 'precondition') && conditions === undefined)
      throw new Failure('conflict', 'The file was changed by another request meanwhile. Try again.', { cause: error })
    throw error
  }
}

/** What the S3 surface has noted of the bytes as they were (ETag, parts, checksum) is not true of what they become. */
function withoutContentNotes(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !name.startsWith('s3-')))
}

function startOf(update: UpdateRange, size: number, length: number): number {
  switch (update.kind) {
    case 'append':
      return size
    case 'suffix':
      if (update.length > size) throw outside(size)
      return size - update.length
    case 'from':
      if (update.last !== undefined && update.last - update.start + 1 !== length)
        throw new Failure('invalid', 'X-Update-Range and Content-Length do not agree.')
      if (update.start > size) throw outside(size)
      return update.start
  }
}

async function replacePart(
  store: Store,
  { path, etag, size }: Entry,
  part: ByteRange,
  body: Body,
  options: WriteOptions,
): ReturnType<Store['write']> {
  const before = { start: 0, end: part.start }
  const after = { start: Math.min(part.end, size), end: size }
  if (store.assemble !== undefined) {
    const pieces: Piece[] = [
      ...(before.end > 0 ? [{ from: path, range: before }] : []),
      { body },
      ...(after.start < after.end ? [{ from: path, range: after }] : []),
    ]
    return store.assemble(path, pieces, options)
  }
  return store.write(path, rewritten(store, path, etag, before, body, after), {
    ...options,
    length: Math.max(part.end, size),
  })
}

async function* rewritten(
  store: Store,
  path: StorePath,
  etag: string,
  before: ByteRange,
  body: Body,
  after: ByteRange,
): AsyncGenerator<Uint8Array> {
  if (before.start < before.end) yield* contentBytes(await store.open(path, { ifMatch: [etag], part: before }), before)
  yield* body
  if (after.start < after.end) yield* contentBytes(await store.open(path, { ifMatch: [etag], part: after }), after)
}

function outside(size: number): Failure {
  return new Failure('bad-range', `The file has ${size} bytes; the part begins outside of them.`, { size })
}
