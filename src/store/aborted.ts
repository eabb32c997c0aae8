import { Failure } from '../core/failure.js'
import type { Body } from './store.js'

/** Throws what the `Store` contract wants of an aborted signal: its reason where that is a `Failure`, else `incomplete`. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortFailure(signal)
}

/**
 * The chunks of a body, given up as soon as the signal aborts, even while the next one is awaited. `next` must not be
 * called while another one is under way; `end` must be called.
 */
export class AbortableChunks {
  readonly #chunks: AsyncIterator<Uint8Array, unknown>
  readonly #signal: AbortSignal | undefined
  #open = true
  #resolve: ((result: IteratorResult<Uint8Array, unknown>) => void) | undefined
  #reject: ((error: unknown) => void) | undefined

  constructor(body: Body, signal: AbortSignal | undefined) {
    this.#chunks = body[Symbol.asyncIterator]()
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
  }

  /** Rejects as the body does; the chunks have then ended. */
  next(): Promise<IteratorResult<Uint8Array, unknown>> {
    if (this.#signal?.aborted === true) return Promise.reject(abortFailure(this.#signal))
    return new Promise(this.#wait)
  }

  /** Lets go of the body, which is left where it did not come to its end. */
  end(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#resolve = this.#reject = undefined
    if (!this.#open) return
    this.#open = false
    // A generator that still waits for a chunk answers `return` only after it, so nobody waits for that answer here.
    this.#chunks.return?.().catch(() => undefined)
  }

  readonly #wait = (
    resolve: (result: IteratorResult<Uint8Array, unknown>) => void,
    reject: (error: unknown) => void,
  ): void => {
    this.#resolve = resolve
    this.#reject = reject
    this.#chunks.next().then(this.#onChunk, this.#onError)
  }

  readonly #onChunk = (result: IteratorResult<Uint8Array, unknown>): void => {
    if (result.done === true) this.#open = false
    this.#resolve?.(result)
  }

  readonly #onError = (error: unknown): void => {
    this.#reject?.(error)
  }

  readonly #onAbort = (): void => {
    if (this.#signal !== undefined) this.#reject?.(abortFailure(this.#signal))
  }
}

/** The same as a generator. */
export async function* untilAborted(body: Body, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  const chunks = new AbortableChunks(body, signal)
  try {
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value
  } finally {
    chunks.end()
  }
}

/** What `throwIfAborted` throws of a signal that has aborted. */
export function abortFailure(signal: AbortSignal): Failure {
  const reason: unknown = signal.reason
  return reason instanceof Failure ? reason : new Failure('incomplete', 'The request was given up.', { cause: reason })
}
