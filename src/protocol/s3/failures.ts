import type { Failure, FailureKind, S3ErrorCode } from '../../core/failure.js'
import type { Header, HttpRequest, HttpResponse } from '../../core/http.js'
import { element, text, xmlResponse } from './xml.js'

/** The code and status of a failure that has no `S3ErrorCode` of its own. */
const kinds: Readonly<Record<FailureKind, readonly [code: string, status: number]>> = {
  'not-found': ['NoSuchKey', 404],
  gone: ['NoSuchKey', 404],
  exists: ['OperationAborted', 409],
  'no-parent': ['ObjectParentIsFile', 409],
  'not-empty': ['BucketNotEmpty', 409],
  'is-directory': ['ObjectIsDirectory', 409],
  'not-directory': ['ObjectParentIsFile', 409],
  conflict: ['OperationAborted', 409],
  unauthenticated: ['AccessDenied', 403],
  denied: ['AccessDenied', 403],
  throttled: ['SlowDown', 503],
  locked: ['ObjectLocked', 423],
  precondition: ['PreconditionFailed', 412],
  'bad-range': ['InvalidRange', 416],
  'bad-digest': ['BadDigest', 400],
  incomplete: ['IncompleteBody', 400],
  invalid: ['InvalidRequest', 400],
  method: ['MethodNotAllowed', 405],
  'length-required': ['MissingContentLength', 411],
  'media-type': ['InvalidRequest', 415],
  'too-large': ['EntityTooLarge', 400],
  timeout: ['RequestTimeout', 400],
  'no-space': ['QuotaExceeded', 507],
  elsewhere: ['InternalError', 500],
  unsupported: ['NotImplemented', 501],
  unavailable: ['ServiceUnavailable', 503],
}

const codes: Readonly<Record<S3ErrorCode, number>> = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  AuthorizationQueryParametersError: 400,
  BadDigest: 400,
  BucketAlreadyExists: 409,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  DirectoryObjectContainsData: 400,
  EntityTooLarge: 400,
  EntityTooSmall: 400,
  IllegalLocationConstraintException: 400,
  IncompleteBody: 400,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidChecksum: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartNumber: 416,
  InvalidPartOrder: 400,
  InvalidPolicyDocument: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidStorageClass: 400,
  InvalidTag: 400,
  InvalidToken: 400,
  InvalidURI: 400,
  KeyTooLongError: 400,
  MalformedPOSTRequest: 400,
  MalformedTrailerError: 400,
  MalformedXML: 400,
  MaxPostPreDataLengthExceededError: 400,
  MetadataTooLarge: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  MissingSecurityHeader: 400,
  NoSuchBucket: 404,
  NoSuchBucketPolicy: 404,
  NoSuchConfiguration: 404,
  NoSuchCORSConfiguration: 404,
  NoSuchKey: 404,
  NoSuchLifecycleConfiguration: 404,
  NoSuchPublicAccessBlockConfiguration: 404,
  NoSuchTagSet: 404,
  NoSuchObjectLockConfiguration: 404,
  NoSuchUpload: 404,
  NoSuchVersion: 404,
  NoSuchWebsiteConfiguration: 404,
  NotImplemented: 501,
  ObjectIsDirectory: 409,
  ObjectLockConfigurationNotFoundError: 404,
  ObjectLocked: 423,
  ObjectParentIsFile: 409,
  OwnershipControlsNotFoundError: 404,
  PreconditionFailed: 412,
  QuotaExceeded: 507,
  ReplicationConfigurationNotFoundError: 404,
  RequestTimeTooSkewed: 403,
  ServerSideEncryptionConfigurationNotFoundError: 404,
  SignatureDoesNotMatch: 403,
  XAmzContentSHA256Mismatch: 400,
}

/** The error code of S3 and the status for a failure. */
export function codeOf(failure: Pick<Failure, 'kind' | 'reason'>): readonly [code: string, status: number] {
  const { kind, reason } = failure
  return reason !== undefined && reason in codes ? [reason, codes[reason as S3ErrorCode]] : kinds[kind]
}

/** A failure in the XML of S3 ("REST Error Responses"); to HEAD without a body. `id` is the line of the log. */
export function refuseS3(failure: Failure, request: HttpRequest, id: string): HttpResponse {
  const [code, status] = codeOf(failure)
  const headers: Header[] = [['x-amz-request-id', id]]
  if (failure.retryAfterSeconds !== undefined)
    headers.push(['Retry-After', String(Math.max(1, Math.ceil(failure.retryAfterSeconds)))])
  if (status === 416 && failure.size !== undefined) headers.push(['Content-Range', `bytes */${failure.size}`])
  return errorResponse(code, status, failure.message, request, id, headers)
}

/** `InternalError`: what nobody meant to happen. */
export function faultS3(message: string, request: HttpRequest, id: string): HttpResponse {
  return errorResponse('InternalError', 500, message, request, id, [['x-amz-request-id', id]])
}

function errorResponse(
  code: string,
  status: number,
  message: string,
  request: HttpRequest,
  id: string,
  headers: readonly Header[],
): HttpResponse {
  if (request.method === 'HEAD') return { status, headers }
  const mark = request.target.indexOf('?')
  const resource = mark === -1 ? request.target : request.target.slice(0, mark)
  return xmlResponse(
    status,
    element('Error', text('Code', code), text('Message', message), text('Resource', resource), text('RequestId', id)),
    headers,
  )
}
