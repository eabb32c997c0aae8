import { Failure, isFailure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { HttpRequest, HttpResponse } from '../../../core/http.js'
import { contentBytes } from '../../../store/content-bytes.js'
import type { Attributes, Conditions, DigestName, Entry, Store, WriteOptions } from '../../../store/store.js'
import { checksumNames, checksumsOf, checksumXml } from '../checksums.js'
import type { S3Context } from '../context.js'
import { readCopySource } from './copy-source.js'
import type { CopySource } from './copy-source.js'
import { s3Etag } from '../etag.js'
import { requireObject } from './get-object.js'
import { putMarker } from './marker.js'
import { attributesOfRequest } from './object-attributes.js'
import { judgeRead, readConditions, writeConditions } from './object-conditions.js'
import { tagsAttribute } from './object-tags.js'
import { requireBucket } from '../buckets/bucket.js'
import { withinBucket } from './put-object.js'
import { root, text, xmlDate, xmlResponse } from '../xml.js'

/** How often a source is looked at anew that others keep replacing. */
const maxRounds = 5

/**
 * CopyObject: bytes and what is known of them, with the source's metadata and tags or new ones. Throws `not-found`
 * (`NoSuchKey`), `denied` for a source that the caller may not read, `invalid`, `unsupported`, `precondition`, and like
 * PutObject for the target.
 */
export async function copyObject(context: S3Context): Promise<HttpResponse> {
  const { request, target, settings } = context
  const source = readCopySource(request, settings)
  const plan = planOf(request)
  const isSame = source.path === target.path && source.slash === target.slash
  if (isSame && !plan.metadata && !plan.tags && !request.headers.has('x-amz-storage-class'))
    throw new Failure('invalid', 'A copy of an object onto itself must change its metadata or its tags.', {
      reason: 'InvalidRequest',
    })
  const conditions = await writeConditions(request, target.path, context.session.store)
  const entry = await copyFrom(context, source, plan, conditions, isSame)
  return xmlResponse(
    200,
    root(
      'CopyObjectResult',
      text('LastModified', xmlDate(entry.modified)),
      text('ETag', `"${s3Etag(entry)}"`),
      checksumXml(checksumsOf(entry)),
    ),
  )
}

/** The source of a copy, for callers who may read it, in the state that the request wants. Throws `not-found`, `denied`, `precondition`. */
export async function requireSource(context: S3Context, source: CopySource): Promise<Entry> {
  const { request, target } = context
  if ([...request.headers.keys()].some((name) => name.startsWith('x-amz-copy-source-server-side-encryption')))
    throw new Failure('unsupported', 'This server does not encrypt what it stores.', { reason: 'NotImplemented' })
  const entry = await requireObject({ ...context, target: { ...target, ...source } })
  if (judgeRead(readConditions(request, 'x-amz-copy-source-'), entry) === 'not-modified')
    throw new Failure('precondition', 'The source of the copy is not in the state that the request wants.', {
      reason: 'PreconditionFailed',
    })
  return entry
}

interface Plan {
  /** What came with the request. */
  readonly sent: Attributes
  /** Metadata and headers are those that came with the request, not those of the source. */
  readonly metadata: boolean
  readonly tags: boolean
  /** A digest that the client wants to be known of the copy. */
  readonly wanted: DigestName | undefined
}

function planOf(request: Pick<HttpRequest, 'headers'>): Plan {
  return {
    sent: attributesOfRequest(request),
    metadata: isReplace(request, 'x-amz-metadata-directive'),
    tags: isReplace(request, 'x-amz-tagging-directive'),
    wanted: wantedChecksum(request),
  }
}

function isReplace(request: Pick<HttpRequest, 'headers'>, name: string): boolean {
  const directive = header(request, name) ?? 'COPY'
  if (directive !== 'COPY' && directive !== 'REPLACE')
    throw new Failure('invalid', `${name} must be COPY or REPLACE.`, { reason: 'InvalidArgument' })
  return directive === 'REPLACE'
}

function wantedChecksum(request: Pick<HttpRequest, 'headers'>): DigestName | undefined {
  const asked = header(request, 'x-amz-checksum-algorithm')?.toLowerCase()
  if (asked === undefined) return undefined
  const known = checksumNames.find((name) => name === asked)
  if (known === undefined)
    throw new Failure('invalid', `Checksums here are ${checksumNames.join(', ')}.`, { reason: 'InvalidRequest' })
  return known
}

async function copyFrom(
  context: S3Context,
  source: CopySource,
  plan: Plan,
  conditions: Conditions,
  isSame: boolean,
): Promise<Entry> {
  for (let round = 1; ; round++) {
    const entry = await requireSource(context, source)
    const changed = { meanwhile: false }
    try {
      return isSame
        ? await changeItself(context, entry, plan, conditions, changed)
        : await copyEntry(context, entry, plan, conditions, changed)
    } catch (error) {
      // What was known of the source is not true of what it is by now: the copy begins anew.
      if (!(changed.meanwhile || isFailure(error, 'bad-range')) || round === maxRounds) throw error
    }
  }
}

async function changeItself(
  { session }: S3Context,
  entry: Entry,
  plan: Plan,
  { ifMatch, ifNoneMatch }: Conditions,
  changed: { meanwhile: boolean },
): Promise<Entry> {
  if (ifNoneMatch !== undefined || (ifMatch !== undefined && !ifMatch.includes(entry.etag)))
    throw new Failure('precondition', 'The object is not in the state that the request wants.', {
      reason: 'PreconditionFailed',
    })
  try {
    return await session.store.change(entry.path, {
      ifMatch: [entry.etag],
      modified: Date.now(),
      attributes: copiedAttributes(entry.attributes ?? {}, plan),
    })
  } catch (error) {
    changed.meanwhile = ifMatch === undefined && isFailure(error, 'precondition')
    throw error
  }
}

async function copyEntry(
  context: S3Context,
  entry: Entry,
  plan: Plan,
  conditions: Conditions,
  changed: { meanwhile: boolean },
): Promise<Entry> {
  const { session, target } = context
  const { store } = session
  const { path } = target
  const attributes = copiedAttributes(entry.kind === 'file' ? (entry.attributes ?? {}) : withoutMark(entry), plan)
  if (target.slash) {
    if (entry.size > 0)
      throw new Failure('invalid', 'A key that ends with a slash stands for a folder, which has no content.', {
        reason: 'DirectoryObjectContainsData',
      })
    await requireBucket(context)
    return putMarker(session, target.bucketPath, path, withoutMark({ attributes }), conditions)
  }
  const { digests = {} } = entry
  const { entry: copy } = await withinBucket(context, path, (parents) => {
    const options: WriteOptions = {
      ...conditions,
      parents,
      attributes,
      length: entry.size,
      knownDigests: () => digests,
      ...(plan.wanted !== undefined && digests[plan.wanted] === undefined && { digests: [plan.wanted] }),
      beforeCommit: async () => {
        if ((await store.stat(entry.path))?.etag === entry.etag) return
        changed.meanwhile = true
        throw new Failure('conflict', 'The source was changed while it was copied. Try again.')
      },
    }
    return copyBytes(store, entry, path, options)
  })
  return copy
}

function copyBytes(store: Store, entry: Entry, to: Entry['path'], options: WriteOptions): ReturnType<Store['write']> {
  if (entry.kind === 'directory') return store.write(to, nothing(), options)
  if (store.assemble !== undefined)
    return store.assemble(to, [{ from: entry.path, range: { start: 0, end: entry.size } }], options)
  return store.write(to, bytesOf(store, entry), options)
}

async function* bytesOf(store: Store, { path, etag }: Entry): AsyncGenerator<Uint8Array> {
  yield* contentBytes(await store.open(path, { ifMatch: [etag] }))
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // An object without a byte.
}

/** What is known of the bytes goes with them; the rest is of the source or of the request, as that says. */
function copiedAttributes(source: Attributes, { sent, metadata, tags }: Plan): Attributes {
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(source)) {
    const isReplaced = name === tagsAttribute ? tags : metadata && !name.startsWith('s3-')
    if (!isReplaced) attributes[name] = value
  }
  for (const [name, value] of Object.entries(sent))
    if (name === tagsAttribute ? tags : metadata) attributes[name] = value
  return attributes
}

/** A mark is of a folder, and so is what else the surface itself notes of one. */
function withoutMark({ attributes = {} }: Pick<Entry, 'attributes'>): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !name.startsWith('s3-')))
}
