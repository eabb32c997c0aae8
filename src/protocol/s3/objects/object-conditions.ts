import { Failure } from '../../../core/failure.js'
import { header, parseHttpDate } from '../../../core/http.js'
import type { HttpRequest } from '../../../core/http.js'
import type { StorePath } from '../../../core/path.js'
import type { Conditions, Entry, Store } from '../../../store/store.js'
import { isObject } from '../buckets/bucket.js'
import { opaqueEtag, s3Etag } from '../etag.js'

type Etags = '*' | readonly string[]

/** The conditions under which an object is read, or copied from. */
export interface ReadConditions {
  readonly ifMatch: Etags | undefined
  readonly ifNoneMatch: Etags | undefined
  /** Milliseconds since the epoch. */
  readonly ifModifiedSince: number | undefined
  /** Milliseconds since the epoch. */
  readonly ifUnmodifiedSince: number | undefined
}

/** Reads conditions; undefined without any. `prefix` is `x-amz-copy-source-` for those of the source of a copy. Never throws. */
export function readConditions(request: Pick<HttpRequest, 'headers'>, prefix = ''): ReadConditions | undefined {
  const ifMatch = etagsOf(header(request, `${prefix}if-match`))
  const ifNoneMatch = etagsOf(header(request, `${prefix}if-none-match`))
  const ifModifiedSince = parseHttpDate(header(request, `${prefix}if-modified-since`))
  const ifUnmodifiedSince = parseHttpDate(header(request, `${prefix}if-unmodified-since`))
  if ((ifMatch ?? ifNoneMatch) === undefined && (ifModifiedSince ?? ifUnmodifiedSince) === undefined) return undefined
  return { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince }
}

/**
 * Judges in the order of RFC 9110 §13.2.2, by the ETag of S3 or that of the store. Throws `precondition`.
 */
export function judgeRead(conditions: ReadConditions | undefined, entry: Entry): 'proceed' | 'not-modified' {
  if (conditions === undefined) return 'proceed'
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions
  if (ifMatch !== undefined) {
    if (!matchesEtag(ifMatch, entry)) throw failed('If-Match')
  } else if (ifUnmodifiedSince !== undefined && seconds(entry.modified) > seconds(ifUnmodifiedSince))
    throw failed('If-Unmodified-Since')
  if (ifNoneMatch !== undefined) return matchesEtag(ifNoneMatch, entry) ? 'not-modified' : 'proceed'
  const isOld = ifModifiedSince !== undefined && seconds(entry.modified) <= seconds(ifModifiedSince)
  return isOld ? 'not-modified' : 'proceed'
}

/**
 * The conditions of a request that writes or deletes an object, for the store to judge in the step of its commit: ETags
 * of S3 are compared here, and what was compared must still be there then. Throws `precondition`, `not-found`
 * (`NoSuchKey`) for `If-Match` where there is no object, `unsupported` for `If-None-Match` with anything but `*`.
 */
export async function writeConditions(
  request: Pick<HttpRequest, 'headers' | 'signal'>,
  path: StorePath,
  store: Store,
): Promise<Conditions> {
  const { headers } = request
  if (!headers.has('if-match') && !headers.has('if-none-match')) return {}
  const ifNoneMatch = etagsOf(header(request, 'if-none-match'))
  const ifMatch = etagsOf(header(request, 'if-match'))
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*')
    throw new Failure('unsupported', 'Of If-None-Match only * is known here.', { reason: 'NotImplemented' })
  const none = ifNoneMatch === undefined ? {} : { ifNoneMatch }
  if (ifMatch === undefined) return none
  const entry = await store.stat(path, request.signal)
  if (entry === undefined || !isObject(entry))
    throw new Failure('not-found', 'There is no object of that key for If-Match to hold.', { reason: 'NoSuchKey' })
  if (!matchesEtag(ifMatch, entry)) throw failed('If-Match')
  return { ...none, ifMatch: [entry.etag] }
}

/** Whether one of these is an ETag of the object, or was until its MD5 became known. */
export function matchesEtag(etags: Etags, entry: Entry): boolean {
  if (etags === '*') return true
  return etags.includes(s3Etag(entry)) || etags.includes(entry.etag) || etags.includes(opaqueEtag(entry))
}

/** S3 takes ETags with quotes and without. What cannot be one fits nothing: no condition is ever passed over. */
export function etagsOf(field: string | undefined): Etags | undefined {
  if (field === undefined) return undefined
  if (field.trim() === '*') return '*'
  return field.split(',').map((item) => item.trim().replace(/^(?:W\/)?"(.*)"$/, '$1'))
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}

function failed(name: string): Failure {
  return new Failure('precondition', `The condition in ${name} does not hold.`, { reason: 'PreconditionFailed' })
}
