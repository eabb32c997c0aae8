import type { GuardedSet } from './guard.js'
import type { LocksForCallers, PropertiesForCallers } from './guarded-records.js'
import type { Permit } from './permit.js'
import type { Lock } from '../catalog/locks.js'
import type { Upload, UploadPart, Uploads } from '../catalog/uploads.js'
import { Failure } from '../core/failure.js'
import { isOwnPath, isWithin, maxPathBytes, rebase, rootPath, type StorePath } from '../core/path.js'
import type { Entry, ListOptions, OpenOptions, RemoveOptions, Store, Transfer, Written } from '../store/store.js'

/** What a protocol holds of a caller who has a home: every path in it is one below the home. */
export interface HomeSet extends GuardedSet {
  readonly permit: Permit
}

/**
 * The same files, locks, properties, uploads and rights with a home as their root. Paths that come in get the home in front, and
 * those that go out lose it, in failures too, so a protocol knows of no home and cannot name anything outside. What
 * stands above the home, as a lock on its parent, shows as the root. Behind the guard: grants see whole paths.
 */
export function belowHome(set: GuardedSet, permit: Permit, home: StorePath): HomeSet {
  const paths = new HomePaths(home)
  return {
    store: homeStore(set.store, paths),
    locks: homeLocks(set.locks, paths),
    properties: homeProperties(set.properties, paths),
    uploads: homeUploads(set.uploads, paths),
    permit: homePermit(permit, paths),
  }
}

/** Translates between paths below a home and whole ones. */
class HomePaths {
  readonly #home: StorePath
  readonly #translated = new WeakSet<Failure>()

  constructor(home: StorePath) {
    this.#home = home
  }

  /** The whole path. Throws `invalid` where that is too long, and `denied` for the part of the namespace that is Postern's own. */
  whole(path: StorePath): StorePath {
    if (isOwnPath(path)) throw new Failure('denied', "Everything below /-/ is Postern's own.", { path })
    const whole = rebase(path, rootPath, this.#home)
    if (whole.length * 3 > maxPathBytes && Buffer.byteLength(whole) > maxPathBytes)
      throw new Failure('invalid', 'The path is too long.')
    return path === rootPath ? this.#home : whole
  }

  below(whole: StorePath): StorePath {
    return isWithin(whole, this.#home) ? rebase(whole, this.#home, rootPath) : rootPath
  }

  entry(entry: Entry): Entry {
    return { ...entry, path: this.below(entry.path) }
  }

  written({ entry, created }: Written): Written {
    return { entry: this.entry(entry), created }
  }

  lock(lock: Lock): Lock {
    return { ...lock, path: this.below(lock.path) }
  }

  upload(upload: Upload): Upload {
    return { ...upload, path: this.below(upload.path) }
  }

  /** Waits for work on whole paths and translates what it throws, once: callbacks within it work below the home. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      throw this.#translate(error)
    }
  }

  async *each<From, To>(batches: AsyncIterable<From>, translate: (batch: From) => To | undefined): AsyncGenerator<To> {
    try {
      for await (const batch of batches) {
        const translated = translate(batch)
        if (translated !== undefined) yield translated
      }
    } catch (error) {
      throw this.#translate(error)
    }
  }

  #translate(error: unknown): unknown {
    if (!(error instanceof Failure) || error.path === undefined || this.#translated.has(error)) return error
    const { kind, message, reason, path, retryAfterSeconds, size, challenges } = error
    const translated = new Failure(kind, message, {
      ...(reason !== undefined && { reason }),
      path: this.below(path),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      ...(size !== undefined && { size }),
      ...(challenges !== undefined && { challenges }),
      cause: error.cause ?? error,
    })
    this.#translated.add(translated)
    return translated
  }
}

/** An ability is there where the store has it. */
function homeStore(store: Store, paths: HomePaths): Store {
  const { removeTree, moveTree, copyTree, assemble, space, presign } = store
  return {
    // What is Postern's own is absent, as on every store.
    stat: (path: StorePath, signal?: AbortSignal) =>
      paths.run(async () => {
        const entry = isOwnPath(path) ? undefined : await store.stat(paths.whole(path), signal)
        return entry && paths.entry(entry)
      }),
    list: (directory: StorePath, options?: ListOptions) => listBelow(store, paths, directory, options),
    open: (path: StorePath, options?: OpenOptions) =>
      paths.run(async () => {
        const content = await store.open(paths.whole(path), options)
        return {
          entry: paths.entry(content.entry),
          bytes: (range) => content.bytes(range),
          close: () => content.close(),
        }
      }),
    write: (path, body, options) =>
      paths.run(async () => paths.written(await store.write(paths.whole(path), body, options))),
    change: (path, change) => paths.run(async () => paths.entry(await store.change(paths.whole(path), change))),
    makeDirectory: (path: StorePath, signal?: AbortSignal) =>
      paths.run(async () => paths.entry(await store.makeDirectory(paths.whole(path), signal))),
    remove: (path: StorePath, options?: RemoveOptions) =>
      paths.run(async () => store.remove(paths.whole(notRoot(path)), options)),
    copy: (from: StorePath, to: StorePath, options: Transfer) =>
      paths.run(async () => paths.written(await store.copy(paths.whole(from), paths.whole(to), options))),
    move: (from: StorePath, to: StorePath, options: Transfer) =>
      paths.run(async () => paths.written(await store.move(paths.whole(notRoot(from)), paths.whole(to), options))),
    permits: async (action, path) => !isOwnPath(path) && store.permits(action, paths.whole(path)),
    close: () => store.close(),
    ...(store.settle && { settle: () => paths.run(async () => store.settle?.()) }),
    ...(removeTree && {
      removeTree: (path: StorePath, signal?: AbortSignal) =>
        paths.run(async () => removeTree.call(store, paths.whole(notRoot(path)), signal)),
    }),
    ...(moveTree && {
      moveTree: (from: StorePath, to: StorePath) =>
        paths.run(async () => paths.written(await moveTree.call(store, paths.whole(notRoot(from)), paths.whole(to)))),
    }),
    ...(copyTree && {
      copyTree: (from: StorePath, to: StorePath, signal?: AbortSignal) =>
        paths.run(async () => paths.written(await copyTree.call(store, paths.whole(from), paths.whole(to), signal))),
    }),
    ...(assemble && {
      assemble: (to, pieces, options) =>
        paths.run(async () => {
          const whole = pieces.map((piece) => ('from' in piece ? { ...piece, from: paths.whole(piece.from) } : piece))
          return paths.written(await assemble.call(store, paths.whole(to), whole, options))
        }),
    }),
    ...(space && { space: (path: StorePath) => paths.run(async () => space.call(store, paths.whole(path))) }),
    ...(presign && {
      presign: (request) => paths.run(async () => presign.call(store, { ...request, path: paths.whole(request.path) })),
    }),
  }
}

async function* listBelow(
  store: Store,
  paths: HomePaths,
  directory: StorePath,
  options: ListOptions = {},
): AsyncGenerator<readonly Entry[]> {
  const whole = paths.whole(directory)
  const home = paths.whole(rootPath)
  const { prefix, after } = options
  const batches = store.list(whole, {
    ...options,
    ...(prefix !== undefined && { prefix: home + prefix }),
    ...(after !== undefined && { after: home + after }),
  })
  yield* paths.each(batches, (entries) => {
    const shown = entries.map((entry) => paths.entry(entry)).filter(({ path }) => !isOwnPath(path))
    return shown.length === 0 ? undefined : shown
  })
}

function notRoot(path: StorePath): StorePath {
  if (path === rootPath) throw new Failure('denied', 'The root cannot be removed or moved.', { path })
  return path
}

function homeLocks(locks: LocksForCallers, paths: HomePaths): LocksForCallers {
  return {
    take: (request) =>
      paths.run(async () => paths.lock(await locks.take({ ...request, path: paths.whole(request.path) }))),
    refresh: (path, holder, timeoutSeconds) =>
      paths.run(async () => paths.lock(await locks.refresh(paths.whole(path), holder, timeoutSeconds))),
    release: (path, token, principal) => paths.run(async () => locks.release(paths.whole(path), token, principal)),
    covering: (path) =>
      paths.run(async () => (await locks.covering(paths.whole(path))).map((lock) => paths.lock(lock))),
    below: (path) => paths.each(locks.below(paths.whole(path)), (found) => found.map((lock) => paths.lock(lock))),
    members: (directory) =>
      paths.run(async () => {
        const members = await locks.members(paths.whole(directory))
        return new Map(
          [...members].map(([path, found]) => [paths.below(path), found.map((lock) => paths.lock(lock))] as const),
        )
      }),
  }
}

function homeProperties(properties: PropertiesForCallers, paths: HomePaths): PropertiesForCallers {
  return {
    of: (path) => paths.run(async () => properties.of(paths.whole(path))),
    members: (directory) =>
      paths.run(async () => {
        const members = await properties.members(paths.whole(directory))
        return new Map([...members].map(([path, found]) => [paths.below(path), found] as const))
      }),
    change: (path, changes) => paths.run(async () => properties.change(paths.whole(path), changes)),
  }
}

function homeUploads(uploads: Uploads, paths: HomePaths): Uploads {
  return {
    begin: (path, facts) => paths.run(async () => paths.upload(await uploads.begin(paths.whole(path), facts))),
    find: (path, id) => paths.run(async () => paths.upload(await uploads.find(paths.whole(path), id))),
    part: (path, id, number, body, options) =>
      paths.run(async () => uploads.part(paths.whole(path), id, number, body, options)),
    partFrom: (path, id, number, from, range, options) =>
      paths.run(async () => uploads.partFrom(paths.whole(path), id, number, paths.whole(from), range, options)),
    offer: (path, id, number, promise, expiresSeconds) =>
      paths.run(async () => uploads.offer(paths.whole(path), id, number, promise, expiresSeconds)),
    adopt: (path, id, number, promise, options) =>
      paths.run(async () => uploads.adopt(paths.whole(path), id, number, promise, options)),
    parts: (path, id, after) => eachPart(uploads, paths, path, id, after),
    complete: (path, id, order, options) =>
      paths.run(async () => paths.written(await uploads.complete(paths.whole(path), id, order, options))),
    abort: (path, id) => paths.run(async () => uploads.abort(paths.whole(path), id)),
    list: (directory, options) => listUploadsBelow(uploads, paths, directory, options),
  }
}

async function* eachPart(
  uploads: Uploads,
  paths: HomePaths,
  path: StorePath,
  id: string,
  after: number | undefined,
): AsyncGenerator<readonly UploadPart[]> {
  yield* paths.each(uploads.parts(paths.whole(path), id, after), (parts) => parts)
}

async function* listUploadsBelow(
  uploads: Uploads,
  paths: HomePaths,
  directory: StorePath,
  { prefix, after }: NonNullable<Parameters<Uploads['list']>[1]> = {},
): AsyncGenerator<readonly Upload[]> {
  const home = paths.whole(rootPath)
  const batches = uploads.list(paths.whole(directory), {
    ...(prefix !== undefined && { prefix: home + prefix }),
    ...(after !== undefined && { after: { ...after, path: home + after.path } }),
  })
  yield* paths.each(batches, (found) => {
    const shown = found.map((upload) => paths.upload(upload)).filter(({ path }) => !isOwnPath(path))
    return shown.length === 0 ? undefined : shown
  })
}

function homePermit(permit: Permit, paths: HomePaths): Permit {
  return {
    allows: (action, path, collection) => !isOwnPath(path) && permit.allows(action, paths.whole(path), collection),
    allowsAllBelow: (action, path) => !isOwnPath(path) && permit.allowsAllBelow(action, paths.whole(path)),
    mayAllowBelow: (path) => !isOwnPath(path) && permit.mayAllowBelow(paths.whole(path)),
    explain: (action, path) => (isOwnPath(path) ? undefined : permit.explain(action, paths.whole(path))),
  }
}
