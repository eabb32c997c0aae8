import type { DavContext } from './context.js'
import { failedMembers, hrefOf, propstat, statusElement, xmlType } from './multistatus.js'
import { emptyElement } from './propfind-request.js'
import { applyUpdate, readUpdate } from './proppatch.js'
import { readDavXml } from './request-xml.js'
import { removeTarget } from '../http/delete.js'
import { Failure } from '../../core/failure.js'
import { header, type HttpResponse } from '../../core/http.js'
import { childElements, childNamed, davNamespace, is, type XmlElement } from '../../core/xml.js'

/** MKCOL (RFC 4918 §9.3), with properties to begin with (RFC 5689). */
export async function mkcol({ request, target, session }: DavContext): Promise<HttpResponse> {
  const type = header(request, 'content-type')
  const hasBody =
    header(request, 'content-length') !== '0' &&
    (request.headers.has('content-length') || request.headers.has('transfer-encoding'))
  if (hasBody && type !== undefined && !/^(?:text|application)\/xml\b/i.test(type))
    throw new Failure('media-type', 'The body of MKCOL must be XML, or there must be none.')
  const root = hasBody ? await readMkcol(request) : undefined
  const asked = root === undefined ? undefined : readUpdate(withoutResourceType(root), 'mkcol')
  const refused = asked?.instructions.filter(({ verdict }) => verdict !== 'ok') ?? []
  if (asked !== undefined && refused.length > 0) {
    const others = asked.instructions.filter(({ verdict }) => verdict === 'ok')
    const body =
      propstat(refused.map(({ name }) => emptyElement(name)).join(''), 403) +
      propstat(others.map(({ name }) => emptyElement(name)).join(''), 424)
    return mkcolResponse(403, body)
  }
  const changes = asked !== undefined && asked.instructions.length > 0
  if (changes && session.permit.allows('create', target.path) && !session.permit.allows('replace', target.path))
    throw new Failure('denied', 'You may make this collection, but not give it properties.', { path: target.path })
  await session.store.makeDirectory(target.path, request.signal)
  if (changes) {
    try {
      await applyUpdate(session, target.path, asked)
    } catch (error) {
      // Who may not remove it has made a collection without properties; what went wrong is said in any case.
      await session.store.remove(target.path).catch(() => undefined)
      throw error
    }
  }
  const headers = [['Location', hrefOf(target.path, true, session.basePath)]] as const
  if (asked === undefined) return { status: 201, headers }
  const done = mkcolResponse(201, propstat(asked.instructions.map(({ name }) => emptyElement(name)).join(''), 200))
  return { ...done, headers: [...headers, ...done.headers] }
}

async function readMkcol(request: DavContext['request']): Promise<XmlElement | undefined> {
  let root: XmlElement | undefined
  try {
    root = await readDavXml(request)
  } catch (error) {
    // A body of which nothing is said to be XML is one that MKCOL does not know (RFC 4918 §9.3).
    if (request.headers.has('content-type') || !(error instanceof Failure) || error.kind !== 'invalid') throw error
    throw new Failure('media-type', 'The body of MKCOL must be XML, or there must be none.', { cause: error })
  }
  if (root !== undefined && !is(root, davNamespace, 'mkcol'))
    throw new Failure('media-type', 'The body of MKCOL must be a DAV: mkcol element.')
  return root
}

/** The resource type is checked and taken out: a plain collection is all that there is. Throws `denied` (`valid-resourcetype`). */
function withoutResourceType(root: XmlElement): XmlElement {
  const isType = (child: XmlElement | string): child is XmlElement =>
    typeof child !== 'string' && is(child, davNamespace, 'resourcetype')
  const children = root.children.map((action) => {
    if (typeof action === 'string' || !is(action, davNamespace, 'set')) return action
    const props = action.children.map((prop) => {
      if (typeof prop === 'string') return prop
      for (const type of prop.children.filter(isType)) {
        const kinds = childElements(type)
        if (childNamed(type, davNamespace, 'collection') === undefined || kinds.length > 1)
          throw new Failure('denied', 'Only plain collections can be made here.', { reason: 'valid-resourcetype' })
      }
      return { ...prop, children: prop.children.filter((child) => !isType(child)) }
    })
    return { ...action, children: props }
  })
  return { ...root, children }
}

function mkcolResponse(status: number, propstats: string): HttpResponse {
  const body = `<?xml version="1.0" encoding="utf-8"?>\n<D:mkcol-response xmlns:D="DAV:">${propstats || `<D:propstat><D:prop/>${statusElement(200)}</D:propstat>`}</D:mkcol-response>\n`
  return { status, headers: [xmlType], body: Buffer.from(body) }
}

/** DELETE (RFC 4918 §9.6): a file, or a collection with all that is in it; members that stay are named in a 207. */
export async function remove(context: DavContext): Promise<HttpResponse> {
  const { request, target, session } = context
  const depth = header(request, 'depth')?.trim().toLowerCase() ?? 'infinity'
  if (depth !== 'infinity' && (await session.store.stat(target.path, request.signal))?.kind === 'directory')
    throw new Failure('invalid', 'A collection is deleted with all that is in it: Depth must be infinity.')
  const removed = await removeTarget(context)
  if (removed.failures.length === 0) return { status: 204, headers: [] }
  return failedMembers(removed, session.basePath)
}
