import type { Clock } from '../../core/clock.js'
import { parseHttpDate } from '../../core/http.js'

/** How far off a clock may be before anybody is told. */
const bearableMilliseconds = 2000

/**
 * How far the clock of a service is ahead of ours, as the `Date` of its answers tells. A date holds for a whole second, and
 * for some moment between request and answer; with each answer the estimate moves no further than it must.
 */
export class ClockSkew {
  readonly #clock: Clock
  readonly #warn: (skewMilliseconds: number) => void
  #estimate: number | undefined
  #told = 0
  #lastText: string | undefined
  #lastDate: number | undefined

  /** `warn` is told of more than two seconds, and again when it has changed by as much. */
  constructor(clock: Clock, warn: (skewMilliseconds: number) => void) {
    this.#clock = clock
    this.#warn = warn
  }

  /** Milliseconds to add to our clock: 0 for what is bearable, for a date tells no more than seconds. */
  get correction(): number {
    const estimate = Math.round(this.#estimate ?? 0)
    return Math.abs(estimate) > bearableMilliseconds ? estimate : 0
  }

  /** Forgets the estimate: the clock is about to be corrected. */
  restart(): void {
    this.#estimate = undefined
    this.#told = 0
  }

  now(): number {
    return this.#clock.now()
  }

  /** Takes the `Date` of an answer that has just come; `begun` is when the request was sent, where that is known. */
  note(date: string | undefined, begun: number | undefined): void {
    if (date === undefined) return
    if (date !== this.#lastText) {
      this.#lastText = date
      this.#lastDate = parseHttpDate(date)
    }
    if (this.#lastDate === undefined || begun === undefined) return
    const least = this.#lastDate - this.#clock.now()
    const most = this.#lastDate + 1000 - begun
    this.#estimate = Math.min(Math.max(this.#estimate ?? (least + most) / 2, least), most)
    if (Math.abs(this.#estimate - this.#told) <= bearableMilliseconds) return
    this.#told = this.#estimate
    this.#warn(Math.round(this.#estimate))
  }
}
