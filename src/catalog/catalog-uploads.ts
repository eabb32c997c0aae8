import { completeUpload, resultAgain } from './complete-upload.js'
import { listUploads, type UploadListOptions } from './list-uploads.js'
import { takePart } from './take-part.js'
import {
  decodePart,
  encode,
  newUploadId,
  partGroup,
  partName,
  uploadGroup,
  uploadName,
  type PartRecord,
  type UploadRecord,
} from './upload-records.js'
import {
  abortUpload,
  becameFile,
  noSuchUpload,
  readUpload,
  roomsOf,
  type FoundUpload,
  type UploadNeeds,
} from './upload-state.js'
import type { Upload, UploadFacts, UploadPart, UploadPartOptions, Uploads } from './uploads.js'
import type { StorePath } from '../core/path.js'
import { boundParts } from '../store/bound.js'
import type { PartPromise, PresignedPart } from '../store/part-rooms.js'
import type { Body, ByteRange, WriteOptions, Written } from '../store/store.js'

/**
 * Keeps what is known of uploads in a catalog. Made for each request, so it costs nothing until it is used. All methods
 * throw `unsupported` over a store without rooms for parts.
 */
export function catalogUploads(needs: UploadNeeds): Uploads {
  return new CatalogUploads(needs)
}

class CatalogUploads implements Uploads {
  readonly #needs: UploadNeeds

  constructor(needs: UploadNeeds) {
    this.#needs = needs
  }

  async begin(path: StorePath, { owner, attributes, size, notes }: UploadFacts): Promise<Upload> {
    const { catalog, clock, store } = this.#needs
    const rooms = roomsOf(store)
    const room = await rooms.open(path, size)
    const id = newUploadId()
    const upload = { id, path, owner, begun: clock.now(), attributes, ...(notes !== undefined && { notes }) }
    try {
      await catalog.swap(uploadGroup, uploadName(path, id), encode({ ...upload, room }), undefined)
    } catch (error) {
      await rooms.close(room)
      throw error
    }
    return upload
  }

  async find(path: StorePath, id: string): Promise<Upload> {
    return uploadOf((await this.#open(path, id)).record)
  }

  async part(
    path: StorePath,
    id: string,
    number: number,
    body: Body,
    options: UploadPartOptions = {},
  ): Promise<UploadPart> {
    const { record } = await this.#open(path, id)
    const rooms = roomsOf(this.#needs.store)
    const put = takePart(this.#needs, record, number, options, (counted) =>
      rooms.put(record.room, number, body, counted),
    )
    return partOf(await put)
  }

  async partFrom(
    path: StorePath,
    id: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options: UploadPartOptions = {},
  ): Promise<UploadPart> {
    const { record } = await this.#open(path, id)
    const rooms = roomsOf(this.#needs.store)
    const known = { ...options, length: range.end - range.start }
    const put = takePart(this.#needs, record, number, known, (counted) =>
      rooms.putFrom(record.room, number, from, range, counted),
    )
    return partOf(await put)
  }

  async offer(
    path: StorePath,
    id: string,
    number: number,
    promise: PartPromise,
    expiresSeconds: number,
  ): Promise<PresignedPart | undefined> {
    const { record } = await this.#open(path, id)
    return roomsOf(this.#needs.store).presign?.(record.room, number, promise, expiresSeconds)
  }

  async adopt(
    path: StorePath,
    id: string,
    number: number,
    promise: PartPromise,
    options: UploadPartOptions = {},
  ): Promise<UploadPart | undefined> {
    const { record } = await this.#open(path, id)
    const { adopt } = boundParts(roomsOf(this.#needs.store))
    if (adopt === undefined) return undefined
    const known = { ...options, length: promise.size }
    const taken = await takePart(this.#needs, record, number, known, (counted) =>
      adopt(record.room, number, promise, counted),
    )
    return taken && partOf(taken)
  }

  async *parts(path: StorePath, id: string, after = 0): AsyncGenerator<readonly UploadPart[]> {
    await this.#open(path, id)
    const { catalog } = this.#needs
    for await (const items of catalog.list(partGroup, { prefix: `${id}/`, after: partName(id, after) }))
      yield items.map((item) => partOf(decodePart(item)))
  }

  async complete(
    path: StorePath,
    id: string,
    order: readonly UploadPart[],
    options: WriteOptions = {},
  ): Promise<Written> {
    const found = await readUpload(this.#needs.catalog, path, id)
    return found === undefined ? resultAgain(this.#needs, path, id) : completeUpload(this.#needs, found, order, options)
  }

  async abort(path: StorePath, id: string): Promise<void> {
    let gone = false
    while (!gone) gone = await abortUpload(this.#needs, await this.#open(path, id))
  }

  async *list(directory: StorePath, options: UploadListOptions = {}): AsyncGenerator<readonly Upload[]> {
    for await (const records of listUploads(this.#needs.catalog, directory, options)) {
      const open: Upload[] = []
      for (const record of records)
        if ((await becameFile(this.#needs, record)) === undefined) open.push(uploadOf(record))
      if (open.length > 0) yield open
    }
  }

  /** Throws `not-found` for an upload that is over as well. */
  async #open(path: StorePath, id: string): Promise<FoundUpload> {
    roomsOf(this.#needs.store)
    const found = await readUpload(this.#needs.catalog, path, id)
    if (found === undefined || (await becameFile(this.#needs, found.record)) !== undefined) throw noSuchUpload()
    return found
  }
}

function uploadOf({ id, path, owner, begun, attributes, notes }: UploadRecord): Upload {
  return { id, path, owner, begun, attributes, ...(notes !== undefined && { notes }) }
}

function partOf({ number, size, digests, modified }: PartRecord): UploadPart {
  return { number, size, digests, modified }
}
