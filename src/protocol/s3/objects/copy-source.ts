import { Failure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { HttpRequest } from '../../../core/http.js'
import type { StorePath } from '../../../core/path.js'
import { bucketPathOf, keyTarget } from '../address.js'
import type { AddressRules } from '../address.js'

/** What a copy is made of. */
export interface CopySource {
  readonly bucket: string
  readonly bucketPath: StorePath
  readonly path: StorePath
  /** The key ends with a slash: a directory marker is meant. */
  readonly slash: boolean
  readonly key: string
}

/**
 * Reads `x-amz-copy-source` (S3 API Reference, CopyObject): `/bucket/key` or `bucket/key`, percent-encoded, a plus being
 * a plus, with `?versionId=null` or without. Whether the caller may read it is for the guard to say. Throws `invalid`
 * (`InvalidArgument`, `KeyTooLongError`, `InvalidBucketName`), `not-found` (`NoSuchVersion`) for any other version.
 */
export function readCopySource(
  request: Pick<HttpRequest, 'headers'>,
  rules: Pick<AddressRules, 'buckets'>,
): CopySource {
  const sent = header(request, 'x-amz-copy-source') ?? ''
  const mark = sent.indexOf('?')
  if (mark !== -1 && sent.slice(mark) !== '?versionId=null') throw otherVersion(sent.slice(mark))
  const text = decoded(mark === -1 ? sent : sent.slice(0, mark))
  const place = text.startsWith('/') ? text.slice(1) : text
  const slash = place.indexOf('/')
  const bucket = place.slice(0, slash)
  const key = place.slice(slash + 1)
  if (slash <= 0 || key === '') throw unreadable()
  const bucketPath = bucketPathOf(bucket, rules)
  return { bucket, bucketPath, ...keyTarget(bucketPath, key) }
}

function decoded(sent: string): string {
  try {
    // A transport hands raw bytes over as Latin-1.
    return decodeURIComponent(/[\x80-\xff]/.test(sent) ? Buffer.from(sent, 'latin1').toString() : sent)
  } catch (cause) {
    throw unreadable(cause)
  }
}

function otherVersion(query: string): Failure {
  return query.startsWith('?versionId=')
    ? new Failure('not-found', 'The source of the copy has no such version.', { reason: 'NoSuchVersion' })
    : unreadable()
}

function unreadable(cause?: unknown): Failure {
  return new Failure('invalid', 'x-amz-copy-source must name bucket and key, percent-encoded: bucket/key.', {
    reason: 'InvalidArgument',
    cause,
  })
}
