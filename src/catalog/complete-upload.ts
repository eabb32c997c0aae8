import {
  decodeResult,
  encode,
  isUploadId,
  resultGroup,
  sameDigests,
  uploadGroup,
  uploadName,
  type PartRecord,
} from './upload-records.js'
import {
  becameFile,
  closingOf,
  finishUpload,
  noSuchUpload,
  partRecords,
  readUpload,
  roomsOf,
  type FoundUpload,
  type UploadNeeds,
} from './upload-state.js'
import type { UploadPart } from './uploads.js'
import { Failure, isFailure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { Staged, WriteOptions, Written } from '../store/store.js'

/**
 * Makes a file of an upload. Of several who try at the same time one does it: the record is marked at the last moment,
 * in the version that was read before. Throws like `Uploads.complete`, and `conflict` where another is at it.
 */
export async function completeUpload(
  needs: UploadNeeds,
  { record, version }: FoundUpload,
  order: readonly UploadPart[],
  options: WriteOptions,
): Promise<Written> {
  const { catalog, store } = needs
  const { path, id, room } = record
  const became = await becameFile(needs, record)
  if (became !== undefined) return became
  if (order.length === 0) throw new Failure('invalid', 'A file needs at least one part.', { reason: 'InvalidPart' })
  const parts = await chosen(needs, id, order)
  const beforeCommit = async (staged: Staged): Promise<void> => {
    await options.beforeCommit?.(staged)
    const closing = await closingOf(store, path, staged.size, options.attributes)
    const next = encode({ ...record, closing })
    if ((await catalog.swap(uploadGroup, uploadName(path, id), next, version)) !== false) return
    if ((await readUpload(catalog, path, id)) === undefined) throw noSuchUpload()
    throw new Failure('conflict', 'Another request is completing this upload. Try again.')
  }
  let written: Written
  try {
    written = await roomsOf(store).become(room, path, parts, { ...options, beforeCommit })
  } catch (error) {
    if (!isFailure(error, 'not-found')) throw error
    return lost(needs, path, id, order)
  }
  try {
    await finishUpload(needs, record, written)
  } catch (error) {
    // The file is there. What is left of the upload tells so to whoever comes next.
    if (!isFailure(error)) throw error
  }
  return written
}

/** What an upload has become that is over. Throws `not-found` where nobody remembers, or the file is another one. */
export async function resultAgain({ catalog, store }: UploadNeeds, path: StorePath, id: string): Promise<Written> {
  const item = isUploadId(id) ? await catalog.get(resultGroup, id) : undefined
  const result = item && decodeResult(item)
  const entry = result?.path === path ? await store.stat(path) : undefined
  if (result === undefined || entry === undefined || entry.etag !== result.etag) throw noSuchUpload()
  return { entry, created: result.created }
}

/** The records of the parts that were asked for. Throws `invalid` where one is not there or not as told. */
async function chosen({ catalog }: UploadNeeds, id: string, order: readonly UploadPart[]): Promise<PartRecord[]> {
  const present = new Map<number, PartRecord>()
  for await (const records of partRecords(catalog, id)) for (const record of records) present.set(record.number, record)
  const taken: PartRecord[] = []
  for (const { number, size, digests } of order) {
    const record = present.get(number)
    present.delete(number)
    if (record === undefined || record.size !== size || !sameDigests(digests, record.digests))
      throw new Failure('invalid', `Part ${number} is not there, is there as another one, or is named twice.`, {
        reason: 'InvalidPart',
      })
    taken.push(record)
  }
  return taken
}

/** The room, or one of the parts, has gone meanwhile: another has completed the upload, given it up, or put a part again. */
async function lost(needs: UploadNeeds, path: StorePath, id: string, order: readonly UploadPart[]): Promise<Written> {
  const found = await readUpload(needs.catalog, path, id)
  if (found === undefined) return resultAgain(needs, path, id)
  const became = await becameFile(needs, found.record)
  if (became !== undefined) return became
  await chosen(needs, id, order)
  throw noSuchUpload()
}
