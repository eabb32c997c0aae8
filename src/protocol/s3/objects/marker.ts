import { Failure, isFailure } from '../../../core/failure.js'
import { isWithin, parentOf } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import type { Attributes, Conditions, Entry } from '../../../store/store.js'
import type { Session } from '../../protocol.js'
import { isObject, markerAttribute } from '../buckets/bucket.js'

/** The MD5 of no bytes at all. */
const emptyMd5 = 'd41d8cd98f00b204e9800998ecf8427e'

/** What the surface itself notes of a directory; the rest belongs to whoever has put the marker there. */
const ownAttribute = /^s3-(?!marker$|etag$)/

/**
 * Makes a directory an object of its own, a key with a slash at its end, with all missing above it up to `bucketPath`,
 * which must be there. Throws `not-directory` (`ObjectParentIsFile`), `denied`, `locked`; `precondition` for what
 * `conditions` say of the object.
 */
export async function putMarker(
  { store, permit }: Pick<Session, 'store' | 'permit'>,
  bucketPath: StorePath,
  path: StorePath,
  attributes: Attributes,
  conditions: Conditions,
): Promise<Entry> {
  // A mark is a change of the directory: whoever may not make it must not leave a directory without one.
  if (!permit.allows('replace', path) || !permit.allows('create', path))
    throw new Failure('denied', 'You have no right to make this.', { path })
  await makeParents(store, bucketPath, path)
  const made = await makeIfMissing(store, path)
  const present = made === 'made' ? undefined : await store.stat(path)
  if (present !== undefined && isObject(present) && conditions.ifNoneMatch === '*')
    throw new Failure('precondition', 'There is such an object already.', { reason: 'PreconditionFailed' })
  const kept = Object.entries(present?.attributes ?? {}).filter(([name]) => ownAttribute.test(name))
  return store.change(path, {
    ...(present !== undefined && { modified: Date.now() }),
    attributes: { ...Object.fromEntries(kept), ...attributes, [markerAttribute]: '1', 's3-etag': emptyMd5 },
  })
}

/** Takes the mark from a directory, which stays for what is in it. */
export async function dropMarker({ store }: Pick<Session, 'store'>, { path, attributes = {} }: Entry): Promise<void> {
  const kept = Object.entries(attributes).filter(([name]) => ownAttribute.test(name))
  await store.change(path, { attributes: Object.fromEntries(kept) })
}

async function makeParents(store: Session['store'], bucketPath: StorePath, path: StorePath): Promise<void> {
  const missing: StorePath[] = []
  let at = parentOf(path)
  while (at !== bucketPath && isWithin(at, bucketPath) && (await store.stat(at)) === undefined) {
    missing.push(at)
    at = parentOf(at)
  }
  for (const parent of missing.reverse()) await makeIfMissing(store, parent)
}

async function makeIfMissing(store: Session['store'], path: StorePath): Promise<'made' | 'there'> {
  try {
    await store.makeDirectory(path)
    return 'made'
  } catch (error) {
    if (!isFailure(error, 'exists')) throw error
    if ((await store.stat(path))?.kind === 'directory') return 'there'
    throw new Failure('not-directory', 'There is a file of that name.', { path, reason: 'ObjectParentIsFile' })
  }
}
