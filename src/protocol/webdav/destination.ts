import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import { parseTarget, withoutBase, type ParsedTarget } from '../../core/path.js'
import type { Session } from '../protocol.js'

/**
 * The target named by a URL in a header or body: an absolute path (RFC 4918 §8.3), or an absolute URL at one of the
 * origins under which clients know this server. A scheme that differs from the connection's is fine for the same host,
 * for proxies that end TLS. Throws `elsewhere` for any other server, `invalid` like `parseTarget`.
 */
export function parseReference(
  text: string,
  request: Pick<HttpRequest, 'origin'>,
  session: Pick<Session, 'publicOrigins' | 'basePath'>,
): ParsedTarget {
  const absolute = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/i.exec(text)
  if (absolute === null) {
    if (!text.startsWith('/') || text.startsWith('//'))
      throw new Failure('invalid', 'The URL must be absolute or begin with a slash.')
    return withoutBase(parseTarget(text), session.basePath)
  }
  const [, scheme = '', authority = '', rest = ''] = absolute
  const host = withoutDefaultPort(authority.slice(authority.lastIndexOf('@') + 1).toLowerCase(), scheme.toLowerCase())
  const own = withoutDefaultPort(request.origin.authority.toLowerCase(), request.origin.scheme)
  const known = host === own || session.publicOrigins.some((origin) => sameHost(origin, host))
  if (!known || !/^https?$/i.test(scheme))
    throw new Failure('elsewhere', 'The destination is on another server, to which this one does not copy.')
  return withoutBase(parseTarget(rest === '' ? '/' : rest), session.basePath)
}

function sameHost(origin: string, host: string): boolean {
  const mark = origin.indexOf('://')
  return withoutDefaultPort(origin.slice(mark + 3).toLowerCase(), origin.slice(0, mark)) === host
}

function withoutDefaultPort(authority: string, scheme: string): string {
  return authority.replace(scheme === 'https' ? /:443$/ : /:80$/, '')
}
