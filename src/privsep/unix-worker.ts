import { Failure, type FailureKind } from '../core/failure.js'
import type { ProcessCalls } from '../store/native.js'
import { noteFrames, type RemoteNotes } from './remote-store/notes.js'
import type { Peer } from './remote-store/peer.js'
import { Turns } from './remote-store/turns.js'
import { LastWords } from './remote-store/write-last-word.js'
import { type DescriptorChannel, openDescriptors } from './wire/descriptors.js'
import {
  type Answered,
  type AskOptions,
  type Head,
  type Link,
  type LinkEnd,
  openLink,
  type Table,
  type TableEntry,
} from './wire/link.js'
import type { Mounted } from './wire/mounted.js'
import { connectTo } from './wire/one-time.js'

export interface UnixWorkerOptions {
  /** The newest ticket of the user; undefined where there is none that holds. */
  readonly ticket: () => string | undefined
  /** The notes of a mount, by its number. */
  readonly notesOf: (mount: number) => RemoteNotes | undefined
  /** It does not answer, or broke the rules: has the broker end the process. */
  readonly kill: (why: string) => void
  /** Told what fails here that is no `Failure`. */
  readonly onFault?: (error: unknown, name: string) => void
  /** A question, and then a ping, may go without an answer for so long; 10 s without it. */
  readonly silenceMilliseconds?: number
}

export interface ConnectOptions extends UnixWorkerOptions {
  /** What passes open files; without it bytes go over the link. */
  readonly passing?: { readonly calls: ProcessCalls; readonly mounted: Mounted }
}

/** Entries of a full page, and a lot of names. */
const answerBytes = 4 * 1024 * 1024
const maxAtOnce = 1024
/** Notes and last words: one that asks more often is read more slowly. */
const maxPerSecond = 20_000
const defaultSilenceMilliseconds = 10_000
const looksPerSilence = 4

/** Takes the two connections to a new worker from the path that the broker has given. Rejects with `unavailable`. */
export async function connectWorker(path: string, { passing, ...options }: ConnectOptions): Promise<UnixWorker> {
  const socket = await connectTo(path)
  if (passing === undefined) {
    // The broker waits for both; nothing comes over this one.
    const unused = await connectTo(path)
    // Not read: what a process of a user sends here is nothing that anybody wants.
    unused.unref()
    const worker = new UnixWorker((table) => openLink(socket, linkOptions(table, options)), false, options)
    void worker.closed.then(() => unused.destroy())
    return worker
  }
  const channel = passing.calls.connectUnix(path)
  if (channel < 0) {
    socket.destroy()
    throw new Failure('unavailable', 'The process of this user cannot be reached.', { retryAfterSeconds: 1 })
  }
  const descriptors = openDescriptors(channel, passing.calls, passing.mounted)
  return new UnixWorker((table) => openLink(socket, linkOptions(table, options, descriptors)), true, options)
}

function linkOptions(
  table: Table,
  { onFault }: UnixWorkerOptions,
  descriptors?: DescriptorChannel,
): Parameters<typeof openLink>[1] {
  return {
    table,
    maxAnswerBytes: answerBytes,
    maxAtOnce,
    maxPerSecond,
    ...(descriptors !== undefined && { descriptors }),
    ...(onFault !== undefined && { onFault }),
  }
}

/** The process of a user as the process on the network has it: untrusted, and gone when it does not answer. */
export class UnixWorker implements Peer {
  readonly passes: boolean
  readonly lastWords = new LastWords()
  /** Resolves, never rejects, when it is of no use any more. */
  readonly closed: Promise<LinkEnd>
  readonly #link: Link
  readonly #options: UnixWorkerOptions
  readonly #silence: number
  readonly #watch: NodeJS.Timeout
  #shown: string | undefined
  #waiting = 0
  #held = 0
  /** When it has last answered, or has had nothing to answer. */
  #heard = performance.now()
  #isPinged = false
  #broken: string | undefined

  /** `connect` opens the link with this table. */
  constructor(connect: (table: Table) => Link, passes: boolean, options: UnixWorkerOptions) {
    this.passes = passes
    this.#options = options
    this.#link = connect({ ...this.lastWords.table, ...noteTable(options.notesOf) })
    this.#silence = options.silenceMilliseconds ?? defaultSilenceMilliseconds
    this.#watch = setInterval(() => this.#listen(), this.#silence / looksPerSilence).unref()
    this.closed = this.#link.closed.then((end) => {
      clearInterval(this.#watch)
      if (end.how === 'violation') options.kill(end.why ?? 'broke the rules')
      return this.#broken === undefined ? end : { how: 'violation', why: this.#broken }
    })
  }

  ask(name: string, head?: Head, options: AskOptions = {}): Promise<Answered> {
    this.#showTicket()
    if (this.#waiting === 0) this.#heard = performance.now()
    this.#waiting += 1
    return this.#link.ask(name, head, options).then(this.#onAnswered, (error: unknown) => {
      this.#settled()
      throw options.signal?.aborted === true ? error : plainFailure(error)
    })
  }

  readonly #onAnswered = (answered: Answered): Answered => {
    this.#settled()
    return answered
  }

  #settled(): void {
    this.#waiting -= 1
    this.#heard = performance.now()
  }

  hold(): () => void {
    this.#held += 1
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#held -= 1
      this.#heard = performance.now()
    }
  }

  /** For how long it has had nothing to do and nothing open; 0 while it has. */
  get idleMilliseconds(): number {
    return this.#waiting > 0 || this.#held > 0 ? 0 : performance.now() - this.#heard
  }

  distrust(why: string): Failure {
    this.#break(why)
    return new Failure('unavailable', 'The process of this user does not work as it should.', { retryAfterSeconds: 1 })
  }

  /** It ends by itself when it sees this. */
  close(): void {
    this.#link.close()
  }

  #break(why: string): void {
    if (this.#broken !== undefined) return
    this.#broken = why
    this.#options.kill(why)
    this.#link.close()
  }

  /** Each newer one comes before what needs it. One that does not hold is found out by what is asked then. */
  #showTicket(): void {
    const ticket = this.#options.ticket()
    if (ticket === undefined || ticket === this.#shown) return
    this.#shown = ticket
    this.#link.ask('ticket', { ticket, passes: this.passes }).catch(() => undefined)
  }

  #listen(): void {
    if (this.#waiting === 0 || this.#isPinged || performance.now() - this.#heard < this.#silence) return
    this.#isPinged = true
    const ping = this.#link.ask('ping', {}, { timeoutMilliseconds: this.#silence })
    ping.then(
      () => {
        this.#isPinged = false
        this.#heard = performance.now()
      },
      () => this.#break('does not answer'),
    )
  }
}

/** A worker names the mount with each note. They are written here, where all users are served: one after the other. */
function noteTable(notesOf: UnixWorkerOptions['notesOf']): Table {
  const turns = new Turns()
  const entry = (name: string, maxBytes: number): TableEntry => ({
    maxBytes,
    handle: (asked) => {
      const { mount } = asked.head
      const theirs = typeof mount === 'number' ? notesOf(mount)?.table[name] : undefined
      if (theirs === undefined) throw new Failure('invalid', 'There is no such mount.')
      return turns.take(() => theirs.handle(asked))
    },
  })
  return Object.fromEntries(Object.entries(noteFrames).map(([name, maxBytes]) => [name, entry(name, maxBytes)]))
}

/** What may go wrong with files. All else would mean something to who asks that is not the worker's to say. */
const kinds: ReadonlySet<FailureKind> = new Set<FailureKind>([
  'not-found',
  'exists',
  'no-parent',
  'not-empty',
  'is-directory',
  'not-directory',
  'conflict',
  'denied',
  'precondition',
  'bad-range',
  'bad-digest',
  'incomplete',
  'invalid',
  'too-large',
  'no-space',
  'elsewhere',
  'unsupported',
  'unavailable',
])

function plainFailure(error: unknown): unknown {
  if (!(error instanceof Failure)) return error
  const { kind, message, path, size, retryAfterSeconds } = error
  if (kind === 'unauthenticated')
    return new Failure('unavailable', 'The login is over; try again.', { retryAfterSeconds: 1 })
  if (!kinds.has(kind)) return new Failure('unavailable', 'This failed; try again shortly.', { retryAfterSeconds: 1 })
  return new Failure(kind, message, {
    cause: error,
    ...(path !== undefined && { path }),
    ...(size !== undefined && { size }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  })
}
