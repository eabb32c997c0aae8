import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Catalog, Item } from '../catalog/catalog.js'
import type { Clock } from '../core/clock.js'

/** The group of the catalog in which jobs are kept. */
export const jobGroup = 'jobs'

/** How long a lease must have shown no sign of life before another process takes it over. */
export const takeoverMilliseconds = 30_000
const renewalMilliseconds = 8000
/** Whoever could not renew for so long has to stop, well before anybody takes over. */
const giveUpMilliseconds = 20_000
const patienceMilliseconds = 2000
/** Of a job, or a host, that is no more: so long that no wrong clock makes a living one look like it. */
export const forgottenMilliseconds = 30 * 24 * 3600 * 1000

/** The right to do something as the only one of all instances. */
export interface Lease {
  /** Aborted as soon as the right may be another's. */
  readonly lost: AbortSignal
  /** Whom it was taken over from, where that process is thought to be dead. */
  readonly from?: string
  /** Never throws: a lease that cannot be given back ends by itself. */
  release(): Promise<void>
}

/** Who has a lease. */
export interface Holder {
  readonly by: string
  /** Milliseconds since the epoch. */
  readonly since: number
  /** Whether it has been renewed since this process looked first. */
  readonly alive?: boolean
}

interface Kept extends Holder {
  readonly token: string
}

/**
 * Leases among all who share a catalog. No clock is trusted: a lease is a record whose version changes when it is renewed,
 * and only who has seen the same version for half a minute takes it over.
 */
export class Leases {
  readonly #catalog: Catalog
  readonly #clock: Clock
  readonly #by: string
  readonly #seen = new Map<string, { readonly version: string; readonly at: number }>()

  /** `by` names this process for people. */
  constructor(catalog: Catalog, clock: Clock, by: string) {
    this.#catalog = catalog
    this.#clock = clock
    this.#by = by
  }

  /** The lease, or who has it. Throws `unavailable`. */
  async take(name: string): Promise<Lease | Holder> {
    const record = `lease/${name}`
    const item = await this.#catalog.get(jobGroup, record)
    const held = item && decode(item)
    if (item !== undefined && held !== undefined) {
      const sign = this.#signOf(name, item.version)
      if (sign !== 'dead') return { by: held.by, since: held.since, alive: sign === 'alive' }
    }
    const mine: Kept = { by: this.#by, since: this.#clock.now(), token: randomUUID() }
    const begun = performance.now()
    const version = await this.#write(record, mine, item?.version)
    if (version === false) return (await this.holder(name)) ?? { by: this.#by, since: mine.since }
    this.#seen.delete(name)
    return new HeldLease(this, record, mine, version, begun, held?.by)
  }

  /** Who has a lease now; undefined where nobody has. Throws `unavailable`. */
  async holder(name: string): Promise<Holder | undefined> {
    const item = await this.#catalog.get(jobGroup, `lease/${name}`)
    return item && decode(item)
  }

  /** For `HeldLease`: the new version, or false where the lease is another's. */
  async renew(record: string, mine: Kept, version: string): Promise<string | false> {
    return this.#write(record, mine, version)
  }

  async remove(record: string, version: string): Promise<void> {
    await this.#catalog.swap(jobGroup, record, undefined, version)
  }

  #signOf(name: string, version: string): 'alive' | 'unknown' | 'dead' {
    const now = performance.now()
    const seen = this.#seen.get(name)
    if (seen?.version === version) return now - seen.at > takeoverMilliseconds ? 'dead' : 'unknown'
    this.#seen.set(name, { version, at: now })
    return seen === undefined ? 'unknown' : 'alive'
  }

  async #write(record: string, mine: Kept, expected: string | undefined): Promise<string | false> {
    const expires = new Date(this.#clock.now() + forgottenMilliseconds)
    let fault: unknown
    try {
      const version = await this.#catalog.swap(jobGroup, record, encode(mine), expected, expires)
      if (version !== false) return version
    } catch (error) {
      fault = error
    }
    // An answer may be lost, and what was given up may be written late.
    const found = await this.#catalog.get(jobGroup, record)
    if (found !== undefined && found.version !== expected && decode(found).token === mine.token) return found.version
    if (fault !== undefined) throw asError(fault)
    return false
  }
}

class HeldLease implements Lease {
  readonly from?: string
  readonly #leases: Leases
  readonly #record: string
  readonly #mine: Kept
  readonly #lost = new AbortController()
  #version: string
  /** When the last renewal that succeeded was begun. */
  #renewed: number
  #timer: NodeJS.Timeout | undefined
  #end: NodeJS.Timeout | undefined
  #renewing: Promise<void> = Promise.resolve()
  #released = false

  constructor(leases: Leases, record: string, mine: Kept, version: string, begun: number, from: string | undefined) {
    this.#leases = leases
    this.#record = record
    this.#mine = mine
    this.#version = version
    this.#renewed = begun
    if (from !== undefined) this.from = from
    this.#wait()
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async release(): Promise<void> {
    this.#released = true
    clearTimeout(this.#timer)
    clearTimeout(this.#end)
    // Nobody waits long for a catalog that is away.
    await Promise.race([this.#giveBack(), delay(patienceMilliseconds, undefined, { ref: false })])
  }

  async #giveBack(): Promise<void> {
    await this.#renewing
    if (!this.#lost.signal.aborted) await this.#leases.remove(this.#record, this.#version).catch(() => undefined)
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.#renewing = this.#renew()
    }, renewalMilliseconds).unref()
    clearTimeout(this.#end)
    const left = this.#renewed + giveUpMilliseconds - performance.now()
    this.#end = setTimeout(() => this.#lose(), Math.max(left, 0)).unref()
  }

  async #renew(): Promise<void> {
    const begun = performance.now()
    try {
      const version = await this.#leases.renew(this.#record, this.#mine, this.#version)
      if (version === false) {
        this.#lose()
        return
      }
      this.#version = version
      this.#renewed = begun
    } catch {
      // The catalog may be back before it is too late.
    }
    if (!this.#released && !this.#lost.signal.aborted) this.#wait()
  }

  #lose(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#end)
    this.#lost.abort(new Error('another process may have taken over'))
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

function encode(kept: Kept): Uint8Array {
  return Buffer.from(JSON.stringify(kept))
}

function decode({ value }: Item): Kept {
  return JSON.parse(Buffer.from(value).toString()) as Kept
}
