import { Failure } from '../../core/failure.js'
import { maxObjectBytesAtOnce, maxParts } from './service.js'

/** Bodies of at most so many bytes are held in memory and go in one request; larger ones in parts that are no smaller. */
export const smallBytes = 8 * 2 ** 20

/** For bodies that do not say how long they are: parts double after so many, up to so many bytes. */
const partsBeforeGrowth = 1250
const mostGrownBytes = 256 * 2 ** 20

/** Bytes of the part of that number. Throws `too-large` for what no parts can hold. */
export function partBytesOf(number: number, length: number | undefined, least = smallBytes): number {
  if (length === undefined) {
    const grown = least * 2 ** Math.floor((number - 1) / partsBeforeGrowth)
    return Math.min(grown, mostGrownBytes)
  }
  const mebibyte = 2 ** 20
  const bytes = Math.max(least, Math.ceil(length / maxParts / mebibyte) * mebibyte)
  if (bytes > maxObjectBytesAtOnce) throw tooManyBytes()
  return bytes
}

/** More than any object of S3 holds. */
export function tooManyBytes(): Failure {
  return new Failure('too-large', 'The file is larger than S3 takes.', { reason: 'EntityTooLarge' })
}
