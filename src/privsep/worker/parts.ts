import type { LocalStore } from '../../store/local.js'
import type { RoomEntry } from '../../store/part-rooms.js'
import type { Head, Table } from '../wire/link.js'
import { countIn, malformed, pathIn, textIn } from '../write-head.js'

const frame = 64 * 1024

/** Rooms told of at a time. */
const pageRooms = 500

/** What can be asked about rooms for parts, beside what is written to them (`Writer`). */
export function partsTable(stores: readonly LocalStore[]): Table {
  const partsOf = (head: Head): LocalStore['parts'] => {
    const store = stores[countIn(head, 'mount')]
    if (store === undefined) throw malformed()
    return store.parts
  }
  return {
    'parts-open': {
      maxBytes: frame,
      handle: async ({ head }) => ({ head: { room: await partsOf(head).open(pathIn(head, 'path')) } }),
    },
    'parts-drop': {
      maxBytes: frame,
      async handle({ head }) {
        const part = { place: textIn(head, 'place'), size: Number(head.size), digests: {} }
        await partsOf(head).drop(textIn(head, 'room'), part)
        return {}
      },
    },
    'parts-close': {
      maxBytes: frame,
      async handle({ head }) {
        await partsOf(head).close(textIn(head, 'room'))
        return {}
      },
    },
    'parts-list': {
      maxBytes: frame,
      async handle({ head }) {
        const after = textIn(head, 'after')
        const rooms: RoomEntry[] = []
        for await (const batch of partsOf(head).list()) rooms.push(...batch.filter(({ room }) => room > after))
        rooms.sort((one, other) => (one.room < other.room ? -1 : 1))
        return { head: { rooms: rooms.slice(0, pageRooms).map(({ room, modified }) => [room, modified]) } }
      },
    },
  }
}
