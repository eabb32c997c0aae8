import { hash, timingSafeEqual } from 'node:crypto'

/** Whether two secrets are the same text, in a time that tells nothing of either but its length. */
export function sameSecret(one: string, other: string): boolean {
  return timingSafeEqual(hash('sha256', one, 'buffer'), hash('sha256', other, 'buffer'))
}
