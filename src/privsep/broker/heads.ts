import { Failure } from '../../core/failure.js'
import type { Asked, Head, TableEntry } from '../wire/link.js'

/** Reads the head of a message; undefined where it has not exactly the shape that it must have. */
export type ReadHead<T> = (head: Head) => T | undefined

/** A message of which nothing is let through but what is expected. */
export interface Message<T> {
  /** Of its head as JSON. */
  readonly maxBytes: number
  readonly read: ReadHead<T>
  readonly handle: (value: T) => Promise<Head | undefined> | Head | undefined
}

/** For the number of a question, its name, and the punctuation around them. */
const frameBytes = 128

/** Entries of a table that call `onBroken`, with the rule, for a message of another shape; it is not handled then. */
export function strictTable(
  messages: Readonly<Record<string, Message<unknown>>>,
  onBroken: (why: string) => void,
): Readonly<Record<string, TableEntry>> {
  const entry = ([name, { maxBytes, read, handle }]: readonly [string, Message<unknown>]): [string, TableEntry] => [
    name,
    {
      maxBytes: maxBytes + frameBytes,
      async handle({ head, bytes }: Asked) {
        const value = bytes.length > 0 ? undefined : read(head)
        if (value === undefined) {
          onBroken(`a ${name} of another shape`)
          throw new Failure('invalid', 'The message has another shape.')
        }
        const answer = await handle(value)
        return answer && { head: answer }
      },
    },
  ]
  return Object.fromEntries(Object.entries(messages).map(entry))
}

/** A message with the type of its own value, for a table of several. */
export function message<T>(maxBytes: number, read: ReadHead<T>, handle: Message<T>['handle']): Message<unknown> {
  // `handle` only ever gets what `read` has given.
  return { maxBytes, read, handle: (value) => handle(value as T) }
}

/** Whether a head has these keys and no other. */
export function hasOnly(head: Head, ...keys: readonly string[]): boolean {
  return Object.keys(head).every((key) => keys.includes(key))
}

/** Head of a message that says nothing more. */
export function readNothing(head: Head): true | undefined {
  return hasOnly(head) || undefined
}

/** Text of one line that shows what it is: fit for a log and a terminal. */
export function isPlainText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength && !/[\p{C}\u2028\u2029]/u.test(value)
}

/** One of the numbers that this process gives out. */
export function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
}
