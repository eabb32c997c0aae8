import {
  getBucketAcl,
  getBucketConfiguration,
  getBucketLocation,
  getBucketVersioning,
  putBucketAcl,
} from './bucket-configuration.js'
import { deleteBucketCors, getBucketCors, putBucketCors } from './bucket-cors.js'
import { createBucket, deleteBucket, headBucket } from './bucket.js'
import { completeMultipartUpload } from './complete-upload.js'
import type { Operation } from './context.js'
import { copyObject } from './copy-object.js'
import { abortMultipartUpload, createMultipartUpload } from './create-upload.js'
import { deleteObject } from './delete-object.js'
import { deleteObjects } from './delete-objects.js'
import { getObject, headObject } from './get-object.js'
import { listBuckets } from './list-buckets.js'
import { listObjectVersions, listObjects, listObjectsV2 } from './list-objects.js'
import { listParts } from './list-parts.js'
import { listMultipartUploads } from './list-uploads.js'
import {
  deleteObjectTagging,
  getObjectAcl,
  getObjectAttributes,
  getObjectConfiguration,
  getObjectTagging,
  putObjectAcl,
  putObjectTagging,
} from './object-details.js'
import type { OperationName } from './operations.js'
import { postObject } from './post-object.js'
import { putObject } from './put-object.js'
import { uploadPart, uploadPartCopy } from './upload-part.js'

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
