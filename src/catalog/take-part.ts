import { decodePart, encodePart, partGroup, partName, type PartRecord, type UploadRecord } from './upload-records.js'
import { noSuchUpload, readUpload, roomsOf, type UploadNeeds } from './upload-state.js'
import type { UploadPartOptions } from './uploads.js'
import { Failure, isFailure } from '../core/failure.js'
import type { PartOptions, StoredPart } from '../store/part-rooms.js'

/** S3 User Guide, "Amazon S3 multipart upload limits". */
export const maxPartNumber = 10_000

/**
 * Has the bytes of a part put in the upload's room, then takes them into its records, in place of what had the number
 * before; undefined where there is none to take. Throws `invalid` for a number out of range, `too-large` over `mostTogether`, `not-found` where the upload is over by then.
 */
export async function takePart(
  needs: UploadNeeds,
  upload: UploadRecord,
  number: number,
  options: UploadPartOptions,
  put: (options: PartOptions) => Promise<StoredPart>,
): Promise<PartRecord>
export async function takePart(
  needs: UploadNeeds,
  upload: UploadRecord,
  number: number,
  options: UploadPartOptions,
  put: (options: PartOptions) => Promise<StoredPart | undefined>,
): Promise<PartRecord | undefined>
export async function takePart(
  needs: UploadNeeds,
  upload: UploadRecord,
  number: number,
  { mostTogether, ...options }: UploadPartOptions,
  put: (options: PartOptions) => Promise<StoredPart | undefined>,
): Promise<PartRecord | undefined> {
  if (!Number.isInteger(number) || number < 1 || number > maxPartNumber)
    throw new Failure('invalid', `A part number is a whole number from 1 to ${maxPartNumber}.`, {
      reason: 'InvalidArgument',
    })
  const total = mostTogether === undefined ? undefined : new TotalBytes(needs, upload.id, mostTogether)
  try {
    const stored = await put(total === undefined ? options : await total.bounded(number, options))
    if (stored === undefined) return undefined
    return await keep(needs, upload, number, stored, total)
  } catch (error) {
    await total?.undo()
    // The room goes with the upload.
    if (isFailure(error, 'not-found') && (await readUpload(needs.catalog, upload.path, upload.id)) === undefined)
      throw noSuchUpload()
    throw error
  }
}

/** Where the catalog fails, the bytes stay in the room: a record may know of them. */
async function keep(
  { catalog, clock, store }: UploadNeeds,
  { id, path, room }: UploadRecord,
  number: number,
  { place, size, digests }: StoredPart,
  total: TotalBytes | undefined,
): Promise<PartRecord> {
  const rooms = roomsOf(store)
  const name = partName(id, number)
  const record = { number, size, digests, modified: clock.now(), place }
  for (;;) {
    const present = await catalog.get(partGroup, name)
    const version = await catalog.swap(partGroup, name, encodePart(record), present?.version)
    if (version === false) continue
    if (present !== undefined) {
      const replaced = decodePart(present)
      // A part that came past this server has its own place: it may have been taken twice.
      if (replaced.place !== place) await rooms.drop(room, replaced)
      await total?.add(-replaced.size)
    }
    if ((await readUpload(catalog, path, id)) !== undefined) return record
    // Whoever ended the upload may have been through its parts before this one came.
    if ((await catalog.swap(partGroup, name, undefined, version)) !== false) await rooms.drop(room, record)
    throw noSuchUpload()
  }
}

const totalsGroup = 'upload-totals'
/** A count need not live as long as its upload: what is too large in the end is refused in the end too. */
const totalsMilliseconds = 14 * 24 * 3600 * 1000

/** The bytes of an upload's parts, counted where somebody bounds them: parts come several at a time, to several processes. */
class TotalBytes {
  readonly #needs: UploadNeeds
  readonly #id: string
  readonly #most: number
  #added = 0

  constructor(needs: UploadNeeds, id: string, most: number) {
    this.#needs = needs
    this.#id = id
    this.#most = most
  }

  /** Options under which a part of that number is counted, and refused where it is too much. */
  async bounded(number: number, options: PartOptions): Promise<PartOptions> {
    const present = await this.#needs.catalog.get(partGroup, partName(this.#id, number))
    const replaced = present === undefined ? 0 : decodePart(present).size
    this.#check((await this.add(0)) - replaced + (options.length ?? 0))
    return {
      ...options,
      beforeCommit: async (staged) => {
        await options.beforeCommit?.(staged)
        const sum = await this.add(staged.size)
        this.#added = staged.size
        this.#check(sum - replaced)
      },
    }
  }

  add(by: number): Promise<number> {
    const { catalog, clock } = this.#needs
    return catalog.add(totalsGroup, this.#id, by, new Date(clock.now() + totalsMilliseconds))
  }

  async undo(): Promise<void> {
    if (this.#added !== 0) await this.add(-this.#added)
  }

  #check(sum: number): void {
    if (sum > this.#most)
      throw new Failure('too-large', `A file may have at most ${this.#most} bytes here.`, { size: this.#most })
  }
}
