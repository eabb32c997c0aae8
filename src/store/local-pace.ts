import { setImmediate } from 'node:timers/promises'

/** Longest stretch of synchronous work before others get a turn. */
const sliceMilliseconds = 8

/** Tells long synchronous work when to let others in. */
export class Pace {
  #since = performance.now()
  #calls = 0

  isDue(): boolean {
    // Asking the clock costs as much as a system call.
    return (++this.#calls & 15) === 0 && performance.now() - this.#since > sliceMilliseconds
  }

  async pause(): Promise<void> {
    await setImmediate()
    this.#since = performance.now()
  }
}
