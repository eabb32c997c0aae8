import { randomBytes } from 'node:crypto'
import { permitOf } from './auth/grant.js'
import { guard } from './auth/guard.js'
import { belowHome } from './auth/home-view.js'
import type { HomeSet } from './auth/home-view.js'
import type { Identity } from './auth/identity.js'
import { principalOf } from './auth/identity.js'
import type { Links, OpenedLink } from './auth/links.js'
import { withinQuota } from './auth/quota-store.js'
import { makeHome } from './auth/make-home.js'
import type { Permit } from './auth/permit.js'
import type { LockHolder } from './catalog/locks.js'
import { Failure, isFailure } from './core/failure.js'
import type { Header, HttpRequest, HttpResponse } from './core/http.js'
import { isOwnPath, isWithin, parseTarget, rootPath, withoutBase } from './core/path.js'
import type { ParsedTarget, StorePath } from './core/path.js'
import { AccessLog } from './gateway/access-log.js'
import type { FinishedExchange, RequestNotes } from './gateway/access-log.js'
import type { OneDrop } from './gateway/drops.js'
import { corsHeaders, isForged, preflight } from './gateway/cross-origin.js'
import type { GatewayOptions } from './gateway/gateway-options.js'
import { surfaceOf } from './gateway/surface.js'
import type { SurfaceName } from './gateway/surface.js'
import { faultAnswer, refusal } from './protocol/drop/answers.js'
import { healthPath, readyPath } from './protocol/admin/index.js'
import type { Protocol, Session } from './protocol/protocol.js'
import { davMethods, principalsPath } from './protocol/webdav/index.js'

export type { GatewayOptions } from './gateway/gateway-options.js'

export interface Gateway {
  /** Answers a request. Never rejects: this is where every failure becomes an answer. */
  handle(request: HttpRequest): Promise<HttpResponse>
  /** An answer in the words of the request's dialect, for a transport that cannot send the one it was given. Never throws. */
  refuse(failure: Failure, request: HttpRequest): HttpResponse
  /** To be told of every exchange when it is over; writes the access log. */
  finished(exchange: FinishedExchange): void
}

/** Of a request to S3, what decides which bucket's rules a page of another origin meets. */
interface Signed {
  target?: ParsedTarget
  home?: StorePath | undefined
}

/** What stands between a transport and the dialects: route, authenticate, guard, dispatch, refuse. */
export function createGateway(options: GatewayOptions): Gateway {
  return new OneGateway(options)
}

class OneGateway implements Gateway {
  readonly #options: GatewayOptions
  readonly #accessLog: AccessLog
  readonly #notes = new WeakMap<HttpRequest, RequestNotes>()
  readonly #idPrefix = randomBytes(5).toString('base64url')
  #count = 0

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#accessLog = new AccessLog(options.log, options.lines)
  }

  async handle(request: HttpRequest): Promise<HttpResponse> {
    this.#count += 1
    const notes: RequestNotes = {
      id: `${this.#idPrefix}-${this.#count.toString(36)}`,
      started: performance.now(),
      surface: 'own',
      user: undefined,
      failure: undefined,
    }
    this.#notes.set(request, notes)
    const spoken = this.#options.spoken.get(request.listener) ?? []
    const drop = spoken.length === 0 || spoken.includes('drop') ? this.#options.drops?.(request) : undefined
    const surface = drop === undefined ? surfaceOf(request, spoken, this.#options.s3Hosts) : 'drop'
    notes.surface = surface
    const protocol = surface === 'drop' ? noDrop : this.#options.surfaces[surface]
    const signed: Signed = {}
    let response: HttpResponse
    try {
      response =
        drop === undefined
          ? await this.#answer(request, protocol, notes, signed)
          : await this.#answerDrop(request, drop, notes)
    } catch (error) {
      response =
        error instanceof Failure
          ? this.#refuse(error, request, this.#speakerOf(notes, protocol), notes)
          : this.#fault(error, request, this.#speakerOf(notes, protocol), notes)
    }
    const shared = corsHeaders(request, this.#options.crossOrigin)
    return withHeaders(
      response,
      signed.target === undefined ? shared : await this.#bucketHeaders(request, signed.target, signed.home, shared),
    )
  }

  /** What a bucket says of the page that asks, where it lets it in, else what is said for all surfaces: never both. */
  async #bucketHeaders(
    request: HttpRequest,
    target: ParsedTarget,
    home: StorePath | undefined,
    shared: readonly Header[],
  ): Promise<readonly Header[]> {
    const { bucketCors } = this.#options
    if (bucketCors === undefined) return shared
    const own = await bucketCors.headers(request, target, home)
    const allows = own.some(([name]) => name === 'Access-Control-Allow-Origin')
    return allows || shared.length === 0 ? own : shared
  }

  /** Our own pages are for programs and browsers, which know no XML of WebDAV; who asks as a client of S3 knows nothing else. */
  #speakerOf({ surface }: RequestNotes, protocol: Protocol): Protocol {
    const { http, s3 } = this.#options.surfaces
    return surface === 'own' && protocol !== s3 ? http : protocol
  }

  refuse(failure: Failure, request: HttpRequest): HttpResponse {
    const notes = this.#notes.get(request)
    if (notes === undefined) return this.#options.surfaces.http.refuse(failure, request, '')
    const { surfaces } = this.#options
    const surface = notes.surface as SurfaceName | 'own'
    const speaker = surface === 'drop' ? noDrop : surfaces[surface === 'own' ? 'http' : surface]
    return this.#refuse(failure, request, speaker, notes)
  }

  finished(exchange: FinishedExchange): void {
    const notes = this.#notes.get(exchange.request)
    this.#options.limits?.finished(exchange, notes?.user)
    if (this.#options.logRequests) this.#accessLog.write(exchange, notes)
  }

  async #answer(request: HttpRequest, protocol: Protocol, notes: RequestNotes, signed: Signed): Promise<HttpResponse> {
    const { crossOrigin, ownPages, callerPages, hosts, originLock, limits } = this.#options
    hosts?.(request)
    originLock?.(request)
    const allowed = preflight(request, crossOrigin)
    if (allowed !== undefined) return allowed
    const target = protocol.target?.(request) ?? withoutBase(targetOf(request), this.#options.basePath)
    const isOwn = isOwnPath(target.path) && !isWithin(target.path, principalsPath)
    // What is signed comes from whoever holds the key: a browser adds nothing to it. Our own pages look at no signature.
    if ((notes.surface !== 's3' || isOwn) && isForged(request, crossOrigin)) throw forged()
    if (target.path !== healthPath && target.path !== readyPath) limits?.enter(request)
    if (isOwn) {
      notes.surface = 'own'
      const page = await ownPages(request, target.path)
      if (page !== undefined) return page
      const callerPage = callerPages?.(target.path)
      if (callerPage === undefined) throw new Failure('not-found', 'There is no such page.')
      return await this.#answerKnown(request, notes, (session) => callerPage(request, target, session))
    }
    if (notes.surface === 's3') {
      signed.target = target
      return this.#answerSigned(request, target, protocol, notes, signed)
    }
    // No login opens what is not there.
    if (notes.surface === 'drop') throw new Failure('not-found', 'There is no drop here.')
    // Whoever could log in would be told the same: a client learns at once that there is no WebDAV here.
    if (notes.surface === 'http' && davMethods.has(request.method))
      throw new Failure('method', 'There is no WebDAV here.')
    const { links } = this.#options
    const linked = links === undefined || links.length === 0 ? undefined : await openedBy(links, request, target)
    return await this.#answerKnown(
      request,
      notes,
      (session) => protocol.handle(request, linked?.target ?? target, session),
      linked,
    )
  }

  /** A drop lets in whom it knows, in its own order: neither the lock of all others nor their logins come before it. */
  async #answerDrop(request: HttpRequest, drop: OneDrop, notes: RequestNotes): Promise<HttpResponse> {
    const { crossOrigin, hosts, limits, authenticator } = this.#options
    hosts?.(request)
    const allowed = preflight(request, crossOrigin)
    if (allowed !== undefined) return allowed
    limits?.enter(request)
    return await drop(request, {
      authenticate: async (shown) => {
        if (isForged(shown, crossOrigin)) throw forged()
        return await authenticator.authenticate(shown)
      },
      known: (identity) => {
        notes.user = principalOf(identity)
        limits?.enterAs(notes.user, request)
      },
      session: (identity) => this.#session(identity, notes),
    })
  }

  /** Logs the caller in, unless a link says who it is, and answers with what it holds. */
  async #answerKnown(
    request: HttpRequest,
    notes: RequestNotes,
    answer: (session: Session) => Promise<HttpResponse>,
    linked?: OpenedLink,
  ): Promise<HttpResponse> {
    const identity = linked?.identity ?? (await this.#options.authenticator.authenticate(request))
    notes.user = principalOf(identity)
    this.#options.limits?.enterAs(notes.user, request)
    try {
      return await answer(await this.#session(identity, notes))
    } catch (error) {
      // Whoever has not said who they are can be asked to.
      if (identity.source === 'anonymous' && isFailure(error, 'denied'))
        throw new Failure('unauthenticated', 'This needs a login.', { cause: error })
      throw error
    }
  }

  /** Who a caller of S3 is comes out of the verifier of signatures, and so does the body. */
  async #answerSigned(
    request: HttpRequest,
    target: ParsedTarget,
    protocol: Protocol,
    notes: RequestNotes,
    signed: Signed,
  ): Promise<HttpResponse> {
    const { signatures, limits, bucketCors, crossOrigin } = this.#options
    // Browsers sign no preflight, and nobody else asks this of S3.
    if (request.method === 'OPTIONS' && bucketCors !== undefined) return bucketCors.preflight(request, target)
    const { identity, request: verified } = await signatures.verify(request, target)
    // A browser asks nobody whether a page may send a form, and this one nobody has signed.
    if (verified.signedBy === 'nobody' && request.method === 'POST' && isForged(request, crossOrigin)) throw forged()
    signed.home = identity.home
    notes.user = principalOf(identity)
    limits?.enterAs(notes.user, request)
    return protocol.handle(verified, target, await this.#session(identity, notes))
  }

  async #session(identity: Identity, { id: requestId }: RequestNotes): Promise<Session> {
    const { locks, properties, uploadsTo, stores, basePath, publicOrigins, uploadLimits } = this.#options
    const permit = permitOf(identity)
    const holder = { principal: principalOf(identity), tokens: new Set<string>() }
    if ((identity.home ?? rootPath) !== rootPath || identity.quotaBytes !== undefined)
      return { ...(await this.#atHome(identity, permit, holder)), identity, requestId, holder, basePath, publicOrigins }
    const store = await stores.storeFor(identity)
    const guarded = guard(
      { store, locks, properties, uploads: uploadsTo(store, identity) },
      permit,
      holder,
      uploadLimits,
    )
    return {
      // Each by its name: an object that begins with a spread costs microseconds.
      store: guarded.store,
      locks: guarded.locks,
      properties: guarded.properties,
      uploads: guarded.uploads,
      identity,
      requestId,
      holder,
      permit,
      basePath,
      publicOrigins,
    }
  }

  /** What a caller holds who has a home, which is made where it is missing and the caller may. */
  async #atHome(identity: Identity, permit: Permit, holder: LockHolder): Promise<HomeSet> {
    const { home, quotaBytes } = identity
    if (home === undefined)
      throw new Failure('denied', 'Your account has a quota but no home for it to count. Ask the administrator.')
    const { locks, properties, uploadsTo, stores, usageOf, uploadLimits } = this.#options
    const whole = await stores.storeFor(identity)
    const store = quotaBytes === undefined ? whole : withinQuota(whole, { home, quotaBytes, usage: usageOf(identity) })
    const guarded = guard(
      { store, locks, properties, uploads: uploadsTo(store, identity) },
      permit,
      holder,
      uploadLimits,
    )
    if (home === rootPath) return { ...guarded, permit }
    await makeHome(home, { store: whole, locks, permit, holder })
    return belowHome(guarded, permit, home)
  }

  #refuse(failure: Failure, request: HttpRequest, protocol: Protocol, notes: RequestNotes): HttpResponse {
    notes.failure = failure.kind
    const isDrop = protocol === noDrop
    const shown =
      failure.kind === 'unauthenticated' && this.#options.uniform403 && !isDrop
        ? new Failure('denied', 'Access is denied.')
        : failure
    if (failure.kind === 'unavailable' || failure.kind === 'no-space')
      this.#options.log.warn({ id: notes.id, err: failure }, failure.message)
    const response = protocol.refuse(shown, request, notes.id)
    if (response.status !== 401 || isDrop) return response
    const challenges = failure.challenges ?? this.#options.authenticator.challenges()
    return withHeaders(
      response,
      challenges.map((challenge): Header => ['WWW-Authenticate', challenge]),
    )
  }

  /** What nobody meant to happen: the log explains the id, the client learns nothing else. */
  #fault(error: unknown, request: HttpRequest, protocol: Protocol, notes: RequestNotes): HttpResponse {
    notes.failure = 'fault'
    this.#options.log.error({ id: notes.id, err: error, method: request.method }, `fault ${notes.id}`)
    const text = `Something went wrong here. The server's log explains it under ${notes.id}.`
    if (protocol.fault !== undefined) return protocol.fault(text, request, notes.id)
    return {
      status: 500,
      headers: [
        ['Content-Type', 'text/plain; charset=utf-8'],
        ['Cache-Control', 'no-store'],
      ],
      body: Buffer.from(`${text}\n`),
    }
  }
}

/** How drops are answered that are none, or fail. */
const noDrop: Protocol = {
  handle: async () => Promise.reject(new Failure('not-found', 'There is no drop here.')),
  refuse: refusal,
  fault: faultAnswer,
}

async function openedBy(
  links: readonly Links[],
  request: HttpRequest,
  target: ParsedTarget,
): Promise<OpenedLink | undefined> {
  for (const one of links) {
    const opened = await one.open(request, target)
    if (opened !== undefined) return opened
  }
  return undefined
}

function forged(): Failure {
  return new Failure('denied', 'A page of another origin must not do this. Allow its origin under cors.origins.')
}

/** `OPTIONS *` (RFC 9110 §9.3.7) asks about the server as a whole, which answers as its root does. */
function targetOf(request: HttpRequest): ParsedTarget {
  return parseTarget(request.target === '*' && request.method === 'OPTIONS' ? '/' : request.target)
}

function withHeaders(response: HttpResponse, more: readonly Header[]): HttpResponse {
  return more.length === 0 ? response : { ...response, headers: [...response.headers, ...more] }
}
