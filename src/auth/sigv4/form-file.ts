import { Failure } from '../../core/failure.js'

/** What may follow the file, where it is ignored. */
const tailBytes = 64 * 1024

/** Bytes that a file may have, both ends included. */
export interface SizeRange {
  readonly least: number
  readonly most: number
}

/**
 * The content of the file in a form, up to the delimiter that ends it: given on without a copy, and what follows it thrown
 * away. Throws `incomplete` where the delimiter does not come, `invalid` (`MalformedPOSTRequest`) where it is followed by
 * neither a part nor the end, and goes on throwing.
 */
export class FormFile implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array, undefined> {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #delimiter: Buffer
  /** Not looked at yet, or perhaps the beginning of the delimiter. */
  #rest: Buffer
  #range: SizeRange = { least: 0, most: Infinity }
  #size = 0
  #ended = false
  #failure: Error | undefined

  /** @param delimiter with the line end before it, which is no content either */
  constructor(source: AsyncIterator<Uint8Array>, first: Buffer, delimiter: Buffer) {
    this.#source = source
    this.#rest = first
    this.#delimiter = delimiter
  }

  /** Then it throws `too-large` (`EntityTooLarge`) as soon as there is more, `invalid` (`EntityTooSmall`) for less. */
  limit(range: SizeRange): void {
    this.#range = range
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      while (!this.#ended) {
        const content = this.#cut()
        if (content.length > 0) return { value: this.#count(content), done: false }
        if (this.#rest.length >= this.#delimiter.length + 2) await this.#end()
        else await this.#pull()
      }
      return { value: undefined, done: true }
    } catch (error) {
      this.#failure = error instanceof Error ? error : cutOff()
      this.#source.return?.().catch(() => undefined)
      throw error
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#failure ??= cutOff()
    await this.#source.return?.()
    return { value: undefined, done: true }
  }

  /** What is certainly content; afterwards the rest begins with the delimiter, or is too short to tell. */
  #cut(): Buffer {
    const found = this.#rest.indexOf(this.#delimiter)
    const end = found === -1 ? this.#rest.length - this.#begun() : found
    const content = this.#rest.subarray(0, end)
    this.#rest = this.#rest.subarray(end)
    return content
  }

  /** How many of the last bytes may be the beginning of the delimiter. */
  #begun(): number {
    const { length } = this.#rest
    const first = Math.max(0, length - this.#delimiter.length + 1)
    for (let at = this.#rest.indexOf(13, first); at !== -1; at = this.#rest.indexOf(13, at + 1)) {
      if (this.#delimiter.subarray(0, length - at).equals(this.#rest.subarray(at))) return length - at
    }
    return 0
  }

  #count(content: Buffer): Buffer {
    this.#size += content.length
    const { most } = this.#range
    if (this.#size > most)
      throw new Failure('too-large', 'Your proposed upload exceeds the maximum allowed size.', {
        reason: 'EntityTooLarge',
        size: most,
      })
    return content
  }

  async #pull(): Promise<void> {
    const next = await this.#source.next()
    if (next.done === true) throw cutOff()
    const piece = bufferOf(next.value)
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
  }

  async #end(): Promise<void> {
    const after = this.#delimiter.length
    const mark = this.#rest.toString('latin1', after, after + 2)
    if (mark !== '--' && mark !== '\r\n') throw malformed('The file of the form is followed by something odd.')
    if (this.#size < this.#range.least)
      throw new Failure('invalid', 'Your proposed upload is smaller than the minimum allowed size.', {
        reason: 'EntityTooSmall',
      })
    let ignored = this.#rest.length
    while (ignored <= tailBytes) {
      const next = await this.#source.next()
      if (next.done === true) {
        this.#ended = true
        return
      }
      ignored += next.value.length
    }
    throw malformed('Too much follows the file of the form, which must be its last part.')
  }
}

/** The same bytes, with what Node adds to them. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** What a form that ends too early throws. */
export function cutOff(): Failure {
  return new Failure('incomplete', 'The form ends before its file does.', { reason: 'IncompleteBody' })
}

function malformed(message: string): Failure {
  return new Failure('invalid', message, { reason: 'MalformedPOSTRequest' })
}
