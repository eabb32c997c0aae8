import type { Catalog } from './catalog.js'
import { decode, group } from './lock-records.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'

/**
 * Bounds the locks of one principal. What this process has seen taken is an upper bound that costs nothing; only where
 * that passes the limit are the live ones counted, at most every ten seconds.
 */
export class LockCensus {
  readonly #limit: number
  readonly #taken = new Map<string, number>()
  #counted = -Infinity

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Counts one more; throws `throttled` where that is too many. */
  async admit(principal: string, catalog: Catalog, clock: Clock): Promise<void> {
    const taken = (this.#taken.get(principal) ?? 0) + 1
    if (taken <= this.#limit) {
      this.#taken.set(principal, taken)
      return
    }
    if (clock.now() - this.#counted >= 10_000) {
      this.#counted = clock.now()
      this.#taken.clear()
      for await (const items of catalog.list(group)) {
        for (const item of items)
          for (const lock of decode(item).locks)
            if (lock.expires > clock.now()) this.#taken.set(lock.principal, (this.#taken.get(lock.principal) ?? 0) + 1)
      }
      const live = this.#taken.get(principal) ?? 0
      if (live < this.#limit) {
        this.#taken.set(principal, live + 1)
        return
      }
    }
    throw new Failure('throttled', 'Too many locks are held in your name. Release some first.', {
      retryAfterSeconds: 10,
    })
  }
}
