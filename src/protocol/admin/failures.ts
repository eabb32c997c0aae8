import type { Failure, FailureKind } from '../../core/failure.js'
import type { Header, HttpResponse } from '../../core/http.js'

const statuses: Readonly<Partial<Record<FailureKind, number>>> = {
  invalid: 400,
  denied: 403,
  'not-found': 404,
  method: 405,
  exists: 409,
  'too-large': 413,
  'media-type': 415,
  throttled: 429,
  unavailable: 503,
}

/** A failure as the JSON of the user manager, `{ "error": … }`; undefined for a kind that it does not know. */
export function refusal(failure: Failure): HttpResponse | undefined {
  const status = statuses[failure.kind]
  if (status === undefined) return undefined
  const { retryAfterSeconds } = failure
  const more: readonly Header[] = retryAfterSeconds === undefined ? [] : [['Retry-After', String(retryAfterSeconds)]]
  return json(status, { error: failure.message }, more)
}

/** An answer that nobody keeps. */
export function json(status: number, value: unknown, more: readonly Header[] = []): HttpResponse {
  return {
    status,
    headers: [['Content-Type', 'application/json'], ['Cache-Control', 'no-store'], ...more],
    body: Buffer.from(`${JSON.stringify(value)}\n`),
  }
}
