import { constants, setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import bcrypt from 'bcryptjs'
import { loadArgon2 } from '../argon2.js'
import { verifyFormat } from './formats.js'

/** A question to the thread. Whoever asks has looked whether the hash is one of a bearable cost. */
export interface CheckQuestion {
  readonly stored: string
  readonly password: string
  /** Is checked as well where the password is not right, and its answer dropped: one visit costs what two would. */
  readonly besides?: string
}

// Whoever floods a server with wrong passwords gets a tenth of what its transfers get. On Linux this is about one thread.
try {
  if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL)
} catch {
  // Where a sandbox forbids it, checks are merely not slower than the rest.
}

// The thread's program: each question is answered by true or false, in order.
parentPort?.on('message', ({ stored, password, besides }: CheckQuestion) => {
  const right = stored.startsWith('$argon2id$')
    ? loadArgon2().verifySync(stored, password)
    : verifyFormat(stored, password, bcrypt)
  if (!right && besides !== undefined) verifyFormat(besides, password, bcrypt)
  parentPort?.postMessage(right)
})
