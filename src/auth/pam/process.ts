import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { Failure } from '../../core/failure.js'
import { answerDescriptor, questionDescriptor, readAnswer } from './question.js'
import type { PamAnswer } from './question.js'

interface Pending {
  settle(answer: PamAnswer): void
  fail(failure: Failure): void
}

/**
 * One process that asks PAM, for one question at a time: what hangs, crashes or forks in there takes nothing along. It is
 * reached by two pipes and holds nothing of this process beside them, neither its environment nor its descriptors.
 */
export class PamProcess {
  /** Resolves, with how it ended, when the process is gone. */
  readonly gone: Promise<string>
  readonly #child: ChildProcess
  readonly #questions: Socket | undefined
  #isBroken = false
  #asked = 0
  #pending: Pending | undefined
  #received: Buffer = Buffer.alloc(0)

  private constructor(child: ChildProcess) {
    this.#child = child
    this.gone = new Promise((resolve) => {
      const ended = (how: string): void => {
        this.#isBroken = true
        resolve(how)
        this.#fail(how)
      }
      child.once('error', (error) => ended(error.message))
      child.once('exit', (code, signal) => ended(signal ?? `exit code ${code ?? 'unknown'}`))
    })
    this.#questions = child.stdio[questionDescriptor] as Socket | undefined
    const answers = child.stdio[answerDescriptor] as Socket | undefined
    this.#questions?.on('error', () => undefined)
    answers?.on('error', () => undefined)
    answers?.on('data', (bytes: Buffer) => this.#take(bytes))
    // It must not keep a server alive that wants to end.
    child.unref()
    this.#questions?.unref()
    answers?.unref()
  }

  /** `command`: a program and its arguments. A program that cannot be started is a process that is gone. */
  static start([program = '', ...args]: readonly string[]): PamProcess {
    return new PamProcess(
      spawn(program, args, {
        cwd: '/',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
        // A group of its own, so that what it has started ends with it.
        detached: true,
      }),
    )
  }

  /** Whether it is gone or about to go. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** How many questions it was asked. */
  get asked(): number {
    return this.#asked
  }

  get pid(): number | undefined {
    return this.#child.pid
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
        else this.#questions?.write(frame, () => frame.fill(0))
      })
    } finally {
      clearTimeout(patience)
      this.#pending = undefined
    }
  }

  /** Lets it go when it has answered. */
  end(): void {
    this.#questions?.end()
  }

  kill(): void {
    const { pid } = this.#child
    this.#isBroken = true
    if (pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It has gone by itself.
    }
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
