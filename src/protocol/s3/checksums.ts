import type { Header } from '../../core/http.js'
import type { DigestName, Digests, Entry } from '../../store/store.js'
import { text } from './xml.js'

/** The digests that S3 calls checksums, by what they are called in headers (`x-amz-checksum-…`). */
export const checksumNames = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const satisfies readonly DigestName[]

export type ChecksumName = (typeof checksumNames)[number]

/** The attribute with the checksum over the checksums of an object's parts: `sha256=BASE64-3`. */
export const compositeAttribute = 's3-checksum'

/** One checksum as a client sees it. */
export interface ShownChecksum {
  readonly name: ChecksumName
  /** Base64, with `-N` behind it where it is one of N parts. */
  readonly value: string
}

/** What is known of an object: the checksum that it was put together with, else all those over its bytes. */
export interface Checksums {
  readonly type: 'FULL_OBJECT' | 'COMPOSITE'
  readonly values: readonly ShownChecksum[]
}

/** The checksums of an object, without reading its bytes; undefined where none is known. */
export function checksumsOf({ attributes, digests }: Pick<Entry, 'attributes' | 'digests'>): Checksums | undefined {
  const noted = attributes?.[compositeAttribute]
  if (noted !== undefined) {
    const composite = /^([a-z0-9]+)=([A-Za-z0-9+/=]+-\d+)$/.exec(noted)
    const name = checksumNames.find((each) => each === composite?.[1])
    const value = composite?.[2]
    if (name !== undefined && value !== undefined) return { type: 'COMPOSITE', values: [{ name, value }] }
  }
  if (digests === undefined) return undefined
  const values = shownOf(digests)
  return values.length === 0 ? undefined : { type: 'FULL_OBJECT', values }
}

/** The value of the attribute for a checksum over the checksums of that many parts. */
export function writeComposite(name: ChecksumName, bytes: Uint8Array, parts: number): string {
  return `${name}=${base64(bytes)}-${parts}`
}

/** `x-amz-checksum-…` and `x-amz-checksum-type`. */
export function checksumHeaders(checksums: Checksums | undefined): Header[] {
  if (checksums === undefined) return []
  const headers: Header[] = checksums.values.map(({ name, value }): Header => [`x-amz-checksum-${name}`, value])
  headers.push(['x-amz-checksum-type', checksums.type])
  return headers
}

/** `ChecksumCRC32` and its like, and `ChecksumType`. */
export function checksumXml(checksums: Checksums | undefined): string {
  if (checksums === undefined) return ''
  const values = checksums.values.map(({ name, value }) => text(`Checksum${name.toUpperCase()}`, value))
  return values.join('') + text('ChecksumType', checksums.type)
}

function shownOf(digests: Digests): ShownChecksum[] {
  const shown: ShownChecksum[] = []
  for (const name of checksumNames) {
    const bytes = digests[name]
    if (bytes !== undefined) shown.push({ name, value: base64(bytes) })
  }
  return shown
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
