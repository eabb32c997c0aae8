import { hash } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'

/** What a signature says that it was made over, and what this server holds it to be. */
export interface CanonicalParts {
  readonly method: string
  /** Canonical, by `canonicalPath`. */
  readonly path: string
  /** Canonical, by `canonicalQuery`. */
  readonly query: string
  /** What `canonicalHeaders` gives, and the names in it. */
  readonly headers: string
  readonly signedHeaders: string
  /** What stands for the body: a hash in hex, or the name of a way to send it. */
  readonly payload: string
}

/**
 * The hash of a canonical request in hex (Amazon S3 API Reference, "Signature Calculations for the Authorization Header").
 * It is of the bytes that came over the network, which the transport hands over as Latin-1.
 */
export function canonicalHash({ method, path, query, headers, signedHeaders, payload }: CanonicalParts): string {
  const text = `${method}\n${path}\n${query}\n${headers}\n${signedHeaders}\n${payload}`
  return hash('sha256', isAscii(text) ? text : Buffer.from(text, 'latin1'), 'hex')
}

/**
 * The path of a target, encoded just once: escapes are undone and what is not unreserved is escaped again. Slashes, dots
 * and `+` stay what they are, as S3 alone among the services of Amazon has it. Throws `invalid` (`InvalidURI`).
 */
export function canonicalPath(raw: string): string {
  return plainPath.test(raw) ? raw : raw.split('/').map(recoded).join('/')
}

/** A name and a value, both encoded. */
export type Pair = readonly [name: string, value: string]

/**
 * The pairs of a query, encoded anew, in the order in which they came. `+` is a space, as S3 reads it: who means a plus
 * sends `%2B`. A name without a value has an empty one. Throws `invalid` (`InvalidURI`).
 */
export function queryPairs(raw: string): readonly Pair[] {
  if (raw === '') return []
  const pairs: Pair[] = []
  for (const part of raw.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = equals === -1 ? part : part.slice(0, equals)
    pairs.push([encodedPart(name), equals === -1 ? '' : encodedPart(part.slice(equals + 1))])
  }
  return pairs
}

/** By name, then by value, both as they are encoded; whatever comes twice stays twice. */
export function canonicalQuery(pairs: readonly Pair[]): string {
  if (pairs.length === 0) return ''
  const sorted = pairs.length === 1 ? pairs : pairs.toSorted(byNameAndValue)
  return sorted.map(([name, value]) => `${name}=${value}`).join('&')
}

/**
 * The lines of these headers: values without spaces around them, runs of spaces as one, repeats joined by a comma.
 * @param host stands for the header of that name, which a proxy may have changed
 */
export function canonicalHeaders(headers: HttpRequest['headers'], names: readonly string[], host: string): string {
  let lines = ''
  for (const name of names) {
    const values = name === 'host' ? [host] : (headers.get(name) ?? [assumedHeader(name) ?? ''])
    lines += `${name}:${values.length === 1 ? trimmed(values[0] ?? '') : values.map(trimmed).join(',')}\n`
  }
  return lines
}

/** What a header has said that a proxy answers itself and does not pass on; undefined for all others. */
export function assumedHeader(name: string): string | undefined {
  return name === 'expect' ? '100-continue' : undefined
}

const plainPath = /^[A-Za-z0-9/._~-]*$/
const plainPart = /^[A-Za-z0-9._~-]*$/

function encodedPart(raw: string): string {
  return plainPart.test(raw) ? raw : recoded(raw.replaceAll('+', ' '))
}

function recoded(raw: string): string {
  if (plainPart.test(raw)) return raw
  let text = ''
  for (let at = 0; at < raw.length; at += 1) {
    let byte = raw.charCodeAt(at)
    if (byte === percent) {
      const hex = raw.slice(at + 1, at + 3)
      if (!/^[0-9A-Fa-f]{2}$/.test(hex)) throw badUri()
      byte = Number.parseInt(hex, 16)
      at += 2
    }
    if (byte > 0xff) throw badUri()
    const mark = String.fromCharCode(byte)
    text += plainPart.test(mark) ? mark : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return text
}

const percent = 0x25

/** By hand, since a pattern for spaces at the end takes the square of their number. */
function trimmed(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && isSpace(value.charCodeAt(start))) start += 1
  while (end > start && isSpace(value.charCodeAt(end - 1))) end -= 1
  const text = value.slice(start, end)
  return text.includes('  ') ? text.replace(/ {2,}/g, ' ') : text
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function byNameAndValue([oneName, one]: Pair, [otherName, other]: Pair): number {
  if (oneName !== otherName) return oneName < otherName ? -1 : 1
  return one === other ? 0 : one < other ? -1 : 1
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text)
}

function badUri(): Failure {
  return new Failure('invalid', "Couldn't parse the specified URI.", { reason: 'InvalidURI' })
}
