import { Failure, isFailure } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import { isWithin, parentOf } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import type { Conditions, Entry } from '../../../store/store.js'
import type { Session } from '../../protocol.js'
import { isObject, markerAttribute, requireBucket } from '../buckets/bucket.js'
import type { S3Context } from '../context.js'
import { dropMarker } from './marker.js'
import { requireNullVersion } from './missing.js'
import { writeConditions } from './object-conditions.js'

/** How often a file is looked at anew that others keep replacing. */
const maxRounds = 5

/**
 * DeleteObject: 204, whether there was an object or not. Folders above that hold nothing any more go as well. Throws
 * `denied`, `locked`, `not-found` (`NoSuchBucket`, `NoSuchKey` with `If-Match`), `precondition`.
 */
export async function deleteObject(context: S3Context): Promise<HttpResponse> {
  const { request, target, session } = context
  requireNullVersion(context)
  const conditions = await writeConditions(request, target.path, session.store)
  const removed = await removeObject(session, target, conditions)
  if (removed) await pruneParents(session, target.bucketPath, [target.path])
  else await requireBucket(context)
  return { status: 204, headers: [] }
}

/** Removes what is an object of that key; tells whether there was one. Throws `denied`, `locked`, `precondition`. */
export async function removeObject(
  session: Pick<Session, 'store'>,
  { path, slash }: { readonly path: StorePath; readonly slash: boolean },
  { ifMatch }: Conditions = {},
): Promise<boolean> {
  const { store } = session
  for (let round = 1; ; round++) {
    const entry = await lookUp(session, path)
    if (entry === 'hidden' && slash) throw new Failure('denied', 'You have no right to see this.', { path })
    if (entry === 'hidden') return remove(session, path)
    if (entry === undefined || !isObject(entry) || slash !== (entry.kind === 'directory')) return false
    try {
      const etags = Array.isArray(ifMatch) ? (ifMatch as readonly string[]) : [entry.etag]
      await store.remove(path, entry.kind === 'file' ? { ifMatch: etags } : {})
      return true
    } catch (error) {
      if (isFailure(error, 'not-found')) return false
      if (entry.kind === 'directory' && isFailure(error, 'not-empty')) {
        await dropMarker(session, entry)
        return true
      }
      // Whoever asked for no state in particular means the object as it is by now.
      if (ifMatch !== undefined || !isFailure(error, 'precondition') || round === maxRounds) throw error
    }
  }
}

/**
 * Removes the folders above these paths, up to the bucket, that are empty, as S3 knows none that are: but not those that
 * are objects themselves, that have properties, or that the caller may not remove. Never throws for what stays.
 */
export async function pruneParents(
  session: Pick<Session, 'store' | 'properties'>,
  bucketPath: StorePath,
  paths: Iterable<StorePath>,
): Promise<void> {
  const parents = new Set<StorePath>()
  for (const path of paths) parents.add(parentOf(path))
  // The longest first: what lies below another one has the longer path.
  for (const start of [...parents].sort((a, b) => b.length - a.length)) {
    let at = start
    while (at !== bucketPath && isWithin(at, bucketPath) && (await removeIfEmpty(session, at))) at = parentOf(at)
  }
}

async function removeIfEmpty(
  { store, properties }: Pick<Session, 'store' | 'properties'>,
  path: StorePath,
): Promise<boolean> {
  try {
    const entry = await store.stat(path)
    if (entry?.kind !== 'directory' || entry.attributes?.[markerAttribute] !== undefined) return false
    if ((await properties.of(path)).length > 0) return false
    await store.remove(path)
    return true
  } catch (error) {
    if (isFailure(error)) return false
    throw error
  }
}

async function lookUp({ store }: Pick<Session, 'store'>, path: StorePath): Promise<Entry | undefined | 'hidden'> {
  try {
    return await store.stat(path)
  } catch (error) {
    if (isFailure(error, 'denied')) return 'hidden'
    throw error
  }
}

/** For callers who may delete but not see. */
async function remove({ store }: Pick<Session, 'store'>, path: StorePath): Promise<boolean> {
  try {
    await store.remove(path)
    return true
  } catch (error) {
    if (isFailure(error, 'not-found', 'not-empty')) return false
    throw error
  }
}
