import type { IncomingMessage } from 'node:http'
import { Failure } from '../../core/failure.js'
import { abortFailure } from '../aborted.js'

/** So much is taken from the connection before somebody asks for it. */
const mostWaitingBytes = 256 * 1024

type Result = IteratorResult<Uint8Array, undefined>

/**
 * The body of an answer as it comes, no faster than it is read. Throws what the signal says where it aborts, and an
 * `Error` that is no `Failure` where the connection breaks before the end.
 */
export class AnswerBody implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly #message: IncomingMessage
  readonly #signal: AbortSignal | undefined
  readonly #chunks: Uint8Array[] = []
  #waitingBytes = 0
  #resolve: ((result: Result) => void) | undefined
  #reject: ((error: unknown) => void) | undefined
  #ended = false
  #error: Error | undefined

  constructor(message: IncomingMessage, signal: AbortSignal | undefined) {
    this.#message = message
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
    message.on('data', this.#onData)
    message.on('end', this.#onEnd)
    message.on('error', this.#onError)
    message.on('close', this.#onClose)
  }

  /** Whether it is the other side that is waited for. */
  get isAwaited(): boolean {
    return this.#resolve !== undefined
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Not while another is under way. */
  next(): Promise<Result> {
    const chunk = this.#chunks.shift()
    if (chunk !== undefined) {
      this.#waitingBytes -= chunk.length
      if (this.#message.isPaused() && this.#waitingBytes < mostWaitingBytes) this.#message.resume()
      return Promise.resolve({ done: false, value: chunk })
    }
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  return(): Promise<Result> {
    this.close()
    return Promise.resolve({ done: true, value: undefined })
  }

  /** All of it. Throws `unavailable` over so many bytes. */
  async collect(most: number): Promise<Buffer> {
    const chunks: Uint8Array[] = []
    let size = 0
    for (let next = await this.next(); next.done !== true; next = await this.next()) {
      size += next.value.length
      if (size > most) {
        this.close()
        throw new Failure('unavailable', 'A service has answered with more than it may.', { retryAfterSeconds: 60 })
      }
      chunks.push(next.value)
    }
    const [first] = chunks
    return chunks.length === 1 && Buffer.isBuffer(first) ? first : Buffer.concat(chunks)
  }

  /** Lets go of the rest; the connection is kept where there is none. */
  close(): void {
    if (this.#ended) return
    this.#finish(new Failure('incomplete', 'The answer was let go.'))
    this.#chunks.length = 0
    if (this.#message.complete) this.#message.resume()
    else this.#message.destroy()
  }

  #finish(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#signal?.removeEventListener('abort', this.#onAbort)
    if (error === undefined) this.#resolve?.({ done: true, value: undefined })
    else this.#reject?.(error)
    this.#resolve = this.#reject = undefined
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (this.#ended) return
    if (this.#resolve !== undefined) {
      const resolve = this.#resolve
      this.#resolve = this.#reject = undefined
      resolve({ done: false, value: chunk })
      return
    }
    this.#chunks.push(chunk)
    this.#waitingBytes += chunk.length
    if (this.#waitingBytes >= mostWaitingBytes) this.#message.pause()
  }

  readonly #onEnd = (): void => this.#finish(this.#message.complete ? undefined : brokenOff())
  readonly #onError = (error: Error): void => this.#finish(error)
  readonly #onClose = (): void => {
    // Every answer is closed some day; an error that nobody sees costs its stack.
    if (!this.#ended) this.#finish(brokenOff())
  }

  readonly #onAbort = (): void => {
    if (this.#signal === undefined) return
    this.#finish(abortFailure(this.#signal))
    this.#chunks.length = 0
    this.#message.destroy()
  }
}

function brokenOff(): Error {
  return new Error('the connection ended before the answer did')
}
