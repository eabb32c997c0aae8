import { Failure } from '../core/failure.js'
import type { Body } from './store.js'

/** What is said of a file that is larger than it may be. */
export function tooLarge(most: number): Failure {
  return new Failure('too-large', `A file may have at most ${most} bytes here.`, { size: most })
}

/** The body, for as long as it is not too large: throws at the first byte over that. */
export async function* atMost(body: Body, most: number, refusal = tooLarge): AsyncGenerator<Uint8Array> {
  let total = 0
  for await (const chunk of body) {
    total += chunk.byteLength
    if (total > most) throw refusal(most)
    yield chunk
  }
}
