import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import type { Head } from './wire/link.js'

/** A request without its body, as one process tells another of it. */
export type RequestHead = Pick<HttpRequest, 'method' | 'target' | 'headers' | 'origin' | 'peer'>

/** Longest head of a request that can be told of, in characters. */
const mostCharacters = 80_000

/** Bytes that the longest one takes, however it is escaped. */
export const mostRequestBytes = 512 * 1024

/** As plain data. Throws `too-large`. */
export function sentRequest({ method, target, headers, origin, peer }: RequestHead): Head {
  let characters = method.length + target.length + origin.authority.length
  const lines: (readonly string[])[] = []
  for (const [name, values] of headers) {
    lines.push([name, ...values])
    // Quotes and commas count too.
    characters += name.length + 6
    for (const value of values) characters += value.length + 6
  }
  if (characters > mostCharacters)
    throw new Failure('too-large', 'The headers of this request are too large.', { size: mostCharacters })
  const { scheme, authority } = origin
  const { address, trusted } = peer
  return {
    method,
    target,
    headers: lines,
    scheme,
    authority,
    ...(address !== undefined && { address }),
    ...(trusted && { trusted }),
  }
}

/**
 * A request as another process tells of it, which may say anything. Throws `invalid` where no request over HTTP could look
 * like that.
 */
export function readSentRequest({ request }: Head): RequestHead {
  if (typeof request !== 'object' || request === null) throw misshapen()
  const { method, target, headers: lines, scheme, authority, address, trusted } = request as Head
  if ((scheme !== 'http' && scheme !== 'https') || !Array.isArray(lines)) throw misshapen()
  if (trusted !== undefined && trusted !== true) throw misshapen()
  const headers = new Map<string, readonly string[]>()
  for (const line of lines as readonly unknown[]) {
    if (!Array.isArray(line) || line.length < 2) throw misshapen()
    const [name, ...values] = line.map((text, at) => textIn(text, at === 0 ? headerName : headerValue))
    if (name === undefined || headers.has(name)) throw misshapen()
    headers.set(name, values)
  }
  return {
    method: textIn(method, methodName),
    target: textIn(target, unbroken),
    headers,
    origin: { scheme, authority: textIn(authority, unbroken) },
    peer: { ...(address !== undefined && { address: textIn(address, ipAddress) }), ...(trusted && { trusted }) },
  }
}

const methodName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/
const headerName = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const headerValue = /^[^\r\n\0]*$/
const unbroken = /^[^\x00-\x20\x7f]*$/
/** With or without the zone of IPv6. */
const ipAddress = /^[0-9A-Fa-f.:]{2,45}(?:%[!-~]{1,64})?$/

/** A text of this form. Throws `invalid`. */
export function textIn(value: unknown, form: RegExp): string {
  if (typeof value !== 'string' || !form.test(value)) throw misshapen()
  return value
}

/** Of what was sent, without a word of it. */
export function misshapen(): Failure {
  return new Failure('invalid', 'What was sent cannot be understood.', { reason: 'InvalidRequest' })
}
