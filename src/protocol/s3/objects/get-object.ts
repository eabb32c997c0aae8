import { Failure, isFailure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { Header, HttpResponse } from '../../../core/http.js'
import type { ByteRange, Content, Entry } from '../../../store/store.js'
import { rangeApplies, wantedBytes } from '../../conditional.js'
import { isFieldValue } from '../../http/content-type.js'
import { contentBody } from '../../http/file-bytes.js'
import { redirectToStore } from '../../http/redirect.js'
import { contentRange, parseRange } from '../../http/ranges.js'
import { isObject } from '../buckets/bucket.js'
import type { S3Context } from '../context.js'
import { hasOpaqueEtag, opaqueEtag, s3Etag } from '../etag.js'
import { noSuchKey, requireNullVersion } from './missing.js'
import { judgeRead, readConditions } from './object-conditions.js'
import { objectHeaders, validatorsOf } from './object-headers.js'
import { rangeOfPart, readPartSizes } from '../uploads/part-sizes.js'

/** GetObject. Throws `not-found` (`NoSuchKey`), `precondition`, `bad-range`. The body owns an open file: send it or close it. */
export async function getObject(context: S3Context): Promise<HttpResponse> {
  const { target, session, request } = context
  requireNullVersion(context)
  if (target.slash) return withoutBytes(context, await requireObject(context))
  let content: Content
  try {
    // Without the signal: to make one costs more than most files, and whoever opened it closes it.
    content = await session.store.open(target.path, wantedBytes(request))
  } catch (error) {
    throw isFailure(error, 'not-found', 'is-directory') ? await noSuchKey(context) : error
  }
  let kept = false
  try {
    const response = (await elsewhere(context, content.entry)) ?? answer(context, content)
    kept = response.body !== undefined
    return response
  } finally {
    if (!kept) await content.close()
  }
}

/** HeadObject. Throws like GetObject. */
export async function headObject(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  return withoutBytes(context, await requireObject(context))
}

/**
 * The object that a request names, for callers who may read it. Throws `not-found` (`NoSuchKey`, `NoSuchBucket`),
 * `denied`.
 */
export async function requireObject(context: S3Context): Promise<Entry> {
  const { target, session, request } = context
  const entry = await session.store.stat(target.path, request.signal)
  if (entry === undefined || !isObject(entry) || target.slash !== (entry.kind === 'directory'))
    throw await noSuchKey(context)
  // A stat is allowed to whoever may list; what is known of the content belongs to readers.
  if (!session.permit.allows('read', target.path)) throw new Failure('denied', 'Reading this is not allowed.')
  return entry
}

function answer(context: S3Context, content: Content): HttpResponse {
  const { entry } = content
  const part = judge(context, entry)
  if (part === 'not-modified') return notModified(entry)
  const status = part?.range === undefined ? 200 : 206
  return { status, headers: headersOf(context, entry, part), body: contentBody(content, part?.range) }
}

/**
 * The way past this server. Only for URLs and for nobody in particular: SDKs sign for this server alone, and follow no
 * redirect with another signature.
 */
async function elsewhere(context: S3Context, entry: Entry): Promise<HttpResponse | undefined> {
  const { request, session, settings } = context
  const { redirectOver = Infinity } = settings
  if (entry.size <= redirectOver || (request.signedBy !== 'query' && request.signedBy !== 'nobody')) return undefined
  const part = judge(context, entry)
  if (part === 'not-modified') return undefined
  const { start, end } = part?.range ?? { start: 0, end: entry.size }
  if (end - start <= redirectOver || (part?.range !== undefined && !request.headers.has('range'))) return undefined
  const headers = new Map(headersOf(context, entry, undefined).map(([name, value]) => [name.toLowerCase(), value]))
  const type = headers.get('content-type') ?? 'application/octet-stream'
  return redirectToStore(session, entry, { type, disposition: headers.get('content-disposition') })
}

function withoutBytes(context: S3Context, entry: Entry): HttpResponse {
  const part = judge(context, entry)
  if (part === 'not-modified') return notModified(entry)
  return { status: part?.range === undefined ? 200 : 206, headers: headersOf(context, entry, part) }
}

/** What is to be given of an object. Throws `precondition`, `bad-range`, `invalid`. */
function judge(context: S3Context, entry: Entry): Part | undefined | 'not-modified' {
  const { request, settings, session } = context
  if (hasOpaqueEtag(entry)) settings.hashLater?.(entry, session.identity)
  if (judgeRead(readConditions(request), entry) === 'not-modified') return 'not-modified'
  return partOf(context, entry)
}

function headersOf(context: S3Context, entry: Entry, part: Part | undefined): Header[] {
  const headers = objectHeaders(context, entry, part?.range === undefined)
  if (part?.count !== undefined) headers.push(['x-amz-mp-parts-count', String(part.count)])
  if (part?.range === undefined) {
    headers.push(['Content-Length', String(entry.size)])
    return headers
  }
  const { start, end } = part.range
  headers.push(['Content-Length', String(end - start)], ['Content-Range', contentRange(part.range, entry.size)])
  return headers
}

interface Part {
  /** Undefined where it is all of an empty object, which no `Content-Range` could say. */
  readonly range: ByteRange | undefined
  /** How many parts the object has. */
  readonly count?: number
}

/** The part of an object that is asked for; undefined for all of it. Throws `bad-range`, `invalid`. */
function partOf(context: S3Context, entry: Entry): Part | undefined {
  const { request, target, query } = context
  const field = header(request, 'range')
  const number = target.query === '' ? undefined : query.number('partNumber', 10_001)
  if (number !== undefined) {
    if (field !== undefined)
      throw new Failure('invalid', 'Range and partNumber cannot both be asked for.', { reason: 'InvalidRequest' })
    return numberedPart(entry, number)
  }
  if (field === undefined || !isStillMeant(header(request, 'if-range'), entry)) return undefined
  const ranges = parseRange(field, entry.size)
  if (ranges === 'unsatisfiable')
    throw new Failure('bad-range', `The object has ${entry.size} bytes; none of them was asked for.`, {
      reason: 'InvalidRange',
      size: entry.size,
    })
  // Of several ranges S3 gives all of the object.
  return ranges?.length === 1 ? { range: ranges[0] } : undefined
}

function numberedPart(entry: Entry, number: number): Part {
  const sizes = readPartSizes(entry)
  const range = rangeOfPart(sizes ?? [entry.size], number)
  // An empty part of an object that is none cannot be told in a Content-Range.
  if (range === undefined || (range.start === range.end && entry.size > 0))
    throw new Failure('bad-range', 'The object has no part of that number.', {
      reason: 'InvalidPartNumber',
      size: entry.size,
    })
  return {
    range: range.start < range.end ? range : undefined,
    ...(sizes !== undefined && { count: sizes.length }),
  }
}

function isStillMeant(ifRange: string | undefined, entry: Entry): boolean {
  if (ifRange === undefined) return true
  const now = Date.now()
  return [s3Etag(entry), opaqueEtag(entry), entry.etag].some((etag) => rangeApplies(ifRange, { ...entry, etag }, now))
}

function notModified(entry: Entry): HttpResponse {
  const headers = validatorsOf(entry)
  for (const name of ['cache-control', 'expires'] as const) {
    const value = entry.attributes?.[name]
    if (value !== undefined && isFieldValue(value))
      headers.push([name === 'expires' ? 'Expires' : 'Cache-Control', value])
  }
  return { status: 304, headers }
}
