import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../core/clock.js'
import type { Change, Report } from '../core/events.js'
import type { Catalog } from './catalog.js'
import { BatchReader, batchName, batchesOf, changesGroup } from './change-batches.js'
import { idOf, readId } from './change-id.js'
import type { ChangePlace } from './change-id.js'

/** A change, and where it stands in the feed. */
export interface FedChange {
  /** Opaque; for `follow`. */
  readonly id: string
  readonly change: Change
}

/** What comes out of a feed: a change; or that some may be missing, so that who follows must look at the files anew. */
export type Fed = FedChange | { readonly id: string; readonly reset: true }

/**
 * What is done to the files, as it happens. After an interruption a change may come twice, and in no order with those of
 * other instances; none is left out without a `reset`, but those of a process that was killed within the same moment.
 */
export interface ChangeFeed {
  readonly report: Report
  /**
   * Changes from now on, or all behind the one with the id `after`, in batches, until the signal aborts or the feed is closed.
   * Whoever takes them too slowly is told `reset` in place of what they have missed. Rejects where the catalog cannot be
   * asked for what came before.
   */
  follow(after: string | undefined, signal: AbortSignal): AsyncIterable<readonly Fed[]>
  /** The place behind everything so far, for who goes on from here later. */
  here(): string
  /** Writes what was reported without waiting for more: for a process that may stand still from now on. Never rejects. */
  flush(): Promise<void>
  /** Ends all following; whoever goes on where they were misses nothing. */
  dismiss(): void
  /** What was reported is with the others then, where they can be reached. */
  close(): Promise<void>
}

export interface ChangeFeedOptions {
  readonly clock: Clock
  /** Through which other processes hear of changes; without it there are none. */
  readonly catalog?: Catalog | undefined
  /** For how long somebody who was away can go on where they were. */
  readonly keepSeconds: number
  readonly onError: (error: unknown) => void
}

/** How many changes one process remembers that is alone. */
const mostKept = 4096
/** How many wait for one who follows. */
const mostWaiting = 2048
/** How many wait while the catalog is away. */
const mostUnwritten = 20_000
const collectMilliseconds = 150
const pollMilliseconds = 400
const retryMilliseconds = 1000

/** A feed in memory, or through a catalog: each change is written there within a moment, and read while somebody follows. */
export function createChangeFeed(options: ChangeFeedOptions): ChangeFeed {
  return new CollectedFeed(options)
}

/** Whether one is known to have been told who has come to the other: those of one process are told in their order. */
function isBefore(id: string, { stream, count }: ChangePlace): boolean {
  const place = readId(id)
  return place?.stream === stream && place.count <= count
}

/** One who follows, and what has not been taken yet. */
class Follower {
  #waiting: Fed[] = []
  #wake: () => void = () => undefined

  put(fed: Fed): void {
    // What came before the reset is in what they will look at.
    if (this.#waiting.length >= mostWaiting) this.#waiting = [{ id: fed.id, reset: true }]
    else this.#waiting.push(fed)
    this.wake()
  }

  wake(): void {
    this.#wake()
  }

  /** What came since the last time; waits for something, or for `wake`. */
  async take(): Promise<readonly Fed[]> {
    if (this.#waiting.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    const taken = this.#waiting
    this.#waiting = []
    return taken
  }
}

class CollectedFeed implements ChangeFeed {
  readonly #options: ChangeFeedOptions
  readonly #stream = randomBytes(5).toString('hex')
  readonly #followers = new Set<Follower>()
  readonly #closing = new AbortController()
  #dismissing = new AbortController()
  #hurry = new AbortController()
  readonly #kept: FedChange[] = []
  #count = 0
  #unwritten: Fed[] = []
  #beingWritten: readonly Fed[] = []
  #writing: Promise<void> | undefined
  #reading: { readonly begun: Promise<void>; readonly ended: Promise<void> } | undefined

  constructor(options: ChangeFeedOptions) {
    this.#options = options
  }

  readonly report: Report = (change) => {
    this.#count += 1
    const fed = { id: idOf({ at: change.at, stream: this.#stream, count: this.#count }), change }
    for (const follower of this.#followers) follower.put(fed)
    const { catalog } = this.#options
    if (catalog === undefined) {
      this.#kept.push(fed)
      if (this.#kept.length > mostKept) this.#kept.splice(0, mostKept / 4)
      return
    }
    if (this.#unwritten.length >= mostUnwritten) this.#unwritten = [{ id: fed.id, reset: true }]
    this.#unwritten.push(fed)
    this.#writing ??= this.#write(catalog).finally(() => (this.#writing = undefined))
  }

  async *follow(after: string | undefined, signal: AbortSignal): AsyncGenerator<readonly Fed[], void> {
    const until = AbortSignal.any([signal, this.#closing.signal, this.#dismissing.signal])
    const follower = new Follower()
    const wake = (): void => follower.wake()
    until.addEventListener('abort', wake)
    // First of all, so that nothing is missed between what was and what comes.
    this.#followers.add(follower)
    try {
      await this.#readBatches()
      const before = after === undefined || until.aborted ? [] : await this.#behind(after)
      const seen = new Set(before.map(({ id }) => id))
      if (before.length > 0) yield before
      while (!until.aborted) {
        const batch = (await follower.take()).filter(({ id }) => !seen.has(id))
        if (batch.length > 0) yield batch
      }
    } finally {
      until.removeEventListener('abort', wake)
      this.#followers.delete(follower)
    }
  }

  here(): string {
    return idOf({ at: this.#options.clock.now(), stream: this.#stream, count: this.#count })
  }

  dismiss(): void {
    this.#dismissing.abort()
    this.#dismissing = new AbortController()
  }

  async flush(): Promise<void> {
    this.#hurry.abort()
    await this.#writing
    this.#hurry = new AbortController()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#writing
    await this.#reading?.ended
  }

  async #behind(after: string): Promise<readonly Fed[]> {
    const place = readId(after)
    const { catalog, clock, keepSeconds } = this.#options
    const reset = [{ id: this.here(), reset: true as const }]
    if (place === undefined) return reset
    if (catalog !== undefined) {
      if (place.at < clock.now() - keepSeconds * 1000) return reset
      const own = [...this.#beingWritten, ...this.#unwritten]
      const written = await new BatchReader(catalog, place.at).next()
      const known = new Set(written.map(({ id }) => id))
      return [
        ...written.filter(({ id }) => !isBefore(id, place)),
        ...own.filter(({ id }) => !known.has(id) && !isBefore(id, place)),
      ]
    }
    if (place.stream !== this.#stream) return reset
    const oldest = this.#count - this.#kept.length
    return place.count < oldest ? reset : this.#kept.slice(place.count - oldest)
  }

  /** Collects for a moment what is reported, and writes it. */
  async #write(catalog: Catalog): Promise<void> {
    const { clock, keepSeconds, onError } = this.#options
    while (this.#unwritten.length > 0) {
      await this.#pause(collectMilliseconds, this.#hurry.signal)
      this.#beingWritten = this.#unwritten
      this.#unwritten = []
      for (const { value, upTo } of batchesOf(this.#beingWritten)) {
        const written = await this.#attempt(async () => {
          const now = clock.now()
          const name = batchName({ at: now, stream: this.#stream, count: this.#count })
          // Where an attempt was written and nobody said so, the change comes twice.
          await catalog.swap(changesGroup, `${name}.${upTo}`, value, 'any', new Date(now + keepSeconds * 1000))
        }, onError)
        if (!written) return
      }
      this.#beingWritten = []
    }
  }

  /** Goes on trying until it works, or for a last time when the feed is closed. */
  async #attempt(work: () => Promise<void>, onError: (error: unknown) => void): Promise<boolean> {
    for (;;) {
      const isLast = this.#closing.signal.aborted
      try {
        await work()
        return true
      } catch (error) {
        onError(error)
        if (isLast) return false
      }
      await this.#pause(retryMilliseconds)
    }
  }

  /** Begins to read what others write, unless that goes on already or nobody else writes; resolves when nothing new is missed. */
  async #readBatches(): Promise<void> {
    const { catalog } = this.#options
    if (catalog === undefined) return
    if (this.#reading === undefined) {
      const reader = new BatchReader(catalog, this.#options.clock.now(), this.#stream)
      // Those that are there are not new.
      const begun = reader.next().then(() => undefined)
      const ended = begun
        .then(() => this.#keepReading(reader))
        .catch(() => undefined)
        .finally(() => (this.#reading = undefined))
      this.#reading = { begun, ended }
    }
    await this.#reading.begun
  }

  async #keepReading(reader: BatchReader): Promise<void> {
    while (this.#followers.size > 0 && !this.#closing.signal.aborted) {
      await this.#pause(pollMilliseconds)
      try {
        for (const fed of await reader.next()) for (const follower of this.#followers) follower.put(fed)
      } catch (error) {
        this.#options.onError(error)
        await this.#pause(retryMilliseconds)
      }
    }
  }

  /** Shorter when the feed is closed, or where `hurry` says so. */
  async #pause(milliseconds: number, hurry?: AbortSignal): Promise<void> {
    const { signal: closing } = this.#closing
    const signal = hurry === undefined ? closing : AbortSignal.any([closing, hurry])
    await pause(milliseconds, undefined, { signal, ref: false }).catch(() => undefined)
  }
}
