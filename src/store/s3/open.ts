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
import type { GetOptions, OpenObject } from './service.js'

/** So many bytes are read when the file is opened, so that their connection is free at once. */
const smallBytes = 64 * 1024

/**
 * `Store.open`. One GET gives the entry and the bytes, all of them or the part that will be asked for. Where it is not known
 * which, or whether any, it is a HEAD, and a GET of just those when they are asked for: to break a GET off costs its
 * connection.
 */
export async function openObject(context: S3Context, path: StorePath, options: OpenOptions = {}): Promise<Content> {
  const { signal, part } = options
  throwIfAborted(signal)
  if (path === rootPath) throw isDirectory(path)
  if (isAbsentByName(path)) throw notFound(path)
  const isKnown = part !== undefined || options.lazy !== true
  if (isKnown && options.ifNoneMatch === undefined) {
    try {
      const content = await openAtOnce(context, path, options)
      if (content === undefined)
        throw (await findDirectory(context, path, signal)) === undefined ? notFound(path) : isDirectory(path)
      return content
    } catch (error) {
      // There is no such part: whoever asks for it needs to know the size.
      if (part === undefined || !isFailure(error, 'bad-range')) throw error
    }
  }
  const { key, facts } = await findFile(context, path, signal)
  requireConditions(path, facts, options)
  return new ObjectContent(context, { entry: fileEntry(context, path, facts), key, signal })
}

/** By one GET; undefined where there is no such file. */
async function openAtOnce(context: S3Context, path: StorePath, options: OpenOptions): Promise<Content | undefined> {
  const { signal, part } = options
  const range = part === undefined ? undefined : { start: part.start, end: part.end ?? Number.MAX_SAFE_INTEGER }
  for (const key of twinsOf(fileKey(path))) {
    const object = await getIfThere(context, key, {
      ...(range === undefined ? {} : { range }),
      ...(signal === undefined ? {} : { signal }),
    })
    if (object === undefined) continue
    try {
      const { facts } = object
      requireConditions(path, facts, options)
      const start = range?.start ?? 0
      const end = Math.min(range?.end ?? facts.size, facts.size)
      const bytes = end - start <= smallBytes ? await collect(object) : object.bytes
      const ahead = { start, end, bytes, close: () => object.close() }
      return new ObjectContent(context, { entry: fileEntry(context, path, facts), key, signal, ahead })
    } catch (error) {
      object.close()
      throw error
    }
  }
  return undefined
}

async function getIfThere({ service }: S3Context, key: string, options: GetOptions): Promise<OpenObject | undefined> {
  try {
    return await service.get(key, options)
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

/** Bytes that are there already, or on their way. */
interface Ahead extends ByteRange {
  readonly bytes: Uint8Array | AsyncIterable<Uint8Array>
  readonly close: () => void
}

interface ObjectOfContent {
  readonly entry: Entry
  readonly key: string
  readonly signal: AbortSignal | undefined
  readonly ahead?: Ahead
}

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
    this.#closeBytes = () => object.ahead?.close()
  }

  bytes(range: ByteRange = { start: 0, end: this.entry.size }): AsyncIterable<Uint8Array> | Uint8Array {
    const { path, size } = this.entry
    const { start, end } = range
    if (start < 0 || end < start || end > size)
      throw new Failure('bad-range', 'The range does not lie within the file.', { path, size })
    if (!this.#isOpen) throw new Failure('conflict', 'The bytes were taken already.', { path })
    this.#isOpen = false
    const { ahead } = this.#object
    if (ahead !== undefined && ahead.start <= start && end <= ahead.end) {
      if (ahead.bytes instanceof Uint8Array) return ahead.bytes.subarray(start - ahead.start, end - ahead.start)
      if (ahead.start === start && ahead.end === end) return ahead.bytes
    }
    ahead?.close()
    return start === end ? new Uint8Array(0) : this.#part({ start, end })
  }

  async close(): Promise<void> {
    this.#isOpen = false
    this.#isClosed = true
    this.#closeBytes()
  }

  async *#part(range: ByteRange): AsyncGenerator<Uint8Array, void> {
    const { signal, entry } = this.#object
    const isWhole = range.start === 0 && range.end === entry.size
    const object = await this.#get({
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

  async #get(options: GetOptions): Promise<OpenObject> {
    try {
      return await this.#context.service.get(this.#object.key, options)
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
