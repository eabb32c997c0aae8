import { Failure, isFailure } from '../../../core/failure.js'
import { requireBucket } from '../buckets/bucket.js'
import type { S3Context } from '../context.js'

/** That there is no object of the key, or no bucket (`NoSuchKey`, `NoSuchBucket`). */
export async function noSuchKey(context: S3Context): Promise<Failure> {
  try {
    await requireBucket(context)
  } catch (error) {
    if (isFailure(error)) return error
    throw error
  }
  return new Failure('not-found', 'There is no object of that key.', { reason: 'NoSuchKey' })
}

/** Throws `not-found` (`NoSuchVersion`) for any version of an object but `null`, the only one that each has. */
export function requireNullVersion({ target, query }: Pick<S3Context, 'target' | 'query'>): void {
  if (target.query === '') return
  const version = query.get('versionId')
  if (version === undefined || version === '' || version === 'null') return
  throw new Failure('not-found', 'The object has no such version.', { reason: 'NoSuchVersion' })
}
