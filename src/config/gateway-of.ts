import type { Logger } from 'pino'
import type { LoginEvent } from '../auth/audit.js'
import { createAuthenticator } from '../auth/authenticator.js'
import { hmacUnder } from '../auth/hmac.js'
import { createRateLimit } from '../auth/rate-limit.js'
import { reportingStores } from '../auth/reporting-stores.js'
import { schemesFor } from '../auth/scheme/schemes-for.js'
import { createSignatures } from '../auth/sigv4/verifier.js'
import { createUploadLimits } from '../auth/upload-limits.js'
import { catalogUploads } from '../catalog/catalog-uploads.js'
import { catalogSnapshots } from '../catalog/snapshots.js'
import { systemClock } from '../core/clock.js'
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
import { createEvents, eventsPath } from '../protocol/http/events/index.js'
import { createHttpFiles } from '../protocol/http/index.js'
import { createUploads, uploadsPath } from '../protocol/http/uploads/index.js'
import type { S3Settings } from '../protocol/s3/context.js'
import { createBucketCors } from '../protocol/s3/buckets/cors-answers.js'
import { createS3 } from '../protocol/s3/index.js'
import { createWebdav } from '../protocol/webdav/index.js'
import { proxyTrust } from '../transport/forwarded.js'
import { dropsOf } from './drops.js'
import type { Ground } from './ground.js'
import type { Config } from './load.js'
import { requestLinesOf } from './logger.js'
import { bytesOfHash } from './token-hash.js'

/** Puts the gateway of a configuration together over what it stands on: with what `openGround` makes, the only place that names concrete parts. */
export function gatewayOf(config: Config, ground: Ground, log: Logger, isReady: () => Promise<boolean>): Gateway {
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
    stores: reportingStores(
      { storeFor: async (identity) => ground.of(identity).store, close: async () => undefined },
      { report: ground.changes.report, clock: systemClock },
    ),
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
      http: createHttpFiles({ redirectOver: config.transfers.redirectOver }),
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
    callerPages: createCallerPages({
      [uploadsPath]: createUploads({
        keepMilliseconds: config.s3.uploadDays * 24 * 3600 * 1000,
        ...(config.transfers.mostPart !== undefined && { mostRelayedBytes: config.transfers.mostPart }),
      }),
      [eventsPath]: createEvents({
        feed: ground.changes,
        authenticate: (request) => authenticator.authenticate(request),
      }),
    }),
    drops: dropsOf(config, (message) => ground.jobs.putLater(message)),
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

function s3SettingsOf({ s3, basePath, transfers }: Config, ground: Ground): S3Settings {
  return {
    hosts: s3.hosts.map((host) => host.toLowerCase()),
    buckets: new Map(Object.entries(s3.buckets).map(([bucket, path]) => [bucket, toPath(path)])),
    basePath,
    region: s3.region ?? 'us-east-1',
    clock: systemClock,
    redirectOver: transfers.redirectOver,
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
