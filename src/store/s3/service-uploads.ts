import { createHash } from 'node:crypto'
import { Failure, isFailure } from '../../core/failure.js'
import type { AwsAnswer } from '../aws/aws-client.js'
import { answeredAt, conditionHeaders, isSuccess, longSilence } from './bucket-requests.js'
import type { BucketRequests } from './bucket-requests.js'
import { writtenEtag } from './object-facts.js'
import type {
  ObjectFacts,
  ObjectHeaders,
  OpenUpload,
  PartSource,
  StoredObject,
  Upload,
  WriteCondition,
} from './service.js'
import { completionBody, goesRound, readFields, readUploadsPage, unquoted } from './service-xml.js'

interface Part {
  readonly number: number
  readonly etag: string
}

/** CreateMultipartUpload. One that is sent twice leaves an upload behind, which whoever sweeps removes. */
export async function beginUpload(
  requests: BucketRequests,
  key: string,
  headers: ObjectHeaders | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  const answer = await requests.done({
    method: 'POST',
    key,
    query: { uploads: '' },
    headers: requests.written(headers),
    signal,
  })
  const { UploadId: id } = readFields(answer.bytes, 'InitiateMultipartUploadResult', ['UploadId'])
  if (id === '')
    throw new Failure('unavailable', 'The storage service has given an upload no name.', { retryAfterSeconds: 60 })
  return id
}

/** UploadPart. */
export async function putPart(
  requests: BucketRequests,
  { key, id }: Upload,
  number: number,
  bytes: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const query = { partNumber: String(number), uploadId: id }
  const { headers } = await requests.done({ method: 'PUT', key, query, body: bytes, signal })
  return writtenEtag(headers)
}

/** UploadPartCopy. Where the service does not look at the ETag of the source, it is looked at afterwards. */
export async function copyPart(
  requests: BucketRequests,
  head: Head,
  { key, id }: Upload,
  number: number,
  from: PartSource,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { copyIfMatch = 'x-amz-copy-source-if-match', partIfMatch } = requests.dialect
  const answer = await requests.done({
    method: 'PUT',
    key,
    query: { partNumber: String(number), uploadId: id },
    headers: {
      'x-amz-copy-source': requests.source(from.key),
      [copyIfMatch]: `"${from.etag}"`,
      'x-amz-copy-source-range': `bytes=${from.range.start}-${from.range.end - 1}`,
    },
    signal,
    failsLate: true,
    silence: longSilence,
  })
  if (!partIfMatch && (await head(from.key))?.etag !== from.etag)
    throw new Failure('precondition', 'The object is another by now.')
  return unquoted(readFields(answer.bytes, 'CopyPartResult', ['ETag']).ETag)
}

type Head = (key: string) => Promise<ObjectFacts | undefined>

export interface Completion {
  readonly parts: readonly Part[]
  readonly condition: WriteCondition | undefined
  readonly signal: AbortSignal | undefined
}

/** CompleteMultipartUpload. Where the upload is gone, or an earlier attempt may have met its own condition, the object tells. */
export async function completeUpload(
  requests: BucketRequests,
  head: Head,
  upload: Upload,
  { parts, condition, signal }: Completion,
): Promise<StoredObject> {
  const { key, id } = upload
  const own = async (): Promise<ObjectFacts | undefined> => {
    const facts = await head(key)
    return facts !== undefined && isEtagOf(facts.etag, parts) ? facts : undefined
  }
  let answer: AwsAnswer
  try {
    answer = await requests.send({
      method: 'POST',
      key,
      query: { uploadId: id },
      headers: { 'content-type': 'application/xml', ...conditionHeaders(condition, requests.dialect) },
      body: [completionBody(parts)],
      signal,
      failsLate: true,
      silence: longSilence,
    })
  } catch (error) {
    // Ceph has no better word for an upload that is gone than that it has failed within.
    if (!isFailure(error, 'unavailable') || (await isThere(requests, upload))) throw error
    const facts = await own()
    if (facts === undefined) throw new Failure('not-found', 'There is no such upload.', { cause: error })
    return facts
  }
  if (isSuccess(answer)) {
    const { ETag: etag } = readFields(answer.bytes, 'CompleteMultipartUploadResult', ['ETag'])
    if (etag !== '') return { etag: unquoted(etag), modified: answeredAt(answer) }
    const facts = await own()
    if (facts !== undefined) return facts
    throw new Failure('unavailable', 'The object is another than was put together.', { retryAfterSeconds: 5 })
  }
  const failure = requests.failure(answer)
  if (answer.code === 'NoSuchUpload' || (failure.kind === 'precondition' && answer.mayHaveBeenDone)) {
    const facts = await own()
    if (facts !== undefined) return facts
  }
  // Where the target is gone, so is what the condition names.
  const lacksTarget = condition !== undefined && 'etag' in condition && answer.code === 'NoSuchKey'
  throw lacksTarget ? new Failure('precondition', 'The object is another by now.', { cause: failure }) : failure
}

/** By ListParts. */
async function isThere(requests: BucketRequests, { key, id }: Upload): Promise<boolean> {
  const answer = await requests.send({ method: 'GET', key, query: { uploadId: id, 'max-parts': '1' } })
  return isSuccess(answer) || requests.failure(answer).kind !== 'not-found'
}

/** AbortMultipartUpload. */
export async function abortUpload(requests: BucketRequests, { key, id }: Upload): Promise<void> {
  await requests.done({ method: 'DELETE', key, query: { uploadId: id } }).catch((error: unknown) => {
    if (!isFailure(error, 'not-found')) throw error
  })
}

/** ListMultipartUploads. */
export async function* listUploads(
  requests: BucketRequests,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly OpenUpload[], void> {
  let markers: Record<string, string> = {}
  for (;;) {
    const query = { uploads: '', prefix: requests.settings.prefix, 'encoding-type': 'url', ...markers }
    const { bytes } = await requests.done({ method: 'GET', query, signal })
    const { uploads, next } = readUploadsPage(bytes)
    const own = uploads.flatMap(({ key, ...rest }) => {
      const relative = requests.relative(key)
      return relative === undefined ? [] : [{ ...rest, key: relative }]
    })
    if (own.length > 0) yield own
    if (next === undefined) return
    if (next.key === markers['key-marker'] && next.id === markers['upload-id-marker']) throw goesRound()
    markers = { 'key-marker': next.key, 'upload-id-marker': next.id }
  }
}

/** What S3 makes of the parts' ETags: the MD5 of their MD5s, and how many there are; by the number alone where they are no MD5s. */
function isEtagOf(etag: string, parts: readonly Part[]): boolean {
  if (!parts.every((part) => /^[0-9a-f]{32}$/.test(part.etag))) return etag.endsWith(`-${parts.length}`)
  const digest = createHash('md5')
  for (const part of parts) digest.update(Buffer.from(part.etag, 'hex'))
  return etag === `${digest.digest('hex')}-${parts.length}`
}
