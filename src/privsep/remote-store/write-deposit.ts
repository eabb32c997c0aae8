import { close } from 'node:fs'
import { isFailure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import { fileFailure } from '../../store/local/errors.js'
import type { Taker } from '../../store/local/pour.js'
import { writeAt } from '../../store/local/staging.js'
import type { Answered, Head } from '../wire/link.js'
import { askPlainly, Patience, type Peer } from './peer.js'

/** Sent in one message, at most, where files cannot be passed; and so many messages are on their way at a time. */
const messageBytes = 256 * 1024
const messagesAtOnce = 2

/** No file is longer: where the bytes of a part go, in a file of parts, is checked by it. */
const farthest = 2 ** 50

/**
 * A file that the process of a user holds open, and that is filled from here: by its descriptor where that can be passed,
 * in messages else. `end` must be called.
 */
export class Deposit {
  readonly #peer: Peer
  readonly #op: number
  readonly #path: StorePath
  readonly #passes: boolean
  #taker: Taker | undefined
  #patience: Patience | undefined
  #fd: number | undefined

  /** `passes` false for bytes that the other side has to see. */
  constructor(peer: Peer, op: number, path: StorePath, passes: boolean) {
    this.#peer = peer
    this.#op = op
    this.#path = path
    this.#passes = passes && peer.passes
  }

  /** Begins it. Gives the answer. */
  async begin(name: string, head: Head, signal: AbortSignal | undefined): Promise<Head> {
    this.#patience = new Patience(this.#peer, signal)
    return (await askPlainly(this.#peer, name, { ...head, op: this.#op }, { signal })).head
  }

  /** What takes the bytes of the present piece. */
  readonly open = (): Taker | Promise<Taker> => this.#taker ?? this.#open()

  /** Ends a piece of so many bytes. */
  async next(size: number): Promise<void> {
    this.#letGo()
    this.#taker = undefined
    await askPlainly(this.#peer, 'write-next', { op: this.#op, size })
  }

  /** Ends the last piece, of which `bytes` have not been sent yet. Gives the answer; when the signal aborts, that of giving up. */
  async commit(size: number, bytes: Uint8Array, asks: boolean, signal: AbortSignal | undefined): Promise<Head> {
    const giveUp = (): void => void this.abandon()
    signal?.addEventListener('abort', giveUp)
    try {
      const ask = (): Promise<Answered> =>
        askPlainly(this.#peer, 'write-commit', { op: this.#op, size, asks }, { bytes })
      const { head } = await (asks && bytes.length > 0 ? this.#peer.lastWords.inTurn(ask) : ask())
      return head
    } finally {
      signal?.removeEventListener('abort', giveUp)
    }
  }

  /** Resolves, never rejects, once nothing is left, or nobody is there to leave anything. */
  async abandon(): Promise<void> {
    await this.#peer.ask('write-abort', { op: this.#op }).catch(() => undefined)
  }

  end(): void {
    this.#patience?.end()
    this.#letGo()
  }

  async #open(): Promise<Taker> {
    if (this.#passes) {
      const { descriptor, head } = await this.#peer.ask('write-open', { op: this.#op })
      if (descriptor !== undefined) {
        this.#fd = descriptor
        if (!Number.isSafeInteger(head.at) || (head.at as number) < 0 || (head.at as number) > farthest)
          throw this.#peer.distrust('a place in a file that is none')
        return (this.#taker = new PassedFile(this.#peer, this.#path, descriptor, head.at as number))
      }
    }
    return (this.#taker = new AppendedFile(this.#peer, this.#op))
  }

  #letGo(): void {
    if (this.#fd === undefined) return
    // To close what was just written can wait for a disk far away.
    close(this.#fd, () => undefined)
    this.#fd = undefined
  }
}

/** Written to as if it were our own: the disk counts the bytes for whoever owns the file. */
class PassedFile implements Taker {
  readonly #peer: Peer
  readonly #path: StorePath
  readonly #fd: number
  #position: number

  constructor(peer: Peer, path: StorePath, fd: number, position: number) {
    this.#peer = peer
    this.#path = path
    this.#fd = fd
    this.#position = position
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    const position = this.#position
    this.#position += chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    try {
      await writeAt(this.#fd, chunks, position)
    } catch (error) {
      const failure = fileFailure(error, this.#path)
      // Full disks and bad ones are nobody's fault; a file that cannot be written to at all was not passed in good faith.
      throw isFailure(failure, 'no-space') || hasCode(error, 'EIO', 'ESTALE')
        ? failure
        : this.#peer.distrust(`an open file that cannot be written to: ${String(error)}`)
    }
  }
}

/** Sent on without waiting for each; what fails shows with a later one, or in the end. */
class AppendedFile implements Taker {
  readonly #peer: Peer
  readonly #op: number
  readonly #underWay: Promise<unknown>[] = []

  constructor(peer: Peer, op: number) {
    this.#peer = peer
    this.#op = op
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    for (const bytes of messagesOf(chunks)) {
      if (this.#underWay.length >= messagesAtOnce) await this.#underWay.shift()
      const sent = askPlainly(this.#peer, 'write-append', { op: this.#op }, { bytes })
      sent.catch(() => undefined)
      this.#underWay.push(sent)
    }
  }
}

function* messagesOf(chunks: readonly Uint8Array[]): Generator<Uint8Array> {
  let pending: Uint8Array[] = []
  let bytes = 0
  for (const chunk of chunks)
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + messageBytes - bytes)
      pending.push(piece)
      bytes += piece.length
      at += piece.length
      if (bytes < messageBytes) continue
      yield asOne(pending)
      pending = []
      bytes = 0
    }
  if (bytes > 0) yield asOne(pending)
}

/** Small files come in one chunk, mostly. */
export function asOne(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks)
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
