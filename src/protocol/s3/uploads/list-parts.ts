import { hash } from 'node:crypto'
import { principalOf } from '../../../auth/identity.js'
import type { Upload, UploadPart } from '../../../catalog/uploads.js'
import type { HttpResponse } from '../../../core/http.js'
import type { S3Context } from '../context.js'
import { ofUpload, uploadIdOf } from './create-upload.js'
import { ownerXml } from '../owner.js'
import { checksumOfUpload, partEtag } from './upload-checksums.js'
import { checksumsOfPart, partChecksumXml } from './upload-part.js'
import { element, root, text, xmlDate, xmlResponse } from '../xml.js'

/** As many as S3 gives in one answer. */
const mostParts = 1000

/** ListParts. Throws `not-found` (`NoSuchUpload`, `NoSuchBucket`), `invalid` (`InvalidArgument`), `denied`. */
export async function listParts(context: S3Context): Promise<HttpResponse> {
  const { target, query, session } = context
  const limit = query.number('max-parts', mostParts) ?? mostParts
  const marker = query.number('part-number-marker', 10_000) ?? 0
  const id = uploadIdOf(context)
  const upload = await ofUpload(context, session.uploads.find(target.path, id))
  const checksum = checksumOfUpload(upload)
  const { parts, isTruncated } = await pageOfParts(session.uploads.parts(target.path, id, marker), limit)
  return xmlResponse(
    200,
    root(
      'ListPartsResult',
      text('Bucket', target.bucket),
      text('Key', target.key),
      text('UploadId', id),
      peopleXml(session, upload),
      text('StorageClass', 'STANDARD'),
      text('PartNumberMarker', marker),
      text('NextPartNumberMarker', parts.at(-1)?.number ?? 0),
      text('MaxParts', limit),
      text('IsTruncated', isTruncated),
      ...parts.map((part) =>
        element(
          'Part',
          text('PartNumber', part.number),
          text('LastModified', xmlDate(part.modified)),
          text('ETag', `"${partEtag(part)}"`),
          text('Size', part.size),
          partChecksumXml(checksumsOfPart(part, checksum === undefined ? [] : [checksum.name])),
        ),
      ),
      text('ChecksumAlgorithm', checksum?.name.toUpperCase()),
      text('ChecksumType', checksum?.type),
    ),
  )
}

/** `Initiator`, whose name is shown to nobody else, and `Owner`. */
export function peopleXml(session: S3Context['session'], { owner }: Pick<Upload, 'owner'>): string {
  const own = ownerXml(session)
  const initiator = owner === principalOf(session.identity) ? own : text('ID', hash('sha256', owner))
  return element('Initiator', initiator) + element('Owner', own)
}

async function pageOfParts(
  batches: AsyncIterable<readonly UploadPart[]>,
  limit: number,
): Promise<{ readonly parts: readonly UploadPart[]; readonly isTruncated: boolean }> {
  const parts: UploadPart[] = []
  if (limit > 0)
    for await (const batch of batches) {
      parts.push(...batch.slice(0, limit + 1 - parts.length))
      if (parts.length > limit) return { parts: parts.slice(0, limit), isTruncated: true }
    }
  return { parts, isTruncated: false }
}
