import { read, requestOf, type Answer, type Asked } from './http-exchange.js'
import { compileGrants } from '../src/auth/grant.js'
import { guard } from '../src/auth/guard.js'
import { catalogLocks } from '../src/catalog/catalog-locks.js'
import { catalogUploads } from '../src/catalog/catalog-uploads.js'
import { openMemoryCatalog } from '../src/catalog/memory.js'
import { catalogProperties, type Properties } from '../src/catalog/properties.js'
import { catalogSnapshots } from '../src/catalog/snapshots.js'
import { tended } from '../src/catalog/tended.js'
import type { Locks } from '../src/catalog/locks.js'
import { ManualClock } from '../src/core/clock.js'
import { Failure } from '../src/core/failure.js'
import { parseTarget, toPath } from '../src/core/path.js'
import { childElements, childNamed, davNamespace, parseXml, textOf, type XmlElement } from '../src/core/xml.js'
import type { Session } from '../src/protocol/protocol.js'
import { createWebdav } from '../src/protocol/webdav/index.js'
import { openMemoryStore } from '../src/store/memory.js'
import type { Store } from '../src/store/store.js'

export interface DavAsked extends Asked {
  /** `rw:/**` by default. */
  readonly grants?: readonly string[]
  /** Who asks; `alice` by default, `anonymous` for nobody. */
  readonly as?: string
}

/** The WebDAV surface over a guarded memory store, as a gateway serves it, without a socket in between. */
export interface DavSite {
  readonly clock: ManualClock
  /** With no guard around it. */
  readonly store: Store
  readonly locks: Locks
  readonly properties: Properties
  /** A Failure comes back as its refusal; the body of every answer that says it is XML has been parsed. */
  ask(method: string, target: string, asked?: DavAsked): Promise<DavAnswer>
  fill(...paths: readonly string[]): Promise<void>
}

export interface DavAnswer extends Answer {
  readonly xml: XmlElement | undefined
}

export interface DavSiteOptions {
  readonly basePath?: string
  readonly publicOrigins?: readonly string[]
  readonly maxMembers?: number
  /** Put between the store and everything else. */
  readonly around?: (store: Store) => Store
}

export function openDavSite(options: DavSiteOptions = {}): DavSite {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  const locks = catalogLocks(catalog, clock)
  const properties = catalogProperties(catalog)
  const medium = openMemoryStore({ clock })
  const store = tended(options.around?.(medium) ?? medium, { catalog, locks, properties })
  const uploads = catalogUploads({ catalog, clock, store })
  const basePath = options.basePath ?? ''
  const services = {
    clock,
    snapshots: catalogSnapshots(catalog, clock),
    maxMembers: options.maxMembers ?? 1000,
    hideQuotaFrom: ['WebDAVFS/'],
  }
  const protocol = createWebdav(services, basePath)

  return {
    clock,
    store,
    locks,
    properties,
    async ask(method, target, { grants = ['rw:/**'], as = 'alice', ...asked } = {}) {
      const source = as === 'anonymous' ? 'anonymous' : 'test'
      const permit = compileGrants(grants, source)
      const holder = { principal: `${source}:${as}`, tokens: new Set<string>() }
      const session: Session = {
        ...guard({ store, locks, properties, uploads }, permit, holder),
        holder,
        identity: { name: as, source, grants },
        requestId: 'test',
        permit,
        basePath,
        publicOrigins: options.publicOrigins ?? [],
      }
      const request = requestOf(method, target, asked)
      const response = await protocol.handle(request, parseTarget(target), session).catch((error: unknown) => {
        if (error instanceof Failure) return protocol.refuse(error, request, 'test')
        throw error
      })
      const answer = await read(response)
      const isXml = answer.header('content-type')?.startsWith('application/xml') === true
      return { ...answer, xml: isXml && answer.bytes.length > 0 ? parseXml(answer.bytes) : undefined }
    },
    async fill(...paths) {
      for (const path of paths) {
        if (path.endsWith('/')) await store.makeDirectory(toPath(path))
        else await store.write(toPath(path), textBody(path), { parents: true })
      }
    },
  }
}

async function* textBody(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

/** A `response` of a multistatus as a client sees it. */
export interface DavResponse {
  readonly href: string
  /** Of the resource as a whole, where it has one. */
  readonly status: number | undefined
  /** Property elements by `{namespace}name`, with the status of their propstat. */
  readonly properties: ReadonlyMap<string, { readonly status: number; readonly element: XmlElement }>
  readonly error: readonly string[]
}

/** The responses of a multistatus, in order; throws where it is none. */
export function responsesOf({ xml, status, text }: DavAnswer): readonly DavResponse[] {
  if (status !== 207 || xml?.name !== 'multistatus') throw new Error(`no multistatus but ${status}: ${text}`)
  return childElements(xml)
    .filter(({ name }) => name === 'response')
    .map((response) => {
      const properties = new Map<string, { status: number; element: XmlElement }>()
      for (const propstat of childElements(response).filter(({ name }) => name === 'propstat')) {
        const prop = childNamed(propstat, davNamespace, 'prop')
        for (const element of prop === undefined ? [] : childElements(prop))
          properties.set(`{${element.namespace}}${element.name}`, { status: statusOf(propstat), element })
      }
      const error = childNamed(response, davNamespace, 'error')
      return {
        href: textOf(childNamed(response, davNamespace, 'href') ?? response),
        status: childNamed(response, davNamespace, 'status') === undefined ? undefined : statusOf(response),
        properties,
        error: error === undefined ? [] : childElements(error).map(({ name }) => name),
      }
    })
}

/** The condition codes of an `error` body, and the hrefs in them. */
export function errorOf({ xml }: DavAnswer): Readonly<Record<string, string>> {
  if (xml?.name !== 'error') return {}
  return Object.fromEntries(
    childElements(xml)
      .filter(({ namespace }) => namespace === davNamespace)
      .map((each) => [each.name, childElements(each).map(textOf).join()]),
  )
}

function statusOf(element: XmlElement): number {
  const status = childNamed(element, davNamespace, 'status')
  return Number(/^HTTP\/1\.1 (\d{3}) ./.exec(status === undefined ? '' : textOf(status))?.[1])
}
