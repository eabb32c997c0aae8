import { Failure } from '../../core/failure.js'
import type { LambdaContext } from './managed-runtime.js'

/** Kept for an answer that says so, and for the log, in milliseconds: a tenth of the time, within these. */
const leastReserve = 100
const mostReserve = 1000

/**
 * The time of one invocation. A little before the platform would end the process in the middle, `signal` aborts and
 * `within` stops waiting: there is time left to say so.
 */
export class TimeLeft {
  readonly #abort = new AbortController()
  readonly #timer: NodeJS.Timeout
  /** Those who wait for something, each only as long as it waits: what it waited for is not kept. */
  readonly #waiting = new Set<() => void>()

  constructor(context: LambdaContext) {
    const left = context.getRemainingTimeInMillis()
    const reserve = Math.min(mostReserve, Math.max(leastReserve, left / 10))
    this.#timer = setTimeout(
      () => {
        this.#abort.abort(outOfTime())
        for (const leave of this.#waiting) leave()
      },
      Math.max(0, left - reserve),
    )
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** What the work resolves to; undefined where the time is over before. The work goes on then, and may still reject. */
  async within<T>(work: Promise<T>): Promise<T | undefined> {
    return await new Promise((resolve, reject) => {
      const leave = (): void => resolve(undefined)
      if (this.signal.aborted) leave()
      this.#waiting.add(leave)
      work.then(resolve, reject).finally(() => this.#waiting.delete(leave))
    })
  }

  /** To be called when the invocation is over. */
  end(): void {
    clearTimeout(this.#timer)
  }
}

/** What is answered where the time is over. */
export function outOfTime(): Failure {
  return new Failure(
    'unavailable',
    'This takes longer than the function may run. Give it more time, or ask for less at once.',
  )
}
