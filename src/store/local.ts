import { closeSync } from 'node:fs'
import { isAbsolute, normalize } from 'node:path'
import { Failure, isFailure } from '../core/failure.js'
import type { FileRange } from '../core/http.js'
import { rootPath, type StorePath } from '../core/path.js'
import { throwIfAborted } from './aborted.js'
import { Beneath } from './beneath.js'
import { requireConditions } from './conditions.js'
import { isAbsent, type LocalContext, openFile } from './local/context.js'
import { copyTree } from './local/copy-tree.js'
import { changeEntry, makeDirectory } from './local/directory.js'
import { digestFile } from './local/digest.js'
import { failureOf } from './local/errors.js'
import { entryOfKnown, isForeign, type Known, knownOf } from './local/facts.js'
import { list } from './local/list.js'
import { Listings } from './local/listings.js'
import { memoryNotes, NoteBook, type Noted, type NoteKeeping, type Notes, nothingNoted, shown } from './local/notes.js'
import { Pace } from './local/pace.js'
import type { RoomOwner } from './local/parts-folder.js'
import { LocalPartRooms } from './local/parts.js'
import { permits } from './local/permits.js'
import { removeOne, removeTree } from './local/remove.js'
import { roomAt } from './local/space.js'
import { sweep } from './local/sweep.js'
import { FileSyncs } from './local/sync.js'
import { copyDirectory, copyFile, moveFile, moveTree } from './local/transfer.js'
import { assembleFile, type Fill, type FilledPiece, fillFile, writeFile } from './local/write.js'
import { fact, factsLength } from './native.js'
import { canSyncFileSystem } from './proc-calls.js'
import { notFound } from './refusals.js'
import { isReserved } from './reserved.js'
import type {
  Action,
  Body,
  ByteRange,
  Conditions,
  Content,
  DigestName,
  Digests,
  Entry,
  EntryChange,
  ListOptions,
  OpenOptions,
  RemoveOptions,
  Space,
  Store,
  Transfer,
  WriteOptions,
  Written,
} from './store.js'

export interface LocalOptions {
  /** Absolute; must be there. */
  readonly root: string
  /** `full`: what was answered survives a power cut. `fast` leaves that to the kernel. */
  readonly durability: 'full' | 'fast'
  /** `inside` follows symbolic links that stay below the root; `absent` treats all as not there. */
  readonly symlinks: 'absent' | 'inside'
  /** Where digests and attributes are kept; without it they last as long as the store is open. */
  readonly notes?: Notes
  /** Where notes are kept elsewhere than in `notes`; given the device of the root. */
  readonly keeping?: (rootDevice: number) => NoteKeeping
  /** Where each user's files are served by a process of their own: whose this one is. */
  readonly owner?: RoomOwner
  /** `permits` answers as the kernel would; without it what Postern itself may do is not asked for. */
  readonly asksKernel?: boolean
  /** False does without the addon: no locks between processes, and `settle` costs what it should have saved. */
  readonly native?: boolean
  /** False where another process that serves the same files sweeps them. */
  readonly sweeps?: boolean
  /** Told how many leftovers of crashed processes were removed after the start. */
  readonly onSweep?: (count: number) => void
}

/** A `Store` over a directory: plain files that anything else on the host can read and write too. */
export interface LocalStore extends Store {
  settle(): Promise<void>
  removeTree(path: StorePath, signal?: AbortSignal): Promise<void>
  moveTree(from: StorePath, to: StorePath): Promise<Written>
  copyTree(from: StorePath, to: StorePath, signal?: AbortSignal): Promise<Written>
  assemble(to: StorePath, pieces: readonly FilledPiece[], options?: WriteOptions): Promise<Written>
  space(path: StorePath): Promise<Space>
  readonly parts: LocalPartRooms
  /** `write` of bytes that somebody else brings: `fill` is called once all that can be known beforehand is in order. */
  fill(path: StorePath, fill: Fill, options?: WriteOptions): Promise<Written>
  digest(path: StorePath, names: readonly DigestName[], signal?: AbortSignal): Promise<Digests>
  /**
   * A small file as it is now, without what is noted of it: what is known is told as entries tell it where notes are kept
   * elsewhere. Undefined for all that `open` is to be asked for, which may throw.
   */
  readAtOnce(path: StorePath): { readonly known: Known; readonly bytes: Buffer } | undefined
  /** Removes what crashed processes left behind; gives how many. */
  sweep(): Promise<number>
}

/**
 * Opens a directory as a store and, unless told otherwise, begins to sweep it in the background. Throws `unavailable` where it cannot be opened,
 * `unsupported` on a system that offers no safe way.
 */
export async function openLocalStore(options: LocalOptions): Promise<LocalStore> {
  if (!isAbsolute(options.root)) throw new Failure('invalid', 'The root of the files must be an absolute path.')
  const root = normalize(options.root).replace(/(?<=.)\/+$/, '')
  const store = new LocalDirectoryStore(new Beneath({ ...options, root }), options)
  if (options.sweeps !== false) store.begin(options.onSweep)
  return store
}

class LocalDirectoryStore implements LocalStore {
  readonly #context: LocalContext
  readonly parts: LocalPartRooms
  readonly #facts = new Float64Array(factsLength)
  readonly #background = new Set<Promise<unknown>>()
  readonly #closing = new AbortController()
  readonly #asksKernel: boolean

  constructor(beneath: Beneath, options: LocalOptions) {
    const { durability, notes = memoryNotes(), keeping, owner, asksKernel = false } = options
    this.#asksKernel = asksKernel
    beneath.calls.fstat(beneath.root, this.#facts)
    this.#context = {
      beneath,
      full: durability === 'full',
      settlesAtOnce: beneath.isNative || canSyncFileSystem(),
      syncs: new Map(),
      fileSyncs: new FileSyncs(beneath.calls),
      pace: new Pace(),
      rooms: { locks: new Map(), slotBytes: new Map() },
      notes: keeping?.(knownOf(this.#facts).device) ?? new NoteBook(notes, knownOf(this.#facts).device),
      owner,
      listings: new Listings(),
      later: (work) => this.#later(work),
      closing: this.#closing.signal,
    }
    this.parts = new LocalPartRooms(this.#context)
  }

  begin(onSweep: ((count: number) => void) | undefined): void {
    this.#later(sweep(this.#context).then(onSweep))
  }

  #later(work: Promise<unknown>): void {
    const settled: Promise<unknown> = work.catch(() => undefined).finally(() => this.#background.delete(settled))
    this.#background.add(settled)
  }

  async stat(path: StorePath, signal?: AbortSignal): Promise<Entry | undefined> {
    throwIfAborted(signal)
    if (isReserved(path)) return undefined
    const result = this.#context.beneath.stat(path, this.#facts)
    if (isAbsent(result)) return undefined
    if (result < 0) throw failureOf(result, path)
    if (isForeign(this.#facts[fact.kind])) return undefined
    const known = knownOf(this.#facts)
    const { notes } = this.#context
    return withNotes(notes, entryOfKnown(path, known), known, notes.glance(known) ?? (await notes.read(known)))
  }

  /**
   * Local files are changed without waiting for anything, so that thousands of changes in a row would keep everybody else
   * waiting: now and then one of them lets the others in first.
   */
  async #turn(): Promise<void> {
    const { pace } = this.#context
    if (pace.isDueNow()) await pace.pause()
  }

  list(directory: StorePath, options?: ListOptions): AsyncIterable<readonly Entry[]> {
    return list(this.#context, directory, options)
  }

  async open(path: StorePath, conditions: OpenOptions = {}): Promise<Content> {
    throwIfAborted(conditions.signal)
    const size = isReserved(path) ? -1 : this.#context.beneath.readSmall(path, this.#facts, smallFile)
    if (size < 0) return await this.#openLong(path, conditions)
    const bytes = Buffer.from(smallFile.subarray(0, size))
    const known = knownOf(this.#facts)
    const entry = entryOfKnown(path, known)
    requireConditions(path, entry, conditions)
    const { notes } = this.#context
    return new SmallContent(withNotes(notes, entry, known, notes.glance(known) ?? (await notes.read(known))), bytes)
  }

  readAtOnce(path: StorePath): { readonly known: Known; readonly bytes: Buffer } | undefined {
    const size = isReserved(path) ? -1 : this.#context.beneath.readSmall(path, this.#facts, smallFile)
    if (size < 0) return undefined
    const known = knownOf(this.#facts)
    const { tells } = this.#context.notes
    return { known: tells === undefined ? known : tells(known).known, bytes: Buffer.from(smallFile.subarray(0, size)) }
  }

  async #openLong(path: StorePath, conditions: Conditions): Promise<Content> {
    const { fd, known } = openFile(this.#context, path)
    try {
      const entry = entryOfKnown(path, known)
      requireConditions(path, entry, conditions)
      const { notes } = this.#context
      return new LongContent(withNotes(notes, entry, known, await notes.read(known)), fd)
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  async write(path: StorePath, body: Body, options?: WriteOptions): Promise<Written> {
    await this.#turn()
    return await writeFile(this.#context, path, body, options)
  }

  async fill(path: StorePath, fill: Fill, options?: WriteOptions): Promise<Written> {
    await this.#turn()
    return await fillFile(this.#context, path, fill, options)
  }

  async change(path: StorePath, change: EntryChange): Promise<Entry> {
    return await changeEntry(this.#context, path, change)
  }

  async makeDirectory(path: StorePath, signal?: AbortSignal): Promise<Entry> {
    await this.#turn()
    return await makeDirectory(this.#context, path, signal)
  }

  async remove(path: StorePath, options?: RemoveOptions): Promise<void> {
    await this.#turn()
    await removeOne(this.#context, path, options)
  }

  async copy(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    await this.#turn()
    try {
      return await copyFile(this.#context, from, to, options)
    } catch (error) {
      if (!isFailure(error, 'is-directory') || error.path !== from) throw error
      return await copyDirectory(this.#context, from, to, options)
    }
  }

  async move(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    await this.#turn()
    return await moveFile(this.#context, from, to, options)
  }

  async moveTree(from: StorePath, to: StorePath): Promise<Written> {
    return await moveTree(this.#context, from, to)
  }

  async copyTree(from: StorePath, to: StorePath, signal?: AbortSignal): Promise<Written> {
    return await copyTree(this.#context, from, to, signal)
  }

  async removeTree(path: StorePath, signal?: AbortSignal): Promise<void> {
    await removeTree(this.#context, path, signal)
  }

  async assemble(to: StorePath, pieces: readonly FilledPiece[], options?: WriteOptions): Promise<Written> {
    return await assembleFile(this.#context, to, pieces, options)
  }

  async digest(path: StorePath, names: readonly DigestName[], signal?: AbortSignal): Promise<Digests> {
    return await digestFile(this.#context, path, names, signal)
  }

  async settle(): Promise<void> {
    if (!this.#context.full || !this.#context.settlesAtOnce) return
    const { beneath } = this.#context
    const result = await beneath.calls.syncFileSystem(beneath.root)
    if (result < 0) throw failureOf(result, rootPath)
  }

  async space(path: StorePath): Promise<Space> {
    if ((await this.stat(path)) === undefined) throw notFound(path)
    const { blocks, used, available } = await roomAt(this.#context, path)
    return blocks === 0 ? {} : { used, available }
  }

  async permits(action: Action, path: StorePath): Promise<boolean> {
    return !this.#asksKernel || permits(this.#context, action, path)
  }

  async sweep(): Promise<number> {
    return await sweep(this.#context)
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    while (this.#background.size > 0) await Promise.all(this.#background)
    this.#context.beneath.close()
  }
}

/** Files that fit are read where they are opened. */
const smallFile = Buffer.allocUnsafeSlow(64 * 1024)

function withNotes(notes: NoteKeeping, entry: Entry, known: Known, noted: Noted): Entry {
  return noted === nothingNoted ? entry : { ...entry, ...shown(notes, known, noted) }
}

class SmallContent implements Content {
  readonly entry: Entry
  readonly #bytes: Buffer
  #open = true

  constructor(entry: Entry, bytes: Buffer) {
    this.entry = entry
    this.#bytes = bytes
  }

  bytes(range?: ByteRange): Buffer {
    if (range !== undefined) requireWithin(range, this.entry)
    if (!this.#open) throw taken(this.entry.path)
    this.#open = false
    return range === undefined ? this.#bytes : this.#bytes.subarray(range.start, range.end)
  }

  async close(): Promise<void> {
    this.#open = false
  }
}

class LongContent implements Content {
  readonly entry: Entry
  readonly #fd: number
  #open = true

  constructor(entry: Entry, fd: number) {
    this.entry = entry
    this.#fd = fd
  }

  bytes(range: ByteRange = { start: 0, end: this.entry.size }): FileRange {
    requireWithin(range, this.entry)
    if (!this.#open) throw taken(this.entry.path)
    this.#open = false
    const fd = this.#fd
    return { fd, start: range.start, end: range.end, close: () => closeSync(fd) }
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#fd)
  }
}

/** Throws `bad-range`. */
function requireWithin(range: ByteRange, { path, size }: Entry): void {
  if (range.start < 0 || range.end < range.start || range.end > size)
    throw new Failure('bad-range', 'The range does not lie within the file.', { path, size })
}

function taken(path: StorePath): Failure {
  return new Failure('conflict', 'The bytes were taken already.', { path })
}
