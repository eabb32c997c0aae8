import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import type { Scheme } from './scheme.js'

/** Longest value of either header that is looked at, in characters. */
const maxLength = 1024

/** Id and secret in two headers, `X-Api-Key` and `X-Api-Secret`, as PutFS has them. It has no challenge: no client would know it. */
export function apiKeyScheme(): Scheme {
  return {
    headers: ['x-api-key', 'x-api-secret'],
    read(request) {
      const { headers } = request
      if (!headers.has('x-api-key') && !headers.has('x-api-secret')) return undefined
      return { kind: 'api-key', id: only(request, 'x-api-key'), secret: only(request, 'x-api-secret') }
    },
  }
}

function only(request: HttpRequest, name: string): string {
  const [value, ...others] = request.headers.get(name) ?? []
  if (value === undefined) throw malformed(name, 'is missing')
  if (others.length > 0) throw malformed(name, 'came more than once')
  if (value.length > maxLength) throw malformed(name, 'is too long')
  if (!/^[\x21-\x7e]+$/.test(value)) throw malformed(name, 'is not plain ASCII without spaces')
  return value
}

function malformed(name: string, why: string): Failure {
  return new Failure('invalid', `The API key is malformed: ${name} ${why}.`)
}
