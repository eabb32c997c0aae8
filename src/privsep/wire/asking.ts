import { close } from 'node:fs'
import { Failure } from '../../core/failure.js'
import { abortFailure, throwIfAborted } from '../../store/aborted.js'
import type { FrameWriter } from './frames.js'
import type { Answered, AskOptions, Head } from './link.js'
import { askHead, cancelHead } from './messages.js'

/**
 * What one side leaves unanswered at most, as questions and as bytes of them: whoever asks waits here
 * before it asks more, so the other side never has to leave unread what an answer may be among.
 */
export const maxUnanswered = 4096
export const maxUnansweredBytes = 8 * 1024 * 1024

/** So many wait here; whoever asks more is refused. */
export const maxHeld = 32 * 1024

interface Pending {
  /** Of the whole question. */
  readonly length: number
  readonly resolve: (answered: Answered) => void
  readonly reject: (error: unknown) => void
  /** Where the waiting may end early: when, as `performance.now` tells it. */
  readonly due: number
  readonly signal: AbortSignal | undefined
  readonly onAbort: (() => void) | undefined
}

interface Held {
  readonly id: number
  readonly text: string
  readonly bytes: Uint8Array | undefined
  readonly length: number
}

/** The questions of this side, and who waits for their answers. */
export class Asking {
  readonly #writer: FrameWriter
  readonly #pending = new Map<number, Pending>()
  /** Asked, but nobody waits any more: bytes of them. */
  readonly #abandoned = new Map<number, number>()
  readonly #held = new Map<number, Held>()
  #nextId = 0
  #unanswered = 0
  #unansweredBytes = 0
  #ended: Failure | undefined
  /** One for all questions: to set and clear a timer costs more than most answers. */
  #timer: NodeJS.Timeout | undefined
  #timerDue = Infinity

  constructor(writer: FrameWriter) {
    this.#writer = writer
  }

  ask(name: string, head: Head | undefined, options: AskOptions): Promise<Answered> {
    const { bytes, signal, timeoutMilliseconds } = options
    return new Promise((resolve, reject) => {
      throwIfAborted(signal)
      if (this.#ended !== undefined) throw this.#ended
      if (this.#held.size >= maxHeld) throw new Failure('unavailable', silence, { retryAfterSeconds: 1 })
      const id = this.#nextId++
      const text = askHead(id, name, head)
      const question = { id, text, bytes, length: text.length + (bytes?.length ?? 0) }
      if (this.#held.size === 0 && this.#hasRoom(question.length)) this.#send(question)
      else this.#held.set(id, question)
      const due = timeoutMilliseconds === undefined ? Infinity : performance.now() + timeoutMilliseconds
      if (due < this.#timerDue) this.#wakeAt(due)
      const onAbort = signal && (() => this.#abandon(id, abortFailure(signal)))
      if (onAbort !== undefined) signal?.addEventListener('abort', onAbort)
      this.#pending.set(id, { length: question.length, resolve, reject, due, signal, onAbort })
    })
  }

  /** Gives the rule that an answer breaks: each question has one. */
  answered(id: number, answered: Answered): string | undefined {
    const pending = this.#answer(id)
    if (pending === undefined || pending === 'abandoned') {
      // Errors of closing say nothing here: it was only read from.
      if (answered.descriptor !== undefined) close(answered.descriptor, () => undefined)
      return pending === undefined ? 'an answer to nothing' : undefined
    }
    pending.resolve(answered)
    return undefined
  }

  /** The same where the answer is a failure. */
  failed(id: number, failure: Failure): string | undefined {
    const pending = this.#answer(id)
    if (pending === undefined) return 'an answer to nothing'
    if (pending !== 'abandoned') pending.reject(failure)
    return undefined
  }

  /** Nothing is answered any more. */
  end(failure: Failure): void {
    this.#ended = failure
    clearTimeout(this.#timer)
    this.#held.clear()
    this.#abandoned.clear()
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(failure)
  }

  /** It may come when nothing is due any more. */
  #wakeAt(due: number): void {
    clearTimeout(this.#timer)
    this.#timerDue = due
    this.#timer = setTimeout(this.#onTime, Math.max(1, due - performance.now())).unref()
  }

  readonly #onTime = (): void => {
    this.#timerDue = Infinity
    const now = performance.now()
    let next = Infinity
    for (const [id, { due }] of this.#pending)
      if (due <= now) this.#abandon(id, new Failure('unavailable', silence, { retryAfterSeconds: 1 }))
      else next = Math.min(next, due)
    if (next < this.#timerDue) this.#wakeAt(next)
  }

  #hasRoom(length: number): boolean {
    if (this.#unanswered === 0) return true
    return this.#unanswered < maxUnanswered && this.#unansweredBytes + length <= maxUnansweredBytes
  }

  #send({ text, bytes, length }: Held): void {
    this.#writer.write(text, bytes)
    this.#unanswered += 1
    this.#unansweredBytes += length
  }

  /** Asks what was held back, as far as there is room. */
  #sendHeld(): void {
    for (const held of this.#held.values()) {
      if (!this.#hasRoom(held.length)) return
      this.#held.delete(held.id)
      this.#send(held)
    }
  }

  #answer(id: number): Pending | 'abandoned' | undefined {
    if (this.#held.has(id)) return undefined
    const abandoned = this.#abandoned.get(id)
    const pending = abandoned === undefined ? this.#take(id) : 'abandoned'
    if (pending === undefined) return undefined
    this.#abandoned.delete(id)
    this.#unanswered -= 1
    this.#unansweredBytes -= pending === 'abandoned' ? (abandoned ?? 0) : pending.length
    if (this.#held.size > 0) this.#sendHeld()
    return pending
  }

  #abandon(id: number, failure: Failure): void {
    const pending = this.#take(id)
    if (pending === undefined) return
    if (!this.#held.delete(id)) {
      this.#abandoned.set(id, pending.length)
      this.#writer.write(cancelHead(id), undefined)
    }
    pending.reject(failure)
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    this.#pending.delete(id)
    const { signal, onAbort } = pending
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort)
    return pending
  }
}

const silence = 'This was not answered in time; try again shortly.'
