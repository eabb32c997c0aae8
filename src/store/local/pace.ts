import { setImmediate } from 'node:timers/promises'

/**
 * Longest stretch of synchronous work before others get a turn. Who comes in meanwhile waits for the rest of this one and,
 * as answers go out at the end of a turn, for the next.
 */
const sliceMilliseconds = 4

/** Tells synchronous work when to let others in; one for all that works in a process at the same time. */
export class Pace {
  #since = performance.now()
  #calls = 0
  #pausing: Promise<void> | undefined

  /** For short steps, such as names: asks the clock at every sixteenth only. */
  isDue(): boolean {
    return (++this.#calls & 15) === 0 && this.isDueNow()
  }

  /** For steps that take as long as some system calls. */
  isDueNow(): boolean {
    return performance.now() - this.#since > sliceMilliseconds
  }

  /** All who pause go on together, so that the next slice is one for them all. */
  async pause(): Promise<void> {
    await (this.#pausing ??= this.#letOthersIn())
  }

  async #letOthersIn(): Promise<void> {
    await setImmediate()
    this.#pausing = undefined
    this.#since = performance.now()
  }
}
