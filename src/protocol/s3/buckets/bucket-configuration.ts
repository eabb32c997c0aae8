import { Failure } from '../../../core/failure.js'
import type { S3ErrorCode } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import { childElements } from '../../../core/xml.js'
import type { XmlElement } from '../../../core/xml.js'
import type { Session } from '../../protocol.js'
import { requireBucket } from './bucket.js'
import type { S3Context } from '../context.js'
import { noAcls, ownerOf, ownerXml } from '../owner.js'
import { childText, malformed, readS3Xml } from '../request-xml.js'
import { element, root, text, xmlResponse } from '../xml.js'

/** GetBucketLocation: the first region of all has no name in it. */
export async function getBucketLocation(context: S3Context): Promise<HttpResponse> {
  await requireBucket(context)
  const { region } = context.settings
  return xmlResponse(200, root('LocationConstraint', region === 'us-east-1' ? '' : region))
}

/** GetBucketVersioning: never was any. */
export async function getBucketVersioning(context: S3Context): Promise<HttpResponse> {
  await requireBucket(context)
  return xmlResponse(200, root('VersioningConfiguration'))
}

/** GetBucketAcl: everything is the caller's, as far as lists go; grants say the rest. */
export async function getBucketAcl(context: S3Context): Promise<HttpResponse> {
  await requireBucket(context)
  return xmlResponse(200, aclXml(context.session))
}

/** PutBucketAcl: takes the one list that is true already. Throws `unsupported` for every other. */
export async function putBucketAcl(context: S3Context): Promise<HttpResponse> {
  await requireBucket(context)
  await checkAcl(context)
  return { status: 200, headers: [['Content-Length', '0']] }
}

/** The list of a bucket or an object: full control for its owner. */
export function aclXml(session: Session): string {
  return root(
    'AccessControlPolicy',
    element('Owner', ownerXml(session)),
    element(
      'AccessControlList',
      element(
        'Grant',
        `<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">${ownerXml(session)}</Grantee>`,
        text('Permission', 'FULL_CONTROL'),
      ),
    ),
  )
}

/** Reads the list that a client wants to put in place. Throws `unsupported` where it is not the one of `aclXml`. */
export async function checkAcl({ request, session }: S3Context): Promise<void> {
  const { headers, body } = request
  const policy = await readS3Xml(body, 'AccessControlPolicy', 64 * 1024)
  const canned = headers.get('x-amz-acl')?.[0]
  if (canned !== undefined && canned !== 'private' && canned !== 'bucket-owner-full-control') throw noAcls()
  if ([...headers.keys()].some((name) => name.startsWith('x-amz-grant-'))) throw noAcls()
  if (policy === undefined) {
    if (canned === undefined) throw malformed('A list is needed: x-amz-acl or an AccessControlPolicy.')
    return
  }
  const lists = childElements(policy).filter(({ name }) => name === 'AccessControlList')
  const grants = lists.flatMap((list) => childElements(list))
  const { id } = ownerOf(session)
  if (!grants.every((grant) => isOwners(grant, id))) throw noAcls()
}

function isOwners(grant: XmlElement, owner: string): boolean {
  const grantee = childElements(grant).find(({ name }) => name === 'Grantee')
  return (
    grantee !== undefined && childText(grantee, 'ID') === owner && childText(grant, 'Permission') === 'FULL_CONTROL'
  )
}

/** What a bucket here is, for each part of its configuration that can be asked for and never was put in place. */
const answers: ReadonlyMap<string, () => string> = new Map([
  ['accelerate', () => root('AccelerateConfiguration')],
  ['logging', () => root('BucketLoggingStatus')],
  ['notification', () => root('NotificationConfiguration')],
  ['requestPayment', () => root('RequestPaymentConfiguration', text('Payer', 'BucketOwner'))],
])

const absences: ReadonlyMap<string, S3ErrorCode> = new Map([
  ['encryption', 'ServerSideEncryptionConfigurationNotFoundError'],
  ['lifecycle', 'NoSuchLifecycleConfiguration'],
  ['object-lock', 'ObjectLockConfigurationNotFoundError'],
  ['ownershipControls', 'OwnershipControlsNotFoundError'],
  ['policy', 'NoSuchBucketPolicy'],
  ['policyStatus', 'NoSuchBucketPolicy'],
  ['publicAccessBlock', 'NoSuchPublicAccessBlockConfiguration'],
  ['replication', 'ReplicationConfigurationNotFoundError'],
  ['tagging', 'NoSuchTagSet'],
  ['website', 'NoSuchWebsiteConfiguration'],
])

/** Configurations of which a bucket can have several, by id; here the root elements of their lists. */
const collections: ReadonlyMap<string, string> = new Map([
  ['analytics', 'ListBucketAnalyticsConfigurationResult'],
  ['intelligent-tiering', 'ListBucketIntelligentTieringConfigurationsOutput'],
  ['inventory', 'ListInventoryConfigurationsResult'],
  ['metrics', 'ListMetricsConfigurationsResult'],
])

/** The parts of a bucket's configuration that can be read beside those with an operation of their own. */
export const configurations: readonly string[] = [...answers.keys(), ...absences.keys(), ...collections.keys()]

/** All reads of a bucket's configuration that have no operation of their own: what is true of every bucket here. */
export async function getBucketConfiguration(context: S3Context): Promise<HttpResponse> {
  const { query } = context
  await requireBucket(context)
  const what = configurations.find((name) => query.has(name))
  const absence = what === undefined ? undefined : absences.get(what)
  const answer = what === undefined ? undefined : answers.get(what)
  const collection = what === undefined ? undefined : collections.get(what)
  if (answer !== undefined) return xmlResponse(200, answer())
  if (collection !== undefined && !query.has('id'))
    return xmlResponse(200, root(collection, text('IsTruncated', false)))
  if (absence !== undefined || collection !== undefined)
    throw new Failure('not-found', 'The bucket has no such configuration.', {
      reason: absence ?? 'NoSuchConfiguration',
    })
  throw new Failure('unsupported', 'This server does not have this part of the configuration of a bucket.', {
    reason: 'NotImplemented',
  })
}
