import { Failure } from '../../core/failure.js'
import { realmText } from './realm.js'
import type { Scheme } from './scheme.js'

/** Longest token that is looked at, in characters: a JWT of somebody in many groups has a few thousand. */
const maxTokenLength = 16_384

/** A token in every request, `Authorization: Bearer …` (RFC 6750 §2.1); never in a query or a form. Throws `invalid` for a realm that no header can carry. */
export function bearerScheme(options: { readonly realm: string }): Scheme {
  return {
    headers: ['authorization'],
    challenge: `Bearer realm=${realmText(options.realm)}`,
    read(request) {
      const values = request.headers.get('authorization')
      const value = values?.[0]
      if (values === undefined || value === undefined || !/^bearer(?: |$)/i.test(value)) return undefined
      if (values.length > 1) throw malformed('it came more than once')
      const token = value.slice(7).trim()
      if (token.length > maxTokenLength) throw malformed('it is too long')
      if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) throw malformed('it is no token68')
      return { kind: 'bearer', token }
    },
  }
}

function malformed(why: string): Failure {
  return new Failure('invalid', `The bearer token is malformed: ${why}.`)
}
