import { join } from 'node:path'
import type { Logger } from 'pino'
import { createCredentialKey } from '../auth/cached.js'
import type { Identity } from '../auth/identity.js'
import { bytesBelow } from '../auth/quota-store.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import { catalogPart } from '../catalog/catalog-part.js'
import { expireUploads } from '../catalog/expire-uploads.js'
import { mendMoves } from '../catalog/moves.js'
import { catalogProperties } from '../catalog/properties.js'
import { tended } from '../catalog/tended.js'
import { unfinishedBytes } from '../catalog/unfinished-bytes.js'
import { createUsage } from '../catalog/usage.js'
import { systemClock } from '../core/clock.js'
import { memberOf } from '../core/path.js'
import { leftoversJob, storesJob, usersJob } from '../jobs/upkeep.js'
import type { About } from '../privsep/auth/about.js'
import { anonymousTicket } from '../privsep/front/anonymous-ticket.js'
import { authDoor } from '../privsep/front/auth-door.js'
import { deniedStore } from '../privsep/front/denied-store.js'
import { patience } from '../privsep/front/patience.js'
import { openThrottle, remoteDirectories } from '../privsep/front/remote-directories.js'
import { remoteLinks } from '../privsep/front/remote-links.js'
import { remoteUsersCalls } from '../privsep/front/remote-pages.js'
import { remoteSignatures } from '../privsep/front/remote-signatures.js'
import { KeptTickets } from '../privsep/front/ticket-book.js'
import { UnixUsers } from '../privsep/front/unix-users.js'
import type { UnixUser } from '../privsep/front/unix-users.js'
import { remoteStore } from '../privsep/remote-store.js'
import type { FrontSettings } from '../privsep/settings.js'
import { openLink } from '../privsep/wire/link.js'
import type { Link } from '../privsep/wire/link.js'
import { openMounted } from '../privsep/wire/mounted.js'
import { connectTo } from '../privsep/wire/one-time.js'
import { openBackgroundHash } from '../protocol/s3/objects/background-hash.js'
import { limited } from '../store/limited.js'
import type { MountedStore } from '../store/mounts.js'
import { loadNative } from '../store/native.js'
import type { Store } from '../store/store.js'
import { catalogNotes } from './catalog-notes.js'
import { changeFeedOf } from './change-feed.js'
import type { Footing, Ground, GroundOptions, GroundSettings } from './ground.js'
import { installationSecret } from './installation-secret.js'
import { openJobs } from './jobs.js'
import { isPerUser } from './privsep-settings.js'
import { separatedMounts } from './separated-mounts.js'
import type { Separated } from './separated-mounts.js'
import { openState } from './state.js'
import { openStores, treeOf } from './stores.js'

const dayMilliseconds = 24 * 3600_000

/**
 * What a process on the network stands on whose callers act as Unix users: records of its own, the stores that are everybody's,
 * and ways to the process that knows all callers and to the broker, both of which must be there. Throws what `openState` and
 * `openStores` throw, and `unavailable`.
 */
export async function openFrontGround(
  settings: GroundSettings,
  front: FrontSettings,
  options: GroundOptions,
): Promise<Ground> {
  const { log } = options
  const state = await openState(settings, {
    create: true,
    onTrouble: (err, message) => log.error({ err }, message),
    audit: { write: (event) => log.info({ audit: event }, event.event) },
  })
  const closers: (() => Promise<void> | void)[] = [() => state.close()]
  const close = async (): Promise<void> => {
    for (const each of closers.reverse()) await each()
  }
  try {
    return await assemble(settings, front, options, { state, closers, close })
  } catch (error) {
    await close()
    throw error
  }
}

interface Opening {
  readonly state: Awaited<ReturnType<typeof openState>>
  /** What has been opened, the first one first. */
  readonly closers: (() => Promise<void> | void)[]
  readonly close: () => Promise<void>
}

async function assemble(
  settings: GroundSettings,
  front: FrontSettings,
  { log, sweeps, keepsUp }: GroundOptions,
  { state, closers, close }: Opening,
): Promise<Ground> {
  const { catalog, clock, accounts, hasher, startedBy, audit } = state
  const secret = await installationSecret(settings)
  const shared = settings.mounts.filter((mount) => mount.kind === 's3' || !mount.separated)
  const separated: readonly Separated[] = separatedMounts(settings.mounts)
  const report = (count: number): void => {
    if (count > 0) log.info({ count }, 'removed what a crash had left behind')
  }
  const stores = await openStores(shared, { catalog, clock, log, sweeps, onSweep: report })
  closers.push(() => stores.close())
  const locks = catalogLocks(catalog, clock, { shared: false, workers: settings.workers > 1 })
  const properties = catalogProperties(catalog)

  const book = new KeptTickets(clock)
  const door = await authDoor({
    runtime: front.runtime,
    onLost: ({ why }) =>
      log.warn({ why }, 'the process that knows all callers is away: only who is remembered comes in'),
    onBack: () => log.info('the process that knows all callers is back'),
  })
  closers.push(() => door.close())
  const about = (await door.ask('about', {}, patience)).head as unknown as About
  const keyOf = createCredentialKey()
  const remote = remoteDirectories({ door, about, book, clock, keyOf })

  const forget = (uid: number): void => {
    const names = new Set([...book.drop(uid), ...users.drop(uid)])
    for (const name of names) {
      // What is being hashed is given up.
      void footings.get(name)?.close()
      footings.delete(name)
      remote.forget(name)
    }
  }
  const broker = await brokerLink(front.runtime, log, {
    closed: forget,
    shed: () => users.shed(),
  })
  closers.push(() => broker.close())
  const native = loadNative()
  const users = new UnixUsers({
    broker,
    book,
    mounts: separated.length,
    notesOf: (uid) => catalogNotes(catalog, `files:${uid}`),
    idleMilliseconds: front.idleSeconds * 1000,
    onRefused: ({ uid }) => forget(uid),
    onUp: (user) => void footingOf(user).tidy(),
    ...(native && { passing: { calls: native, mounted: openMounted(native) } }),
    log,
  })
  closers.push(() => users.close())

  const records = { locks, properties, clock }
  const footings = new Map<string, UserFooting>()
  const footingOf = (user: UnixUser): UserFooting => {
    const known = footings.get(user.name)
    if (known !== undefined) return known
    const made = userFooting(
      user,
      { catalog: catalogPart(catalog, String(user.uid)), ...records },
      {
        ...{ separated, shared: stores.mounted, log },
        uploadMilliseconds: settings.s3.uploadDays * dayMilliseconds,
      },
    )
    footings.set(user.name, made)
    return made
  }
  closers.push(() => Promise.all([...footings.values()].map((footing) => footing.close())).then(() => undefined))
  const nobodys = userFooting(
    undefined,
    { catalog, ...records },
    {
      ...{ separated, shared: stores.mounted, log },
      uploadMilliseconds: Infinity,
    },
  )
  closers.push(() => nobodys.close())
  const jobs = openJobs(settings, { catalog, clock, secret, log, keepsUp }, [
    usersJob(async () => {
      // One whose process hangs keeps the others from nothing.
      await Promise.all(users.active().map((user) => footingOf(user).tidy()))
    }),
    storesJob(stores),
    leftoversJob(stores),
  ])
  closers.push(() => jobs.close())
  const changes = changeFeedOf(settings, { catalog, clock, outbox: jobs.outbox, log })
  closers.push(() => changes.close())

  const { anonymous } = settings
  return {
    catalog,
    clock,
    accounts,
    hasher,
    startedBy,
    audit,
    files: stores.store,
    locks,
    properties,
    changes,
    jobs,
    of: ({ unixUser }: Identity) => (unixUser === undefined ? nobodys : footingOf(users.of(unixUser))),
    directories: remote.directories,
    users: [],
    links: about.linksBelow.length > 0 ? [remoteLinks({ door, book, below: about.linksBelow })] : [],
    throttle: openThrottle,
    keyOf,
    secret,
    remote: {
      signatures: remoteSignatures({ door, book }),
      users: about.hasUsers ? remoteUsersCalls(door) : undefined,
      ...(anonymous?.unixUser !== undefined && {
        admit: anonymousTicket({ door, book, clock, unixUser: anonymous.unixUser }),
      }),
    },
    keepsUp,
    // Each user's moves are mended when the process of that user comes up.
    mend: async () => undefined,
    async sweep() {
      report(await stores.sweep())
    },
    close,
  }
}

async function brokerLink(
  runtime: string,
  log: Logger,
  told: { readonly closed: (uid: number) => void; readonly shed: () => void },
): Promise<Link> {
  const link = openLink(await connectTo(join(runtime, 'front', 'broker')), {
    table: {
      closed: {
        maxBytes: 4096,
        handle: ({ head }) => {
          told.closed(Number(head['uid']))
          return {}
        },
      },
      shed: {
        maxBytes: 256,
        handle: () => {
          told.shed()
          return {}
        },
      },
    },
    maxAnswerBytes: 64 * 1024,
    maxAtOnce: 64,
    onFault: (err, order) => log.error({ err, order }, 'an order could not be carried out'),
  })
  return link
}

/** What one user stands on. */
interface UserFooting extends Footing {
  /** Mends and clears away what was left behind; never throws. */
  tidy(): Promise<void>
  close(): Promise<void>
}

function userFooting(
  user: UnixUser | undefined,
  records: Parameters<typeof tended>[1],
  {
    separated,
    shared,
    log,
    uploadMilliseconds,
  }: {
    readonly separated: readonly Separated[]
    readonly shared: readonly MountedStore[]
    readonly log: Logger
    readonly uploadMilliseconds: number
  },
): UserFooting {
  const alone = separated.flatMap((one) => mountedFor(user, one))
  const tree = treeOf([...shared, ...alone])
  const store = tended(tree, records)
  const own = shared.length === 0 ? store : treeOf(alone)
  const { catalog, clock = systemClock } = records
  const hashing = openBackgroundHash({
    store: tree,
    onFault: (err) => log.error({ err }, 'a file could not be hashed'),
  })
  let tidying: Promise<void> | undefined
  const tidy = async (): Promise<void> => {
    try {
      await mendMoves(tree, records)
      // In the stores that are everybody's, uploads of others lie as well, of which this part of the catalog knows nothing.
      const { left } = await expireUploads({ catalog, clock, store }, uploadMilliseconds, { own })
      if (left.length > 0) log.warn({ left, user: user?.name }, 'what a user has left behind is tried again')
    } catch (err) {
      log.warn({ err, user: user?.name }, 'what a user has left behind could not be cleared away')
    }
  }
  return {
    store,
    catalog,
    usage: createUsage({
      catalog,
      clock,
      count: async (below) => (await bytesBelow(tree, below)) + (await unfinishedBytes(catalog, below)),
    }),
    hashing,
    async tidy() {
      if (user !== undefined) await (tidying ??= tidy().finally(() => (tidying = undefined)))
    },
    close: () => hashing.close(),
  }
}

/** A separated mount as one user has it. */
function mountedFor(user: UnixUser | undefined, { number, mount }: Separated): readonly MountedStore[] {
  const { path, readOnly, maxFileBytes } = mount
  const limits = { readOnly, ...(maxFileBytes !== undefined && { maxFileBytes }) }
  const remote = user?.mounts[number]
  if (user === undefined || remote === undefined) return [{ path, store: nobodysStore() }]
  const place = isPerUser(mount) ? memberOf(path, user.name) : path
  return place === undefined ? [] : [{ path: place, store: limited(remoteStore(remote), limits) }]
}

function nobodysStore(): Store {
  return deniedStore(
    'Your login acts as no Unix user, and these files are worked on only as one. Ask the administrator (unixUser).',
  )
}
