import { header } from '../core/http.js'
import type { HttpRequest } from '../core/http.js'
import { davMethods } from '../protocol/webdav/index.js'

/** The dialects that a listener can be told to speak. */
export const surfaceNames = ['webdav', 'http'] as const

export type SurfaceName = (typeof surfaceNames)[number]

/**
 * Which dialect answers a request, decided once: the only one its listener speaks; else WebDAV for a method that only
 * WebDAV has, HTTP for an API key or a bearer token, WebDAV for everything else.
 */
export function surfaceOf(request: HttpRequest, spoken: readonly SurfaceName[]): SurfaceName {
  const [only, ...others] = spoken
  if (only !== undefined && others.length === 0) return only
  if (davMethods.has(request.method)) return 'webdav'
  if (request.headers.has('x-api-key')) return 'http'
  return /^bearer /i.test(header(request, 'authorization') ?? '') ? 'http' : 'webdav'
}
