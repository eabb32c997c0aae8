import { Failure, isFailure } from '../../core/failure.js'
import { encodePath, parseTarget, withoutBase } from '../../core/path.js'
import type { Credential, RequestFacts } from '../identity.js'

/** The headers of one sub-request. Two questions with the same headers are the same question. */
export type Question = ReadonlyMap<string, string>

const longestUri = 8000
const longestCredential = 12_000

/** The headers that show a credential as a client would; undefined for one that no header can carry as it is. */
export function credentialHeaders(credential: Credential): Question | undefined {
  switch (credential.kind) {
    case 'password': {
      const { name, password } = credential
      if (name.includes(':') || /[\x00-\x1f\x7f]/.test(name + password)) return undefined
      if (!name.isWellFormed() || !password.isWellFormed()) return undefined
      return fitting([['authorization', `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`]])
    }
    case 'api-key':
      return fitting([
        ['x-api-key', credential.id],
        ['x-api-secret', credential.secret],
      ])
    case 'bearer':
      if (!/^[A-Za-z0-9._~+/-]+=*$/.test(credential.token)) return undefined
      return fitting([['authorization', `Bearer ${credential.token}`]])
  }
}

function fitting(headers: readonly (readonly [string, string])[]): Question | undefined {
  const fits = headers.every(
    ([, value]) => value.length <= longestCredential && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value),
  )
  return fits ? new Map(headers) : undefined
}

/**
 * What the service is told of a request, as `auth_request` of nginx and `forward_auth` of others tell it. The path is the
 * canonical one, encoded anew: what the service judges is what will be opened. COPY and MOVE are two questions, the second
 * about a PUT of their destination. Throws `invalid` for a target that is too long to be asked about.
 */
export function questionsAbout(facts: RequestFacts, basePath: string): readonly Question[] {
  const target = facts.target === '*' ? '/' : facts.target
  const first = questionAbout(facts, facts.method, uriOf(target, basePath))
  if (facts.destination === undefined) return [first]
  const destination = destinationUri(facts.destination, basePath)
  return destination === undefined ? [first] : [first, questionAbout(facts, 'PUT', destination)]
}

function questionAbout({ address, origin }: RequestFacts, method: string, uri: string): Question {
  if (uri.length > longestUri) throw new Failure('invalid', 'The request target is too long.')
  const headers: [string, string][] = [
    ['x-original-method', method],
    ['x-original-uri', uri],
    ['x-forwarded-method', method],
    ['x-forwarded-uri', uri],
  ]
  if (origin !== undefined) headers.push(['x-forwarded-proto', origin.scheme], ['x-forwarded-host', origin.authority])
  if (address !== undefined) headers.push(['x-forwarded-for', address], ['x-real-ip', address])
  return new Map(headers)
}

function uriOf(target: string, basePath: string): string {
  const { path, slash, query } = withoutBase(parseTarget(target), basePath)
  const uri = encodePath(path) + (slash && path !== '/' ? '/' : '')
  if (query === '') return uri
  return `${uri}?${query.replace(/[^\x21-\x7e]/g, (byte) => `%${Buffer.from(byte, 'latin1').toString('hex').toUpperCase()}`)}`
}

/** Undefined for what will be refused as a destination in any case. */
function destinationUri(text: string, basePath: string): string | undefined {
  try {
    const rest = text.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
    return uriOf(rest === '' ? '/' : rest, basePath)
  } catch (error) {
    if (isFailure(error, 'invalid')) return undefined
    throw error
  }
}
