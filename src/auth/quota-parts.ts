import type { Quota } from './quota-store.js'
import { overQuota, type Reserved } from '../catalog/usage.js'
import type { StorePath } from '../core/path.js'
import { atMost } from '../store/at-most.js'
import { boundParts } from '../store/bound.js'
import type { PartOptions, PartPromise, PartRooms, StoredPart } from '../store/part-rooms.js'

type AdoptOptions = Pick<PartOptions, 'beforeCommit' | 'signal'>

/**
 * Rooms whose parts count like files below the home, from when they come until they go, and as what they become: so a
 * file that is to be replaced counts beside its parts, and to complete an upload needs no further room.
 */
export function partsWithin(
  parts: PartRooms,
  { home, quotaBytes, usage }: Quota,
  sizeOf: (path: StorePath) => Promise<number>,
): PartRooms {
  const { presign, adopt } = boundParts(parts)
  const nothingYet = (): Promise<Reserved> => usage.reserve(home, quotaBytes, 0)

  /** Sets the bytes of a part aside at the last moment before it is kept. */
  async function put<Kept extends StoredPart | undefined>(
    options: PartOptions,
    commit: (options: PartOptions) => Promise<Kept>,
  ): Promise<Kept> {
    let reserved: Reserved | undefined
    try {
      return await commit({
        ...options,
        beforeCommit: async (staged) => {
          await options.beforeCommit?.(staged)
          reserved = await usage.reserve(home, quotaBytes, staged.size)
        },
      })
    } catch (error) {
      if (reserved !== undefined) await usage.cancel(home, reserved)
      throw error
    }
  }

  /** Bytes that a part may have. Throws where `length` are too many. */
  async function roomFor(length: number | undefined): Promise<number> {
    const room = await usage.room(home, quotaBytes, length ?? 1)
    if (length !== undefined && length > room) throw overQuota()
    return room
  }

  return {
    async open(path, size) {
      await roomFor(size === 0 ? undefined : size)
      return parts.open(path, size)
    },
    ...(presign && {
      async presign(room: string, number: number, promise: PartPromise, expiresSeconds: number) {
        await roomFor(promise.size)
        return presign(room, number, promise, expiresSeconds)
      },
    }),
    ...(adopt && {
      async adopt(room: string, number: number, promise: PartPromise, options: AdoptOptions = {}) {
        return put(options, (counted) => adopt(room, number, promise, counted))
      },
    }),
    async put(room, number, body, options = {}) {
      const most = await roomFor(options.length)
      const bounded = options.length === undefined ? atMost(body, most, overQuota) : body
      return put(options, (counted) => parts.put(room, number, bounded, counted))
    },
    async putFrom(room, number, from, range, options = {}) {
      await roomFor(range.end - range.start)
      return put(options, (counted) => parts.putFrom(room, number, from, range, counted))
    },
    async become(room, path, stored, options = {}) {
      let replaced: { readonly since: Reserved; readonly bytes: number } | undefined
      const written = await parts.become(room, path, stored, {
        ...options,
        beforeCommit: async (staged) => {
          await options.beforeCommit?.(staged)
          replaced = { bytes: await sizeOf(path), since: await nothingYet() }
        },
      })
      if (replaced !== undefined) await usage.free(home, replaced.since, replaced.bytes)
      return written
    },
    async drop(room, part) {
      const before = await nothingYet()
      await parts.drop(room, part)
      await usage.free(home, before, part.size)
    },
    async close(room, bytes = 0) {
      if (bytes === 0) return parts.close(room)
      const before = await nothingYet()
      await parts.close(room)
      await usage.free(home, before, bytes)
    },
    list: () => parts.list(),
  }
}
