import { hash, timingSafeEqual } from 'node:crypto'

/** Whether two secrets are the same text, in a time that tells nothing of either but its length. */
export function sameSecret(one: string, other: string): boolean {
  return timingSafeEqual(hash('sha256', one, 'buffer'), hash('sha256', other, 'buffer'))
}

/** Whether two digests are the same bytes, in a time that tells nothing of either but its length. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}
