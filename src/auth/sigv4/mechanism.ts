import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import type { Pair } from './canonical-request.js'
import { algorithm, malformedHeader, malformedQuery } from './claim.js'

/** How a request says who sent it. */
export type Mechanism =
  | { readonly by: 'header'; readonly authorization: string }
  /** The parameters that sign a URL, decoded, by their names. */
  | { readonly by: 'query'; readonly parameters: ReadonlyMap<string, string> }
  /** A form of a browser, which says it in its fields, if at all. */
  | { readonly by: 'form' }
  | { readonly by: 'nobody' }

/** Parameters of a signed URL, by their names in lower case. */
const signingParameters: ReadonlyMap<string, string> = new Map(
  [
    'X-Amz-Algorithm',
    'X-Amz-Credential',
    'X-Amz-Date',
    'X-Amz-Expires',
    'X-Amz-SignedHeaders',
    'X-Amz-Signature',
    'X-Amz-Security-Token',
  ].map((name) => [name.toLowerCase(), name]),
)

/** Headers that say one thing or nothing: of two, whoever is in front might have believed the other. */
const singleHeaders = [
  'authorization',
  'x-amz-date',
  'date',
  'x-amz-content-sha256',
  'x-amz-decoded-content-length',
  'x-amz-copy-source',
  'content-md5',
  'content-type',
]

/**
 * Finds the one way in which a request is signed. Throws `invalid` for more than one, for logins of other surfaces and for
 * Signature Version 2 (`InvalidRequest`), for parameters that come twice or in another spelling
 * (`AuthorizationQueryParametersError`) and for security tokens (`InvalidToken`); `unsupported` for SigV4A (`NotImplemented`).
 */
export function mechanismOf(
  { method, headers }: Pick<HttpRequest, 'method' | 'headers'>,
  pairs: readonly Pair[],
): Mechanism {
  for (const name of singleHeaders)
    if ((headers.get(name)?.length ?? 0) > 1) throw invalid(`The header ${name} must be given once.`)
  const parameters = parametersOf(pairs)
  if (headers.has('x-amz-security-token') || parameters.has('X-Amz-Security-Token')) throw noTokens()
  const authorization = headers.get('authorization')?.[0]
  const isOldUrl = parameters.has('AWSAccessKeyId') || (parameters.has('Signature') && parameters.has('Expires'))
  const isSignedUrl = [...signingParameters.values()].some((name) => parameters.has(name))
  const count = [authorization !== undefined, isOldUrl, isSignedUrl, headers.has('x-api-key')].filter(Boolean).length
  if (count > 1)
    throw invalid(
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter ' +
        'or the Authorization header should be specified.',
    )
  if (authorization !== undefined) return { by: 'header', authorization: ourAuthorization(authorization) }
  if (isOldUrl) throw tooOld()
  if (isSignedUrl) {
    requireAlgorithm(parameters.get('X-Amz-Algorithm'))
    return { by: 'query', parameters }
  }
  if (headers.has('x-api-key')) throw otherSurface()
  return { by: isForm({ method, headers }) ? 'form' : 'nobody' }
}

/** Whether a request is a form with files, as browsers send them. */
function isForm({ method, headers }: Pick<HttpRequest, 'method' | 'headers'>): boolean {
  return method === 'POST' && /^\s*multipart\/form-data\b/i.test(headers.get('content-type')?.[0] ?? '')
}

/** Whatever has to do with signing, decoded; each may come once. */
function parametersOf(pairs: readonly Pair[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase()
    const proper = signingParameters.get(lower) ?? (others.has(lower) ? lower : old.has(name) ? name : undefined)
    if (proper === undefined) continue
    if (found.has(proper)) throw malformedQuery(`The query parameter ${proper} must be given once`)
    if (proper !== name && !others.has(lower))
      throw malformedQuery(`The query parameter ${proper} must be spelled like this`)
    found.set(proper, decoded(value))
  }
  return found
}

/** Not needed here, but no less to be given once. */
const others: ReadonlySet<string> = new Set(['x-amz-content-sha256'])

/** Of Signature Version 2. */
const old: ReadonlySet<string> = new Set(['AWSAccessKeyId', 'Signature', 'Expires'])

function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch (cause) {
    throw new Failure('invalid', "Couldn't parse the specified URI.", { reason: 'InvalidURI', cause })
  }
}

function ourAuthorization(value: string): string {
  const name = /^\S*/.exec(value)?.[0] ?? ''
  if (name === algorithm) {
    if (value.length > 16_384) throw malformedHeader('it is too long')
    return value
  }
  if (name === 'AWS') throw tooOld()
  if (name === byCurve) throw unsupportedCurve()
  throw otherSurface()
}

function requireAlgorithm(value: string | undefined): void {
  if (value === byCurve) throw unsupportedCurve()
  if (value !== algorithm) throw malformedQuery(`X-Amz-Algorithm only supports "${algorithm}"`)
}

const byCurve = 'AWS4-ECDSA-P256-SHA256'

function unsupportedCurve(): Failure {
  return new Failure('unsupported', `Signature Version 4A is not supported here. Sign with ${algorithm}.`, {
    reason: 'NotImplemented',
  })
}

function noTokens(): Failure {
  return new Failure('denied', 'The provided token is malformed or otherwise invalid: this server gives out none.', {
    reason: 'InvalidToken',
  })
}

function tooOld(): Failure {
  return invalid(
    `Signature Version 2 is not supported. Please use ${algorithm}: signature_version='s3v4' ` +
      "(in boto3: Config(signature_version='s3v4')).",
  )
}

function otherSurface(): Failure {
  return invalid(`The S3 API takes no such login. Sign requests with Signature Version 4 (${algorithm}).`)
}

function invalid(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidRequest' })
}
