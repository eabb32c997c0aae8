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
  /** Bytes to come, where the client has said; other numbers throw `incomplete`. */
  readonly length?: number | undefined
  readonly expected?: readonly ExpectedDigest[]
}

/**
 * The content of a request whose signature holds. Whoever reads it to its end has read what was signed and declared:
 * before that it throws `bad-digest` (`XAmzContentSHA256Mismatch` for the hash that was signed), `incomplete`, or what the
 * framing throws; once it has thrown it never ends normally. The bytes themselves come before they are proven, so nothing
 * may be done for good before the end. May be read once.
 */
export class VerifiedBody implements AsyncIterable<Uint8Array> {
  /** Bytes to come, where the client has said. */
  readonly length: number | undefined
  readonly #chunks: Body
  readonly #expected: readonly ExpectedDigest[]
  readonly #names: Set<DigestName>
  #begun = false
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
    if (this.#digests === undefined) throw unread()
    return this.#digests
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (this.#begun) throw new Failure('incomplete', 'The body can be read only once.')
    this.#begun = true
    return new Verification(
      this.#chunks[Symbol.asyncIterator](),
      this.length,
      new Digester([...this.#names]),
      this.#expected,
      (digests) => (this.#digests = digests),
    )
  }
}

/** Written out, since each layer of generators would cost a small body more than its hash. */
class Verification implements AsyncIterator<Uint8Array, undefined> {
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #length: number | undefined
  readonly #digester: Digester
  readonly #expected: readonly ExpectedDigest[]
  readonly #hold: (digests: Digests) => void
  #size = 0
  #ended = false
  #failure: Error | undefined

  constructor(
    chunks: AsyncIterator<Uint8Array>,
    length: number | undefined,
    digester: Digester,
    expected: readonly ExpectedDigest[],
    hold: (digests: Digests) => void,
  ) {
    this.#chunks = chunks
    this.#length = length
    this.#digester = digester
    this.#expected = expected
    this.#hold = hold
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#ended) return Promise.resolve({ value: undefined, done: true })
    return this.#chunks.next().then(this.#take, this.#fail)
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#failure ??= unread()
    await this.#chunks.return?.()
    return { value: undefined, done: true }
  }

  readonly #take = ({ value, done }: IteratorResult<Uint8Array, unknown>): IteratorResult<Uint8Array, undefined> => {
    try {
      if (done !== true) return { value: this.#count(value), done: false }
      this.#judge()
      this.#ended = true
      return { value: undefined, done: true }
    } catch (error) {
      // Whoever has put the bytes in leaves the rest alone: they cannot become right any more.
      if (done !== true) this.#chunks.return?.().catch(() => undefined)
      return this.#fail(error)
    }
  }

  readonly #fail = (error: unknown): never => {
    this.#failure = error instanceof Error ? error : unread(error)
    throw this.#failure
  }

  #count(chunk: Uint8Array): Uint8Array {
    this.#size += chunk.length
    if (this.#length !== undefined && this.#size > this.#length)
      throw new Failure('incomplete', 'The body is longer than announced.', { reason: 'IncompleteBody' })
    this.#digester.update(chunk)
    return chunk
  }

  #judge(): void {
    if (this.#length !== undefined && this.#size !== this.#length)
      throw new Failure('incomplete', 'The body is shorter than announced.', { reason: 'IncompleteBody' })
    const digests = this.#digester.digests()
    for (const { name, value, said } of this.#expected) {
      const wanted = typeof value === 'function' ? value() : value
      const found = digests[name]
      if (found !== undefined && sameBytes(found, wanted)) continue
      const reason = said === 'x-amz-content-sha256' ? 'XAmzContentSHA256Mismatch' : 'BadDigest'
      throw new Failure('bad-digest', `The body does not have the ${said} that the request gives.`, { reason })
    }
    this.#hold(digests)
  }
}

function unread(cause?: unknown): Failure {
  return new Failure('incomplete', 'The body was not read to its end.', { cause })
}
