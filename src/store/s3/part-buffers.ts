/**
 * The room in memory that all uploads of a process share: who wants more than is free waits, so that memory stays flat
 * however many there are. A single wish larger than all the room is given all of it.
 */
export class PartBuffers {
  readonly #bytes: number
  #taken = 0
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = []

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /** Waits for room, first come, first served; what it gives must be called once, when the bytes are let go. */
  async take(bytes: number, signal?: AbortSignal): Promise<() => void> {
    const wish = Math.min(bytes, this.#bytes)
    if (this.#waiting.length > 0 || this.#taken + wish > this.#bytes) {
      await new Promise<void>((resolve, reject) => {
        const entry = { bytes: wish, go: resolve }
        this.#waiting.push(entry)
        signal?.addEventListener(
          'abort',
          () => {
            const at = this.#waiting.indexOf(entry)
            if (at === -1) return
            this.#waiting.splice(at, 1)
            reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
          },
          { once: true },
        )
      })
    } else this.#taken += wish
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#taken -= wish
      this.#next()
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
