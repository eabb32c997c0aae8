import type { Failure, FailureKind } from '../../core/failure.js'
import type { Header, HttpResponse } from '../../core/http.js'

const statusOf: Readonly<Record<FailureKind, number>> = {
  'not-found': 404,
  gone: 410,
  exists: 409,
  'no-parent': 503,
  'not-empty': 503,
  'is-directory': 503,
  'not-directory': 503,
  conflict: 409,
  unauthenticated: 401,
  denied: 403,
  throttled: 429,
  locked: 503,
  precondition: 409,
  'bad-range': 400,
  'bad-digest': 400,
  incomplete: 400,
  invalid: 400,
  method: 405,
  'length-required': 411,
  'media-type': 415,
  'too-large': 413,
  timeout: 408,
  'no-space': 507,
  elsewhere: 503,
  unsupported: 503,
  unavailable: 503,
}

/** What is told to those who come too early, where nobody says more. */
const patienceSeconds = 5

/**
 * A failure as s3-dropbox answers: the text alone, with no type, no challenge and no `Allow`. What can be tried again
 * says when.
 */
export function refusal(failure: Failure): HttpResponse {
  const status = statusOf[failure.kind]
  // What is wrong with the storage is for the log: a sender can do nothing but come again.
  if (status >= 500) return storeFault(status, failure.retryAfterSeconds)
  const headers: readonly Header[] =
    status === 429 ? [['Retry-After', String(Math.ceil(failure.retryAfterSeconds ?? patienceSeconds))]] : []
  return { status, headers, body: Buffer.from(failure.message) }
}

/** What nobody meant to happen: the sender may come again, and the log explains it. */
export function faultAnswer(): HttpResponse {
  return storeFault(503, undefined)
}

function storeFault(status: number, retryAfterSeconds = patienceSeconds): HttpResponse {
  const headers: readonly Header[] = [['Retry-After', String(Math.ceil(retryAfterSeconds))]]
  return { status, headers, body: Buffer.from('The drop could not be stored. Try again soon.') }
}
