import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { Failure } from '../../core/failure.js'
import type { CheckQuestion } from './check-thread.js'

/** How long an idle thread is kept. */
const idleMilliseconds = 60_000

/**
 * One thread for one question at a time, behind everything else that wants the processor. It begins with the first
 * question and ends when it has been idle.
 */
export class CheckThread {
  #worker: Worker | undefined
  #idle: NodeJS.Timeout | undefined

  /** Undefined where there is no file for a thread, as when sources run as they are. Throws `unavailable` where it ends instead. */
  async ask(question: CheckQuestion): Promise<boolean | undefined> {
    const entry = new URL('./check-thread.js', import.meta.url)
    if (!existsSync(entry)) return undefined
    clearTimeout(this.#idle)
    const worker = (this.#worker ??= this.#start(entry))
    try {
      return await answerOf(worker, question)
    } finally {
      worker.unref()
      this.#idle = setTimeout(() => void this.end(), idleMilliseconds).unref()
    }
  }

  async end(): Promise<void> {
    clearTimeout(this.#idle)
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #start(entry: URL): Worker {
    const worker = new Worker(entry, { env: {}, resourceLimits: { maxOldGenerationSizeMb: 64 } })
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = undefined
    })
    return worker
  }
}

function answerOf(worker: Worker, question: CheckQuestion): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      worker.off('message', onAnswer)
      worker.off('error', onError)
      worker.off('exit', onExit)
    }
    const onAnswer = (right: unknown): void => {
      settle()
      resolve(right === true)
    }
    const fail = (cause: unknown): void => {
      settle()
      reject(new Failure('unavailable', 'Logins cannot be checked now. Try again soon.', { cause }))
    }
    const onError = (error: Error): void => fail(error)
    const onExit = (): void => fail(undefined)
    worker.on('message', onAnswer)
    worker.on('error', onError)
    worker.on('exit', onExit)
    worker.ref()
    worker.postMessage(question)
  })
}
