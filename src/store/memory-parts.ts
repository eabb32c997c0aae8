import { randomBytes } from 'node:crypto'
import { rootPath, type StorePath } from '../core/path.js'
import { Failure } from '../core/failure.js'
import { throwIfAborted } from './aborted.js'
import { Digester } from './digester.js'
import type { PartOptions, PartRooms, RoomEntry, StoredPart } from './part-rooms.js'
import { notFound } from './refusals.js'
import type { Body, ByteRange, WriteOptions, Written } from './store.js'

/** What rooms need of the store in which their parts become files. */
export interface PartsStore {
  write(path: StorePath, body: Body, options?: WriteOptions): Promise<Written>
  /** Bytes of a file. Throws `not-found`, `is-directory`, `bad-range`. */
  slice(from: StorePath, range: ByteRange): Uint8Array
  /** All bytes of a body; throws where they are not as the options say. */
  collect(body: Body, options: PartOptions, digester: Digester): Promise<Uint8Array>
  now(): number
}

interface Room {
  readonly parts: Map<string, Uint8Array>
  modified: number
  isBecoming: boolean
}

/** Rooms for parts in this process's memory. */
export class MemoryPartRooms implements PartRooms {
  readonly #store: PartsStore
  readonly #rooms = new Map<string, Room>()
  #count = 0

  constructor(store: PartsStore) {
    this.#store = store
  }

  async open(): Promise<string> {
    const name = randomBytes(16).toString('hex')
    this.#rooms.set(name, { parts: new Map(), modified: this.#store.now(), isBecoming: false })
    return name
  }

  async put(name: string, number: number, body: Body, options: PartOptions = {}): Promise<StoredPart> {
    throwIfAborted(options.signal)
    if (!Number.isInteger(number) || number < 1 || number > 10_000)
      throw new Failure('invalid', 'The number of a part is 1 to 10,000.')
    this.#room(name)
    const digester = new Digester(options.digests ?? [])
    const bytes = await this.#store.collect(body, options, digester)
    const digests = { ...digester.digests(), ...options.knownDigests?.() }
    await options.beforeCommit?.({ size: bytes.length, digests })
    throwIfAborted(options.signal)
    const room = this.#room(name)
    const place = `${number}-${++this.#count}`
    room.parts.set(place, bytes)
    room.modified = this.#store.now()
    return { place, size: bytes.length, digests }
  }

  async putFrom(
    name: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options?: PartOptions,
  ): Promise<StoredPart> {
    throwIfAborted(options?.signal)
    return await this.put(name, number, one(this.#store.slice(from, range)), options)
  }

  async become(
    name: string,
    path: StorePath,
    parts: readonly StoredPart[],
    options: WriteOptions = {},
  ): Promise<Written> {
    throwIfAborted(options.signal)
    const room = this.#room(name)
    const bytes = parts.map(({ place, size }) => {
      const part = room.parts.get(place)
      if (part?.length !== size) throw notFound(rootPath)
      return part
    })
    let isMine = false as boolean
    const beforeCommit: WriteOptions['beforeCommit'] = async (staged) => {
      await options.beforeCommit?.(staged)
      // Nothing is awaited from here to the commit.
      if (this.#rooms.get(name) !== room || room.isBecoming) throw notFound(rootPath)
      room.isBecoming = isMine = true
    }
    try {
      const written = await this.#store.write(path, each(bytes), { ...options, beforeCommit })
      this.#rooms.delete(name)
      return written
    } catch (error) {
      if (isMine) room.isBecoming = false
      throw error
    }
  }

  async drop(name: string, { place }: StoredPart): Promise<void> {
    this.#room(name).parts.delete(place)
  }

  async close(name: string): Promise<void> {
    this.#rooms.delete(name)
  }

  async *list(): AsyncGenerator<readonly RoomEntry[]> {
    const all = [...this.#rooms].map(([room, { modified }]) => ({ room, modified }))
    if (all.length > 0) yield all
  }

  #room(name: string): Room {
    const room = this.#rooms.get(name)
    if (room === undefined) throw notFound(rootPath)
    return room
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes
}

async function* each(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  for (const piece of pieces) yield piece
}
