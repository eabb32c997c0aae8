import { Failure } from '../../core/failure.js'
import type { StartPam } from './spawned-pam.js'
import { PamProcess } from './process.js'
import { questionFrame } from './question.js'
import type { PamAnswer, PamQuestion, PamRules } from './question.js'

/** Logins by PAM, wherever PAM is asked. */
export interface PamLogins {
  /**
   * `password`: undefined where what was shown cannot be one. All that is not accepted takes the same time, as far as PAM
   * lets it. Throws `unavailable` where PAM cannot say, does not in time, or too many wait.
   */
  login(user: string, password: string | undefined, address?: string): Promise<PamAnswer>
  /** Of an account as it is now; undefined where there is none. Throws `unavailable`. */
  stampOf(user: string): Promise<string | undefined>
  close(): Promise<void>
}

export interface PamPoolOptions {
  /** Starts a process that runs `servePam`. */
  readonly start: StartPam
  readonly service: string
  readonly rules: PamRules
  readonly stampKey: Uint8Array
  /** At most so many processes, each with one login at a time. */
  readonly processes: number
  /** For one login, and for waiting until it can begin. */
  readonly timeoutSeconds: number
  /** No refusal comes sooner after PAM was asked. */
  readonly refusalMilliseconds: number
  readonly warn: (facts: object, message: string) => void
}

const mayWait = 128
const idleMilliseconds = 60_000
/** What modules have leaked goes with the process. */
const questionsPerProcess = 1000
const longestPauseMilliseconds = 5000

interface Waiting {
  readonly take: (process: PamProcess) => void
  readonly fail: (failure: Failure) => void
  readonly patience: NodeJS.Timeout
}

/** Asks PAM in processes of their own, which begin with the first login and end when there is none for a minute. */
export class PamPool implements PamLogins {
  readonly #options: PamPoolOptions
  /** With the timer that ends it. */
  readonly #idle = new Map<PamProcess, NodeJS.Timeout>()
  readonly #all = new Set<PamProcess>()
  readonly #waiting: Waiting[] = []
  /** How many have failed since the last answer. */
  #failures = 0
  #pause: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: PamPoolOptions) {
    this.#options = options
  }

  async login(user: string, password: string | undefined, address?: string): Promise<PamAnswer> {
    const process = await this.#claim()
    const { refusalMilliseconds } = this.#options
    const earliest = performance.now() + refusalMilliseconds
    const answer = await this.#ask(process, 'login', user, password, address)
    if (answer.kind !== 'accepted') await until(earliest)
    return answer
  }

  async stampOf(user: string): Promise<string | undefined> {
    const answer = await this.#ask(await this.#claim(), 'stamp', user)
    return answer.kind === 'stamp' ? answer.stamp : undefined
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#pause)
    for (const { fail, patience } of this.#waiting.splice(0)) {
      clearTimeout(patience)
      fail(unavailable('Logins by PAM have ended.'))
    }
    for (const timer of this.#idle.values()) clearTimeout(timer)
    const gone = [...this.#all].map((process) => process.gone)
    for (const process of this.#all) process.kill()
    await Promise.all(gone)
  }

  async #ask(
    process: PamProcess,
    ask: PamQuestion['ask'],
    user: string,
    password?: string,
    address?: string,
  ): Promise<PamAnswer> {
    const { service, rules, stampKey, timeoutSeconds, warn } = this.#options
    const question = {
      ask,
      service,
      user,
      rules,
      stampKey: Buffer.from(stampKey).toString('base64'),
      ...(address !== undefined && { address }),
    }
    try {
      const answer = await process.ask(questionFrame(question, password), timeoutSeconds * 1000)
      this.#failures = 0
      if (answer.kind === 'failed') throw unavailable(`A login by PAM came to nothing: ${answer.why}.`)
      this.#release(process)
      return answer
    } catch (error) {
      if (!process.isBroken) this.#release(process)
      else {
        this.#failures += 1
        const reason = error instanceof Error ? error.message : String(error)
        warn({ service, user, pid: process.pid, reason }, 'a process that asks PAM was lost')
      }
      throw error
    }
  }

  /** A process for one question. */
  #claim(): Promise<PamProcess> {
    if (this.#isClosed) return Promise.reject(unavailable('Logins by PAM have ended.'))
    if (this.#waiting.length >= mayWait) return Promise.reject(unavailable('Too many logins by PAM wait.', 1))
    return new Promise((take, fail) => {
      const patience = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        fail(unavailable('No process was free for a login by PAM in time.'))
      }, this.#options.timeoutSeconds * 1000)
      const waiting: Waiting = { take, fail, patience }
      this.#waiting.push(waiting)
      this.#supply()
    })
  }

  /** Gives those who wait what there is. */
  #supply(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const process = this.#free()
      if (process === undefined) return
      this.#waiting.shift()
      clearTimeout(next.patience)
      next.take(process)
    }
  }

  #free(): PamProcess | undefined {
    for (const [process, timer] of this.#idle) {
      clearTimeout(timer)
      this.#idle.delete(process)
      if (!process.isBroken) return process
    }
    const { processes, start } = this.#options
    if (this.#isClosed || this.#all.size >= processes || this.#pause !== undefined) return undefined
    const process = new PamProcess(start)
    this.#all.add(process)
    void process.gone.then(() => this.#buried(process))
    return process
  }

  #buried(process: PamProcess): void {
    this.#all.delete(process)
    clearTimeout(this.#idle.get(process))
    this.#idle.delete(process)
    // To start processes that die at once would cost more than the logins do.
    if (this.#failures > 0 && this.#pause === undefined && !this.#isClosed) {
      const milliseconds = Math.min(50 * 2 ** Math.min(this.#failures, 10), longestPauseMilliseconds)
      this.#pause = setTimeout(() => {
        this.#pause = undefined
        this.#supply()
      }, milliseconds).unref()
    }
    this.#supply()
  }

  #release(process: PamProcess): void {
    if (this.#isClosed || process.asked >= questionsPerProcess) {
      process.end()
      return
    }
    const timer = setTimeout(() => {
      this.#idle.delete(process)
      process.end()
    }, idleMilliseconds)
    this.#idle.set(process, timer.unref())
    this.#supply()
  }
}

function unavailable(message: string, retryAfterSeconds = 5): Failure {
  return new Failure('unavailable', message, { retryAfterSeconds })
}

/** On the clock of `performance.now()`. */
function until(time: number): Promise<void> {
  const left = time - performance.now()
  return left <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, left))
}
