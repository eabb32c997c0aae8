import type { Resource } from './live-properties.js'
import { hrefElement } from './multistatus.js'
import type { PropfindRequest } from './propfind-request.js'
import { header, type HttpRequest } from '../../core/http.js'

/** One `response` element. */
export function responseElement(resource: Resource, asked: PropfindRequest, brief: boolean): string {
  const { entry, session } = resource
  return `<D:response>${hrefElement(entry.path, entry.kind === 'directory', session.basePath)}${asked.propstats(resource, brief)}</D:response>\n`
}

/** `Brief: t` (Explorer) and `Prefer: return=minimal` (RFC 8144) leave out what a resource does not have. */
export function isBrief(request: HttpRequest): boolean {
  return (
    (request.headers.has('brief') && header(request, 'brief')?.toLowerCase() === 't') ||
    (request.headers.has('prefer') && /\breturn=minimal\b/i.test(header(request, 'prefer') ?? ''))
  )
}
