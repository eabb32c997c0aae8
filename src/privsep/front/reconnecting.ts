import { Failure } from '../../core/failure.js'
import type { Answered, AskOptions, Head, Link, LinkEnd } from '../wire/link.js'

export interface ReconnectingOptions {
  /** Rejects where nobody is there. */
  readonly connect: () => Promise<Link>
  /** Told when the link ends, and when there is one again. */
  readonly onLost: (end: LinkEnd) => void
  readonly onBack: () => void
}

const firstPauseMilliseconds = 50
const longestPauseMilliseconds = 5000

/** A link to a process that may die and come back: asks it while it is there. */
export class Reconnecting implements Pick<Link, 'ask'> {
  readonly #options: ReconnectingOptions
  #link: Link | undefined
  #pause: NodeJS.Timeout | undefined
  #isClosed = false

  private constructor(options: ReconnectingOptions, link: Link) {
    this.#options = options
    this.#take(link)
  }

  /** Rejects where the first connection fails. */
  static async open(options: ReconnectingOptions): Promise<Reconnecting> {
    return new Reconnecting(options, await options.connect())
  }

  /** Throws `unavailable` at once while the process is not there. */
  async ask(name: string, head?: Head, options?: AskOptions): Promise<Answered> {
    if (this.#link === undefined)
      throw new Failure('unavailable', 'A part of the server starts again. Try again soon.', { retryAfterSeconds: 1 })
    return await this.#link.ask(name, head, options)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#pause)
    this.#link?.close()
  }

  #take(link: Link): void {
    this.#link = link
    void link.closed.then((end) => {
      this.#link = undefined
      if (this.#isClosed) return
      this.#options.onLost(end)
      this.#retry(firstPauseMilliseconds)
    })
  }

  #retry(milliseconds: number): void {
    this.#pause = setTimeout(() => void this.#connect(milliseconds), milliseconds).unref()
  }

  async #connect(paused: number): Promise<void> {
    try {
      const link = await this.#options.connect()
      if (this.#isClosed) link.close()
      else {
        this.#take(link)
        this.#options.onBack()
      }
    } catch {
      if (!this.#isClosed) this.#retry(Math.min(paused * 2, longestPauseMilliseconds))
    }
  }
}
