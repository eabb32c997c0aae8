import { createHash } from 'node:crypto'
import { Failure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { HttpRequest } from '../../../core/http.js'
import type { Upload, UploadPart } from '../../../catalog/uploads.js'
import { combineCrcs } from '../../../store/crc-combine.js'
import { Digester } from '../../../store/digester.js'
import type { Digests } from '../../../store/store.js'
import { checksumNames } from '../checksums.js'
import type { Checksums, ChecksumName } from '../checksums.js'

/** Which checksum an upload was begun with, and whether it is one over the bytes of the object or over those of its parts. */
export interface UploadChecksum {
  readonly name: ChecksumName
  readonly type: Checksums['type']
}

/** How the notes of an upload tell its checksum. */
const noteName = 'checksum'

/**
 * Reads `x-amz-checksum-algorithm` and `x-amz-checksum-type` of CreateMultipartUpload; undefined without any. Throws
 * `invalid` (`InvalidRequest`) for what this server cannot compute and for types that S3 does not have of an algorithm.
 */
export function readUploadChecksum(request: Pick<HttpRequest, 'headers'>): UploadChecksum | undefined {
  const algorithm = header(request, 'x-amz-checksum-algorithm')
  const type = header(request, 'x-amz-checksum-type')
  if (algorithm === undefined) {
    if (type === undefined) return undefined
    throw wrong('x-amz-checksum-type can only be used with x-amz-checksum-algorithm.')
  }
  const name = checksumNames.find((each) => each === algorithm.toLowerCase())
  if (name === undefined)
    throw wrong(
      `x-amz-checksum-algorithm must be one of ${checksumNames.map((each) => each.toUpperCase()).join(', ')}.`,
    )
  const wanted = type?.toUpperCase() ?? (name === 'crc64nvme' ? 'FULL_OBJECT' : 'COMPOSITE')
  if (wanted !== 'FULL_OBJECT' && wanted !== 'COMPOSITE')
    throw wrong('x-amz-checksum-type must be FULL_OBJECT or COMPOSITE.')
  const cannotBe = wanted === 'FULL_OBJECT' ? !isCrc(name) : name === 'crc64nvme'
  if (cannotBe) throw wrong(`There is no ${wanted} checksum of ${name.toUpperCase()} for a multipart upload.`)
  return { name, type: wanted }
}

/** The notes of an upload with this checksum. */
export function notesOf(checksum: UploadChecksum | undefined): Pick<Upload, 'notes'> {
  return checksum === undefined ? {} : { notes: { [noteName]: `${checksum.name} ${checksum.type}` } }
}

/** The checksum that an upload was begun with. */
export function checksumOfUpload({ notes }: Pick<Upload, 'notes'>): UploadChecksum | undefined {
  const [said, type] = notes?.[noteName]?.split(' ') ?? []
  const name = checksumNames.find((each) => each === said)
  return name !== undefined && (type === 'FULL_OBJECT' || type === 'COMPOSITE') ? { name, type } : undefined
}

/** The checksum of an object out of those of its parts; undefined where one of them is not known. */
export function combinedChecksum({ name, type }: UploadChecksum, parts: readonly UploadPart[]): Uint8Array | undefined {
  const pieces: { readonly crc: Uint8Array; readonly size: number }[] = []
  for (const { digests, size } of parts) {
    const crc = digests[name]
    if (crc === undefined) return undefined
    pieces.push({ crc, size })
  }
  if (type === 'FULL_OBJECT') return isCrc(name) ? combineCrcs(name, pieces) : undefined
  return overAll(
    name,
    pieces.map(({ crc }) => crc),
  )
}

/** `<MD5 of the MD5s of all parts>-N`, without quotes. Throws `invalid` (`InvalidPart`) where one has none. */
export function multipartEtag(parts: readonly UploadPart[]): string {
  const hash = createHash('md5')
  for (const { digests } of parts) hash.update(md5Of(digests))
  return `${hash.digest('hex')}-${parts.length}`
}

/** The ETag of a part, without quotes. */
export function partEtag({ digests }: Pick<UploadPart, 'digests'>): string {
  return Buffer.from(md5Of(digests)).toString('hex')
}

export function isCrc(name: ChecksumName): name is 'crc32' | 'crc32c' | 'crc64nvme' {
  return name.startsWith('crc')
}

function md5Of({ md5 }: Digests): Uint8Array {
  if (md5 === undefined)
    throw new Failure('invalid', 'Nothing is known of the content of a part. Upload it again.', {
      reason: 'InvalidPart',
    })
  return md5
}

/** A digest over digests. CRCs of this kind are over the bytes of CRCs. */
function overAll(name: ChecksumName, values: readonly Uint8Array[]): Uint8Array {
  const digester = new Digester([name])
  for (const value of values) digester.update(value)
  return digester.digests()[name] ?? new Uint8Array()
}

function wrong(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidRequest' })
}
