import { Failure, type S3ErrorCode } from '../../core/failure.js'
import { amzTime } from './amz-date.js'

/** What a request says of its own signature, before any of it is believed. */
export interface Claim {
  readonly by: 'header' | 'query'
  readonly accessKeyId: string
  /** Of the scope: `20260131`. */
  readonly day: string
  readonly region: string
  /** `20260131/us-east-1/s3/aws4_request` */
  readonly scope: string
  /** Lower case, sorted, each once, `host` among them. */
  readonly names: readonly string[]
  /** The same as one text, as sent. */
  readonly signedHeaders: string
  /** Lower-case hex. */
  readonly signature: string
  /** `20260131T120000Z`, of the day of the scope. */
  readonly date: string
  /** The same in milliseconds since the epoch. */
  readonly time: number
  /** How long a signed URL holds. */
  readonly expiresSeconds?: number
}

/** The fields of a claim as text, wherever they stood. */
interface Fields {
  readonly by: Claim['by']
  readonly credential: string
  readonly signedHeaders: string
  readonly signature: string
  readonly date: string
}

/** The algorithm that is verified here; keys that are shared out by curve (SigV4A) are none of ours. */
export const algorithm = 'AWS4-HMAC-SHA256'

/** A day and seven of them, as S3 bounds signed URLs. */
const mostSeconds = 604_800

/**
 * Reads an `Authorization` header whose algorithm is ours. `date` is that of the request. Throws `invalid`
 * (`AuthorizationHeaderMalformed`).
 */
export function claimOfHeader(value: string, date: string): Claim {
  const found = new Map<string, string>()
  for (const part of value.slice(algorithm.length).split(',')) {
    const [, name, text] = headerField.exec(part.trim()) ?? []
    if (name === undefined || text === undefined || found.has(name))
      throw malformedHeader('it needs Credential, SignedHeaders and Signature, each once, and nothing else')
    found.set(name, text)
  }
  const [credential, signedHeaders, signature] = ['Credential', 'SignedHeaders', 'Signature'].map((name) =>
    found.get(name),
  )
  if (credential === undefined || signedHeaders === undefined || signature === undefined)
    throw malformedHeader('it needs Credential, SignedHeaders and Signature')
  return claimOf({ by: 'header', credential, signedHeaders, signature, date }, malformedHeader)
}

const headerField = /^(Credential|SignedHeaders|Signature)=(\S+)$/

/**
 * Reads the parameters of a signed URL, decoded, by their names. Throws `invalid` (`AuthorizationQueryParametersError`).
 */
export function claimOfQuery(parameters: ReadonlyMap<string, string>): Claim {
  const [credential, date, expires, signedHeaders, signature] = queryNames.map((name) => parameters.get(name))
  if (
    credential === undefined ||
    date === undefined ||
    expires === undefined ||
    signedHeaders === undefined ||
    signature === undefined
  )
    throw malformedQuery(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, ' +
        'X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    )
  if (!/^\d{1,10}$/.test(expires)) throw malformedQuery('X-Amz-Expires should be a number')
  const expiresSeconds = Number(expires)
  if (expiresSeconds < 1) throw malformedQuery('X-Amz-Expires must be at least 1 second')
  if (expiresSeconds > mostSeconds)
    throw malformedQuery(
      `X-Amz-Expires must be less than a week (in seconds); that is, it must be at most ${mostSeconds}`,
    )
  if (amzTime(date) === undefined)
    throw malformedQuery("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
  return { ...claimOf({ by: 'query', credential, signedHeaders, signature, date }, malformedQuery), expiresSeconds }
}

const queryNames = ['X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Expires', 'X-Amz-SignedHeaders', 'X-Amz-Signature']

function claimOf(fields: Fields, malformed: (why: string) => Failure): Claim {
  const { by, credential, signedHeaders, signature, date } = fields
  const [, accessKeyId, day = '', region = '', service, terminator] = credentialText.exec(credential) ?? []
  if (accessKeyId === undefined)
    throw malformed('the Credential must be of the form ACCESS-KEY-ID/YYYYMMDD/REGION/s3/aws4_request')
  if (service !== 's3') throw malformed('the service of the Credential must be "s3"')
  if (terminator !== 'aws4_request') throw malformed('the Credential must end with "aws4_request"')
  if (!signatureText.test(signature)) throw malformed('the Signature must have 64 lower-case hexadecimal digits')
  const time = amzTime(date)
  if (time === undefined || !date.startsWith(day))
    throw malformed(`Invalid credential date "${day}". This date is not the same as X-Amz-Date: "${date.slice(0, 8)}"`)
  const names = signedHeaders.split(';')
  if (!names.every((name) => headerName.test(name)))
    throw malformed('the SignedHeaders must be names of headers in lower case, with a semicolon between them')
  if (names.some((name, index) => index > 0 && name <= (names[index - 1] ?? '')))
    throw malformed('the SignedHeaders must be sorted, each of them once')
  if (!names.includes('host')) throw malformed('the header host must be among the SignedHeaders')
  return {
    by,
    accessKeyId,
    day,
    region,
    scope: scopeText({ day, region }),
    names,
    signedHeaders,
    signature,
    date,
    time,
  }
}

/** What a key was derived for, as it is signed. */
export function scopeText({ day, region }: Pick<Claim, 'day' | 'region'>): string {
  return `${day}/${region}/s3/aws4_request`
}

/** Some clients (git-annex) sign for a region that has the name of the host. */
const credentialText = /^([!-+\-.0-~]{1,128})\/(\d{8})\/([A-Za-z0-9._-]{1,253})\/([^/]{1,64})\/([^/]{1,64})$/
const headerName = /^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$/
const signatureText = /^[0-9a-f]{64}$/

/** Of an `Authorization` header, in the words of S3. */
export function malformedHeader(why: string): Failure {
  return invalid(`The authorization header is malformed; ${why}.`, 'AuthorizationHeaderMalformed')
}

/** Of a signed URL. */
export function malformedQuery(why: string): Failure {
  return invalid(why, 'AuthorizationQueryParametersError')
}

function invalid(message: string, reason: S3ErrorCode): Failure {
  return new Failure('invalid', message, { reason })
}
