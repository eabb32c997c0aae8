import { createHash, timingSafeEqual } from 'node:crypto'
import { maxPasswordBytes } from '../password-hash.js'

/** Longest salt that is looked at, in UTF-8 bytes; what the user managers of such tables make has 64. */
const maxSaltBytes = 1024

/** Of random bytes: no password is known for it. */
const dummyHash = '3f1d9b5c0a7e42688cf4d1b96e2a53074b8fce91d602a7f51c84e93b7d60a25f'

/**
 * Whether a password is that of a SHA3-256 (FIPS 202) hash in lower-case hex, the salt, where there is one, put before
 * the password; both as UTF-8. Compares in constant time. Without a hash, or with one that is none, the answer is no at
 * the same cost.
 */
export function verifySha3(stored: string | undefined, salt: string | undefined, password: string): boolean {
  const usable =
    stored !== undefined &&
    /^[0-9a-f]{64}$/.test(stored) &&
    Buffer.byteLength(password) <= maxPasswordBytes &&
    (salt === undefined || Buffer.byteLength(salt) <= maxSaltBytes)
  const digest = createHash('sha3-256')
    .update(usable ? (salt ?? '') + password : dummyHash)
    .digest()
  return timingSafeEqual(digest, Buffer.from(usable ? stored : dummyHash, 'hex')) && usable
}
