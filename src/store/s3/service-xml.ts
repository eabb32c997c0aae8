import { Failure } from '../../core/failure.js'
import { childElements, escapeXml, parseXml, textOf } from '../../core/xml.js'
import type { XmlElement } from '../../core/xml.js'
import { scanListing } from './list-scan.js'
import type { Fields, Scanned } from './list-scan.js'
import type { ListPage, ListedObject, OpenUpload, RemovalFailure } from './service.js'

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** Reads the answer to ListObjectsV2; its keys still have the prefix of the mount. Throws `unavailable` where it is none. */
export function readListPage(bytes: Uint8Array): ListPage {
  const { fields, groups } = scanListing(bytes, 'ListBucketResult') ?? readGroups(readRoot(bytes, 'ListBucketResult'))
  const decode = fields['EncodingType'] === 'url' ? urlDecoded : (text: string): string => text
  const objects: ListedObject[] = []
  const prefixes: string[] = []
  for (const group of groups) {
    if (group.name === 'Contents') objects.push(listedObject(group.fields, decode))
    else if (group.name === 'CommonPrefixes') prefixes.push(decode(group.fields['Prefix'] ?? ''))
  }
  const isTruncated = fields['IsTruncated'] === 'true'
  const token = fields['NextContinuationToken'] ?? ''
  if (isTruncated && token === '') throw unreadable()
  return { objects, prefixes, token: isTruncated ? token : undefined }
}

export interface UploadsPage {
  readonly uploads: readonly OpenUpload[]
  /** Of the next page. */
  readonly next: { readonly key: string; readonly id: string } | undefined
}

/** Reads the answer to ListMultipartUploads. */
export function readUploadsPage(bytes: Uint8Array): UploadsPage {
  const root = readRoot(bytes, 'ListMultipartUploadsResult')
  const decode = decoderOf(root)
  const uploads = childElements(root)
    .filter(({ name }) => name === 'Upload')
    .map((upload) => ({
      key: decode(fieldOf(upload, 'Key')),
      id: fieldOf(upload, 'UploadId'),
      begun: timeOf(fieldOf(upload, 'Initiated')),
    }))
  const next = { key: decode(fieldOf(root, 'NextKeyMarker')), id: fieldOf(root, 'NextUploadIdMarker') }
  return { uploads, next: fieldOf(root, 'IsTruncated') === 'true' && next.key !== '' ? next : undefined }
}

/** Reads the answer to DeleteObjects, which names only what could not go. */
export function readRemovalFailures(bytes: Uint8Array): readonly RemovalFailure[] {
  return childElements(readRoot(bytes, 'DeleteResult'))
    .filter(({ name }) => name === 'Error')
    .map((error) => ({ key: fieldOf(error, 'Key'), code: fieldOf(error, 'Code') }))
}

/** One field of a small answer: the `UploadId` of CreateMultipartUpload, the `ETag` of a copy. */
export function readFields<Name extends string>(
  bytes: Uint8Array,
  root: string,
  names: readonly Name[],
): Readonly<Record<Name, string>> {
  const element = readRoot(bytes, root)
  return Object.fromEntries(names.map((name) => [name, fieldOf(element, name)])) as Record<Name, string>
}

/** The body of DeleteObjects. */
export function removalBody(removals: readonly { readonly key: string; readonly etag?: string }[]): Buffer {
  const condition = (etag: string | undefined): string =>
    etag === undefined ? '' : `<ETag>&quot;${escapeXml(etag)}&quot;</ETag>`
  const objects = removals
    .map(({ key, etag }) => `<Object><Key>${escapeXml(key)}</Key>${condition(etag)}</Object>`)
    .join('')
  return Buffer.from(`<Delete xmlns="${namespace}"><Quiet>true</Quiet>${objects}</Delete>`)
}

/** The body of CompleteMultipartUpload. */
export function completionBody(parts: readonly { readonly number: number; readonly etag: string }[]): Buffer {
  const listed = parts.map(
    ({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>&quot;${escapeXml(etag)}&quot;</ETag></Part>`,
  )
  return Buffer.from(`<CompleteMultipartUpload xmlns="${namespace}">${listed.join('')}</CompleteMultipartUpload>`)
}

/** Whether XML can hold a key: it has no way to write most control characters. */
export function fitsXml(key: string): boolean {
  return !/[\x00-\x08\x0b-\x1f\ufffe\uffff]/.test(key)
}

/** An ETag without quotes and without the mark of a weak one. */
export function unquoted(etag: string): string {
  return etag.replace(/^(?:W\/)?"(.*)"$/, '$1')
}

/** Milliseconds, of whole seconds. Throws `unavailable` where it is no time. */
export function timeOf(text: string): number {
  const time = Date.parse(text)
  if (Number.isNaN(time)) throw unreadable()
  return Math.floor(time / 1000) * 1000
}

function listedObject(fields: Fields, decode: (text: string) => string): ListedObject {
  const { Key: key = '', Size: size = '', ETag: etag = '', LastModified: modified = '' } = fields
  if (key === '' || !/^\d{1,15}$/.test(size)) throw unreadable()
  return { key: decode(key), size: Number(size), etag: unquoted(etag), modified: timeOf(modified) }
}

/** What `scanListing` gives, of any document. */
export function readGroups(root: XmlElement): Scanned {
  const fields: Record<string, string> = {}
  const groups: Scanned['groups'][number][] = []
  for (const child of childElements(root)) {
    const inner = childElements(child)
    if (inner.length === 0) fields[child.name] ??= textOf(child)
    else groups.push({ name: child.name, fields: readGroups(child).fields })
  }
  return { fields, groups }
}

/** Keys come encoded where the service says that it has done so. */
function decoderOf(root: XmlElement): (text: string) => string {
  return fieldOf(root, 'EncodingType') === 'url' ? urlDecoded : (text) => text
}

function urlDecoded(text: string): string {
  if (!/[%+]/.test(text)) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw unreadable()
  }
}

function fieldOf(element: XmlElement, name: string): string {
  const child = childElements(element).find((each) => each.name === name)
  return child === undefined ? '' : textOf(child)
}

function readRoot(bytes: Uint8Array, name: string): XmlElement {
  let root: XmlElement
  try {
    // Services send white space while they work, so that the connection does not fall silent.
    root = parseXml(bytes.subarray(bytes.findIndex((byte) => byte > 0x20)))
  } catch (cause) {
    throw unreadable(cause)
  }
  if (root.name !== name) throw unreadable()
  return root
}

/** Of a listing whose next page is the one that was asked for: it would never end. */
export function goesRound(): Failure {
  return unreadable(new Error('a page of a listing names itself as the next one'))
}

function unreadable(cause?: unknown): Failure {
  return new Failure('unavailable', 'The storage service has answered with something else than S3 does.', {
    retryAfterSeconds: 60,
    ...(cause !== undefined && { cause }),
  })
}
