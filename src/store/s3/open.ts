import { Failure, isFailure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { requireConditions } from '../conditions.js'
import { isDirectory, notFound } from '../refusals.js'
import type { ByteRange, Content, Entry, OpenOptions } from '../store.js'
import type { S3Context } from './context.js'
import { fileEntry } from './entries.js'
import { fileKey, isAbsentByName, twinsOf } from './keys.js'
import { findDirectory, findFile } from './look.js'
import type { OpenObject } from './service.js'

/** Files up to so many bytes are read when they are opened, so that their connection is free at once. */
const smallFileBytes = 64 * 1024

/**
 * `Store.open`. One GET gives the entry and the bytes. Where only a part of them may be wanted, or none, it is a HEAD, and a
 * GET of just that part when it is asked for: to break a GET off costs its connection.
 */
export async function openObject(context: S3Context, path: StorePath, options: OpenOptions = {}): Promise<Content> {
  const { signal } = options
  throwIfAborted(signal)
  if (path === rootPath) throw isDirectory(path)
  if (isAbsentByName(path)) throw notFound(path)
  if (options.lazy === true || options.ifNoneMatch !== undefined) {
    const { key, facts } = await findFile(context, path, signal)
    requireConditions(path, facts, options)
    return new ObjectContent(context, { entry: fileEntry(context, path, facts), key, signal })
  }
  for (const key of twinsOf(fileKey(path))) {
    const object = await getWhole(context, key, signal)
    if (object === undefined) continue
    try {
      const { facts } = object
      requireConditions(path, facts, options)
      const entry = fileEntry(context, path, facts)
      if (facts.size <= smallFileBytes) return new HeldContent(entry, await collect(object))
      return new ObjectContent(context, { entry, key, signal, whole: object })
    } catch (error) {
      object.close()
      throw error
    }
  }
  throw (await findDirectory(context, path, signal)) === undefined ? notFound(path) : isDirectory(path)
}

async function getWhole(
  { service }: S3Context,
  key: string,
  signal: AbortSignal | undefined,
): Promise<OpenObject | undefined> {
  try {
    return await service.get(key, signal === undefined ? {} : { signal })
  } catch (error) {
    if (isFailure(error, 'not-found')) return undefined
    throw error
  }
}

async function collect(object: OpenObject): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of object.bytes) chunks.push(chunk)
  const [first] = chunks
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks)
}

/** Bytes that are there already. */
class HeldContent implements Content {
  readonly entry: Entry
  readonly #bytes: Uint8Array
  #isOpen = true

  constructor(entry: Entry, bytes: Uint8Array) {
    this.entry = entry
    this.#bytes = bytes
  }

  bytes(range?: ByteRange): Uint8Array {
    requireWithin(range, this.entry)
    if (!this.#isOpen) throw taken(this.entry.path)
    this.#isOpen = false
    return range === undefined ? this.#bytes : this.#bytes.subarray(range.start, range.end)
  }

  async close(): Promise<void> {
    this.#isOpen = false
  }
}

interface ObjectOfContent {
  readonly entry: Entry
  readonly key: string
  readonly signal: AbortSignal | undefined
  /** All the bytes, where a GET of them is under way. */
  readonly whole?: OpenObject
}

/** Bytes that are on their way, or will be asked for. */
class ObjectContent implements Content {
  readonly entry: Entry
  readonly #context: S3Context
  readonly #object: ObjectOfContent
  #isOpen = true
  #isClosed = false
  #closeBytes: () => void

  constructor(context: S3Context, object: ObjectOfContent) {
    this.entry = object.entry
    this.#context = context
    this.#object = object
    this.#closeBytes = () => object.whole?.close()
  }

  bytes(range?: ByteRange): AsyncIterable<Uint8Array> | Uint8Array {
    requireWithin(range, this.entry)
    if (!this.#isOpen) throw taken(this.entry.path)
    this.#isOpen = false
    const { whole } = this.#object
    const { start, end } = range ?? { start: 0, end: this.entry.size }
    if (whole !== undefined && start === 0 && end === this.entry.size) return whole.bytes
    whole?.close()
    return start === end ? new Uint8Array(0) : this.#part({ start, end })
  }

  async close(): Promise<void> {
    this.#isOpen = false
    this.#isClosed = true
    this.#closeBytes()
  }

  async *#part(range: ByteRange): AsyncGenerator<Uint8Array, void> {
    const { key, signal, entry } = this.#object
    const isWhole = range.start === 0 && range.end === entry.size
    const object = await this.#get(key, {
      ifMatch: entry.etag,
      ...(isWhole ? {} : { range }),
      ...(signal === undefined ? {} : { signal }),
    })
    this.#closeBytes = () => object.close()
    try {
      if (!this.#isClosed) yield* object.bytes
    } finally {
      object.close()
    }
  }

  async #get(key: string, options: Parameters<S3Context['service']['get']>[1]): Promise<OpenObject> {
    try {
      return await this.#context.service.get(key, options)
    } catch (error) {
      if (!isFailure(error, 'precondition', 'not-found', 'bad-range')) throw error
      // Bytes of another content must not come under this one's etag.
      throw new Failure('unavailable', 'The file was replaced while it was being read. Try again.', {
        path: this.entry.path,
        retryAfterSeconds: 1,
        cause: error,
      })
    }
  }
}

/** Throws `bad-range`. */
function requireWithin(range: ByteRange | undefined, { path, size }: Entry): void {
  if (range === undefined) return
  if (range.start < 0 || range.end < range.start || range.end > size)
    throw new Failure('bad-range', 'The range does not lie within the file.', { path, size })
}

function taken(path: StorePath): Failure {
  return new Failure('conflict', 'The bytes were taken already.', { path })
}
