import type { AwsAnswer, AwsClient, AwsRequest, OpenAnswer } from '../aws/aws-client.js'
import { encodedPath } from '../aws/sign.js'
import type { Failure } from '../../core/failure.js'
import { parseHttpDate } from '../../core/http.js'
import { failureOf } from './service-errors.js'
import type { ObjectHeaders, WriteCondition } from './service.js'
import type { S3Settings } from './settings.js'

/** A request about an object or, without a key, about the bucket. */
export interface BucketRequest extends Omit<AwsRequest, 'path' | 'hostname' | 'unsigned'> {
  /** Relative to the prefix of the settings. */
  readonly key?: string
}

export interface BucketAnswer extends AwsAnswer {
  /** Of an error: what a policy must allow for the request. */
  readonly right?: string
}

/** Where services differ in how they want conditions to be said. */
export interface Dialect {
  /** ETags in conditions on what is written: RFC 9110 wants quotes, some services know them only without. */
  readonly writtenEtags: 'quoted' | 'bare'
  /** The header in which CopyObject obeys a condition on its source; undefined where it obeys none. */
  readonly copyIfMatch: 'x-amz-copy-source-if-match' | 'x-amz-copy-if-match' | undefined
  /** UploadPartCopy obeys the same header. */
  readonly partIfMatch: boolean
  /** What the names of Postern's own objects begin with there: another Postern keeps `.postern-` for itself. */
  readonly ownNames: '.postern-' | '_postern-'
}

/** Amazon's. */
export const amazonDialect: Dialect = {
  writtenEtags: 'quoted',
  copyIfMatch: 'x-amz-copy-source-if-match',
  partIfMatch: true,
  ownNames: '.postern-',
}

const ownPrefix = '.postern-'

/** What the service does that takes time beyond all usual measure. */
export const longSilence = 180_000

/** Speaks to one bucket: knows where it is, what all that is written carries, and what the answers mean. */
export class BucketRequests {
  readonly settings: S3Settings
  readonly dialect: Dialect
  readonly #client: AwsClient
  readonly #base: string
  readonly #hostname: string | undefined
  readonly #isTrustedWay: boolean

  constructor(client: AwsClient, settings: S3Settings, dialect: Dialect = amazonDialect) {
    this.settings = settings
    this.dialect = dialect
    this.#client = client
    const { endpoint, bucket, pathStyle } = settings
    const path = endpoint.pathname.replace(/\/+$/, '')
    this.#base = pathStyle ? `${path}/${bucket}` : path
    this.#hostname = pathStyle ? undefined : `${bucket}.${endpoint.hostname}`
    this.#isTrustedWay = endpoint.protocol === 'https:' || /^(127\.|\[::1\]|localhost$)/.test(endpoint.hostname)
  }

  /** The same service, spoken to in another way. */
  speaking(dialect: Dialect): BucketRequests {
    return new BucketRequests(this.#client, this.settings, dialect)
  }

  /** Gives errors as well. */
  async send(request: BucketRequest): Promise<BucketAnswer> {
    const answer = await this.#client.send(this.#located(request))
    return isSuccess(answer) ? answer : { ...answer, right: rightFor(request) }
  }

  /** The same for an answer whose body may be long. */
  async open(request: BucketRequest): Promise<BucketAnswer & OpenAnswer> {
    const answer = await this.#client.open(this.#located(request))
    return isSuccess(answer) ? answer : { ...answer, right: rightFor(request) }
  }

  /** Throws for errors. */
  async done(request: BucketRequest): Promise<BucketAnswer> {
    const answer = await this.send(request)
    if (!isSuccess(answer)) throw this.failure(answer)
    return answer
  }

  presign(request: BucketRequest, expiresSeconds: number): Promise<URL> {
    return this.#client.presign(this.#located(request), expiresSeconds)
  }

  failure(answer: Pick<BucketAnswer, 'status' | 'headers' | 'bytes' | 'code' | 'right'>): Failure {
    return failureOf(answer, this.settings)
  }

  /** `x-amz-copy-source` */
  source(key: string): string {
    return `/${this.settings.bucket}/${encodedPath(this.absolute(key))}`
  }

  /** A key as the service has it. */
  absolute(key: string): string {
    const { ownNames } = this.dialect
    const named = key.startsWith(ownPrefix) ? ownNames + key.slice(ownPrefix.length) : key
    return this.settings.prefix + named
  }

  /** The reverse; undefined where the key does not begin with the prefix of the settings, or is nothing else. */
  relative(key: string): string | undefined {
    const { prefix } = this.settings
    if (key.length <= prefix.length || !key.startsWith(prefix)) return undefined
    const { ownNames } = this.dialect
    const named = key.slice(prefix.length)
    return named.startsWith(ownNames) ? ownPrefix + named.slice(ownNames.length) : named
  }

  /** The headers of an object that is written, with the storage class and the encryption of the settings. */
  written(headers: ObjectHeaders = {}): Record<string, string> {
    const { storageClass, encryption } = this.settings
    const all: Record<string, string> = { ...headers }
    if (storageClass !== undefined) all['x-amz-storage-class'] = storageClass
    if (encryption === undefined) return all
    all['x-amz-server-side-encryption'] = encryption.algorithm
    if (encryption.kmsKeyId !== undefined) all['x-amz-server-side-encryption-aws-kms-key-id'] = encryption.kmsKeyId
    return all
  }

  close(): void {
    this.#client.close()
  }

  #located({ key, ...request }: BucketRequest): AwsRequest {
    const path =
      key === undefined
        ? this.settings.pathStyle
          ? this.#base
          : `${this.#base}/`
        : `${this.#base}/${encodedPath(this.absolute(key))}`
    return {
      ...request,
      path,
      // TLS guards the bytes as well as a hash of them does, and so does a way that does not leave the machine.
      unsigned: this.#isTrustedWay,
      ...(this.#hostname !== undefined && { hostname: this.#hostname }),
    }
  }
}

/** The action of IAM that a request needs ("Actions, resources, and condition keys for Amazon S3"). */
function rightFor({ method, key, query = {}, headers = {} }: BucketRequest): string {
  if (key === undefined) {
    if (method === 'POST') return 's3:DeleteObject'
    return 'uploads' in query ? 's3:ListBucketMultipartUploads' : 's3:ListBucket'
  }
  const isOfUpload = 'uploadId' in query
  switch (method) {
    case 'HEAD':
      return 's3:GetObject, and s3:ListBucket, without which a missing object looks forbidden,'
    case 'GET':
      return isOfUpload ? 's3:ListMultipartUploadParts' : 's3:GetObject'
    case 'DELETE':
      return isOfUpload ? 's3:AbortMultipartUpload' : 's3:DeleteObject'
    default:
      return 'x-amz-copy-source' in headers ? 's3:PutObject and s3:GetObject' : 's3:PutObject'
  }
}

export function isSuccess({ status, code }: Pick<AwsAnswer, 'status' | 'code'>): boolean {
  return status < 300 && code === undefined
}

/** The headers of a condition on the target. */
export function conditionHeaders(
  condition: WriteCondition | undefined,
  { writtenEtags }: Dialect,
): Record<string, string> {
  if (condition === undefined) return {}
  if ('absent' in condition) return { 'if-none-match': '*' }
  return { 'if-match': writtenEtags === 'quoted' ? `"${condition.etag}"` : condition.etag }
}

/** Milliseconds, of whole seconds, of an answer's `Date`. */
export function answeredAt({ headers }: Pick<AwsAnswer, 'headers'>): number {
  return parseHttpDate(headers.date) ?? Math.floor(Date.now() / 1000) * 1000
}
