import { Failure } from '../../core/failure.js'
import { throwIfAborted } from '../../store/aborted.js'
import type { Known } from '../../store/local/facts.js'
import { isSoonAfter, isWorthNoting, type Noted } from '../../store/local/notes.js'
import type { Digests, Staged, WriteOptions } from '../../store/store.js'
import { decodeDigests } from '../digests.js'
import { decodeKnown } from '../known.js'
import type { Head, Table } from '../wire/link.js'
import type { RemoteNotes } from './notes.js'

type WordOptions = Pick<WriteOptions, 'attributes' | 'beforeCommit' | 'digests' | 'knownDigests' | 'signal'>

/** What must be written; without digests the process of the user computes them. */
export type Expected = Pick<Staged, 'size'> & Partial<Pick<Staged, 'digests'>>

/** Bodies that go along with a question which is answered only after another one of the other side. */
const bodiesAtOnce = 64

/** The writes under way over one link, by the numbers that they have on both sides. */
export class LastWords {
  readonly #waiting: (() => void)[] = []
  #bodies = 0
  readonly #open = new Map<number, LastWord>()
  #last = 0
  /** What the process of the user may ask. */
  readonly table: Table = {
    'before-commit': {
      maxBytes: 4 * 1024,
      handle: async ({ head }) => {
        const word = typeof head.op === 'number' ? this.#open.get(head.op) : undefined
        if (word === undefined) throw new Failure('conflict', 'This write is over.')
        await word.answer(head)
        return {}
      },
    },
  }

  /**
   * Has something asked that comes with a body and waits for the last word. Only so many at a time: else the link could be
   * full of them, and what whoever has that word must ask first would never get through.
   */
  async inTurn<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#bodies >= bodiesAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#bodies++
    try {
      return await ask()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#bodies--
      else next()
    }
  }

  /** To be closed by `over`. */
  begin(notes: RemoteNotes, options: WordOptions): LastWord {
    const op = ++this.#last
    const word = new LastWord(op, notes, options, () => this.#open.delete(op))
    this.#open.set(op, word)
    return word
  }
}

/** What this process still has to say of a file before it gets its name, and to note of it. */
export class LastWord {
  readonly op: number
  readonly #notes: RemoteNotes
  readonly #options: WordOptions
  readonly #onOver: () => void
  #expected: Expected | undefined
  #knownDigests: Digests | undefined
  #isSpoken = false
  #isAsked = false
  #failed: { readonly error: unknown } | undefined
  #noted: Known | undefined

  constructor(op: number, notes: RemoteNotes, options: WordOptions, onOver: () => void) {
    this.op = op
    this.#notes = notes
    this.#options = options
    this.#onOver = onOver
  }

  /** There is something to say. */
  get isNeeded(): boolean {
    return this.#options.beforeCommit !== undefined || this.#hasAttributes
  }

  /** Nothing has to be known of the file for it. */
  get needsNoFile(): boolean {
    return !this.#hasAttributes
  }

  get #hasAttributes(): boolean {
    return isWorthNoting({ attributes: this.#options.attributes ?? {} })
  }

  /** All that is to be written is known: from now on the last word can be asked for. */
  expect(expected: Expected): void {
    this.#expected = expected
  }

  /** Says it before it is asked for. */
  async speak(staged: Staged): Promise<void> {
    this.#isSpoken = true
    await this.#judge(staged, undefined)
  }

  /** Says it to the other side; throws where it is no. */
  async answer({ size, digests, known }: Head): Promise<void> {
    const expected = this.#expected
    const all = expected?.digests ?? this.allDigests(digests)
    if (this.#isAsked || this.#isSpoken || expected === undefined || expected.size !== size || all === undefined)
      throw this.#fail(
        new Failure('unavailable', 'The file was not written as it should be.', { retryAfterSeconds: 1 }),
      )
    this.#isAsked = true
    await this.#judge({ size: expected.size, digests: all }, decodeKnown(known))
    this.#isSpoken = true
  }

  /** Those computed by the process of the user, undefined where it has not, and those that the maker of the body knows, who is asked once. */
  allDigests(told: unknown): Digests | undefined {
    const computed = decodeDigests(told)
    const { digests: wanted = [] } = this.#options
    if (computed === undefined || wanted.some((name) => computed[name] === undefined)) return undefined
    if (Object.keys(computed).length > new Set(wanted).size) return undefined
    this.#knownDigests ??= this.#options.knownDigests?.() ?? {}
    return { ...computed, ...this.#knownDigests }
  }

  /** What to throw in place of what the other side made of it. */
  reasonFor(error: unknown): unknown {
    if (this.#failed !== undefined) return this.#failed.error
    try {
      throwIfAborted(this.#options.signal)
    } catch (aborted) {
      return aborted
    }
    return error
  }

  /** It was needed, and said. */
  get isHeeded(): boolean {
    return !this.isNeeded || (this.#isSpoken && this.#failed === undefined)
  }

  /** The file has its name: notes what is to be noted, and gives it. `settled` as for `NoteKeeping.write`. */
  async note(known: Known, digests: Digests, settled: boolean): Promise<Noted> {
    const { attributes } = this.#options
    const noted: Noted = attributes === undefined ? { digests } : { digests, attributes }
    if (!isWorthNoting(noted) || (this.#noted !== undefined && isSoonAfter(this.#noted, known))) return noted
    try {
      await this.#notes.write(known, noted, settled)
    } catch {
      // The file has its name and is durable. A note made before still holds for the attributes.
    }
    return noted
  }

  /** Must be called in the end; `isDone` where the file has its name. */
  async over(isDone: boolean): Promise<void> {
    this.#onOver()
    if (!isDone && this.#noted !== undefined) await this.#notes.forget(this.#noted).catch(() => undefined)
  }

  async #judge(staged: Staged, known: Known | undefined): Promise<void> {
    const { beforeCommit, signal, attributes } = this.#options
    try {
      await beforeCommit?.(staged)
      throwIfAborted(signal)
      if (!this.#hasAttributes) return
      if (known === undefined || known.size !== staged.size)
        throw new Failure('unavailable', 'Nothing is known of the new file.', { retryAfterSeconds: 1 })
      this.#noted = known
      await this.#notes.write(known, { digests: staged.digests, attributes: attributes ?? {} }, false)
    } catch (error) {
      throw this.#fail(error)
    }
  }

  #fail(error: unknown): unknown {
    this.#failed ??= { error }
    return error
  }
}
