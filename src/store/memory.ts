import { randomBytes } from 'node:crypto'
import { systemClock, type Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { isWithin, nameOf, parentOf, rootPath, segmentsOf, type StorePath } from '../core/path.js'
import { throwIfAborted, untilAborted } from './aborted.js'
import { requireConditions } from './conditions.js'
import { Digester } from './digester.js'
import { bytesBelow, entriesBelow, entryOf, type DirectoryNode, type FileNode, type Node } from './memory-node.js'
import { MemoryPartRooms } from './memory-parts.js'
import type { PartRooms } from './part-rooms.js'
import {
  exists,
  intoItself,
  isDirectory,
  noParent,
  notDirectory,
  notEmpty,
  notFound,
  refuseRoot,
  sameTarget,
  wrongLength,
} from './refusals.js'
import type {
  Body,
  ByteRange,
  Content,
  DigestName,
  Digests,
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

export interface MemoryStoreOptions {
  readonly clock?: Clock
}

/**
 * A store in this process's memory: for tests, and for trees that need not outlive the process. Every file is held as
 * one piece of memory, so a file can be no larger than what `Buffer.concat` makes.
 */
export function openMemoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options.clock ?? systemClock)
}

const batchSize = 500

class MemoryStore implements Store {
  readonly #clock: Clock
  // An etag of an earlier process must not fit a file of this one.
  readonly #etagPrefix = randomBytes(6).toString('hex')
  #etags = 0
  readonly #root: DirectoryNode
  readonly parts: PartRooms

  constructor(clock: Clock) {
    this.#clock = clock
    this.#root = this.#newDirectory()
    this.parts = new MemoryPartRooms({
      write: (path, body, options) => this.write(path, body, options),
      slice: (from, range) => this.#slice(from, range),
      collect,
      now: () => clock.now(),
    })
  }

  async stat(path: StorePath, signal?: AbortSignal): Promise<Entry | undefined> {
    throwIfAborted(signal)
    const node = this.#find(path)
    return node === undefined ? undefined : entryOf(path, node)
  }

  async *list(directory: StorePath, options: ListOptions = {}): AsyncGenerator<readonly Entry[], void> {
    throwIfAborted(options.signal)
    const node = this.#existing(directory)
    if (node.kind === 'file') throw notDirectory(directory)
    let batch: Entry[] = []
    for (const entry of entriesBelow(directory, node, options)) {
      batch.push(entry)
      if (batch.length < batchSize) continue
      yield batch
      throwIfAborted(options.signal)
      batch = []
    }
    if (batch.length > 0) yield batch
  }

  async open(path: StorePath, options: OpenOptions = {}): Promise<Content> {
    throwIfAborted(options.signal)
    const file = this.#existingFile(path)
    const entry = entryOf(path, file)
    requireConditions(path, entry, options)
    return {
      entry,
      bytes: (range) => chunksOf(range === undefined ? file.bytes : file.bytes.subarray(range.start, range.end)),
      close: async () => undefined,
    }
  }

  async write(path: StorePath, body: Body, options: WriteOptions = {}): Promise<Written> {
    throwIfAborted(options.signal)
    this.#requireWritable(path, options)
    const digester = new Digester(options.digests ?? [])
    const bytes = await collect(body, options, digester)
    const digests = { ...digester.digests(), ...options.knownDigests?.() }
    await options.beforeCommit?.({ size: bytes.length, digests })
    throwIfAborted(options.signal)
    // From here on nothing is awaited: judging and committing are one step.
    const present = this.#requireWritable(path, options)
    const now = this.#clock.now()
    const file: FileNode = {
      kind: 'file',
      bytes,
      modified: options.modified ?? now,
      created: now,
      etag: this.#nextEtag(),
      executable: options.executable ?? present?.executable ?? false,
      digests,
      attributes: options.attributes ?? {},
    }
    this.#put(this.#makeParents(path), path, file)
    return { entry: entryOf(path, file), created: present === undefined }
  }

  async assemble(to: StorePath, pieces: readonly Piece[], options: WriteOptions = {}): Promise<Written> {
    const held = pieces.map((piece) => ('body' in piece ? piece.body : chunksOf(this.#slice(piece.from, piece.range))))
    return this.write(to, joined(held), options)
  }

  async change(path: StorePath, change: EntryChange): Promise<Entry> {
    const node = this.#existing(path)
    if (node.kind === 'file' && change.ifMatch !== undefined) requireConditions(path, node, { ifMatch: change.ifMatch })
    const modified = change.modified ?? node.modified
    const attributes = change.attributes ?? node.attributes
    if (node.kind === 'directory') {
      node.modified = modified
      node.attributes = attributes
      return entryOf(path, node)
    }
    const file = { ...node, modified, attributes, executable: change.executable ?? node.executable }
    this.#parent(path).members.set(nameOf(path), file)
    return entryOf(path, file)
  }

  async makeDirectory(path: StorePath, signal?: AbortSignal): Promise<Entry> {
    throwIfAborted(signal)
    if (path === rootPath) throw exists(path)
    const parent = this.#parent(path)
    if (parent.members.has(nameOf(path))) throw exists(path)
    const directory = this.#newDirectory()
    this.#put(parent, path, directory)
    return entryOf(path, directory)
  }

  async remove(path: StorePath, options: RemoveOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    const node = this.#existing(path)
    requireConditions(path, node, options.ifMatch === undefined ? {} : { ifMatch: options.ifMatch })
    refuseRoot(path)
    if (node.kind === 'directory' && node.members.size > 0) throw notEmpty(path)
    this.#drop(path)
  }

  async copy(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    throwIfAborted(options.signal)
    const source = this.#existing(from)
    const present = this.#requireTarget(source, from, to, options.overwrite)
    const node = this.#copyOf(source.kind === 'file' ? source : { ...source, members: new Map() })
    this.#put(this.#parent(to), to, node)
    return { entry: entryOf(to, node), created: present === undefined }
  }

  async move(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    throwIfAborted(options.signal)
    refuseRoot(from)
    const source = this.#existingFile(from)
    const present = this.#requireTarget(source, from, to, options.overwrite)
    this.#drop(from)
    this.#put(this.#parent(to), to, source)
    return { entry: entryOf(to, source), created: present === undefined }
  }

  async removeTree(path: StorePath, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal)
    refuseRoot(path)
    this.#existing(path)
    this.#drop(path)
  }

  async moveTree(from: StorePath, to: StorePath): Promise<Written> {
    refuseRoot(from)
    const source = this.#existing(from)
    if (isWithin(to, from)) throw intoItself(to)
    if (this.#find(to) !== undefined) throw exists(to)
    const parent = this.#parent(to)
    this.#drop(from)
    this.#put(parent, to, source)
    return { entry: entryOf(to, source), created: true }
  }

  async copyTree(from: StorePath, to: StorePath, signal?: AbortSignal): Promise<Written> {
    throwIfAborted(signal)
    const source = this.#existing(from)
    if (source.kind === 'file') throw notDirectory(from)
    if (isWithin(to, from)) throw intoItself(to)
    if (this.#find(to) !== undefined) throw exists(to)
    const node = this.#copyOf(source)
    this.#put(this.#parent(to), to, node)
    return { entry: entryOf(to, node), created: true }
  }

  async digest(path: StorePath, names: readonly DigestName[], signal?: AbortSignal): Promise<Digests> {
    throwIfAborted(signal)
    const file = this.#existingFile(path)
    const digester = new Digester(names.filter((name) => file.digests[name] === undefined))
    digester.update(file.bytes)
    const digests = { ...file.digests, ...digester.digests() }
    this.#parent(path).members.set(nameOf(path), { ...file, digests })
    return digests
  }

  async settle(): Promise<void> {
    // Memory is as durable as it gets.
  }

  async space(path: StorePath): Promise<Space> {
    return { used: bytesBelow(this.#existing(path)) }
  }

  async permits(): Promise<boolean> {
    return true
  }

  async close(): Promise<void> {
    // Nothing is held but memory.
  }

  #find(path: StorePath): Node | undefined {
    let node: Node = this.#root
    for (const segment of segmentsOf(path)) {
      const next: Node | undefined = node.kind === 'directory' ? node.members.get(segment) : undefined
      if (next === undefined) return undefined
      node = next
    }
    return node
  }

  #existing(path: StorePath): Node {
    const node = this.#find(path)
    if (node === undefined) throw notFound(path)
    return node
  }

  #existingFile(path: StorePath): FileNode {
    const node = this.#existing(path)
    if (node.kind === 'directory') throw isDirectory(path)
    return node
  }

  /** The directory that holds, or would hold, the path. */
  #parent(path: StorePath): DirectoryNode {
    const parent = this.#deepest(path)
    if (parent.missing.length > 0) throw noParent(parentOf(path))
    return parent.directory
  }

  /** The deepest directory above the path that is there, and the names that are missing below it, the path's own apart. */
  #deepest(path: StorePath): { directory: DirectoryNode; missing: readonly string[] } {
    const above = segmentsOf(parentOf(path))
    let directory = this.#root
    for (const [depth, segment] of above.entries()) {
      const next = directory.members.get(segment)
      if (next === undefined) return { directory, missing: above.slice(depth) }
      if (next.kind === 'file') throw notDirectory(('/' + above.slice(0, depth + 1).join('/')) as StorePath)
      directory = next
    }
    return { directory, missing: [] }
  }

  #makeParents(path: StorePath): DirectoryNode {
    const { directory, missing } = this.#deepest(path)
    return missing.reduce((parent, name) => {
      const made = this.#newDirectory()
      this.#touch(parent).members.set(name, made)
      return made
    }, directory)
  }

  #requireWritable(path: StorePath, options: WriteOptions): FileNode | undefined {
    if (path === rootPath) throw isDirectory(path)
    if (options.parents === true) this.#deepest(path)
    else this.#parent(path)
    const present = this.#find(path)
    requireConditions(path, present, options)
    if (present?.kind === 'directory') throw isDirectory(path)
    return present
  }

  /** What a copy or move would replace; throws where it may not. */
  #requireTarget(source: Node, from: StorePath, to: StorePath, overwrite: boolean): Node | undefined {
    if (from === to) throw sameTarget(to)
    const present = this.#find(to)
    if (present === undefined) this.#parent(to)
    else if (!overwrite || (source.kind === 'directory' && present.kind === 'directory')) throw exists(to)
    else if (present.kind === 'directory') throw isDirectory(to)
    else if (source.kind === 'directory') throw notDirectory(to)
    return present
  }

  #slice(from: StorePath, range: ByteRange): Uint8Array {
    const { bytes } = this.#existingFile(from)
    if (range.start < 0 || range.start > range.end || range.end > bytes.length)
      throw new Failure('bad-range', 'The range does not lie within the file.', { path: from, size: bytes.length })
    return bytes.subarray(range.start, range.end)
  }

  #put(parent: DirectoryNode, path: StorePath, node: Node): void {
    this.#touch(parent).members.set(nameOf(path), node)
  }

  #drop(path: StorePath): void {
    this.#touch(this.#parent(path)).members.delete(nameOf(path))
  }

  #touch(directory: DirectoryNode): DirectoryNode {
    directory.modified = this.#clock.now()
    directory.etag = this.#nextEtag()
    return directory
  }

  #newDirectory(): DirectoryNode {
    const now = this.#clock.now()
    return {
      kind: 'directory',
      members: new Map(),
      created: now,
      modified: now,
      etag: this.#nextEtag(),
      attributes: {},
    }
  }

  #copyOf(source: Node): Node {
    const now = this.#clock.now()
    if (source.kind === 'file') return { ...source, etag: this.#nextEtag(), modified: now, created: now }
    const members = new Map([...source.members].map(([name, member]) => [name, this.#copyOf(member)]))
    return { ...this.#newDirectory(), attributes: source.attributes, members }
  }

  #nextEtag(): string {
    return `${this.#etagPrefix}-${(++this.#etags).toString(36)}`
  }
}

async function collect(body: Body, options: WriteOptions, digester: Digester): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of untilAborted(body, options.signal)) {
    size += chunk.length
    if (options.length !== undefined && size > options.length) throw wrongLength()
    digester.update(chunk)
    chunks.push(chunk)
  }
  if (options.length !== undefined && size < options.length) throw wrongLength()
  return Buffer.concat(chunks, size)
}

async function* joined(bodies: readonly Body[]): AsyncGenerator<Uint8Array, void> {
  for (const body of bodies) yield* body
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  if (bytes.length > 0) yield bytes
}
