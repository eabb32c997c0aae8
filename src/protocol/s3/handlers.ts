import {
  getBucketAcl,
  getBucketConfiguration,
  getBucketLocation,
  getBucketVersioning,
  putBucketAcl,
} from './bucket-configuration.js'
import { deleteBucketCors, getBucketCors, putBucketCors } from './bucket-cors.js'
import { createBucket, deleteBucket, headBucket } from './bucket.js'
import type { Operation } from './context.js'
import { deleteObject } from './delete-object.js'
import { getObject, headObject } from './get-object.js'
import { listBuckets } from './list-buckets.js'
import { listObjectVersions, listObjects, listObjectsV2 } from './list-objects.js'
import type { OperationName } from './operations.js'
import { putObject } from './put-object.js'

/** What carries out each operation. */
export const handlers: Readonly<Partial<Record<OperationName, Operation>>> = {
  ListBuckets: listBuckets,
  CreateBucket: createBucket,
  HeadBucket: headBucket,
  DeleteBucket: deleteBucket,
  GetBucketLocation: getBucketLocation,
  GetBucketVersioning: getBucketVersioning,
  GetBucketAcl: getBucketAcl,
  PutBucketAcl: putBucketAcl,
  GetBucketCors: getBucketCors,
  PutBucketCors: putBucketCors,
  DeleteBucketCors: deleteBucketCors,
  GetBucketConfiguration: getBucketConfiguration,
  ListObjects: listObjects,
  ListObjectsV2: listObjectsV2,
  ListObjectVersions: listObjectVersions,
  GetObject: getObject,
  HeadObject: headObject,
  PutObject: putObject,
  DeleteObject: deleteObject,
}
