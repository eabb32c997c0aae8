import { hash } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import { sameBytes } from '../constant-time.js'

const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** As signatures are written. */
export const signatureText = /^[0-9a-f]{64}$/

/**
 * The chain of signatures over the chunks of a body (Amazon S3 API Reference, "Transferring Payload in Multiple Chunks" and
 * "Including Trailing Headers"): each is made over the one before, the first over that of the request, so none can be left
 * out, repeated, moved or taken from another request.
 */
export interface ChunkSignatures {
  /** The next chunk, by the hash of its content in hex. Throws `denied` (`SignatureDoesNotMatch`), now or from `settled`. */
  chunk(contentHash: string, claimed: string): void
  /** The trailers after the last chunk, each as `name:value\n`, in the order in which they came. Throws like `chunk`. */
  trailers(canonical: string, claimed: string): void
  /**
   * Resolves when no more than `open` signatures are still looked at; undefined where that is so already. Rejects where one
   * is wrong, as all that come after it do. Absent: they are judged as they come.
   */
  settled?(open: number): Promise<void> | undefined
}

/** One of a chain, before it is believed. */
export interface ChainLink {
  readonly kind: 'chunk' | 'trailers'
  /** The signature before it, in hex. */
  readonly previous: string
  /** In hex: of the content of the chunk, or of all trailers. */
  readonly hash: string
  /** In hex. */
  readonly claimed: string
}

/** What a chain is signed with, and where it begins. */
export interface ChunkKey {
  /** HMAC-SHA256 under the derived key, in base64. */
  readonly sign: (text: string) => string
  /** `x-amz-date`, as signed. */
  readonly date: string
  /** `20260131/us-east-1/s3/aws4_request` */
  readonly scope: string
}

/** Whether a signature is that of its place in the chain. */
export function isSigned({ sign, date, scope }: ChunkKey, { kind, previous, hash, claimed }: ChainLink): boolean {
  const text =
    kind === 'chunk'
      ? `AWS4-HMAC-SHA256-PAYLOAD\n${date}\n${scope}\n${previous}\n${emptyHash}\n${hash}`
      : `AWS4-HMAC-SHA256-TRAILER\n${date}\n${scope}\n${previous}\n${hash}`
  return signatureText.test(claimed) && sameBytes(Buffer.from(sign(text), 'base64'), Buffer.from(claimed, 'hex'))
}

/** Of a chain whose signature does not match there. */
export function wrongLink(kind: ChainLink['kind']): Failure {
  const what = kind === 'chunk' ? 'a chunk' : 'the trailers'
  return new Failure(
    'denied',
    `The signature of ${what} of the body does not match. Check your secret access key and signing method.`,
    { reason: 'SignatureDoesNotMatch' },
  )
}

/** The hash of trailers as a chain signs it. */
export function trailersHash(canonical: string): string {
  return hash('sha256', canonical, 'hex')
}

/** A chain whose key is at hand. */
export class KeyedChunkSignatures implements ChunkSignatures {
  readonly #key: ChunkKey
  #previous: string

  /** @param seed the signature of the request, in hex */
  constructor(key: ChunkKey, seed: string) {
    this.#key = key
    this.#previous = seed
  }

  chunk(contentHash: string, claimed: string): void {
    this.#require('chunk', contentHash, claimed)
  }

  trailers(canonical: string, claimed: string): void {
    this.#require('trailers', trailersHash(canonical), claimed)
  }

  #require(kind: ChainLink['kind'], contentHash: string, claimed: string): void {
    if (!isSigned(this.#key, { kind, previous: this.#previous, hash: contentHash, claimed })) throw wrongLink(kind)
    this.#previous = claimed
  }
}
