import { setMaxListeners } from 'node:events'
import { Failure, isFailure } from '../../core/failure.js'
import { abortFailure, AbortableChunks, throwIfAborted } from '../aborted.js'
import type { Digester } from '../digester.js'
import { wrongLength } from '../refusals.js'
import type { Body } from '../store.js'
import { ChunkList } from './chunk-list.js'
import { requestsAtOnce, type S3Context } from './context.js'
import { partBytesOf, tooManyBytes } from './part-sizes.js'
import {
  maxParts,
  minPartBytes,
  type ObjectHeaders,
  type PartSource,
  type StoredObject,
  type Upload,
  type WriteCondition,
} from './service.js'

/** So much of a body is held without asking for room. */
const freeBytes = 256 * 1024

/** Parts with bytes of one upload that are under way at once. */
const partsAtOnce = 4

/** Most bytes that the service copies in one request: it copies several at once faster than a single large one. */
const copiedBytes = 2 ** 30

export interface SinkOptions {
  readonly key: string
  /** Of an object that comes in parts: its bytes are not known yet then. */
  readonly headers: ObjectHeaders
  /** All the bytes to come, where known: checked. */
  readonly length?: number | undefined
  /** Up to so many are held in memory; `smallBytes` by default. */
  readonly heldBytes?: number
  readonly digester?: Digester | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Takes the bytes of one object to be, in order. A few are held in memory; of more, parts are sent while the next come.
 * Then either `put` or `abandon`, and `end` in any case. Nothing of it is seen before `put`.
 */
export class ObjectSink {
  readonly #context: S3Context
  readonly #options: SinkOptions
  readonly #held = new ChunkList()
  readonly #stop = new AbortController()
  readonly #sending = new Set<Promise<void>>()
  readonly #parts: { readonly number: number; readonly etag: string }[] = []
  #numbers = 0
  #size = 0
  #release: (() => void) | undefined
  #upload: Upload | undefined

  constructor(context: S3Context, options: SinkOptions) {
    this.#context = context
    this.#options = options
    // Every request under way listens, and every upload to the store's own.
    setMaxListeners(0, this.#stop.signal, context.closing)
    for (const signal of this.#signals()) {
      if (signal.aborted) this.#stop.abort(signal.reason)
      else signal.addEventListener('abort', this.#onAbort)
    }
  }

  /** Bytes that came. */
  get size(): number {
    return this.#size
  }

  /** It comes in parts, and not in one request. */
  get isInParts(): boolean {
    return this.#upload !== undefined
  }

  /** Takes a body to its end. Throws as the body does; `incomplete` where it is longer than all may be. */
  async append(body: Body): Promise<void> {
    const chunks = new AbortableChunks(body, this.#stop.signal)
    try {
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) await this.#take(next.value)
    } finally {
      chunks.end()
    }
  }

  /**
   * Takes a range of a stored object, which the service copies where it can. Where digests are computed its bytes are read
   * for them. Throws `precondition` or `not-found` where the object is another by now.
   */
  async appendRange(source: PartSource, { inMemory = false } = {}): Promise<void> {
    const { start, end } = source.range
    const missing = this.#held.size === 0 ? 0 : Math.max(0, minPartBytes - this.#held.size)
    if (inMemory || end - start - missing < minPartBytes) {
      await this.#appendBytes(source, start, end)
      return
    }
    if (missing > 0) await this.#appendBytes(source, start, start + missing)
    if (this.#held.size > 0) await this.#flush()
    await this.#copy(source, start + missing, end)
  }

  /** Sends what is left and waits for all parts. Throws `incomplete` where less came than was said. */
  async finish(): Promise<void> {
    const { length } = this.#options
    throwIfAborted(this.#stop.signal)
    if (length !== undefined && this.#size !== length) throw wrongLength()
    if (this.#upload === undefined) return
    if (this.#held.size > 0) await this.#flush()
    await Promise.all(this.#sending)
    throwIfAborted(this.#stop.signal)
  }

  /**
   * Makes the object. No signal of a client ends this: the object would be there or not, and nobody knew. `headers` are
   * for an object that goes in one request. Throws `precondition`; what was taken stays then, for another try.
   */
  async put(
    condition: WriteCondition | undefined,
    headers: ObjectHeaders,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject> {
    const { service } = this.#context
    const options = { ...(condition === undefined ? {} : { condition }), ...(signal === undefined ? {} : { signal }) }
    if (this.#upload === undefined)
      return await service.put(this.#options.key, this.#held.all(), { headers, ...options })
    const parts = [...this.#parts].sort((a, b) => a.number - b.number)
    try {
      return await service.completeUpload(this.#upload, parts, options)
    } catch (error) {
      if (!isFailure(error, 'not-found')) throw error
      throw new Failure('unavailable', 'The storage service has lost what was sent to it. Try again.', {
        retryAfterSeconds: 1,
        cause: error,
      })
    }
  }

  /** Gives up all that was sent. Never throws. */
  async abandon(): Promise<void> {
    this.#stop.abort(new Failure('incomplete', 'The object is not to be.'))
    await Promise.all(this.#sending)
    // A part that arrives after its upload has gone would stay: hence the wait. What cannot be reached now is swept later.
    if (this.#upload !== undefined) await this.#context.service.abortUpload(this.#upload).catch(() => undefined)
  }

  /** Lets go of the memory and the signals. */
  end(): void {
    for (const signal of this.#signals()) signal.removeEventListener('abort', this.#onAbort)
    this.#held.take()
    this.#release?.()
    this.#release = undefined
  }

  readonly #onAbort = (): void => {
    const aborted = this.#signals().find((signal) => signal.aborted)
    if (aborted !== undefined) this.#stop.abort(abortFailure(aborted))
  }

  #signals(): readonly AbortSignal[] {
    const { signal } = this.#options
    return signal === undefined ? [this.#context.closing] : [signal, this.#context.closing]
  }

  async #take(chunk: Uint8Array): Promise<void> {
    this.#count(chunk.length)
    this.#options.digester?.update(chunk)
    for (let at = 0; at < chunk.length;) {
      const limit = partBytesOf(this.#numbers + 1, this.#options.length, this.#options.heldBytes)
      if (this.#held.size >= limit) await this.#flush()
      const piece = chunk.subarray(at, at + limit - this.#held.size)
      if (this.#release === undefined && this.#held.size + piece.length > freeBytes) {
        const left = (this.#options.length ?? Infinity) - this.#size + chunk.length - at + this.#held.size
        this.#release = await this.#context.buffers.take(Math.min(limit, left), this.#stop.signal)
      }
      this.#held.add(piece)
      at += piece.length
    }
  }

  #count(bytes: number): void {
    this.#size += bytes
    if (this.#options.length !== undefined && this.#size > this.#options.length) throw wrongLength()
  }

  async #appendBytes({ key, etag }: PartSource, start: number, end: number): Promise<void> {
    if (start === end) return
    const signal = this.#stop.signal
    const { bytes, close } = await this.#open({ key, etag, range: { start, end } }, signal)
    try {
      await this.append(bytes)
    } finally {
      close()
    }
  }

  async #copy(source: PartSource, start: number, end: number): Promise<void> {
    this.#count(end - start)
    const count = Math.ceil((end - start) / copiedBytes)
    for (let index = 0; index < count; index++) {
      const from = start + Math.floor(((end - start) / count) * index)
      const to = index === count - 1 ? end : start + Math.floor(((end - start) / count) * (index + 1))
      await this.#send(requestsAtOnce, undefined, (upload, number) =>
        this.#context.service.copyPart(
          upload,
          number,
          { ...source, range: { start: from, end: to } },
          this.#stop.signal,
        ),
      )
    }
    if (this.#options.digester !== undefined) await this.#digest(source, start, end, this.#options.digester)
  }

  async #digest({ key, etag }: PartSource, start: number, end: number, digester: Digester): Promise<void> {
    const { bytes, close } = await this.#open({ key, etag, range: { start, end } }, this.#stop.signal)
    const chunks = new AbortableChunks(bytes, this.#stop.signal)
    try {
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) digester.update(next.value)
    } finally {
      chunks.end()
      close()
    }
  }

  async #open({ key, etag, range }: PartSource, signal: AbortSignal): Promise<{ bytes: Body; close: () => void }> {
    const object = await this.#context.service.get(key, { range, ifMatch: etag, signal })
    return { bytes: object.bytes, close: () => object.close() }
  }

  /** Sends what is held as a part. */
  async #flush(): Promise<void> {
    const bytes = this.#held.take()
    const release = this.#release
    this.#release = undefined
    try {
      await this.#send(partsAtOnce, release, (upload, number) =>
        this.#context.service.putPart(upload, number, bytes, this.#stop.signal),
      )
    } catch (error) {
      release?.()
      throw error
    }
  }

  /** Begins to send a part as soon as fewer than so many are under way; its failure stops everything. */
  async #send(
    atOnce: number,
    release: (() => void) | undefined,
    send: (upload: Upload, number: number) => Promise<string>,
  ): Promise<void> {
    const { key, headers } = this.#options
    while (this.#sending.size >= atOnce) await Promise.race(this.#sending)
    throwIfAborted(this.#stop.signal)
    // No signal: an upload that was begun without our knowing would stay.
    const upload = (this.#upload ??= { key, id: await this.#context.service.beginUpload(key, headers) })
    const number = ++this.#numbers
    if (number > maxParts) throw tooManyBytes()
    const sending = send(upload, number)
      .then(
        (etag) => {
          this.#parts.push({ number, etag })
        },
        (error: unknown) => {
          this.#stop.abort(
            isFailure(error) ? error : new Failure('unavailable', 'A part was not sent.', { cause: error }),
          )
        },
      )
      .finally(() => {
        release?.()
        this.#sending.delete(sending)
      })
    this.#sending.add(sending)
  }
}
