import { statSync } from 'node:fs'
import { hostname } from 'node:os'
import { addressesOf } from '../transport/endpoint.js'
import type { Logger } from 'pino'
import { createAuthenticator } from '../auth/authenticator.js'
import type { Authenticator } from '../auth/authenticator.js'
import { cached, createCredentialKey } from '../auth/cached.js'
import { catalogDirectory } from '../auth/directory/catalog.js'
import { basicScheme } from '../auth/scheme/basic.js'
import { sharedStore } from '../auth/source.js'
import { createThrottle } from '../auth/throttle.js'
import type { Catalog } from '../catalog/catalog.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import { catalogProperties } from '../catalog/properties.js'
import { openSecret } from '../catalog/secret.js'
import { catalogSnapshots } from '../catalog/snapshots.js'
import { mendMoves, tended } from '../catalog/tended.js'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { rootPath } from '../core/path.js'
import { createGateway } from '../gateway.js'
import { createOwnPages } from '../protocol/admin/index.js'
import { createHttpFiles } from '../protocol/http/index.js'
import { createWebdav } from '../protocol/webdav/index.js'
import { openLocalStore } from '../store/local.js'
import type { Notes } from '../store/local-notes.js'
import { proxyTrust } from '../transport/forwarded.js'
import { readPair } from '../transport/key-pair.js'
import { createNodeTransport } from '../transport/node-http.js'
import type { Listener, Listening } from '../transport/node-http.js'
import { openCertificate } from '../transport/self-signed.js'
import type { Certificate } from '../transport/self-signed.js'
import { ensureAdmin } from './first-start.js'
import type { FirstAdmin } from './first-start.js'
import type { Config } from './load.js'
import { makeDirectory, openState } from './state.js'
import type { State } from './state.js'

/** A server that is ready to listen. */
export interface Server {
  /** The admin that the first start made. */
  readonly admin: FirstAdmin | undefined
  /** The certificate that Postern made itself, where it did. */
  readonly certificate: Certificate | undefined
  /** Opens all listeners or none, with the system's error. */
  listen(): Promise<readonly Listening[]>
  /** Lets running requests finish for as long as the configuration says, then closes everything. */
  stop(): Promise<void>
}

/** Puts a server together out of its configuration: the only place that names concrete parts. */
export async function openServer(config: Config, log: Logger, adminPassword: string | undefined): Promise<Server> {
  checkRoot(config.root)
  const state = await openState(config, { create: true })
  try {
    makeRoot(config.root)
    return await assemble(config, state, log, adminPassword)
  } catch (error) {
    await state.close()
    throw error
  }
}

async function assemble(config: Config, state: State, log: Logger, adminPassword: string | undefined): Promise<Server> {
  const { catalog } = state
  const files = await openLocalStore({
    root: config.root,
    durability: config.durability,
    symlinks: config.symlinks,
    notes: catalogNotes(catalog),
    onSweep: (count) => {
      if (count > 0) log.info({ count }, 'removed what a crash had left behind')
    },
  })
  const locks = catalogLocks(catalog, systemClock)
  const properties = catalogProperties(catalog)
  const records = { catalog, locks, properties }
  await mendMoves(files, records)
  const stores = sharedStore(tended(files, records))
  const admin = await ensureAdmin(state.accounts, state.hasher, adminPassword)
  const { listeners, certificate } = await openListeners(config)
  let stopping = false
  const gateway = createGateway({
    authenticator: await openAuthenticator(config, state, log),
    stores,
    locks,
    properties,
    surfaces: {
      webdav: createWebdav(
        {
          clock: systemClock,
          snapshots: catalogSnapshots(catalog, systemClock),
          maxMembers: config.limits.listedMembers,
          hideQuotaFrom: config.hideQuotaFrom,
        },
        config.basePath,
      ),
      http: createHttpFiles(),
    },
    ownPages: createOwnPages({
      ready: async () => {
        await catalog.get('users', 'admin')
        return !stopping && (await files.stat(rootPath)) !== undefined
      },
    }),
    spoken: new Map(config.listen.map(({ name, surfaces }) => [name, surfaces])),
    basePath: config.basePath,
    publicOrigins: config.publicOrigins,
    crossOrigin: {
      allowed: new Set(config.cors?.origins.map((origin) => origin.toLowerCase())),
      own: config.publicOrigins,
      maxAgeSeconds: config.cors?.maxAgeSeconds ?? 0,
    },
    uniform403: config.uniform403,
    log,
    logRequests: config.log.requests,
  })
  const trust = proxyTrust(config.trustedProxies, config.proxyHeaders)
  if (trust === undefined) throw new Failure('invalid', 'trustedProxies: must be addresses and networks')
  const transport = createNodeTransport({
    listeners,
    handle: (request) => gateway.handle(request),
    limits: config.limits,
    trust,
    onExchange: (exchange) => gateway.finished(exchange),
  })
  return {
    admin,
    certificate,
    listen: () => transport.start(),
    async stop() {
      stopping = true
      await transport.stop(config.limits.stopSeconds)
      await stores.close()
      await state.close()
    },
  }
}

async function openAuthenticator(config: Config, state: State, log: Logger): Promise<Authenticator> {
  const { accounts, catalog, hasher } = state
  const keyOf = createCredentialKey()
  return createAuthenticator({
    schemes: [basicScheme({ realm: config.basicRealm })],
    directories: [cached(catalogDirectory({ accounts, hasher }), { clock: systemClock, keyOf })],
    throttle: createThrottle({ catalog, clock: systemClock, secret: await openSecret(config.state) }),
    keyOf,
    ...(config.anonymous && { anonymous: config.anonymous }),
    audit: (event) => log.warn(event, event.event),
  })
}

/** What a plain file has no room for, kept in the catalog. */
function catalogNotes(catalog: Catalog): Notes {
  const group = 'files'
  return {
    get: async (key) => (await catalog.get(group, key))?.value,
    put: async (key, value) => {
      await catalog.swap(group, key, value, 'any')
    },
    forget: async (key) => {
      await catalog.swap(group, key, undefined, 'any')
    },
  }
}

/** What can be found wrong with a configuration without starting: throws what `openServer` would throw. */
export function examine(config: Config): void {
  checkRoot(config.root)
  if (typeof config.tls === 'object') readPair(config.tls, systemClock.now())
}

function checkRoot(root: string): void {
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new Failure('not-directory', `The root ${root} is not a directory. Name one: postern serve DIR.`)
}

function makeRoot(root: string): void {
  if (statSync(root, { throwIfNoEntry: false }) === undefined)
    makeDirectory(root, 'root', 'Name another directory: postern serve DIR.')
}

async function openListeners(
  config: Config,
): Promise<{ readonly listeners: readonly Listener[]; readonly certificate: Certificate | undefined }> {
  const { tls } = config
  const hosts = config.listen.flatMap(({ at }) => (at.kind === 'tcp' && at.host !== '' ? [at.host] : []))
  const certificate =
    tls === 'self-signed'
      ? await openCertificate({ directory: config.state, hosts: [...hosts.flatMap(addressesOf), hostname()] })
      : undefined
  const pair = typeof tls === 'object' ? readPair(tls, systemClock.now()) : certificate
  return {
    certificate,
    listeners: config.listen.map(({ name, at, tls: secure }) => ({
      name,
      at,
      ...(secure && pair && { tls: { cert: pair.cert, key: pair.key } }),
    })),
  }
}
