import type { Identity } from '../auth/identity.js'
import { principalOf } from '../auth/identity.js'
import { systemClock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import { header } from '../core/http.js'
import type { HttpRequest } from '../core/http.js'
import { isWithin, pathOf, rebase, rootPath, segmentsOf, toPath } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import { createDrops } from '../gateway/drops.js'
import type { DropDoor, Drops, OneDrop } from '../gateway/drops.js'
import { admitSender, admitThrough } from '../protocol/drop/admission.js'
import type { CdnLock, DropToken } from '../protocol/drop/admission.js'
import { createDrop } from '../protocol/drop/drop.js'
import type { Arrival, Sender } from '../protocol/drop/drop.js'
import { uploadPage, wantsPage } from '../protocol/drop/page.js'
import { storeDeposits } from '../protocol/drop/store-deposits.js'
import { dropNotices } from './drop-notices.js'
import type { DropNoticeNeeds } from './drop-notices.js'
import type { Config } from './load.js'
import type { DropSettings } from './schema-drops.js'
import { bytesOfHash } from './token-hash.js'

/** A token of a drop with all that its bearer may do: create below one folder. */
interface SenderToken extends DropToken {
  readonly identity: Identity
  readonly folder: StorePath
  readonly limit: number
  readonly types: readonly string[]
  readonly large: number | undefined
}

/** The drops of a configuration; undefined without any. */
export function dropsOf(
  config: Pick<Config, 'drops' | 'cdn' | 'originLock' | 'dropbox' | 'basePath' | 'publicOrigins'>,
  put: DropNoticeNeeds['put'],
): Drops | undefined {
  const { drops, basePath, publicOrigins } = config
  const lock = lockOf(config)
  return createDrops(
    new Map(
      drops.map((settings) => [
        toPath(settings.path),
        oneDrop(settings, {
          environmentToken: config.dropbox.token?.sha256,
          lock: settings.cdn === undefined ? lock : undefined,
          onArrival: dropNotices(settings, { put, publicOrigins, clock: systemClock }),
        }),
      ]),
    ),
    basePath,
  )
}

/** What the CDN in front adds. */
function lockOf({ cdn, originLock, dropbox }: Pick<Config, 'cdn' | 'originLock' | 'dropbox'>): CdnLock | undefined {
  const lock = cdn === undefined ? (originLock ?? dropbox.lock) : undefined
  return lock && { header: lock.header, hashes: lock.sha256.map(bytesOfHash) }
}

interface DropParts {
  readonly environmentToken: string | undefined
  readonly lock: CdnLock | undefined
  readonly onArrival: ((arrival: Arrival) => void) | undefined
}

function oneDrop(settings: DropSettings, { environmentToken, lock, onArrival }: DropParts): OneDrop {
  const tokens = [
    ...settings.tokens.map((token) => senderToken(settings, token)),
    ...(environmentToken === undefined
      ? []
      : [senderToken(settings, { name: 's3-dropbox', sha256: [environmentToken] }, 'drop-environment')]),
  ]
  const everybody = settings.public ? senderToken(settings, { name: 'public', sha256: [] }, 'drop-public') : undefined
  const drop = createDrop<DropDoor>({
    path: settings.path,
    namePattern: settings.name,
    clock: systemClock,
    onArrival,
    admit: async (request, door) => {
      if (lock !== undefined) admitThrough(request, lock)
      return await senderOf(request, door, settings, tokens, everybody)
    },
  })
  if (!settings.page) return drop
  const limit = Math.max(settings.limit, ...tokens.map((token) => token.limit))
  return async (request, door) => {
    if (!wantsPage(request)) return await drop(request, door)
    if (lock !== undefined) admitThrough(request, lock)
    return uploadPage({ limit, types: settings.types, isPublic: settings.public })
  }
}

async function senderOf(
  request: HttpRequest,
  door: DropDoor,
  settings: DropSettings,
  tokens: readonly SenderToken[],
  everybody: SenderToken | undefined,
): Promise<Sender> {
  const isSilent = header(request, 'authorization') === undefined && header(request, 'x-api-key') === undefined
  if (isSilent && everybody !== undefined) return withToken(everybody, door)
  try {
    return withToken(admitSender(request, tokens), door)
  } catch (error) {
    // Others may know who it is; the contract wants the word Bearer as it is written.
    const shown = header(request, 'authorization') ?? ''
    const isMiswritten = /^bearer\b/i.test(shown) && !shown.startsWith('Bearer ')
    if (isSilent || isMiswritten || !isFailure(error, 'unauthenticated')) throw error
    const identity = await identityOf(request, door, error)
    return withIdentity(identity, door, settings)
  }
}

async function identityOf(request: HttpRequest, door: DropDoor, refused: Failure): Promise<Identity> {
  try {
    const identity = await door.authenticate(request)
    if (identity.source === 'anonymous') throw refused
    return identity
  } catch (error) {
    throw isFailure(error, 'unauthenticated') ? refused : error
  }
}

function withToken({ name, identity, folder, limit, types, large }: SenderToken, door: DropDoor): Sender {
  door.known(identity)
  return {
    name,
    principal: identity.source === 'drop-public' ? undefined : principalOf(identity),
    limit,
    types,
    large,
    deposits: async () => storeDeposits((await door.session(identity)).store, folder),
  }
}

/** A caller whom others know too drops where its grants allow it to create, within its home where it has one. */
function withIdentity(identity: Identity, door: DropDoor, { limit, types, to }: DropSettings): Sender {
  door.known(identity)
  const home = identity.home ?? rootPath
  return {
    name: identity.name,
    principal: principalOf(identity),
    limit,
    types,
    deposits: async () => {
      if (!isWithin(toPath(to), home)) throw new Failure('denied', 'Access is denied.')
      return storeDeposits((await door.session(identity)).store, rebase(toPath(to), home, rootPath))
    },
  }
}

function senderToken(
  settings: DropSettings,
  token: Pick<DropSettings['tokens'][number], 'name' | 'sha256'> & Partial<DropSettings['tokens'][number]>,
  source = 'drop',
): SenderToken {
  const folder = pathOf([...segmentsOf(toPath(settings.to)), ...segmentsOf(toPath(token.to ?? '/'))])
  return {
    name: token.name,
    hashes: token.sha256.map(bytesOfHash),
    identity: {
      // The tokens of two drops may have one name and are two senders.
      name: `${token.name}@${settings.path}`,
      source,
      grants: [`create:${folder === '/' ? '' : folder}/**`],
    },
    folder,
    limit: token.limit ?? settings.limit,
    types: token.types ?? settings.types,
    // Nobody is told where to put things who has not said who it is.
    large: source === 'drop-public' ? undefined : settings.large,
  }
}
