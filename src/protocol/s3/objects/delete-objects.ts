import { Failure, isFailure } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import type { StorePath } from '../../../core/path.js'
import { childElements, textOf } from '../../../core/xml.js'
import type { XmlElement } from '../../../core/xml.js'
import { digestNames } from '../../../store/digester.js'
import { keyTarget } from '../address.js'
import { requireBucket } from '../buckets/bucket.js'
import type { S3Context } from '../context.js'
import { pruneParents, removeObject } from './delete-object.js'
import { codeOf } from '../failures.js'
import { matchesEtag, etagsOf } from './object-conditions.js'
import { childText, malformed, readS3Xml } from '../request-xml.js'
import { element, root, text, xmlResponse } from '../xml.js'

const mostKeys = 1000
/** A thousand keys of the greatest length, each character escaped, fit. */
const mostBytes = 8 * 1024 * 1024

/** Removed at a time. */
const atOnce = 16

/** One object that is to go, as the client names it. */
interface Doomed {
  readonly key: string
  readonly version: string | undefined
  readonly etag: string | undefined
  /** It asks for a state that is not looked at here. */
  readonly isStrange: boolean
}

/**
 * DeleteObjects: up to a thousand at once, each of them judged by itself. The body must be bound by its signature or by a
 * digest. Throws `invalid` (`MalformedXML`, `InvalidRequest`), `not-found` (`NoSuchBucket`); what keeps one object is
 * told in the answer.
 */
export async function deleteObjects(context: S3Context): Promise<HttpResponse> {
  const { request, target } = context
  const { body } = request
  if (!digestNames.some((name) => body.declares(name)))
    throw new Failure('invalid', 'The body needs a checksum: Content-MD5, or one of x-amz-checksum-….', {
      reason: 'InvalidRequest',
    })
  const document = await readS3Xml(body, 'Delete', mostBytes)
  if (document === undefined) throw malformed('The body must name the objects to delete.')
  const doomed = readDoomed(document)
  const quiet = childText(document, 'Quiet')?.toLowerCase() === 'true'
  const gone = new Set<StorePath>()
  const lines = await inParallel(doomed, async (each) => {
    try {
      const place = keyTarget(target.bucketPath, each.key)
      if (await removeOne(context, each, place)) gone.add(place.path)
      return quiet ? '' : element('Deleted', text('Key', each.key), text('VersionId', each.version))
    } catch (error) {
      if (!isFailure(error)) throw error
      const [code] = codeOf(error)
      return element(
        'Error',
        text('Key', each.key),
        text('VersionId', each.version),
        text('Code', code),
        text('Message', error.message),
      )
    }
  })
  if (gone.size === 0) await requireBucket(context)
  else await pruneParents(context.session, target.bucketPath, gone)
  return xmlResponse(200, root('DeleteResult', ...lines))
}

async function removeOne(
  { session, request }: S3Context,
  { version, etag, isStrange }: Doomed,
  place: { readonly path: StorePath; readonly slash: boolean; readonly key: string },
): Promise<boolean> {
  if (place.key === '') throw new Failure('invalid', 'A key is needed.', { reason: 'InvalidArgument' })
  if (version !== undefined && version !== '' && version !== 'null')
    throw new Failure('not-found', 'The object has no such version.', { reason: 'NoSuchVersion' })
  if (isStrange)
    throw new Failure('unsupported', 'Of the conditions on an object only ETag is known here.', {
      reason: 'NotImplemented',
    })
  const wanted = etagsOf(etag)
  if (wanted === undefined) return removeObject(session, place)
  const entry = await session.store.stat(place.path, request.signal)
  if (entry === undefined) return false
  if (!matchesEtag(wanted, entry))
    throw new Failure('precondition', 'The object has another ETag.', { reason: 'PreconditionFailed' })
  return removeObject(session, place, { ifMatch: [entry.etag] })
}

function readDoomed(document: XmlElement): readonly Doomed[] {
  const objects = childElements(document).filter(({ name }) => name === 'Object')
  if (objects.length === 0 || objects.length > mostKeys) throw malformed(`A request can name 1 to ${mostKeys} objects.`)
  return objects.map((object): Doomed => {
    const children = childElements(object)
    const key = children.find(({ name }) => name === 'Key')
    if (key === undefined) throw malformed('Each Object needs a Key.')
    return {
      // As it is: a key may begin or end with a space.
      key: textOf(key),
      version: childText(object, 'VersionId'),
      etag: childText(object, 'ETag'),
      isStrange: children.some(({ name }) => name === 'LastModifiedTime' || name === 'Size'),
    }
  })
}

/** The results in the order of the items. */
async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const queue = items.entries()
  const worker = async (): Promise<void> => {
    for (const [at, item] of queue) results[at] = await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker))
  return results
}
