import { hash } from 'node:crypto'
import { sameSecret } from '../constant-time.js'
import { crypt64 } from './crypt64.js'

const rounds = 1000

/**
 * Whether a password is that of an MD5 hash with a thousand rounds: `$apr1$SALT$…` as Apache's htpasswd makes it, or
 * `$1$SALT$…`, the older crypt(3). False for a text that is neither.
 */
export function verifyMd5Crypt(stored: string, password: string): boolean {
  const [, magic = '', salt = ''] = /^\$(apr1|1)\$([^$:\n]{0,8})\$[./0-9A-Za-z]{22}$/.exec(stored) ?? []
  return magic !== '' && sameSecret(`$${magic}$${salt}$${digestOf(password, magic, salt)}`, stored)
}

function digestOf(password: string, magic: string, salt: string): string {
  const secret = Buffer.from(password)
  const salted = Buffer.from(salt)
  const inner = md5(secret, salted, secret)
  const pieces: Buffer[] = [secret, Buffer.from(`$${magic}$`), salted]
  for (let left = secret.length; left > 0; left -= 16) pieces.push(inner.subarray(0, Math.min(16, left)))
  for (let bits = secret.length; bits > 0; bits >>= 1) pieces.push(bits & 1 ? Buffer.of(0) : secret.subarray(0, 1))
  let digest = md5(...pieces)
  for (let round = 0; round < rounds; round++) {
    const odd = round % 2 === 1
    const parts = [odd ? secret : digest]
    if (round % 3 !== 0) parts.push(salted)
    if (round % 7 !== 0) parts.push(secret)
    parts.push(odd ? digest : secret)
    digest = md5(...parts)
  }
  const order = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 5]
  return crypt64(digest, order) + crypt64(digest.subarray(11, 12), [0])
}

function md5(...parts: readonly Buffer[]): Buffer {
  return hash('md5', Buffer.concat(parts), 'buffer')
}
