import { createHash } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Catalog } from './catalog.js'
import { maxValueBytes } from './catalog.js'
import type { Clock } from '../core/clock.js'

/** The members of a collection at one moment: relative path → what tells one state of a member from another. */
export type Listing = ReadonlyMap<string, string>

/**
 * Remembers what a client was told of a collection, so that it can later be told what has changed since (RFC 6578),
 * whoever made the change and on whatever store. Equal listings are kept once, for thirty days.
 */
export interface Snapshots {
  /** Keeps a listing of `subject` and gives its id, which is always the same for the same subject and listing. */
  keep(subject: string, listing: Listing): Promise<string>
  /** The listing kept under an id for that subject, or undefined where it is unknown or too old. */
  find(subject: string, id: string): Promise<Listing | undefined>
}

const group = 'snapshots'
const keptMilliseconds = 30 * 24 * 3600 * 1000

/** Keeps snapshots in a catalog, in as many pieces as they need. */
export function catalogSnapshots(catalog: Catalog, clock: Clock): Snapshots {
  return {
    async keep(subject, listing) {
      const text = JSON.stringify([...listing].sort(([one], [other]) => (one < other ? -1 : 1)))
      const id = idOf(subject, text)
      const now = clock.now()
      const present = await catalog.get(group, `${id}/0`)
      // What was told again today must last as long as what is told today for the first time.
      if (present !== undefined && headOf(present.value).expires > now + keptMilliseconds - renewedMilliseconds)
        return id
      const packed = deflateRawSync(text, { level: 1 })
      const expires = now + keptMilliseconds
      const pieces = Math.max(1, Math.ceil(packed.length / pieceBytes))
      // The first piece goes last: where it is, all are.
      for (let piece = pieces - 1; piece >= 0; piece--) {
        const bytes = packed.subarray(piece * pieceBytes, (piece + 1) * pieceBytes)
        const value = Buffer.concat([writeHead({ pieces, expires }), bytes])
        await catalog.swap(group, `${id}/${piece}`, value, 'any', new Date(expires))
      }
      return id
    },

    async find(subject, id) {
      if (!/^[0-9a-f]{40}$/.test(id)) return undefined
      const first = await catalog.get(group, `${id}/0`)
      if (first === undefined) return undefined
      const { pieces } = headOf(first.value)
      const packed = [first.value.subarray(headBytes)]
      for (let piece = 1; piece < pieces; piece++) {
        const next = await catalog.get(group, `${id}/${piece}`)
        if (next === undefined) return undefined
        packed.push(next.value.subarray(headBytes))
      }
      const text = inflateRawSync(Buffer.concat(packed)).toString()
      return idOf(subject, text) === id ? new Map(JSON.parse(text) as [string, string][]) : undefined
    },
  }
}

const renewedMilliseconds = 24 * 3600 * 1000
const headBytes = 12
const pieceBytes = maxValueBytes - headBytes

interface Head {
  readonly pieces: number
  /** Milliseconds since the epoch. */
  readonly expires: number
}

function writeHead({ pieces, expires }: Head): Uint8Array {
  const head = Buffer.alloc(headBytes)
  head.writeUInt32LE(pieces, 0)
  head.writeDoubleLE(expires, 4)
  return head
}

function headOf(value: Uint8Array): Head {
  const head = Buffer.from(value.buffer, value.byteOffset, headBytes)
  return { pieces: head.readUInt32LE(0), expires: head.readDoubleLE(4) }
}

function idOf(subject: string, text: string): string {
  return createHash('sha256').update(subject).update('\0').update(text).digest('hex').slice(0, 40)
}
