import { createHash, hash, type Hash } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import type { Body } from '../../store/store.js'
import type { ChunkSignatures } from './chunk-signatures.js'
import { bufferOf } from './form-file.js'

/** `ffffffffffff;chunk-signature=…` fits. */
const headerBytes = 128
/** A name, a checksum and white space fit. */
const trailerBytes = 512

/** Signatures that are looked at elsewhere while the body is read on. */
const mostOpen = 512

const plainHeader = /^([0-9a-fA-F]{1,12})$/
const signedHeader = /^([0-9a-fA-F]{1,12});chunk-signature=([0-9a-f]{64})$/
const trailerLine = /^([A-Za-z0-9-]+):[ \t]*([\x21-\x7e]*)[ \t]*\n?$/

export interface AwsChunkedOptions {
  readonly body: Body
  /** Bytes of the content, `x-amz-decoded-content-length`; undefined where the last chunk alone tells that all is there. */
  readonly length: number | undefined
  /** With them each chunk must carry its signature, without them none may. */
  readonly signatures?: ChunkSignatures | undefined
  /** Names of the trailers that must come, in lower case; undefined where the mode knows no trailers. */
  readonly trailers?: readonly string[] | undefined
}

/**
 * Takes the content out of the framing `aws-chunked` (Amazon S3 API Reference, "Transferring Payload in Multiple Chunks"):
 * `SIZE[;chunk-signature=SIGNATURE]\r\nDATA\r\n` … `0…\r\n[NAME:VALUE\r\n][x-amz-trailer-signature:…\r\n]\r\n`, nothing after it.
 *
 * Content is given on as it comes, without a copy and before the signature over its chunk is known to hold: memory stays
 * flat however large a chunk is. The end comes only after every signature, that of the empty last chunk and of the trailers
 * included, the announced length and the last line: until then it throws `denied` (`SignatureDoesNotMatch`) or `incomplete`
 * (`IncompleteBody`, `MalformedTrailerError`), and goes on throwing.
 *
 * Chunks may be of any size: S3 refuses those below 8 KiB that are not the last, which would only turn away clients whose
 * streams come in small pieces. A trailer may end with `\n\r\n`, as some clients sign and send it.
 */
export class AwsChunked implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array, undefined> {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #signatures: ChunkSignatures | undefined
  readonly #expected: readonly string[] | undefined
  readonly #trailers = new Map<string, string>()
  #state: 'header' | 'data' | 'data-end' | 'trailers' | 'end' = 'header'
  #piece: Buffer = Buffer.alloc(0)
  #at = 0
  /** The beginning of a line whose end has not come. */
  #held = ''
  /** Bytes of content that are still to come, and those of them in this chunk. */
  #left: number
  #chunkLeft = 0
  #chunkSize = 0
  #claimed = ''
  #hash: Hash | undefined
  #trailerSignature: string | undefined
  #failure: Error | undefined

  constructor({ body, length, signatures, trailers }: AwsChunkedOptions) {
    this.#source = body[Symbol.asyncIterator]()
    this.#left = length ?? Infinity
    this.#signatures = signatures
    this.#expected = trailers
  }

  /** The value of a trailer that was asked for. Only after the end. */
  trailer(name: string): string {
    return this.#trailers.get(name) ?? ''
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      for (;;) {
        const content = this.#advance()
        if (content !== undefined) return { value: content, done: false }
        const fewer = this.#signatures?.settled?.(mostOpen)
        if (fewer !== undefined) await fewer
        const next = await this.#source.next()
        if (next.done === true) {
          if (this.#state !== 'end') throw malformed('The body ends before its last chunk does.')
          const all = this.#signatures?.settled?.(0)
          if (all !== undefined) await all
          return { value: undefined, done: true }
        }
        this.#piece = bufferOf(next.value)
        this.#at = 0
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error : malformed('The body could not be read.')
      this.#source.return?.().catch(() => undefined)
      this.#failure = await this.#before(this.#failure)
      throw this.#failure
    }
  }

  /** What was wrong first: a signature that was still looked at comes before what was found wrong meanwhile. */
  async #before(failure: Error): Promise<Error> {
    try {
      await this.#signatures?.settled?.(0)
      return failure
    } catch (error) {
      return error instanceof Error ? error : failure
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#failure ??= malformed('The body was not read to its end.')
    await this.#source.return?.()
    return { value: undefined, done: true }
  }

  /** The next bytes of content in the piece at hand; undefined where it has no more. */
  #advance(): Uint8Array | undefined {
    while (this.#at < this.#piece.length) {
      if (this.#state === 'data') return this.#take()
      if (this.#state === 'end') throw malformed('There is more after the last chunk of the body.')
      const line = this.#line(lineBytes[this.#state])
      if (line === undefined) return undefined
      if (this.#state === 'header') this.#begin(line)
      else if (this.#state === 'trailers') this.#takeTrailer(line)
      else this.#state = 'header'
    }
    return undefined
  }

  #take(): Uint8Array {
    const end = Math.min(this.#at + this.#chunkLeft, this.#piece.length)
    const content = this.#piece.subarray(this.#at, end)
    this.#at = end
    this.#chunkLeft -= content.length
    const isWhole = content.length === this.#chunkSize
    if (this.#signatures !== undefined && !isWhole) (this.#hash ??= createHash('sha256')).update(content)
    if (this.#chunkLeft > 0) return content
    this.#signatures?.chunk(isWhole ? hash('sha256', content) : (this.#hash?.digest('hex') ?? ''), this.#claimed)
    this.#hash = undefined
    this.#state = 'data-end'
    return content
  }

  #begin(line: string): void {
    const [, digits, claimed = ''] = (this.#signatures === undefined ? plainHeader : signedHeader).exec(line) ?? []
    if (digits === undefined) throw malformed('The head of a chunk of the body cannot be read.')
    const size = parseInt(digits, 16)
    if (size > this.#left) throw malformed('The body is longer than x-amz-decoded-content-length.')
    if (size === 0 && this.#left > 0 && this.#left !== Infinity)
      throw malformed('The body is shorter than x-amz-decoded-content-length.')
    this.#left -= size
    this.#chunkSize = this.#chunkLeft = size
    this.#claimed = claimed
    this.#state = 'data'
    if (size > 0) return
    this.#signatures?.chunk(hash('sha256', ''), claimed)
    this.#state = 'trailers'
  }

  #takeTrailer(line: string): void {
    if (line === '') {
      this.#requireTrailers()
      this.#state = 'end'
      return
    }
    const [, given = '', value = ''] = trailerLine.exec(line) ?? []
    const name = given.toLowerCase()
    if (this.#trailerSignature !== undefined) throw malformedTrailer()
    if (name === 'x-amz-trailer-signature' && this.#signatures !== undefined && this.#expected !== undefined) {
      this.#trailerSignature = value
      return
    }
    if (this.#expected?.includes(name) !== true || this.#trailers.has(name)) throw malformedTrailer()
    this.#trailers.set(name, value)
  }

  #requireTrailers(): void {
    if (this.#expected === undefined) return
    if (this.#trailers.size !== this.#expected.length) throw malformedTrailer()
    if (this.#signatures === undefined) return
    if (this.#trailerSignature === undefined) throw malformedTrailer()
    let canonical = ''
    for (const [name, value] of this.#trailers) canonical += `${name}:${value}\n`
    this.#signatures.trailers(canonical, this.#trailerSignature)
  }

  /** A line without its CRLF; undefined where its end has not come. Throws where it is longer than `most`. */
  #line(most: number): string | undefined {
    const before = this.#held.length
    const text = this.#held + this.#piece.toString('latin1', this.#at, this.#at + most + 2 - before)
    const end = text.indexOf('\r\n')
    if (end === -1 && text.length >= most + 2) throw malformed('A line between the chunks of the body is too long.')
    this.#at += (end === -1 ? text.length : end + 2) - before
    this.#held = end === -1 ? text : ''
    return end === -1 ? undefined : text.slice(0, end)
  }
}

const lineBytes = { header: headerBytes, 'data-end': 0, trailers: trailerBytes }

function malformed(message: string): Failure {
  return new Failure('incomplete', message, { reason: 'IncompleteBody' })
}

function malformedTrailer(): Failure {
  return new Failure('invalid', 'The trailers of the body are not those that x-amz-trailer names.', {
    reason: 'MalformedTrailerError',
  })
}
