import type { Catalog } from './catalog.js'
import { decodeUpload, partGroup, uploadGroup, uploadOfPart, type UploadRecord } from './upload-records.js'
import { abortUpload, becameFile, partRecords, removeParts, roomsOf, type UploadNeeds } from './upload-state.js'

/** A room that no record knows may have been made a moment ago, for a record that is about to come. */
const strayRoomMilliseconds = 24 * 3600 * 1000
/** How many names are held in memory to see whether uploads know them. */
const candidatesAtOnce = 10_000

/** What was cleared away. */
export interface ExpiredUploads {
  readonly uploads: number
  readonly rooms: number
}

/**
 * Gives up the uploads that have had no part for so long, and removes what crashes have left: records of parts without an
 * upload, and rooms that no upload knows and that nothing was put in for a day. For one process at a time; memory stays flat.
 */
export async function expireUploads(needs: UploadNeeds, olderThanMilliseconds: number): Promise<ExpiredUploads> {
  const { catalog, clock, store } = needs
  if (store.parts === undefined) return { uploads: 0, rooms: 0 }
  let uploads = 0
  const before = clock.now() - olderThanMilliseconds
  for await (const items of catalog.list(uploadGroup)) {
    for (const { value, version } of items) {
      const record = decodeUpload({ value, version })
      if ((await becameFile(needs, record)) !== undefined || (await lastTouched(needs, record)) > before) continue
      if (await abortUpload(needs, { record, version })) uploads += 1
    }
  }
  await removeStrayParts(needs)
  return { uploads, rooms: await closeStrayRooms(needs) }
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

async function closeStrayRooms({ catalog, clock, store }: UploadNeeds): Promise<number> {
  const rooms = roomsOf(store)
  let closed = 0
  const close = async (names: Set<string>): Promise<void> => {
    for (const room of await unknown(catalog, names, (record) => record.room)) {
      await rooms.close(room)
      closed += 1
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
