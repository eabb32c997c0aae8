const bytesOfOne = 1024
/** So much of a second may be used up at once. */
const burst = 0.25
const restMilliseconds = 10

/** How fast somebody asks: one for each question, and one more for every KiB of it. */
export class Pace {
  readonly #perSecond: number
  readonly #onRest: () => void
  #left: number
  #at = performance.now()
  #timer: NodeJS.Timeout | undefined

  /** `onRest` hears that more may be asked again. */
  constructor(perSecond: number, onRest: () => void) {
    this.#perSecond = perSecond
    this.#onRest = onRest
    this.#left = perSecond * burst
  }

  /** More has been asked than is allowed; until `onRest` is called. */
  get isExceeded(): boolean {
    return this.#timer !== undefined
  }

  spend(bytes: number): void {
    this.#left -= 1 + bytes / bytesOfOne
    if (this.#left > 0 || this.#timer !== undefined) return
    this.#refill()
    if (this.#left <= 0) this.#rest()
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** What was asked beyond is waited for as well. */
  #rest(): void {
    const milliseconds = (-this.#left / this.#perSecond) * 1000 + restMilliseconds
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#refill()
      if (this.#left <= 0) this.#rest()
      else this.#onRest()
    }, milliseconds)
  }

  #refill(): void {
    const now = performance.now()
    const more = ((now - this.#at) / 1000) * this.#perSecond
    this.#left = Math.min(this.#left + more, this.#perSecond * burst)
    this.#at = now
  }
}
