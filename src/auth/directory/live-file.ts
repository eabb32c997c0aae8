import { closeSync, constants, fstatSync, openSync, readSync, statSync, type BigIntStats } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'
import { Failure } from '../../core/failure.js'

/** What is in a file, as it is now. */
export interface LiveFile<Facts> {
  /**
   * What the file says: a change of it holds for every request that is read from the network after it. Throws
   * `unavailable` where the file is gone, or is none that may be trusted.
   */
  facts(): Promise<Facts>
}

export interface LiveFileOptions<Facts> {
  /** Absolute. */
  readonly file: string
  readonly maxBytes: number
  readonly parse: (text: string) => Parsed<Facts>
  /** Told what an owner should know, once for each change. Never with a secret. */
  readonly warn: (facts: object, message: string) => void
  /** The file holds secrets as they are: others on this host should not be able to read it. */
  readonly secret?: boolean
}

/** What a text says. */
export interface Parsed<Facts> {
  /** Absent where the text cannot be understood as a whole: what was there before goes on. */
  readonly facts?: Facts
  /** Why it looks as if it were still being written: it is waited for a moment. */
  readonly unfinished?: string
  /** Lines that count for nothing, for the owner. Never with a secret. */
  readonly problems: readonly LineProblem[]
}

export interface LineProblem {
  readonly line: number
  readonly why: string
}

/** A save that truncates and writes, or that removes and makes anew, is waited for so long. */
const patienceMilliseconds = 200
const lookMilliseconds = 20

/** The finest grain of time stamps that is relied upon: a younger content may change again and look the same. */
const grainMilliseconds = 50

/**
 * Follows one file. It is looked at in every turn of the event loop in which it is asked for, by its inode, size and
 * times, and read when these have changed; a content so young that its times could hide a further change is read again.
 * A text that looks unfinished is waited for. One that cannot be understood does not count: what the file said before goes
 * on, however long, and the owner is warned. A file that is gone, unreadable, no regular file, or writable by everybody
 * lets nobody in. A symbolic link is followed: the owner has named it.
 */
export function liveFile<Facts extends object>(options: LiveFileOptions<Facts>): LiveFile<Facts> {
  return new OneLiveFile(options)
}

interface Loaded<Facts> {
  /** What the file looked like. */
  readonly state: string
  readonly text: string
  readonly facts: Facts
  readonly problems: readonly LineProblem[]
}

type Look<Facts> =
  | { readonly kind: 'whole'; readonly loaded: Loaded<Facts> }
  /** It may be being written; `loaded` is what it says if nothing more comes. */
  | { readonly kind: 'unfinished'; readonly why: string; readonly loaded?: Loaded<Facts> }
  /** Nothing to trust. */
  | { readonly kind: 'closed'; readonly why: string }

class OneLiveFile<Facts extends object> implements LiveFile<Facts> {
  readonly #options: LiveFileOptions<Facts>
  #loaded: Loaded<Facts> | undefined
  /** A state that is not waited for any more. */
  #waitedFor = ''
  #ofThisTurn: Promise<Facts> | undefined
  #warned = ''

  constructor(options: LiveFileOptions<Facts>) {
    this.#options = options
  }

  facts(): Promise<Facts> {
    if (this.#ofThisTurn === undefined) {
      setImmediate(() => (this.#ofThisTurn = undefined))
      this.#ofThisTurn = this.#settled()
    }
    return this.#ofThisTurn
  }

  async #settled(): Promise<Facts> {
    let look = this.#look()
    for (let left = patienceMilliseconds; look.kind !== 'whole' && left > 0; left -= lookMilliseconds) {
      if (this.#waitedFor === this.#state()) break
      await after(lookMilliseconds)
      look = this.#look()
    }
    if (look.kind !== 'whole') this.#waitedFor = this.#state()
    if (look.kind !== 'closed' && look.loaded !== undefined) return this.#accept(look.loaded)
    const { file } = this.#options
    const { why } = look as Exclude<typeof look, { kind: 'whole' }>
    if (look.kind === 'unfinished' && this.#loaded !== undefined) {
      this.#warn({ file, why }, 'a file of identities cannot be understood: what it said before goes on')
      return this.#loaded.facts
    }
    this.#warn({ file, why }, 'a file of identities cannot be used: it lets nobody in')
    const cause = new Error(why)
    throw new Failure('unavailable', 'Logins cannot be checked now. Try again soon.', { retryAfterSeconds: 5, cause })
  }

  #accept(next: Loaded<Facts>): Facts {
    const { file } = this.#options
    const known = this.#loaded
    this.#loaded = next
    if (known?.facts !== next.facts)
      for (const problem of next.problems)
        this.#warn({ file, ...problem }, 'a line of a file of identities counts for nothing')
    return next.facts
  }

  /** Without a pause: a turn of the event loop sees one state of the file. */
  #look(): Look<Facts> {
    const loaded = this.#loaded
    try {
      const stats = statSync(this.#options.file, { bigint: true })
      if (loaded !== undefined && loaded.state === stateOf(stats)) return { kind: 'whole', loaded }
      return this.#read(stats)
    } catch (error) {
      if (!isSystemError(error)) throw error
      return { kind: 'closed', why: error.code }
    }
  }

  #read(seen: BigIntStats): Look<Facts> {
    const { file, maxBytes } = this.#options
    const why = distrusted(seen)
    if (why !== undefined) return { kind: 'closed', why }
    const readAt = Date.now()
    // Never wait for a pipe that has taken the file's place.
    const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const before = fstatSync(descriptor, { bigint: true })
      if (distrusted(before) !== undefined) return { kind: 'unfinished', why: 'it changes while it is read' }
      const text = readText(descriptor, maxBytes)
      if (text === undefined) return { kind: 'unfinished', why: `it is larger than ${maxBytes} bytes` }
      const state = stateOf(before)
      if (stateOf(fstatSync(descriptor, { bigint: true })) !== state)
        return { kind: 'unfinished', why: 'it changes while it is read' }
      this.#warnOfReaders(before)
      // Another change within the grain of the clock would show the same times.
      const settled = readAt - Number(before.ctimeMs) > grainMilliseconds
      return this.#understood(settled ? state : '', text)
    } finally {
      closeSync(descriptor)
    }
  }

  #understood(state: string, text: string): Look<Facts> {
    if (this.#loaded?.text === text) return { kind: 'whole', loaded: { ...this.#loaded, state } }
    const { facts, unfinished, problems } = this.#options.parse(text)
    const loaded = facts && { state, text, facts, problems }
    if (loaded === undefined) return { kind: 'unfinished', why: unfinished ?? 'it makes no sense' }
    if (unfinished !== undefined) return { kind: 'unfinished', why: unfinished, loaded }
    // A save may begin with an empty file.
    return text === '' ? { kind: 'unfinished', why: 'it is empty', loaded } : { kind: 'whole', loaded }
  }

  #warnOfReaders(stats: BigIntStats): void {
    const { file, secret, warn } = this.#options
    if (secret !== true || (stats.mode & 0o004n) === 0n || this.#loaded !== undefined) return
    warn({ file }, 'a file with secrets can be read by everybody on this host: chmod o-r it')
  }

  #state(): string {
    try {
      return stateOf(statSync(this.#options.file, { bigint: true }))
    } catch (error) {
      return isSystemError(error) ? error.code : 'unknown'
    }
  }

  /** Not over and over for one state. */
  #warn(facts: object, message: string): void {
    const what = `${this.#state()} ${JSON.stringify(facts)}`
    if (this.#warned === what) return
    this.#warned = what
    this.#options.warn(facts, message)
  }
}

function stateOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.mode}:${stats.uid}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`
}

/** Why a file must not decide who is let in. */
function distrusted(stats: BigIntStats): string | undefined {
  if (!stats.isFile()) return 'it is no regular file'
  if ((stats.mode & 0o002n) !== 0n) return 'everybody on this host may write it: chmod o-w it'
  return undefined
}

/** Without a byte order mark; undefined where it is longer. */
function readText(descriptor: number, maxBytes: number): string | undefined {
  const chunks: Buffer[] = []
  for (let length = 0; length <= maxBytes;) {
    const chunk = Buffer.alloc(64 * 1024)
    const count = readSync(descriptor, chunk, 0, chunk.length, null)
    if (count === 0)
      return Buffer.concat(chunks)
        .toString('utf8')
        .replace(/^\uFEFF/, '')
    chunks.push(chunk.subarray(0, count))
    length += count
  }
  return undefined
}

function isSystemError(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}
