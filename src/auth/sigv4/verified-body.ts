import { Failure } from '../../core/failure.js'
import { sameBytes } from '../constant-time.js'
import { Digester } from '../../store/digester.js'
import type { Body, DigestName, Digests } from '../../store/store.js'

/** What a client has said of its body, in a header, in the signature or in a trailer. */
export interface ExpectedDigest {
  readonly name: DigestName
  /** Known at the end only where a trailer says it. */
  readonly value: Uint8Array | (() => Uint8Array)
  /** How a client calls it: `x-amz-content-sha256`, `content-md5`, `x-amz-checksum-crc32`. */
  readonly said: string
}

export interface VerifiedBodyOptions {
  /** The content without any framing. Throws where the framing or its signatures are wrong. */
  readonly chunks: Body
  /** Bytes to come, where the client has said; other numbers throw `incomplete` or `invalid`. */
  readonly length?: number | undefined
  readonly expected?: readonly ExpectedDigest[]
}

/**
 * The content of a request whose signature holds. Whoever reads it to its end has read what was signed and declared:
 * before that it throws `bad-digest` (`XAmzContentSHA256Mismatch` for the hash that was signed) or `incomplete`. May be read
 * once.
 */
export class VerifiedBody implements AsyncIterable<Uint8Array> {
  /** Bytes to come, where the client has said. */
  readonly length: number | undefined
  readonly #chunks: Body
  readonly #expected: readonly ExpectedDigest[]
  readonly #names: Set<DigestName>
  #digests: Digests | undefined

  constructor({ chunks, length, expected = [] }: VerifiedBodyOptions) {
    this.length = length
    this.#chunks = chunks
    this.#expected = expected
    this.#names = new Set(expected.map(({ name }) => name))
  }

  /** Computes these as well. Before the first chunk is asked for. */
  compute(...names: readonly DigestName[]): void {
    for (const name of names) this.#names.add(name)
  }

  /** Whether the client has declared a digest of that name. */
  declares(name: DigestName): boolean {
    return this.#expected.some((expected) => expected.name === name)
  }

  /** All that were declared or asked for. Only after the end. */
  digests(): Digests {
    if (this.#digests === undefined) throw new Failure('incomplete', 'The body was not read to its end.')
    return this.#digests
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const digester = new Digester([...this.#names])
    let size = 0
    for await (const chunk of this.#chunks) {
      size += chunk.length
      if (this.length !== undefined && size > this.length)
        throw new Failure('incomplete', 'The body is longer than announced.', { reason: 'IncompleteBody' })
      digester.update(chunk)
      yield chunk
    }
    if (this.length !== undefined && size !== this.length)
      throw new Failure('incomplete', 'The body is shorter than announced.', { reason: 'IncompleteBody' })
    const digests = digester.digests()
    for (const { name, value, said } of this.#expected) {
      const wanted = typeof value === 'function' ? value() : value
      const found = digests[name]
      if (found !== undefined && sameBytes(found, wanted)) continue
      const reason = said === 'x-amz-content-sha256' ? 'XAmzContentSHA256Mismatch' : 'BadDigest'
      throw new Failure('bad-digest', `The body does not have the ${said} that the request gives.`, { reason })
    }
    this.#digests = digests
  }
}
