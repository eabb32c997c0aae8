import { randomUUID } from 'node:crypto'
import type { Catalog, Item } from './catalog.js'
import type { Lock, Locks } from './locks.js'
import type { Properties, Property, Seen } from './properties.js'
import { together } from './together.js'
import { systemClock, type Clock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { Store } from '../store/store.js'

/** What is kept of the files beside their bytes. */
export interface Records {
  readonly catalog: Catalog
  readonly locks: Locks
  readonly properties: Properties
  /** The clock of this machine by default. */
  readonly clock?: Clock
}

/** Moves on the medium, then in the catalog. */
export interface Moves {
  /** Of a file; `moveOnMedium` does what it is called for. */
  file<Result>(from: StorePath, to: StorePath, moveOnMedium: () => Promise<Result>): Promise<Result>
  /** Of a tree to where nothing is. */
  tree<Result>(from: StorePath, to: StorePath, moveOnMedium: () => Promise<Result>): Promise<Result>
}

const group = 'moves'
/** For so long nobody else takes a move for dead; whoever makes it says again and again that it lives. */
const aliveMilliseconds = 60_000
const renewalMilliseconds = 20_000
/** In characters: properties take up most of a record. */
const mostLocksLength = 10_000
/** Clocks of machines differ. */
const graceMilliseconds = 5000

/** A move that has begun. */
interface Move {
  readonly from: StorePath
  readonly to: StorePath
  /** Milliseconds since the epoch. */
  readonly begun: number
  /** It is made by a living process until then, at least. */
  readonly alive: number
  /** Of a file: what it takes along, and how it is known. */
  readonly properties?: readonly Property[]
  readonly etag?: string
  /** Of a file: the version of the properties that the target had. */
  readonly before?: string
  /** The locks that end with it, as far as a record has room for them. */
  readonly locks: readonly EndingLock[]
  /** The target has all of its properties: what the source still has may go. */
  readonly copied?: true
}

/**
 * Takes properties along and ends locks. Where there are properties to take along or to drop, the intent is written down
 * first, so that `mendMoves` can finish what a crash has interrupted.
 */
export function catalogMoves(store: Store, records: Records): Moves {
  const { catalog, locks, properties, clock = systemClock } = records

  async function noted<Result>(
    move: Pick<Move, 'from' | 'to' | 'properties' | 'etag' | 'before'>,
    known: Known,
    moveOnMedium: () => Promise<Result>,
  ): Promise<Result> {
    const name = randomUUID()
    const ending = asManyAsFit(known.over)
    const begun = clock.now()
    const next = (): Move => ({ ...move, locks: ending, begun, alive: clock.now() + aliveMilliseconds })
    await catalog.swap(group, name, encode(next()), undefined)
    const renewal = setInterval(() => {
      catalog.swap(group, name, encode(next()), 'any').catch(() => undefined)
    }, renewalMilliseconds).unref()
    let result: Result
    try {
      result = await moveOnMedium()
    } catch (error) {
      clearInterval(renewal)
      // What is left is found to be no move, for the source is still there.
      await catalog.swap(group, name, undefined, 'any').catch(ignoreFailure)
      throw error
    }
    clearInterval(renewal)
    // A catalog that fails here keeps the intent: it is mended later.
    await follow(store, records, name, next(), known)
    return result
  }

  return {
    async file(from, to, moveOnMedium) {
      const [over, [source, target]] = await Promise.all([locks.rooted(from, 'self'), properties.look([from, to])])
      if (source?.version !== undefined || target?.version !== undefined) {
        const etag = (await store.stat(from))?.etag
        const before = target?.version
        const move = {
          ...{ from, to, properties: source?.properties ?? [] },
          ...(etag !== undefined && { etag }),
          ...(before !== undefined && { before }),
        }
        return noted(move, { over, ...(target && { target }) }, moveOnMedium)
      }
      const result = await moveOnMedium()
      await locks.end(over)
      return result
    },

    async tree(from, to, moveOnMedium) {
      const [over, some, left] = await Promise.all([
        locks.rooted(from, 'tree'),
        properties.anyWithin(from),
        properties.anyWithin(to),
      ])
      if (some || left) return noted({ from, to }, { over }, moveOnMedium)
      const result = await moveOnMedium()
      await locks.end(over)
      return result
    },
  }
}

/** What whoever makes a move knows of its ends from before. */
interface Known {
  readonly over: readonly EndingLock[]
  readonly target?: Seen
}

/** Whatever the target has in another version than that has come since. */
function seenBefore({ to, before }: Move): Seen {
  return { path: to, version: before, properties: [] }
}

type EndingLock = Pick<Lock, 'path' | 'token'>

function asManyAsFit(locks: readonly EndingLock[]): readonly EndingLock[] {
  let length = 0
  return locks
    .map(({ path, token }) => ({ path, token }))
    .filter((lock) => (length += JSON.stringify(lock).length) < mostLocksLength)
}

function ignoreFailure(error: unknown): void {
  if (!isFailure(error)) throw error
}

/** The catalog's part of a move. Stopped anywhere, it can be begun again: nothing goes before its copy is known to be whole. */
async function follow(
  store: Store,
  records: Records,
  name: string,
  move: Move,
  known: Known = { over: move.locks },
): Promise<void> {
  const { catalog, locks, properties } = records
  const { from, to, begun, copied } = move
  const extent = move.properties === undefined ? 'tree' : 'self'
  // Somebody may have made something there already.
  const isGone = extent === 'tree' || (await store.stat(from)) === undefined
  const drop = isGone ? await properties.leaving(from, extent) : undefined
  if (copied !== true) {
    if (move.properties === undefined) await properties.copyTree(from, to, begun)
    else await properties.give(isGone ? from : undefined, move.properties, known.target ?? seenBefore(move))
    await catalog.swap(group, name, encode({ ...move, copied: true }), 'any')
  }
  await together([locks.end(known.over), ...(drop === undefined ? [] : [drop()])])
  await catalog.swap(group, name, undefined, 'any')
}

function encode(move: Move): Uint8Array {
  return Buffer.from(JSON.stringify(move))
}

function decode(item: Item): Move {
  return JSON.parse(Buffer.from(item.value).toString()) as Move
}

/** Whether `mendMoves` would find a move to look at. Throws `unavailable`. */
export async function anyMoves(catalog: Catalog): Promise<boolean> {
  for await (const items of catalog.list(group)) if (items.length > 0) return true
  return false
}

/**
 * Finishes moves that a crash has interrupted between the medium and the catalog, and gives their number. At any time:
 * those of a living process are left to it, and a dead one is known after a minute or so. Where this process is the only
 * one and serves nothing yet, it may be `alone` and wait for nobody.
 */
export async function mendMoves(
  store: Store,
  records: Records,
  options: { readonly alone?: boolean; readonly signal?: AbortSignal } = {},
): Promise<number> {
  const { catalog, clock = systemClock } = records
  let mended = 0
  for await (const items of catalog.list(group)) {
    for (const item of items) {
      options.signal?.throwIfAborted()
      const move = decode(item)
      if (options.alone !== true && move.alive + graceMilliseconds > clock.now()) continue
      if (await hasMoved(store, move)) {
        await follow(store, records, item.name, move)
        mended++
      } else await catalog.swap(group, item.name, undefined, item.version)
    }
  }
  return mended
}

/** Whether the medium has made the move: the file is at the target, and another one at most where it was. */
async function hasMoved(store: Store, { from, to, etag }: Move): Promise<boolean> {
  const [source, target] = await Promise.all([store.stat(from), store.stat(to)])
  if (target === undefined) return false
  return source === undefined || (etag !== undefined && target.etag === etag && source.etag !== etag)
}
