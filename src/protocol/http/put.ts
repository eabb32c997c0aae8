import { Failure, isFailure } from '../../core/failure.js'
import { header, httpDate } from '../../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../../core/http.js'
import { encodePath, nameOf } from '../../core/path.js'
import type { Attributes, Entry, WriteOptions, Written } from '../../store/store.js'
import { evaluate, readPreconditions, writeConditions } from '../conditional.js'
import type { Preconditions } from '../conditional.js'
import { quoteEntityTag } from '../entity-tag.js'
import { announcedLength, expectedBody } from './body.js'
import { contentTypeToKeep } from './content-type.js'
import { checkDigests, expectedDigests } from './digest-fields.js'
import { queryOf } from './file-context.js'
import type { FileContext } from './file-context.js'

export interface PutOptions {
  /** Make missing parents on this surface; `?parents=1` asks for them on any. */
  readonly parents: boolean
}

/** How long a chunked body of announced length may stay silent once all of it is there. */
const chunkedGraceMilliseconds = 2000

/**
 * PUT of a whole file, all or nothing (RFC 9110 §9.3.4): conditions, digests (RFC 9530, `Content-MD5`, `OC-Checksum`),
 * `X-OC-Mtime`, `X-Expected-Entity-Length`. 201 or 204 with the new validators. What is refused is refused before the
 * body is pulled wherever it is known by then. Throws `invalid`, `is-directory`, `no-parent`, `precondition`,
 * `bad-digest`, `incomplete`, `no-space`, `denied`, `locked`.
 */
export async function putFile(context: FileContext, options: PutOptions): Promise<HttpResponse> {
  const { request, target, session } = context
  if (request.headers.has('content-range'))
    throw new Failure('invalid', 'A PUT puts a whole file. To change a part of one, use PATCH with X-Update-Range.')
  if (target.slash) throw new Failure('is-directory', 'A file cannot be put at a name that ends with a slash.')
  const conditions = readPreconditions(request)
  const expected = expectedDigests(request)
  const modified = announcedTime(request)
  const length = announcedLength(request, 'content-length')
  const entityLength = length === undefined ? announcedLength(request, 'x-expected-entity-length') : undefined
  const attributes = attributesOf(context)
  // Without the signal: when the client goes away the body fails, and to make one costs as much as to open a file.
  const write: WriteOptions = {
    ...(conditions !== undefined && writeConditions(conditions)),
    ...(length !== undefined && { length }),
    ...(entityLength !== undefined && { length: entityLength }),
    ...(modified !== undefined && { modified }),
    ...((options.parents || queryOf(context).get('parents') === '1') && { parents: true }),
    ...(attributes !== undefined && { attributes }),
    ...(expected.length > 0 && {
      digests: [...new Set(expected.map(({ name }) => name))],
      beforeCommit: async (staged) => checkDigests(expected, staged),
    }),
  }
  if (conditions !== undefined) await judgeEarly(context, conditions)
  const body =
    entityLength === undefined ? request.body : expectedBody(request.body, entityLength, chunkedGraceMilliseconds)
  const written = await session.store.write(target.path, body, write)
  // Not every store keeps times that it is given.
  const isTimed = modified !== undefined && sameSecond(modified, written.entry.modified)
  return writtenResponse(context, written, isTimed)
}

/** Validators of what was written, `201` with its `Location` where it is new. */
function writtenResponse({ target, session }: FileContext, { entry, created }: Written, timed: boolean): HttpResponse {
  const headers = newValidators(entry)
  if (timed) headers.push(['X-OC-Mtime', 'accepted'])
  if (created) headers.push(['Location', session.basePath + encodePath(target.path)], ['Content-Length', '0'])
  return { status: created ? 201 : 204, headers }
}

function sameSecond(a: number, b: number): boolean {
  return Math.floor(a / 1000) === Math.floor(b / 1000)
}

/** `ETag` and `Last-Modified` of a file that was just written; clients would ask for them otherwise. */
export function newValidators(entry: Entry): Header[] {
  return [
    ['ETag', quoteEntityTag(entry.etag)],
    ['Last-Modified', httpDate(entry.modified)],
  ]
}

/** Spares the client the body where a condition fails already. Whoever may not look is judged by the store alone. */
async function judgeEarly({ request, target, session }: FileContext, conditions: Preconditions): Promise<void> {
  let present: Entry | undefined
  try {
    present = await session.store.stat(target.path, request.signal)
  } catch (error) {
    if (isFailure(error, 'denied')) return
    throw error
  }
  evaluate(conditions, present, 'PUT')
}

const latestSeconds = 253_402_300_799

/** `X-OC-Mtime` in milliseconds: seconds, decimal (with a fraction or not) or hexadecimal. What is no such time is ignored. */
function announcedTime(request: HttpRequest): number | undefined {
  const text = header(request, 'x-oc-mtime')?.trim()
  if (text === undefined || !/^(?:\d{1,12}(?:\.\d{1,9})?|0x[0-9a-f]{1,10})$/i.test(text)) return undefined
  const seconds = Number(text)
  return seconds <= latestSeconds ? Math.floor(seconds * 1000) : undefined
}

/** What is kept beside the bytes: only what their name does not tell. */
function attributesOf({ request, target }: FileContext): Attributes | undefined {
  const { headers } = request
  const attributes: Record<string, string> = {}
  if (headers.has('content-type')) {
    const type = contentTypeToKeep(nameOf(target.path), header(request, 'content-type'))
    if (type !== undefined) attributes['content-type'] = type
  }
  if (headers.has('content-encoding')) {
    // A coding that belongs to the transfer is not one of the file.
    const codings = (header(request, 'content-encoding') ?? '')
      .split(',')
      .map((coding) => coding.trim().toLowerCase())
      .filter((coding) => coding !== '' && coding !== 'identity' && coding !== 'aws-chunked')
    if (codings.some((coding) => !/^[\w-]{1,32}$/.test(coding)))
      throw new Failure('media-type', 'The content coding of the body is not known.')
    if (codings.length > 0) attributes['content-encoding'] = codings.join(', ')
  }
  const language = header(request, 'content-language')
  if (language !== undefined && /^[\w, -]{1,100}$/.test(language)) attributes['content-language'] = language
  return Object.keys(attributes).length === 0 ? undefined : attributes
}
