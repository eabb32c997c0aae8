import { closeSync } from 'node:fs'
import { Failure } from '../../core/failure.js'
import { maxUnanswered, maxUnansweredBytes } from './asking.js'
import type { FrameWriter } from './frames.js'
import type { Answer, Asked, Head, LinkOptions, TableEntry } from './link.js'
import { answerHead, failureHead } from './messages.js'
import { Pace } from './pace.js'

/** What has yet to be read by the other side before anything else is begun for it. */
const maxUnreadBytes = 2 * 1024 * 1024
/** The other side takes descriptors as they come: it is gone, or up to no good, where it has taken none for so long. */
const descriptorRetryMilliseconds = 2
const descriptorRetries = 2500

/** What was asked, as its handler sees it. */
class Question implements Asked {
  /** Undefined where no answer is wanted. */
  readonly id: number | undefined
  readonly name: string
  readonly entry: TableEntry
  readonly head: Head
  readonly bytes: Buffer
  /** Of its frame. */
  readonly length: number
  #controller: AbortController | undefined
  #given = false

  constructor(id: number | undefined, name: string, entry: TableEntry, head: Head, bytes: Buffer, length: number) {
    this.id = id
    this.name = name
    this.entry = entry
    this.head = head
    this.bytes = bytes
    this.length = length
  }

  throwIfGivenUp(): void {
    if (this.#given) throw givenUp()
  }

  /** Made for those who ask for it alone: most never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#given) this.giveUp()
    }
    return this.#controller.signal
  }

  giveUp(): void {
    this.#given = true
    this.#controller?.abort(givenUp())
  }
}

function givenUp(): Failure {
  return new Failure('incomplete', 'Nobody waits for the answer any more.')
}

/** The questions of the other side: begun in their order, so many at once, each answered once. */
export class Serving {
  readonly #writer: FrameWriter
  readonly #options: LinkOptions
  readonly #unwritten: () => number
  readonly #onAdvance: () => void
  readonly #longestBytes: number
  readonly #pace: Pace | undefined
  /** All that wait or are worked on, and want an answer. */
  readonly #unanswered = new Map<number, Question>()
  #lastId = -1
  #running = 0
  #waiting: Question[] = []
  /** Of those that wait and those that are worked on. */
  #heldBytes = 0
  #advancing = false
  #ended = false

  /** `unwritten` tells how many bytes the other side has yet to take; `onAdvance` hears of whatever may change `full`. */
  constructor(writer: FrameWriter, options: LinkOptions, unwritten: () => number, onAdvance: () => void) {
    this.#writer = writer
    this.#options = options
    this.#unwritten = unwritten
    this.#onAdvance = onAdvance
    this.#pace = options.maxPerSecond === undefined ? undefined : new Pace(options.maxPerSecond, onAdvance)
    this.#longestBytes = Math.max(0, ...Object.values(options.table).map(({ maxBytes }) => maxBytes))
  }

  /** More is unanswered than one who keeps the rules leaves unanswered, or asked too fast: nothing should be read for now. */
  get full(): boolean {
    if (this.#pace?.isExceeded === true) return true
    return this.#waiting.length > maxUnanswered || this.#heldBytes > 2 * maxUnansweredBytes + this.#longestBytes
  }

  /** Gives the rule that a question breaks. `length` is that of its frame. */
  take(id: number | undefined, name: string, head: Head, bytes: Buffer, length: number): string | undefined {
    const { table } = this.#options
    const entry = Object.hasOwn(table, name) ? table[name] : undefined
    if (entry === undefined) return 'a message that is not in the table'
    if (length > entry.maxBytes) return `a message "${name}" of ${length} bytes`
    if (id !== undefined && id <= this.#lastId) return 'a question with the number of another'
    const question = new Question(id, name, entry, head, bytes, length)
    if (id !== undefined) {
      this.#lastId = id
      this.#unanswered.set(id, question)
    }
    this.#pace?.spend(length)
    this.#waiting.push(question)
    this.#heldBytes += length
    this.advance()
    return undefined
  }

  /** The same for a question that nobody waits for any more; its answer may have crossed it. */
  cancel(id: number): string | undefined {
    if (id > this.#lastId) return 'a question given up that was never asked'
    this.#unanswered.get(id)?.giveUp()
    this.#pace?.spend(0)
    this.#onAdvance()
    return undefined
  }

  /** Begins what waits, as far as there is room. */
  advance(): void {
    // A handler that answers at once gets here again, from the loop below.
    if (this.#advancing) return
    this.#advancing = true
    while (!this.#ended && this.#running < this.#options.maxAtOnce && this.#hasTaken()) {
      const question = this.#waiting.shift()
      if (question === undefined) break
      this.#begin(question)
    }
    this.#advancing = false
    this.#onAdvance()
  }

  #hasTaken(): boolean {
    return this.#unwritten() + this.#writer.waiting <= maxUnreadBytes
  }

  /** Nobody asks or waits any more. */
  end(): void {
    this.#ended = true
    this.#pace?.end()
    this.#waiting = []
    const given = [...this.#unanswered.values()]
    this.#unanswered.clear()
    for (const question of given) question.giveUp()
  }

  #begin(question: Question): void {
    this.#running += 1
    try {
      question.throwIfGivenUp()
      const answer = question.entry.handle(question)
      if (answer instanceof Promise) {
        answer.then(
          (late) => {
            this.#answer(question, late)
          },
          (error: unknown) => {
            this.#fail(question, error)
          },
        )
      } else this.#answer(question, answer)
    } catch (error) {
      this.#fail(question, error)
    }
  }

  #answer(question: Question, answer: Answer | undefined): void {
    if (answer?.descriptor === undefined) this.#reply(question, answer, undefined)
    else this.#pass(question, answer, answer.descriptor, 0)
  }

  #pass(question: Question, answer: Answer, descriptor: number, tries: number): void {
    if (this.#ended || question.id === undefined) {
      release(answer)
      this.#done(question)
      return
    }
    let number: number | undefined
    try {
      number = this.#options.descriptors?.send(descriptor)
    } catch (error) {
      release(answer)
      this.#fail(question, error)
      return
    }
    if (number === undefined && tries < descriptorRetries && this.#options.descriptors !== undefined) {
      setTimeout(() => {
        this.#pass(question, answer, descriptor, tries + 1)
      }, descriptorRetryMilliseconds)
      return
    }
    release(answer)
    if (number === undefined) this.#fail(question, new Failure('unavailable', stuck, { retryAfterSeconds: 1 }))
    else this.#reply(question, answer, number)
  }

  #reply(question: Question, answer: Answer | undefined, descriptor: number | undefined): void {
    const { id } = question
    try {
      if (id !== undefined && !this.#ended) this.#writer.write(answerHead(id, answer?.head, descriptor), answer?.bytes)
    } catch (error) {
      this.#fail(question, error)
      return
    }
    this.#done(question)
  }

  #fail(question: Question, error: unknown): void {
    if (!(error instanceof Failure)) this.#options.onFault?.(error, question.name)
    if (question.id !== undefined && !this.#ended) this.#writer.write(failureHead(question.id, error), undefined)
    this.#done(question)
  }

  #done({ id, length }: Question): void {
    this.#heldBytes -= length
    if (id !== undefined) this.#unanswered.delete(id)
    this.#running -= 1
    this.advance()
  }
}

function release({ descriptor, keeps }: Answer): void {
  if (descriptor !== undefined && keeps !== true) closeSync(descriptor)
}

const stuck = 'The open file could not be handed over; try again shortly.'
