import { Failure } from '../../../core/failure.js'
import type { HttpRequest } from '../../../core/http.js'

export type Fields = Readonly<Record<string, unknown>>

/** Enough for what is said of 10,000 parts. */
const mostBytes = 4 * 2 ** 20

/** The body as a JSON object; an empty body is an empty object. Throws `invalid`, `too-large`, and what the body throws. */
export async function readFields(request: Pick<HttpRequest, 'body'>, known: readonly string[]): Promise<Fields> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of request.body) {
    size += piece.length
    if (size > mostBytes) throw new Failure('too-large', `The request may have at most ${mostBytes} bytes.`)
    pieces.push(piece)
  }
  if (size === 0) return {}
  let value: unknown
  try {
    value = JSON.parse(Buffer.concat(pieces).toString())
  } catch {
    throw new Failure('invalid', 'The body must be JSON.')
  }
  return fieldsOf(value, known, 'The body')
}

/** Throws `invalid` for anything but an object, and for fields that are not known. */
export function fieldsOf(value: unknown, known: readonly string[], what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Failure('invalid', `${what} must be a JSON object.`)
  const other = Object.keys(value).find((name) => !known.includes(name))
  if (other !== undefined)
    throw new Failure('invalid', `${what} may have ${known.join(', ')}, but not ${JSON.stringify(other.slice(0, 40))}.`)
  return value as Fields
}

/** Throws `invalid`. */
export function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined || value === null || (typeof value === 'string' && value.length <= 8192))
    return value ?? undefined
  throw new Failure('invalid', `${name} must be a text.`)
}

/** A whole number from `least` to `most`. Throws `invalid`. */
export function numberOf(fields: Fields, name: string, least: number, most: number): number | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value
  throw new Failure('invalid', `${name} must be a whole number from ${least} to ${most}.`)
}

/** Throws `invalid`. */
export function truthOf(fields: Fields, name: string): boolean | undefined {
  const value = fields[name]
  if (value === undefined || value === null || typeof value === 'boolean') return value ?? undefined
  throw new Failure('invalid', `${name} must be true or false.`)
}

/** A digest of so many bytes in hexadecimal digits or base64. Throws `invalid`. */
export function digestOf(fields: Fields, name: string, bytes: number): Uint8Array | undefined {
  const text = textOf(fields, name)
  if (text === undefined) return undefined
  if (text.length === bytes * 2 && /^[0-9a-f]+$/i.test(text)) return Buffer.from(text, 'hex')
  const raw = Buffer.from(text, 'base64')
  if (raw.length === bytes && raw.toString('base64') === text) return raw
  throw new Failure('invalid', `${name} must be ${bytes} bytes in hexadecimal digits or base64.`)
}
