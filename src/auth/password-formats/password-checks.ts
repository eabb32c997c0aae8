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

  /** `besides` is paid for where the password is wrong; where it can be, in the same visit to the thread. */
  async function right(stored: string, password: string, besides: string | undefined): Promise<boolean> {
    if (isArgon2id(stored)) {
      if (await hasher.verify(stored, password)) return true
      await spend(besides, password)
      return false
    }
    const inOneVisit = besides === undefined || isArgon2id(besides) ? {} : { besides: dummyLike(besides) }
    const isRight = await turns.run(async () => {
      const answer = await thread.ask({ stored, password, ...inOneVisit })
      if (answer !== undefined) return answer
      const { default: bcrypt } = await import('bcryptjs')
      if (verifyFormat(stored, password, bcrypt)) return true
      if (inOneVisit.besides !== undefined) verifyFormat(inOneVisit.besides, password, bcrypt)
      return false
    })
    if (!isRight && inOneVisit.besides === undefined) await spend(besides, password)
    return isRight
  }

  async function spend(like: string | undefined, password: string, besides?: string): Promise<void> {
    if (like !== undefined && !isArgon2id(like)) {
      await right(dummyLike(like), password, besides)
      return
    }
    if (like !== undefined) await hasher.verify(undefined, '')
    if (besides !== undefined) await spend(besides, password)
  }

  return {
    async verify(stored, password, { standIn, dearest }) {
      const possible = isPossible(password)
      const own = possible && stored !== undefined && knownHash(stored) !== undefined ? stored : undefined
      const besides = costOf(dearest) > costOf(own ?? standIn) ? dearest : undefined
      if (own !== undefined) return right(own, password, besides)
      await spend(standIn, possible ? password : '', besides)
      return false
    },
    close: () => thread.end(),
  }
}

function isArgon2id(stored: string): boolean {
  return knownHash(stored)?.format === 'argon2id'
}

function costOf(stored: string | undefined): number {
  return stored === undefined ? 0 : (knownHash(stored)?.cost ?? 0)
}

/** bcrypt and crypt(3) take C strings: behind a NUL they see nothing, or the beginning again. */
function isPossible(password: string): boolean {
  return Buffer.byteLength(password) <= maxPasswordBytes && !password.includes('\0')
}
