import { Failure } from '../../core/failure.js'
import type { PamHelper, StartPam } from './spawned-pam.js'
import { readAnswer } from './question.js'
import type { PamAnswer } from './question.js'

interface Pending {
  settle(answer: PamAnswer): void
  fail(failure: Failure): void
}

/**
 * One process that asks PAM, for one question at a time: what hangs, crashes or forks in there takes nothing along.
 */
export class PamProcess {
  /** Resolves, with how it ended, when the process is gone. */
  readonly gone: Promise<string>
  readonly #starting: Promise<PamHelper | undefined>
  #helper: PamHelper | undefined
  #isBroken = false
  #asked = 0
  #pending: Pending | undefined
  #received: Buffer = Buffer.alloc(0)

  /** One that cannot be started is a process that is gone. */
  constructor(start: StartPam) {
    this.#starting = this.#start(start)
    this.gone = this.#starting.then((helper) => helper?.gone ?? 'it could not be started')
    void this.gone.then((how) => {
      this.#isBroken = true
      this.#fail(how)
    })
  }

  async #start(start: StartPam): Promise<PamHelper | undefined> {
    try {
      const helper = await start()
      this.#helper = helper
      helper.questions?.on('error', () => undefined)
      helper.answers?.on('error', () => undefined)
      helper.answers?.on('data', (bytes: Buffer) => this.#take(bytes))
      if (this.#isBroken) helper.kill()
      return helper
    } catch (error) {
      this.#isBroken = true
      this.#fail(error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  /** Whether it is gone or about to go. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** How many questions it was asked. */
  get asked(): number {
    return this.#asked
  }

  /** Undefined where another process has started it. */
  get pid(): number | undefined {
    return this.#helper?.pid
  }

  /**
   * Sends a question and fills its frame with zeros then. One at a time. Throws `unavailable` where no answer comes in time
   * or none that can be understood; the process is dead then.
   */
  async ask(frame: Buffer, milliseconds: number): Promise<PamAnswer> {
    this.#asked += 1
    const patience = setTimeout(() => {
      this.#fail(`no answer within ${milliseconds / 1000} s`)
      this.kill()
    }, milliseconds)
    try {
      return await new Promise<PamAnswer>((settle, fail) => {
        this.#pending = { settle, fail }
        if (this.#isBroken) this.#fail('it had ended before')
        else if (this.#helper !== undefined) this.#helper.questions?.write(frame, () => frame.fill(0))
        else void this.#starting.then((helper) => helper?.questions?.write(frame, () => frame.fill(0)))
      })
    } finally {
      clearTimeout(patience)
      this.#pending = undefined
    }
  }

  /** Lets it go when it has answered. */
  end(): void {
    this.#helper?.questions?.end()
  }

  kill(): void {
    this.#isBroken = true
    this.#helper?.kill()
  }

  #fail(why: string): void {
    this.#pending?.fail(new Failure('unavailable', `A login by PAM came to nothing: ${why}.`, { retryAfterSeconds: 5 }))
  }

  #take(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    const answer = this.#pending === undefined ? 'nonsense' : readAnswer(this.#received)
    if (answer === undefined) return
    this.#received = Buffer.alloc(0)
    if (answer === 'nonsense') {
      this.#fail('the answer makes no sense')
      this.kill()
    } else this.#pending?.settle(answer)
  }
}
