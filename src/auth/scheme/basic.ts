import { Failure } from '../../core/failure.js'
import { realmText } from './realm.js'
import type { Scheme } from './scheme.js'

/** Longest `Authorization` value that is looked at, in characters. */
const maxCredentialLength = 8192

/**
 * Name and password in every request (RFC 7617). UTF-8, and Latin-1 where the bytes are no UTF-8, as older clients send.
 * A Windows domain before the name (`DOMAIN\name`) is dropped. Throws `invalid` for a realm that no header can carry.
 */
export function basicScheme(options: { readonly realm: string }): Scheme {
  return {
    headers: ['authorization'],
    challenge: `Basic realm=${realmText(options.realm)}, charset="UTF-8"`,
    read(request) {
      const values = request.headers.get('authorization')
      const value = values?.[0]
      if (values === undefined || value === undefined || !/^basic(?: |$)/i.test(value)) return undefined
      if (values.length > 1) throw malformed('it came more than once')
      if (value.length > maxCredentialLength) throw malformed('it is too long')
      const encoded = value.slice(6).trim()
      if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) throw malformed('it is not base64')
      const text = decode(Buffer.from(encoded, 'base64'))
      if (/[\x00-\x1f\x7f]/.test(text)) throw malformed('it holds control characters')
      const colon = text.indexOf(':')
      if (colon === -1) throw malformed('it has no colon')
      const name = text.slice(text.lastIndexOf('\\', colon) + 1, colon)
      if (name === '') throw malformed('it has no name')
      return { kind: 'password', name, password: text.slice(colon + 1) }
    },
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    return bytes.toString('latin1')
  }
}

function malformed(why: string): Failure {
  return new Failure('invalid', `The Basic credential is malformed: ${why}.`)
}
