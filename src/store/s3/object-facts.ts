import type { IncomingHttpHeaders } from 'node:http'
import { Failure } from '../../core/failure.js'
import { parseHttpDate } from '../../core/http.js'
import type { ObjectFacts } from './service.js'
import { unquoted } from './service-xml.js'

const kept = new Set([
  'content-type',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
])

/**
 * What the headers of an answer to GET or HEAD say of the whole object. Metadata that is not printable ASCII is left out.
 * Throws `unavailable` where they lack what S3 always says.
 */
export function factsOf(headers: IncomingHttpHeaders): ObjectFacts {
  const range = /^bytes \d+-\d+\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1]
  const size = Number(range ?? headers['content-length'] ?? Number.NaN)
  const modified = parseHttpDate(headers['last-modified'])
  if (!Number.isSafeInteger(size) || modified === undefined || headers.etag === undefined) throw unsaid()
  const own: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (typeof value === 'string' && (kept.has(name) || name.startsWith('x-amz-meta-')) && /^[\x20-\x7e]*$/.test(value))
      own[name] = value
  const checksum = headers['x-amz-checksum-sha256']
  // That of an object in parts ends with their number and says nothing of its bytes.
  const sha256 = typeof checksum === 'string' && /^[A-Za-z0-9+/]{43}=$/.test(checksum) ? checksum : undefined
  return {
    size,
    etag: unquoted(headers.etag),
    modified,
    headers: own,
    ...(sha256 !== undefined && { sha256: Buffer.from(sha256, 'base64') }),
  }
}

/**
 * The ETag of what has just been written. Throws `unavailable` without one: then it was not S3 that has answered, but some
 * proxy whose page of success says nothing of the object.
 */
export function writtenEtag({ etag }: IncomingHttpHeaders): string {
  if (etag === undefined || etag === '') throw unsaid()
  return unquoted(etag)
}

function unsaid(): Failure {
  return new Failure('unavailable', 'The storage service does not say what S3 says of an object.', {
    retryAfterSeconds: 60,
  })
}
