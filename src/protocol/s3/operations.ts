import { Failure } from '../../core/failure.js'
import type { VerifiedRequest } from '../../auth/sigv4/verified.js'
import type { S3Target } from './address.js'
import type { S3Query } from './query.js'

/** The operations that this surface has, by their names in the S3 API Reference. */
export type OperationName =
  | 'ListBuckets'
  | 'CreateBucket'
  | 'HeadBucket'
  | 'DeleteBucket'
  | 'GetBucketLocation'
  | 'GetBucketVersioning'
  | 'GetBucketAcl'
  | 'PutBucketAcl'
  | 'GetBucketCors'
  | 'PutBucketCors'
  | 'DeleteBucketCors'
  | 'GetBucketConfiguration'
  | 'ListObjects'
  | 'ListObjectsV2'
  | 'ListObjectVersions'
  | 'ListMultipartUploads'
  | 'DeleteObjects'
  | 'PostObject'
  | 'GetObject'
  | 'HeadObject'
  | 'PutObject'
  | 'CopyObject'
  | 'DeleteObject'
  | 'GetObjectAttributes'
  | 'GetObjectAcl'
  | 'PutObjectAcl'
  | 'GetObjectTagging'
  | 'PutObjectTagging'
  | 'DeleteObjectTagging'
  | 'GetObjectConfiguration'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'UploadPartCopy'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListParts'

/** Parts of a query that name a sub-resource of a bucket or an object. Whatever else a query holds chooses no operation. */
const bucketSubresources = [
  'accelerate',
  'acl',
  'analytics',
  'cors',
  'delete',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'lifecycle',
  'location',
  'logging',
  'metadataConfiguration',
  'metadataInventoryTable',
  'metadataJournalTable',
  'metadataTable',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'replication',
  'requestPayment',
  'session',
  'tagging',
  'uploads',
  'versioning',
  'versions',
  'website',
] as const

const objectSubresources = [
  'acl',
  'attributes',
  'encryption',
  'legal-hold',
  'renameObject',
  'restore',
  'retention',
  'select',
  'tagging',
  'torrent',
  'uploadId',
  'uploads',
] as const

const bucketReads: Readonly<Partial<Record<(typeof bucketSubresources)[number], OperationName>>> = {
  acl: 'GetBucketAcl',
  cors: 'GetBucketCors',
  location: 'GetBucketLocation',
  uploads: 'ListMultipartUploads',
  versioning: 'GetBucketVersioning',
  versions: 'ListObjectVersions',
}

/** Which operation a request is. Throws `unsupported` (`NotImplemented`) and `method` (`MethodNotAllowed`). */
export function operationOf(
  { method, headers, form }: Pick<VerifiedRequest, 'method' | 'headers' | 'form'>,
  { bucket, key }: Pick<S3Target, 'bucket' | 'key'>,
  query: S3Query,
): OperationName {
  // Its policy was judged as that of a form sent to the bucket, and allows nothing else.
  if (form !== undefined) {
    if (bucket === undefined || key !== '') throw notAllowed(method)
    return 'PostObject'
  }
  if (bucket === undefined) {
    if (method === 'GET') return 'ListBuckets'
    throw notAllowed(method)
  }
  if (key === '') return bucketOperation(method, query)
  return objectOperation(method, query, headers.has('x-amz-copy-source'))
}

function bucketOperation(method: string, query: S3Query): OperationName {
  const found = bucketSubresources.find((name) => query.has(name))
  if (found === undefined)
    switch (method) {
      case 'GET':
        return query.get('list-type') === '2' ? 'ListObjectsV2' : 'ListObjects'
      case 'HEAD':
        return 'HeadBucket'
      case 'PUT':
        return 'CreateBucket'
      case 'DELETE':
        return 'DeleteBucket'
      default:
        throw notAllowed(method)
    }
  if (method === 'GET') return bucketReads[found] ?? 'GetBucketConfiguration'
  if (found === 'cors' && method === 'PUT') return 'PutBucketCors'
  if (found === 'cors' && method === 'DELETE') return 'DeleteBucketCors'
  if (found === 'acl' && method === 'PUT') return 'PutBucketAcl'
  if (found === 'delete' && method === 'POST') return 'DeleteObjects'
  throw notImplemented(`${method} ?${found} of a bucket`)
}

function objectOperation(method: string, query: S3Query, isCopy: boolean): OperationName {
  const found = objectSubresources.find((name) => query.has(name))
  switch (`${method} ${found ?? ''}`) {
    case 'GET ':
      return 'GetObject'
    case 'HEAD ':
      return 'HeadObject'
    case 'PUT ':
      return isCopy ? 'CopyObject' : 'PutObject'
    case 'DELETE ':
      return 'DeleteObject'
    case 'GET uploadId':
      return 'ListParts'
    case 'PUT uploadId':
      return isCopy ? 'UploadPartCopy' : 'UploadPart'
    case 'POST uploadId':
      return 'CompleteMultipartUpload'
    case 'DELETE uploadId':
      return 'AbortMultipartUpload'
    case 'POST uploads':
      return 'CreateMultipartUpload'
    case 'GET acl':
      return 'GetObjectAcl'
    case 'PUT acl':
      return 'PutObjectAcl'
    case 'GET tagging':
      return 'GetObjectTagging'
    case 'PUT tagging':
      return 'PutObjectTagging'
    case 'DELETE tagging':
      return 'DeleteObjectTagging'
    case 'GET attributes':
      return 'GetObjectAttributes'
    case 'GET legal-hold':
    case 'GET retention':
      return 'GetObjectConfiguration'
    default:
      throw found === undefined ? notAllowed(method) : notImplemented(`${method} ?${found} of an object`)
  }
}

function notAllowed(method: string): Failure {
  return new Failure('method', `${method} is not allowed here.`, { reason: 'MethodNotAllowed' })
}

function notImplemented(what: string): Failure {
  return new Failure('unsupported', `This server does not have ${what}.`, { reason: 'NotImplemented' })
}
