import type { Logger } from 'pino'
import type { LoginEvent } from '../auth/audit.js'
import { createAuthenticator } from '../auth/authenticator.js'
import { hmacUnder } from '../auth/hmac.js'
import { createRateLimit } from '../auth/rate-limit.js'
import { schemesFor } from '../auth/scheme/schemes-for.js'
import { createSignatures } from '../auth/sigv4/verifier.js'
import { createUploadLimits } from '../auth/upload-limits.js'
import { catalogUploads } from '../catalog/catalog-uploads.js'
import { catalogSnapshots } from '../catalog/snapshots.js'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import { rebase, rootPath, toPath } from '../core/path.js'
import { createGateway } from '../gateway.js'
import type { Gateway } from '../gateway.js'
import { createRequestLimits } from '../gateway/request-limits.js'
import type { RequestLimits } from '../gateway/request-limits.js'
import { createHostList } from '../gateway/host-list.js'
import { createOriginLock } from '../gateway/origin-lock.js'
import { createCallerPages } from '../protocol/admin/caller-pages.js'
import { createGuardPage } from '../protocol/admin/guard-page.js'
import { createOwnPages } from '../protocol/admin/index.js'
import { createUsersCalls } from '../protocol/admin/users.js'
import { createHttpFiles } from '../protocol/http/index.js'
import type { S3Settings } from '../protocol/s3/context.js'
import { createBucketCors } from '../protocol/s3/buckets/cors-answers.js'
import { createS3 } from '../protocol/s3/index.js'
import { createWebdav } from '../protocol/webdav/index.js'
import type { Exchange } from '../transport/exchange.js'
import { proxyTrust } from '../transport/forwarded.js'
import type { ProxyTrust } from '../transport/forwarded.js'
import type { Listening } from '../transport/node-http.js'
import { openGround, sameGround } from './ground.js'
import type { Ground } from './ground.js'
import { Listeners } from './listeners.js'
import type { Config } from './load.js'
import { requestLinesOf } from './logger.js'
import type { Setup } from './setup.js'
import { bytesOfHash } from './token-hash.js'

/** A server in one process. */
export interface Server {
  /** Opens all listeners or none, with the system's error. */
  listen(): Promise<readonly Listening[]>
  /** From now on `/-/ready` says so, as long as files and catalog can be reached. */
  ready(): void
  /**
   * Serves by another setup from now on; requests that are running finish by the old one. Gives the listeners that are
   * new. Where it throws, nothing has changed. One call at a time.
   */
  apply(setup: Setup): Promise<readonly Listening[]>
  /** Lets running requests finish for as long as the configuration says, then closes everything. */
  stop(): Promise<void>
}

export interface ServerOptions {
  readonly setup: Setup
  readonly log: Logger
  /** What it stands on, as the setup wants it; closed by `stop`. */
  readonly ground: Ground
  /** A primary process holds the sockets, which this worker shares with others. */
  readonly shared: boolean
}

/** Puts a server together: with what `openGround` makes, the only place that names concrete parts. */
export function createServer(options: ServerOptions): Server {
  return new OneServer(options)
}

/** One configuration as it is served, and the requests that began under it. */
interface Generation {
  readonly setup: Setup
  readonly ground: Ground
  readonly gateway: Gateway
  readonly trust: ProxyTrust
  running: number
}

class OneServer implements Server {
  readonly #log: Logger
  readonly #listeners: Listeners
  readonly #generations = new Set<Generation>()
  readonly #begunUnder = new WeakMap<HttpRequest, Generation>()
  #current: Generation
  #isReady = false

  constructor({ setup, log, ground, shared }: ServerOptions) {
    this.#log = log
    this.#current = this.#generationOf(setup, ground)
    this.#generations.add(this.#current)
    const current = (): Generation => this.#current
    this.#listeners = new Listeners({
      handle: (request) => {
        const generation = this.#current
        generation.running += 1
        this.#begunUnder.set(request, generation)
        return generation.gateway.handle(request)
      },
      onExchange: (exchange) => this.#finished(exchange),
      trust: {
        covers: (address) => current().trust.covers(address),
        get headers() {
          return current().trust.headers
        },
      },
      shared,
      onCrowd: (listener, refused) => log.warn({ listener, refused }, 'connections were refused: there are too many'),
      onLost: (name, error) => log.error({ err: error, listener: name }, 'a listener could not be opened'),
    })
  }

  listen(): Promise<readonly Listening[]> {
    return this.#listeners.start(this.#current.setup)
  }

  ready(): void {
    this.#isReady = true
  }

  async apply(setup: Setup): Promise<readonly Listening[]> {
    const before = this.#current
    const kept = sameGround(before.setup.config, setup.config)
    const ground = kept
      ? before.ground
      : await openGround(setup.config, { log: this.#log, sweeps: false, keepsUp: before.ground.keepsUp })
    try {
      const next = this.#generationOf(setup, ground)
      return await this.#listeners.change(setup, () => {
        this.#current = next
        this.#generations.add(next)
        this.#log.level = setup.config.log.level
        void this.#retire(before)
      })
    } catch (error) {
      if (!kept) await ground.close()
      throw error
    }
  }

  async stop(): Promise<void> {
    this.#isReady = false
    await this.#listeners.stop(this.#current.setup.config.limits.stopSeconds)
    for (const ground of new Set([...this.#generations].map((generation) => generation.ground))) await ground.close()
  }

  #finished(exchange: Exchange): void {
    const generation = this.#begunUnder.get(exchange.request)
    ;(generation ?? this.#current).gateway.finished(exchange)
    if (generation === undefined) return
    generation.running -= 1
    if (generation !== this.#current) void this.#retire(generation)
  }

  /** Closes what nothing stands on any more. */
  async #retire(generation: Generation): Promise<void> {
    if (generation.running > 0 || !this.#generations.delete(generation)) return
    const isUsed = [...this.#generations].some(({ ground }) => ground === generation.ground)
    if (isUsed) return
    try {
      await generation.ground.close()
    } catch (error) {
      this.#log.error({ err: error }, 'what an old configuration had opened could not be closed')
    }
  }

  #generationOf(setup: Setup, ground: Ground): Generation {
    const trust = proxyTrust(setup.config.trustedProxies, setup.config.proxyHeaders)
    if (trust === undefined) throw new Failure('invalid', 'trustedProxies: must be addresses and networks')
    const isReady = async (): Promise<boolean> => {
      await ground.catalog.get('users', 'admin')
      return this.#isReady && (await ground.files.stat(rootPath)) !== undefined
    }
    return { setup, ground, trust, gateway: gatewayOf(setup.config, ground, this.#log, isReady), running: 0 }
  }
}

function gatewayOf(config: Config, ground: Ground, log: Logger, isReady: () => Promise<boolean>): Gateway {
  const { catalog, clock, locks, properties, directories, links, throttle, keyOf, remote } = ground
  const s3 = s3SettingsOf(config, ground)
  const noteLogin = (event: LoginEvent): void => {
    ground.audit.write(event)
    if (event.event === 'login') return
    log.warn('cause' in event ? { ...event, cause: undefined, err: event.cause } : event, event.event)
  }
  const authenticator = createAuthenticator({
    schemes: schemesFor(directories, config.basicRealm),
    directories,
    throttle,
    keyOf,
    ...(config.anonymous && { anonymous: { ...config.anonymous, ...(remote?.admit && { admit: remote.admit }) } }),
    audit: noteLogin,
  })
  const usersCalls = createUsersCalls({
    authenticate: (request) => authenticator.authenticate(request),
    users: ground.users,
    audit: (event) => {
      ground.audit.write(event)
      log.info(event, event.event)
    },
  })
  const users = remote === undefined ? (ground.users.length > 0 ? usersCalls : undefined) : remote.users
  return createGateway({
    links,
    authenticator,
    signatures:
      remote?.signatures ??
      createSignatures({
        directories,
        clock: systemClock,
        ...(config.s3.region !== undefined && { region: config.s3.region }),
        basePath: config.basePath,
        ...(config.anonymous && { anonymous: config.anonymous }),
        audit: noteLogin,
      }),
    // The ground closes the stores, when the last generation that stands on it has gone.
    stores: { storeFor: async (identity) => ground.of(identity).store, close: async () => undefined },
    locks,
    properties,
    uploadsTo: (to, identity) => catalogUploads({ catalog: ground.of(identity).catalog, clock, store: to }),
    usageOf: (identity) => ground.of(identity).usage,
    surfaces: {
      webdav: createWebdav(
        {
          clock: systemClock,
          snapshots: catalogSnapshots(catalog, clock),
          maxMembers: config.limits.listedMembers,
          hideQuotaFrom: config.hideQuotaFrom,
        },
        config.basePath,
      ),
      http: createHttpFiles(),
      s3: createS3(s3),
    },
    ownPages: createOwnPages({
      ready: isReady,
      guard: createGuardPage({
        authenticate: (request) => authenticator.authenticate(request),
        basePath: config.basePath,
      }),
      ...(users && { users }),
    }),
    callerPages: createCallerPages({}),
    spoken: new Map(config.listen.map(({ name, surfaces }) => [name, surfaces])),
    s3Hosts: s3.hosts,
    basePath: config.basePath,
    publicOrigins: config.publicOrigins,
    crossOrigin: {
      allowed: new Set(config.cors?.origins.map((origin) => origin.toLowerCase())),
      own: config.publicOrigins,
      maxAgeSeconds: config.cors?.maxAgeSeconds ?? 0,
    },
    bucketCors: createBucketCors({ store: ground.files, clock: systemClock }),
    ...(config.hosts.length > 0 && { hosts: createHostList({ hosts: config.hosts, basePath: config.basePath }) }),
    ...(config.originLock && {
      originLock: createOriginLock({
        header: config.originLock.header.toLowerCase(),
        hashes: config.originLock.sha256.map(bytesOfHash),
        basePath: config.basePath,
      }),
    }),
    limits: limitsOf(config, ground),
    uploadLimits: createUploadLimits(config.uploads),
    uniform403: config.uniform403,
    log,
    lines: requestLinesOf(log),
    logRequests: config.log.requests,
  })
}

function s3SettingsOf({ s3, basePath }: Config, ground: Ground): S3Settings {
  return {
    hosts: s3.hosts.map((host) => host.toLowerCase()),
    buckets: new Map(Object.entries(s3.buckets).map(([bucket, path]) => [bucket, toPath(path)])),
    basePath,
    region: s3.region ?? 'us-east-1',
    clock: systemClock,
    hashLater: ({ path }, identity) => {
      const { home } = identity
      ground.of(identity).hashing.later({ path: home === undefined ? path : rebase(path, rootPath, home) })
    },
  }
}

function limitsOf(
  { rateLimits, trustedProxies, proxyHeaders }: Config,
  { catalog, clock, secret, audit }: Ground,
): RequestLimits {
  const seal = hmacUnder(secret)
  const own = proxyTrust(['127.0.0.0/8', '::1', ...trustedProxies], proxyHeaders)
  return createRequestLimits({
    address: createRateLimit({ rate: rateLimits.address, clock, catalog, name: 'address', seal }),
    identity: createRateLimit({ rate: rateLimits.identity, clock, catalog, name: 'identity', seal }),
    isExempt: (address) => own?.covers(address) === true,
    audit,
  })
}
