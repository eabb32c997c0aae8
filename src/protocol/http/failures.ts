import { STATUS_CODES } from 'node:http'
import type { Failure, FailureKind } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../../core/http.js'
import { preferredType } from './accept.js'
import { escapeHtml, pageEnd, pagePolicy, pageStart } from './html.js'
import { patchType } from './patch.js'

/** The methods of this surface, for `Allow`. */
export const allowedMethods = 'GET, HEAD, PUT, DELETE, PATCH, OPTIONS'

const statuses: Readonly<Record<FailureKind, number>> = {
  'not-found': 404,
  gone: 410,
  exists: 409,
  'no-parent': 409,
  'not-empty': 409,
  'is-directory': 409,
  'not-directory': 409,
  conflict: 409,
  unauthenticated: 401,
  denied: 403,
  throttled: 429,
  locked: 423,
  precondition: 412,
  'bad-range': 416,
  'bad-digest': 400,
  incomplete: 400,
  invalid: 400,
  method: 405,
  'length-required': 411,
  'media-type': 415,
  'too-large': 413,
  timeout: 408,
  'no-space': 507,
  elsewhere: 502,
  unsupported: 501,
  unavailable: 503,
}

/** The status of a failure on the HTTP surface. */
export function statusOf(failure: Failure): number {
  return statuses[failure.kind]
}

/** A failure as `application/problem+json` (RFC 9457), or as a small page for browsers. Challenges are the gateway's. */
export function refuseHttp(failure: Failure, request: HttpRequest): HttpResponse {
  return problem(request, statusOf(failure), failure.message, {}, failureHeaders(failure, request))
}

/** An answer that says what is wrong, with members of one's own beside `title`, `status` and `detail`. */
export function problem(
  request: HttpRequest,
  status: number,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
  headers: readonly Header[] = [],
): HttpResponse {
  const title = STATUS_CODES[status] ?? 'Error'
  const type = preferredType(header(request, 'accept'), ['application/problem+json', 'text/html'])
  const page = type === 'text/html'
  const body = Buffer.from(
    page
      ? `${pageStart(title)}<h1>${status} ${title}</h1><p>${escapeHtml(detail)}</p>${pageEnd}`
      : JSON.stringify({ type: 'about:blank', title, status, detail, ...members }) + '\n',
  )
  return {
    status,
    headers: [
      ['Content-Type', page ? 'text/html; charset=utf-8' : 'application/problem+json'],
      ['Content-Length', String(body.length)],
      ['X-Content-Type-Options', 'nosniff'],
      ...(page ? ([['Content-Security-Policy', pagePolicy()]] as const) : []),
      // A kept 404 would hide a file that is put a moment later.
      ['Cache-Control', 'no-store'],
      ...headers,
    ],
    ...(request.method !== 'HEAD' && { body }),
  }
}

function failureHeaders(failure: Failure, request: HttpRequest): readonly Header[] {
  const headers: Header[] = []
  if (failure.kind === 'method') headers.push(['Allow', allowedMethods])
  if (failure.kind === 'media-type' && request.method === 'PATCH') headers.push(['Accept-Patch', patchType])
  if (failure.kind === 'bad-range' && failure.size !== undefined)
    headers.push(['Content-Range', `bytes */${failure.size}`])
  if (failure.retryAfterSeconds !== undefined)
    headers.push(['Retry-After', String(Math.max(1, Math.ceil(failure.retryAfterSeconds)))])
  else if (failure.kind === 'unavailable') headers.push(['Retry-After', '5'])
  return headers
}
