import type { HttpRequest } from '../../core/http.js'

/**
 * The hosts that a client may have signed, at most two: the one that a trusted proxy (or the target) names, and the one in
 * the header. The header counts only where it is the same name, which may differ in case and port: what a request asks for
 * may hang on its host, and that must be the one that was signed.
 */
export function hostsOf({
  headers,
  origin: { authority },
}: Pick<HttpRequest, 'headers' | 'origin'>): readonly string[] {
  const sent = headers.get('host')?.[0]
  if (sent === undefined || sent === authority) return [authority]
  return nameOf(sent) === nameOf(authority) ? [sent, authority] : [authority]
}

/** The raw paths that a client may have signed: the one of the target, and with the base path that a proxy may have stripped. */
export function pathsOf(target: string, basePath: string): readonly string[] {
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  if (basePath === '' || path === basePath || path.startsWith(`${basePath}/`)) return [path]
  return [path, basePath + path]
}

function nameOf(authority: string): string {
  return authority.toLowerCase().replace(/:\d*$/, '')
}
