import type { VerifiedBody } from '../../../auth/sigv4/verified-body.js'
import { Failure, isFailure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../../../core/http.js'
import { parentOf } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import type { Attributes, Conditions, DigestName, Digests, Entry } from '../../../store/store.js'
import { requireBucket } from '../buckets/bucket.js'
import { checksumHeaders, checksumNames, checksumsOf } from '../checksums.js'
import type { ChecksumName } from '../checksums.js'
import type { S3Context } from '../context.js'
import { s3Etag } from '../etag.js'
import { putMarker } from './marker.js'
import { attributesOfRequest } from './object-attributes.js'
import { writeConditions } from './object-conditions.js'

/**
 * PutObject: all or nothing, and nothing before the body is known to be what was signed and declared. Makes the folders
 * between bucket and key. Throws `length-required`, `invalid`, `unsupported`, `precondition`, `not-found`
 * (`NoSuchBucket`), `is-directory`, `not-directory`, `denied`, `locked`, `no-space`, and what the body throws.
 */
export async function putObject(context: S3Context): Promise<HttpResponse> {
  const { request, target, session } = context
  const { body } = request
  if (body.length === undefined)
    throw new Failure('length-required', 'Say how long the body is: Content-Length, or x-amz-decoded-content-length.', {
      reason: 'MissingContentLength',
    })
  const attributes = attributesOfRequest(request)
  const conditions = await writeConditions(request, target.path, session.store)
  const declared = declaredChecksums(request, body)
  const entry = await storeObject(context, target, body, { attributes, conditions, declared })
  return {
    status: 200,
    headers: [['ETag', `"${s3Etag(entry)}"`], ['Content-Length', '0'], ...answered(entry, declared)],
  }
}

export interface ObjectFacts {
  readonly attributes: Attributes
  readonly conditions: Conditions
  /** Which checksums are to be kept. */
  readonly declared: readonly ChecksumName[]
}

/** Puts an object with this content at a key of the bucket that the request names. Throws like `putObject`. */
export async function storeObject(
  context: S3Context,
  { path, slash }: { readonly path: StorePath; readonly slash: boolean },
  body: VerifiedBody,
  { attributes, conditions, declared }: ObjectFacts,
): Promise<Entry> {
  const { session, target } = context
  if (slash) {
    await requireBucket(context)
    await requireEmpty(body)
    return putMarker(session, target.bucketPath, path, attributes, conditions)
  }
  const names: readonly DigestName[] = ['md5', ...declared]
  body.compute('md5')
  const { entry } = await withinBucket(context, path, (parents) =>
    session.store.write(path, body, {
      ...conditions,
      parents,
      attributes,
      ...(body.length !== undefined && { length: body.length }),
      knownDigests: () => only(body.digests(), names),
    }),
  )
  return entry
}

/**
 * Puts something at a path of the bucket that the request names: missing folders are to be made on the way where `parents`
 * says so, but never a bucket. Throws `not-found` (`NoSuchBucket`) and what `put` throws.
 */
export async function withinBucket<Result>(
  context: S3Context,
  path: StorePath,
  put: (parents: boolean) => Promise<Result>,
): Promise<Result> {
  const parents = parentOf(path) !== context.target.bucketPath
  if (parents) await requireBucket(context)
  try {
    return await put(parents)
  } catch (error) {
    if (!parents && isFailure(error, 'no-parent', 'not-directory')) await requireBucket(context)
    throw error
  }
}

/** The checksums that came with a body as such: the hash that is signed is none. */
export function declaredChecksums(request: Pick<HttpRequest, 'headers'>, body: VerifiedBody): readonly ChecksumName[] {
  return checksumNames.filter((name) => body.declares(name) && (name !== 'sha256' || isDeclared(request, name)))
}

function isDeclared(request: Pick<HttpRequest, 'headers'>, name: ChecksumName): boolean {
  const field = `x-amz-checksum-${name}`
  return request.headers.has(field) || (header(request, 'x-amz-trailer')?.toLowerCase().includes(field) ?? false)
}

function answered(entry: Entry, declared: readonly ChecksumName[]): readonly Header[] {
  return declared.length === 0 ? [] : checksumHeaders(checksumsOf({ digests: only(entry.digests ?? {}, declared) }))
}

function only(digests: Digests, names: readonly DigestName[]): Digests {
  const kept: Partial<Record<DigestName, Uint8Array>> = {}
  for (const name of names) {
    const bytes = digests[name]
    if (bytes !== undefined) kept[name] = bytes
  }
  return kept
}

async function requireEmpty(body: VerifiedBody): Promise<void> {
  for await (const chunk of body)
    if (chunk.length > 0)
      throw new Failure('invalid', 'A key that ends with a slash stands for a folder, which has no content.', {
        reason: 'DirectoryObjectContainsData',
      })
}
