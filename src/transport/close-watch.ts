import type { Writable } from 'node:stream'
import type { Carrier } from './carrier.js'

/** Sees an exchange end, and waits for its answer to take bytes without waiting for ever when the connection goes away. */
export class CloseWatch {
  readonly #out: Writable
  /** Resolves when the exchange is over, one way or the other. */
  readonly closed: Promise<void>
  #isClosed = false
  #onClosed: (() => void) | undefined

  /** @param onGone called when the exchange ends before the client has all of the answer */
  constructor(carrier: Carrier, onGone: () => void) {
    this.#out = carrier.outgoing
    this.closed = new Promise((resolve) => {
      const over = (): void => {
        this.#isClosed = true
        if (!carrier.delivered) onGone()
        this.#onClosed?.()
        resolve()
      }
      if (carrier.over) over()
      else this.#out.on('close', over)
    })
  }

  /** Resolves to true when the kernel has the bytes and their buffer is free again, to false when the client is gone. */
  flush(bytes: Uint8Array): Promise<boolean> {
    return this.#settle((done) => {
      this.#out.write(bytes, (error) => done(error === null || error === undefined))
    })
  }

  /** Writes, and waits only where too much is on its way already; resolves to false when the client is gone. */
  write(bytes: Uint8Array): Promise<boolean> | boolean {
    if (this.#isClosed || this.#out.destroyed) return false
    if (this.#out.write(bytes)) return true
    return this.#settle((done) => {
      this.#out.once('drain', () => done(true))
    })
  }

  #settle(start: (done: (alive: boolean) => void) => void): Promise<boolean> {
    if (this.#isClosed || this.#out.destroyed) return Promise.resolve(false)
    return new Promise((resolve) => {
      this.#onClosed = () => resolve(false)
      start(resolve)
    })
  }
}
