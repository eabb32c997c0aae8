import { mkcol, remove } from './collection.js'
import type { DavContext, DavServices } from './context.js'
import { refuseWebdav } from './failures.js'
import { applyIf } from './if-condition.js'
import { lock, unlock } from './lock.js'
import { principal } from './principal.js'
import { propfind } from './propfind.js'
import { proppatch } from './proppatch.js'
import { report } from './sync.js'
import { copy, move } from './transfer.js'
import { refuseHttp } from '../http/failures.js'
import { getFile } from '../http/get.js'
import { patchFile, patchType } from '../http/patch.js'
import { putFile } from '../http/put.js'
import type { Protocol } from '../protocol.js'
import { Failure } from '../../core/failure.js'
import { header, type HttpRequest, type HttpResponse } from '../../core/http.js'
import { isWithin, toPath } from '../../core/path.js'

/** Methods that mean WebDAV wherever they come. */
export const davMethods: ReadonlySet<string> = new Set([
  'PROPFIND',
  'PROPPATCH',
  'MKCOL',
  'COPY',
  'MOVE',
  'LOCK',
  'UNLOCK',
  'REPORT',
])

/** Where `current-user-principal` leads. */
export const principalsPath = toPath('/-/principals')

/** The WebDAV surface: RFC 4918 classes 1, 2 and 3, RFC 4331, RFC 5397, RFC 5689, RFC 6578; plain files as over HTTP. */
export function createWebdav(services: DavServices, basePath = ''): Protocol {
  return {
    async handle(request, target, session) {
      const context: DavContext = { request, target, session, services }
      const method = methods.get(request.method)
      if (method === undefined) throw new Failure('method', `The methods here are ${allow}.`)
      if (isWithin(target.path, principalsPath)) return request.method === 'OPTIONS' ? options() : principal(context)
      if (request.headers.has('if')) await applyIf(context)
      return method(context)
    },
    refuse: (failure, request) =>
      isBrowser(request) ? refuseHttp(failure, request) : refuseWebdav(failure, request, allow, basePath),
  }
}

/** A person follows a link, or a script asks for JSON: neither wants to read XML. */
function isBrowser(request: HttpRequest): boolean {
  return (
    (request.method === 'GET' || request.method === 'HEAD') &&
    /\btext\/html\b|\bjson\b/i.test(header(request, 'accept') ?? '')
  )
}

const methods: ReadonlyMap<string, (context: DavContext) => Promise<HttpResponse>> = new Map([
  ['OPTIONS', async () => options()],
  ['GET', getFile],
  ['HEAD', getFile],
  ['PUT', putWhole],
  ['DELETE', remove],
  ['PATCH', patchFile],
  ['MKCOL', mkcol],
  ['COPY', copy],
  ['MOVE', move],
  ['PROPFIND', propfind],
  ['PROPPATCH', proppatch],
  ['LOCK', lock],
  ['UNLOCK', unlock],
  ['REPORT', report],
])

const allow = [...methods.keys()].join(', ')

/** Honest classes, and what clients look for before they dare to write. */
const davClasses = '1, 2, 3, extended-mkcol, sabredav-partialupdate, <http://apache.org/dav/propset/fs/1>'

/** OPTIONS (RFC 4918 §10.1): the same everywhere, `/` and paths that do not exist included, for Explorer asks there first. */
function options(): HttpResponse {
  return {
    status: 200,
    headers: [
      ['DAV', davClasses],
      ['MS-Author-Via', 'DAV'],
      ['Allow', allow],
      ['Accept-Patch', patchType],
      ['Accept-Ranges', 'bytes'],
      ['Content-Length', '0'],
    ],
  }
}

/** PUT onto a collection is 405 (RFC 4918 §9.7.2), whatever slash it has; a new file below nothing is 409. */
async function putWhole(context: DavContext): Promise<HttpResponse> {
  return putFile(context, { parents: false })
}
