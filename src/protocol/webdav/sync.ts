import type { DavContext } from './context.js'
import { hrefElement, multistatusEnd, multistatusStart, statusElement, xmlType } from './multistatus.js'
import { readPropfind, type PropfindRequest } from './propfind-request.js'
import { readDavXml } from './request-xml.js'
import { refusedOf } from './privileges.js'
import { isBrief, responseElement } from './response-element.js'
import { compressed } from '../http/compress.js'
import type { Listing } from '../../catalog/snapshots.js'
import { Failure } from '../../core/failure.js'
import type { HttpResponse } from '../../core/http.js'
import { rebase, rootPath, type StorePath } from '../../core/path.js'
import { childNamed, davNamespace, escapeXml, is, textOf } from '../../core/xml.js'
import type { Entry } from '../../store/store.js'

const tokenPrefix = 'urn:postern:sync:'

/** REPORT: `sync-collection` (RFC 6578), what has changed below a collection since a token was given out. */
export async function report(context: DavContext): Promise<HttpResponse> {
  const { request, target, session, services } = context
  const root = await readDavXml(request)
  if (root === undefined || !is(root, davNamespace, 'sync-collection'))
    throw new Failure('denied', 'The only report here is DAV: sync-collection.', { reason: 'supported-report' })
  const prop = childNamed(root, davNamespace, 'prop')
  const level = textOf(childNamed(root, davNamespace, 'sync-level') ?? root).trim() || '1'
  if (level !== '1' && level !== 'infinite') throw new Failure('invalid', 'sync-level must be 1 or infinite.')
  const entry = await session.store.stat(target.path, request.signal)
  if (entry === undefined) throw new Failure('not-found', 'There is nothing at this path.')
  if (entry.kind !== 'directory')
    throw new Failure('denied', 'Only collections can be synchronized.', { reason: 'supported-report' })
  const limit = limitOf(childNamed(root, davNamespace, 'limit'))
  const asked: PropfindRequest = readPropfind({
    ...root,
    name: 'propfind',
    children: prop === undefined ? [] : [prop],
  })

  const sent = textOf(childNamed(root, davNamespace, 'sync-token') ?? { ...root, children: [] }).trim()
  const subject = subjectOf(context, target.path, level)
  const before =
    sent === '' ? new Map<string, string>() : await services.snapshots.find(subject, sent.slice(tokenPrefix.length))
  if (before === undefined || (sent !== '' && !sent.startsWith(tokenPrefix)))
    throw new Failure('denied', 'The sync token is unknown or too old: begin again without one.', {
      reason: 'valid-sync-token',
    })

  const entries = await entriesBelow(context, target.path, level)
  const changed = entries.filter(({ path, etag }) => before.get(relative(path, target.path)) !== stateOf({ etag }))
  const removed = goneFrom(before, new Set(entries.map(({ path }) => relative(path, target.path))))
  const isWhole = limit === undefined || changed.length + removed.length <= limit
  const told = isWhole ? changed : changed.slice(0, limit)
  const toldRemoved = isWhole ? removed : removed.slice(0, Math.max(0, limit - told.length))

  // What was not told yet keeps the state that the client knows.
  const after = new Map(before)
  for (const name of toldRemoved) after.delete(name)
  for (const { path, etag } of told) after.set(relative(path, target.path), stateOf({ etag }))
  const token = tokenPrefix + (await services.snapshots.keep(subject, after))

  async function* body(): AsyncGenerator<Uint8Array> {
    let text = multistatusStart
    for (const name of toldRemoved) {
      const path = rebase(('/' + name) as StorePath, rootPath, target.path)
      text += `<D:response>${hrefElement(path, false, session.basePath)}${statusElement(404)}</D:response>\n`
    }
    for (const member of told) {
      const resource = {
        entry: member,
        locks: await session.locks.covering(member.path),
        dead: await session.properties.of(member.path),
        session,
        now: services.clock.now(),
        refused: asked.wants('current-user-privilege-set') ? await refusedOf(session, member) : undefined,
      }
      text += responseElement(resource, asked, isBrief(request))
      if (text.length > 64 * 1024) {
        yield Buffer.from(text)
        text = ''
      }
    }
    if (!isWhole)
      text += `<D:response>${hrefElement(target.path, true, session.basePath)}${statusElement(507)}<D:error><D:number-of-matches-within-limits/></D:error></D:response>\n`
    yield Buffer.from(`${text}<D:sync-token>${escapeXml(token)}</D:sync-token>${multistatusEnd}`)
  }
  return compressed(request, { status: 207, headers: [xmlType], body: body() })
}

/** The token for the present state of a collection's members (RFC 6578 §4). */
export async function syncTokenOf(context: DavContext, path: StorePath): Promise<string> {
  const listing = new Map<string, string>()
  for (const entry of await entriesBelow(context, path, '1')) listing.set(relative(entry.path, path), stateOf(entry))
  return tokenPrefix + (await context.services.snapshots.keep(subjectOf(context, path, '1'), listing))
}

/** Two callers who see different members must not share a token. */
function subjectOf(context: DavContext, path: StorePath, level: string): string {
  return `${level}\n${context.session.holder.principal}\n${path}`
}

async function entriesBelow(context: DavContext, path: StorePath, level: string): Promise<readonly Entry[]> {
  const { session, services, request } = context
  const found: Entry[] = []
  const depth = level === '1' ? 1 : 'infinity'
  for await (const entries of session.store.list(path, { depth, signal: request.signal })) {
    if (found.length + entries.length > services.maxMembers)
      throw new Failure('denied', `At most ${services.maxMembers} members can be synchronized at once.`, {
        reason: depth === 1 ? 'number-of-matches-within-limits' : 'sync-traversal-supported',
      })
    found.push(...entries)
  }
  return found
}

function goneFrom(before: Listing, present: ReadonlySet<string>): readonly string[] {
  return [...before.keys()].filter((name) => !present.has(name))
}

function relative(path: StorePath, root: StorePath): string {
  return path.slice(root === '/' ? 1 : root.length + 1)
}

function stateOf({ etag }: { readonly etag: string }): string {
  return etag
}

function limitOf(element: ReturnType<typeof childNamed>): number | undefined {
  const nresults = element === undefined ? undefined : childNamed(element, davNamespace, 'nresults')
  if (nresults === undefined) return undefined
  const limit = Number(textOf(nresults).trim())
  if (!Number.isSafeInteger(limit) || limit < 1) throw new Failure('invalid', 'nresults must be a positive number.')
  return limit
}
