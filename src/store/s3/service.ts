import type { ByteRange } from '../store.js'

/**
 * What a store needs of an S3 service, one bucket of it, below one prefix. Keys are relative to that prefix and as S3 has
 * them: any text, never decoded. Every method throws only `Failure`: `unavailable` (with `retryAfterSeconds`) where the
 * service cannot be reached, is throttling, fails after all retries or says AccessDenied (`isForbidden`); `no-space` where
 * a quota is used up; `incomplete` where the signal aborts; and what is said beside each. Retries are inside.
 */
export interface S3Service {
  readonly abilities: S3Abilities

  /** HeadObject; undefined where there is none. With `checksum` its SHA-256 as well, where the service has verified one. */
  head(key: string, signal?: AbortSignal, asked?: { readonly checksum?: boolean }): Promise<ObjectFacts | undefined>

  /**
   * GetObject. Throws `not-found`; `bad-range`; `precondition` where `ifMatch` fails. A body that breaks midway goes on by
   * itself with a further range of the same ETag, or throws `unavailable`; it must be read to its end or closed.
   */
  get(key: string, options?: GetOptions): Promise<OpenObject>

  /** PutObject of bytes in hand. Throws `precondition` where `condition` fails, `no-space`. */
  put(key: string, bytes: readonly Uint8Array[], options?: PutOptions): Promise<StoredObject>

  /** CopyObject (up to 5 GiB). Throws `not-found`, `precondition` (the target's condition, or `ifMatch` of the source). */
  copy(from: string, to: string, options?: CopyOptions): Promise<StoredObject>

  /** DeleteObject; also where there is none. Throws `precondition` where `ifMatch` fails. */
  remove(key: string, options?: { readonly ifMatch?: string; readonly signal?: AbortSignal }): Promise<void>

  /**
   * DeleteObjects, at most 1,000 keys; gives those that could not go. What has another ETag than was said stays, as
   * `PreconditionFailed`, where the service judges such conditions; others do not know them and remove it.
   */
  removeMany(removals: readonly (string | Removal)[], signal?: AbortSignal): Promise<readonly RemovalFailure[]>

  /** ListObjectsV2, one page in the order of UTF-8 bytes. */
  list(request: ListRequest): Promise<ListPage>

  /** CreateMultipartUpload; gives its id. */
  beginUpload(key: string, headers?: ObjectHeaders, signal?: AbortSignal): Promise<string>

  /** UploadPart; gives its ETag. Throws `not-found` where there is no such upload. */
  putPart(upload: Upload, number: number, bytes: readonly Uint8Array[], signal?: AbortSignal): Promise<string>

  /** UploadPartCopy of a range of another object, only while that has the ETag; gives the part's ETag. Throws `not-found`, `precondition`. */
  copyPart(upload: Upload, number: number, from: PartSource, signal?: AbortSignal): Promise<string>

  /** CompleteMultipartUpload. Throws `precondition`, `not-found`. A repeated call that finds its own result has succeeded. */
  completeUpload(
    upload: Upload,
    parts: readonly { readonly number: number; readonly etag: string }[],
    options?: { readonly condition?: WriteCondition; readonly signal?: AbortSignal },
  ): Promise<StoredObject>

  /** AbortMultipartUpload; also where there is none. */
  abortUpload(upload: Upload): Promise<void>

  /** ListMultipartUploads below the prefix, all pages. */
  listUploads(signal?: AbortSignal): AsyncIterable<readonly OpenUpload[]>

  /** A URL at which the service itself takes or gives the bytes; what is in `headers` must then be sent with it. */
  presign(request: PresignedRequest): Promise<URL>

  close(): Promise<void>
}

/** What the service can do, found out at the start by doing it. */
export interface S3Abilities {
  /** PutObject obeys If-None-Match: * and If-Match. */
  readonly conditionalPut: boolean
  /** CompleteMultipartUpload does. */
  readonly conditionalComplete: boolean
  /** CopyObject does, as to its target. */
  readonly conditionalCopy: boolean
  /** DeleteObject obeys If-Match. */
  readonly conditionalRemove: boolean
  /** The ETag of an object written in one piece is the MD5 of its bytes (not so under SSE-KMS). */
  readonly etagIsMd5: boolean
  /** PutObject verifies `x-amz-checksum-sha256` and HeadObject tells it. */
  readonly checksums?: boolean
}

/** What the service knows of an object. ETags are without quotes. */
export interface ObjectFacts {
  readonly size: number
  readonly etag: string
  /** Milliseconds since the epoch, of whole seconds. */
  readonly modified: number
  readonly headers: ObjectHeaders
  /** Where it was asked for. */
  readonly sha256?: Uint8Array
}

/**
 * `content-type`, `cache-control`, `content-disposition`, `content-encoding`, `content-language`, `expires` and
 * `x-amz-meta-…`, lower case; printable ASCII.
 */
export type ObjectHeaders = Readonly<Record<string, string>>

export interface GetOptions {
  readonly range?: ByteRange
  readonly ifMatch?: string
  readonly signal?: AbortSignal
}

export interface OpenObject {
  /** Of the whole object, also where a range was asked for. */
  readonly facts: ObjectFacts
  /** Once. */
  readonly bytes: AsyncIterable<Uint8Array>
  /** Lets go of the rest of the body; as often as one likes. */
  close(): void
}

/** On what is under the key now: nothing, or an object with that ETag. Only where the ability is there. */
export type WriteCondition = { readonly absent: true } | { readonly etag: string }

export interface PutOptions {
  readonly headers?: ObjectHeaders
  readonly condition?: WriteCondition
  readonly signal?: AbortSignal
}

export interface CopyOptions {
  /** Of the source. */
  readonly ifMatch?: string
  /** Of the target. */
  readonly condition?: WriteCondition
  /** Instead of the source's. */
  readonly headers?: ObjectHeaders
  readonly signal?: AbortSignal
}

export interface StoredObject {
  readonly etag: string
  /** Milliseconds, of whole seconds, where the service says so in its answer (CopyObject does, PutObject only by its Date). */
  readonly modified: number
}

/** An object to remove as it was seen. */
export interface Removal {
  readonly key: string
  readonly etag: string
}

export interface RemovalFailure {
  readonly key: string
  /** Of S3: `AccessDenied`, `PreconditionFailed`, `InternalError`, … */
  readonly code: string
}

export interface ListRequest {
  readonly prefix?: string
  /** Only '/'. */
  readonly delimiter?: '/'
  /** Only keys (and common prefixes) behind this text. */
  readonly after?: string
  /** Where the page before has ended. */
  readonly token?: string
  /** At most 1,000, which is the default. */
  readonly max?: number
  readonly signal?: AbortSignal
}

export interface ListedObject {
  readonly key: string
  readonly size: number
  readonly etag: string
  /** Milliseconds since the epoch, of whole seconds: the same as `head` gives. */
  readonly modified: number
}

export interface ListPage {
  readonly objects: readonly ListedObject[]
  /** With the delimiter at the end. */
  readonly prefixes: readonly string[]
  /** Of the next page; undefined at the end. */
  readonly token: string | undefined
}

export interface Upload {
  readonly key: string
  readonly id: string
}

export interface OpenUpload extends Upload {
  /** Milliseconds since the epoch. */
  readonly begun: number
}

export interface PartSource {
  readonly key: string
  readonly etag: string
  readonly range: ByteRange
}

export interface PresignedRequest {
  readonly method: 'GET' | 'PUT'
  readonly key: string
  readonly expiresSeconds: number
  readonly headers?: Readonly<Record<string, string>>
  /** Of a GET: `response-content-type` and its like. */
  readonly responses?: Readonly<Record<string, string>>
  /** UploadPart of an upload. */
  readonly part?: { readonly uploadId: string; readonly number: number }
}

/** Most bytes of one PutObject, UploadPart or CopyObject of S3. */
export const maxObjectBytesAtOnce = 5 * 2 ** 30
/** Fewest bytes of any part but the last. */
export const minPartBytes = 5 * 2 ** 20
export const maxParts = 10_000
