import type { StorePath } from '../core/path.js'
import type { Body, ByteRange, Digests, WriteOptions, Written } from './store.js'

/**
 * Rooms in which the parts of one file gather, in any order and several at a time, until they become the file (S3
 * multipart uploads). A room knows nothing of callers and conditions: whoever names one must know that it belongs to the
 * path. Rooms outlive the process; nobody sees them in the tree. All methods throw `not-found` where there is no such room.
 */
export interface PartRooms {
  /** Makes a room for parts of a file at that path, as near to where it will be as can be; gives its name, `[0-9a-z]{1,64}`. With `size`, the bytes of that file, throws now what would be thrown for the last part. */
  open(path: StorePath, size?: number): Promise<string>

  /**
   * Takes one part, all or nothing; as durable as the store was told to be when it resolves. A number may come again,
   * also while it is still coming: each call keeps a part of its own. Throws like `Store.write`.
   */
  put(room: string, number: number, body: Body, options?: PartOptions): Promise<StoredPart>

  /** The same with a part of a stored file. Throws `not-found`, `is-directory`, `bad-range`. */
  putFrom(room: string, number: number, from: StorePath, range: ByteRange, options?: PartOptions): Promise<StoredPart>

  /**
   * A request with which its holder gives a part to the medium itself, which takes nothing but those bytes; undefined where
   * there is no such way, or nothing could be verified. There is one place for each number: what lies there stays until
   * the part is dropped.
   */
  readonly presign?:
    | ((
        room: string,
        number: number,
        promise: PartPromise,
        expiresSeconds: number,
      ) => Promise<PresignedPart | undefined>)
    | undefined

  /**
   * Takes a part that came by such a request; undefined where there is none yet. One that is not what was promised is
   * removed: throws `bad-digest`.
   */
  readonly adopt?:
    | ((
        room: string,
        number: number,
        promise: PartPromise,
        options?: Pick<PartOptions, 'beforeCommit' | 'signal'>,
      ) => Promise<StoredPart | undefined>)
    | undefined

  /**
   * Puts a file in place out of parts, in this order, like `Store.write` with a body of all their bytes; the bytes are
   * moved, not copied, where they lie as they should. The room is gone then; where it throws, it is as it was. Throws
   * `not-found` where one of the parts is not there.
   */
  become(room: string, path: StorePath, parts: readonly StoredPart[], options?: WriteOptions): Promise<Written>

  /** Lets a part go that another one has taken the place of. Never throws for one that is gone. */
  drop(room: string, part: StoredPart): Promise<void>

  /** Removes a room with all that is in it; also where there is none. `bytes` is what its owner knows to be in it, for who counts. */
  close(room: string, bytes?: number): Promise<void>

  /** All rooms there are, in batches. */
  list(): AsyncIterable<readonly RoomEntry[]>
}

/** What a part that goes past this server will be. */
export interface PartPromise {
  /** Bytes, at least 1. */
  readonly size: number
  readonly sha256: Uint8Array
  /** For services that verify nothing else. */
  readonly md5?: Uint8Array
}

export interface PresignedPart {
  readonly url: URL
  readonly method: 'PUT'
  /** All of them are signed: they must be sent as they are. */
  readonly headers: Readonly<Record<string, string>>
}

export type PartOptions = Pick<WriteOptions, 'length' | 'digests' | 'knownDigests' | 'beforeCommit' | 'signal'>

/** What a room has kept of a part. */
export interface StoredPart {
  /** Where it lies, as the room knows it; at most 100 characters of printable ASCII. */
  readonly place: string
  /** Bytes. */
  readonly size: number
  readonly digests: Digests
}

export interface RoomEntry {
  readonly room: string
  /** Milliseconds since the epoch: when something was last put there. */
  readonly modified: number
}
