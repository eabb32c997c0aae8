import { header } from '../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../core/http.js'

/** Web pages of other origins that may use this server from a browser (CORS, https://fetch.spec.whatwg.org). */
export interface CrossOriginRules {
  /** Exact origins, lower case: `https://app.example.org`, `app://obsidian.md`, `null`. */
  readonly allowed: ReadonlySet<string>
  /** Origins of our own, lower case. */
  readonly own: readonly string[]
  /** How long a browser may remember a preflight. */
  readonly maxAgeSeconds: number
}

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PROPFIND', 'REPORT', 'TRACE'])

const methods =
  'GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK, REPORT'

const exposed =
  'ETag, Last-Modified, Location, DAV, Allow, Accept-Patch, Accept-Ranges, Content-Range, Content-Length, Lock-Token, Repr-Digest, Retry-After, WWW-Authenticate'

/**
 * Whether a browser sends this on behalf of a page that has no business here: it would add the credentials it
 * remembers (CSRF). Programs that are no browsers send neither header.
 */
export function isForged(request: HttpRequest, rules: CrossOriginRules): boolean {
  if (safeMethods.has(request.method)) return false
  const origin = header(request, 'origin')?.toLowerCase()
  if (origin !== undefined && rules.allowed.has(origin)) return false
  const site = header(request, 'sec-fetch-site')
  if (site === 'same-origin' || site === 'none') return false
  if (origin === undefined) return site === 'cross-site'
  return !rules.own.includes(origin) && hostOf(origin) !== withoutDefaultPort(request)
}

/** The answer to a preflight of an allowed origin, which comes without credentials, beside `corsHeaders`; undefined for every other request. */
export function preflight(request: HttpRequest, rules: CrossOriginRules): HttpResponse | undefined {
  if (request.method !== 'OPTIONS' || rules.allowed.size === 0) return undefined
  const origin = header(request, 'origin')
  const asked = request.headers.has('access-control-request-method')
  if (!asked || origin === undefined || !rules.allowed.has(origin.toLowerCase())) return undefined
  const fields = header(request, 'access-control-request-headers') ?? ''
  return {
    status: 204,
    headers: [
      ['Access-Control-Allow-Methods', methods],
      ...(/^[A-Za-z0-9!#$%&'*+.^_`|~, -]+$/.test(fields) ? [['Access-Control-Allow-Headers', fields] as const] : []),
      ['Access-Control-Max-Age', String(rules.maxAgeSeconds)],
      ['Vary', 'Access-Control-Request-Headers'],
    ],
  }
}

/** What an ordinary answer tells the browser of an allowed origin. */
export function corsHeaders(request: HttpRequest, rules: CrossOriginRules): readonly Header[] {
  if (rules.allowed.size === 0) return []
  const origin = header(request, 'origin')
  if (origin === undefined || !rules.allowed.has(origin.toLowerCase())) return [['Vary', 'Origin']]
  return [
    ['Access-Control-Allow-Origin', origin],
    ['Access-Control-Allow-Credentials', 'true'],
    ['Access-Control-Expose-Headers', exposed],
    ['Vary', 'Origin'],
  ]
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

/** The scheme is left out: behind a proxy that is not trusted, ours is not the one that the browser sees. */
function withoutDefaultPort(request: HttpRequest): string {
  return request.origin.authority.replace(/:(?:80|443)$/, '')
}
