import type { Catalog } from './catalog.js'
import { decodeUpload, partGroup, uploadGroup, uploadOfPart, type UploadRecord } from './upload-records.js'
import { abortUpload, becameFile, partRecords, removeParts, roomsOf, type UploadNeeds } from './upload-state.js'
import type { Store } from '../store/store.js'

/** A room that no record knows may have been made a moment ago, for a record that is about to come. */
const strayRoomMilliseconds = 24 * 3600 * 1000
/** How many names are held in memory to see whether uploads know them. */
const candidatesAtOnce = 10_000
/** After so many it is given up for this time. */
const mostFailures = 100

/** What was cleared away. */
export interface ExpiredUploads {
  readonly uploads: number
  readonly rooms: number
  /** What could not be removed, and why. It is found again the next time. */
  readonly left: readonly string[]
}

export interface ExpireOptions {
  readonly signal?: AbortSignal
  /** The part of the store whose rooms are all of this catalog, where others keep theirs elsewhere; undefined for none. All of it by default. */
  readonly own?: Store | undefined
}

/**
 * Gives up the uploads that have had no part for so long, and removes what crashes have left: records of parts without an
 * upload, and rooms that no upload knows and that nothing was put in for a day. So a room that could not be removed with
 * its upload is not forgotten: the store itself still shows it. For one process at a time; memory stays flat.
 */
export async function expireUploads(
  needs: UploadNeeds,
  olderThanMilliseconds: number,
  options: ExpireOptions = {},
): Promise<ExpiredUploads> {
  const { catalog, clock, store } = needs
  const { signal } = options
  if (store.parts === undefined) return { uploads: 0, rooms: 0, left: [] }
  const left = new Left()
  let uploads = 0
  const before = clock.now() - olderThanMilliseconds
  for await (const items of catalog.list(uploadGroup)) {
    for (const { value, version } of items) {
      signal?.throwIfAborted()
      const record = decodeUpload({ value, version })
      await left.attempt(`the upload of ${record.path}`, async () => {
        if ((await becameFile(needs, record)) !== undefined || (await lastTouched(needs, record)) > before) return
        if (await abortUpload(needs, { record, version })) uploads += 1
      })
    }
  }
  await removeStrayParts(needs)
  const own = 'own' in options ? options.own : store
  const rooms = own?.parts === undefined ? 0 : await closeStrayRooms({ catalog, clock, store: own }, left, signal)
  return { uploads, rooms, left: left.sentences }
}

/** One thing that cannot be removed keeps nobody from the others. */
class Left {
  readonly sentences: string[] = []
  #failures = 0

  async attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.sentences.push(`${what} could not be removed: ${error instanceof Error ? error.message : String(error)}`)
      // The store is away altogether.
      if (++this.#failures >= mostFailures) throw error
    }
  }
}

async function lastTouched({ catalog }: UploadNeeds, { id, begun }: UploadRecord): Promise<number> {
  let last = begun
  for await (const records of partRecords(catalog, id))
    for (const { modified } of records) last = Math.max(last, modified)
  return last
}

async function removeStrayParts({ catalog }: UploadNeeds): Promise<void> {
  let ids = new Set<string>()
  for await (const items of catalog.list(partGroup)) {
    for (const { name } of items) ids.add(uploadOfPart(name))
    if (ids.size < candidatesAtOnce) continue
    await removePartsOf(catalog, ids)
    ids = new Set()
  }
  await removePartsOf(catalog, ids)
}

async function removePartsOf(catalog: Catalog, ids: Set<string>): Promise<void> {
  for (const id of await unknown(catalog, ids, (record) => record.id)) await removeParts(catalog, id)
}

async function closeStrayRooms(
  { catalog, clock, store }: UploadNeeds,
  left: Left,
  signal: AbortSignal | undefined,
): Promise<number> {
  const rooms = roomsOf(store)
  let closed = 0
  const close = async (names: Set<string>): Promise<void> => {
    for (const room of await unknown(catalog, names, (record) => record.room)) {
      signal?.throwIfAborted()
      await left.attempt(`the unfinished upload ${room}`, async () => {
        await rooms.close(room)
        closed += 1
      })
    }
  }
  let old = new Set<string>()
  for await (const entries of rooms.list()) {
    for (const { room, modified } of entries) if (modified < clock.now() - strayRoomMilliseconds) old.add(room)
    if (old.size < candidatesAtOnce) continue
    await close(old)
    old = new Set()
  }
  await close(old)
  return closed
}

/** Those of the names that no upload has. */
async function unknown(
  catalog: Catalog,
  names: Set<string>,
  nameOf: (record: UploadRecord) => string,
): Promise<ReadonlySet<string>> {
  if (names.size > 0)
    for await (const items of catalog.list(uploadGroup))
      for (const item of items) names.delete(nameOf(decodeUpload(item)))
  return names
}
