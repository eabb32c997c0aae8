import { Failure } from '../core/failure.js'
import { loadArgon2 } from './argon2.js'
import type { Argon2 } from './argon2.js'
import { CheckThread } from './password-formats/check-threads.js'

/** Makes and checks argon2id hashes (RFC 9106), in a bounded number at a time so that a flood of logins cannot take the machine. */
export interface PasswordHasher {
  /** A hash with a salt of its own, in PHC string format. Throws `invalid` for an empty password or one over 1,024 bytes, `throttled` like `verify`. */
  hash(password: string): Promise<string>
  /**
   * Whether the password is the one of the hash. Without a hash, or with one that is none of ours, a dummy is checked
   * and the answer is no: it costs the same. Throws `throttled` where too many already wait.
   */
  verify(hash: string | undefined, password: string): Promise<boolean>
  /** Whether `verify` looks at this hash: argon2id, of a cost that one login may have. */
  accepts(hash: string): boolean
}

/** Most bytes of a password. */
export const maxPasswordBytes = 1024

/** OWASP's first choice for argon2id: 19 MiB, two passes, one lane. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1, outputLen: 32 }
/** `Algorithm.Argon2id`, which the package declares as an ambient const enum. */
const argon2id = 2
/** Of the same cost; made of random bytes, so no password opens it. */
const dummyHash = '$argon2id$v=19$m=19456,t=2,p=1$cG9zdGVybi1kdW1teS1zYWx0$3CJkPvwMwWZTlRmuFSFwPX3FzvkUHPKEV8bWSQFK40U'

/**
 * One hash is worked out at a time, `waiting` more may wait their turn. Checks run in a thread behind everything else: the
 * pool that reads files is not theirs, and a flood of them leaves transfers nine tenths of a processor.
 */
export function createPasswordHasher({ waiting }: { readonly waiting: number } = { waiting: 64 }): PasswordHasher {
  const turns = new Turns(1, waiting)
  const thread = new CheckThread()
  const argon2 = loadArgon2()
  return {
    hash: async (password) => {
      if (password === '') throw new Failure('invalid', 'The password is empty.')
      if (Buffer.byteLength(password) > maxPasswordBytes)
        throw new Failure('invalid', `The password is longer than ${maxPasswordBytes} bytes.`)
      return turns.run(() => argon2.hash(password.normalize('NFC'), cost))
    },
    verify: async (stored, password) => {
      const usable =
        stored !== undefined && isAcceptable(argon2, stored) && Buffer.byteLength(password) <= maxPasswordBytes
      const question = usable ? { stored, password: password.normalize('NFC') } : { stored: dummyHash, password: '' }
      const right = await turns.run(
        async () => (await thread.ask(question)) ?? argon2.verify(question.stored, question.password),
      )
      return usable && right
    },
    accepts: (stored) => isAcceptable(argon2, stored),
  }
}

/** Whether a hash is argon2id of a cost that one login may have: at most 64 MiB, 10 passes and 4 lanes. */
function isAcceptable(argon2: Argon2, stored: string): boolean {
  if (
    stored.length > 512 ||
    !/^\$argon2id\$v=19\$m=\d{1,7},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.test(stored)
  )
    return false
  try {
    const { algorithm, memoryCost, timeCost, parallelism, outputLen, saltLen } = argon2.parseOptions(stored)
    return (
      algorithm === argon2id &&
      memoryCost <= 65_536 &&
      timeCost <= 10 &&
      parallelism <= 4 &&
      outputLen >= 16 &&
      saltLen >= 8
    )
  } catch {
    return false
  }
}

/** Nobody waits longer for a turn, in milliseconds. */
const longestWait = 5000

/**
 * Lets `atOnce` pieces of work run together and `mayWait` more wait for a few seconds; throws `throttled` for what is
 * beyond either.
 */
export class Turns {
  readonly #atOnce: number
  readonly #mayWait: number
  readonly #waiting = new Set<() => void>()
  #running = 0

  constructor(atOnce: number, mayWait: number) {
    this.#atOnce = atOnce
    this.#mayWait = mayWait
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#atOnce) this.#running++
    else await this.#turn()
    try {
      return await work()
    } finally {
      const [next] = this.#waiting
      if (next) next()
      else this.#running--
    }
  }

  /** Whoever ends hands its turn over, so nobody can slip in between. */
  #turn(): Promise<void> {
    if (this.#waiting.size >= this.#mayWait) throw tooMany()
    return new Promise((resolve, reject) => {
      const go = (): void => {
        clearTimeout(patience)
        this.#waiting.delete(go)
        resolve()
      }
      const patience = setTimeout(() => {
        this.#waiting.delete(go)
        reject(tooMany())
      }, longestWait)
      this.#waiting.add(go)
    })
  }
}

function tooMany(): Failure {
  return new Failure('throttled', 'Too many logins are being checked. Try again soon.', { retryAfterSeconds: 1 })
}
