import { Failure, isFailure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import { header } from '../../core/http.js'
import { pathOf, rootPath, segmentsOf, withoutBase } from '../../core/path.js'
import type { ParsedTarget, StorePath } from '../../core/path.js'

/** How buckets and keys are found in a request. */
export interface AddressRules {
  /** Names under which this server speaks S3, lower case; a name in front of one of them is a bucket (virtual-hosted style). */
  readonly hosts: readonly string[]
  /** Buckets that lie elsewhere than in a top-level folder of their own name. */
  readonly buckets: ReadonlyMap<string, StorePath>
  readonly basePath: string
}

/** What a request of S3 names. */
export interface S3Target extends ParsedTarget {
  /** Undefined for the service itself. */
  readonly bucket?: string
  /** Where the bucket lies; the root without one. */
  readonly bucketPath: StorePath
  /** Decoded and NFC, with the slash at its end if it has one; empty for the bucket itself. */
  readonly key: string
}

/** Longest key in UTF-8 bytes (S3 User Guide, "Naming Amazon S3 objects"). */
export const maxKeyBytes = 1024

/**
 * Reads bucket and key, in path style or from the host. `%2F` in a key is a slash, before anything else looks at it.
 * Throws `invalid`: for empty, `.` and `..` segments, NUL and what is not UTF-8 (`InvalidArgument`, `InvalidURI`), and for keys that
 * are too long (`KeyTooLongError`).
 */
export function readTarget(request: Pick<HttpRequest, 'target' | 'headers' | 'origin'>, rules: AddressRules): S3Target {
  const { target } = request
  const mark = target.indexOf('?')
  const raw = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? '' : target.slice(mark + 1)
  const text = decoded(withoutSlash(raw, rules.basePath))
  const hosted = bucketOfHost(request, rules.hosts)
  const slash = text.indexOf('/')
  const bucket = hosted ?? (slash === -1 ? text : text.slice(0, slash))
  const key = hosted === undefined ? (slash === -1 ? '' : text.slice(slash + 1)) : text
  if (bucket === '') {
    if (key !== '') throw badKey()
    return { path: rootPath, slash: true, query, bucketPath: rootPath, key }
  }
  const bucketPath = bucketPathOf(bucket, rules)
  return { ...keyTarget(bucketPath, key), query, bucket, bucketPath }
}

/** Where a bucket lies. Throws `invalid` (`InvalidBucketName`) for what can be no name of a folder. */
export function bucketPathOf(bucket: string, { buckets }: Pick<AddressRules, 'buckets'>): StorePath {
  try {
    return buckets.get(bucket) ?? pathOf([bucket])
  } catch (cause) {
    throw new Failure('invalid', 'There can be no bucket of that name.', { reason: 'InvalidBucketName', cause })
  }
}

/** Where a key of a bucket lies. Throws `invalid` like `readTarget`. */
export function keyTarget(
  bucketPath: StorePath,
  key: string,
): { readonly path: StorePath; readonly slash: boolean; readonly key: string } {
  if (key === '') return { path: bucketPath, slash: true, key }
  const normal = key.normalize('NFC')
  if (normal.length * 3 > maxKeyBytes && Buffer.byteLength(normal) > maxKeyBytes) throw tooLong()
  const slash = normal.endsWith('/')
  const segments = (slash ? normal.slice(0, -1) : normal).split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) throw badKey()
  if (segments.some((segment) => segment.length * 3 > 255 && Buffer.byteLength(segment) > 255)) throw tooLong()
  try {
    return { path: pathOf([...segmentsOf(bucketPath), ...segments]), slash, key: normal }
  } catch (error) {
    if (!isFailure(error, 'invalid')) throw error
    throw new Failure('invalid', error.message, { reason: 'InvalidArgument', cause: error })
  }
}

/** The bucket in front of one of the hosts; undefined where the host is one of them, or none. */
export function bucketOfHost(
  request: Pick<HttpRequest, 'headers' | 'origin'>,
  hosts: readonly string[],
): string | undefined {
  if (hosts.length === 0) return undefined
  const host = hostNameOf(request)
  const found = hosts.find((name) => host.length > name.length + 1 && host.endsWith(`.${name}`))
  return found === undefined ? undefined : host.slice(0, -found.length - 1)
}

/** The host that the client asked for, lower case, without a port. */
export function hostNameOf({ headers, origin }: Pick<HttpRequest, 'headers' | 'origin'>): string {
  const authority = origin.authority === '' ? (header({ headers }, 'host') ?? '') : origin.authority
  return authority.toLowerCase().replace(/:\d*$/, '')
}

/** The path without its first slash and, where the client sent it, without the base path. */
function withoutSlash(raw: string, basePath: string): string {
  if (!raw.startsWith('/'))
    throw new Failure('invalid', 'The request target must begin with a slash.', { reason: 'InvalidURI' })
  const path = raw as StorePath
  const rest = basePath === '' ? path : withoutBase({ path, slash: false, query: '' }, basePath).path
  return rest.slice(1)
}

function decoded(raw: string): string {
  try {
    // A transport hands raw bytes over as Latin-1.
    const text = /[\x80-\xff]/.test(raw) ? Buffer.from(raw, 'latin1').toString() : raw
    return text.includes('%') ? decodeURIComponent(text) : text
  } catch (cause) {
    throw new Failure('invalid', 'The path is not valid percent-encoded UTF-8.', { reason: 'InvalidURI', cause })
  }
}

function badKey(): Failure {
  return new Failure('invalid', 'A key here is a path: no segment of it may be empty, `.` or `..`.', {
    reason: 'InvalidArgument',
  })
}

function tooLong(): Failure {
  return new Failure(
    'invalid',
    `A key has at most ${maxKeyBytes} bytes, and what is between two slashes at most 255.`,
    {
      reason: 'KeyTooLongError',
    },
  )
}
