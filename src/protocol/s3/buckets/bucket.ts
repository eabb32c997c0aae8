import { Failure, isFailure } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import { ancestorsOf, encodeSegment, rootPath } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import { childElements } from '../../../core/xml.js'
import type { Entry, Store } from '../../../store/store.js'
import type { S3Context } from '../context.js'
import { noAcls } from '../owner.js'
import { childText, readS3Xml } from '../request-xml.js'

/** The attribute of a directory that is an object by itself, a key with a slash at its end. */
export const markerAttribute = 's3-marker'

/** Whether an entry is an object: every file, and a directory only where a client of S3 has made it as one. */
export function isObject({ kind, attributes }: Pick<Entry, 'kind' | 'attributes'>): boolean {
  return kind === 'file' || attributes?.[markerAttribute] !== undefined
}

/** The folder that a bucket is. Throws `not-found` (`NoSuchBucket`), `denied` for callers who may see nothing of it. */
export async function requireBucket({
  target,
  session,
  request,
}: Pick<S3Context, 'target' | 'session' | 'request'>): Promise<Entry> {
  const entry = await session.store.stat(target.bucketPath, request.signal)
  if (entry?.kind === 'directory') return entry
  throw new Failure('not-found', 'There is no such bucket.', { reason: 'NoSuchBucket' })
}

/** HeadBucket */
export async function headBucket(context: S3Context): Promise<HttpResponse> {
  await requireBucket(context)
  return { status: 200, headers: [['x-amz-bucket-region', context.settings.region]] }
}

/** CreateBucket: makes the folder, and what is missing above it where a bucket lies elsewhere. */
export async function createBucket(context: S3Context): Promise<HttpResponse> {
  const { request, target, session, settings } = context
  const { bucket = '', bucketPath } = target
  await checkCreation(context)
  if (!settings.buckets.has(bucket)) checkName(bucket)
  try {
    for (const path of ancestorsOf(bucketPath).toReversed())
      if (path !== rootPath) await makeIfMissing(session.store, path, request.signal)
    await session.store.makeDirectory(bucketPath, request.signal)
  } catch (error) {
    if (isFailure(error, 'exists')) throw await takenName(context)
    throw error
  }
  return {
    status: 200,
    headers: [
      ['Location', `${session.basePath}/${encodeSegment(bucket)}`],
      ['Content-Length', '0'],
    ],
  }
}

/** What else a client asks for with a new bucket: what would change nothing is taken, all else refused. */
async function checkCreation({ request, settings }: S3Context): Promise<void> {
  const { headers, body } = request
  const acl = headers.get('x-amz-acl')?.[0] ?? 'private'
  if (acl !== 'private' && acl !== 'bucket-owner-full-control') throw noAcls()
  if ([...headers.keys()].some((name) => name.startsWith('x-amz-grant-'))) throw noAcls()
  if (headers.get('x-amz-bucket-object-lock-enabled')?.[0]?.toLowerCase() === 'true')
    throw new Failure('unsupported', 'This server does not have object lock.', { reason: 'NotImplemented' })
  const wanted = await readS3Xml(body, 'CreateBucketConfiguration', 64 * 1024)
  if (wanted === undefined) return
  const strange = childElements(wanted).find(({ name }) => name !== 'LocationConstraint')
  if (strange !== undefined)
    throw new Failure('unsupported', `This server does not have ${strange.name} of a bucket.`, {
      reason: 'NotImplemented',
    })
  const region = childText(wanted, 'LocationConstraint') ?? ''
  // Where no region is configured, signatures of any are taken, and so are buckets of any.
  if (region === '' || region === settings.region || settings.region === 'us-east-1') return
  throw new Failure('invalid', `Buckets can be made in ${settings.region} only.`, {
    reason: 'IllegalLocationConstraintException',
  })
}

/** The rules of Amazon S3 ("General purpose bucket naming rules"), for those that are made through it. */
function checkName(bucket: string): void {
  const isRight =
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) &&
    !bucket.includes('..') &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(bucket) &&
    !/^(?:xn--|sthree-|amzn-s3-demo-)|(?:-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/.test(bucket)
  if (isRight) return
  throw new Failure(
    'invalid',
    'The name of a bucket has 3 to 63 lower-case letters, digits, dots and hyphens, and begins and ends with a letter or digit.',
    { reason: 'InvalidBucketName' },
  )
}

async function makeIfMissing(store: Store, path: StorePath, signal: AbortSignal): Promise<void> {
  if ((await store.stat(path, signal)) !== undefined) return
  try {
    await store.makeDirectory(path, signal)
  } catch (error) {
    // Another request was faster.
    if (!isFailure(error, 'exists')) throw error
  }
}

/** Why a name is taken: by a bucket of the caller's, or by what is none for it. */
async function takenName(context: S3Context): Promise<Failure> {
  try {
    await requireBucket(context)
    return new Failure('exists', 'You have this bucket already.', { reason: 'BucketAlreadyOwnedByYou' })
  } catch (error) {
    if (!isFailure(error, 'not-found', 'denied')) throw error
    return new Failure('exists', 'This name is taken. Choose another one.', { reason: 'BucketAlreadyExists' })
  }
}

/**
 * DeleteBucket: removes a folder that holds nothing but folders without any object. Never removes a file, whoever puts
 * one meanwhile.
 */
export async function deleteBucket(context: S3Context): Promise<HttpResponse> {
  const { target, session, request } = context
  const { store } = session
  const { bucketPath } = target
  await requireBucket(context)
  if (bucketPath === rootPath)
    throw new Failure('denied', 'This bucket is the whole tree, which cannot be removed.', { reason: 'AccessDenied' })
  const options = { depth: 'infinity', noted: true, signal: request.signal } as const
  for await (const entries of store.list(bucketPath, options)) if (entries.some(isObject)) throw notEmpty()
  await removeEmpty(store, bucketPath, request.signal)
  return { status: 204, headers: [] }
}

/** Folders from the inside out, each only as long as it is empty. */
async function removeEmpty(store: Store, directory: StorePath, signal: AbortSignal): Promise<void> {
  const members: Entry[] = []
  for await (const entries of store.list(directory, { noted: true, signal })) members.push(...entries)
  if (members.some(isObject)) throw notEmpty()
  for (const { path } of members) await removeEmpty(store, path, signal)
  try {
    await store.remove(directory, { signal })
  } catch (error) {
    if (isFailure(error, 'not-empty')) throw notEmpty()
    // Someone else has removed it.
    if (!isFailure(error, 'not-found')) throw error
  }
}

function notEmpty(): Failure {
  return new Failure('not-empty', 'The bucket is not empty. Delete its objects first.', { reason: 'BucketNotEmpty' })
}
