import type { Upload, UploadPart } from '../../../catalog/uploads.js'
import { Failure, isFailure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { HttpResponse } from '../../../core/http.js'
import type { ByteRange, DigestName, Digests, Entry } from '../../../store/store.js'
import { isObject } from '../buckets/bucket.js'
import { checksumHeaders, checksumXml } from '../checksums.js'
import type { Checksums, ChecksumName } from '../checksums.js'
import type { S3Context } from '../context.js'
import { readCopySource } from '../objects/copy-source.js'
import { ofUpload, uploadIdOf } from './create-upload.js'
import { judgeRead, readConditions } from '../objects/object-conditions.js'
import { declaredChecksums } from '../objects/put-object.js'
import { checksumOfUpload, partEtag } from './upload-checksums.js'
import { root, text, xmlDate, xmlResponse } from '../xml.js'

/** S3 User Guide, "Amazon S3 multipart upload limits". */
const mostParts = 10_000
const mostPartBytes = 5 * 1024 ** 3

/**
 * UploadPart. What is known to be wrong is refused before the body is pulled. Throws `invalid`, `length-required`,
 * `too-large`, `not-found` (`NoSuchUpload`), `denied`, `no-space`, and what the body throws.
 */
export async function uploadPart(context: S3Context): Promise<HttpResponse> {
  const { request, target, session } = context
  const { body } = request
  const number = partNumberOf(context)
  const { length } = body
  if (length === undefined)
    throw new Failure('length-required', 'Say how long the part is: Content-Length, or x-amz-decoded-content-length.', {
      reason: 'MissingContentLength',
    })
  if (length > mostPartBytes) throw tooLarge()
  const id = uploadIdOf(context)
  const upload = await ofUpload(context, session.uploads.find(target.path, id))
  const declared = declaredChecksums(request, body)
  const wanted = checksumOfUpload(upload)?.name
  const other = wanted === undefined ? undefined : declared.find((name) => name !== wanted)
  if (other !== undefined)
    throw new Failure(
      'invalid',
      `The upload was begun with checksums of ${wanted?.toUpperCase() ?? ''}; this part comes with one of ${other.toUpperCase()}.`,
      { reason: 'InvalidRequest' },
    )
  const names = digestsOf(upload, declared)
  body.compute(...names)
  const work = session.uploads.part(target.path, id, number, body, {
    length,
    signal: request.signal,
    knownDigests: () => only(body.digests(), names),
  })
  const part = await ofUpload(context, work)
  const shown = wanted === undefined ? declared : [wanted]
  return {
    status: 200,
    headers: [
      ['ETag', `"${partEtag(part)}"`],
      ['Content-Length', '0'],
      ...checksumHeaders(checksumsOfPart(part, shown)).filter(([name]) => name !== 'x-amz-checksum-type'),
    ],
  }
}

/**
 * UploadPartCopy: a part out of an object, or of a range of one. Throws `invalid` (`InvalidArgument` for a range that does
 * not lie in it), `not-found` (`NoSuchUpload`, `NoSuchKey`), `precondition`, `denied`, `too-large`; `conflict` where the source
 * is replaced meanwhile.
 */
export async function uploadPartCopy(context: S3Context): Promise<HttpResponse> {
  const { request, target, session, settings } = context
  const { store } = session
  const number = partNumberOf(context)
  const source = readCopySource(request, settings)
  const id = uploadIdOf(context)
  const upload = await ofUpload(context, session.uploads.find(target.path, id))
  const entry = await store.stat(source.path, request.signal)
  if (entry === undefined || !isObject(entry) || source.slash !== (entry.kind === 'directory')) throw noSource()
  if (source.slash)
    throw new Failure('invalid', 'The source of the copy is a folder, which has no content.', {
      reason: 'InvalidRequest',
    })
  if (judgeRead(readConditions(request, 'x-amz-copy-source-'), entry) === 'not-modified')
    throw new Failure('precondition', 'The condition on the source of the copy does not hold.', {
      reason: 'PreconditionFailed',
    })
  const range = rangeOf(header(request, 'x-amz-copy-source-range'), entry)
  if (range.end - range.start > mostPartBytes) throw tooLarge()
  const work = session.uploads.partFrom(target.path, id, number, source.path, range, {
    digests: digestsOf(upload, []),
    signal: request.signal,
    // What was judged is what was read.
    beforeCommit: async () => {
      if ((await store.stat(source.path))?.etag !== entry.etag)
        throw new Failure('conflict', 'The source of the copy was changed meanwhile. Try again.')
    },
  })
  const part = await ofUpload(context, work).catch((error: unknown) => {
    throw isFailure(error, 'not-found') && error.reason === undefined ? noSource() : error
  })
  const wanted = checksumOfUpload(upload)?.name
  const checksums = checksumsOfPart(part, wanted === undefined ? [] : [wanted])
  return xmlResponse(
    200,
    root(
      'CopyPartResult',
      text('LastModified', xmlDate(part.modified)),
      text('ETag', `"${partEtag(part)}"`),
      partChecksumXml(checksums),
    ),
  )
}

/** The checksums of a part with these names, as far as they are known. */
export function checksumsOfPart(part: Pick<UploadPart, 'digests'>, names: readonly ChecksumName[]): Checksums {
  const values = names.flatMap((name) => {
    const bytes = part.digests[name]
    return bytes === undefined ? [] : [{ name, value: Buffer.from(bytes).toString('base64') }]
  })
  return { type: 'FULL_OBJECT', values }
}

/** `ChecksumCRC32` and its like: a part has no type. */
export function partChecksumXml(checksums: Checksums): string {
  return checksumXml(checksums).replace(/<ChecksumType>.*$/, '')
}

function partNumberOf({ query }: S3Context): number {
  const said = query.get('partNumber') ?? ''
  const number = /^\d{1,5}$/.test(said) ? Number(said) : 0
  if (number >= 1 && number <= mostParts) return number
  throw new Failure('invalid', `Part number must be an integer between 1 and ${mostParts}, inclusive.`, {
    reason: 'InvalidArgument',
  })
}

/** What is computed of a part. */
function digestsOf(upload: Upload, declared: readonly ChecksumName[]): readonly DigestName[] {
  const wanted = checksumOfUpload(upload)?.name
  return [...new Set<DigestName>(['md5', ...declared, ...(wanted === undefined ? [] : [wanted])])]
}

/** `bytes=FIRST-LAST`, both of them in the object; without it all of the object. */
function rangeOf(field: string | undefined, { size }: Entry): ByteRange {
  if (field === undefined) return { start: 0, end: size }
  const [, first, last] = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(field.trim()) ?? []
  const range = { start: Number(first), end: Number(last) + 1 }
  if (first !== undefined && range.start < range.end && range.end <= size) return range
  throw new Failure(
    'invalid',
    `x-amz-copy-source-range must be bytes=FIRST-LAST, within the ${size} bytes of the source.`,
    { reason: 'InvalidArgument' },
  )
}

function only(digests: Digests, names: readonly DigestName[]): Digests {
  const kept: Partial<Record<DigestName, Uint8Array>> = {}
  for (const name of names) {
    const bytes = digests[name]
    if (bytes !== undefined) kept[name] = bytes
  }
  return kept
}

function noSource(): Failure {
  return new Failure('not-found', 'There is no object of the key in x-amz-copy-source.', { reason: 'NoSuchKey' })
}

function tooLarge(): Failure {
  return new Failure('too-large', `A part may have at most ${mostPartBytes} bytes.`, {
    reason: 'EntityTooLarge',
    size: mostPartBytes,
  })
}
