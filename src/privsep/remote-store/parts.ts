import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../../store/aborted.js'
import { requireAttributes } from '../../store/local/write.js'
import type { PartOptions, PartRooms, RoomEntry, StoredPart } from '../../store/part-rooms.js'
import { notFound } from '../../store/refusals.js'
import type { Body, ByteRange, Digests, WriteOptions, Written } from '../../store/store.js'
import type { Head } from '../wire/link.js'
import { encodeWriteOptions } from '../write-head.js'
import { askPlainly, type Peer, type RemoteMount } from './peer.js'
import { Deposit } from './write-deposit.js'
import { deliver, finish, withLastWord } from './write.js'

const roomPattern = /^[0-9a-z]{1,64}$/
const placePattern = /^[\x21-\x7e]{1,100}$/

/** Rooms of one user, kept by the process of that user where it may write. */
export class RemotePartRooms implements PartRooms {
  readonly #mount: RemoteMount

  constructor(mount: RemoteMount) {
    this.#mount = mount
  }

  async open(path: StorePath): Promise<string> {
    const peer = await this.#mount.connect()
    const { head } = await askPlainly(peer, 'parts-open', { mount: this.#mount.mount, path })
    if (typeof head.room !== 'string' || !roomPattern.test(head.room)) throw peer.distrust('a room without a name')
    return head.room
  }

  async put(room: string, number: number, body: Body, options: PartOptions = {}): Promise<StoredPart> {
    throwIfAborted(options.signal)
    requireRoomName(room)
    return await withLastWord(this.#mount, options, async (peer, word) => {
      const { length } = options
      const begin = { name: 'parts-begin', head: { mount: this.#mount.mount, room, number, length } }
      const { head, size, digests } = await deliver(peer, word, rootPath, begin, body, options)
      if (!word.isHeeded) throw peer.distrust('a part that was kept without the last word')
      return partOf(peer, head, size, digests)
    })
  }

  async putFrom(
    room: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options: PartOptions = {},
  ): Promise<StoredPart> {
    throwIfAborted(options.signal)
    requireRoomName(room)
    return await withLastWord(this.#mount, options, async (peer, word) => {
      const { start, end } = range
      const { length = end - start, digests = [] } = options
      const ask = { mount: this.#mount.mount, room, number, from, start, end, length: Math.max(length, 0), digests }
      word.expect({ size: end - start })
      const head = await carryOut(peer, word.op, 'parts-from', { ...ask, asks: word.isNeeded }, options)
      const all = word.allDigests(head.digests)
      if (!word.isHeeded || all === undefined) throw peer.distrust('a part that was kept without the last word')
      return partOf(peer, head, end - start, all)
    })
  }

  async become(
    room: string,
    path: StorePath,
    parts: readonly StoredPart[],
    options: WriteOptions = {},
  ): Promise<Written> {
    throwIfAborted(options.signal)
    requireAttributes(path, options.attributes)
    requireRoomName(room)
    return await withLastWord(this.#mount, options, async (peer, word) => {
      const { digests = [] } = options
      const size = parts.reduce((sum, part) => sum + part.size, 0)
      word.expect({ size })
      const head = await carryOut(
        peer,
        word.op,
        'parts-become',
        {
          mount: this.#mount.mount,
          room,
          path,
          parts: parts.map(({ place, size }) => ({ place: placePattern.test(place) ? place : '', size })),
          options: encodeWriteOptions(options),
          digests,
          asks: word.isNeeded,
        },
        options,
      )
      const all = word.allDigests(head.digests)
      if (all === undefined) throw peer.distrust('digests that are none')
      return await finish(peer, word, path, head, { size, digests: all })
    })
  }

  async drop(room: string, { place, size }: StoredPart): Promise<void> {
    requireRoomName(room)
    const peer = await this.#mount.connect()
    const named = placePattern.test(place) ? place : ''
    await askPlainly(peer, 'parts-drop', { mount: this.#mount.mount, room, place: named, size })
  }

  async close(room: string): Promise<void> {
    if (!roomPattern.test(room)) return
    await askPlainly(await this.#mount.connect(), 'parts-close', { mount: this.#mount.mount, room })
  }

  async *list(): AsyncGenerator<readonly RoomEntry[]> {
    for (let after = ''; ;) {
      const peer = await this.#mount.connect()
      const { head } = await askPlainly(peer, 'parts-list', { mount: this.#mount.mount, after })
      const rooms = roomsOf(head)
      if (rooms === undefined || !isSorted(after, rooms)) throw peer.distrust('rooms that are none')
      if (rooms.length > 0) yield rooms
      const last = rooms.at(-1)
      if (last === undefined) return
      after = last.room
    }
  }
}

/** Has something done there, and given up where the signal aborts. */
async function carryOut(peer: Peer, op: number, name: string, head: Head, { signal }: PartOptions): Promise<Head> {
  const deposit = new Deposit(peer, op, rootPath, false)
  try {
    return await deposit.begin(name, head, signal)
  } catch (error) {
    if (signal?.aborted === true) await deposit.abandon()
    throw error
  } finally {
    deposit.end()
  }
}

/** Throws `not-found`. */
function requireRoomName(room: string): void {
  if (!roomPattern.test(room)) throw notFound(rootPath)
}

function partOf(peer: Peer, { place, size: told }: Head, size: number, digests: Digests): StoredPart {
  if (typeof place !== 'string' || !placePattern.test(place) || told !== size)
    throw peer.distrust('another part than the one that was written')
  return { place, size, digests }
}

function roomsOf({ rooms }: Head): readonly RoomEntry[] | undefined {
  if (!Array.isArray(rooms)) return undefined
  const entries: RoomEntry[] = []
  for (const each of rooms as readonly unknown[]) {
    const [room, modified] = Array.isArray(each) ? (each as readonly unknown[]) : []
    if (typeof room !== 'string' || !roomPattern.test(room) || !Number.isFinite(modified)) return undefined
    entries.push({ room, modified: modified as number })
  }
  return entries
}

/** Else it could go on for ever. */
function isSorted(after: string, rooms: readonly RoomEntry[]): boolean {
  return rooms.every(({ room }, index) => room > (rooms[index - 1]?.room ?? after))
}
