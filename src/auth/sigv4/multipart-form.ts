import { Failure } from '../../core/failure.js'
import type { Body } from '../../store/store.js'
import { bufferOf, cutOff, FormFile } from './form-file.js'

/** What S3 allows before the file: names, values and all around them. */
const headBytes = 20 * 1024

const boundaryParameter = /;[ \t]*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))[ \t]*(?:;|$)/i
const disposition = /^content-disposition:[ \t]*form-data[ \t]*(;.*)$/i
const parameter = /;[ \t]*([a-z*]+)=(?:"((?:\\"|[^"])*)"|([^\s;"]+))[ \t]*/giy

/** A form as it came: all fields before its file, and the file still to be read. */
export interface MultipartForm {
  /** By their names in lower case. */
  readonly fields: ReadonlyMap<string, string>
  /** As the client names it, without directories; empty where it does not. */
  readonly fileName: string
  readonly file: FormFile
}

/**
 * Reads a form of a browser (RFC 7578) up to its file, which must be its last part: what follows is ignored. Throws
 * `precondition` where it is no such form, `too-large` (`MaxPostPreDataLengthExceededError`) for more than 20 KiB before the
 * file, `invalid` (`MalformedPOSTRequest`, `InvalidArgument`) where it cannot be read, a name comes twice or there is no file.
 */
export async function readForm(body: Body, contentType: string | undefined): Promise<MultipartForm> {
  const delimiter = Buffer.from(`\r\n--${boundaryOf(contentType)}`)
  const source = body[Symbol.asyncIterator]()
  const head = new FormHead(delimiter)
  for (;;) {
    const next = await source.next()
    if (next.done === true) throw cutOff()
    const rest = head.take(next.value)
    if (rest === undefined) continue
    return { fields: head.fields, fileName: head.fileName, file: new FormFile(source, rest, delimiter) }
  }
}

function boundaryOf(contentType: string | undefined): string {
  const found = /^multipart\/form-data[ \t]*;/i.test(contentType ?? '')
    ? boundaryParameter.exec(contentType ?? '')
    : null
  const boundary = found?.[1] ?? found?.[2]
  if (boundary === undefined)
    throw new Failure('precondition', 'A POST to a bucket must be of the enclosure-type multipart/form-data.', {
      reason: 'PreconditionFailed',
    })
  return boundary
}

/** The beginning of a form, up to where the content of its file begins. */
class FormHead {
  readonly fields = new Map<string, string>()
  fileName = ''
  readonly #delimiter: Buffer
  readonly #bytes = Buffer.allocUnsafe(headBytes)
  #used: number
  /** Where what is read next begins, and from where on its end has not been looked for. */
  #at = 0
  #from = 0
  #state: 'delimiter' | 'headers' | 'value' = 'delimiter'
  #name = ''

  constructor(delimiter: Buffer) {
    this.#delimiter = delimiter
    // The first delimiter stands at the very beginning, as if a line had ended before it.
    this.#used = this.#bytes.write('\r\n', 'latin1')
  }

  /** The first bytes of the file, once they are reached. */
  take(piece: Uint8Array): Buffer | undefined {
    const bytes = bufferOf(piece)
    const taken = bytes.copy(this.#bytes, this.#used)
    this.#used += taken
    while (this.#advance()) {
      if (this.#state !== 'value' || this.#name !== 'file') continue
      return Buffer.concat([this.#bytes.subarray(this.#at, this.#used), bytes.subarray(taken)])
    }
    if (this.#used < headBytes) return undefined
    throw new Failure('too-large', 'Your POST request fields preceding the upload file were too large.', {
      reason: 'MaxPostPreDataLengthExceededError',
      size: headBytes,
    })
  }

  /** Whether a delimiter, the headers of a part or a value came to their end. */
  #advance(): boolean {
    switch (this.#state) {
      case 'delimiter':
        return this.#passDelimiter()
      case 'headers': {
        const found = this.#until('\r\n\r\n')
        if (found === undefined) return false
        this.#readHeaders(textOf(found))
        return this.#enter('value', 4)
      }
      case 'value': {
        const found = this.#until(this.#delimiter)
        if (found === undefined) return false
        if (this.fields.has(this.#name)) throw invalid(`The form has more than one field named ${this.#name}.`)
        this.fields.set(this.#name, textOf(found))
        return this.#enter('delimiter', 0)
      }
    }
  }

  #passDelimiter(): boolean {
    const end = this.#at + this.#delimiter.length
    if (this.#used < end + 2) return false
    if (!this.#bytes.subarray(this.#at, end).equals(this.#delimiter)) throw malformed('The form has no part.')
    const mark = this.#bytes.toString('latin1', end, end + 2)
    if (mark === '--') throw invalid('POST requires exactly one file upload per request.')
    if (mark !== '\r\n') throw malformed('A delimiter of the form is followed by something else than a part.')
    return this.#enter('headers', this.#delimiter.length)
  }

  #until(mark: string | Buffer): Buffer | undefined {
    const end = this.#bytes.subarray(0, this.#used).indexOf(mark, this.#from)
    if (end === -1) {
      this.#from = Math.max(this.#at, this.#used - mark.length + 1)
      return undefined
    }
    const found = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return found
  }

  #enter(state: 'delimiter' | 'headers' | 'value', skipped: number): true {
    this.#state = state
    this.#at += skipped
    this.#from = this.#at
    return true
  }

  #readHeaders(text: string): void {
    const found = text.split('\r\n').flatMap((line) => disposition.exec(line)?.[1] ?? [])
    const [given] = found
    if (given === undefined || found.length > 1) throw malformed('A part of the form has no Content-Disposition.')
    const parameters = parametersOf(given)
    this.#name = (parameters.get('name') ?? '').toLowerCase()
    if (this.#name === '') throw malformed('A part of the form has no name.')
    if (this.#name === 'file') this.fileName = (parameters.get('filename') ?? '').replace(/^.*[/\\]/s, '')
  }
}

function parametersOf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  let at = 0
  for (const [all, name = '', quoted, plain = ''] of text.matchAll(parameter)) {
    at += all.length
    if (found.has(name.toLowerCase())) throw malformed('A part of the form says a parameter twice.')
    found.set(name.toLowerCase(), quoted === undefined ? plain : unquoted(quoted))
  }
  if (at !== text.length) throw malformed('The Content-Disposition of a part of the form cannot be read.')
  return found
}

/** Browsers escape only what would end the name (HTML, "multipart form data"); others put a backslash before a quote. */
function unquoted(text: string): string {
  return text
    .replaceAll('\\"', '"')
    .replaceAll(/%(22|0D|0A)/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw malformed('A field of the form is not valid UTF-8.', cause)
  }
}

function malformed(message: string, cause?: unknown): Failure {
  return new Failure('invalid', message, { reason: 'MalformedPOSTRequest', cause })
}

function invalid(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidArgument' })
}
