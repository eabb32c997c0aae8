import { depthOf, type Depth } from './depth.js'
import { failedMember, multistatusEnd, multistatusStart, xmlType } from './multistatus.js'
import { allProperties, readPropfind, type PropfindRequest } from './propfind-request.js'
import type { Resource } from './live-properties.js'
import { refusedOf, type Refused } from './privileges.js'
import type { DavContext, DavServices } from './context.js'
import { syncTokenOf } from './sync.js'
import { readDavXml, readSmallBody } from './request-xml.js'
import { isBrief, responseElement } from './response-element.js'
import { compressed, pieceBytes } from '../http/compress.js'
import type { Lock } from '../../catalog/locks.js'
import type { Property } from '../../catalog/properties.js'
import { Failure, isFailure } from '../../core/failure.js'
import { header, type HttpRequest, type HttpResponse } from '../../core/http.js'
import { parentOf, type StorePath } from '../../core/path.js'
import { parseXml } from '../../core/xml.js'
import type { Entry, ListOptions } from '../../store/store.js'

/** PROPFIND (RFC 4918 §9.1): streamed in flat memory whatever the size of the tree. */
export async function propfind(context: DavContext): Promise<HttpResponse> {
  const { request, target, session } = context
  const depth = depthOf<Depth>(request, [0, 1, 'infinity'], 'infinity')
  const asked = await readAsked(request)
  const entry = await session.store.stat(target.path)
  if (entry === undefined) throw new Failure('not-found', 'There is nothing at this path.')
  if (target.slash && entry.kind === 'file' && target.path !== '/')
    throw new Failure('not-found', 'There is no collection at this path.')
  const own = await resourceFor(context, entry, asked)
  if (depth === 0 || entry.kind === 'file') {
    const body = multistatusStart + responseElement(own, asked, isBrief(request)) + multistatusEnd
    return compressed(request, { status: 207, headers: [xmlType], body: Buffer.from(body) })
  }
  return compressed(request, { status: 207, headers: [xmlType], body: new ListingText(context, own, depth, asked) })
}

/** The resource itself, with what only the request's own target is asked for. */
async function resourceFor(context: DavContext, entry: Entry, asked: PropfindRequest): Promise<Resource> {
  const { session, services, request } = context
  const { path } = entry
  const quota =
    (asked.wants('quota-available-bytes') || asked.wants('quota-used-bytes')) && !hidesQuota(services, request)
  return {
    entry,
    locks: await session.locks.covering(path),
    dead: await session.properties.of(path),
    session,
    now: services.clock.now(),
    space: quota ? await session.store.space?.(path) : undefined,
    syncToken: asked.wants('sync-token') && entry.kind === 'directory' ? await syncTokenOf(context, path) : undefined,
    refused: asked.wants('current-user-privilege-set') ? await refusedOf(session, entry) : undefined,
  }
}

/**
 * The document in pieces. Written out by hand, for most listings are one short piece, and to them a generator costs more
 * than their text.
 */
class ListingText implements AsyncIterableIterator<Uint8Array> {
  readonly #context: DavContext
  readonly #own: Resource
  readonly #depth: 1 | 'infinity'
  readonly #asked: PropfindRequest
  readonly #asksPrivileges: boolean
  readonly #brief: boolean
  readonly #records: MemberRecords
  #entries: AsyncIterator<readonly Entry[]> | undefined
  #text: string
  #members = 0
  #over = false

  constructor(context: DavContext, own: Resource, depth: 1 | 'infinity', asked: PropfindRequest) {
    this.#context = context
    this.#own = own
    this.#depth = depth
    this.#asked = asked
    this.#asksPrivileges = asked.wants('current-user-privilege-set')
    this.#brief = isBrief(context.request)
    this.#records = new MemberRecords(context, own)
    this.#text = multistatusStart + responseElement(own, asked, this.#brief)
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#over) return { value: undefined, done: true }
    try {
      const { store } = this.#context.session
      const { path } = this.#own.entry
      this.#entries ??= store.list(path, this.#listOptions())[Symbol.asyncIterator]()
      for (;;) {
        const batch = await this.#entries.next()
        if (batch.done === true) break
        await this.#add(batch.value)
        if (this.#text.length >= pieceBytes) return { value: this.#taken(), done: false }
      }
    } catch (error) {
      await this.return()
      // The status line is long gone: what is wrong is said for the collection itself (RFC 4918 §9.1, §13).
      if (!isFailure(error) || isFailure(error, 'incomplete')) throw error
      this.#text += failedMember(this.#own.entry.path, error, this.#context.session.basePath)
    }
    this.#over = true
    this.#text += multistatusEnd
    return { value: this.#taken(), done: false }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#over = true
    await this.#entries?.return?.()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #listOptions(): ListOptions {
    // To ask for the signal is to make one, and whoever stops reading ends the list of one directory as well.
    const noted = this.#asked.ofNotes
    return this.#depth === 1 ? { depth: 1, noted } : { depth: 'infinity', noted, signal: this.#context.request.signal }
  }

  #taken(): Buffer {
    const bytes = Buffer.from(this.#text)
    this.#text = ''
    return bytes
  }

  async #add(entries: readonly Entry[]): Promise<void> {
    const { services } = this.#context
    const root = this.#own.entry.path
    const records = this.#records
    for (const entry of entries) {
      if (this.#depth === 'infinity' && ++this.#members > services.maxMembers)
        throw new Failure('no-space', `Only the first ${services.maxMembers} members are listed; use Depth 1.`)
      const directory = this.#depth === 1 ? root : parentOf(entry.path)
      if (directory !== records.directory) await records.enter(directory)
      const refused = this.#asksPrivileges ? await refusedOf(this.#context.session, entry) : undefined
      this.#text += responseElement(records.resource(entry, refused), this.#asked, this.#brief)
    }
  }
}

/** Locks and dead properties of a directory's members, fetched once for all of them. */
class MemberRecords {
  readonly #context: DavContext
  readonly #own: Resource
  #dead: ReadonlyMap<StorePath, readonly Property[]> = new Map()
  #locks: ReadonlyMap<StorePath, readonly Lock[]> = new Map()
  /** Deep locks from above, which apply to every member. */
  #inherited: readonly Lock[] = []
  directory: StorePath | undefined

  constructor(context: DavContext, own: Resource) {
    this.#context = context
    this.#own = own
  }

  async enter(directory: StorePath): Promise<void> {
    const { session } = this.#context
    const covering = directory === this.#own.entry.path ? this.#own.locks : await session.locks.covering(directory)
    this.#inherited = covering.filter((lock) => lock.depth === 'infinity')
    this.#dead = await session.properties.members(directory)
    this.#locks = await session.locks.members(directory)
    this.directory = directory
  }

  resource(entry: Entry, refused: Refused | undefined): Resource {
    const { session, now, space } = this.#own
    const own = this.#locks.size === 0 ? undefined : this.#locks.get(entry.path)
    return {
      entry,
      locks: own === undefined ? this.#inherited : [...own, ...this.#inherited],
      dead: (this.#dead.size === 0 ? undefined : this.#dead.get(entry.path)) ?? none,
      session,
      now,
      space,
      refused,
    }
  }
}

const none: readonly Property[] = []

function hidesQuota(services: DavServices, request: HttpRequest): boolean {
  const agent = header(request, 'user-agent') ?? ''
  return services.hideQuotaFrom.some((beginning) => agent.startsWith(beginning))
}

const remembered = new Map<string, PropfindRequest>()

/** Clients send the same few bodies for ever: what they mean is worked out once. */
async function readAsked(request: HttpRequest): Promise<PropfindRequest> {
  const bytes = await readSmallBody(request)
  if (bytes === undefined) return readPropfind(await readDavXml(request))
  if (bytes.length === 0) return allProperties
  const key = bytes.toString('latin1')
  const known = remembered.get(key)
  if (known !== undefined) return known
  const asked = readPropfind(parseXml(bytes))
  if (remembered.size >= 256) remembered.clear()
  remembered.set(key, asked)
  return asked
}
