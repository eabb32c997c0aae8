import { hash, timingSafeEqual } from 'node:crypto'
import { verifyMd5Crypt } from './md5-crypt.js'
import { shaCryptRounds, verifyShaCrypt } from './sha-crypt.js'

/** The ways in which a file of others may hold a password. argon2id is not among them: `PasswordHasher` checks it. */
export type PasswordFormat = 'bcrypt' | 'sha-crypt' | 'md5-crypt' | 'sha1'

/** What a stored hash is, and what it costs to check. */
export interface KnownHash {
  readonly format: PasswordFormat | 'argon2id'
  /** Roughly in microseconds: good for telling which of two costs more. */
  readonly cost: number
}

/** At most this exponent: a check by 2^14 takes more than a second. */
const maxBcryptCost = 14

/** Says what a stored hash is; undefined where it is of no kind that is known, or asks for more than a login may cost. */
export function knownHash(stored: string): KnownHash | undefined {
  const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(stored)
  if (bcrypt) {
    const cost = Number(bcrypt[1])
    return cost >= 4 && cost <= maxBcryptCost ? { format: 'bcrypt', cost: 100 * 2 ** cost } : undefined
  }
  if (/^\$[56]\$/.test(stored)) {
    const rounds = shaCryptRounds(stored)
    return rounds === undefined ? undefined : { format: 'sha-crypt', cost: 2 * rounds }
  }
  if (/^\$(?:apr1|1)\$[^$]{0,8}\$[./0-9A-Za-z]{22}$/.test(stored)) return { format: 'md5-crypt', cost: 1500 }
  if (/^\{SHA\}[A-Za-z0-9+/]{27}=$/.test(stored)) return { format: 'sha1', cost: 1 }
  if (/^\{SSHA\}[A-Za-z0-9+/]{28,100}={0,2}$/.test(stored)) return { format: 'sha1', cost: 1 }
  if (/^\$argon2id\$/.test(stored)) return { format: 'argon2id', cost: 40_000 }
  return undefined
}

/** Compares passwords with bcrypt hashes: what `bcryptjs` has. */
export interface Bcrypt {
  compareSync(password: string, hash: string): boolean
}

/**
 * Whether a password is that of a hash of these formats. It may take seconds and does not yield: `openPasswordChecks` runs
 * it on a thread of its own. A broken hash is nobody's.
 */
export function verifyFormat(stored: string, password: string, bcrypt: Bcrypt): boolean {
  switch (knownHash(stored)?.format) {
    case 'bcrypt':
      return bcrypt.compareSync(password, stored)
    case 'sha-crypt':
      return verifyShaCrypt(stored, password)
    case 'md5-crypt':
      return verifyMd5Crypt(stored, password)
    case 'sha1':
      return verifySha1(stored, password)
    default:
      return false
  }
}

const sha1Bytes = 20

/** `{SHA}` with base64 of SHA-1, and `{SSHA}`, where a salt follows the digest (RFC 2307). */
function verifySha1(stored: string, password: string): boolean {
  const bytes = Buffer.from(stored.slice(stored.indexOf('}') + 1), 'base64')
  if (bytes.length < sha1Bytes) return false
  const salted = Buffer.concat([Buffer.from(password), bytes.subarray(sha1Bytes)])
  return timingSafeEqual(hash('sha1', salted, 'buffer'), bytes.subarray(0, sha1Bytes))
}

/** A hash that no password is known for and that costs as much to check as the given one. */
export function dummyLike(stored: string): string {
  const known = knownHash(stored)
  switch (known?.format) {
    case 'bcrypt':
      return `$2y$${stored.slice(4, 6)}$RTm4nGZlnL1b0rZxgBkFeOIqDkmfQ0xjEtXnMBFq1R9Vw5oLz3hyK`
    case 'sha-crypt':
    case 'md5-crypt':
      // The same salt and rounds, and a digest that ends in what no digest ends in.
      return stored.slice(0, stored.lastIndexOf('$') + 1) + 'z'.repeat(stored.length - stored.lastIndexOf('$') - 1)
    default:
      return '{SHA}' + 'z'.repeat(26) + 'w='
  }
}
