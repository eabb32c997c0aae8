import type { Catalog, Item } from './catalog.js'
import { recordName } from './record-name.js'
import type { Clock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'

export interface UsageOptions {
  /** Shared with other processes, which then count together. */
  readonly catalog: Catalog
  readonly clock: Clock
  /** Bytes of all files below a path, as they lie there now. */
  readonly count: (tree: StorePath) => Promise<number>
}

/** How many bytes lie below a path, and how many may come: counted once, then kept up to date by whoever writes. */
export interface Usage {
  /** Bytes that may still come; `wanted` or more only if they are really there. Less than nothing where too many are there. */
  room(tree: StorePath, quotaBytes: number, wanted: number): Promise<number>
  /**
   * Sets bytes aside for what is about to be committed; none for less than nothing. Others who ask meanwhile, in other
   * processes too, do not get the same ones. Throws `no-space` (`quota-not-exceeded`) where they do not fit.
   */
  reserve(tree: StorePath, quotaBytes: number, bytes: number): Promise<Reserved>
  /** Gives back what was set aside for a commit that has failed. Never rejects: what cannot be told counts until the next count. */
  cancel(tree: StorePath, reserved: Reserved): Promise<void>
  /** Bytes that have gone. `since` was reserved before they went. Never rejects either. */
  free(tree: StorePath, since: Reserved, bytes: number): Promise<void>
}

/** Bytes that were set aside, and under which count. */
export interface Reserved {
  readonly count: number
  readonly bytes: number
}

const group = 'usage'

interface Tally {
  readonly used: number
  /** Which count this is; what was seen under another one must not change it. */
  readonly count: number
  /** When that was, in milliseconds since the epoch. */
  readonly counted: number
  /** Bytes that were set aside since this tally was begun. */
  readonly added: number
  /** Bytes that were said to have gone since the count. */
  readonly freed: number
}

interface Stored {
  readonly tally: Tally
  readonly version: string | undefined
}

/** A count older than this is made again, beside the work that goes on. */
const oldMilliseconds = 3600 * 1000
/** A count older than this is waited for. */
const tooOldMilliseconds = 24 * 3600 * 1000
/** How often a refusal may cost a count. */
const refusalMilliseconds = 10 * 1000

/**
 * Keeps one tally for each tree in the catalog. Errors go to the safe side: what cannot be known to have gone still
 * counts, until the next count. Writers who race for one name could each say that its old bytes have gone; so after an eighth of
 * the quota was freed, it is counted again before anything more may come.
 */
export function createUsage(options: UsageOptions): Usage {
  return new CountedUsage(options)
}

class CountedUsage implements Usage {
  readonly #options: UsageOptions
  readonly #counts = new Map<StorePath, Promise<Tally>>()
  /** The last change of each tree by this process: its own changes do not get in each other's way. */
  readonly #changes = new Map<StorePath, Promise<unknown>>()

  constructor(options: UsageOptions) {
    this.#options = options
  }

  async room(tree: StorePath, quotaBytes: number, wanted: number): Promise<number> {
    let tally = await this.#tallyOf(tree, quotaBytes)
    if (tally.used + wanted > quotaBytes && this.#age(tally) > refusalMilliseconds) tally = await this.#count(tree)
    return quotaBytes - tally.used
  }

  async reserve(tree: StorePath, quotaBytes: number, bytes: number): Promise<Reserved> {
    const tally = await this.#tallyOf(tree, quotaBytes)
    if (bytes <= 0) return { count: tally.count, bytes: 0 }
    const tries = [false, true]
    for (const again of tries) {
      if (again) {
        const present = await this.#read(tree)
        if (present !== undefined && this.#age(present.tally) <= refusalMilliseconds) break
        await this.#count(tree)
      }
      const changed = await this.#change(tree, (now) =>
        now.used + bytes > quotaBytes ? undefined : { ...now, used: now.used + bytes, added: now.added + bytes },
      )
      if (changed !== undefined) return { count: changed.count, bytes }
    }
    throw overQuota()
  }

  async cancel(tree: StorePath, { count, bytes }: Reserved): Promise<void> {
    if (bytes === 0) return
    await this.#tell(tree, (now) =>
      now.count === count ? { ...now, used: now.used - bytes, added: now.added - bytes } : undefined,
    )
  }

  async free(tree: StorePath, { count }: Reserved, bytes: number): Promise<void> {
    if (bytes <= 0) return
    await this.#tell(tree, (now) =>
      now.count === count ? { ...now, used: Math.max(0, now.used - bytes), freed: now.freed + bytes } : undefined,
    )
  }

  /** The tally as it stands, counted first where it cannot be relied on. */
  async #tallyOf(tree: StorePath, quotaBytes: number): Promise<Tally> {
    const stored = await this.#read(tree)
    if (stored === undefined) return this.#count(tree)
    const { tally } = stored
    const age = this.#age(tally)
    if (age > tooOldMilliseconds || tally.freed > Math.max(1024 * 1024, quotaBytes / 8)) return this.#count(tree)
    // Whoever waits for it is told where it fails; this one goes on with what is known.
    if (age > oldMilliseconds) void this.#count(tree).catch(() => undefined)
    return tally
  }

  #age({ counted }: Tally): number {
    const age = this.#options.clock.now() - counted
    return age < 0 ? Infinity : age
  }

  #count(tree: StorePath): Promise<Tally> {
    const running = this.#counts.get(tree)
    if (running !== undefined) return running
    const begun = this.#countNow(tree).finally(() => this.#counts.delete(tree))
    this.#counts.set(tree, begun)
    return begun
  }

  async #countNow(tree: StorePath): Promise<Tally> {
    const { clock, count } = this.#options
    const before = (await this.#read(tree))?.tally ?? emptyTally
    const counted = clock.now()
    const bytes = await count(tree)
    const tally = await this.#change(tree, (now) => ({
      // What came meanwhile may have been seen or not.
      used: bytes + Math.max(0, now.added - before.added),
      count: now.count + 1,
      counted,
      added: now.added,
      freed: 0,
    }))
    return tally ?? emptyTally
  }

  async #tell(tree: StorePath, change: (now: Tally) => Tally | undefined): Promise<void> {
    try {
      await this.#change(tree, change)
    } catch (error) {
      if (!isFailure(error)) throw error
    }
  }

  /** Resolves to the tally as it was changed to, or undefined where `change` wants none. */
  #change(tree: StorePath, change: (now: Tally) => Tally | undefined): Promise<Tally | undefined> {
    const work = async (): Promise<Tally | undefined> => {
      const { catalog } = this.#options
      for (;;) {
        const stored = await this.#read(tree)
        const next = change(stored?.tally ?? emptyTally)
        if (next === undefined) return undefined
        const value = Buffer.from(JSON.stringify(next))
        if ((await catalog.swap(group, recordName(tree), value, stored?.version)) !== false) return next
      }
    }
    const done = (this.#changes.get(tree) ?? Promise.resolve()).then(work, work)
    this.#changes.set(tree, done)
    const forget = (): void => {
      if (this.#changes.get(tree) === done) this.#changes.delete(tree)
    }
    done.then(forget, forget)
    return done
  }

  async #read(tree: StorePath): Promise<Stored | undefined> {
    const item = await this.#options.catalog.get(group, recordName(tree))
    const tally = item && decode(item)
    return tally && { tally, version: item.version }
  }
}

const emptyTally: Tally = { used: 0, count: 0, counted: 0, added: 0, freed: 0 }

/** Throws `unavailable` for what this has not written. */
function decode(item: Item): Tally {
  try {
    const { used, count, counted, added, freed } = JSON.parse(Buffer.from(item.value).toString()) as Tally
    if ([used, count, counted, added, freed].every(Number.isFinite)) return { used, count, counted, added, freed }
  } catch (cause) {
    throw new Failure('unavailable', 'A record of the catalog is damaged.', { cause })
  }
  throw new Failure('unavailable', 'A record of the catalog is damaged.')
}

/** What a caller is told whose quota does not allow it (RFC 4331 §6). */
export function overQuota(): Failure {
  return new Failure('no-space', 'Your quota does not allow this: there would be more than you may keep here.', {
    reason: 'quota-not-exceeded',
  })
}
