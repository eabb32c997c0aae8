import { createHash } from 'node:crypto'
import { rootPath, type StorePath } from '../../core/path.js'
import { Failure } from '../../core/failure.js'
import { isDirectory, notFound } from '../refusals.js'
import type { PartOptions, PartPromise, PartRooms, PresignedPart, RoomEntry, StoredPart } from '../part-rooms.js'
import type { Body, ByteRange, WriteOptions, Written } from '../store.js'
import { foreignBytes } from './across.js'
import type { Mount, MountTable } from './table.js'

const roomName = /^[0-9a-z]{1,64}$/
const tagLength = 10

/**
 * Rooms of several stores. A room's name ends with a tag of the mount that has it, which depends on nothing but the
 * mount's path, so that it holds when others come and go; rooms of the root have none and are those of a tree without
 * mounts. A store whose own names have more than 54 characters cannot have rooms here.
 */
export class MountedRooms implements PartRooms {
  readonly #table: MountTable
  readonly #tagged: readonly { readonly mount: Mount; readonly tag: string }[]

  constructor(table: MountTable) {
    this.#table = table
    this.#tagged = table.all.map((mount) => ({ mount, tag: tagOf(mount.path) }))
  }

  async open(path: StorePath, size?: number): Promise<string> {
    const mount = this.#table.of(path)
    const rooms = roomsOf(mount)
    const inner = await rooms.open(path, size)
    const room = inner + tagOf(mount.path)
    if (roomName.test(room)) return room
    await rooms.close(inner)
    throw new Failure('unsupported', 'Files cannot be put together of parts here.', { path })
  }

  async put(room: string, number: number, body: Body, options?: PartOptions): Promise<StoredPart> {
    const { rooms, inner } = this.#existing(room)
    return rooms.put(inner, number, body, options)
  }

  async putFrom(
    room: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options: PartOptions = {},
  ): Promise<StoredPart> {
    const { mount, rooms, inner } = this.#existing(room)
    if (this.#table.isWay(from)) throw isDirectory(from)
    const source = this.#table.of(from)
    if (source === mount) return rooms.putFrom(inner, number, from, range, options)
    const { body, length } = await foreignBytes(source.store, from, range, options.signal)
    return rooms.put(inner, number, body, { ...options, length })
  }

  async presign(
    room: string,
    number: number,
    promise: PartPromise,
    expiresSeconds: number,
  ): Promise<PresignedPart | undefined> {
    const { rooms, inner } = this.#existing(room)
    return rooms.presign?.(inner, number, promise, expiresSeconds)
  }

  async adopt(
    room: string,
    number: number,
    promise: PartPromise,
    options?: Pick<PartOptions, 'beforeCommit' | 'signal'>,
  ): Promise<StoredPart | undefined> {
    const { rooms, inner } = this.#existing(room)
    return rooms.adopt?.(inner, number, promise, options)
  }

  async become(room: string, path: StorePath, parts: readonly StoredPart[], options?: WriteOptions): Promise<Written> {
    const { mount, rooms, inner } = this.#existing(room)
    // The tree has been put together otherwise since the room was made.
    if (this.#table.of(path) !== mount) throw notFound(path)
    return rooms.become(inner, path, parts, options)
  }

  async drop(room: string, part: StoredPart): Promise<void> {
    const { rooms, inner } = this.#existing(room)
    await rooms.drop(inner, part)
  }

  async close(room: string, bytes?: number): Promise<void> {
    const found = this.#find(room)
    await found?.rooms.close(found.inner, bytes)
  }

  /** Where one store cannot be asked, those of the others come first. */
  async *list(): AsyncGenerator<readonly RoomEntry[]> {
    let failed: { readonly error: unknown } | undefined
    for (const { mount, tag } of this.#tagged) {
      if (mount.store.parts === undefined) continue
      try {
        for await (const batch of mount.store.parts.list())
          yield batch.map(({ room, modified }) => ({ room: room + tag, modified }))
      } catch (error) {
        failed ??= { error }
      }
    }
    if (failed !== undefined) throw failed.error
  }

  #existing(room: string): { readonly mount: Mount; readonly rooms: PartRooms; readonly inner: string } {
    const found = this.#find(room)
    if (found === undefined) throw notFound(rootPath)
    return found
  }

  #find(room: string): { readonly mount: Mount; readonly rooms: PartRooms; readonly inner: string } | undefined {
    // The root comes last, being the shortest path: its tag is empty.
    const found = this.#tagged.find(({ tag }) => room.endsWith(tag))
    const rooms = found?.mount.store.parts
    if (found === undefined || rooms === undefined || !roomName.test(room)) return undefined
    return { mount: found.mount, rooms, inner: room.slice(0, room.length - found.tag.length) }
  }
}

/** Throws `unsupported`. */
function roomsOf({ path, store }: Mount): PartRooms {
  if (store.parts === undefined)
    throw new Failure('unsupported', 'Files cannot be put together of parts here.', { path })
  return store.parts
}

function tagOf(path: StorePath): string {
  if (path === rootPath) return ''
  const hash = createHash('sha256').update(path).digest()
  // No digit of a hexadecimal number, so that no room of the root that is named by one seems to have a tag.
  return `z${hash
    .readBigUInt64BE()
    .toString(36)
    .padStart(tagLength, '0')
    .slice(-(tagLength - 1))}`
}
