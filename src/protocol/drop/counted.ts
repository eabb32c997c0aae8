import { Failure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { HttpRequest } from '../../core/http.js'

/** What s3-dropbox takes without another word, in bytes. */
export const defaultLimit = 10_240

/**
 * The length that a request announces. Throws what the contract of s3-dropbox says: `length-required` without one,
 * `invalid` for what is no number, `too-large` for more than the limit. What comes is counted all the same.
 */
export function announcedLength(request: HttpRequest, limit: number): number {
  const text = header(request, 'content-length')
  if (text === undefined) throw new Failure('length-required', 'The content-length header must be present')
  if (!/^\d+$/.test(text)) throw new Failure('invalid', 'The content-length header must be a whole number')
  const length = Number(text)
  if (length > limit) throw tooLarge(limit)
  return length
}

/** The same bytes, as long as they are no more than the limit. Throws `too-large`. */
export async function* atMost(body: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const piece of body) {
    size += piece.length
    if (size > limit) throw tooLarge(limit)
    yield piece
  }
}

/** In the words of the contract, which are not quite right: the limit itself is allowed. */
export function tooLarge(limit: number): Failure {
  return new Failure('too-large', `The request body must be less ${limit} bytes`, { size: limit })
}
