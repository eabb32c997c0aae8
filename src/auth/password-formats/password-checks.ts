import { maxPasswordBytes, Turns, type PasswordHasher } from '../password-hash.js'
import { CheckThread } from './check-threads.js'
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
    return turns.run(async () => {
      const answer = await thread.ask({ stored, password })
      if (answer !== undefined) return answer
      const { default: bcrypt } = await import('bcryptjs')
      return verifyFormat(stored, password, bcrypt)
    })
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
