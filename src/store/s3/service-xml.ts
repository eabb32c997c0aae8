import { Failure } from '../../core/failure.js'
import { childElements, escapeXml, parseXml, textOf } from '../../core/xml.js'
import type { XmlElement } from '../../core/xml.js'
import type { ListPage, ListedObject, OpenUpload, RemovalFailure } from './service.js'

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** Reads the answer to ListObjectsV2; its keys still have the prefix of the mount. Throws `unavailable` where it is none. */
export function readListPage(bytes: Uint8Array): ListPage {
  const root = readRoot(bytes, 'ListBucketResult')
  const decode = decoderOf(root)
  const objects: ListedObject[] = []
  const prefixes: string[] = []
  let token: string | undefined
  let isTruncated = false
  for (const child of childElements(root)) {
    if (child.name === 'Contents') objects.push(listedObject(child, decode))
    else if (child.name === 'CommonPrefixes') prefixes.push(decode(fieldOf(child, 'Prefix')))
    else if (child.name === 'NextContinuationToken') token = textOf(child)
    else if (child.name === 'IsTruncated') isTruncated = textOf(child) === 'true'
  }
  if (isTruncated && token === undefined) throw unreadable()
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
export function removalBody(keys: readonly string[]): Buffer {
  const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join('')
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

function listedObject(contents: XmlElement, decode: (text: string) => string): ListedObject {
  let key = ''
  let size = -1
  let etag = ''
  let modified = 0
  for (const child of contents.children) {
    if (typeof child === 'string') continue
    if (child.name === 'Key') key = decode(textOf(child))
    else if (child.name === 'Size') size = Number(textOf(child))
    else if (child.name === 'ETag') etag = unquoted(textOf(child))
    else if (child.name === 'LastModified') modified = timeOf(textOf(child))
  }
  if (key === '' || !Number.isSafeInteger(size) || size < 0) throw unreadable()
  return { key, size, etag, modified }
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

function unreadable(cause?: unknown): Failure {
  return new Failure('unavailable', 'The storage service has answered with something else than S3 does.', {
    retryAfterSeconds: 60,
    ...(cause !== undefined && { cause }),
  })
}
