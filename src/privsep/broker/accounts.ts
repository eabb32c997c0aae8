import { Failure } from '../../core/failure.js'
import { spawnedPam } from '../../auth/pam/spawned-pam.js'
import { PamProcess } from '../../auth/pam/process.js'
import { questionFrame } from '../../auth/pam/question.js'
import type { KnownAccount } from '../../auth/pam/question.js'
import { dieMilliseconds, goneWithin } from './gone-within.js'

/** The accounts of this system, looked up where what modules of others do harms nobody. */
export interface Accounts {
  /** As it is now; undefined where there is none. Throws `unavailable` where that cannot be known, or not in time. */
  lookUp(name: string): Promise<KnownAccount | undefined>
  close(): Promise<void>
}

export interface AccountsOptions {
  /** The program, with its arguments, that runs `servePam`. */
  readonly command: readonly string[]
  readonly timeoutMilliseconds: number
  /** Told of a process that was lost. */
  readonly warn: (facts: object, message: string) => void
}

const mayWait = 128
const idleMilliseconds = 60_000
/** What modules have leaked goes with the process. */
const questionsPerProcess = 1000
const longestPauseMilliseconds = 5000

/** One process, with one question after the other; it begins with the first, and ends when there is none for a minute. */
export class AccountProcess implements Accounts {
  readonly #options: AccountsOptions
  /** Those who want to know the same are answered together, if the question was not asked yet. */
  readonly #waiting = new Map<string, Promise<KnownAccount | undefined>>()
  #last: Promise<unknown> = Promise.resolve()
  #process: PamProcess | undefined
  #idle: NodeJS.Timeout | undefined
  #failures = 0
  /** On the clock of `performance.now()`. */
  #notBefore = 0
  #isClosed = false

  constructor(options: AccountsOptions) {
    this.#options = options
  }

  lookUp(name: string): Promise<KnownAccount | undefined> {
    const waiting = this.#waiting.get(name)
    if (waiting !== undefined) return waiting
    if (this.#waiting.size >= mayWait) return Promise.reject(unavailable('too many look-ups wait', 1))
    const answer = this.#last.then(() => {
      this.#waiting.delete(name)
      return this.#ask(name)
    })
    this.#waiting.set(name, answer)
    this.#last = answer.catch(() => undefined)
    return answer
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const process = this.#process
    process?.kill()
    await goneWithin(dieMilliseconds, this.#last, process?.gone ?? Promise.resolve())
    clearTimeout(this.#idle)
  }

  async #ask(user: string): Promise<KnownAccount | undefined> {
    clearTimeout(this.#idle)
    const process = this.#alive()
    try {
      const answer = await process.ask(questionFrame({ ask: 'account', user }), this.#options.timeoutMilliseconds)
      this.#failures = 0
      if (answer.kind === 'unknown') return undefined
      if (answer.kind === 'account') return answer.account
      throw unavailable(answer.kind === 'failed' ? answer.why : 'the answer makes no sense')
    } catch (error) {
      if (process.isBroken && !this.#isClosed) this.#lost(process, error)
      throw error
    } finally {
      this.#idle = setTimeout(() => this.#end(), idleMilliseconds).unref()
      if (process.asked >= questionsPerProcess) this.#end()
    }
  }

  #alive(): PamProcess {
    if (this.#isClosed) throw unavailable('the server ends')
    if (this.#process?.isBroken === false) return this.#process
    // To start processes that die at once would cost more than the look-ups do.
    if (performance.now() < this.#notBefore) throw unavailable('the process for it was lost')
    const process = new PamProcess(spawnedPam(this.#options.command))
    this.#process = process
    return process
  }

  #lost({ pid }: PamProcess, error: unknown): void {
    this.#failures += 1
    this.#notBefore = performance.now() + Math.min(50 * 2 ** Math.min(this.#failures, 10), longestPauseMilliseconds)
    const reason = error instanceof Error ? error.message : String(error)
    this.#options.warn({ pid, reason }, 'a process that looks up accounts was lost')
  }

  #end(): void {
    this.#process?.end()
    this.#process = undefined
  }
}

function unavailable(why: string, retryAfterSeconds = 5): Failure {
  return new Failure('unavailable', `Accounts of this system cannot be looked up now: ${why}.`, { retryAfterSeconds })
}
