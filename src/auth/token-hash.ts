import { hash, timingSafeEqual } from 'node:crypto'

/** The SHA-256 of a token's text as configurations have it: standard base64 (44 characters) or lower-case hex (64). Undefined for anything else. */
export function readTokenHash(text: string): Uint8Array | undefined {
  if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, 'hex')
  // 43 digits hold 258 bits: the last two must be 0, or the text is not what any program writes.
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text) ? Buffer.from(text, 'base64') : undefined
}

/** Which of the hashes is that of the token; -1 where none is. The time tells nothing of the hashes but how many there are. */
export function indexOfToken(hashes: readonly Uint8Array[], token: string): number {
  const shown = hash('sha256', token, 'buffer')
  let found = -1
  hashes.forEach((each, index) => {
    if (timingSafeEqual(each, shown)) found = index
  })
  return found
}
