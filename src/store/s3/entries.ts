import { Failure } from '../../core/failure.js'
import { parseHttpDate } from '../../core/http.js'
import type { StorePath } from '../../core/path.js'
import { digestBytes, digestNames } from '../digester.js'
import type { Attributes, Digests, Entry } from '../store.js'
import type { S3Context } from './context.js'
import type { ListedObject, ObjectFacts, ObjectHeaders } from './service.js'

/** What is kept of a file or directory beside its bytes. */
export interface Kept {
  readonly kind: Entry['kind']
  /** Bytes; 0 for a directory. */
  readonly size: number
  readonly attributes?: Attributes | undefined
  readonly digests?: Digests | undefined
  /** `WriteOptions.modified`: stored for others (rclone, s3fs), never shown as the time of the entry. */
  readonly modified?: number | undefined
  /** The ETag will be the MD5: the object is written in one piece, by a service of that kind. */
  readonly etagIsMd5?: boolean
}

/** Limit of S3 for the names and values of all user metadata together, in bytes. */
const userMetadataLimitBytes = 2048
/** Far below what S3 takes of a request's headers. */
const nativeLimitBytes = 4096

const metaPrefix = 'x-amz-meta-'
const attributesHeader = 'x-amz-meta-postern-attributes'
const digestsHeader = 'x-amz-meta-postern-digests'
/** Seconds since the epoch with a fraction, as rclone and s3fs have it. */
const timeHeader = 'x-amz-meta-mtime'

const nativeNames: ReadonlySet<string> = new Set([
  'content-type',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
])

/** What an object is given that has no type of its own: a service would choose one, each another. */
const untyped = { file: 'binary/octet-stream', directory: 'application/x-directory' } as const

/** The etag of every directory: S3 has nothing that changes with its members. */
export const directoryEtag = 'directory'

/** The entry of a file, of which everything is known. */
export function fileEntry({ service }: S3Context, path: StorePath, facts: ObjectFacts): Entry {
  const { size, etag, modified, headers } = facts
  const native = service.abilities.etagIsMd5 ? md5OfEtag(etag) : undefined
  const digests = digestsOf(headers, size, native)
  return { path, kind: 'file', size, modified, etag, digests, attributes: attributesOf(headers, 'file') }
}

/** The entry of a file as a listing tells it: without attributes. */
export function listedEntry({ service }: S3Context, path: StorePath, listed: Omit<ListedObject, 'key'>): Entry {
  const { size, etag, modified } = listed
  const md5 = service.abilities.etagIsMd5 ? md5OfEtag(etag) : undefined
  const digests = md5 === undefined ? {} : { md5 }
  return { path, kind: 'file', size, modified, etag, digests }
}

/** The entry of a directory as a listing tells it, without attributes; 0 where it tells no time. */
export function listedDirectory(path: StorePath, modified: number): Entry {
  return { path, kind: 'directory', size: 0, modified, etag: directoryEtag }
}

/** The entry of a directory; `marker` is what is known of its marker. A time of 0 says that nobody knows it. */
export function directoryEntry(path: StorePath, marker?: Pick<ObjectFacts, 'modified' | 'headers'>): Entry {
  const attributes = marker === undefined ? {} : attributesOf(marker.headers, 'directory')
  return { ...listedDirectory(path, marker?.modified ?? 0), attributes }
}

/**
 * The headers that keep an object's attributes and digests. Those of HTTP and `x-amz-meta-…` go as they are where they
 * can, so that every S3 client sees them; the rest goes as text that no header can break out of. Throws `too-large`.
 */
export function headersOf(path: StorePath, kept: Kept): ObjectHeaders {
  const headers = new Map<string, string>()
  const others: [string, string][] = []
  for (const [name, value] of Object.entries(kept.attributes ?? {})) {
    if (isNative(name, value, kept.kind)) headers.set(name, value)
    else others.push([name, value])
  }
  if (kept.modified !== undefined && kept.attributes?.[timeHeader] === undefined)
    headers.set(timeHeader, String(kept.modified / 1000))
  if (others.length > 0) headers.set(attributesHeader, packed(others))
  const digests = digestsText(kept)
  if (digests !== undefined) headers.set(digestsHeader, digests)
  requireRoom(path, headers)
  if (!headers.has('content-type')) headers.set('content-type', untyped[kept.kind])
  return Object.fromEntries(headers)
}

/** The attributes that headers keep; never throws, whoever wrote them. */
export function attributesOf(headers: ObjectHeaders, kind: Entry['kind']): Attributes {
  const attributes: [string, string][] = []
  for (const [name, value] of Object.entries(headers)) {
    if (name === attributesHeader || name === digestsHeader) continue
    if (name === 'content-type' && (value === untyped[kind] || value === '')) continue
    attributes.push([name, value])
  }
  for (const [name, value] of unpacked(headers[attributesHeader])) {
    if (typeof value === 'string') attributes.push([name, value])
  }
  return Object.fromEntries(attributes)
}

/** The digests that headers keep beside the one that the service knows itself; none where they belong to other bytes. */
export function digestsOf(headers: ObjectHeaders, size: number, native: Uint8Array | undefined): Digests {
  const known: Partial<Record<string, Uint8Array>> = {}
  if (headers[digestsHeader] !== undefined) {
    const kept = new Map(unpacked(headers[digestsHeader]))
    const md5 = bytesOf(kept.get('md5'))
    // Tools that write other bytes may carry the metadata over.
    const isStale = kept.get('size') !== size || (native !== undefined && md5 !== undefined && !sameBytes(md5, native))
    if (!isStale) {
      for (const name of digestNames) {
        const digest = bytesOf(kept.get(name))
        if (digest?.length === digestBytes[name]) known[name] = digest
      }
    }
  }
  return native === undefined ? known : { ...known, md5: native }
}

/** The MD5 that an ETag is, where it is one. */
export function md5OfEtag(etag: string): Uint8Array | undefined {
  return /^[0-9a-f]{32}$/.test(etag) ? new Uint8Array(Buffer.from(etag, 'hex')) : undefined
}

/** Undefined where the service knows all of it itself. The MD5 goes along with others: it tells whose digests these are. */
function digestsText({ digests = {}, size, etagIsMd5 = false }: Kept): string | undefined {
  const pairs = digestNames.flatMap((name): [string, string][] => {
    const digest = digests[name]
    return digest === undefined ? [] : [[name, Buffer.from(digest).toString('base64')]]
  })
  const isKnown = pairs.every(([name]) => name === 'md5' && etagIsMd5)
  return isKnown ? undefined : packed([['size', size], ...pairs])
}

function isNative(name: string, value: string, kind: Entry['kind']): boolean {
  // One blank at most within: some services fold several into one. `=?` begins what some decode.
  if (!/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(value) || value.includes('=?')) return false
  if (name === 'expires') return parseHttpDate(value) !== undefined && value.endsWith(' GMT')
  if (name === 'content-type') return value !== untyped[kind]
  if (name === 'content-encoding') return !/aws-chunked/i.test(value)
  if (nativeNames.has(name)) return true
  return /^x-amz-meta-[0-9a-z-]+$/.test(name) && !name.startsWith(metaPrefix + 'postern-')
}

function requireRoom(path: StorePath, headers: ReadonlyMap<string, string>): void {
  let user = 0
  let native = 0
  for (const [name, value] of headers) {
    if (name.startsWith(metaPrefix)) user += name.length - metaPrefix.length + value.length
    else native += name.length + value.length
  }
  if (user > userMetadataLimitBytes || native > nativeLimitBytes)
    throw new Failure('too-large', 'The attributes are more than S3 keeps of an object.', {
      path,
      size: userMetadataLimitBytes,
      reason: 'MetadataTooLarge',
    })
}

function packed(pairs: readonly (readonly [string, unknown])[]): string {
  return Buffer.from(JSON.stringify(Object.fromEntries(pairs))).toString('base64url')
}

function unpacked(text: string | undefined): readonly (readonly [string, unknown])[] {
  if (text === undefined) return []
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    return typeof value === 'object' && value !== null ? Object.entries(value) : []
  } catch {
    return []
  }
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return typeof value === 'string' ? new Uint8Array(Buffer.from(value, 'base64')) : undefined
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
