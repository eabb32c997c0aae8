import { hash } from 'node:crypto'
import { sameSecret } from '../constant-time.js'
import { crypt64 } from './crypt64.js'

const defaultRounds = 5000
const fewestRounds = 1000
/** What the most cautious tools have made by default, and some more. */
const mostRounds = 1_000_000

interface ShaCrypt {
  readonly algorithm: 'sha256' | 'sha512'
  readonly salt: string
  readonly rounds: number
  readonly digest: string
}

/** How many rounds a `$5$` or `$6$` hash asks for; undefined where it is none, or asks for more than a login may cost. */
export function shaCryptRounds(stored: string): number | undefined {
  return parse(stored)?.rounds
}

/**
 * Whether a password is that of a crypt(3) hash by SHA-256 (`$5$`) or SHA-512 (`$6$`), as Drepper's "Unix crypt using
 * SHA-256 and SHA-512" defines them. False for a text that is neither, or that asks for over a million rounds.
 */
export function verifyShaCrypt(stored: string, password: string): boolean {
  const parsed = parse(stored)
  return parsed !== undefined && sameSecret(digestOf(parsed, Buffer.from(password)), parsed.digest)
}

function parse(stored: string): ShaCrypt | undefined {
  const match = /^\$([56])\$(?:rounds=(\d{1,9})\$)?([^$:\n]{0,16})\$([./0-9A-Za-z]{43}|[./0-9A-Za-z]{86})$/.exec(stored)
  if (!match) return undefined
  const [, kind, asked, salt = '', digest = ''] = match
  if (digest.length !== (kind === '5' ? 43 : 86)) return undefined
  const rounds = asked === undefined ? defaultRounds : Math.max(fewestRounds, Number(asked))
  if (rounds > mostRounds) return undefined
  return { algorithm: kind === '5' ? 'sha256' : 'sha512', salt, rounds, digest }
}

function digestOf({ algorithm, salt: saltText, rounds }: ShaCrypt, password: Buffer): string {
  const salt = Buffer.from(saltText)
  const sha = (...parts: readonly Buffer[]): Buffer => hash(algorithm, Buffer.concat(parts), 'buffer')
  const inner = sha(password, salt, password)
  const pieces = [password, salt, repeated(inner, password.length)]
  for (let bits = password.length; bits > 0; bits >>= 1) pieces.push(bits & 1 ? inner : password)
  let digest = sha(...pieces)
  const p = repeated(sha(repeated(password, password.length * password.length)), password.length)
  const s = repeated(sha(repeated(salt, salt.length * (16 + (digest[0] ?? 0)))), salt.length)
  for (let round = 0; round < rounds; round++) {
    const odd = round % 2 === 1
    const parts = [odd ? p : digest]
    if (round % 3 !== 0) parts.push(s)
    if (round % 7 !== 0) parts.push(p)
    parts.push(odd ? digest : p)
    digest = sha(...parts)
  }
  return crypt64(digest, algorithm === 'sha256' ? order256 : order512)
}

/** The bytes over and over, up to a length. */
function repeated(bytes: Buffer, length: number): Buffer {
  const result = Buffer.alloc(length)
  for (let at = 0; at < length; at += bytes.length) bytes.copy(result, at)
  return result
}

/** The specification lists these one by one; they turn through the thirds of the digest. */
const order256 = turning(10, [2, 0, 1]).concat(31, 30)
const order512 = turning(21, [1, 2, 0]).concat(63)

function turning(third: number, turn: readonly number[]): readonly number[] {
  const order: number[] = []
  let first = [0, third, 2 * third]
  for (let at = 0; at < third; at++) {
    order.push(...first)
    first = turn.map((part) => (first[part] ?? 0) + 1)
  }
  return order
}
