import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import { atMost, tooLarge } from './at-most.js'
import { bound } from './bound.js'
import type { PartPromise, PartRooms } from './part-rooms.js'
import type { Body, Piece, PresignRequest, Store, Transfer, WriteOptions } from './store.js'

/** What one store of a tree is not used for. */
export interface StoreLimits {
  /** Nothing is made, changed or removed: `denied`. */
  readonly readOnly?: boolean
  /** New files have at most so many bytes: `too-large`. Those that are there already may be larger. */
  readonly maxFileBytes?: number
}

/**
 * A store with limits that hold for everybody. A file that is too large is refused before its body is pulled where the
 * length is known, else at the first byte too many. Without limits it is the store itself.
 */
export function limited(store: Store, { readOnly = false, maxFileBytes }: StoreLimits): Store {
  if (readOnly) return readOnlyStore(store)
  return maxFileBytes === undefined ? store : boundedStore(store, maxFileBytes)
}

function readOnlyStore(store: Store): Store {
  const plain = bound(store)
  const { removeTree, moveTree, copyTree, assemble, parts, presign } = plain
  // A cause of its own for each: a copy names the end that may not be written, a move the end that may not go.
  const refuse = async (path: StorePath): Promise<never> => Promise.reject(readOnlyHere(path))
  const refuseTarget = async (_: StorePath, to: StorePath): Promise<never> => refuse(to)
  return {
    ...plain,
    write: refuse,
    change: refuse,
    makeDirectory: refuse,
    remove: refuse,
    copy: refuseTarget,
    move: refuseTarget,
    permits: async (action, path) => (action === 'read' || action === 'list') && store.permits(action, path),
    ...(removeTree && { removeTree: refuse }),
    ...(moveTree && { moveTree: refuseTarget }),
    ...(copyTree && { copyTree: refuseTarget }),
    ...(assemble && { assemble: refuse }),
    ...(parts && { parts: readOnlyRooms(parts) }),
    ...(presign && {
      presign: async (request: PresignRequest) => (request.method === 'GET' ? presign(request) : refuse(request.path)),
    }),
  }
}

/** What was begun before the store was made read-only can be given up. */
function readOnlyRooms(parts: PartRooms): PartRooms {
  const refuse = async (): Promise<never> => Promise.reject(readOnlyHere())
  return {
    open: async (path) => Promise.reject(readOnlyHere(path)),
    put: refuse,
    putFrom: refuse,
    become: async (_, path) => Promise.reject(readOnlyHere(path)),
    drop: (room, part) => parts.drop(room, part),
    close: (room, bytes) => parts.close(room, bytes),
    list: () => parts.list(),
    ...(parts.presign && { presign: refuse }),
    ...(parts.adopt && { adopt: refuse }),
  }
}

function readOnlyHere(path?: StorePath): Failure {
  return new Failure('denied', 'This part of the tree is read-only.', path === undefined ? {} : { path })
}

function boundedStore(store: Store, most: number): Store {
  const plain = bound(store)
  const { copyTree, assemble, parts, presign } = plain

  function check(length: number | undefined): void {
    if (length !== undefined && length > most) throw tooLarge(most)
  }

  /** Whether a file below a directory is too large to be copied. */
  async function holdsTooLarge(directory: StorePath, signal: AbortSignal | undefined): Promise<boolean> {
    const options = { depth: 'infinity', ...(signal !== undefined && { signal }) } as const
    for await (const entries of store.list(directory, options)) if (entries.some(({ size }) => size > most)) return true
    return false
  }

  return {
    ...plain,
    async write(path, body, options = {}) {
      check(options.length)
      return store.write(path, atMost(body, most), options)
    },
    async copy(from, to, options: Transfer) {
      check((await store.stat(from, options.signal))?.size)
      return store.copy(from, to, options)
    },
    ...(copyTree && {
      async copyTree(from: StorePath, to: StorePath, signal?: AbortSignal) {
        const source = await store.stat(from, signal)
        if (source?.kind === 'directory' && (await holdsTooLarge(from, signal)))
          throw new Failure('unsupported', 'Some of these files are too large to be copied.')
        return copyTree(from, to, signal)
      },
    }),
    ...(assemble && {
      async assemble(to: StorePath, pieces: readonly Piece[], options: WriteOptions = {}) {
        check(options.length)
        let room = most
        for (const piece of pieces) if ('from' in piece) room -= Math.max(0, piece.range.end - piece.range.start)
        check(most - room)
        const count = sharedBound(room, most)
        const bounded = pieces.map((piece) => ('body' in piece ? { body: count(piece.body) } : piece))
        return assemble(to, bounded, options)
      },
    }),
    ...(parts && { parts: boundedRooms(parts, most, check) }),
    ...(presign && {
      async presign(request: PresignRequest) {
        // Nobody would count what comes by such a URL.
        if (request.method === 'PUT') throw new Failure('unsupported', 'Files are limited in size here.')
        return presign(request)
      },
    }),
  }
}

function boundedRooms(parts: PartRooms, most: number, check: (length: number | undefined) => void): PartRooms {
  const { presign } = parts
  return {
    ...parts,
    async open(path, size) {
      check(size)
      return parts.open(path, size)
    },
    ...(presign && {
      async presign(room: string, number: number, promise: PartPromise, expiresSeconds: number) {
        check(promise.size)
        return presign(room, number, promise, expiresSeconds)
      },
    }),
    async put(room, number, body, options = {}) {
      check(options.length)
      return parts.put(room, number, atMost(body, most), options)
    },
    async putFrom(room, number, from, range, options) {
      check(range.end - range.start)
      return parts.putFrom(room, number, from, range, options)
    },
    async become(room, path, stored, options) {
      check(stored.reduce((sum, { size }) => sum + size, 0))
      return parts.become(room, path, stored, options)
    },
  }
}

/** Bodies that may have so many bytes together. */
function sharedBound(room: number, most: number): (body: Body) => Body {
  let left = room
  return async function* (body) {
    for await (const chunk of body) {
      left -= chunk.byteLength
      if (left < 0) throw tooLarge(most)
      yield chunk
    }
  }
}
