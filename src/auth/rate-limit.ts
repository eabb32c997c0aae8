import type { Catalog } from '../catalog/catalog.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'

/** What one subject (an address, an identity) may use up on average; 0 is without limit. */
export interface Rate {
  readonly requestsPerSecond: number
  /** Of bodies, in and out together. */
  readonly bytesPerSecond: number
}

/** Counts what subjects use and refuses those that use too much. */
export interface RateLimit {
  /** Counts a request. Throws `throttled` with the seconds to wait where the subject has used up its share. */
  enter(subject: string): void
  /** Whether bytes count at all. */
  readonly countsBytes: boolean
  /** Counts the bytes of an exchange that is over. */
  add(subject: string, bytes: number): void
}

export interface RateLimitOptions {
  readonly rate: Rate
  readonly clock: Clock
  /** Shared with other processes, which then count together. */
  readonly catalog: Catalog
  /** Sets these counters apart from others in the catalog. */
  readonly name: string
  /** Names are kept in the catalog under this only. */
  readonly seal: (subject: string) => string
}

/** What may be used at once, in seconds of the rate: a client that comes back after a rest opens many small files. */
export const windowSeconds = 10
/** A subject is reported to the others when it has used this part of its window: who uses little costs no write. */
const reportedPart = 1 / 16
const countGroup = 'rates'
/** Subjects looked after at once. Beyond that those that rest longest are forgotten, which lets them begin anew. */
const mostSubjects = 50_000

interface Usage {
  /** Which window of time this is about. */
  window: number
  requests: number
  bytes: number
  /** Used up in the window before: counts for the part of it that is still within `windowSeconds`. */
  requestsBefore: number
  bytesBefore: number
  /** Parts of the above that the others know of. */
  reportedRequests: number
  reportedBytes: number
  /** What the others have used in this window, as last heard. */
  otherRequests: number
  otherBytes: number
  reporting: boolean
}

/**
 * A window that slides: what was used in the last ten seconds, by this process exactly, by others as last heard. Processes
 * tell each other through counters of the catalog, so a subject can overdraw by a sixteenth for each of them, and no more.
 */
export function createRateLimit(options: RateLimitOptions): RateLimit {
  return new SlidingWindows(options)
}

class SlidingWindows implements RateLimit {
  readonly #options: RateLimitOptions
  readonly #mostRequests: number
  readonly #mostBytes: number
  readonly #usages = new Map<string, Usage>()
  readonly countsBytes: boolean

  constructor(options: RateLimitOptions) {
    this.#options = options
    this.#mostRequests = options.rate.requestsPerSecond * windowSeconds
    this.#mostBytes = options.rate.bytesPerSecond * windowSeconds
    this.countsBytes = this.#mostBytes > 0
  }

  enter(subject: string): void {
    if (this.#mostRequests === 0 && this.#mostBytes === 0) return
    const now = this.#options.clock.now()
    const usage = this.#usageOf(subject, now)
    const old = 1 - (now % windowMilliseconds) / windowMilliseconds
    const overdrawn =
      (this.#mostRequests > 0 &&
        usage.requests + usage.otherRequests + usage.requestsBefore * old >= this.#mostRequests) ||
      (this.#mostBytes > 0 && usage.bytes + usage.otherBytes + usage.bytesBefore * old >= this.#mostBytes)
    if (overdrawn)
      throw new Failure('throttled', 'Too much is asked for at once. Slow down and try again.', {
        retryAfterSeconds: Math.max(1, Math.ceil((old * windowSeconds) / 2)),
      })
    usage.requests += 1
    if (usage.requests - usage.reportedRequests > this.#mostRequests * reportedPart && this.#mostRequests > 0)
      this.#report(subject, usage)
  }

  add(subject: string, bytes: number): void {
    if (this.#mostBytes === 0) return
    const usage = this.#usageOf(subject, this.#options.clock.now())
    usage.bytes += bytes
    if (usage.bytes - usage.reportedBytes > this.#mostBytes * reportedPart) this.#report(subject, usage)
  }

  #usageOf(subject: string, now: number): Usage {
    const window = Math.floor(now / windowMilliseconds)
    let usage = this.#usages.get(subject)
    if (usage === undefined) {
      usage = freshUsage(window)
      this.#usages.set(subject, usage)
      if (this.#usages.size > mostSubjects) {
        const oldest = this.#usages.keys().next()
        if (oldest.done !== true) this.#usages.delete(oldest.value)
      }
    } else if (usage.window !== window) {
      const follows = usage.window === window - 1
      const next = freshUsage(window)
      if (follows) {
        next.requestsBefore = usage.requests + usage.otherRequests
        next.bytesBefore = usage.bytes + usage.otherBytes
      }
      // Behind all others now: those that rest come to lie in front.
      this.#usages.delete(subject)
      this.#usages.set(subject, next)
      usage = next
    }
    return usage
  }

  /** Never rejects: where the catalog cannot be reached, each process counts for itself. */
  #report(subject: string, usage: Usage): void {
    if (usage.reporting) return
    usage.reporting = true
    void this.#tell(subject, usage)
      .catch(() => undefined)
      .finally(() => {
        usage.reporting = false
      })
  }

  async #tell(subject: string, usage: Usage): Promise<void> {
    const { catalog, name, seal } = this.#options
    const key = `${name}:${usage.window}:${seal(subject)}`
    const expires = new Date((usage.window + 2) * windowMilliseconds)
    const { requests, bytes } = usage
    const newRequests = requests - usage.reportedRequests
    const newBytes = bytes - usage.reportedBytes
    usage.reportedRequests = requests
    usage.reportedBytes = bytes
    if (this.#mostRequests > 0)
      usage.otherRequests = (await catalog.add(countGroup, `${key}:requests`, newRequests, expires)) - requests
    if (this.#mostBytes > 0)
      usage.otherBytes = (await catalog.add(countGroup, `${key}:bytes`, newBytes, expires)) - bytes
  }
}

const windowMilliseconds = windowSeconds * 1000

function freshUsage(window: number): Usage {
  return {
    window,
    requests: 0,
    bytes: 0,
    requestsBefore: 0,
    bytesBefore: 0,
    reportedRequests: 0,
    reportedBytes: 0,
    otherRequests: 0,
    otherBytes: 0,
    reporting: false,
  }
}
