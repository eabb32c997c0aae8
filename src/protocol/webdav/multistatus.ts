import { condition, statusOf } from './failures.js'
import type { Failure } from '../../core/failure.js'
import type { HttpResponse } from '../../core/http.js'
import { encodePath, type StorePath } from '../../core/path.js'
import type { TreeRemoved } from '../../store/tree.js'
import { escapeXml } from '../../core/xml.js'

/** What every multistatus document begins and ends with (RFC 4918 §14.16). */
export const multistatusStart = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">'
export const multistatusEnd = '</D:multistatus>\n'

export const xmlType = ['Content-Type', 'application/xml; charset=utf-8'] as const

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  423: 'Locked',
  424: 'Failed Dependency',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  507: 'Insufficient Storage',
}

/** A `status` element. */
export function statusElement(status: number): string {
  return `<D:status>HTTP/1.1 ${status} ${reasons[status] ?? 'Error'}</D:status>`
}

/** An `href` element: a path, never a whole URL, so that it is right behind every proxy. */
export function hrefElement(path: StorePath, collection: boolean, basePath: string): string {
  return `<D:href>${hrefOf(path, collection, basePath)}</D:href>`
}

/** A percent-encoded href; collections end with a slash (RFC 4918 §5.2). */
export function hrefOf(path: StorePath, collection: boolean, basePath: string): string {
  const encoded = basePath + encodePath(path)
  return collection && path !== '/' ? encoded + '/' : encoded
}

/** A `propstat` element, or nothing without properties. */
export function propstat(properties: string, status: number): string {
  return properties === '' ? '' : `<D:propstat><D:prop>${properties}</D:prop>${statusElement(status)}</D:propstat>`
}

/** A `response` element for a member that failed as a whole. */
export function failedMember(path: StorePath, failure: Failure, basePath: string): string {
  const reason = failure.reason === undefined ? '' : `<D:error>${condition(failure, basePath)}</D:error>`
  const description = `<D:responsedescription>${escapeXml(failure.message)}</D:responsedescription>`
  return `<D:response>${hrefElement(path, false, basePath)}${statusElement(statusOf(failure))}${reason}${description}</D:response>`
}

/** A 207 with these responses. */
export function multistatus(responses: string): HttpResponse {
  return { status: 207, headers: [xmlType], body: Buffer.from(multistatusStart + responses + multistatusEnd) }
}

/** A 207 that names the members of a tree which stayed as they were (RFC 4918 §9.6.1, §9.8.5). */
export function failedMembers({ failures, omitted }: TreeRemoved, basePath: string): HttpResponse {
  const named = failures.map(({ path, failure }) => failedMember(path, failure, basePath)).join('\n')
  const more = omitted === 0 ? '' : `<D:responsedescription>${omitted} more members failed.</D:responsedescription>`
  return multistatus(named + more)
}
