import { Failure, isFailure } from '../../core/failure.js'
import type { FailureDetails, FailureKind } from '../../core/failure.js'
import type { AwsAnswer } from '../aws/aws-client.js'

/** What failures name. */
export interface ErrorPlace {
  readonly bucket: string
  readonly region: string
}

type ErrorAnswer = Pick<AwsAnswer, 'status' | 'headers' | 'bytes' | 'code'> & {
  /** What a policy must allow for the request; told to the log. */
  readonly right?: string | undefined
}

interface Meaning {
  readonly kind: FailureKind
  readonly message: string
  readonly retryAfterSeconds?: number
}

const wrongCredentials: Meaning = {
  kind: 'unavailable',
  message: 'The storage service does not accept the credentials of this server. Check them.',
  retryAfterSeconds: 60,
}
const full: Meaning = { kind: 'no-space', message: 'The storage service has no room left for this.' }
const elsewhere: Meaning = {
  kind: 'unavailable',
  message: 'The bucket is in another region than the settings say.',
  retryAfterSeconds: 60,
}
/** No fault of the caller's: another login would not help, and a 403 would say that it might. */
const forbidden: Meaning = {
  kind: 'unavailable',
  message: 'The storage service does not let this server do that.',
  retryAfterSeconds: 60,
}

/** What the error codes of S3 are here ("Error responses", Amazon S3 API Reference; the last ones are of Ceph, MinIO and Postern). */
const meanings: Readonly<Record<string, Meaning>> = {
  NoSuchKey: { kind: 'not-found', message: 'There is no such object.' },
  NoSuchVersion: { kind: 'not-found', message: 'There is no such object.' },
  NoSuchUpload: { kind: 'not-found', message: 'There is no such upload.' },
  PreconditionFailed: { kind: 'precondition', message: 'The object is another by now.' },
  ConditionalRequestConflict: { kind: 'precondition', message: 'The object is being changed by somebody else.' },
  InvalidRange: { kind: 'bad-range', message: 'The object is shorter than that.' },
  AccessDenied: forbidden,
  AllAccessDisabled: forbidden,
  AccountProblem: forbidden,
  InvalidObjectState: { kind: 'denied', message: 'The object is archived: restore it first.' },
  ObjectLocked: { kind: 'locked', message: 'The object is locked.' },
  InvalidAccessKeyId: wrongCredentials,
  SignatureDoesNotMatch: wrongCredentials,
  InvalidToken: wrongCredentials,
  ExpiredToken: wrongCredentials,
  InvalidSecurity: wrongCredentials,
  NotSignedUp: wrongCredentials,
  RequestTimeTooSkewed: {
    kind: 'unavailable',
    message: 'The clock of this server and that of the storage service differ too much.',
    retryAfterSeconds: 60,
  },
  PermanentRedirect: elsewhere,
  TemporaryRedirect: elsewhere,
  Redirect: elsewhere,
  AuthorizationHeaderMalformed: elsewhere,
  IllegalLocationConstraintException: elsewhere,
  InvalidStorageClass: {
    kind: 'unavailable',
    message: 'The storage service does not know the storage class of the settings: change default_storage_class.',
    retryAfterSeconds: 60,
  },
  EntityTooLarge: { kind: 'too-large', message: 'The storage service takes no object that large.' },
  MetadataTooLarge: { kind: 'too-large', message: 'The properties of the object are too long.' },
  KeyTooLongError: { kind: 'invalid', message: 'The name is too long for the storage service.' },
  InvalidURI: { kind: 'invalid', message: 'The storage service does not take this name.' },
  InvalidPart: { kind: 'conflict', message: 'A part of the upload is not there, or another by now.' },
  InvalidPartOrder: { kind: 'conflict', message: 'The parts of the upload are not in order.' },
  EntityTooSmall: { kind: 'conflict', message: 'A part of the upload is too small.' },
  NotImplemented: { kind: 'unsupported', message: 'The storage service cannot do this.' },
  MethodNotAllowed: { kind: 'unsupported', message: 'The storage service cannot do this.' },
  QuotaExceeded: full,
  InsufficientStorage: full,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  ObjectParentIsFile: { kind: 'conflict', message: 'What the object would lie in is a file.' },
  ObjectIsDirectory: { kind: 'conflict', message: 'The object is a directory.' },
}

/** For answers without a code: those to HEAD, and those of proxies. */
const byStatus: Readonly<Record<number, string>> = {
  301: 'PermanentRedirect',
  307: 'TemporaryRedirect',
  401: 'AccessDenied',
  403: 'AccessDenied',
  404: 'NoSuchKey',
  405: 'MethodNotAllowed',
  409: 'ConditionalRequestConflict',
  412: 'PreconditionFailed',
  413: 'EntityTooLarge',
  416: 'InvalidRange',
  501: 'NotImplemented',
  507: 'InsufficientStorage',
}

/** The error code in a body, where that is the XML of an error; it may be of any size, and cut. */
export function errorCodeOf(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64 * 1024)).toString('latin1')
  return /^\s*(?:<\?xml[^>]*>\s*)?<Error[\s>]/.test(head)
    ? /<Code>\s*(\w{1,100})\s*<\/Code>/.exec(head)?.[1]
    : undefined
}

/** The failure that an error of the service is. Never shows what its body says to a client: that goes into the cause. */
export function failureOf(answer: ErrorAnswer, { bucket, region }: ErrorPlace): Failure {
  const code = answer.code === undefined || answer.code === '' ? statusCode(answer) : answer.code
  const cause = new Error(causeText(answer))
  if (code === 'NoSuchBucket')
    return new Failure('unavailable', `There is no bucket ${bucket}: make it, or change the settings.`, {
      retryAfterSeconds: 60,
      cause,
    })
  const meaning = code === undefined ? undefined : meanings[code]
  if (meaning === undefined)
    return new Failure('unavailable', 'The storage service refuses the request.', { retryAfterSeconds: 60, cause })
  if (meaning === forbidden) {
    cause.name = forbiddenName
    if (answer.right !== undefined) cause.message += `; this server needs ${answer.right} in bucket ${bucket}`
  }
  const details: FailureDetails = {
    cause,
    ...(meaning.retryAfterSeconds !== undefined && { retryAfterSeconds: meaning.retryAfterSeconds }),
  }
  if (meaning === elsewhere) {
    const right = regionNamedBy(answer)
    const hint = right === undefined || right === region ? '' : ` It is in ${right}: set region=${right}.`
    return new Failure(meaning.kind, meaning.message + hint, details)
  }
  if (meaning.kind === 'bad-range') {
    const size = Number(/^bytes \*\/(\d+)$/.exec(answer.headers['content-range'] ?? '')?.[1])
    return new Failure(meaning.kind, meaning.message, { ...details, ...(Number.isSafeInteger(size) && { size }) })
  }
  return new Failure(meaning.kind, meaning.message, details)
}

const forbiddenName = 'AccessDenied'

/** Whether a failure is the service's refusal to let this server do something that it knows and is able to do. */
export function isForbidden(error: unknown): error is Failure {
  return isFailure(error, 'unavailable') && error.cause instanceof Error && error.cause.name === forbiddenName
}

/** The page of a proxy says nothing of objects: with a body of another kind, 404 is not that there is none. */
function statusCode({ status, bytes }: ErrorAnswer): string | undefined {
  return status === 404 && bytes.length > 0 ? undefined : byStatus[status]
}

function regionNamedBy({ headers, bytes }: ErrorAnswer): string | undefined {
  const named = headers['x-amz-bucket-region']
  const text = typeof named === 'string' ? named : /<Region>([^<]*)<\/Region>/.exec(bytes.toString('latin1'))?.[1]
  return text !== undefined && /^[a-z0-9-]{1,63}$/.test(text) ? text : undefined
}

function causeText({ status, code, bytes, headers }: ErrorAnswer): string {
  const message = /<Message>([^<]{1,500})<\/Message>/.exec(bytes.toString('utf8'))?.[1] ?? ''
  const id = headers['x-amz-request-id']
  return `${status} ${code ?? ''} ${message}${typeof id === 'string' ? ` (request ${id})` : ''}`.replace(/ +/g, ' ')
}
