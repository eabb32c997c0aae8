import { parentPort } from 'node:worker_threads'
import bcrypt from 'bcryptjs'
import { verifyFormat } from './formats.js'

/** A question to the thread of `openPasswordChecks`. */
export interface CheckQuestion {
  readonly stored: string
  readonly password: string
}

// The thread's program: each question is answered by true or false, in order.
parentPort?.on('message', ({ stored, password }: CheckQuestion) => {
  parentPort?.postMessage(verifyFormat(stored, password, bcrypt))
})
