import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { Failure } from '../../core/failure.js'
import { maxPasswordBytes, Turns, type PasswordHasher } from '../password-hash.js'
import type { CheckQuestion } from './check-thread.js'
import { dummyLike, knownHash, verifyFormat } from './formats.js'

/** Checks passwords against the hashes of a source that Postern does not write. */
export interface PasswordChecks {
  /** Whether the password is that of the hash. Throws `throttled` where too many wait. */
  verify(stored: string | undefined, password: string, costs: CheckCosts): Promise<boolean>
  close(): Promise<void>
}

/** What a wrong password costs, so that from outside no name can be told from another. */
export interface CheckCosts {
  /** The hash that is paid for where there is none, or one that is not understood: one of the source, the same for a name each time. */
  readonly standIn: string | undefined
  /** Of all hashes of the source the one that costs most: it is paid for after each one that costs less. */
  readonly dearest: string | undefined
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

  async function spend(like: string | undefined, password: string): Promise<void> {
    if (like === undefined) return
    if (knownHash(like)?.format === 'argon2id') await hasher.verify(undefined, '')
    else await right(dummyLike(like), password)
  }

  return {
    async verify(stored, password, { standIn, dearest }) {
      const possible = isPossible(password)
      const own = possible && stored !== undefined && knownHash(stored) !== undefined ? stored : undefined
      if (own === undefined) await spend(standIn, possible ? password : '')
      else if (await right(own, password)) return true
      if (costOf(dearest) > costOf(own ?? standIn)) await spend(dearest, possible ? password : '')
      return false
    },
    close: () => thread.end(),
  }
}

function costOf(stored: string | undefined): number {
  return stored === undefined ? 0 : (knownHash(stored)?.cost ?? 0)
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
