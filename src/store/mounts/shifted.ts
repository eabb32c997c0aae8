import { Failure } from '../../core/failure.js'
import { rebase, rootPath, type StorePath } from '../../core/path.js'
import { boundParts } from '../bound.js'
import { compareKeys } from '../key-order.js'
import type { PartPromise, PartRooms } from '../part-rooms.js'
import type {
  Body,
  Entry,
  ListOptions,
  Piece,
  PresignRequest,
  Staged,
  Store,
  Transfer,
  WriteOptions,
  Written,
} from '../store.js'

/**
 * The same store with its root at a path: it is asked for whole paths, all at or below that one, and gives such, in its
 * failures too. At `/` it is the store itself. Failures that callbacks and bodies throw have whole paths already and are
 * passed on as they are.
 */
export function shifted(store: Store, at: StorePath): Store {
  if (at === rootPath) return store
  const shift = new Shift(at)
  const { run, inner, written, entry } = shift
  const { settle, removeTree, moveTree, copyTree, parts, digest, assemble, space, presign } = store
  return {
    stat: (path, signal) =>
      run(signal, async () => {
        const found = await store.stat(inner(path), signal)
        return found && entry(found)
      }),
    list: (directory, options) => shift.list(store, directory, options),
    open: (path, options) =>
      run(options?.signal, async () => {
        const content = await store.open(inner(path), options)
        return {
          entry: entry(content.entry),
          bytes: (range) => content.bytes(range),
          close: () => content.close(),
        }
      }),
    write: (path, body, options) =>
      run(options?.signal, async (theirs) =>
        written(await store.write(inner(path), theirs.body(body), theirs.options(options))),
      ),
    change: (path, change) => run(undefined, async () => entry(await store.change(inner(path), change))),
    makeDirectory: (path, signal) => run(signal, async () => entry(await store.makeDirectory(inner(path), signal))),
    remove: (path, options) => run(options?.signal, () => store.remove(inner(path), options)),
    copy: (from, to, options: Transfer) =>
      run(options.signal, async () => written(await store.copy(inner(from), inner(to), options))),
    move: (from, to, options: Transfer) =>
      run(options.signal, async () => written(await store.move(inner(from), inner(to), options))),
    permits: (action, path) => store.permits(action, inner(path)),
    close: () => store.close(),
    ...(store.concurrency !== undefined && { concurrency: store.concurrency }),
    ...(settle && { settle: () => run(undefined, () => settle.call(store)) }),
    ...(removeTree && {
      removeTree: (path: StorePath, signal?: AbortSignal) =>
        run(signal, () => removeTree.call(store, inner(path), signal)),
    }),
    ...(moveTree && {
      moveTree: (from: StorePath, to: StorePath) =>
        run(undefined, async () => written(await moveTree.call(store, inner(from), inner(to)))),
    }),
    ...(copyTree && {
      copyTree: (from: StorePath, to: StorePath, signal?: AbortSignal) =>
        run(signal, async () => written(await copyTree.call(store, inner(from), inner(to), signal))),
    }),
    ...(parts && { parts: shiftedRooms(parts, shift) }),
    ...(digest && {
      digest: (path, names, signal) => run(signal, () => digest.call(store, inner(path), names, signal)),
    }),
    ...(assemble && {
      assemble: (to, pieces, options) =>
        run(options?.signal, async (theirs) => {
          const shiftedPieces = pieces.map((piece): Piece =>
            'from' in piece ? { ...piece, from: inner(piece.from) } : { body: theirs.body(piece.body) },
          )
          return written(await assemble.call(store, inner(to), shiftedPieces, theirs.options(options)))
        }),
    }),
    ...(space && { space: (path: StorePath) => run(undefined, () => space.call(store, inner(path))) }),
    ...(presign && {
      presign: (request: PresignRequest) =>
        run(undefined, () => presign.call(store, { ...request, path: inner(request.path) })),
    }),
  }
}

function shiftedRooms(parts: PartRooms, { run, inner, written }: Shift): PartRooms {
  const { presign, adopt } = boundParts(parts)
  return {
    open: (path, size) => run(undefined, () => parts.open(inner(path), size)),
    put: (room, number, body, options) =>
      run(options?.signal, (theirs) => parts.put(room, number, theirs.body(body), theirs.options(options))),
    putFrom: (room, number, from, range, options) =>
      run(options?.signal, (theirs) => parts.putFrom(room, number, inner(from), range, theirs.options(options))),
    become: (room, path, stored, options) =>
      run(options?.signal, async (theirs) =>
        written(await parts.become(room, inner(path), stored, theirs.options(options))),
      ),
    drop: (room, part) => run(undefined, () => parts.drop(room, part)),
    close: (room, bytes) => run(undefined, () => parts.close(room, bytes)),
    list: () => parts.list(),
    ...(presign && {
      presign: (room: string, number: number, promise: PartPromise, expiresSeconds: number) =>
        run(undefined, () => presign(room, number, promise, expiresSeconds)),
    }),
    ...(adopt && {
      adopt: (room: string, number: number, promise: PartPromise, options?: WriteOptions) =>
        run(options?.signal, (theirs) => adopt(room, number, promise, theirs.options(options))),
    }),
  }
}

/** Translates between whole paths and those of a store whose root has the path `at`. */
class Shift {
  readonly #at: StorePath

  constructor(at: StorePath) {
    this.#at = at
  }

  readonly inner = (path: StorePath): StorePath => rebase(path, this.#at, rootPath)

  readonly entry = (entry: Entry): Entry => ({ ...entry, path: this.#whole(entry.path) })

  readonly written = ({ entry, created }: Written): Written => ({ entry: this.entry(entry), created })

  /** Does work on inner paths, and gives the paths of its failures whole. */
  readonly run = async <Result>(
    signal: AbortSignal | undefined,
    work: (theirs: TheirFailures) => Promise<Result>,
  ): Promise<Result> => {
    const theirs = new TheirFailures()
    try {
      return await work(theirs)
    } catch (error) {
      throw theirs.have(error) || (signal?.aborted === true && error === signal.reason) ? error : this.#failure(error)
    }
  }

  async *list(store: Store, directory: StorePath, options: ListOptions = {}): AsyncGenerator<readonly Entry[]> {
    const { prefix, after, ...others } = options
    const inner = {
      ...others,
      ...(prefix !== undefined && { prefix: this.#innerPrefix(prefix) }),
      ...(after !== undefined && { after: this.#innerAfter(after) }),
    }
    try {
      for await (const batch of store.list(this.inner(directory), inner)) yield batch.map(this.entry)
    } catch (error) {
      throw options.signal?.aborted === true && error === options.signal.reason ? error : this.#failure(error)
    }
  }

  #whole(path: StorePath): StorePath {
    return rebase(path, rootPath, this.#at)
  }

  #innerPrefix(prefix: string): string {
    if (prefix.startsWith(this.#at)) return prefix.slice(this.#at.length)
    return this.#at.startsWith(prefix) ? '' : beyondAll
  }

  #innerAfter(after: string): string {
    if (after.startsWith(this.#at + '/')) return after.slice(this.#at.length)
    return compareKeys(after, this.#at + '/') < 0 ? '' : beyondAll
  }

  #failure(error: unknown): unknown {
    if (!(error instanceof Failure) || error.path === undefined) return error
    const { kind, message, reason, path, retryAfterSeconds, size, challenges } = error
    return new Failure(kind, message, {
      path: this.#whole(path),
      ...(reason !== undefined && { reason }),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      ...(size !== undefined && { size }),
      ...(challenges !== undefined && { challenges }),
      cause: error.cause ?? error,
    })
  }
}

/** A text that no path begins with, and that comes after every key: those begin with a slash. */
const beyondAll = '0'

/** What was thrown by the callbacks and bodies of one call. */
class TheirFailures {
  readonly #thrown = new Set<unknown>()

  have(error: unknown): boolean {
    return this.#thrown.has(error)
  }

  body(body: Body): Body {
    return {
      [Symbol.asyncIterator]: () => {
        const chunks = body[Symbol.asyncIterator]()
        return {
          next: () => chunks.next().catch(this.#note),
          return: async () => (await chunks.return?.()) ?? { done: true, value: undefined },
        }
      },
    }
  }

  options<Options extends { readonly beforeCommit?: (staged: Staged) => Promise<void> }>(
    options: Options | undefined,
  ): Options | undefined {
    const beforeCommit = options?.beforeCommit
    if (options === undefined || beforeCommit === undefined) return options
    return { ...options, beforeCommit: (staged: Staged) => beforeCommit(staged).catch(this.#note) }
  }

  readonly #note = (error: unknown): never => {
    this.#thrown.add(error)
    throw error
  }
}
