import { denied, type Rights } from './rights.js'
import type { Upload, UploadFacts, UploadPart, UploadPartOptions, Uploads } from '../catalog/uploads.js'
import { isOwnPath, type StorePath } from '../core/path.js'
import { atMost, tooLarge } from '../store/at-most.js'
import type { PartPromise, PresignedPart } from '../store/part-rooms.js'
import type { Body, ByteRange, WriteOptions, Written } from '../store/store.js'

/**
 * Uploads with one caller's rights around them. Whoever may create or replace a file may deal with uploads for it,
 * begun by others as well; whether the file may take its name is judged when the upload is completed, as of any other write.
 */
export class GuardedUploads implements Uploads {
  readonly #uploads: Uploads
  readonly #rights: Rights

  constructor(uploads: Uploads, rights: Rights) {
    this.#uploads = uploads
    this.#rights = rights
  }

  async begin(path: StorePath, facts: UploadFacts): Promise<Upload> {
    this.#demandPut(path)
    // Told now what would be told after the last byte.
    await this.#rights.checkPut(path)
    const most = this.#rights.mostBytes(path)
    if (facts.size !== undefined && facts.size > most) throw tooLarge(most)
    return this.#uploads.begin(path, facts)
  }

  async find(path: StorePath, id: string): Promise<Upload> {
    this.#demandPut(path)
    return this.#uploads.find(path, id)
  }

  async part(
    path: StorePath,
    id: string,
    number: number,
    body: Body,
    options: UploadPartOptions = {},
  ): Promise<UploadPart> {
    this.#demandPut(path)
    const most = this.#rights.mostBytes(path)
    if (most === Infinity) return this.#uploads.part(path, id, number, body, options)
    if (options.length !== undefined && options.length > most) throw tooLarge(most)
    return this.#uploads.part(path, id, number, atMost(body, most), { ...options, mostTogether: most })
  }

  async partFrom(
    path: StorePath,
    id: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options: UploadPartOptions = {},
  ): Promise<UploadPart> {
    this.#rights.demand('read', from)
    this.#demandPut(path)
    const most = this.#rights.mostBytes(path)
    const bounded = most === Infinity ? options : { ...options, mostTogether: most }
    return this.#uploads.partFrom(path, id, number, from, range, bounded)
  }

  async offer(
    path: StorePath,
    id: string,
    number: number,
    promise: PartPromise,
    expiresSeconds: number,
  ): Promise<PresignedPart | undefined> {
    this.#demandPut(path)
    const most = this.#rights.mostBytes(path)
    if (promise.size > most) throw tooLarge(most)
    return this.#uploads.offer(path, id, number, promise, expiresSeconds)
  }

  async adopt(
    path: StorePath,
    id: string,
    number: number,
    promise: PartPromise,
    options: UploadPartOptions = {},
  ): Promise<UploadPart | undefined> {
    this.#demandPut(path)
    const most = this.#rights.mostBytes(path)
    const bounded = most === Infinity ? options : { ...options, mostTogether: most }
    return this.#uploads.adopt(path, id, number, promise, bounded)
  }

  async *parts(path: StorePath, id: string, after?: number): AsyncGenerator<readonly UploadPart[]> {
    this.#demandPut(path)
    yield* this.#uploads.parts(path, id, after)
  }

  async complete(
    path: StorePath,
    id: string,
    order: readonly UploadPart[],
    options: WriteOptions = {},
  ): Promise<Written> {
    return this.#rights.put(path, options, (narrow) => this.#uploads.complete(path, id, order, narrow))
  }

  async abort(path: StorePath, id: string): Promise<void> {
    this.#demandPut(path)
    await this.#uploads.abort(path, id)
  }

  async *list(directory: StorePath, options?: Parameters<Uploads['list']>[1]): AsyncGenerator<readonly Upload[]> {
    const leadsThere = !isOwnPath(directory) && this.#rights.permit.mayAllowBelow(directory)
    if (!leadsThere && !this.#mayPut(directory)) throw denied('list', directory)
    for await (const uploads of this.#uploads.list(directory, options)) {
      const shown = uploads.filter((upload) => this.#shows(upload))
      if (shown.length > 0) yield shown
    }
  }

  /** What others are about to put there is named to those only who would see it once it is there. */
  #shows({ path, owner }: Upload): boolean {
    return this.#mayPut(path) && (owner === this.#rights.holder.principal || this.#rights.sees(path, false))
  }

  #mayPut(path: StorePath): boolean {
    return this.#rights.allows('replace', path) || this.#rights.allows('create', path)
  }

  #demandPut(path: StorePath): void {
    if (!this.#mayPut(path)) throw denied('create', path)
  }
}
