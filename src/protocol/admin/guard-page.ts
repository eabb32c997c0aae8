import { permitOf } from '../../auth/grant.js'
import type { Identity } from '../../auth/identity.js'
import { isName } from '../../auth/directory/outside-caller.js'
import { allowsBlindly } from '../../auth/method-rights.js'
import { Failure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../../core/http.js'
import { encodePath, isOwnPath, parseTarget, pathOf, segmentsOf, toPath } from '../../core/path.js'
import type { StorePath } from '../../core/path.js'

export interface GuardPageOptions {
  /** Throws what an authenticator throws. */
  readonly authenticate: (request: HttpRequest) => Promise<Identity>
  /** What a target begins with where clients know this server; usually empty. */
  readonly basePath: string
}

/** Where proxies ask. */
export const guardPath = toPath('/-/auth')

/** The ways in which proxies name the request that they ask about: nginx, and Traefik or Caddy. */
const families = [
  ['x-original-uri', 'x-original-method'],
  ['x-forwarded-uri', 'x-forwarded-method'],
] as const

/**
 * `/-/auth`: tells a trusted proxy whether a request to another service may pass, by the same callers and grants as here.
 * 200 with `Remote-User` and `Remote-Groups`, or the failures of a request: `unauthenticated`, `denied`, `throttled`,
 * `unavailable`; `invalid` where the proxy does not say what it asks about. `?prefix=/name` gives a service a part of the
 * namespace of grants.
 */
export function createGuardPage({
  authenticate,
  basePath,
}: GuardPageOptions): (request: HttpRequest) => Promise<HttpResponse> {
  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return { status: 405, headers: [['Allow', 'GET, HEAD'], noStore], body: Buffer.from('') }
    if (request.peer.trusted !== true)
      throw new Failure('denied', 'Only a proxy may ask this that trustedProxies names.')
    const { method, uri } = askedAbout(request)
    const prefix = prefixOf(request.target)
    const path = guarded(uri, prefix)
    const destination = method === 'COPY' || method === 'MOVE' ? destinationOf(request, prefix) : undefined
    const identity = await authenticate(inPlaceOf(request, method, path, destination, basePath))
    if (!allowsBlindly(permitOf(identity), method, path, destination) || isOwnPath(path) || !canBeTold(identity))
      throw identity.source === 'anonymous'
        ? new Failure('unauthenticated', 'This needs a login.')
        : new Failure('denied', 'You have no right to do this.')
    return { status: 200, headers: [...told(identity), noStore], body: Buffer.from('') }
  }
}

const noStore: Header = ['Cache-Control', 'no-store']

/** Both families may speak, but not differ: one of them may be what the client itself has sent. */
function askedAbout(request: HttpRequest): { readonly method: string; readonly uri: string } {
  const said = families.map(([uri, method]) => ({ uri: only(request, uri), method: only(request, method) }))
  const found = said.find(({ uri }) => uri !== undefined)
  if (found?.uri === undefined || found.method === undefined)
    throw new Failure(
      'invalid',
      'Say what is asked about: X-Original-URI and X-Original-Method, or X-Forwarded-Uri and X-Forwarded-Method.',
    )
  const { uri, method } = found
  if (said.some((other) => (other.uri ?? uri) !== uri || (other.method ?? method) !== method))
    throw new Failure('invalid', 'The X-Original and the X-Forwarded headers differ.')
  return { uri, method }
}

function only(request: HttpRequest, name: string): string | undefined {
  const values = request.headers.get(name)
  if (values !== undefined && values.length > 1) throw new Failure('invalid', `The header ${name} came more than once.`)
  return values?.[0] === '' ? undefined : values?.[0]
}

function prefixOf(target: string): StorePath {
  const mark = target.indexOf('?')
  const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1))
  const prefix = toPath(query.get('prefix') ?? '/')
  if ([...query.keys()].some((key) => key !== 'prefix') || query.getAll('prefix').length > 1 || isOwnPath(prefix))
    throw new Failure('invalid', 'The only thing to add is a prefix such as ?prefix=/grafana.')
  return prefix
}

/** The path as grants see it. Throws `denied` for one that we would not serve, and for one that others may take for another. */
function guarded(uri: string, prefix: StorePath): StorePath {
  try {
    const path = parseTarget(uri).path
    if (!isPlain(path)) throw new Failure('invalid', 'The path may mean another one to somebody else.')
    return pathOf([...segmentsOf(prefix), ...segmentsOf(path)])
  } catch (cause) {
    throw new Failure('denied', 'The path is not one that can be granted.', { cause })
  }
}

/** Some services take `\` for a slash, cut a segment at `;`, or decode twice; what they would make of this is nobody's right. */
function isPlain(path: StorePath): boolean {
  return !path.includes('\\') && !/%(?:2e|2f|5c|00)/i.test(path) && !/\/\.{1,2};/.test(path)
}

/** The `Destination` of COPY and MOVE at the other service, which is to judge its host. */
function destinationOf(request: HttpRequest, prefix: StorePath): StorePath | undefined {
  const text = header(request, 'destination')?.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
  return text === undefined ? undefined : guarded(text === '' ? '/' : text, prefix)
}

/** The request that is asked about, for those who find out who asks: sources may judge its path. */
function inPlaceOf(
  request: HttpRequest,
  method: string,
  path: StorePath,
  destination: StorePath | undefined,
  basePath: string,
): HttpRequest {
  const { headers, body, listener, origin, peer, signal } = request
  const target = basePath + encodePath(path)
  const replaced = destination && new Map([...headers, ['destination', [basePath + encodePath(destination)]] as const])
  return { method, target, headers: replaced ?? headers, body, listener, origin, peer, signal }
}

/** Whether a header can carry the name without making another one of it. */
function canBeTold(identity: Identity): boolean {
  return isName(identity.name)
}

/**
 * Nobody has a name without a login. A group with a comma would be two. All headers are always there, for some proxies
 * pass on what the client said where one is missing.
 */
function told({ name, source, groups = [] }: Identity): readonly Header[] {
  const known = source !== 'anonymous'
  const plain = groups.filter((group) => isName(group) && !group.includes(','))
  return [
    ['Remote-User', known ? bytes(name) : ''],
    ['Remote-Groups', bytes(plain.join(','))],
    ['Remote-Source', known ? bytes(source) : ''],
  ]
}

/** UTF-8, as a header carries it. */
function bytes(text: string): string {
  return Buffer.from(text).toString('latin1')
}
