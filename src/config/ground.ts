import { hostname } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { thinned } from '../auth/audit.js'
import type { Audit } from '../auth/audit.js'
import { createCredentialKey } from '../auth/cached.js'
import type { CachedDirectory, CredentialKey } from '../auth/cached.js'
import { bytesBelow } from '../auth/quota-store.js'
import type { TableUsers } from '../auth/directory/table-users.js'
import type { Directory, Identity } from '../auth/identity.js'
import type { Links } from '../auth/links.js'
import type { Signatures } from '../auth/sigv4/verified.js'
import { createThrottle } from '../auth/throttle.js'
import type { Throttle } from '../auth/throttle.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import type { Catalog } from '../catalog/catalog.js'
import type { Locks } from '../catalog/locks.js'
import { catalogProperties } from '../catalog/properties.js'
import type { Properties } from '../catalog/properties.js'
import type { ChangeFeed } from '../catalog/changes.js'
import { mendMoves } from '../catalog/moves.js'
import { tended } from '../catalog/tended.js'
import { unfinishedBytes } from '../catalog/unfinished-bytes.js'
import { createUsage } from '../catalog/usage.js'
import type { Usage } from '../catalog/usage.js'
import { systemClock } from '../core/clock.js'
import type { OwnPagesOptions } from '../protocol/admin/index.js'
import { openBackgroundHash } from '../protocol/s3/objects/background-hash.js'
import type { BackgroundHash } from '../protocol/s3/objects/background-hash.js'
import type { Store } from '../store/store.js'
import { exportJob } from '../jobs/export-lines.js'
import type { ExportOptions } from '../jobs/export-lines.js'
import type { Job } from '../jobs/job.js'
import { leftoversJob, movesJob, storesJob, uploadsJob } from '../jobs/upkeep.js'
import { auditFileName } from './audit-file.js'
import { openSources } from './identity/open.js'
import { isShared } from './catalogs.js'
import { changeFeedOf } from './change-feed.js'
import { installationSecret } from './installation-secret.js'
import { openJobs } from './jobs.js'
import type { Jobs } from './jobs.js'
import type { Config } from './load.js'
import { checkRoot, openStores } from './stores.js'
import { openState } from './state.js'
import type { State } from './state.js'

/** What a server stands on in one process: the files, what is remembered of them, and who is known. */
export interface Ground extends Pick<State, 'catalog' | 'clock' | 'accounts' | 'hasher' | 'startedBy'> {
  readonly audit: Audit
  /** The files that are everybody's, as they lie in the stores. */
  readonly files: Store
  readonly locks: Locks
  readonly properties: Properties
  /** What is done to the files, by all processes that share the catalog. */
  readonly changes: ChangeFeed
  /** What is done beside requests, and what waits to be sent. */
  readonly jobs: Jobs
  /** What the requests of one caller stand on: the same for all, but where each acts as a Unix user. */
  of(identity: Identity): Footing
  /** In the order in which they are asked. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  /** Those whose users Postern may manage. */
  readonly users: readonly TableUsers[]
  /** Those whose callers sign links. */
  readonly links: readonly Links[]
  readonly throttle: Throttle
  readonly keyOf: CredentialKey
  /** Of this installation. */
  readonly secret: Uint8Array
  /** What is found out by another process in the place of this one, where callers act as Unix users. */
  readonly remote?: RemoteKnowledge
  readonly keepsUp: boolean
  /** Finishes the moves that a crash has interrupted. For one process, before anything is served. */
  mend(): Promise<void>
  /** Removes what crashed processes left among the files, and logs how many there were. */
  sweep(): Promise<void>
  close(): Promise<void>
}

/** Files, and what is kept for whoever works on them. */
export interface Footing {
  /** Whole, with locks and properties that follow the files. */
  readonly store: Store
  /** Uploads in parts. */
  readonly catalog: Catalog
  /** What lies below the homes of callers with a quota. */
  readonly usage: Usage
  /** Finds out the MD5 of files that S3 shows without it. */
  readonly hashing: BackgroundHash
}

/** What a process without sources of identities has of the one that knows all callers. */
export interface RemoteKnowledge {
  readonly signatures: Signatures
  /** The page on which users are managed, where there is one. */
  readonly users: OwnPagesOptions['users'] | undefined
  /** Before each caller without a credential. */
  readonly admit?: () => Promise<void>
}

export interface GroundOptions {
  readonly log: Logger
  /** Sweeps in the background from the start: one process of those that share the files does that. */
  readonly sweeps: boolean
  /** Does what must be done now and again, for as long as it is open: one process as well. */
  readonly keepsUp: boolean
  /** Only what is everybody's: uploads and moves of users, who act by themselves, are the business of others. */
  readonly everybodys?: boolean
}

/** The settings that a ground depends on: where one of these changes, another ground is needed. */
export type GroundSettings = Pick<
  Config,
  | 'mounts'
  | 'state'
  | 'catalog'
  | 'secret'
  | 'durability'
  | 'identity'
  | 'basePath'
  | 's3'
  | 'workers'
  | 'front'
  | 'anonymous'
  | 'events'
  | 'jobs'
  | 'mail'
  | 'webhooks'
>

/** Whether one ground serves for both. */
export function sameGround(one: GroundSettings, other: GroundSettings): boolean {
  return (
    isDeepStrictEqual(one.mounts, other.mounts) &&
    isDeepStrictEqual(one.catalog, other.catalog) &&
    isDeepStrictEqual(one.secret, other.secret) &&
    one.state === other.state &&
    one.durability === other.durability &&
    one.basePath === other.basePath &&
    one.s3.uploadDays === other.s3.uploadDays &&
    one.events.keepSeconds === other.events.keepSeconds &&
    isDeepStrictEqual(one.jobs, other.jobs) &&
    isDeepStrictEqual(one.mail, other.mail) &&
    isDeepStrictEqual(one.webhooks, other.webhooks) &&
    isDeepStrictEqual(one.identity, other.identity) &&
    // Under privilege separation it fetches the ticket of callers without a credential.
    (one.front === undefined || one.anonymous?.unixUser === other.anonymous?.unixUser)
  )
}

/**
 * What `settings` need: for a process on the network whose callers act as Unix users that of `openFrontGround`, else all in
 * this process. Opens, and makes where they are missing, first the state and then the directories that are served: a process of root
 * becomes the owner of the state in between. Throws what `openState`, `installationSecret` and `openStores` throw.
 */
export async function openGround(settings: GroundSettings, options: GroundOptions): Promise<Ground> {
  if (settings.front !== undefined) {
    const { openFrontGround } = await import('./front-ground.js')
    return await openFrontGround(settings, settings.front, options)
  }
  const { log } = options
  for (const mount of settings.mounts) if (mount.kind === 'local') checkRoot(mount.directory)
  const state = await openState(settings, {
    create: true,
    onTrouble: (err, message) => log.error({ err }, message),
    audit: { write: (event) => log.info({ audit: event }, event.event) },
  })
  try {
    return await assemble(settings, state, options)
  } catch (error) {
    await state.close()
    throw error
  }
}

async function assemble(
  settings: GroundSettings,
  state: State,
  { log, sweeps, keepsUp, everybodys = false }: GroundOptions,
): Promise<Ground> {
  const { catalog, clock, accounts, hasher } = state
  const secret = await installationSecret(settings)
  const report = (count: number): void => {
    if (count > 0) log.info({ count }, 'removed what a crash had left behind')
  }
  const stores = await openStores(settings.mounts, { catalog, clock, log, sweeps, onSweep: report })
  const files = stores.store
  const locks = catalogLocks(catalog, clock, { shared: isShared(settings), workers: settings.workers > 1 })
  const properties = catalogProperties(catalog)
  const records = { catalog, locks, properties, clock }
  const keyOf = createCredentialKey()
  const warn = (facts: object, message: string): void => log.warn(facts, message)
  const { basePath } = settings
  const needs = { catalog, accounts, hasher, secret, clock, basePath, warn }
  const sources = await openSources(settings.identity, needs, keyOf)
  const store = tended(files, records)
  const hashing = openBackgroundHash({
    store: files,
    onFault: (err) => log.error({ err }, 'a file could not be hashed'),
  })
  const usage = createUsage({
    catalog,
    clock,
    count: async (tree) => (await bytesBelow(files, tree)) + (await unfinishedBytes(catalog, tree)),
  })
  const footing: Footing = { store, catalog, usage, hashing }
  const jobs = openJobs(settings, { catalog, clock, secret, log, keepsUp }, [
    ...(everybodys
      ? []
      : [
          uploadsJob({ catalog, clock, store }, settings.s3.uploadDays),
          movesJob(catalog, (signal) => mendMoves(files, records, { signal })),
        ]),
    storesJob(stores),
    leftoversJob(stores),
    ...auditExport(settings, { store, catalog, clock }),
  ])
  const changes = changeFeedOf(settings, { catalog, clock, outbox: jobs.outbox, log })
  return {
    catalog,
    clock,
    accounts,
    hasher,
    startedBy: state.startedBy,
    audit: thinned(state.audit, () => systemClock.now()),
    files,
    locks,
    properties,
    changes,
    jobs,
    of: () => footing,
    directories: sources.directories,
    users: sources.users,
    links: sources.links,
    throttle: createThrottle({ catalog, clock, secret }),
    keyOf,
    secret,
    keepsUp,
    async mend() {
      // Of one host, nothing is served yet; others may be in the middle of theirs.
      await mendMoves(files, records, { alone: !isShared(settings) })
    },
    async sweep() {
      report(await stores.sweep())
    },
    async close() {
      await jobs.close()
      await changes.close()
      await hashing.close()
      await sources.close()
      await stores.close()
      await state.close()
    },
  }
}

function auditExport(
  { jobs, state }: GroundSettings,
  needs: Pick<ExportOptions, 'store' | 'catalog' | 'clock'>,
): readonly Job[] {
  if (jobs.auditExport === undefined) return []
  const files = [`${auditFileName}.1`, auditFileName].map((name) => join(state, name))
  return [exportJob({ name: 'audit-export', files, to: jobs.auditExport.to, host: hostname(), ...needs })]
}
