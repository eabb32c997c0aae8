import type { Clock } from '../../core/clock.js'

const firstPauseMilliseconds = 100
const longestPauseMilliseconds = 10_000

interface Record {
  readonly failures: number
  /** Milliseconds since the epoch. */
  readonly until: number
}

/** How long nothing is started for somebody whose processes die young: twice as long with each. */
export class StartPauses {
  readonly #clock: Clock
  readonly #youngMilliseconds: number
  readonly #records = new Map<string, Record>()

  /** One that has lived for `youngMilliseconds` did not die young, and what was before is forgotten. */
  constructor(clock: Clock, youngMilliseconds: number) {
    this.#clock = clock
    this.#youngMilliseconds = youngMilliseconds
  }

  /** Milliseconds until something may be started for them; 0 for now. */
  left(name: string): number {
    const record = this.#records.get(name)
    // A clock that was set back must not lengthen it.
    return record === undefined ? 0 : Math.min(Math.max(record.until - this.#clock.now(), 0), longestPauseMilliseconds)
  }

  /** A process of theirs has ended that had lived for so long. */
  died(name: string, livedMilliseconds: number): void {
    if (livedMilliseconds >= this.#youngMilliseconds) {
      this.#records.delete(name)
      return
    }
    const failures = (this.#records.get(name)?.failures ?? 0) + 1
    const pause = Math.min(firstPauseMilliseconds * 2 ** Math.min(failures - 1, 10), longestPauseMilliseconds)
    this.#records.set(name, { failures, until: this.#clock.now() + pause })
  }
}
