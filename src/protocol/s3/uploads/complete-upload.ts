import { declaredChecksum } from '../../../auth/sigv4/declared-digests.js'
import type { Upload, UploadPart } from '../../../catalog/uploads.js'
import { Failure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { HttpResponse } from '../../../core/http.js'
import { encodePath, encodeSegment, parentOf, toPath } from '../../../core/path.js'
import type { Attributes, Digests, Entry } from '../../../store/store.js'
import { requireBucket } from '../buckets/bucket.js'
import { checksumNames, checksumXml, checksumsOf, compositeAttribute, writeComposite } from '../checksums.js'
import { readNamedParts } from './complete-request.js'
import type { NamedPart } from './complete-request.js'
import type { S3Context } from '../context.js'
import { uploadIdOf } from './create-upload.js'
import { s3Etag } from '../etag.js'
import { writeConditions } from '../objects/object-conditions.js'
import { partsAttribute, writePartSizes } from './part-sizes.js'
import { checksumOfUpload, combinedChecksum, isCrc, multipartEtag, partEtag } from './upload-checksums.js'
import type { UploadChecksum } from './upload-checksums.js'
import { root, text, xmlResponse } from '../xml.js'

/** All parts but the last one (S3 User Guide, "Amazon S3 multipart upload limits"). */
const leastPartBytes = 5 * 1024 * 1024

/**
 * CompleteMultipartUpload. To complete an upload again, as a client does that has not heard the answer, gives the same
 * for an hour. Throws `invalid` (`MalformedXML`, `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`, `InvalidRequest`),
 * `bad-digest`, `precondition`, `not-found` (`NoSuchUpload`, `NoSuchKey` for `If-Match`), `conflict`, and like PutObject.
 */
export async function completeMultipartUpload(context: S3Context): Promise<HttpResponse> {
  const { request, target, session } = context
  const { uploads } = session
  const named = await readNamedParts(request.body)
  await requireBucket(context)
  const id = uploadIdOf(context)
  const upload = await openUpload(context, id)
  // What is over says itself what it has become, or that nobody knows of it.
  if (upload === undefined) return answer(context, (await uploads.complete(target.path, id, [])).entry)
  const parts = await namedAndPresent(context, id, named)
  requireSizes(request, parts)
  const { attributes, digests } = factsOf(request, upload, parts)
  const conditions = await writeConditions(request, target.path, session.store)
  const { entry } = await uploads.complete(target.path, id, parts, {
    ...conditions,
    attributes: { ...upload.attributes, ...attributes },
    knownDigests: () => digests,
    parents: parentOf(target.path) !== target.bucketPath,
    signal: request.signal,
  })
  return answer(context, entry)
}

async function openUpload({ target, session }: S3Context, id: string): Promise<Upload | undefined> {
  try {
    return await session.uploads.find(target.path, id)
  } catch (error) {
    if (error instanceof Failure && error.reason === 'NoSuchUpload') return undefined
    throw error
  }
}

/** The parts that the client means. Throws `invalid` (`InvalidPart`, `InvalidRequest`). */
async function namedAndPresent(
  { target, session }: S3Context,
  id: string,
  named: readonly NamedPart[],
): Promise<readonly UploadPart[]> {
  const present = new Map<number, UploadPart>()
  for await (const parts of session.uploads.parts(target.path, id))
    for (const part of parts) present.set(part.number, part)
  return named.map(({ number, etag, checksums }) => {
    const part = present.get(number)
    if (part === undefined || partEtag(part) !== etag.toLowerCase())
      throw new Failure(
        'invalid',
        `Part ${number} could not be found. It may not have been uploaded, or the ETag is not that of the part.`,
        { reason: 'InvalidPart' },
      )
    for (const { name, value } of checksums) {
      const known = part.digests[name]
      if (known === undefined)
        throw invalidRequest(`Part ${number} was not uploaded with a checksum of ${name.toUpperCase()}.`)
      if (Buffer.from(known).toString('base64') !== value)
        throw new Failure('invalid', `Part ${number} has another checksum of ${name.toUpperCase()}.`, {
          reason: 'InvalidPart',
        })
    }
    return part
  })
}

/** Throws `invalid` (`EntityTooSmall`, `InvalidRequest` where the object is to have another size). */
function requireSizes(request: S3Context['request'], parts: readonly UploadPart[]): void {
  const small = parts.slice(0, -1).find(({ size }) => size < leastPartBytes)
  if (small !== undefined)
    throw new Failure(
      'invalid',
      `Part ${small.number} has ${small.size} bytes. All parts but the last one must have at least ${leastPartBytes}.`,
      { reason: 'EntityTooSmall', size: small.size },
    )
  const said = header(request, 'x-amz-mp-object-size')
  if (said === undefined) return
  if (!/^\d{1,15}$/.test(said))
    throw new Failure('invalid', 'x-amz-mp-object-size must be a number of bytes.', { reason: 'InvalidArgument' })
  const size = parts.reduce((sum, part) => sum + part.size, 0)
  if (Number(said) !== size) throw invalidRequest(`x-amz-mp-object-size is ${said}; the parts have ${size} bytes.`)
}

/** What is kept of the object beside its bytes and what it was begun with. Throws `bad-digest`, `invalid`. */
function factsOf(
  request: S3Context['request'],
  upload: Upload,
  parts: readonly UploadPart[],
): { readonly attributes: Attributes; readonly digests: Digests } {
  const checksum = checksumOfUpload(upload)
  const value = checksum === undefined ? undefined : combinedChecksum(checksum, parts)
  requireDeclared(request, checksum, value, parts)
  const sizes = writePartSizes(parts.map(({ size }) => size))
  const composite = checksum?.type === 'COMPOSITE' && value !== undefined
  const [only] = parts
  return {
    attributes: {
      's3-etag': multipartEtag(parts),
      ...(sizes !== undefined && { [partsAttribute]: sizes }),
      ...(composite && { [compositeAttribute]: writeComposite(checksum.name, value, parts.length) }),
    },
    digests: {
      // A single part is all of the object.
      ...(parts.length === 1 && only?.digests),
      ...(checksum !== undefined && !composite && value !== undefined && { [checksum.name]: value }),
    },
  }
}

/** What the client says the checksum of the object is. Throws `bad-digest`, `invalid` (`InvalidRequest`). */
function requireDeclared(
  request: S3Context['request'],
  checksum: UploadChecksum | undefined,
  value: Uint8Array | undefined,
  parts: readonly UploadPart[],
): void {
  const type = header(request, 'x-amz-checksum-type')?.toUpperCase()
  if (checksum !== undefined && type !== undefined && type !== checksum.type)
    throw invalidRequest(`The upload was begun for a ${checksum.type} checksum, and this asks for ${type}.`)
  const declared = declaredChecksum(request)
  if (declared === undefined) return
  const name = checksumNames.find((each) => each === declared.name)
  if (name === undefined || (checksum !== undefined && checksum.name !== name))
    throw invalidRequest(`The upload was not begun with checksums of ${declared.name.toUpperCase()}.`)
  // Where it was begun without any, the parts may have come with some.
  const found = value ?? (isCrc(name) ? combinedChecksum({ name, type: 'FULL_OBJECT' }, parts) : undefined)
  if (found === undefined)
    throw invalidRequest(`The upload was not begun with checksums of ${declared.name.toUpperCase()}.`)
  const isPartCount = declared.parts === undefined || declared.parts === parts.length
  if (isPartCount && Buffer.compare(found, declared.value) === 0) return
  throw new Failure('bad-digest', `The parts together do not have the x-amz-checksum-${name} that the request gives.`, {
    reason: 'BadDigest',
  })
}

function answer({ request, target, session }: S3Context, entry: Entry): HttpResponse {
  const { scheme, authority } = request.origin
  const key = `/${encodeSegment(target.bucket ?? '')}${encodePath(toPath(`/${target.key}`))}`
  return xmlResponse(
    200,
    root(
      'CompleteMultipartUploadResult',
      text('Location', `${scheme}://${authority}${session.basePath}${key}`),
      text('Bucket', target.bucket),
      text('Key', target.key),
      text('ETag', `"${s3Etag(entry)}"`),
      checksumXml(checksumsOf(entry)),
    ),
  )
}

function invalidRequest(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidRequest' })
}
