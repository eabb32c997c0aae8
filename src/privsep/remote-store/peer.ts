import { close } from 'node:fs'
import type { Failure } from '../../core/failure.js'
import type { Answered, AskOptions, Head } from '../wire/link.js'
import type { RemoteNotes } from './notes.js'
import type { LastWords } from './write-last-word.js'

/** The process of a user, as long as it lives. */
export interface Peer {
  ask(name: string, head?: Head, options?: AskOptions): Promise<Answered>
  /** Open files can come along with answers. */
  readonly passes: boolean
  /** The writes under way there; its table answers this process. */
  readonly lastWords: LastWords
  /** It is not idle until the function that this gives is called. */
  hold(): () => void
  /** It broke the rules: has it ended, and gives what is to be thrown. */
  distrust(why: string): Failure
}

/** A mount, as the process of a user serves it. */
export interface RemoteMount {
  /** Its number there. */
  readonly mount: number
  readonly notes: RemoteNotes
  /** The process, started where there is none; throws `unavailable`, or `denied`. */
  connect(): Peer | Promise<Peer>
}

/** Asks what is answered without an open file. */
export async function askPlainly(peer: Peer, name: string, head: Head, options?: AskOptions): Promise<Answered> {
  const answered = await peer.ask(name, head, options)
  if (answered.descriptor === undefined) return answered
  close(answered.descriptor, () => undefined)
  throw peer.distrust(`an open file with the answer to ${name}`)
}

/** An honest process has done so long after it was told that nobody waits any more. */
const patienceMilliseconds = 60_000

/** Has a process ended that goes on, or does not answer, long after the signal has aborted. `end` must be called. */
export class Patience {
  readonly #peer: Pick<Peer, 'distrust'>
  readonly #signal: AbortSignal | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #begin = (): void => {
    this.#timer = setTimeout(() => this.#peer.distrust('does not give up'), patienceMilliseconds).unref()
  }

  constructor(peer: Pick<Peer, 'distrust'>, signal: AbortSignal | undefined) {
    this.#peer = peer
    this.#signal = signal
    if (signal?.aborted === true) this.#begin()
    else signal?.addEventListener('abort', this.#begin, { once: true })
  }

  end(): void {
    this.#signal?.removeEventListener('abort', this.#begin)
    clearTimeout(this.#timer)
  }
}
