import { createHash, createHmac } from 'node:crypto'

/** Who signs. */
export interface S3Key {
  readonly id: string
  readonly secret: string
}

/** What a client means to ask, before any encoding. */
export interface S3Request {
  readonly key: S3Key
  /** `GET` without it. */
  readonly method?: string
  /** Decoded: `/bucket/a key`. Its slashes stay. */
  readonly path: string
  /** Decoded, in the order in which they are sent; a name may come more than once. */
  readonly query?: readonly (readonly [name: string, value: string])[]
  readonly host: string
  /** More headers, by names in lower case. All of them are signed but those of `unsigned`. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly unsigned?: readonly string[]
  readonly body?: Uint8Array | string
  /** `x-amz-content-sha256`; the hash of `body` without it (`UNSIGNED-PAYLOAD` for signed URLs). */
  readonly payload?: string
  /** Milliseconds since the epoch; now without it. */
  readonly time?: number
  /** `us-east-1` without it. */
  readonly region?: string
}

/** A request as it goes out. */
export interface SentRequest {
  readonly method: string
  readonly target: string
  /** With `authorization` and `host`, by names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly body: Buffer
  /** In hex: what the signatures of chunks begin from. */
  readonly signature: string
}

export const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex')

/** `20260131T120000Z` */
export function amzDate(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d+/g, '')
}

/** Signs a request in its `Authorization` header, as a client does; independent of the code that verifies it. */
export function signedRequest(request: S3Request): SentRequest {
  const { key, path, query = [], host, body = '', unsigned = [], region = 'us-east-1' } = request
  const method = request.method ?? 'GET'
  const date = amzDate(request.time ?? Date.now())
  const payload = request.payload ?? sha256(body)
  const headers = { host, 'x-amz-date': date, 'x-amz-content-sha256': payload, ...request.headers }
  const names = Object.keys(headers)
    .filter((name) => !unsigned.includes(name))
    .sort()
  const signature = sign(key, date, region, canonical(method, path, query, headers, names, payload))
  const authorization =
    `AWS4-HMAC-SHA256 Credential=${key.id}/${scopeOf(date, region)}, ` +
    `SignedHeaders=${names.join(';')}, Signature=${signature}`
  return {
    method,
    target: targetOf(path, query),
    headers: { ...headers, authorization },
    body: Buffer.from(body),
    signature,
  }
}

/** Signs a URL that holds for so many seconds (an hour without it). Its headers must be sent along. */
export function presignedRequest(request: S3Request & { readonly expires?: number }): SentRequest {
  const { key, path, query = [], host, body = '', unsigned = [], region = 'us-east-1', expires = 3600 } = request
  const method = request.method ?? 'GET'
  const date = amzDate(request.time ?? Date.now())
  const headers = { host, ...request.headers }
  const names = Object.keys(headers)
    .filter((name) => !unsigned.includes(name))
    .sort()
  const whole = [
    ...query,
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${key.id}/${scopeOf(date, region)}`],
    ['X-Amz-Date', date],
    ['X-Amz-Expires', String(expires)],
    ['X-Amz-SignedHeaders', names.join(';')],
  ] as const
  const payload = request.payload ?? 'UNSIGNED-PAYLOAD'
  const signature = sign(key, date, region, canonical(method, path, whole, headers, names, payload))
  const target = targetOf(path, [...whole, ['X-Amz-Signature', signature]])
  return { method, target, headers, body: Buffer.from(body), signature }
}

export interface S3Chunks {
  readonly key: S3Key
  /** The signature of the request that they belong to. */
  readonly seed: string
  readonly time: number
  readonly region?: string
  readonly chunks: readonly (Uint8Array | string)[]
  /** `x-amz-checksum-crc32:AAAAAA==`, signed as well. */
  readonly trailer?: string
}

/** A body in chunks, each signed on from the one before (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, with a trailer `…-TRAILER`). */
export function signedChunks({ key, seed, time, region = 'us-east-1', chunks, trailer }: S3Chunks): Buffer {
  const date = amzDate(time)
  const signingKey = derive(key.secret, date.slice(0, 8), region)
  const pieces: Buffer[] = []
  let previous = seed
  const next = (...lines: readonly string[]): string => {
    previous = hmac(signingKey, [lines[0], date, scopeOf(date, region), previous, ...lines.slice(1)].join('\n'))
    return previous
  }
  for (const chunk of [...chunks, '']) {
    const bytes = Buffer.from(chunk)
    const signature = next('AWS4-HMAC-SHA256-PAYLOAD', sha256(''), sha256(bytes))
    pieces.push(Buffer.from(`${bytes.length.toString(16)};chunk-signature=${signature}\r\n`), bytes)
    if (bytes.length > 0) pieces.push(Buffer.from('\r\n'))
  }
  if (trailer !== undefined)
    pieces.push(
      Buffer.from(
        `${trailer}\r\nx-amz-trailer-signature:${next('AWS4-HMAC-SHA256-TRAILER', sha256(`${trailer}\n`))}\r\n`,
      ),
    )
  return Buffer.concat([...pieces, Buffer.from('\r\n')])
}

/** The fields that sign a policy for a form (`policy` and those beside it). */
export function signedPolicy(
  key: S3Key,
  policy: object,
  time: number,
  region = 'us-east-1',
): Readonly<Record<string, string>> {
  const date = amzDate(time)
  const text = Buffer.from(JSON.stringify(policy)).toString('base64')
  return {
    policy: text,
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': `${key.id}/${scopeOf(date, region)}`,
    'x-amz-date': date,
    'x-amz-signature': hmac(derive(key.secret, date.slice(0, 8), region), text),
  }
}

/** Signs a canonical request, whose text anybody may have made. */
export function sign(key: S3Key, date: string, region: string, canonicalRequest: string): string {
  const text = `AWS4-HMAC-SHA256\n${date}\n${scopeOf(date, region)}\n${sha256(canonicalRequest)}`
  return hmac(derive(key.secret, date.slice(0, 8), region), text)
}

export function scopeOf(date: string, region: string): string {
  return `${date.slice(0, 8)}/${region}/s3/aws4_request`
}

/** Percent-encoded as signatures want it: all but unreserved characters. */
export function encoded(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => String.fromCharCode(byte))
    .map((mark) =>
      /[A-Za-z0-9_.~-]/.test(mark) ? mark : `%${mark.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')
}

function targetOf(path: string, query: NonNullable<S3Request['query']>): string {
  const pairs = query.map(([name, value]) => (value === '' ? encoded(name) : `${encoded(name)}=${encoded(value)}`))
  return path.split('/').map(encoded).join('/') + (pairs.length === 0 ? '' : `?${pairs.join('&')}`)
}

function canonical(
  method: string,
  path: string,
  query: NonNullable<S3Request['query']>,
  headers: Readonly<Record<string, string | readonly string[]>>,
  names: readonly string[],
  payload: string,
): string {
  const pairs = query.map(([name, value]) => [encoded(name), encoded(value)] as const)
  const sorted = pairs.sort(([a, x], [b, y]) => Buffer.compare(Buffer.from(a), Buffer.from(b)) || (x < y ? -1 : 1))
  const lines = names.map((name) => {
    const values = [headers[name] ?? ''].flat().map((value) => value.trim().split(/ +/).join(' '))
    return `${name}:${values.join(',')}\n`
  })
  return [
    method,
    path.split('/').map(encoded).join('/'),
    sorted.map((pair) => pair.join('=')).join('&'),
    lines.join(''),
    names.join(';'),
    payload,
  ].join('\n')
}

function derive(secret: string, day: string, region: string): Buffer {
  return [day, region, 's3', 'aws4_request'].reduce<Buffer>(
    (key, part) => createHmac('sha256', key).update(part).digest(),
    Buffer.from(`AWS4${secret}`),
  )
}

function hmac(key: Buffer, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex')
}
