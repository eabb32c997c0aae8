import { randomUUID } from 'node:crypto'
import type { Catalog, Item } from './catalog.js'
import type { LockedWrite } from './locks.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { parentOf, rootPath, type StorePath } from '../core/path.js'

/** The group of the catalog in which processes say what they are about to write. */
export const commitGroup = 'commits'

/** One write of one commit, as others see it. */
export interface Announced {
  readonly id: number
  readonly write: LockedWrite
}

/** How long a record outlives the process that wrote it. */
const lastingMilliseconds = 20_000
const renewalMilliseconds = 4000
/** Older than this, a record may be about to expire by the clock of another machine: what relies on it must stop. */
const trustedMilliseconds = 12_000
/** Longer paths are told as the tree they are in: who takes a lock there may wait for more than is needed. */
const wholePathLength = 200
const mostWrites = 5000
const mostBytes = 200 * 1024

interface Entry {
  readonly writes: readonly LockedWrite[]
  readonly onLost: (reason: Failure) => void
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * What one process is about to write, in one record of the catalog that it alone changes. Whatever comes while a change
 * is on its way is written together by the next one. Every change names the version before it, so that one that was
 * given up for lost cannot undo a later one.
 */
export class Notice {
  readonly name = randomUUID()
  readonly #catalog: Catalog
  readonly #clock: Clock
  readonly #entries = new Map<number, Entry>()
  #lastId = 0
  #waiting: Waiter[] = []
  #changed = false
  #flushing = false
  /** The version of the record; `'?'` where nobody knows whether the last change has come through. */
  #version: string | undefined
  /** When the record was last known to last, by a clock that nobody sets. */
  #written = 0
  #timer: NodeJS.Timeout | undefined

  constructor(catalog: Catalog, clock: Clock) {
    this.#catalog = catalog
    this.#clock = clock
  }

  /** Resolves to an id once everybody can see the writes. Throws `unavailable`; they count for nothing then. */
  async add(writes: readonly LockedWrite[], onLost: (reason: Failure) => void): Promise<number> {
    if (this.#entries.size >= mostWrites)
      throw new Failure('unavailable', 'Too much is being written at once. Try again.', { retryAfterSeconds: 1 })
    const id = ++this.#lastId
    this.#entries.set(id, { writes, onLost })
    this.#timer ??= setInterval(() => this.#renew(), renewalMilliseconds).unref()
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push({ resolve, reject })
        this.#change()
      })
    } catch (error) {
      this.#entries.delete(id)
      throw error
    }
    return id
  }

  /** Tells everybody soon that it is over; where that fails, it is tried again until the record ends by itself. */
  remove(id: number): void {
    if (this.#entries.delete(id)) this.#change()
  }

  #renew(): void {
    if (performance.now() - this.#written > trustedMilliseconds) {
      const reason = new Failure('unavailable', 'The catalog cannot be reached to keep others from this file.', {
        retryAfterSeconds: 5,
      })
      for (const { onLost } of this.#entries.values()) onLost(reason)
    }
    this.#change()
  }

  #change(): void {
    this.#changed = true
    if (!this.#flushing) void this.#flush()
  }

  async #flush(): Promise<void> {
    this.#flushing = true
    while (this.#changed) {
      this.#changed = false
      const waiting = this.#waiting
      this.#waiting = []
      const asked = performance.now()
      try {
        await this.#write()
        this.#written = asked
        if (this.#version === undefined) this.#rest()
        for (const { resolve } of waiting) resolve()
      } catch (error) {
        this.#version = '?'
        for (const { reject } of waiting) reject(error)
      }
    }
    this.#flushing = false
  }

  /** There is no record left to renew or to remove. */
  #rest(): void {
    if (this.#entries.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #write(): Promise<void> {
    const next = this.#entries.size === 0 ? undefined : encode(this.#entries)
    const expires = new Date(this.#clock.now() + lastingMilliseconds)
    for (;;) {
      if (this.#version === '?') this.#version = (await this.#catalog.get(commitGroup, this.name))?.version
      if (next === undefined && this.#version === undefined) return
      const version = await this.#catalog.swap(commitGroup, this.name, next, this.#version, expires)
      if (version !== false) {
        this.#version = version === '' ? undefined : version
        return
      }
      this.#version = '?'
    }
  }
}

/** `[id, path, 't' for a tree and 'm' for membership]`, as JSON. */
type Row = readonly [number, StorePath, string]

function encode(entries: ReadonlyMap<number, Entry>): Uint8Array {
  const rows: Row[] = []
  for (const [id, { writes }] of entries)
    for (const write of writes) {
      const { path, extent, membership } = shortened(write)
      rows.push([id, path, (extent === 'tree' ? 't' : '') + (membership ? 'm' : '')])
    }
  const value = Buffer.from(JSON.stringify(rows))
  if (value.length <= mostBytes) return value
  return Buffer.from(JSON.stringify([...entries.keys()].map((id): Row => [id, rootPath, 't'])))
}

function shortened(write: LockedWrite): LockedWrite {
  if (write.path.length <= wholePathLength) return write
  let path = write.path
  while (path.length > wholePathLength) path = parentOf(path)
  return { path, extent: 'tree', membership: true }
}

/** What a record says. */
export function decodeNotice(item: Item): readonly Announced[] {
  const rows = JSON.parse(Buffer.from(item.value).toString()) as readonly Row[]
  return rows.map(([id, path, flags]) => ({
    id,
    write: { path, extent: flags.includes('t') ? 'tree' : 'self', membership: flags.includes('m') },
  }))
}
