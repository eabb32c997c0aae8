import type { StorePath } from './path.js'

/** Every way in which a request can fail on purpose. A protocol's `failures.ts` gives each one a status and a body. */
export type FailureKind =
  | 'not-found'
  | 'gone'
  | 'exists'
  | 'no-parent'
  | 'not-empty'
  | 'is-directory'
  | 'not-directory'
  | 'conflict'
  | 'unauthenticated'
  | 'denied'
  | 'throttled'
  | 'locked'
  | 'precondition'
  | 'bad-range'
  | 'bad-digest'
  | 'incomplete'
  | 'invalid'
  | 'method'
  | 'length-required'
  | 'media-type'
  | 'too-large'
  | 'timeout'
  | 'no-space'
  | 'elsewhere'
  | 'unsupported'
  | 'unavailable'

/** What exactly was wrong, where a protocol has a name for it. */
export type FailureReason = DavCondition | S3ErrorCode

/** RFC 4918 §16 and RFC 3744, 5689, 6578 condition codes. */
export type DavCondition =
  | 'lock-token-submitted'
  | 'lock-token-matches-request-uri'
  | 'no-conflicting-lock'
  | 'no-external-entities'
  | 'preserved-live-properties'
  | 'propfind-finite-depth'
  | 'cannot-modify-protected-property'
  | 'valid-resourcetype'
  | 'valid-sync-token'
  | 'sync-traversal-supported'
  | 'number-of-matches-within-limits'
  | 'supported-report'
  | 'quota-not-exceeded'
  | 'sufficient-disk-space'

/** Error codes of the S3 API that say more than the kind of a failure does; the last ones are not Amazon's own. */
export type S3ErrorCode =
  | 'AccessDenied'
  | 'AuthorizationHeaderMalformed'
  | 'AuthorizationQueryParametersError'
  | 'BadDigest'
  | 'BucketAlreadyExists'
  | 'BucketAlreadyOwnedByYou'
  | 'BucketNotEmpty'
  | 'EntityTooLarge'
  | 'EntityTooSmall'
  | 'IllegalLocationConstraintException'
  | 'IncompleteBody'
  | 'InvalidAccessKeyId'
  | 'InvalidArgument'
  | 'InvalidBucketName'
  | 'InvalidChecksum'
  | 'InvalidDigest'
  | 'InvalidPart'
  | 'InvalidPartNumber'
  | 'InvalidPartOrder'
  | 'InvalidPolicyDocument'
  | 'InvalidRange'
  | 'InvalidRequest'
  | 'InvalidStorageClass'
  | 'InvalidTag'
  | 'InvalidToken'
  | 'InvalidURI'
  | 'KeyTooLongError'
  | 'MalformedPOSTRequest'
  | 'MalformedTrailerError'
  | 'MalformedXML'
  | 'MaxPostPreDataLengthExceededError'
  | 'MetadataTooLarge'
  | 'MethodNotAllowed'
  | 'MissingContentLength'
  | 'MissingSecurityHeader'
  | 'NoSuchBucket'
  | 'NoSuchBucketPolicy'
  | 'NoSuchConfiguration'
  | 'NoSuchCORSConfiguration'
  | 'NoSuchKey'
  | 'NoSuchLifecycleConfiguration'
  | 'NoSuchTagSet'
  | 'NoSuchObjectLockConfiguration'
  | 'NoSuchUpload'
  | 'NoSuchVersion'
  | 'NoSuchWebsiteConfiguration'
  | 'NotImplemented'
  | 'ObjectLockConfigurationNotFoundError'
  | 'OwnershipControlsNotFoundError'
  | 'NoSuchPublicAccessBlockConfiguration'
  | 'PreconditionFailed'
  | 'ReplicationConfigurationNotFoundError'
  | 'RequestTimeTooSkewed'
  | 'ServerSideEncryptionConfigurationNotFoundError'
  | 'SignatureDoesNotMatch'
  | 'XAmzContentSHA256Mismatch'
  | 'DirectoryObjectContainsData'
  | 'ObjectIsDirectory'
  | 'ObjectLocked'
  | 'ObjectParentIsFile'
  | 'QuotaExceeded'

export interface FailureDetails {
  /** The condition that a protocol names in its body. */
  readonly reason?: FailureReason
  /** The resource at fault when it is not the request's own: the locked ancestor, the missing parent. */
  readonly path?: StorePath
  /** With `throttled` and `unavailable`: when a further try makes sense. */
  readonly retryAfterSeconds?: number
  /** With `bad-range`: the size of the file in bytes. With `too-large`: the limit in bytes. */
  readonly size?: number
  /** With `unauthenticated`: the values of `WWW-Authenticate` that go with it, in place of the usual ones. */
  readonly challenges?: readonly string[]
  /** What lies beneath; logged, never shown to a client. */
  readonly cause?: unknown
}

/** The only error that is thrown on purpose. Its message is shown to clients: it names what to do and leaks nothing. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly kind: FailureKind
  readonly reason: FailureReason | undefined
  readonly path: StorePath | undefined
  readonly retryAfterSeconds: number | undefined
  readonly size: number | undefined
  readonly challenges: readonly string[] | undefined

  constructor(kind: FailureKind, message: string, details: FailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.kind = kind
    this.reason = details.reason
    this.path = details.path
    this.retryAfterSeconds = details.retryAfterSeconds
    this.size = details.size
    this.challenges = details.challenges
  }
}

/** Whether an error is a Failure of one of the given kinds. */
export function isFailure(error: unknown, ...kinds: readonly FailureKind[]): error is Failure {
  return error instanceof Failure && (kinds.length === 0 || kinds.includes(error.kind))
}
