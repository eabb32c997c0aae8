import type { FileRange } from '../core/http.js'
import type { StorePath } from '../core/path.js'
import type { PartRooms } from './part-rooms.js'

/** What a grant can allow. */
export type Action = 'read' | 'list' | 'create' | 'replace' | 'delete'

/**
 * Bytes and names of one tree. Knows no HTTP, user, lock or XML. Deals with one file or one directory at a time; trees
 * are `store/tree.ts`. Every method throws only `Failure`: `unavailable` where the medium cannot be reached, `denied`
 * where the medium itself refuses, `no-space` where it is full or a quota is used up, and what is said beside each.
 * Names that a store keeps for itself, symbolic links, devices, sockets and fifos are absent: not listed, `stat` gives
 * undefined, `open` throws `not-found`; writing to such a name is `denied`. The same holds below a file, except that making
 * a name there is `not-directory`. The root is always there: to remove or move it is `denied`, to write it `is-directory`. An aborted signal throws
 * `incomplete` with the signal's reason as its cause, or that reason itself where it is a `Failure`; what `body` and
 * `beforeCommit` throw is passed on as it is. Failures of `copy` and `move` carry the path of the end at
 * fault, or of what is wrong above it.
 */
export interface Store {
  /** The entry, or undefined where there is none. */
  stat(path: StorePath, signal?: AbortSignal): Promise<Entry | undefined>

  /**
   * The members of a directory in batches; throws `not-found` or `not-directory`. A member that cannot be looked at is
   * left out. `order: 'key'` is S3 order: UTF-8 bytes of the whole path, a directory counting as its name + '/' (`store/key-order.ts`);
   * `'any'` (the default) as the medium gives them. With `depth: 'infinity'` all descendants come, a directory before
   * its members. Members may come and go meanwhile: those that stay are listed once. Batches are never empty. Memory
   * stays flat with `'any'`.
   */
  list(directory: StorePath, options?: ListOptions): AsyncIterable<readonly Entry[]>

  /**
   * Opens a file to read: entry and bytes come from the same open file. Throws `not-found`, `is-directory`;
   * `precondition` when `ifMatch` or `ifNoneMatch` fail. The caller must close what it gets.
   */
  open(path: StorePath, options?: OpenOptions): Promise<Content>

  /**
   * Puts a file in place, all or nothing: if `body` throws, the signal aborts, a condition or `beforeCommit` fails, the
   * old content stays and nothing is left behind, new parents neither. When it resolves the file is as durable as the
   * store was told to be. What is known to fail beforehand is refused before the body is pulled. Throws `no-parent`
   * (unless `parents`), `not-directory` for a parent that is a file, `precondition` (judged before the kind of what is
   * there), `is-directory`, `incomplete` where `length` is not what came.
   */
  write(path: StorePath, body: Body, options?: WriteOptions): Promise<Written>

  /**
   * Changes what is known of an entry, not its bytes; what is not named stays. The etag may change, and over S3 the time.
   * Throws `not-found`, `precondition`; `unsupported` where the medium cannot keep all of it, and nothing is changed then.
   */
  change(path: StorePath, change: EntryChange): Promise<Entry>

  /** Makes one directory. Throws `exists` (whatever is there), `no-parent`, `not-directory`. */
  makeDirectory(path: StorePath, signal?: AbortSignal): Promise<Entry>

  /** Removes a file or an empty directory. Throws `not-found`, `not-empty`; `precondition` where `ifMatch` fails. */
  remove(path: StorePath, options?: RemoveOptions): Promise<void>

  /**
   * Copies one file with its attributes and its executable flag, modified now, or makes the directory alone (without
   * members). All or nothing. Throws `not-found`, `no-parent`, `not-directory` for a parent that is a file, `denied` onto
   * itself, `exists` where something is there and `overwrite` is false or both are directories, `is-directory` for a file
   * onto a directory, `not-directory` for a directory onto a file.
   */
  copy(from: StorePath, to: StorePath, options: Transfer): Promise<Written>

  /**
   * Moves one file, in one step where the medium can. Etag and modified time stay (over S3 the time is now). Throws like
   * `copy`, and `is-directory` for a directory: those move only through `moveTree`.
   */
  move(from: StorePath, to: StorePath, options: Transfer): Promise<Written>

  /** What the medium itself would allow: access(2) under privilege separation, true elsewhere. */
  permits(action: Action, path: StorePath): Promise<boolean>

  close(): Promise<void>

  /** How many members of a tree are worth working on at once; 4 where it does not say. */
  readonly concurrency?: number | undefined

  // Abilities that not every medium has: the method is then absent, or undefined.

  /** Makes all that was copied with `settle: 'later'` durable, at once. */
  readonly settle?: (() => Promise<void>) | undefined

  /**
   * Removes a whole tree (a file is a tree of one) in what looks like one step. Only for callers who may delete all below
   * and know of no lock there. Throws `not-found`; `denied`, or `unsupported` where it must be done member by member
   * (nothing is gone then).
   */
  readonly removeTree?: ((path: StorePath, signal?: AbortSignal) => Promise<void>) | undefined

  /**
   * Moves a whole tree (a file is a tree of one) in one step; etags and modified times of all files stay. The target must
   * not exist (`exists`). Throws `not-found`, `no-parent`, `not-directory` for a parent that is a file, `denied` into itself,
   * `elsewhere` where it is on another medium, `unsupported` where it must be done member by member.
   */
  readonly moveTree?: ((from: StorePath, to: StorePath) => Promise<Written>) | undefined

  /**
   * Copies a directory with all below it, like `copy` each, to where nothing is: durable, and in what looks like one step.
   * Only for callers who may read all below, and create all below the target, and know of no lock there. All or nothing.
   * Throws `not-found`, `not-directory` for a source that is a file, like `copy` for the target, `denied` into itself,
   * `no-space`; `unsupported` where it must be done member by member, as where one of them cannot be read.
   */
  readonly copyTree?: ((from: StorePath, to: StorePath, signal?: AbortSignal) => Promise<Written>) | undefined

  /** Room for the parts of files that come in pieces. */
  readonly parts?: PartRooms | undefined

  /**
   * Computes digests over the bytes of a file and remembers them, so that its entry shows them for as long as the file
   * stays as it is; gives those asked for and those known already. The entry does not change. Throws `not-found`,
   * `is-directory`; `precondition` where the file changes meanwhile.
   */
  readonly digest?:
    ((path: StorePath, names: readonly DigestName[], signal?: AbortSignal) => Promise<Digests>) | undefined

  /**
   * Puts a file in place out of pieces of stored files and new bytes, in order: PATCH, append, multipart. All or nothing,
   * and throwing like `write`; `to` may be one of the pieces. Throws `not-found`, `is-directory` or `bad-range` (a range
   * that does not lie within the file) with the path of a piece at fault.
   */
  readonly assemble?:
    ((to: StorePath, pieces: readonly Piece[], options?: WriteOptions) => Promise<Written>) | undefined

  /** Bytes used below and still available at a directory, as far as known. Throws `not-found`. */
  readonly space?: ((path: StorePath) => Promise<Space>) | undefined

  /** A URL at which the medium itself takes or gives the bytes. */
  readonly presign?: ((request: PresignRequest) => Promise<URL>) | undefined
}

/** Chunks may be kept: nobody changes one after it was given. The same holds for the bytes of a `Content`. */
export type Body = AsyncIterable<Uint8Array>

export interface Entry {
  readonly path: StorePath
  readonly kind: 'file' | 'directory'
  /** Bytes; 0 for a directory. */
  readonly size: number
  /** Milliseconds since the epoch; of a directory 0 where the medium does not know. */
  readonly modified: number
  /** Milliseconds since the epoch, where the medium knows. */
  readonly created?: number
  /** Strong, without quotes; changes with every write, of equal bytes too (over S3 only with the bytes). Of printable ASCII without `"`, `\` and spaces. */
  readonly etag: string
  /** Files: someone may execute it. */
  readonly executable?: boolean
  /** Only those known without reading the bytes. */
  readonly digests?: Digests
  readonly attributes?: Attributes
  /** Another store begins here, or somewhere below (`store/mounts.ts`): a directory that cannot be removed, moved or replaced. */
  readonly mount?: 'here' | 'below'
}

/** What travels with a file beside its bytes. Names are lower case: `content-type`, `cache-control`, `x-amz-meta-…`, tags. At most 32 KiB. */
export type Attributes = Readonly<Record<string, string>>

export type DigestName = 'md5' | 'sha1' | 'sha256' | 'sha512' | 'crc32' | 'crc32c' | 'crc64nvme'

/** Raw digests by name; CRCs big-endian. */
export type Digests = Readonly<Partial<Record<DigestName, Uint8Array>>>

export interface ListOptions {
  readonly order?: 'key' | 'any'
  readonly depth?: 1 | 'infinity'
  /** Only entries whose path begins with this text. */
  readonly prefix?: string
  /** Only entries whose key comes after this text; with `order: 'key'` only. */
  readonly after?: string
  /** Entries carry digests and attributes too, as `stat` gives them (over S3 those of directories only). */
  readonly noted?: boolean
  readonly signal?: AbortSignal
}

export interface OpenOptions {
  readonly ifMatch?: readonly string[]
  readonly ifNoneMatch?: readonly string[]
  /** Perhaps no bytes are wanted, or not all: a store that is far away then waits until it is told which. */
  readonly lazy?: boolean
  /** The bytes that will most likely be asked for, to the end where none is named: a store that is far away gets just them. */
  readonly part?: { readonly start: number; readonly end?: number }
  readonly signal?: AbortSignal
}

/** Byte positions `[start, end)`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface Content {
  readonly entry: Entry
  /**
   * All of it, or a part that lies within it; a small one may come as it is. A `FileRange` takes over the open file:
   * `close` of this content is then a no-op. Call once.
   */
  bytes(range?: ByteRange): Uint8Array | FileRange | AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/**
 * Conditions on the present state of the target, judged in the same step as the commit; all must hold. ETags without
 * quotes, `*` for any. Where nothing is, `ifMatch` fails and the others hold.
 */
export interface Conditions {
  readonly ifMatch?: '*' | readonly string[]
  readonly ifNoneMatch?: '*' | readonly string[]
  /** Milliseconds, compared by whole seconds. */
  readonly ifUnmodifiedSince?: number
}

export interface WriteOptions extends Conditions {
  /** Bytes to come, where known: checked, and refused early with `no-space` where it cannot fit. */
  readonly length?: number
  /** Milliseconds since the epoch; now by default, and over S3 in any case: `Written` tells which it is. */
  readonly modified?: number
  /** Make missing parents. */
  readonly parents?: boolean
  /** Without it a file stays what it was; a new one is not executable. */
  readonly executable?: boolean
  /** Replace all attributes; none by default. Committed with the bytes. */
  readonly attributes?: Attributes
  /** Computed while streaming: only these. */
  readonly digests?: readonly DigestName[]
  /**
   * Digests of all the bytes, which whoever makes the body has computed: asked for once, after its end, and kept like
   * computed ones.
   */
  readonly knownDigests?: () => Digests
  /** The last word before the new content takes the name: body hash, trailers, locks again, quota. If it throws, nothing happened. */
  readonly beforeCommit?: (staged: Staged) => Promise<void>
  readonly signal?: AbortSignal
}

export interface Staged {
  readonly size: number
  readonly digests: Digests
}

export interface Written {
  readonly entry: Entry
  /** Nothing had that name before. */
  readonly created: boolean
}

export interface EntryChange {
  /** Of a file: only while its etag is one of these. */
  readonly ifMatch?: readonly string[]
  /** Milliseconds since the epoch. */
  readonly modified?: number
  readonly executable?: boolean
  /** Replaces all attributes. */
  readonly attributes?: Attributes
}

export interface RemoveOptions {
  readonly ifMatch?: readonly string[]
  readonly signal?: AbortSignal
}

export interface Transfer {
  /** Take the place of a file that is there; else `exists`. */
  readonly overwrite: boolean
  /** `now` by default; `later` leaves durability to one `settle` for many. A source on another medium goes only once its copy is durable. */
  readonly settle?: 'now' | 'later'
  readonly signal?: AbortSignal
}

export interface Space {
  readonly used?: number
  readonly available?: number
}

/** A part of a stored file, or new bytes. */
export type Piece = { readonly from: StorePath; readonly range: ByteRange } | { readonly body: Body }

export interface PresignRequest {
  readonly method: 'GET' | 'PUT'
  readonly path: StorePath
  readonly expiresSeconds: number
  readonly headers?: Readonly<Record<string, string>>
  /** Of a GET: headers that the answer shall have, as S3 names them: `response-content-type`, `response-content-disposition`. */
  readonly responses?: Readonly<Record<string, string>>
}
