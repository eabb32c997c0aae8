import { Failure } from '../../core/failure.js'
import { header, type HttpRequest } from '../../core/http.js'
import { digestBytes } from '../../store/digester.js'
import type { DigestName } from '../../store/store.js'
import type { ExpectedDigest } from './verified-body.js'

type Headers = Pick<HttpRequest, 'headers'>

const prefix = 'x-amz-checksum-'

/** Headers of that prefix that say something else. */
const noDigests: ReadonlySet<string> = new Set([
  'x-amz-checksum-algorithm',
  'x-amz-checksum-mode',
  'x-amz-checksum-type',
])

/** By the names that S3 gives them; those that this server cannot compute are not there. */
const algorithms: ReadonlyMap<string, DigestName> = new Map([
  ['crc32', 'crc32'],
  ['crc32c', 'crc32c'],
  ['crc64nvme', 'crc64nvme'],
  ['sha1', 'sha1'],
  ['sha256', 'sha256'],
])

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** A checksum as a request declares it in `x-amz-checksum-*`. */
export interface DeclaredChecksum {
  readonly name: DigestName
  readonly value: Uint8Array
  /** The number of parts after the dash, where it is a checksum over the checksums of parts. */
  readonly parts?: number
}

/**
 * The one checksum that the headers of a request declare, of the body or, for `CompleteMultipartUpload`, of the object.
 * Throws `invalid` (`InvalidRequest`) for a malformed one, an unknown algorithm, or more than one. What a query says is not
 * looked at: libraries that sign URLs put the checksum of an empty body there.
 */
export function declaredChecksum(request: Headers): DeclaredChecksum | undefined {
  let found: DeclaredChecksum | undefined
  for (const said of request.headers.keys()) {
    if (!said.startsWith(prefix) || noDigests.has(said)) continue
    const name = algorithmOf(said)
    const [, text = '', parts] = /^(.*?)(?:-(\d{1,5}))?$/.exec(header(request, said) ?? '') ?? []
    const value = decoded(text, digestBytes[name])
    if (value === undefined) throw invalid(`Value for ${said} header is invalid.`)
    if (found !== undefined) throw tooMany()
    found = { name, value, ...(parts === undefined ? {} : { parts: Number(parts) }) }
  }
  return found
}

/** Names in `x-amz-trailer`, in lower case; none without one. Throws `invalid` for any but one checksum. */
export function declaredTrailers(request: Headers): readonly string[] {
  const said = header(request, 'x-amz-trailer')
  if (said === undefined) return []
  const names = said.split(',').map((name) => name.trim().toLowerCase())
  for (const name of names) {
    if (!name.startsWith(prefix) || noDigests.has(name))
      throw invalid('The value specified in the x-amz-trailer header is not supported.')
    algorithmOf(name)
  }
  if (names.length > 1) throw tooMany()
  return names
}

/**
 * What the body of a request must have: `Content-MD5`, a checksum in a header, or one in a trailer, whose text `trailer`
 * gives at the end of the body. Throws `invalid` (`InvalidDigest` for `Content-MD5`, else `InvalidRequest`).
 */
export function declaredDigests(
  request: Headers,
  trailers: readonly string[],
  trailer: (name: string) => string,
): readonly ExpectedDigest[] {
  const found: ExpectedDigest[] = []
  const md5 = header(request, 'content-md5')
  if (md5 !== undefined) {
    const value = decoded(md5, digestBytes.md5)
    if (value === undefined)
      throw new Failure('invalid', 'The Content-MD5 you specified is not valid.', { reason: 'InvalidDigest' })
    found.push({ name: 'md5', value, said: 'content-md5' })
  }
  const checksum = declaredChecksum(request)
  if (checksum !== undefined) {
    const said = prefix + checksum.name
    if (checksum.parts !== undefined) throw invalid(`Value for ${said} header is invalid.`)
    if (trailers.length > 0) throw tooMany()
    found.push({ name: checksum.name, value: checksum.value, said })
  }
  for (const said of trailers) {
    const name = algorithmOf(said)
    found.push({ name, value: () => ofTrailer(said, name, trailer(said)), said })
  }
  requireAnnounced(request, checksum?.name ?? trailers[0]?.slice(prefix.length))
  return found
}

function ofTrailer(said: string, name: DigestName, text: string): Uint8Array {
  const value = decoded(text, digestBytes[name])
  if (value === undefined) throw invalid(`Value for ${said} trailing header is invalid.`)
  return value
}

/** A client that says which checksum it sends must have sent it, and no other. */
function requireAnnounced(request: Headers, sent: string | undefined): void {
  const announced = header(request, 'x-amz-sdk-checksum-algorithm')
  if (announced === undefined) return
  if (!algorithms.has(announced.toLowerCase()))
    throw invalid('Value for x-amz-sdk-checksum-algorithm header is invalid.')
  if (sent === undefined)
    throw invalid(
      'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    )
  if (sent !== announced.toLowerCase()) throw invalid('Value for x-amz-sdk-checksum-algorithm header is invalid.')
}

function algorithmOf(said: string): DigestName {
  const name = algorithms.get(said.slice(prefix.length))
  if (name === undefined) throw invalid('The algorithm type you specified in x-amz-checksum- header is invalid.')
  return name
}

/** Strictly so many bytes in base64; undefined for anything else. */
function decoded(text: string, bytes: number): Uint8Array | undefined {
  if (text.length !== Math.ceil(bytes / 3) * 4 || !base64.test(text)) return undefined
  const value = Buffer.from(text, 'base64')
  // Bits beyond the last byte must be zero, or one checksum could be written in several ways.
  return value.length === bytes && value.toString('base64') === text ? value : undefined
}

function tooMany(): Failure {
  return invalid('Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.')
}

function invalid(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidRequest' })
}
