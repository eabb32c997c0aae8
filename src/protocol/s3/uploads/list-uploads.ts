import type { Upload, Uploads } from '../../../catalog/uploads.js'
import { Failure } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import type { StorePath } from '../../../core/path.js'
import { compareKeys } from '../../../store/key-order.js'
import { requireBucket } from '../buckets/bucket.js'
import type { S3Context } from '../context.js'
import { peopleXml } from './list-parts.js'
import { checksumOfUpload } from './upload-checksums.js'
import { element, root, text, xmlDate, xmlResponse } from '../xml.js'

/** As many as S3 gives in one answer. */
const mostUploads = 1000

/** Behind every text that begins with what stands before it. */
const behindAll = '\u{10FFFF}'

/** So many uploads of a common prefix are passed over one by one before the list is begun anew behind all of them. */
const patience = 500

/** Which part of a bucket's uploads is asked for. */
interface UploadRange {
  readonly prefix: string
  readonly delimiter: string
  readonly keyMarker: string
  /** Of uploads for the marked key, only those behind this id; empty for none of them. */
  readonly idMarker: string
  readonly limit: number
}

/** An upload or, without one, a common prefix. */
interface ListedUpload {
  readonly text: string
  readonly upload?: Upload
}

/** ListMultipartUploads. Throws `not-found` (`NoSuchBucket`), `invalid` (`InvalidArgument`), `denied`. */
export async function listMultipartUploads(context: S3Context): Promise<HttpResponse> {
  const { target, query, session } = context
  const encode = encodingOf(query.get('encoding-type'))
  const range = {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    keyMarker: query.get('key-marker') ?? '',
    idMarker: query.get('upload-id-marker') ?? '',
    limit: query.number('max-uploads', mostUploads) ?? mostUploads,
  }
  await requireBucket(context)
  const { listed, isTruncated } = await pageOfUploads(session.uploads, target.bucketPath, range)
  const last = isTruncated ? listed.at(-1) : undefined
  const { prefix, delimiter, keyMarker, idMarker, limit } = range
  return xmlResponse(
    200,
    root(
      'ListMultipartUploadsResult',
      text('Bucket', target.bucket),
      text('KeyMarker', encode(keyMarker)),
      text('UploadIdMarker', keyMarker === '' ? '' : idMarker),
      text('NextKeyMarker', last && encode(last.text)),
      text('NextUploadIdMarker', last && (last.upload?.id ?? '')),
      text('Prefix', encode(prefix)),
      text('Delimiter', delimiter === '' ? undefined : encode(delimiter)),
      text('EncodingType', query.get('encoding-type') === 'url' ? 'url' : undefined),
      text('MaxUploads', limit),
      text('IsTruncated', isTruncated),
      ...listed.map(({ text: key, upload }) =>
        upload === undefined
          ? ''
          : element(
              'Upload',
              text('Key', encode(key)),
              text('UploadId', upload.id),
              peopleXml(session, upload),
              text('StorageClass', 'STANDARD'),
              text('Initiated', xmlDate(upload.begun)),
              text('ChecksumAlgorithm', checksumOfUpload(upload)?.name.toUpperCase()),
              text('ChecksumType', checksumOfUpload(upload)?.type),
            ),
      ),
      ...listed.map(({ text: common, upload }) =>
        upload === undefined ? element('CommonPrefixes', text('Prefix', encode(common))) : '',
      ),
    ),
  )
}

async function pageOfUploads(
  uploads: Uploads,
  bucketPath: StorePath,
  range: UploadRange,
): Promise<{ readonly listed: readonly ListedUpload[]; readonly isTruncated: boolean }> {
  const listed: ListedUpload[] = []
  if (range.limit > 0)
    for await (const one of listedUploads(uploads, bucketPath, range)) {
      if (listed.length === range.limit) return { listed, isTruncated: true }
      listed.push(one)
    }
  return { listed, isTruncated: false }
}

async function* listedUploads(
  uploads: Uploads,
  bucketPath: StorePath,
  { prefix: sent, delimiter, keyMarker: marked, idMarker }: UploadRange,
): AsyncGenerator<ListedUpload> {
  const base = bucketPath === '/' ? '/' : `${bucketPath}/`
  const prefix = sent.normalize('NFC')
  const keyMarker = marked.normalize('NFC')
  const commonOf = (key: string): string | undefined => {
    const at = delimiter === '' || !key.startsWith(prefix) ? -1 : key.indexOf(delimiter, prefix.length)
    return at === -1 ? undefined : key.slice(0, at + delimiter.length)
  }
  // A marker in a common prefix stands for all of it.
  const passed = commonOf(keyMarker)
  let last = passed ?? keyMarker
  let after: { readonly path: string; readonly id?: string } | undefined
  if (passed !== undefined) after = { path: base + passed + behindAll }
  else if (keyMarker !== '') after = { path: base + keyMarker, ...(idMarker !== '' && { id: idMarker }) }
  for (let again = true; again;) {
    again = false
    let skipped = 0
    const from: typeof after = after
    for await (const batch of uploads.list(bucketPath, {
      prefix: base + prefix,
      ...(from !== undefined && { after: from }),
    })) {
      for (const upload of batch) {
        const key = upload.path.slice(base.length)
        const common = commonOf(key)
        if (common === undefined) yield { text: key, upload }
        else if (compareKeys(common, last) > 0) {
          yield { text: common }
          last = common
          skipped = 0
        } else if (++skipped === patience) {
          after = { path: base + common + behindAll }
          again = true
        }
        if (again) break
      }
      if (again) break
    }
  }
}

/** How the client wants texts: percent-encoded with `encoding-type=url`. Throws `invalid`. */
function encodingOf(encoding: string | undefined): (text: string) => string {
  if (encoding === undefined || encoding === '') return (text) => text
  if (encoding === 'url') return (text) => encodeURIComponent(text).replaceAll('%2F', '/')
  throw new Failure('invalid', 'encoding-type can only be url.', { reason: 'InvalidArgument' })
}
