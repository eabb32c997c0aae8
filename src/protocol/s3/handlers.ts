import {
  getBucketAcl,
  getBucketConfiguration,
  getBucketLocation,
  getBucketVersioning,
  putBucketAcl,
} from './buckets/bucket-configuration.js'
import { deleteBucketCors, getBucketCors, putBucketCors } from './buckets/bucket-cors.js'
import { createBucket, deleteBucket, headBucket } from './buckets/bucket.js'
import { completeMultipartUpload } from './uploads/complete-upload.js'
import type { Operation } from './context.js'
import { copyObject } from './objects/copy-object.js'
import { abortMultipartUpload, createMultipartUpload } from './uploads/create-upload.js'
import { deleteObject } from './objects/delete-object.js'
import { deleteObjects } from './objects/delete-objects.js'
import { getObject, headObject } from './objects/get-object.js'
import { listBuckets } from './buckets/list-buckets.js'
import { listObjectVersions, listObjects, listObjectsV2 } from './listings/list-objects.js'
import { listParts } from './uploads/list-parts.js'
import { listMultipartUploads } from './uploads/list-uploads.js'
import {
  deleteObjectTagging,
  getObjectAcl,
  getObjectAttributes,
  getObjectConfiguration,
  getObjectTagging,
  putObjectAcl,
  putObjectTagging,
} from './objects/object-details.js'
import type { OperationName } from './operations.js'
import { postObject } from './objects/post-object.js'
import { putObject } from './objects/put-object.js'
import { uploadPart, uploadPartCopy } from './uploads/upload-part.js'

/** What carries out each operation. */
export const handlers: Readonly<Record<OperationName, Operation>> = {
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
  DeleteObjects: deleteObjects,
  CopyObject: copyObject,
  PostObject: postObject,
  GetObjectAttributes: getObjectAttributes,
  GetObjectTagging: getObjectTagging,
  PutObjectTagging: putObjectTagging,
  DeleteObjectTagging: deleteObjectTagging,
  GetObjectAcl: getObjectAcl,
  PutObjectAcl: putObjectAcl,
  GetObjectConfiguration: getObjectConfiguration,
  CreateMultipartUpload: createMultipartUpload,
  UploadPart: uploadPart,
  UploadPartCopy: uploadPartCopy,
  CompleteMultipartUpload: completeMultipartUpload,
  AbortMultipartUpload: abortMultipartUpload,
  ListParts: listParts,
  ListMultipartUploads: listMultipartUploads,
}
