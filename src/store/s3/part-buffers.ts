import { abortFailure, throwIfAborted } from '../aborted.js'

/**
 * The room in memory that all uploads of a process share: who wants more than is free waits, so that memory stays flat
 * however many there are. A single wish larger than all the room is given all of it. Nobody may wait here for more while
 * what it holds already can only be let go after that: all would wait for one another.
 */
export class PartBuffers {
  readonly #bytes: number
  #taken = 0
  readonly #waiting: Waiting[] = []

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /**
   * Waits for room, first come, first served; what it gives must be called once, when the bytes are let go. Throws what
   * the `Store` contract wants of an aborted signal.
   */
  async take(bytes: number, signal?: AbortSignal): Promise<() => void> {
    throwIfAborted(signal)
    const wish = Math.min(bytes, this.#bytes)
    if (this.#waiting.length > 0 || this.#taken + wish > this.#bytes) await this.#wait(wish, signal)
    else this.#taken += wish
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#taken -= wish
      this.#next()
    }
  }

  async #wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    let onAbort: () => void = () => undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const waiting: Waiting = { bytes, go: resolve }
        this.#waiting.push(waiting)
        onAbort = () => {
          const at = this.#waiting.indexOf(waiting)
          if (at === -1 || signal === undefined) return
          this.#waiting.splice(at, 1)
          reject(abortFailure(signal))
          // It may have been the only one that those behind it were too many with.
          this.#next()
        }
        signal?.addEventListener('abort', onAbort)
      })
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #next(): void {
    for (;;) {
      const first = this.#waiting[0]
      if (first === undefined || this.#taken + first.bytes > this.#bytes) return
      this.#waiting.shift()
      this.#taken += first.bytes
      first.go()
    }
  }
}

interface Waiting {
  readonly bytes: number
  readonly go: () => void
}
