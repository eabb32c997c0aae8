import { hash } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import { sameBytes } from '../constant-time.js'
import { hmacUnder } from '../hmac.js'
import type { Proof } from './proof.js'

const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** As signatures are written. */
export const signatureText = /^[0-9a-f]{64}$/

/**
 * The chain of signatures over the chunks of a body (Amazon S3 API Reference, "Transferring Payload in Multiple Chunks" and
 * "Including Trailing Headers"): each is made over the one before, the first over that of the request, so none can be left
 * out, repeated, moved or taken from another request.
 */
export class ChunkSignatures {
  readonly #sign: (text: string) => string
  readonly #scope: string
  #previous: string

  constructor({ signingKey, date, scope, signature }: Extract<Proof, { readonly by: 'header' }>) {
    this.#sign = hmacUnder(signingKey)
    this.#scope = `${date}\n${scope}`
    this.#previous = signature
  }

  /** The next chunk, by the hash of its content in hex. Throws `denied` (`SignatureDoesNotMatch`). */
  chunk(contentHash: string, claimed: string): void {
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${this.#scope}\n${this.#previous}\n${emptyHash}\n${contentHash}`
    this.#require(text, claimed, 'a chunk')
  }

  /** The trailers after the last chunk, each as `name:value\n`, in the order in which they came. Throws like `chunk`. */
  trailers(canonical: string, claimed: string): void {
    const text = `AWS4-HMAC-SHA256-TRAILER\n${this.#scope}\n${this.#previous}\n${hash('sha256', canonical, 'hex')}`
    this.#require(text, claimed, 'the trailers')
  }

  #require(text: string, claimed: string, what: string): void {
    const isRight =
      signatureText.test(claimed) && sameBytes(Buffer.from(this.#sign(text), 'base64'), Buffer.from(claimed, 'hex'))
    if (!isRight)
      throw new Failure(
        'denied',
        `The signature of ${what} of the body does not match. Check your secret access key and signing method.`,
        { reason: 'SignatureDoesNotMatch' },
      )
    this.#previous = claimed
  }
}
