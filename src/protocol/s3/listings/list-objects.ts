import { Failure } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import type { Entry } from '../../../store/store.js'
import { requireBucket } from '../buckets/bucket.js'
import { checksumsOf } from '../checksums.js'
import type { S3Context } from '../context.js'
import { hasOpaqueEtag, s3Etag } from '../etag.js'
import { pageOfKeys } from './key-page.js'
import type { KeyPage } from './key-page.js'
import { readToken, writeToken } from './list-token.js'
import { ownerXml } from '../owner.js'
import { element, root, text, xmlDate, xmlResponse } from '../xml.js'

/** As many as S3 gives in one answer. */
const mostKeys = 1000

/** What all three listings take. */
interface ListRequest {
  readonly prefix: string
  readonly delimiter: string
  readonly limit: number
  /** A text as the client wants it: percent-encoded with `encoding-type=url`. */
  readonly encode: (text: string) => string
}

/** ListObjects (version 1) */
export async function listObjects(context: S3Context): Promise<HttpResponse> {
  const { target, query } = context
  await requireBucket(context)
  const request = readListRequest(context)
  const { prefix, delimiter, encode } = request
  const marker = query.get('marker') ?? ''
  const page = await pageAfter(context, request, marker)
  // Without a delimiter the last key is the marker of the next page, as clients know.
  const next = page.isTruncated && delimiter !== '' ? page.listed.at(-1)?.text : undefined
  const owner = element('Owner', ownerXml(context.session))
  return xmlResponse(
    200,
    root(
      'ListBucketResult',
      text('Name', target.bucket),
      text('Prefix', encode(prefix)),
      text('Marker', encode(marker)),
      text('NextMarker', next === undefined ? undefined : encode(next)),
      ...commonElements(context, request, page),
      ...contentsOf(page, encode, owner),
      ...commonPrefixesOf(page, encode),
    ),
  )
}

/** ListObjectsV2 */
export async function listObjectsV2(context: S3Context): Promise<HttpResponse> {
  const { target, query, session } = context
  await requireBucket(context)
  const request = readListRequest(context)
  const { prefix, delimiter, encode } = request
  const startAfter = query.get('start-after')
  const token = query.get('continuation-token')
  const scope = [prefix, delimiter]
  const after = token === undefined || token === '' ? (startAfter ?? '') : readToken(token, scope)
  const page = await pageAfter(context, request, after)
  const last = page.isTruncated ? page.listed.at(-1)?.text : undefined
  const owner = query.get('fetch-owner') === 'true' ? element('Owner', ownerXml(session)) : ''
  return xmlResponse(
    200,
    root(
      'ListBucketResult',
      text('Name', target.bucket),
      text('Prefix', encode(prefix)),
      text('StartAfter', startAfter === undefined ? undefined : encode(startAfter)),
      text('ContinuationToken', token),
      text('NextContinuationToken', last === undefined ? undefined : writeToken(last, scope)),
      text('KeyCount', page.listed.length),
      ...commonElements(context, request, page),
      ...contentsOf(page, encode, owner),
      ...commonPrefixesOf(page, encode),
    ),
  )
}

/** ListObjectVersions: each key once, as the `null` version that an object has where nothing is versioned. */
export async function listObjectVersions(context: S3Context): Promise<HttpResponse> {
  const { target, query, session } = context
  await requireBucket(context)
  const request = readListRequest(context)
  const { prefix, encode } = request
  const marker = query.get('key-marker') ?? ''
  const versionMarker = query.get('version-id-marker')
  if (versionMarker !== undefined && marker === '')
    throw new Failure('invalid', 'A version-id-marker needs a key-marker beside it.', { reason: 'InvalidArgument' })
  const page = await pageAfter(context, request, marker)
  const last = page.isTruncated ? page.listed.at(-1) : undefined
  const owner = element('Owner', ownerXml(session))
  return xmlResponse(
    200,
    root(
      'ListVersionsResult',
      text('Name', target.bucket),
      text('Prefix', encode(prefix)),
      text('KeyMarker', encode(marker)),
      text('VersionIdMarker', versionMarker ?? ''),
      text('NextKeyMarker', last === undefined ? undefined : encode(last.text)),
      text('NextVersionIdMarker', last?.entry === undefined ? undefined : 'null'),
      ...commonElements(context, request, page),
      ...page.listed.map(({ text: key, entry }) =>
        entry === undefined
          ? ''
          : element(
              'Version',
              text('Key', encode(key)),
              text('VersionId', 'null'),
              text('IsLatest', true),
              factsOf(entry),
              owner,
            ),
      ),
      ...commonPrefixesOf(page, encode),
    ),
  )
}

function readListRequest({ query }: S3Context): ListRequest {
  const encoding = query.get('encoding-type')
  if (encoding !== undefined && encoding !== '' && encoding !== 'url')
    throw new Failure('invalid', 'encoding-type can only be url.', { reason: 'InvalidArgument' })
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    limit: query.number('max-keys', mostKeys) ?? mostKeys,
    encode: encoding === 'url' ? encodeKey : asIs,
  }
}

async function pageAfter(
  { session, target, request, settings }: S3Context,
  { prefix, delimiter, limit }: ListRequest,
  after: string,
): Promise<KeyPage> {
  const page = await pageOfKeys(session, target.bucketPath, { prefix, delimiter, after, limit }, request.signal)
  if (settings.hashLater !== undefined)
    for (const { entry } of page.listed)
      if (entry !== undefined && hasOpaqueEtag(entry)) settings.hashLater(entry, session.identity)
  return page
}

function commonElements(
  { query }: S3Context,
  { delimiter, limit, encode }: ListRequest,
  { isTruncated }: KeyPage,
): readonly string[] {
  return [
    text('MaxKeys', limit),
    text('Delimiter', delimiter === '' ? undefined : encode(delimiter)),
    text('EncodingType', query.get('encoding-type') === 'url' ? 'url' : undefined),
    text('IsTruncated', isTruncated),
  ]
}

function contentsOf({ listed }: KeyPage, encode: (text: string) => string, owner: string): readonly string[] {
  return listed.map(({ text: key, entry }) =>
    entry === undefined ? '' : `<Contents>${text('Key', encode(key))}${factsOf(entry)}${owner}</Contents>`,
  )
}

function commonPrefixesOf({ listed }: KeyPage, encode: (text: string) => string): readonly string[] {
  return listed.map((one) =>
    one.entry === undefined ? element('CommonPrefixes', text('Prefix', encode(one.text))) : '',
  )
}

/** What is said of an object in every listing. */
function factsOf(entry: Entry): string {
  const { modified, size } = entry
  const facts = `<LastModified>${xmlDate(modified)}</LastModified>${text('ETag', `"${s3Etag(entry)}"`)}`
  return `${facts}${checksumFacts(entry)}<Size>${size}</Size><StorageClass>STANDARD</StorageClass>`
}

function checksumFacts(entry: Entry): string {
  const checksums = checksumsOf(entry)
  if (checksums === undefined) return ''
  const names = checksums.values.map(({ name }) => text('ChecksumAlgorithm', name.toUpperCase()))
  return names.join('') + text('ChecksumType', checksums.type)
}

/** Percent-encoding that every client undoes alike, those too that read `+` as a space or do not. */
function encodeKey(key: string): string {
  return encodeURIComponent(key).replaceAll('%2F', '/')
}

function asIs(key: string): string {
  return key
}
