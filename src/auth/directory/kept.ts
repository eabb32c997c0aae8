import type { Clock } from '../../core/clock.js'

/** Values with an end, and not too many of them: the least recently used goes first. */
export class Kept<Value> {
  readonly #clock: Clock
  readonly #most: number
  readonly #entries = new Map<string, { readonly value: Value; readonly until: number }>()

  constructor(clock: Clock, most: number) {
    this.#clock = clock
    this.#most = most
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    if (entry.until <= this.#clock.now()) return undefined
    this.#entries.set(key, entry)
    return entry.value
  }

  /** `until` is in milliseconds since the epoch. */
  set(key: string, value: Value, until: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, until })
    const oldest = this.#entries.size > this.#most ? this.#entries.keys().next() : undefined
    if (oldest?.done === false) this.#entries.delete(oldest.value)
  }
}
