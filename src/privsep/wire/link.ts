import type { Socket } from 'node:net'
import type { DescriptorChannel } from './descriptors.js'

/** Plain data of a message, not yet looked at. */
export type Head = Readonly<Record<string, unknown>>

/** A question as it came in. */
export interface Asked {
  readonly head: Head
  /** Empty where none came. */
  readonly bytes: Uint8Array
  /** Aborted when nobody waits for the answer any more, or the link is closed. */
  readonly signal: AbortSignal
}

/** What is answered. */
export interface Answer {
  readonly head?: Head
  readonly bytes?: Uint8Array
  /** An open file that the other side gets too; closed here once it is on its way. */
  readonly descriptor?: number
}

/** What came back. Whoever gets a descriptor closes it. */
export interface Answered {
  readonly head: Head
  readonly bytes: Uint8Array
  readonly descriptor?: number
}

/** All that the other side may ask for, by name. A handler that throws `Failure` answers with it. */
export type Table = Readonly<Record<string, TableEntry>>

export interface TableEntry {
  /** Longest frame of this message, head and bytes. */
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
  /** Rejects with the failure of the other side, and with `unavailable` where the link is or gets closed. */
  ask(name: string, head?: Head, options?: AskOptions): Promise<Answered>
  /** Without an answer; lost where the link is closed. */
  tell(name: string, head?: Head): void
  /** Resolves, never rejects, with the reason: the other side has gone, `close` was called, or it broke the rules. */
  readonly closed: Promise<LinkEnd>
  close(): void
}

export interface LinkEnd {
  readonly how: 'closed' | 'gone' | 'violation'
  /** What rule was broken, for the log. */
  readonly why?: string
}

export interface LinkOptions {
  readonly table: Table
  readonly descriptors?: DescriptorChannel
  /** Longest answer, head and bytes. */
  readonly maxAnswerBytes: number
  /** Questions of the other side that are worked on at once; more wait unread. */
  readonly maxAtOnce: number
}

export type OpenLink = (socket: Socket, options: LinkOptions) => Link
