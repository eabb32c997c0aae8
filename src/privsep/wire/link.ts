import type { Socket } from 'node:net'
import { Failure } from '../../core/failure.js'
import { Asking } from './asking.js'
import type { DescriptorChannel } from './descriptors.js'
import { FrameReader, FrameWriter } from './frames.js'
import { readMessage, tellHead } from './messages.js'
import type { Message } from './messages.js'
import { Serving } from './serving.js'

/** Plain data of a message, not yet looked at. */
export type Head = Readonly<Record<string, unknown>>

/** A question as it came in. */
export interface Asked {
  readonly head: Head
  /** Empty where none came; a view of what was received, to be copied by whoever keeps it for long. */
  readonly bytes: Buffer
  /** Aborted when nobody waits for the answer any more, or the link is closed. */
  readonly signal: AbortSignal
}

/** What is answered. Bytes must not be changed afterwards. */
export interface Answer {
  readonly head?: Head
  readonly bytes?: Uint8Array
  /** An open file that the other side gets too; closed here once it is on its way, or cannot be sent. */
  readonly descriptor?: number
  /** It stays open here as well. */
  readonly keeps?: boolean
}

/** What came back. Bytes are a view, as in a question. Whoever gets a descriptor closes it. */
export interface Answered {
  readonly head: Head
  readonly bytes: Buffer
  readonly descriptor?: number
}

/** All that the other side may ask for, by name. A handler that throws `Failure` answers with it. */
export type Table = Readonly<Record<string, TableEntry>>

export interface TableEntry {
  /** Longest frame of this message, head and bytes, some 60 bytes for the link itself among them. */
  readonly maxBytes: number
  handle(asked: Asked): Promise<Answer | undefined> | Answer | undefined
}

export interface AskOptions {
  readonly bytes?: Uint8Array
  /** The other side is told when it aborts; the promise rejects as the store contract says. */
  readonly signal?: AbortSignal | undefined
  /** No limit without it; then `unavailable`. */
  readonly timeoutMilliseconds?: number
}

/** Two processes that ask each other, over one socket. */
export interface Link {
  /**
   * Questions are asked in the order of the calls. Rejects with the failure of the other side, and with `unavailable` where
   * the link is or gets closed. Bytes must not be changed before the answer. Thousands of questions, or some megabytes, that
   * are not answered yet hold up those that follow.
   */
  ask(name: string, head?: Head, options?: AskOptions): Promise<Answered>
  /** Without an answer; lost where the link is closed. */
  tell(name: string, head?: Head): void
  /** Resolves, never rejects, with the reason: the other side has gone, `close` was called, or it broke the rules. */
  readonly closed: Promise<LinkEnd>
  /** What was told or answered before still goes out. Nothing that was asked is answered. */
  close(): void
}

export interface LinkEnd {
  readonly how: 'closed' | 'gone' | 'violation'
  /** What rule was broken, for the log. */
  readonly why?: string
}

export interface LinkOptions {
  readonly table: Table
  /** Closed together with the link. */
  readonly descriptors?: DescriptorChannel
  /** Longest answer, head and bytes. */
  readonly maxAnswerBytes: number
  /**
   * Questions of the other side that are worked on at once, begun in the order in which they were asked; more wait, and in
   * the end unread. Where handlers ask back, there must be more than can wait for each other.
   */
  readonly maxAtOnce: number
  /**
   * Questions of the other side in a second, each counted once more for every KiB of it: whoever asks more is read more
   * slowly, so that one who floods leaves time for others. No limit without it.
   */
  readonly maxPerSecond?: number
  /** Told what a handler has thrown that is no `Failure`; the other side only hears that it failed. */
  readonly onFault?: (error: unknown, name: string) => void
}

/** Asks and answers over a connected socket, which nobody else may read or write from now on. */
export function openLink(socket: Socket, options: LinkOptions): Link {
  return new SocketLink(socket, options)
}

/** Of a frame that is neither in the table nor an answer: one that gives a question up, or a failure. */
const smallestLimit = 64 * 1024
/** For whatever is still on its way out after `close`. */
const lingerMilliseconds = 1000
const lost = 'What was to do this has ended; try again shortly.'

class SocketLink implements Link {
  readonly closed: Promise<LinkEnd>
  readonly #socket: Socket
  readonly #writer: FrameWriter
  readonly #reader: FrameReader
  readonly #asking: Asking
  readonly #serving: Serving
  readonly #options: LinkOptions
  #resolveClosed: (end: LinkEnd) => void = () => undefined
  #end: LinkEnd | undefined
  #paused = false

  constructor(socket: Socket, options: LinkOptions) {
    const { table, maxAnswerBytes } = options
    this.#socket = socket
    this.#options = options
    this.#writer = new FrameWriter(socket)
    this.#asking = new Asking(this.#writer)
    this.#serving = new Serving(this.#writer, options, () => socket.writableLength, this.#pace)
    const longest = Math.max(maxAnswerBytes, smallestLimit, ...Object.values(table).map(({ maxBytes }) => maxBytes))
    this.#reader = new FrameReader(longest, this.#take)
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    socket.on('data', this.#read)
    socket.on('drain', this.#drained)
    socket.on('error', this.#gone)
    socket.on('end', this.#gone)
    socket.on('close', this.#gone)
    // One of `listenOnce` does not read until it is told to.
    socket.resume()
    if (socket.destroyed) this.#gone()
  }

  ask(name: string, head?: Head, options: AskOptions = {}): Promise<Answered> {
    return this.#asking.ask(name, head, options)
  }

  tell(name: string, head?: Head): void {
    if (this.#end === undefined) this.#writer.write(tellHead(name, head), undefined)
  }

  close(): void {
    this.#finish({ how: 'closed' })
  }

  readonly #gone = (): void => {
    this.#finish({ how: 'gone' })
  }

  readonly #drained = (): void => {
    this.#serving.advance()
  }

  readonly #read = (piece: Buffer): void => {
    if (this.#end !== undefined) return
    const broken = this.#reader.read(piece)
    if (broken !== undefined) this.#finish({ how: 'violation', why: broken })
  }

  /** Reads only as long as not too much waits of what was read. */
  readonly #pace = (): void => {
    const { full } = this.#serving
    if (full === this.#paused || this.#end !== undefined) return
    this.#paused = full
    if (full) this.#socket.pause()
    else this.#socket.resume()
  }

  readonly #take = (head: Buffer, bytes: Buffer): boolean => {
    const message = readMessage(head)
    const length = head.length + bytes.length
    const broken = message === undefined ? 'a head that is no message' : this.#heed(message, bytes, length)
    if (broken !== undefined) this.#finish({ how: 'violation', why: broken })
    return this.#end === undefined
  }

  /** Gives the rule that a message breaks. */
  #heed(message: Message, bytes: Buffer, length: number): string | undefined {
    switch (message.kind) {
      case 'ask':
        return this.#serving.take(message.id, message.name, message.head, bytes, length)
      case 'tell':
        return this.#serving.take(undefined, message.name, message.head, bytes, length)
      case 'cancel':
        return this.#serving.cancel(message.id)
      case 'failure':
        return length > smallestLimit
          ? `a failure of ${length} bytes`
          : this.#asking.failed(message.id, message.failure)
      case 'answer':
        if (length > this.#options.maxAnswerBytes) return `an answer of ${length} bytes`
        return this.#heedAnswer(message.id, message.head, bytes, message.descriptor)
    }
  }

  #heedAnswer(id: number, head: Head, bytes: Buffer, number: number | undefined): string | undefined {
    if (number === undefined) return this.#asking.answered(id, { head, bytes })
    const { descriptors } = this.#options
    if (descriptors === undefined) return 'a descriptor where there is no way for one'
    try {
      return this.#asking.answered(id, { head, bytes, descriptor: descriptors.receive(number) })
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  #finish(end: LinkEnd): void {
    if (this.#end !== undefined) return
    this.#end = end
    this.#serving.end()
    this.#asking.end(new Failure('unavailable', lost, { retryAfterSeconds: 1 }))
    this.#options.descriptors?.close()
    if (end.how === 'closed') {
      this.#writer.flush()
      this.#socket.resume()
      this.#socket.destroySoon()
      setTimeout(() => this.#socket.destroy(), lingerMilliseconds).unref()
    } else this.#socket.destroy()
    this.#resolveClosed(end)
  }
}
