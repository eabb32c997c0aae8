import { Failure, isFailure } from '../../../core/failure.js'
import { header, httpDate } from '../../../core/http.js'
import type { HttpResponse } from '../../../core/http.js'
import type { Entry } from '../../../store/store.js'
import { aclXml, checkAcl } from '../buckets/bucket-configuration.js'
import { checksumsOf, checksumXml } from '../checksums.js'
import type { S3Context } from '../context.js'
import { hasOpaqueEtag, s3Etag } from '../etag.js'
import { requireObject } from './get-object.js'
import { requireNullVersion } from './missing.js'
import { tagsAttribute, tagSetXml, tagsOf, tagsOfXml, writeTags } from './object-tags.js'
import { readPartSizes } from '../uploads/part-sizes.js'
import { malformed, readS3Xml } from '../request-xml.js'
import { element, root, text, xmlResponse } from '../xml.js'

const mostParts = 1000

/** How often tags are set anew of an object that others keep replacing. */
const maxRounds = 5

/** GetObjectTagging */
export async function getObjectTagging(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  return xmlResponse(200, root('Tagging', tagSetXml(tagsOf(await requireObject(context)))))
}

/** PutObjectTagging: these and no others. Throws `invalid` (`MalformedXML`, `InvalidTag`). */
export async function putObjectTagging(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  const document = await readS3Xml(context.request.body, 'Tagging', 64 * 1024)
  if (document === undefined) throw malformed('The body must be a Tagging document.')
  await setTags(context, writeTags(tagsOfXml(document)))
  return { status: 200, headers: [['Content-Length', '0']] }
}

/** DeleteObjectTagging */
export async function deleteObjectTagging(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  await setTags(context, undefined)
  return { status: 204, headers: [] }
}

async function setTags(context: S3Context, tags: string | undefined): Promise<void> {
  for (let round = 1; ; round++) {
    const { path, etag, attributes: { [tagsAttribute]: before, ...others } = {} } = await requireObject(context)
    if (before === tags) return context.session.permit.allows('replace', path) ? undefined : denied()
    try {
      const attributes = tags === undefined ? others : { ...others, [tagsAttribute]: tags }
      await context.session.store.change(path, { ifMatch: [etag], attributes })
      return
    } catch (error) {
      // Another object has taken the key: the tags are for that one.
      if (!isFailure(error, 'precondition') || round === maxRounds) throw error
    }
  }
}

/** GetObjectAcl */
export async function getObjectAcl(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  await requireObject(context)
  return xmlResponse(200, aclXml(context.session))
}

/** PutObjectAcl: takes the one list that is true already. Throws `unsupported` for every other. */
export async function putObjectAcl(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  const { path } = await requireObject(context)
  if (!context.session.permit.allows('replace', path)) denied()
  await checkAcl(context)
  return { status: 200, headers: [['Content-Length', '0']] }
}

/** Reads of what an object can be configured with elsewhere: never was any here. */
export async function getObjectConfiguration(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  await requireObject(context)
  throw new Failure('not-found', 'The object has no such configuration.', {
    reason: 'NoSuchObjectLockConfiguration',
  })
}

const attributeNames: ReadonlySet<string> = new Set(['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'])

/** GetObjectAttributes: those that are asked for in `x-amz-object-attributes`. Throws `invalid` (`InvalidArgument`). */
export async function getObjectAttributes(context: S3Context): Promise<HttpResponse> {
  requireNullVersion(context)
  const { request, settings } = context
  const asked = new Set((header(request, 'x-amz-object-attributes') ?? '').split(',').map((name) => name.trim()))
  if ([...asked].some((name) => !attributeNames.has(name)))
    throw new Failure('invalid', `x-amz-object-attributes must name some of ${[...attributeNames].join(', ')}.`, {
      reason: 'InvalidArgument',
    })
  const entry = await requireObject(context)
  if (hasOpaqueEtag(entry)) settings.hashLater?.(entry, context.session.identity)
  const checksums = asked.has('Checksum') ? checksumXml(checksumsOf(entry)) : ''
  return xmlResponse(
    200,
    root(
      'GetObjectAttributesResponse',
      text('ETag', asked.has('ETag') ? s3Etag(entry) : undefined),
      checksums === '' ? '' : element('Checksum', checksums),
      asked.has('ObjectParts') ? partsXml(context, entry) : '',
      text('StorageClass', asked.has('StorageClass') ? 'STANDARD' : undefined),
      text('ObjectSize', asked.has('ObjectSize') ? entry.size : undefined),
    ),
    [['Last-Modified', httpDate(entry.modified)]],
  )
}

/** A page of the parts that an object was put together of; nothing for one that was put as a whole. */
function partsXml({ request }: S3Context, entry: Entry): string {
  const sizes = readPartSizes(entry)
  if (sizes === undefined) return ''
  const most = Math.min(numberOf(request, 'x-amz-max-parts') ?? mostParts, mostParts)
  const after = numberOf(request, 'x-amz-part-number-marker') ?? 0
  const page = sizes.slice(after, after + most)
  return element(
    'ObjectParts',
    text('PartsCount', sizes.length),
    text('PartNumberMarker', after),
    text('NextPartNumberMarker', after + page.length),
    text('MaxParts', most),
    text('IsTruncated', after + page.length < sizes.length),
    ...page.map((size, at) => element('Part', text('PartNumber', after + at + 1), text('Size', size))),
  )
}

function numberOf(request: S3Context['request'], name: string): number | undefined {
  const field = header(request, name)
  if (field === undefined) return undefined
  if (/^\d{1,9}$/.test(field)) return Number(field)
  throw new Failure('invalid', `${name} must be a number.`, { reason: 'InvalidArgument' })
}

function denied(): never {
  throw new Failure('denied', 'You have no right to change this.')
}
