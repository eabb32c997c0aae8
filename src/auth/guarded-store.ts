import { denied, eitherSignal, puts, type Rights } from './rights.js'
import type { LockedWrite } from '../catalog/locks.js'
import { Failure, isFailure } from '../core/failure.js'
import { isOwnPath, type StorePath } from '../core/path.js'
import { atMost } from '../store/at-most.js'
import type {
  Action,
  Body,
  Content,
  Entry,
  EntryChange,
  ListOptions,
  OpenOptions,
  PresignRequest,
  RemoveOptions,
  Store,
  Transfer,
  WriteOptions,
  Written,
} from '../store/store.js'

/**
 * A store with one caller's rights around it: which method needs which action is written here and nowhere else. One is
 * made for each request, so it holds nothing of its own. An ability is there where the store has it, but for rooms: their
 * names say nothing of a path. Uploads bind the two, and are guarded beside this.
 */
export class GuardedStore implements Store {
  readonly #store: Store
  readonly #rights: Rights

  constructor(store: Store, rights: Rights) {
    this.#store = store
    this.#rights = rights
  }

  async stat(path: StorePath, signal?: AbortSignal): Promise<Entry | undefined> {
    if (isOwnPath(path)) return undefined
    if (this.#rights.sees(path, false)) return this.#store.stat(path, signal)
    if (!this.#rights.sees(path, true)) throw denied('list', path)
    const entry = await this.#store.stat(path, signal)
    if (entry?.kind === 'file') throw denied('list', path)
    return entry
  }

  list(directory: StorePath, options?: ListOptions): AsyncIterable<readonly Entry[]> {
    const rights = this.#rights
    // The root may hold Postern's own name, which nobody sees.
    const all = directory !== '/' && !isOwnPath(directory) && rights.permit.allowsAllBelow('list', directory)
    return all ? this.#store.list(directory, options) : this.#visibleOf(directory, options)
  }

  async *#visibleOf(directory: StorePath, options: ListOptions | undefined): AsyncGenerator<readonly Entry[]> {
    const rights = this.#rights
    rights.demandVisible(directory)
    for await (const entries of this.#store.list(directory, options))
      yield entries.filter((entry) => rights.sees(entry.path, entry.kind === 'directory'))
  }

  async open(path: StorePath, options?: OpenOptions): Promise<Content> {
    this.#rights.demand('read', path)
    return this.#store.open(path, options)
  }

  async write(path: StorePath, body: Body, options: WriteOptions = {}): Promise<Written> {
    const most = this.#rights.mostBytes(path)
    const bounded = most === Infinity ? body : atMost(body, most)
    return this.#rights.put(path, options, (narrow) => this.#store.write(path, bounded, narrow))
  }

  async change(path: StorePath, change: EntryChange): Promise<Entry> {
    this.#rights.demand('replace', path)
    return this.#rights.during(
      [{ path, extent: 'self', membership: false }],
      () => this.#rights.checkLocks(path, 'self', false),
      () => this.#store.change(path, change),
    )
  }

  async makeDirectory(path: StorePath, signal?: AbortSignal): Promise<Entry> {
    this.#rights.demand('create', path, true)
    return this.#rights.during(
      puts(path),
      () => this.#rights.checkPut(path),
      (lost) => this.#store.makeDirectory(path, eitherSignal(signal, lost)),
    )
  }

  async remove(path: StorePath, options: RemoveOptions = {}): Promise<void> {
    this.#rights.demand('delete', path)
    return this.#rights.during(
      puts(path),
      () => this.#rights.checkLocks(path, 'self', true),
      (lost) => this.#store.remove(path, within(options, lost)),
    )
  }

  async copy(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    const rights = this.#rights
    // A directory's own copy shows no more than its name.
    if (!rights.allows('read', from)) {
      if (!rights.sees(from, true) || (await this.#store.stat(from))?.kind !== 'directory') throw denied('read', from)
    }
    let transfer = options
    return rights.during(
      // The bytes are copied after the last look at the locks: that may take long.
      [treeAt(to)],
      async () => (transfer = await rights.checkTarget(to, options)),
      (lost) => this.#store.copy(from, to, within(transfer, lost)),
    )
  }

  async move(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    const rights = this.#rights
    rights.demand('read', from)
    rights.demand('delete', from)
    let transfer = options
    return rights.during(
      [treeAt(from), treeAt(to)],
      async () => {
        const source = rights.checkLocks(from, 'self', true)
        ;[transfer] = await Promise.all([rights.checkTarget(to, options), source])
      },
      (lost) => this.#store.move(from, to, within(transfer, lost)),
    )
  }

  async permits(action: Action, path: StorePath): Promise<boolean> {
    return this.#rights.allows(action, path) && (await this.#store.permits(action, path))
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  get settle(): Store['settle'] {
    const { settle } = this.#store
    return settle && (() => settle.call(this.#store))
  }

  get removeTree(): Store['removeTree'] {
    const { removeTree } = this.#store
    const rights = this.#rights
    return (
      removeTree &&
      (async (path, signal) => {
        rights.demand('delete', path)
        demandAllBelow(rights, ['delete'], path)
        return rights.during(
          [treeAt(path)],
          () => shortWay(rights, path),
          (lost) => removeTree.call(this.#store, path, eitherSignal(signal, lost)),
        )
      })
    )
  }

  get moveTree(): Store['moveTree'] {
    const { moveTree } = this.#store
    const rights = this.#rights
    return (
      moveTree &&
      (async (from, to) => {
        rights.demand('read', from)
        rights.demand('delete', from)
        rights.demand('create', to)
        demandAllBelow(rights, ['read', 'delete'], from)
        demandAllBelow(rights, ['create'], to)
        return rights.during(
          [treeAt(from), treeAt(to)],
          () => Promise.all([shortWay(rights, from), rights.checkLocks(to, 'tree', true)]),
          () => moveTree.call(this.#store, from, to),
        )
      })
    )
  }

  get copyTree(): Store['copyTree'] {
    const { copyTree } = this.#store
    const rights = this.#rights
    return (
      copyTree &&
      (async (from, to, signal) => {
        if (!rights.sees(from, true)) throw denied('read', from)
        rights.demand('create', to)
        demandAllBelow(rights, ['read'], from)
        demandAllBelow(rights, ['create'], to)
        return rights.during(
          [treeAt(to)],
          () => shortWay(rights, to, () => rights.checkPut(to)),
          (lost) => copyTree.call(this.#store, from, to, eitherSignal(signal, lost)),
        )
      })
    )
  }

  get assemble(): Store['assemble'] {
    const { assemble } = this.#store
    const rights = this.#rights
    return (
      assemble &&
      (async (to, pieces, options = {}) => {
        for (const piece of pieces) if ('from' in piece && piece.from !== to) rights.demand('read', piece.from)
        const most = rights.mostBytes(to)
        const bounded =
          most === Infinity
            ? pieces
            : pieces.map((piece) => ('body' in piece ? { body: atMost(piece.body, most) } : piece))
        return rights.put(to, options, (narrow) => assemble.call(this.#store, to, bounded, narrow))
      })
    )
  }

  get space(): Store['space'] {
    const { space } = this.#store
    return (
      space &&
      (async (path) => {
        this.#rights.demandVisible(path)
        return space.call(this.#store, path)
      })
    )
  }

  get presign(): Store['presign'] {
    const { presign } = this.#store
    const rights = this.#rights
    return (
      presign &&
      (async (request: PresignRequest) => {
        if (request.method === 'GET') rights.demand('read', request.path)
        else {
          rights.demand('create', request.path)
          // The medium judges it when the URL is used: what is there stays there.
          if (request.headers?.['if-none-match'] !== '*') rights.demand('replace', request.path)
          await rights.checkPut(request.path)
        }
        return presign.call(this.#store, request)
      })
    )
  }
}

/** Throws `unsupported` where some of what lies below is not granted: the short way is closed. */
function demandAllBelow(rights: Rights, actions: readonly Action[], path: StorePath): void {
  for (const action of actions) if (!rights.permit.allowsAllBelow(action, path)) throw memberByMember()
}

/** Throws `unsupported` where locks below keep the tree from going at once, `locked` where one keeps it altogether. */
async function shortWay(
  rights: Rights,
  path: StorePath,
  itself = (): Promise<unknown> => rights.checkLocks(path, 'self', true),
): Promise<void> {
  try {
    await rights.checkLocks(path, 'tree', true)
  } catch (error) {
    if (!isFailure(error, 'locked')) throw error
    await itself()
    throw memberByMember()
  }
}

function treeAt(path: StorePath): LockedWrite {
  return { path, extent: 'tree', membership: true }
}

function within<Options extends { readonly signal?: AbortSignal }>(
  options: Options,
  lost: AbortSignal | undefined,
): Options {
  const signal = eitherSignal(options.signal, lost)
  return signal === options.signal ? options : { ...options, ...(signal && { signal }) }
}

function memberByMember(): Failure {
  return new Failure('unsupported', 'This tree must be dealt with member by member.')
}
