import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { Failure } from '../../core/failure.js'
import { maxPasswordBytes, Turns, type PasswordHasher } from '../password-hash.js'
import type { CheckQuestion } from './check-thread.js'
import { dummyLike, knownHash, verifyFormat } from './formats.js'

/** Checks passwords against the hashes of a source that Postern does not write. */
export interface PasswordChecks {
  /**
   * Whether the password is that of the hash. A wrong one costs as much as the dearest of `all`, whatever its own hash
   * costs and whether there is one: from outside, names cannot be told apart. Throws `throttled` where too many wait.
   */
  verify(stored: string | undefined, password: string, dearest: string | undefined): Promise<boolean>
  close(): Promise<void>
}

/** How long an idle thread is kept. */
const idleMilliseconds = 60_000

/** How many checks may wait for the one that runs. */
const mayWait = 64

/** Makes one; its thread begins with the first costly check and ends when it has been idle. */
export function openPasswordChecks(hasher: PasswordHasher): PasswordChecks {
  const turns = new Turns(1, mayWait)
  const thread = new CheckThread()

  async function right(stored: string, password: string): Promise<boolean> {
    const known = knownHash(stored)
    if (known === undefined) return false
    if (known.format === 'argon2id') return hasher.verify(stored, password)
    return turns.run(() => thread.ask({ stored, password }))
  }

  return {
    async verify(stored, password, dearest) {
      const usable = stored !== undefined && isPossible(password)
      if (usable && (await right(stored, password))) return true
      // One that is as dear as the dearest has paid already.
      const paid = usable ? (knownHash(stored)?.cost ?? 0) : 0
      const owed = dearest === undefined ? 0 : (knownHash(dearest)?.cost ?? 0)
      if (dearest !== undefined && owed > paid) {
        if (knownHash(dearest)?.format === 'argon2id') await hasher.verify(undefined, '')
        else await right(dummyLike(dearest), isPossible(password) ? password : '')
      }
      return false
    },
    close: () => thread.end(),
  }
}

/** bcrypt and crypt(3) take C strings: behind a NUL they see nothing, or the beginning again. */
function isPossible(password: string): boolean {
  return Buffer.byteLength(password) <= maxPasswordBytes && !password.includes('\0')
}

/** One thread for one question at a time. */
class CheckThread {
  #worker: Worker | undefined
  #idle: NodeJS.Timeout | undefined

  async ask(question: CheckQuestion): Promise<boolean> {
    const entry = new URL('./check-thread.js', import.meta.url)
    // In a bundle there is no file for a thread; then the check runs here.
    if (!existsSync(entry)) {
      const { default: bcrypt } = await import('bcryptjs')
      return verifyFormat(question.stored, question.password, bcrypt)
    }
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
