import { Failure } from '../core/failure.js'
import type { BodyPace } from './body-pace.js'
import type { Carrier } from './carrier.js'
import { countBodyBytes } from './collect.js'

/** How much may wait in memory for a slow consumer before the client is told to wait, in bytes. */
const highWater = 1 << 20
const lowWater = 1 << 18

interface Waiting {
  resolve(result: IteratorResult<Uint8Array, undefined>): void
  reject(error: unknown): void
}

/** The body of one request, read on demand: nothing is asked of the client before the first pull. */
export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly #carrier: Carrier
  readonly #awaitsContinue: boolean
  readonly #pace: BodyPace
  readonly #queue: Buffer[] = []
  #queued = 0
  #received = 0
  #waiting: Waiting | undefined
  #begun = false
  #ended = false
  #failure: Failure | undefined
  #state: 'untouched' | 'taken' | 'reading' | 'left' = 'untouched'

  constructor(carrier: Carrier, awaitsContinue: boolean, pace: BodyPace) {
    this.#carrier = carrier
    this.#awaitsContinue = awaitsContinue
    this.#pace = pace
  }

  /** Bytes that came in so far. */
  get received(): number {
    return this.#received
  }

  /** The client still holds its body back, waiting for `100 Continue`. */
  get heldBack(): boolean {
    return this.#awaitsContinue && (this.#state === 'untouched' || this.#state === 'taken')
  }

  /** Someone waits for the client to send more. */
  get isWaiting(): boolean {
    return this.#waiting !== undefined
  }

  /** It ended early. */
  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (this.#state !== 'untouched') throw new Error('a request body can be read only once')
    this.#state = 'taken'
    return { next: () => this.#next(), return: () => this.#leave() }
  }

  /** Ends the body with a failure, if it has not come to its end: the connection broke, or nothing came for too long. */
  fail(failure: Failure): void {
    if (this.#ended || this.#failure !== undefined) return
    this.#failure = failure
    this.#pace.end(this)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(failure)
  }

  /** Throws away what is left of a body that nobody reads any more, so that the connection can go on. */
  discard(): void {
    if (this.#state === 'untouched' || this.#ended) return
    this.#leaveOff()
    this.#carrier.incoming.resume()
  }

  /** Throws away what the client still sends, for at most so long and so much; resolves to whether the end was reached. */
  async drain(maximumBytes: number, milliseconds: number): Promise<boolean> {
    const carrier = this.#carrier
    const request = carrier.incoming
    this.#leaveOff()
    if (carrier.complete && request.readableEnded) return true
    return new Promise((resolve) => {
      const until = this.#received + maximumBytes
      const finish = (): void => {
        clearTimeout(timer)
        request.off('data', count).off('end', finish).off('close', finish)
        resolve(carrier.complete)
      }
      const count = (chunk: Buffer): void => {
        if (!this.#begun) this.#received += chunk.length
        if (this.#received > until) finish()
      }
      const timer = setTimeout(finish, milliseconds)
      request.on('data', count).on('end', finish).on('close', finish)
      request.resume()
      if (request.destroyed) finish()
    })
  }

  #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#state === 'taken') this.#begin()
    const chunk = this.#queue.shift()
    if (chunk !== undefined) {
      this.#queued -= chunk.length
      if (this.#queued <= lowWater && this.#carrier.incoming.isPaused()) this.#carrier.incoming.resume()
      return Promise.resolve({ value: chunk, done: false })
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#ended || this.#state === 'left') return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  #leave(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#state === 'reading') this.#carrier.incoming.pause()
    this.#leaveOff()
    return Promise.resolve({ value: undefined, done: true })
  }

  #leaveOff(): void {
    this.#state = 'left'
    this.#queue.length = 0
    this.#pace.end(this)
  }

  #begin(): void {
    const request = this.#carrier.incoming
    this.#state = 'reading'
    this.#begun = true
    if (request.destroyed && !request.readableEnded) {
      this.fail(goneMidway())
      return
    }
    this.#pace.begin(this)
    if (this.#awaitsContinue) this.#carrier.sendContinue()
    request.on('data', (chunk: Buffer) => this.#take(chunk))
    request.on('end', () => this.#end())
    request.on('close', () => {
      // Every request closes: a failure is made only of those that end early.
      if (!this.#ended) this.fail(goneMidway())
    })
  }

  #take(chunk: Buffer): void {
    this.#received += chunk.length
    countBodyBytes(chunk.length)
    if (this.#state !== 'reading') return
    const waiting = this.#waiting
    if (waiting !== undefined) {
      this.#waiting = undefined
      waiting.resolve({ value: chunk, done: false })
      return
    }
    this.#queue.push(chunk)
    this.#queued += chunk.length
    if (this.#queued >= highWater) this.#carrier.incoming.pause()
  }

  #end(): void {
    if (this.#failure !== undefined) return
    // A stream of HTTP/2 that was reset ends like one that was not.
    if (!this.#carrier.complete) {
      this.fail(goneMidway())
      return
    }
    this.#ended = true
    this.#pace.end(this)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve({ value: undefined, done: true })
  }
}

function goneMidway(): Failure {
  return new Failure('incomplete', 'The request body ended before all of it had come.')
}
