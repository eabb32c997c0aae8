import { Failure } from '../../core/failure.js'
import { abortFailure } from '../../store/aborted.js'
import type { Digester } from '../../store/digester.js'
import type { Staging } from '../../store/local/staging.js'
import type { Fill, Sink } from '../../store/local/write.js'
import type { Digests, Staged } from '../../store/store.js'
import type { Head } from '../wire/link.js'

/** What goes on around the bytes: gives what is answered in the end. */
export type Run = (intake: Intake) => Promise<Head>

/** Asks the other side for its last word before the new content takes the name; throws where it is no. */
export type BeforeCommit = (op: number, staged: Staged) => Promise<void>

/** The file, or a piece of it, that bytes are awaited for. */
interface Phase {
  readonly sink: Sink
  readonly digester: Digester | undefined
  readonly finish: (bytes: number) => void
  readonly fail: (error: unknown) => void
  /** Bytes that came in messages. */
  appended: number
  /** The file, once the other side has been given its descriptor. */
  passed: Staging | undefined
}

/**
 * A file that the other side fills: in messages, or by its descriptor. It says how many bytes it has written, and then
 * they must be there. All or nothing, as `Store.write` is; `abort` must be called unless `commit` was.
 */
export class Intake {
  readonly op: number
  readonly #control = new AbortController()
  readonly #done: Promise<Head>
  readonly #beforeCommit: BeforeCommit
  #asks: boolean
  #digests: Digests = {}
  #phase: Phase | undefined
  #arrived: () => void = () => undefined
  #writing: Promise<unknown> = Promise.resolve()

  /** `asks`: the other side is to have the last word; `commit` can say otherwise. */
  constructor(op: number, { run, asks, beforeCommit }: { run: Run; asks: boolean; beforeCommit: BeforeCommit }) {
    this.op = op
    this.#asks = asks
    this.#beforeCommit = beforeCommit
    this.#done = run(this)
    // Looked at by whoever waits for the next phase; not all are there in time.
    this.#done.catch(() => undefined)
  }

  get signal(): AbortSignal {
    return this.#control.signal
  }

  /** For `LocalStore.fill` and its like. */
  readonly fill: Fill = (sink, digester) =>
    new Promise((finish, fail) => {
      this.#phase = { sink, digester, finish, fail, appended: 0, passed: undefined }
      this.#arrived()
    })

  readonly beforeCommit = async (staged: Staged): Promise<void> => {
    this.#digests = staged.digests
    if (this.#asks) await this.#beforeCommit(this.op, staged)
  }

  /** Until bytes can come: undefined then, or the answer where none are awaited any more. */
  async ready(): Promise<Head | undefined> {
    if (this.#phase !== undefined) return undefined
    const arrived = new Promise<undefined>((resolve) => (this.#arrived = () => resolve(undefined)))
    return await Promise.race([arrived, this.#done])
  }

  /** The file, for who will write to it, and where its next byte goes; undefined where it may not be passed. */
  open(mayPass: (fd: number) => boolean): { readonly at: number; readonly fd: number } | undefined {
    const phase = this.#required()
    if (phase.appended > 0) throw outOfTurn()
    const file = phase.sink.open()
    if (!mayPass(file.fd)) return undefined
    phase.passed = file
    return { at: file.size, fd: file.fd }
  }

  /** All the bytes of a small file can come with `commit`, and it is made and named in one step then. */
  get takesWhole(): boolean {
    return this.#phase?.sink.keep !== undefined
  }

  /** Digests of all the bytes, where they were computed here; known once there are no more to come. */
  get digests(): Digests {
    return this.#digests
  }

  /** The next bytes; several calls may wait in a row. */
  append(bytes: Uint8Array): Promise<void> {
    const phase = this.#required()
    if (phase.passed !== undefined) throw outOfTurn()
    phase.appended += bytes.length
    const writing = this.#writing.then(async () => {
      phase.digester?.update(bytes)
      await phase.sink.open().append([bytes])
    })
    this.#writing = writing
    return writing
  }

  /** Ends a piece of so many bytes; then as `ready`. */
  async next(size: number): Promise<Head | undefined> {
    await this.#end(size, nothing)
    return await this.ready()
  }

  /** Ends the last piece of so many bytes, `bytes` among them, and gives the answer. */
  async commit(size: number, bytes: Uint8Array, asks: boolean): Promise<Head> {
    this.#asks = asks
    await this.#end(size, bytes)
    return await this.#done
  }

  /** Resolves once nothing is left. */
  async abort(): Promise<void> {
    this.#control.abort()
    // The file must not be closed under a write.
    await this.#writing.catch(() => undefined)
    this.#phase?.fail(abortFailure(this.#control.signal))
    await this.#done.catch(() => undefined)
  }

  /** Resolves, never rejects, when all is over. */
  async over(): Promise<void> {
    await this.#done.catch(() => undefined)
  }

  async #end(size: number, bytes: Uint8Array): Promise<void> {
    const phase = this.#required()
    const { passed, sink, digester } = phase
    await this.#writing
    if (passed !== undefined) {
      const grown = size - bytes.length
      if (grown < 0 || passed.known().size < passed.size + grown) throw notThere()
      passed.grow(grown)
    } else if (phase.appended + bytes.length !== size) throw notThere()
    digester?.update(bytes)
    // Who has the last word is to know the file, which must be there then.
    if (passed === undefined && phase.appended === 0 && !this.#asks && sink.keep !== undefined) sink.keep([bytes])
    else if (bytes.length > 0) sink.open().appendSync([bytes])
    this.#phase = undefined
    phase.finish(size)
  }

  #required(): Phase {
    if (this.#control.signal.aborted) throw abortFailure(this.#control.signal)
    if (this.#phase === undefined) throw outOfTurn()
    return this.#phase
  }
}

const nothing = new Uint8Array(0)

function outOfTurn(): Failure {
  return new Failure('invalid', 'No bytes are awaited here.')
}

function notThere(): Failure {
  return new Failure('incomplete', 'The bytes that were said to be written are not there.')
}
