import { patchType } from '../http/patch.js'
import { escapeXml } from '../../core/xml.js'
import type { Failure, FailureKind } from '../../core/failure.js'
import { header, type Header, type HttpRequest, type HttpResponse } from '../../core/http.js'
import { encodePath } from '../../core/path.js'

/** What each failure is over WebDAV (RFC 4918 §11, RFC 9110 §15). */
const statuses: Readonly<Record<FailureKind, number>> = {
  'not-found': 404,
  gone: 410,
  exists: 405,
  'no-parent': 409,
  'not-empty': 409,
  'is-directory': 405,
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

export function statusOf(failure: Failure): number {
  // A refused condition of the protocol itself is forbidden rather than failed (RFC 4918 §16).
  if (failure.reason === 'propfind-finite-depth' || failure.reason === 'cannot-modify-protected-property') return 403
  if (failure.reason === 'valid-sync-token' || failure.reason === 'sync-traversal-supported') return 403
  return statuses[failure.kind]
}

/** A failure with the `error` element of RFC 4918 §14.5 as its body. */
export function refuseWebdav(failure: Failure, request: HttpRequest, allow: string, basePath: string): HttpResponse {
  const status = statusOf(failure)
  const headers: Header[] = [['Content-Type', 'application/xml; charset=utf-8']]
  if (status === 405) headers.push(['Allow', allow])
  if (status === 416 && failure.size !== undefined) headers.push(['Content-Range', `bytes */${failure.size}`])
  if (status === 415 && request.method === 'PATCH') headers.push(['Accept-Patch', patchType])
  if (failure.retryAfterSeconds !== undefined)
    headers.push(['Retry-After', String(Math.ceil(failure.retryAfterSeconds))])
  // Explorer keeps a 404 for up to a minute, whatever happens meanwhile.
  if (status === 404 && header(request, 'user-agent')?.startsWith('Microsoft') === true)
    headers.push(['Cache-Control', 'no-store'])
  const body = `<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:">${condition(failure, basePath)}<P:message xmlns:P="urn:postern:">${escapeXml(failure.message)}</P:message></D:error>\n`
  return { status, headers, body: Buffer.from(body) }
}

/** The element that names the violated condition (RFC 4918 §16), or nothing where there is none. */
export function condition({ kind, reason, path }: Failure, basePath: string): string {
  if (reason === undefined) return ''
  // Only locks need to say which resource is at fault.
  if (kind !== 'locked' || path === undefined) return `<D:${reason}/>`
  return `<D:${reason}><D:href>${basePath}${encodePath(path)}</D:href></D:${reason}>`
}
