import type { DavContext } from './context.js'
import { depthOf, timeoutOf } from './depth.js'
import { activeLock } from './live-properties.js'
import { hrefOf, xmlType } from './multistatus.js'
import { readDavXml } from './request-xml.js'
import type { Lock } from '../../catalog/locks.js'
import { Failure, isFailure } from '../../core/failure.js'
import { header, type Header, type HttpResponse } from '../../core/http.js'
import { childNamed, davNamespace, is, serializeXml, type XmlElement } from '../../core/xml.js'

/** LOCK (RFC 4918 §9.10): takes a lock, making an empty file where there is nothing yet, or refreshes one. */
export async function lock(context: DavContext): Promise<HttpResponse> {
  const { request, target, session } = context
  const { holder } = session
  const timeoutSeconds = timeoutOf(request)
  const depth = depthOf(request, [0, 'infinity'], 'infinity')
  const info = await readDavXml(request)
  if (info === undefined) {
    if (holder.tokens.size === 0)
      throw new Failure('invalid', 'A LOCK request without a body refreshes a lock and names it in an If header.')
    return answer(context, await session.locks.refresh(target.path, holder, timeoutSeconds), 200, [])
  }
  const wanted = readLockInfo(info)
  const taken = await session.locks.take({
    path: target.path,
    depth,
    principal: holder.principal,
    timeoutSeconds,
    ...wanted,
  })
  const headers: Header[] = [['Lock-Token', `<${taken.token}>`]]
  holder.tokens.add(taken.token)
  try {
    // Nobody else makes or removes it from here on.
    if ((await session.store.stat(target.path)) !== undefined) return answer(context, taken, 200, headers)
    await session.store.write(target.path, nothing(), { ifNoneMatch: '*', length: 0, signal: request.signal })
  } catch (error) {
    // Somebody else made it in the meantime: then it is locked, and that was the wish.
    if (!isFailure(error, 'precondition')) {
      await session.locks.release(target.path, taken.token, holder.principal)
      throw error
    }
  }
  headers.push(['Location', hrefOf(target.path, false, session.basePath)])
  return answer(context, taken, 201, headers)
}

/** UNLOCK (RFC 4918 §9.11). Some versions of Explorer leave out the angle brackets. */
export async function unlock({ request, target, session }: DavContext): Promise<HttpResponse> {
  const token = header(request, 'lock-token')
    ?.trim()
    .replace(/^<(.*)>$/, '$1')
  if (token === undefined || token === '')
    throw new Failure('invalid', 'UNLOCK needs the lock token in a Lock-Token header.')
  await session.locks.release(target.path, token, session.holder.principal)
  return { status: 204, headers: [] }
}

function answer(
  { session, services }: DavContext,
  lock: Lock,
  status: number,
  headers: readonly Header[],
): HttpResponse {
  const active = activeLock(lock, session.basePath, services.clock.now())
  const body = `<?xml version="1.0" encoding="utf-8"?>\n<D:prop xmlns:D="DAV:"><D:lockdiscovery>${active}</D:lockdiscovery></D:prop>\n`
  return { status, headers: [...headers, xmlType], body: Buffer.from(body) }
}

function readLockInfo(info: XmlElement): { scope: Lock['scope']; owner?: string } {
  if (!is(info, davNamespace, 'lockinfo')) throw new Failure('invalid', 'The body must be a DAV: lockinfo element.')
  const type = childNamed(info, davNamespace, 'locktype')
  if (type === undefined || childNamed(type, davNamespace, 'write') === undefined)
    throw new Failure('invalid', 'The only lock type is write.')
  const scopes = childNamed(info, davNamespace, 'lockscope')
  const scope = (['exclusive', 'shared'] as const).find(
    (each) => scopes !== undefined && childNamed(scopes, davNamespace, each) !== undefined,
  )
  if (scope === undefined) throw new Failure('invalid', 'lockscope must be exclusive or shared.')
  const owner = childNamed(info, davNamespace, 'owner')
  if (owner === undefined) return { scope }
  const text = serializeXml(owner)
  if (text.length > maxOwnerLength)
    throw new Failure('too-large', 'The owner of a lock may hold at most 8 KiB.', { size: maxOwnerLength })
  return { scope, owner: text }
}

const maxOwnerLength = 8192

async function* nothing(): AsyncGenerator<Uint8Array> {
  // An empty body.
}
