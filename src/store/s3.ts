import type { StorePath } from '../core/path.js'
import type { PartRooms } from './part-rooms.js'
import { changeEntry } from './s3/change.js'
import { assembleObject } from './s3/compose.js'
import type { S3Context } from './s3/context.js'
import { makeDirectory } from './s3/directories.js'
import { directoryEntry, fileEntry } from './s3/entries.js'
import { list } from './s3/list.js'
import { KnownDirectories, localChanges, type DirectoryChanges } from './s3/known-directories.js'
import { find } from './s3/look.js'
import { openObject } from './s3/open.js'
import { PartBuffers } from './s3/part-buffers.js'
import { presign } from './s3/presign.js'
import { removeOne } from './s3/remove.js'
import { S3PartRooms } from './s3/rooms.js'
import type { S3Service } from './s3/service.js'
import { sweep, type SweepOptions, type Swept } from './s3/sweep.js'
import { copyOne, moveOne } from './s3/transfer.js'
import { copiesAtOnce } from './s3/tree-keys.js'
import { copyTree, moveTree, removeTree } from './s3/trees.js'
import { localTurns, type Turns } from './s3/turns.js'
import { writeObject } from './s3/write.js'
import type {
  Body,
  Content,
  Entry,
  EntryChange,
  ListOptions,
  OpenOptions,
  Piece,
  PresignRequest,
  RemoveOptions,
  Store,
  Transfer,
  WriteOptions,
  Written,
} from './store.js'

export interface S3StoreOptions {
  /** Closed with the store. */
  readonly service: S3Service
  /** Shared by all who share the bucket, where the service judges no conditions; only this process by default. */
  readonly turns?: Turns
  /** Shared by all who share the bucket; only this process by default. */
  readonly changes?: DirectoryChanges
  /** Memory for bytes on their way, of all uploads together. */
  readonly bufferBytes?: number
}

const defaultBufferBytes = 128 * 2 ** 20

/** A `Store` over a bucket, or a part of one: plain objects that any other S3 client can read and write too. */
export interface S3Store extends Store {
  settle(): Promise<void>
  removeTree(path: StorePath, signal?: AbortSignal): Promise<void>
  moveTree(from: StorePath, to: StorePath): Promise<Written>
  copyTree(from: StorePath, to: StorePath, signal?: AbortSignal): Promise<Written>
  assemble(to: StorePath, pieces: readonly Piece[], options?: WriteOptions): Promise<Written>
  presign(request: PresignRequest): Promise<URL>
  readonly parts: PartRooms
  /** Removes what crashed processes left behind, and finishes or takes back what they were moving; gives how much. */
  sweep(options?: SweepOptions): Promise<Swept>
}

/** Opens a bucket as a store. What it is not able to do as others do it: docs/decisions/0024-objects-are-plain-keys.md. */
export async function openS3Store(options: S3StoreOptions): Promise<S3Store> {
  return new BucketStore(options)
}

class BucketStore implements S3Store {
  readonly concurrency = copiesAtOnce
  readonly #context: S3Context
  readonly parts: PartRooms
  readonly #background = new Set<Promise<unknown>>()
  readonly #closing = new AbortController()

  constructor({ service, turns, changes, bufferBytes }: S3StoreOptions) {
    this.#context = {
      service,
      turns: turns ?? localTurns(),
      directories: new KnownDirectories(changes ?? localChanges()),
      buffers: new PartBuffers(bufferBytes ?? defaultBufferBytes),
      later: (work) => this.#later(work),
      closing: this.#closing.signal,
    }
    this.parts = new S3PartRooms(this.#context)
  }

  #later(work: Promise<unknown>): void {
    const settled: Promise<unknown> = work.catch(() => undefined).finally(() => this.#background.delete(settled))
    this.#background.add(settled)
  }

  async stat(path: StorePath, signal?: AbortSignal): Promise<Entry | undefined> {
    const found = await find(this.#context, path, signal)
    if (found === undefined) return undefined
    return found.kind === 'file' ? fileEntry(this.#context, path, found.facts) : directoryEntry(path, found.facts)
  }

  list(directory: StorePath, options?: ListOptions): AsyncIterable<readonly Entry[]> {
    return list(this.#context, directory, options)
  }

  async open(path: StorePath, options?: OpenOptions): Promise<Content> {
    return await openObject(this.#context, path, options)
  }

  async write(path: StorePath, body: Body, options?: WriteOptions): Promise<Written> {
    return await writeObject(this.#context, path, body, options)
  }

  async change(path: StorePath, change: EntryChange): Promise<Entry> {
    return await changeEntry(this.#context, path, change)
  }

  async makeDirectory(path: StorePath, signal?: AbortSignal): Promise<Entry> {
    return await makeDirectory(this.#context, path, signal)
  }

  async remove(path: StorePath, options?: RemoveOptions): Promise<void> {
    await removeOne(this.#context, path, options)
  }

  async copy(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    return await copyOne(this.#context, from, to, options)
  }

  async move(from: StorePath, to: StorePath, options: Transfer): Promise<Written> {
    return await moveOne(this.#context, from, to, options)
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

  async assemble(to: StorePath, pieces: readonly Piece[], options?: WriteOptions): Promise<Written> {
    return await assembleObject(this.#context, to, pieces, options)
  }

  async presign(request: PresignRequest): Promise<URL> {
    return await presign(this.#context, request)
  }

  async sweep(options?: SweepOptions): Promise<Swept> {
    return await sweep(this.#context, options)
  }

  async settle(): Promise<void> {
    // What the service has answered is durable.
  }

  async permits(): Promise<boolean> {
    return true
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    while (this.#background.size > 0) await Promise.all(this.#background)
    await this.#context.service.close()
  }
}
