import { networkOf } from '../core/network.js'

/** Connections that are open, by the network that a single client can have for itself. */
export class ConnectionCount {
  readonly #most: number
  readonly #open = new Map<string, number>()

  /** @param most how many at a time one client may have */
  constructor(most: number) {
    this.#most = most
  }

  /** Counts a connection in; undefined where there are too many already, else what counts it out again. */
  enter(address: string): (() => void) | undefined {
    const key = networkOf(address)
    const open = this.#open.get(key) ?? 0
    if (open >= this.#most) return undefined
    this.#open.set(key, open + 1)
    return () => {
      const left = (this.#open.get(key) ?? 1) - 1
      if (left === 0) this.#open.delete(key)
      else this.#open.set(key, left)
    }
  }
}
