import type { StorePath } from '../core/path.js'
import type { PartOptions, PartPromise, PresignedPart } from '../store/part-rooms.js'
import type { Attributes, Body, ByteRange, Digests, WriteOptions, Written } from '../store/store.js'

/**
 * Files that come in parts (S3 multipart uploads): begun, then their parts in any order, then completed or given up. What
 * is known of them is in the catalog, their bytes are in the rooms of the store. An upload belongs to the path it was begun for:
 * under any other its id means nothing. All methods that take an id throw `not-found` with the reason
 * `NoSuchUpload` where there is none of that id and path.
 */
export interface Uploads {
  begin(path: StorePath, facts: UploadFacts): Promise<Upload>
  find(path: StorePath, id: string): Promise<Upload>
  /** Takes a part, `number` 1 to 10,000 (else `invalid`); the last one of a number that was wholly there counts. */
  part(path: StorePath, id: string, number: number, body: Body, options?: UploadPartOptions): Promise<UploadPart>
  /** The same with a part of a stored file. Throws like `PartRooms.putFrom`. */
  partFrom(
    path: StorePath,
    id: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options?: UploadPartOptions,
  ): Promise<UploadPart>
  /** `PartRooms.presign`: undefined where parts come through this server. */
  offer(
    path: StorePath,
    id: string,
    number: number,
    promise: PartPromise,
    expiresSeconds: number,
  ): Promise<PresignedPart | undefined>
  /** Takes a part that came so, as `part` does; undefined where it has not come. Throws `bad-digest` like `PartRooms.adopt`. */
  adopt(
    path: StorePath,
    id: string,
    number: number,
    promise: PartPromise,
    options?: UploadPartOptions,
  ): Promise<UploadPart | undefined>
  /** In the order of their numbers, in batches; with `after`, only those behind that number. */
  parts(path: StorePath, id: string, after?: number): AsyncIterable<readonly UploadPart[]>
  /**
   * Puts the file in place out of these parts, in this order; the upload is over then, and to complete it again gives
   * the same for an hour. Throws like `Store.write`, and `invalid` (`InvalidPart`) where one is not there or not as told.
   */
  complete(path: StorePath, id: string, order: readonly UploadPart[], options?: WriteOptions): Promise<Written>
  abort(path: StorePath, id: string): Promise<void>
  /** Uploads below a directory, by path in S3 order, then by id, in batches; with `after`, only those behind it. */
  list(
    directory: StorePath,
    options?: { readonly prefix?: string; readonly after?: { readonly path: string; readonly id?: string } },
  ): AsyncIterable<readonly Upload[]>
}

export interface UploadPartOptions extends PartOptions {
  /** Bytes that all parts which were taken with such a bound may have together: throws `too-large` over that. */
  readonly mostTogether?: number
}

/** What is decided when an upload begins. */
export interface UploadFacts {
  /** The principal who begins it. */
  readonly owner: string
  /** Of the file to be. */
  readonly attributes: Attributes
  /** Its bytes, where they are known: what would be refused in the end is refused at once. Not remembered. */
  readonly size?: number
  /** What a protocol wants to know again at each part, as it was given. */
  readonly notes?: Readonly<Record<string, string>>
}

export interface Upload extends UploadFacts {
  /** `[0-9a-z]`, not to be guessed. */
  readonly id: string
  readonly path: StorePath
  /** Milliseconds since the epoch. */
  readonly begun: number
}

export interface UploadPart {
  readonly number: number
  /** Bytes. */
  readonly size: number
  readonly digests: Digests
  /** Milliseconds since the epoch. */
  readonly modified: number
}
