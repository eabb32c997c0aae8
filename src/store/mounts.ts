import { Failure, isFailure } from '../core/failure.js'
import { ancestorsOf, isWithin, parentOf, rootPath, toPath, type StorePath } from '../core/path.js'
import { throwIfAborted } from './aborted.js'
import { requireConditions } from './conditions.js'
import { copyAcross, copyDirectoryAcross, foreignBytes, moveAcross } from './mounts/across.js'
import { listMounted, madeUp } from './mounts/list.js'
import { MountedRooms } from './mounts/rooms.js'
import { MountTable } from './mounts/table.js'
import type { PartRooms } from './part-rooms.js'
import { exists, heldByMount, intoItself, isDirectory, notEmpty, notFound, refuseRoot, sameTarget } from './refusals.js'
import type {
  Action,
  Body,
  Content,
  Entry,
  EntryChange,
  ListOptions,
  OpenOptions,
  Piece,
  RemoveOptions,
  Space,
  Store,
  Transfer,
  WriteOptions,
  Written,
} from './store.js'

/** A store, and the path that its root has in the whole tree. */
export interface MountedStore {
  /** Decoded, such as `/archive`. */
  readonly path: string
  readonly store: Store
}

/**
 * One tree out of several stores; one must be mounted at `/`. A path belongs to the mount with the longest path at or
 * above it. What a store has below the mount point of another does not show. The directories that lead to a mount point are
 * always there; they and the mount point itself cannot be removed (`not-empty`, `denied`), moved or replaced. Files move between stores
 * as copies that are followed by a removal; trees do so member by member. An ability is there where one of the stores has it,
 * and throws `unsupported` for the others. A single store is given back as it is. Throws `invalid` for mounts that make no tree.
 */
export function mountStores(mounts: readonly MountedStore[]): Store {
  const table = new MountTable(mounts.map(({ path, store }) => ({ path: toPath(path), store })))
  const [only, ...others] = mounts
  return only !== undefined && others.length === 0 ? only.store : new MountsStore(table)
}

/** Those abilities whose absence a caller must be able to see. */
type Optional = 'settle' | 'removeTree' | 'moveTree' | 'copyTree' | 'digest' | 'assemble' | 'space' | 'presign'

class MountsStore implements Store {
  readonly #table: MountTable
  readonly parts: PartRooms | undefined
  readonly concurrency: number | undefined
  readonly settle: Store['settle']
  readonly removeTree: Store['removeTree']
  readonly moveTree: Store['moveTree']
  readonly copyTree: Store['copyTree']
  readonly digest: Store['digest']
  readonly assemble: Store['assemble']
  readonly space: Store['space']
  readonly presign: Store['presign']

  constructor(table: MountTable) {
    this.#table = table
    const some = <Ability extends Optional>(name: Ability, method: Store[Ability]): Store[Ability] =>
      table.all.some(({ store }) => store[name] !== undefined) ? method : undefined
    this.parts = table.all.some(({ store }) => store.parts !== undefined) ? new MountedRooms(table) : undefined
    const known = table.all.flatMap(({ store }) => store.concurrency ?? [])
    this.concurrency = known.length > 0 ? Math.max(...known) : undefined
    this.settle = some('settle', () => this.#settle())
    this.removeTree = some('removeTree', (path, signal) => this.#removeTree(path, signal))
    this.moveTree = some('moveTree', (from, to) => this.#moveTree(from, to))
    this.copyTree = some('copyTree', (from, to, signal) => this.#copyTree(from, to, signal))
    this.assemble = some('assemble', (to, pieces, options) => this.#assemble(to, pieces, options))
    this.space = some('space', (path) => this.#space(path))
    this.digest = some('digest', async (path, names, signal) => {
      const { store } = table.of(path)
      if (table.isWay(path)) throw isDirectory(path)
      if (store.digest === undefined) throw unsupported(path)
      return store.digest(path, names, signal)
    })
    this.presign = some('presign', async (request) => {
      const { store } = table.of(request.path)
      if (table.isHeld(request.path)) throw isDirectory(request.path)
      if (store.presign === undefined) throw unsupported(request.path)
      if (request.method === 'PUT') await this.#makeWay(parentOf(request.path))
      return store.presign(request)
    })
  }

  async stat(path: StorePath, signal?: AbortSignal): Promise<Entry | undefined> {
    const { store } = this.#table.of(path)
    if (!this.#table.isHeld(path)) return store.stat(path, signal)
    const found = await store.stat(path, signal)
    if (path === rootPath) return found
    if (this.#table.at(path) !== undefined) return { ...(found ?? madeUp(path)), mount: 'here' }
    return found?.kind === 'directory' ? { ...found, mount: 'below' } : madeUp(path)
  }

  list(directory: StorePath, options?: ListOptions): AsyncIterable<readonly Entry[]> {
    return listMounted(this.#table, directory, options)
  }

  async open(path: StorePath, options?: OpenOptions): Promise<Content> {
    throwIfAborted(options?.signal)
    if (this.#table.isWay(path)) throw isDirectory(path)
    return this.#table.of(path).store.open(path, options)
  }

  async write(path: StorePath, body: Body, options: WriteOptions = {}): Promise<Written> {
    throwIfAborted(options.signal)
    await this.#refuseHeld(path, options)
    const { store } = this.#table.of(path)
    return this.#below(() => store.write(path, body, this.#withWay(path, options)))
  }

  async #assemble(to: StorePath, pieces: readonly Piece[], options: WriteOptions = {}): Promise<Written> {
    const { signal } = options
    throwIfAborted(signal)
    const target = this.#table.of(to)
    const { assemble } = target.store
    const ready: Piece[] = []
    for (const piece of pieces) {
      if ('from' in piece && this.#table.isWay(piece.from)) throw isDirectory(piece.from)
      const source = 'from' in piece ? this.#table.of(piece.from) : target
      if ('body' in piece || (source === target && assemble !== undefined)) ready.push(piece)
      else ready.push({ body: (await foreignBytes(source.store, piece.from, piece.range, signal)).body })
    }
    await this.#refuseHeld(to, options)
    const known = this.#withWay(to, options)
    if (assemble !== undefined) return this.#below(() => assemble.call(target.store, to, ready, known))
    const bodies = ready.flatMap((piece) => ('body' in piece ? [piece.body] : []))
    return this.#below(() => target.store.write(to, joined(bodies), known))
  }

  async change(path: StorePath, change: EntryChange): Promise<Entry> {
    const { store } = this.#table.of(path)
    if (!this.#table.isWay(path)) return store.change(path, change)
    await this.#makeWay(path)
    return { ...(await store.change(path, change)), mount: 'below' }
  }

  async makeDirectory(path: StorePath, signal?: AbortSignal): Promise<Entry> {
    throwIfAborted(signal)
    if (this.#table.isHeld(path)) throw exists(path)
    await this.#makeWay(parentOf(path))
    return this.#table.of(path).store.makeDirectory(path, signal)
  }

  async remove(path: StorePath, options: RemoveOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    if (path !== rootPath && this.#table.at(path) !== undefined) throw heldByMount(path)
    // Whoever empties directories then learns what keeps this one.
    if (this.#table.isWay(path)) throw notEmpty(path)
    await this.#table.of(path).store.remove(path, options)
  }

  async copy(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    throwIfAborted(options.signal)
    if (from === to && this.#table.isHeld(to)) throw sameTarget(to)
    await this.#refuseHeldTarget(from, to, options)
    const [source, target] = [this.#table.of(from).store, this.#table.of(to).store]
    await this.#makeWay(parentOf(to))
    if (this.#table.isHeld(from))
      return copyDirectoryAcross(await this.#existing(from, options.signal), target, to, options)
    if (source !== target) return copyAcross(source, target, from, to, options)
    return source.copy(from, to, settling(source, options))
  }

  async move(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    throwIfAborted(options.signal)
    refuseRoot(from)
    if (this.#table.isHeld(from)) throw heldByMount(from)
    await this.#refuseHeldTarget(from, to, options)
    const [source, target] = [this.#table.of(from).store, this.#table.of(to).store]
    await this.#makeWay(parentOf(to))
    if (source === target) return source.move(from, to, settling(source, options))
    return moveAcross(source, target, from, to, options)
  }

  async #moveTree(from: StorePath, to: StorePath): Promise<Written> {
    refuseRoot(from)
    if (isWithin(to, from)) throw intoItself(to)
    if (this.#table.isHeld(from)) throw heldByMount(from)
    await this.#refuseHeldTree(from, to)
    const { store } = this.#table.of(from)
    if (store !== this.#table.of(to).store) throw new Failure('elsewhere', 'That is in another store.', { path: to })
    if (store.moveTree === undefined) throw unsupported(from)
    await this.#makeWay(parentOf(to))
    return store.moveTree(from, to)
  }

  async #copyTree(from: StorePath, to: StorePath, signal?: AbortSignal): Promise<Written> {
    throwIfAborted(signal)
    if (isWithin(to, from)) throw intoItself(to)
    await this.#refuseHeldTree(from, to)
    const { store } = this.#table.of(from)
    const isInOne = store === this.#table.of(to).store && !this.#table.isHeld(from)
    if (store.copyTree === undefined || !isInOne) throw unsupported(from)
    await this.#makeWay(parentOf(to))
    return store.copyTree(from, to, signal)
  }

  async #removeTree(path: StorePath, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal)
    refuseRoot(path)
    if (this.#table.at(path) !== undefined) throw heldByMount(path)
    const { store } = this.#table.of(path)
    if (this.#table.isWay(path) || store.removeTree === undefined) throw unsupported(path)
    await store.removeTree(path, signal)
  }

  async #settle(): Promise<void> {
    for (const { store } of this.#table.all) await store.settle?.()
  }

  async #space(path: StorePath): Promise<Space> {
    const { path: root, store } = this.#table.of(path)
    const isMadeUp = this.#table.isWay(path) && (await store.stat(path))?.kind !== 'directory'
    if (store.space !== undefined) return store.space(isMadeUp ? root : path)
    await this.#existing(path)
    return {}
  }

  async permits(action: Action, path: StorePath): Promise<boolean> {
    const { path: root, store } = this.#table.of(path)
    if (!this.#table.isHeld(path) || path === rootPath) return store.permits(action, path)
    return action !== 'create' && action !== 'delete' && store.permits(action, root)
  }

  async close(): Promise<void> {
    let failed: { readonly error: unknown } | undefined
    for (const { store } of this.#table.all)
      await store.close().catch((error: unknown) => {
        failed ??= { error }
      })
    if (failed !== undefined) throw failed.error
  }

  async #existing(path: StorePath, signal?: AbortSignal): Promise<Entry> {
    const entry = await this.stat(path, signal)
    if (entry === undefined) throw notFound(path)
    return entry
  }

  /** Throws what a file gets that is to take the place of a directory, for those that are held. */
  async #refuseHeld(path: StorePath, options: WriteOptions): Promise<void> {
    if (!this.#table.isHeld(path)) return
    if (path !== rootPath) requireConditions(path, await this.#existing(path, options.signal), options)
    throw isDirectory(path)
  }

  async #refuseHeldTarget(from: StorePath, to: StorePath, { overwrite, signal }: Transfer): Promise<void> {
    if (!this.#table.isHeld(to)) return
    const { kind } = await this.#existing(from, signal)
    throw overwrite && kind === 'file' ? isDirectory(to) : exists(to)
  }

  async #refuseHeldTree(from: StorePath, to: StorePath): Promise<void> {
    if (!this.#table.isHeld(to)) return
    await this.#existing(from)
    throw exists(to)
  }

  /** A directory on the way to a mount point is made in its own store before something else comes to lie in it. */
  async #makeWay(directory: StorePath): Promise<void> {
    if (!this.#table.isWay(directory)) return
    const { path: root, store } = this.#table.of(directory)
    if ((await store.stat(directory))?.kind === 'directory') return
    const missing = [directory, ...ancestorsOf(directory)].filter((path) => path !== root && isWithin(path, root))
    for (const path of missing.reverse())
      await store.makeDirectory(path).catch((error: unknown) => {
        if (!isFailure(error, 'exists')) throw isFailure(error, 'not-directory') ? inTheWay(path) : error
      })
    if ((await store.stat(directory))?.kind !== 'directory') throw inTheWay(directory)
  }

  #withWay(path: StorePath, options: WriteOptions): WriteOptions {
    return this.#table.isWay(parentOf(path)) ? { ...options, parents: true } : options
  }

  /** Says what is wrong where a store has a file at a name that is a directory for what is mounted below it. */
  async #below(work: () => Promise<Written>): Promise<Written> {
    try {
      return await work()
    } catch (error) {
      if (!isFailure(error, 'not-directory') || error.path === undefined || !this.#table.isWay(error.path)) throw error
      throw inTheWay(error.path)
    }
  }
}

/** Where a store cannot make all durable at once, each step is durable by itself. */
function settling({ settle }: Store, options: Transfer): Transfer {
  return settle === undefined ? { ...options, settle: 'now' } : options
}

function unsupported(path: StorePath): Failure {
  return new Failure('unsupported', 'The store that has this path cannot do that.', { path })
}

function inTheWay(path: StorePath): Failure {
  return new Failure('denied', 'Nothing can be made here: this directory is only there for what is mounted below it.', {
    path,
  })
}

async function* joined(bodies: readonly Body[]): AsyncGenerator<Uint8Array, void> {
  for (const body of bodies) yield* body
}
