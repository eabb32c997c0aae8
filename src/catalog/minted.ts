import { randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/**
 * The form of what Postern makes: a prefix, random characters, and a CRC-32 of both as the last characters, so that a
 * scanner of source code finds a leaked one by its looks alone and can tell it from a look-alike.
 */
export interface Mint {
  make(): string
  /** Whether the text has the form, checksum and all. */
  made(text: string): boolean
}

/** The id of an API key, `pstnk_` and 20 characters: no secret. */
export const keyIds: Mint = mint('pstnk_', 14, base62, 6)

/** The secret of an API key or an S3 key, `pstns_` and 34 characters (166 random bits): 40 in all, as AWS has them. */
export const secrets: Mint = mint('pstns_', 28, base62, 6)

/** A bearer token, `pstnt_` and 48 characters: 12 of its id, 30 that are secret (178 bits), the checksum. */
export const tokens: Mint = mint('pstnt_', 42, base62, 6)

/** An access key id of S3, `PSTN` and 16 characters of base32: 20 in all, as AWS has them; no secret. */
export const accessKeyIds: Mint = mint('PSTN', 12, base32, 4)

/** The id of a token that `tokens` has made: its beginning. */
export function idOfToken(token: string): string {
  return token.slice(0, 'pstnt_'.length + 12)
}

function mint(prefix: string, randomLength: number, alphabet: string, checksumLength: number): Mint {
  const length = prefix.length + randomLength + checksumLength
  const allowed = new Set(alphabet)
  const checksumOf = (text: string): string => {
    let rest = crc32(text)
    let digits = ''
    for (let at = 0; at < checksumLength; at += 1) {
      digits = (alphabet[rest % alphabet.length] ?? '') + digits
      rest = Math.floor(rest / alphabet.length)
    }
    return digits
  }
  return {
    make() {
      const random = Array.from({ length: randomLength }, () => alphabet[randomInt(alphabet.length)] ?? '')
      const text = prefix + random.join('')
      return text + checksumOf(text)
    },
    made(text) {
      if (text.length !== length || !text.startsWith(prefix)) return false
      for (let at = prefix.length; at < length; at += 1) if (!allowed.has(text[at] ?? '')) return false
      return text.slice(-checksumLength) === checksumOf(text.slice(0, -checksumLength))
    },
  }
}
