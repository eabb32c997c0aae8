import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Catalog } from './catalog.js'
import { LocalCommits, type Commits } from './commits.js'
import { LockCensus } from './lock-census.js'
import { decode, encode, group, type StoredLock } from './lock-records.js'
import { byRoot, confirmed, conflict, covering, demand, excludes, holds, without } from './lock-rules.js'
import { LockTable, namesNear, type FoundRecord } from './lock-table.js'
import type { Lock, LockRequest, Locks } from './locks.js'
import { membersPrefix, recordName, treePrefix } from './record-name.js'
import { SharedCommits } from './shared-commits.js'
import { together } from './together.js'
import type { Clock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import { isWithin, parentOf, type StorePath } from '../core/path.js'

export interface CatalogLocksOptions {
  /** Default: 50,000, of those that one process has granted. */
  readonly maxPerPrincipal?: number
  /**
   * Several machines take locks in this catalog. Their clocks may differ by two seconds, so a lock keeps others out for five
   * seconds longer than its owner was told; and what each is about to write is told to all (`SharedCommits`).
   */
  readonly shared?: boolean
  /** Several processes of this host write: they tell each other of what takes long (decision 0025). */
  readonly workers?: boolean
  /** How writes make themselves known (default: as `shared` says). */
  readonly commits?: Commits
  /** Waits so many milliseconds (default: by a timer). */
  readonly pause?: (milliseconds: number) => Promise<unknown>
}

/**
 * Keeps locks in a catalog, one record for each locked resource, and decides conflicts in the hierarchy with nothing but
 * `swap` and strongly consistent reads, so that it holds on every engine and between any number of instances: write a
 * provisional lock, read what lies above and below, confirm. Of two provisional locks in conflict the one with the higher
 * token withdraws; the other waits until it has. Whoever writes second sees the first, so two never both confirm.
 */
export function catalogLocks(catalog: Catalog, clock: Clock, options: CatalogLocksOptions = {}): Locks {
  const { shared = false, workers = false, pause = delay } = options
  const waiting = { clock, pause }
  const commits =
    options.commits ??
    (shared || workers ? new SharedCommits(catalog, { ...waiting, onlyTrees: !shared }) : new LocalCommits(waiting))
  const census = new LockCensus(options.maxPerPrincipal ?? 50_000)
  const table = new LockTable(catalog, clock, shared ? graceMilliseconds : 0)

  /** The first lock in conflict with a provisional one of ours, confirmed ones before provisional ones. */
  async function conflictWith(mine: StoredLock): Promise<StoredLock | undefined> {
    let provisional: StoredLock | undefined
    const consider = (locks: readonly StoredLock[]): StoredLock | undefined => {
      for (const lock of locks) {
        if (lock.token === mine.token || !excludes(lock, mine)) continue
        if (lock.provisional !== true) return lock
        provisional ??= lock
      }
      return undefined
    }
    const below = async (): Promise<StoredLock | undefined> => {
      if (mine.depth === 0) return undefined
      for await (const locks of table.below(mine.path, (item) => table.purged(item))) {
        const found = consider(locks)
        if (found !== undefined) return found
      }
      return undefined
    }
    const [above, deeper] = await Promise.all([table.purgedCovering(mine.path).then(consider), below()])
    return above ?? deeper ?? provisional
  }

  /** Takes a lock back that nobody was told of; where that fails it ends by itself. */
  async function withdraw(lock: Lock): Promise<void> {
    try {
      await table.update(lock.path, (locks) => without(locks, lock.token))
    } catch (error) {
      if (!isFailure(error)) throw error
    }
  }

  /** Puts the lock in the place of its provisional self, whose record had this version. */
  async function confirm(lock: Lock, locks: readonly StoredLock[], version: string | undefined): Promise<void> {
    for (let found = { locks, version }; ; found = await table.read(lock.path)) {
      const now = clock.now()
      if (!found.locks.some(({ token, expires }) => token === lock.token && expires > now)) throw lateLock()
      const next = found.locks.map((each) => (each.token === lock.token ? lock : each))
      if ((await table.write(lock.path, next, found.version)) !== false) return
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
      table.expiryOf([lock]),
    )
    return claimed !== undefined && claimed !== false
  }

  /** Writes a provisional lock beside what is there; mostly nothing is. */
  async function announce(
    mine: StoredLock,
  ): Promise<{ readonly locks: readonly StoredLock[]; readonly version: string }> {
    for (
      let found: { locks: readonly StoredLock[]; version: string | undefined } = { locks: [], version: undefined };
      ;
    ) {
      if (found.locks.length >= maxPerResource) throw conflict(mine.path)
      const standing = found.locks.find((each) => confirmed(each) && excludes(each, mine))
      if (standing !== undefined) throw conflict(standing.path)
      const locks = [...found.locks, mine]
      const version = await table.write(mine.path, locks, found.version)
      if (version !== false) return { locks, version }
      found = await table.read(mine.path)
    }
  }

  async function takeInSteps(lock: Lock): Promise<void> {
    const mine: StoredLock = { ...lock, provisional: true, expires: clock.now() + provisionalMilliseconds }
    const { locks, version } = await announce(mine)
    for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
      const other = await conflictWith(mine)
      if (other === undefined) break
      if (confirmed(other) || other.token < mine.token) throw conflict(other.path)
      await pause(wait)
    }
    await confirm(lock, locks, version)
  }

  async function takeAt({ timeoutSeconds, ...wanted }: LockRequest): Promise<Lock> {
    const lock: Lock = {
      ...wanted,
      token: `opaquelocktoken:${randomUUID()}`,
      expires: clock.now() + timeoutSeconds * 1000,
    }
    try {
      if (!(await takeAtOnce(lock))) await takeInSteps(lock)
      // Its time begins when it is told. Something that had begun before may have removed it with what it was on.
      const waited = await commits.past(lock)
      const found = await table.glance(lock.path)
      const isThere = found.locks.some(({ token }) => token === lock.token)
      const told = waited ? await renewed(lock, timeoutSeconds, found) : lock
      if (isThere && told !== undefined) return told
    } catch (error) {
      await withdraw(lock)
      throw error
    }
    throw lateLock()
  }

  /** The lock, prolonged from now; undefined where it is no more. */
  async function renewed(
    { path, token }: Lock,
    timeoutSeconds: number,
    known?: FoundRecord,
  ): Promise<Lock | undefined> {
    let found: Lock | undefined
    const prolong = (locks: readonly StoredLock[]): readonly StoredLock[] => {
      const present = locks.find((each) => each.token === token)
      const next = present && { ...present, expires: clock.now() + timeoutSeconds * 1000 }
      found = next
      return next === undefined ? locks : locks.map((each) => (each === present ? next : each))
    }
    await table.update(path, prolong, known)
    return found
  }

  const self: Locks = {
    async take(request) {
      await census.admit(request.principal, catalog, clock)
      return takeAt(request)
    },

    async refresh(path, holder, timeoutSeconds) {
      const records = await table.near(path)
      for (const lock of covering(records, path)) {
        if (!holds(holder, lock)) continue
        const found = await renewed(lock, timeoutSeconds, recordOf(records, lock))
        if (found !== undefined) return found
      }
      throw new Failure('precondition', 'No lock of yours with the submitted token covers this resource.', {
        reason: 'lock-token-matches-request-uri',
      })
    },

    async release(path, token, principal) {
      const records = await table.near(path)
      const lock = covering(records, path).find((each) => each.token === token)
      if (lock === undefined)
        throw new Failure('conflict', 'The lock token does not match a lock on this resource.', {
          reason: 'lock-token-matches-request-uri',
        })
      if (lock.principal !== principal) throw new Failure('denied', 'The lock belongs to somebody else.')
      await table.update(lock.path, (locks) => without(locks, token), recordOf(records, lock))
    },

    async covering(path) {
      return covering(await table.near(path), path)
    },

    async *below(path) {
      for await (const locks of table.below(path)) {
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
          const record = table.live(decode(item))
          if (record.path === '/' || parentOf(record.path) !== directory) continue
          const locks = record.locks.filter(confirmed)
          if (locks.length > 0) found.set(record.path, locks)
        }
      }
      return found
    },

    commit(writes) {
      return commits.of(writes)
    },

    async check(write, holder) {
      const below = write.extent === 'tree' ? collected(self.below(write.path)) : nothing
      const [records, deeper] = await Promise.all([table.near(write.path), below])
      if (records.length === 0 && deeper.length === 0) return
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
      for (const [root, own] of byRoot(deeper)) {
        // A shared lock from above serves for a member as well.
        const deep = above.filter((lock) => isWithin(root, lock.path) && lock.depth === 'infinity')
        demand([...own, ...deep], holder)
      }
    },

    async rooted(path, extent) {
      const below = extent === 'tree' ? collected(self.below(path)) : nothing
      const [own, deeper] = await Promise.all([table.glance(path), below])
      return own.locks.length === 0 ? deeper : [...own.locks.filter(confirmed), ...deeper]
    },

    async end(over) {
      await together(
        [...byRoot(over)].map(([path, of]) => {
          const tokens = new Set(of.map(({ token }) => token))
          return table.update(path, (locks) => {
            const rest = locks.filter(({ token }) => !tokens.has(token))
            return rest.length === locks.length ? locks : rest
          })
        }),
      )
    },
  }
  return self
}

async function collected(batches: AsyncIterable<readonly Lock[]>): Promise<readonly Lock[]> {
  const all: Lock[] = []
  for await (const locks of batches) all.push(...locks)
  return all
}

const nothing: readonly Lock[] = []

function recordOf(records: readonly FoundRecord[], { path }: Lock): FoundRecord | undefined {
  return records.find((record) => record.path === path)
}
const noMembers: ReadonlyMap<StorePath, readonly Lock[]> = new Map()
const provisionalMilliseconds = 10_000
const maxPerResource = 100
/** More than the two seconds that clocks may differ. */
const graceMilliseconds = 5000

function lateLock(): Failure {
  return new Failure('unavailable', 'The lock could not be taken in time. Try again.', { retryAfterSeconds: 1 })
}
