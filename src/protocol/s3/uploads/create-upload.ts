import type { HttpResponse } from '../../../core/http.js'
import type { Header } from '../../../core/http.js'
import { Failure, isFailure } from '../../../core/failure.js'
import { parentOf } from '../../../core/path.js'
import { principalOf } from '../../../auth/identity.js'
import { requireBucket } from '../buckets/bucket.js'
import type { S3Context } from '../context.js'
import { attributesOfRequest } from '../objects/object-attributes.js'
import { checksumOfUpload, notesOf, readUploadChecksum } from './upload-checksums.js'
import { root, text, xmlResponse } from '../xml.js'

/**
 * CreateMultipartUpload. What the object will be beside its bytes is decided here. Throws `not-found` (`NoSuchBucket`),
 * `is-directory`, `not-directory`, `invalid`, `unsupported`, `denied`, `locked`.
 */
export async function createMultipartUpload(context: S3Context): Promise<HttpResponse> {
  const { request, target, session } = context
  const attributes = attributesOfRequest(request)
  const checksum = readUploadChecksum(request)
  await requireBucket(context)
  if (target.slash)
    throw new Failure('invalid', 'A key that ends with a slash stands for a folder, which has no content.', {
      reason: 'DirectoryObjectContainsData',
    })
  await requireRoomFor(context)
  const owner = principalOf(session.identity)
  const upload = await session.uploads.begin(target.path, { owner, attributes, ...notesOf(checksum) })
  return xmlResponse(
    200,
    root(
      'InitiateMultipartUploadResult',
      text('Bucket', target.bucket),
      text('Key', target.key),
      text('UploadId', upload.id),
    ),
    uploadChecksumHeaders(upload),
  )
}

/** Tells now what every part would be sent for in vain. Whoever may not look is told in the end. */
async function requireRoomFor({ target, session }: S3Context): Promise<void> {
  try {
    for (let at = target.path; at !== target.bucketPath; at = parentOf(at)) {
      const entry = await session.store.stat(at)
      if (entry === undefined) continue
      if (at === target.path && entry.kind === 'directory')
        throw new Failure('is-directory', 'There is a folder of that name.', { path: at, reason: 'ObjectIsDirectory' })
      if (at !== target.path && entry.kind === 'file')
        throw new Failure('not-directory', 'There is a file where a folder would be needed.', {
          path: at,
          reason: 'ObjectParentIsFile',
        })
      return
    }
  } catch (error) {
    if (!isFailure(error, 'denied')) throw error
  }
}

/** `x-amz-checksum-algorithm` and `x-amz-checksum-type`. */
function uploadChecksumHeaders(upload: Parameters<typeof checksumOfUpload>[0]): readonly Header[] {
  const checksum = checksumOfUpload(upload)
  if (checksum === undefined) return []
  return [
    ['x-amz-checksum-algorithm', checksum.name.toUpperCase()],
    ['x-amz-checksum-type', checksum.type],
  ]
}

/** AbortMultipartUpload. Throws `not-found` (`NoSuchUpload`, `NoSuchBucket`), `denied`. */
export async function abortMultipartUpload(context: S3Context): Promise<HttpResponse> {
  const { target, session } = context
  await ofUpload(context, session.uploads.abort(target.path, uploadIdOf(context)))
  return { status: 204, headers: [] }
}

/** The `uploadId` of the query. No key with a slash at its end has any. */
export function uploadIdOf({ query, target }: Pick<S3Context, 'query' | 'target'>): string {
  return target.slash ? '' : (query.get('uploadId') ?? '')
}

/** Waits for work on an upload. Where there is none, the bucket may be what is missing (`NoSuchBucket`). */
export async function ofUpload<Result>(context: S3Context, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Failure && error.reason === 'NoSuchUpload') await requireBucket(context)
    throw error
  }
}
