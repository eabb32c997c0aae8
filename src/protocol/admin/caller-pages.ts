import type { HttpRequest, HttpResponse } from '../../core/http.js'
import { isWithin, toPath } from '../../core/path.js'
import type { ParsedTarget, StorePath } from '../../core/path.js'
import type { Session } from '../protocol.js'

/** Answers below `/-/` for a caller who has logged in as for files. What it throws becomes an answer as over HTTP (RFC 9457). */
export type CallerPage = (request: HttpRequest, target: ParsedTarget, session: Session) => Promise<HttpResponse>

/** The page that answers there; undefined: there is none. */
export type CallerPages = (path: StorePath) => CallerPage | undefined

/** Of pages by the path at and below which each answers; those paths lie in none of the others. */
export function createCallerPages(pages: Readonly<Record<string, CallerPage>>): CallerPages {
  const known = Object.entries(pages).map(([path, page]) => ({ path: toPath(path), page }))
  return (path) => known.find((one) => isWithin(path, one.path))?.page
}
