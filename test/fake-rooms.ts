import { bound } from '../src/catalog/tended.js'
import { Digester } from '../src/store/digester.js'
import { Failure } from '../src/core/failure.js'
import type { PartRooms, StoredPart } from '../src/store/part-rooms.js'
import type { Store } from '../src/store/store.js'

export function withRooms(store: Store, now: () => number): Store & { parts: PartRooms } {
  const rooms = new Map<string, { modified: number; parts: Map<string, Buffer> }>()
  let count = 0
  const roomOf = (room: string) => {
    const found = rooms.get(room)
    if (found === undefined) throw new Failure('not-found', 'no such room')
    return found
  }
  const bodyOf = async function* (bytes: Uint8Array) {
    yield bytes
  }
  const parts: PartRooms = {
    async open() {
      rooms.set(`r${++count}`, { modified: now(), parts: new Map() })
      return `r${count}`
    },
    async put(room, number, body, options = {}): Promise<StoredPart> {
      roomOf(room)
      const digester = new Digester(options.digests ?? [])
      const chunks: Uint8Array[] = []
      for await (const chunk of body) {
        chunks.push(chunk)
        digester.update(chunk)
      }
      const bytes = Buffer.concat(chunks)
      if (options.length !== undefined && options.length !== bytes.length) throw new Failure('incomplete', 'length')
      const digests = { ...digester.digests(), ...options.knownDigests?.() }
      await options.beforeCommit?.({ size: bytes.length, digests })
      const there = roomOf(room)
      const place = `${number}-${++count}`
      there.parts.set(place, bytes)
      there.modified = now()
      return { place, size: bytes.length, digests }
    },
    async putFrom(room, number, from, range, options) {
      const content = await store.open(from)
      if (range.end > content.entry.size) throw new Failure('bad-range', 'range', { path: from })
      return parts.put(room, number, content.bytes(range) as AsyncIterable<Uint8Array>, options)
    },
    async become(room, path, stored, options) {
      const there = roomOf(room)
      const pieces = stored.map(({ place }) => {
        const piece = there.parts.get(place)
        if (piece === undefined) throw new Failure('not-found', 'no such part')
        return piece
      })
      const written = await store.write(path, bodyOf(Buffer.concat(pieces)), {
        ...options,
        beforeCommit: async (staged) => {
          await options?.beforeCommit?.(staged)
          roomOf(room)
        },
      })
      rooms.delete(room)
      return written
    },
    async drop(room, { place }) {
      rooms.get(room)?.parts.delete(place)
    },
    async close(room) {
      rooms.delete(room)
    },
    async *list() {
      if (rooms.size > 0) yield [...rooms].map(([room, { modified }]) => ({ room, modified }))
    },
  }
  return { ...bound(store), parts }
}
