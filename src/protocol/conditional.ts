import { Failure } from '../core/failure.js'
import { header, parseHttpDate } from '../core/http.js'
import type { HttpRequest } from '../core/http.js'
import type { Conditions, Entry, OpenOptions } from '../store/store.js'
import { matchesStrongly, matchesWeakly, parseEntityTag, parseEntityTags } from './entity-tag.js'
import type { EntityTag } from './entity-tag.js'

/** The conditions of a request (RFC 9110 §13.1) without `If-Range`. What could not be read is left out. */
export interface Preconditions {
  readonly ifMatch?: '*' | readonly EntityTag[]
  readonly ifNoneMatch?: '*' | readonly EntityTag[]
  /** Milliseconds since the epoch. */
  readonly ifModifiedSince?: number
  /** Milliseconds since the epoch. */
  readonly ifUnmodifiedSince?: number
}

/** What is judged: the present state of a resource. */
export type Validators = Pick<Entry, 'etag' | 'modified'>

const oneRange = /^bytes=(\d{1,15})-(\d{1,15})?$/

/** What a store can be told of the bytes that a GET will need: undefined for all of them. */
export function wantedBytes({ headers }: Pick<HttpRequest, 'headers'>): Pick<OpenOptions, 'lazy' | 'part'> | undefined {
  if (
    headers.has('if-none-match') ||
    headers.has('if-modified-since') ||
    headers.has('if-match') ||
    headers.has('if-unmodified-since')
  )
    return { lazy: true }
  const range = headers.get('range')
  if (range === undefined) return undefined
  const [, first = '', last] = oneRange.exec(range[0] ?? '') ?? []
  const [start, end] = [Number(first), last === undefined ? undefined : Number(last) + 1]
  if (first === '' || headers.has('if-range') || (end !== undefined && end <= start)) return { lazy: true }
  return { part: end === undefined ? { start } : { start, end } }
}

/** The conditions that a request carries; undefined without any. Never throws. */
export function readPreconditions(request: Pick<HttpRequest, 'headers'>): Preconditions | undefined {
  const { headers } = request
  if (
    !headers.has('if-match') &&
    !headers.has('if-none-match') &&
    !headers.has('if-modified-since') &&
    !headers.has('if-unmodified-since')
  )
    return undefined
  const ifMatch = parseEntityTags(header(request, 'if-match'))
  const ifNoneMatch = parseEntityTags(header(request, 'if-none-match'))
  const ifModifiedSince = parseHttpDate(header(request, 'if-modified-since'))
  const ifUnmodifiedSince = parseHttpDate(header(request, 'if-unmodified-since'))
  if (
    ifMatch === undefined &&
    ifNoneMatch === undefined &&
    ifModifiedSince === undefined &&
    ifUnmodifiedSince === undefined
  )
    return undefined
  return {
    ...(ifMatch !== undefined && { ifMatch }),
    ...(ifNoneMatch !== undefined && { ifNoneMatch }),
    ...(ifModifiedSince !== undefined && { ifModifiedSince }),
    ...(ifUnmodifiedSince !== undefined && { ifUnmodifiedSince }),
  }
}

/**
 * Judges conditions in the order of RFC 9110 §13.2.2 against the present state, undefined where nothing is there. Throws
 * `precondition` where the method must not be carried out; `not-modified` comes for GET and HEAD only.
 */
export function evaluate(
  conditions: Preconditions | undefined,
  current: Validators | undefined,
  method: string,
): 'proceed' | 'not-modified' {
  if (conditions === undefined) return 'proceed'
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions
  if (ifMatch !== undefined) {
    if (current === undefined || !matchesStrongly(ifMatch, current.etag)) throw failed('If-Match')
  } else if (ifUnmodifiedSince !== undefined && current !== undefined) {
    if (seconds(current.modified) > seconds(ifUnmodifiedSince)) throw failed('If-Unmodified-Since')
  }
  const reading = method === 'GET' || method === 'HEAD'
  if (ifNoneMatch !== undefined) {
    if (current !== undefined && matchesWeakly(ifNoneMatch, current.etag)) {
      if (reading) return 'not-modified'
      throw failed('If-None-Match')
    }
  } else if (reading && ifModifiedSince !== undefined && current !== undefined) {
    if (seconds(current.modified) <= seconds(ifModifiedSince)) return 'not-modified'
  }
  return 'proceed'
}

/**
 * The same conditions for a store to judge in the step of its commit. Throws `precondition` where no state could meet
 * them: `If-Match` with weak tags only.
 */
export function writeConditions(conditions: Preconditions | undefined): Conditions {
  if (conditions === undefined) return {}
  const { ifMatch, ifNoneMatch, ifUnmodifiedSince } = conditions
  const strong = ifMatch === undefined || ifMatch === '*' ? ifMatch : strongValues(ifMatch)
  const any = ifNoneMatch === undefined || ifNoneMatch === '*' ? ifNoneMatch : ifNoneMatch.map((tag) => tag.value)
  return {
    ...(strong !== undefined && { ifMatch: strong }),
    ...(any !== undefined && { ifNoneMatch: any }),
    ...(ifMatch === undefined && ifUnmodifiedSince !== undefined && { ifUnmodifiedSince }),
  }
}

/**
 * Whether `Range` counts (RFC 9110 §13.1.5): no `If-Range`, or its tag is strongly equal, or its date is the exact time
 * of the last change and that lies at least a second before `now` (milliseconds), so that it can tell two versions apart.
 */
export function rangeApplies(ifRange: string | undefined, current: Validators, now: number): boolean {
  if (ifRange === undefined) return true
  const tag = parseEntityTag(ifRange)
  if (tag !== undefined) return matchesStrongly([tag], current.etag)
  const date = parseHttpDate(ifRange)
  if (date === undefined) return false
  return seconds(date) === seconds(current.modified) && now - current.modified >= 1000
}

function strongValues(tags: readonly EntityTag[]): readonly string[] {
  const values = tags.filter((tag) => !tag.weak).map((tag) => tag.value)
  if (values.length === 0) throw failed('If-Match')
  return values
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}

function failed(name: string): Failure {
  return new Failure('precondition', `The condition in ${name} does not hold.`)
}
