import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Catalog, Item } from './catalog.js'
import type { Lock, LockHolder, LockRequest, Locks } from './locks.js'
import { Decoded } from './decoded.js'
import { LockCensus } from './lock-census.js'
import { decode, encode, group, type LockRecord, type StoredLock } from './lock-records.js'
import { membersPrefix, recordName, treePrefix } from './record-name.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { ancestorsOf, isWithin, parentOf, type StorePath } from '../core/path.js'

/**
 * Keeps locks in a catalog, one record for each locked resource, and decides conflicts in the hierarchy with nothing but
 * `swap` and strongly consistent reads, so that it holds on every engine and between any number of instances: write a
 * provisional lock, read what lies above and below, confirm. Of two provisional locks in conflict the one with the higher
 * token withdraws; the other waits until it has. Whoever writes second sees the first, so two never both confirm.
 */
export function catalogLocks(
  catalog: Catalog,
  clock: Clock,
  options: { readonly maxPerPrincipal?: number } = {},
): Locks {
  const census = new LockCensus(options.maxPerPrincipal ?? 50_000)
  const decoded = new Decoded<LockRecord>(decode)

  async function read(path: StorePath): Promise<LockRecord & { readonly version: string | undefined }> {
    const name = recordName(path)
    const item = await catalog.get(group, name)
    if (item === undefined) return { path, locks: [], version: undefined }
    return { path, locks: live(decoded.of(name, item)).locks, version: item.version }
  }

  function live(record: LockRecord): LockRecord {
    const now = clock.now()
    return record.locks.every((lock) => lock.expires > now)
      ? record
      : { path: record.path, locks: record.locks.filter((lock) => lock.expires > now) }
  }

  /** Replaces the locks of one resource by what `edit` makes of them, however often others get in between. */
  async function update(path: StorePath, edit: (locks: readonly StoredLock[]) => readonly StoredLock[]): Promise<void> {
    for (;;) {
      const { locks, version } = await read(path)
      const next = edit(locks)
      if (next === locks) return
      if (await write(path, next, version)) return
    }
  }

  async function write(path: StorePath, locks: readonly StoredLock[], version: string | undefined): Promise<boolean> {
    if (locks.length === 0) {
      return version === undefined || (await catalog.swap(group, recordName(path), undefined, version)) !== false
    }
    const expires = new Date(Math.max(...locks.map((lock) => lock.expires)))
    return (await catalog.swap(group, recordName(path), encode({ path, locks }), version, expires)) !== false
  }

  /**
   * The live locks of a record, the others taken out of it: whoever builds on their end must be sure that no late write
   * of their owner, begun before it, brings them back.
   */
  async function purged(item: Item | undefined): Promise<readonly StoredLock[]> {
    for (let present = item; present !== undefined;) {
      const record = decode(present)
      const { locks } = live(record)
      if (locks.length === record.locks.length || (await write(record.path, locks, present.version))) return locks
      present = await catalog.get(group, recordName(record.path))
    }
    return []
  }

  /** The live records of a path and of everything above it, nearest first; those without locks are left out. */
  async function near(path: StorePath): Promise<readonly LockRecord[]> {
    const names = namesNear(path)
    const items = catalog.glance?.(group, names) ?? (await catalog.getAll(group, names))
    const found: LockRecord[] = []
    for (const [at, name] of names.entries()) {
      const item = items[at]
      if (item !== undefined) found.push(live(decoded.of(name, item)))
    }
    return found
  }

  async function purgedCovering(path: StorePath): Promise<readonly StoredLock[]> {
    const found: StoredLock[] = []
    const items = await catalog.getAll(group, namesNear(path))
    for (const [at, covering] of [path, ...ancestorsOf(path)].entries()) {
      const locks = await purged(items[at])
      found.push(...locks.filter((lock) => covering === path || lock.depth === 'infinity'))
    }
    return found
  }

  async function* belowAny(
    path: StorePath,
    locksOf: (item: Item) => readonly StoredLock[] | Promise<readonly StoredLock[]> = (item) =>
      live(decode(item)).locks,
  ): AsyncGenerator<readonly StoredLock[]> {
    for await (const items of catalog.list(group, { prefix: treePrefix(path) })) {
      const found: StoredLock[] = []
      for (const item of items) {
        const record = decode(item)
        if (record.path !== path && isWithin(record.path, path)) found.push(...(await locksOf(item)))
      }
      if (found.length > 0) yield found
    }
  }

  /** The first lock in conflict with a provisional one of ours, confirmed ones before provisional ones. */
  async function conflictWith(mine: StoredLock): Promise<StoredLock | undefined> {
    let provisional: StoredLock | undefined
    const consider = (locks: readonly StoredLock[]): StoredLock | undefined => {
      for (const lock of locks) {
        if (lock.token === mine.token || (lock.scope === 'shared' && mine.scope === 'shared')) continue
        if (lock.provisional !== true) return lock
        provisional ??= lock
      }
      return undefined
    }
    const above = consider(await purgedCovering(mine.path))
    if (above !== undefined) return above
    if (mine.depth === 'infinity') {
      for await (const locks of belowAny(mine.path, purged)) {
        const below = consider(locks)
        if (below !== undefined) return below
      }
    }
    return provisional
  }

  async function withdraw(lock: StoredLock): Promise<void> {
    await update(lock.path, (locks) => without(locks, lock.token))
  }

  async function confirm(mine: StoredLock, lock: Lock): Promise<void> {
    for (;;) {
      const { locks, version } = await read(mine.path)
      if (!locks.some((each) => each.token === mine.token))
        throw new Failure('unavailable', 'The lock could not be taken in time. Try again.', { retryAfterSeconds: 1 })
      const next = locks.map((each) => (each.token === mine.token ? lock : each))
      if (await write(mine.path, next, version)) return
    }
  }

  /**
   * Where no lock at all is near and the engine can make sure of that in the step of the write, one step is enough. Who
   * takes a lock by several sees this one, or has already written what keeps this from being taken here.
   */
  async function takeAtOnce(lock: Lock): Promise<boolean> {
    const { path } = lock
    const claimed = await catalog.claim?.(
      group,
      recordName(path),
      encode({ path, locks: [lock] }),
      {
        absent: namesNear(path).slice(1),
        ...(lock.depth === 'infinity' && { prefix: treePrefix(path) }),
      },
      new Date(lock.expires),
    )
    return claimed !== undefined && claimed !== false
  }

  async function takeAt(request: LockRequest): Promise<Lock> {
    const { timeoutSeconds, ...wanted } = request
    const lock: Lock = {
      ...wanted,
      token: `opaquelocktoken:${randomUUID()}`,
      expires: clock.now() + timeoutSeconds * 1000,
    }
    if (await takeAtOnce(lock)) return lock
    const mine: StoredLock = { ...lock, provisional: true, expires: clock.now() + provisionalMilliseconds }
    for (;;) {
      const { locks, version } = await read(lock.path)
      if (locks.length >= maxPerResource) throw conflict(lock.path)
      const standing = locks.find(
        (each) => each.provisional !== true && (each.scope === 'exclusive' || lock.scope === 'exclusive'),
      )
      if (standing !== undefined) throw conflict(standing.path)
      if (await write(lock.path, [...locks, mine], version)) break
    }
    try {
      for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
        const other = await conflictWith(mine)
        if (other === undefined) break
        if (other.provisional !== true || other.token < mine.token) throw conflict(other.path)
        await delay(wait)
      }
      await confirm(mine, lock)
    } catch (error) {
      await withdraw(mine)
      throw error
    }
    return lock
  }

  const self: Locks = {
    async take(request) {
      await census.admit(request.principal, catalog, clock)
      return takeAt(request)
    },

    async refresh(path, holder, timeoutSeconds) {
      for (const lock of await self.covering(path)) {
        if (!holds(holder, lock)) continue
        let renewed: Lock | undefined
        await update(lock.path, (locks) => {
          const present = locks.find((each) => each.token === lock.token)
          renewed = present && { ...present, expires: clock.now() + timeoutSeconds * 1000 }
          return renewed === undefined ? locks : locks.map((each) => (each === present ? (renewed ?? each) : each))
        })
        if (renewed !== undefined) return renewed
      }
      throw new Failure('precondition', 'No lock of yours with the submitted token covers this resource.', {
        reason: 'lock-token-matches-request-uri',
      })
    },

    async release(path, token, principal) {
      const lock = (await self.covering(path)).find((each) => each.token === token)
      if (lock === undefined)
        throw new Failure('conflict', 'The lock token does not match a lock on this resource.', {
          reason: 'lock-token-matches-request-uri',
        })
      if (lock.principal !== principal) throw new Failure('denied', 'The lock belongs to somebody else.')
      await update(lock.path, (locks) => without(locks, token))
    },

    async covering(path) {
      return covering(await near(path), path)
    },

    async *below(path) {
      for await (const locks of belowAny(path)) {
        const found = locks.filter(confirmed)
        if (found.length > 0) yield found
      }
    },

    async members(directory) {
      const prefix = membersPrefix(directory)
      const known = catalog.glanceList?.(group, prefix)
      if (known?.length === 0) return noMembers
      const found = new Map<StorePath, readonly Lock[]>()
      for await (const items of known === undefined ? catalog.list(group, { prefix }) : [known]) {
        for (const item of items) {
          const record = live(decode(item))
          if (record.path === '/' || parentOf(record.path) !== directory) continue
          const locks = record.locks.filter(confirmed)
          if (locks.length > 0) found.set(record.path, locks)
        }
      }
      return found
    },

    async check(write, holder) {
      const records = await near(write.path)
      if (records.length === 0 && write.extent === 'self') return
      const above = covering(records, write.path)
      demand(above, holder)
      if (write.membership && write.path !== '/') {
        const parent = records.find(({ path }) => path === parentOf(write.path))?.locks ?? []
        // Deep locks of the parent cover the path itself and were judged with it.
        demand(
          parent.filter((lock) => lock.depth === 0 && confirmed(lock)),
          holder,
        )
      }
      if (write.extent === 'tree') {
        for await (const locks of self.below(write.path)) {
          for (const [root, own] of byRoot(locks)) {
            // A shared lock from above serves for a member as well.
            const deep = above.filter((lock) => isWithin(root, lock.path) && lock.depth === 'infinity')
            demand([...own, ...deep], holder)
          }
        }
      }
    },

    async forget(path) {
      const own = await read(path)
      if (own.version !== undefined) await catalog.swap(group, recordName(path), undefined, 'any')
      for await (const items of catalog.list(group, { prefix: treePrefix(path) })) {
        for (const item of items) {
          const record = decode(item)
          if (isWithin(record.path, path)) await catalog.swap(group, item.name, undefined, 'any')
        }
      }
    },
  }
  return self
}

const noMembers: ReadonlyMap<StorePath, readonly Lock[]> = new Map()
const provisionalMilliseconds = 10_000
const maxPerResource = 100

/** Throws `locked` unless an exclusive lock among these is held, or any one of the shared ones (RFC 4918 §6.2). */
function demand(locks: readonly Lock[], holder: LockHolder): void {
  let foreignShared: Lock | undefined
  let heldShared = false
  for (const lock of locks) {
    const held = holds(holder, lock)
    if (lock.scope === 'exclusive' && !held) throw unsubmitted(lock.path)
    if (lock.scope === 'shared') {
      if (held) heldShared = true
      else foreignShared ??= lock
    }
  }
  if (foreignShared !== undefined && !heldShared) throw unsubmitted(foreignShared.path)
}

function holds(holder: LockHolder, lock: Lock): boolean {
  return lock.principal === holder.principal && holder.tokens.has(lock.token)
}

/** Record names of a path and of everything above it, nearest first. */
function namesNear(path: StorePath): readonly string[] {
  return [path, ...ancestorsOf(path)].map(recordName)
}

/** The locks that apply to a path, out of the records near it. */
function covering(records: readonly LockRecord[], path: StorePath): readonly Lock[] {
  if (records.length === 0) return none
  return records.flatMap((record) =>
    record.locks.filter((lock) => confirmed(lock) && (record.path === path || lock.depth === 'infinity')),
  )
}

const none: readonly Lock[] = []

function confirmed(lock: StoredLock): boolean {
  return lock.provisional !== true
}

function byRoot(locks: readonly Lock[]): ReadonlyMap<StorePath, readonly Lock[]> {
  const roots = new Map<StorePath, Lock[]>()
  for (const lock of locks) {
    const known = roots.get(lock.path)
    if (known === undefined) roots.set(lock.path, [lock])
    else known.push(lock)
  }
  return roots
}

function without(locks: readonly StoredLock[], token: string): readonly StoredLock[] {
  return locks.some((lock) => lock.token === token) ? locks.filter((lock) => lock.token !== token) : locks
}

function conflict(path: StorePath): Failure {
  return new Failure('locked', 'Another lock is in the way.', { reason: 'no-conflicting-lock', path })
}

function unsubmitted(path: StorePath): Failure {
  return new Failure('locked', 'The resource is locked. Submit the lock token in an If header.', {
    reason: 'lock-token-submitted',
    path,
  })
}
