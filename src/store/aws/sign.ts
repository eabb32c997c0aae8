import { createHash, createHmac, hash } from 'node:crypto'
import { Failure } from '../../core/failure.js'

/** Whose signature it is. */
export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** What signatures are good for. */
export interface SigningScope {
  readonly region: string
  /** `s3`, `dynamodb`, … */
  readonly service: string
}

/** A request as it will be sent, before it is signed. */
export interface Signable {
  readonly method: string
  /** As it is sent: encoded by `encodedPath`. */
  readonly path: string
  /** By `canonicalQuery`; without `?`. */
  readonly query: string
  /** By names in lower case, with `host`; all of them are signed. */
  readonly headers: Readonly<Record<string, string>>
  /** SHA-256 of the body in hex, or `UNSIGNED-PAYLOAD`. */
  readonly payload: string
}

export const unsignedPayload = 'UNSIGNED-PAYLOAD'
const algorithm = 'AWS4-HMAC-SHA256'

/**
 * Signs requests with version 4 of Amazon's signatures ("Create a signed AWS API request", IAM User Guide). Keys derived
 * for a day are remembered.
 */
export class Signer {
  readonly #scope: SigningScope
  #day = ''
  #secret = ''
  #key: Uint8Array = new Uint8Array(0)

  constructor(scope: SigningScope) {
    this.#scope = scope
  }

  /** The headers to send: those of the request with the date, the token and the signature. */
  headers(request: Signable, credentials: AwsCredentials, milliseconds: number): Record<string, string> {
    const date = amzDate(milliseconds)
    const headers: Record<string, string> = { ...request.headers, 'x-amz-date': date }
    if (this.#scope.service === 's3') headers['x-amz-content-sha256'] = request.payload
    if (credentials.sessionToken !== undefined) headers['x-amz-security-token'] = credentials.sessionToken
    const names = Object.keys(headers).sort()
    const signedHeaders = names.join(';')
    const scope = this.#scopeOn(date)
    const signature = this.#signature(request, request.query, headers, names, credentials, date, scope)
    headers['authorization'] =
      `${algorithm} Credential=${credentials.accessKeyId}/${scope},SignedHeaders=${signedHeaders},Signature=${signature}`
    return headers
  }

  /** The query of a URL that holds for so many seconds; the headers of the request must be sent with it. */
  query(request: Signable, credentials: AwsCredentials, milliseconds: number, expiresSeconds: number): string {
    const date = amzDate(milliseconds)
    const names = Object.keys(request.headers).sort()
    const scope = this.#scopeOn(date)
    const own: Record<string, string> = {
      'X-Amz-Algorithm': algorithm,
      'X-Amz-Credential': `${credentials.accessKeyId}/${scope}`,
      'X-Amz-Date': date,
      'X-Amz-Expires': String(expiresSeconds),
      'X-Amz-SignedHeaders': names.join(';'),
    }
    if (credentials.sessionToken !== undefined) own['X-Amz-Security-Token'] = credentials.sessionToken
    const pairs = [...(request.query === '' ? [] : request.query.split('&')), ...canonicalQuery(own).split('&')]
    const query = pairs.sort(byName).join('&')
    const signature = this.#signature(request, query, request.headers, names, credentials, date, scope)
    return `${query}&X-Amz-Signature=${signature}`
  }

  #scopeOn(date: string): string {
    return `${date.slice(0, 8)}/${this.#scope.region}/${this.#scope.service}/aws4_request`
  }

  #signature(
    { method, path, payload }: Signable,
    query: string,
    headers: Readonly<Record<string, string>>,
    names: readonly string[],
    credentials: AwsCredentials,
    date: string,
    scope: string,
  ): string {
    let lines = ''
    for (const name of names) lines += `${name}:${canonicalValue(headers[name] ?? '')}\n`
    // S3 alone signs its path as it is sent; for the others it is encoded once more.
    const signedPath = this.#scope.service === 's3' ? path : encodedPath(path)
    const canonical = `${method}\n${signedPath}\n${query}\n${lines}\n${names.join(';')}\n${payload}`
    const text = `${algorithm}\n${date}\n${scope}\n${hash('sha256', canonical, 'hex')}`
    return createHmac('sha256', this.#keyFor(credentials.secretAccessKey, date.slice(0, 8)))
      .update(text)
      .digest('hex')
  }

  #keyFor(secret: string, day: string): Uint8Array {
    if (secret === this.#secret && day === this.#day) return this.#key
    const parts = [day, this.#scope.region, this.#scope.service, 'aws4_request']
    this.#key = parts.reduce<Uint8Array>(
      (key, part) => createHmac('sha256', key).update(part).digest(),
      Buffer.from(`AWS4${secret}`),
    )
    this.#secret = secret
    this.#day = day
    return this.#key
  }
}

let lastSecond = -1
let lastDate = ''

/** `20260131T120000Z` */
export function amzDate(milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    lastDate = new Date(second * 1000).toISOString().replace(/[-:]|\.\d+/g, '')
  }
  return lastDate
}

/** Names and values, encoded and in the order of the names. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
  return pairs.sort(byName).join('&')
}

/** A text with all escaped but the unreserved characters of RFC 3986 §2.3. Throws `invalid` where it is no Unicode. */
export function encoded(text: string): string {
  if (/^[A-Za-z0-9._~-]*$/.test(text)) return text
  try {
    return encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
  } catch (cause) {
    throw new Failure('invalid', 'The name holds half a character.', { cause })
  }
}

/** The same with the slashes left as they are. */
export function encodedPath(text: string): string {
  return /^[A-Za-z0-9/._~-]*$/.test(text) ? text : encoded(text).replaceAll('%2F', '/')
}

/** SHA-256 of a body in pieces, in hex. */
export function payloadHash(body: readonly Uint8Array[]): string {
  if (body.length === 0) return emptyHash
  if (body.length === 1) return hash('sha256', body[0] ?? new Uint8Array(0), 'hex')
  const digest = createHash('sha256')
  for (const piece of body) digest.update(piece)
  return digest.digest('hex')
}

const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

function canonicalValue(value: string): string {
  const text = value.trim()
  return text.includes('  ') ? text.replace(/ {2,}/g, ' ') : text
}

/** Of `name=value`; by the whole text `a-b=` would come before `a=`. */
function byName(one: string, other: string): number {
  const [oneName, oneValue] = parted(one)
  const [otherName, otherValue] = parted(other)
  if (oneName !== otherName) return oneName < otherName ? -1 : 1
  return oneValue === otherValue ? 0 : oneValue < otherValue ? -1 : 1
}

function parted(pair: string): readonly [name: string, value: string] {
  const equals = pair.indexOf('=')
  return equals === -1 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
}
