import { createHash, randomBytes } from 'node:crypto'
import { Failure, isFailure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import type { PartOptions, PartPromise, PartRooms, PresignedPart, RoomEntry, StoredPart } from '../part-rooms.js'
import { notFound } from '../refusals.js'
import type { Body, ByteRange, WriteOptions, Written } from '../store.js'
import { compose, type Ingredient, requireRange } from './compose.js'
import { requestsAtOnce, type S3Context } from './context.js'
import { findFile } from './look.js'
import { ObjectSink } from './object-sink.js'
import { presignPart, verifyPart } from './promised-parts.js'
import { type ListedObject, maxParts, type PartSource } from './service.js'
import { digesterFor, digestsOf, makeObject } from './write.js'

/** All rooms lie below this, in a name that the store shows to nobody. */
export const roomsPrefix = '.postern-parts/'

/** The object that makes a room: where it is gone the room is, and what else lies there is a leftover. Holds the path of the file. */
const roomName = 'room'

/** Most parts that clients send go in one request. */
const heldBytes = 16 * 2 ** 20

/** Keys that one request removes. */
const removedAtOnce = 1000

/** Parts are bytes that nobody else asks for. */
const partHeaders = { 'content-type': 'application/octet-stream' }

/**
 * Rooms as objects below one reserved name, one object for each part. The file is put together by the service itself,
 * which copies what is not small; the parts stay until that is done, so that whatever breaks off in between leaves the room as it was.
 */
export class S3PartRooms implements PartRooms {
  readonly #context: S3Context

  constructor(context: S3Context) {
    this.#context = context
  }

  async open(path: StorePath): Promise<string> {
    const room = randomBytes(16).toString('hex')
    await this.#context.service.put(keyOf(room, roomName), [Buffer.from(path)], { headers: partHeaders })
    return room
  }

  async put(room: string, number: number, body: Body, options: PartOptions = {}): Promise<StoredPart> {
    return await this.#store(room, number, options, (sink) => sink.append(body))
  }

  async putFrom(
    room: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options: PartOptions = {},
  ): Promise<StoredPart> {
    throwIfAborted(options.signal)
    const { key, facts } = await findFile(this.#context, from, options.signal)
    const piece: Ingredient = { key, etag: facts.etag, range: requireRange(from, range, facts.size) }
    const length = range.end - range.start
    return await this.#store(room, number, { length, ...options }, (sink) => compose(sink, [piece], length))
  }

  async presign(
    room: string,
    number: number,
    promise: PartPromise,
    expiresSeconds: number,
  ): Promise<PresignedPart | undefined> {
    return await presignPart(this.#context.service, keyOf(room, placeOf(room, number)), promise, expiresSeconds)
  }

  async adopt(
    room: string,
    number: number,
    promise: PartPromise,
    options: Pick<PartOptions, 'beforeCommit' | 'signal'> = {},
  ): Promise<StoredPart | undefined> {
    throwIfAborted(options.signal)
    await this.#requireRoom(room, options.signal)
    const place = placeOf(room, number)
    const key = keyOf(room, place)
    const digests = await verifyPart(this.#context.service, key, promise, options.signal)
    if (digests === undefined) return undefined
    await options.beforeCommit?.({ size: promise.size, digests })
    await this.#requireRoomOf(room, key)
    return { place, size: promise.size, digests }
  }

  async become(
    room: string,
    path: StorePath,
    parts: readonly StoredPart[],
    options: WriteOptions = {},
  ): Promise<Written> {
    throwIfAborted(options.signal)
    await this.#requireRoom(room, options.signal)
    const ingredients = await this.#find(room, parts, options.signal)
    const size = parts.reduce((sum, part) => sum + part.size, 0)
    const written = await makeObject(this.#context, path, options, {
      fill: async (sink) => {
        try {
          await compose(sink, ingredients, options.length ?? size)
        } catch (error) {
          if (isFailure(error, 'unavailable')) await this.#requireRoom(room)
          throw error
        }
      },
      // Of several who would make files of one room at the same time, one does.
      around: (last) =>
        this.#context.turns.inTurn(keyOf(room, roomName), async () => {
          await this.#requireRoom(room)
          const made = await last()
          await this.#context.service.remove(keyOf(room, roomName)).catch(() => undefined)
          return made
        }),
    })
    await this.close(room).catch(() => undefined)
    return written
  }

  async drop(room: string, { place }: StoredPart): Promise<void> {
    await this.#requireRoom(room)
    if (isPlace(place)) await this.#context.service.remove(keyOf(room, place))
  }

  async close(room: string): Promise<void> {
    if (!isRoom(room)) return
    const { service } = this.#context
    // First, so that a part which arrives meanwhile finds itself without a room.
    await service.remove(keyOf(room, roomName))
    for (;;) {
      const { objects, token } = await service.list({ prefix: keyOf(room, ''), max: removedAtOnce })
      if (objects.length === 0) return
      const failures = await service.removeMany(objects.map(({ key }) => key))
      if (failures.length > 0)
        throw new Failure('unavailable', 'The storage service has not removed all parts.', { retryAfterSeconds: 60 })
      if (token === undefined) return
    }
  }

  async *list(): AsyncGenerator<readonly RoomEntry[]> {
    let token: string | undefined
    let last: RoomEntry | undefined
    do {
      const page = await this.#context.service.list({ prefix: roomsPrefix, ...(token === undefined ? {} : { token }) })
      const batch: RoomEntry[] = []
      for (const { key, modified } of page.objects) {
        const room = key.slice(roomsPrefix.length).split('/', 1)[0] ?? ''
        if (!isRoom(room)) continue
        // All of a room come one behind the other.
        if (last?.room === room) last = { room, modified: Math.max(last.modified, modified) }
        else {
          if (last !== undefined) batch.push(last)
          last = { room, modified }
        }
      }
      if (batch.length > 0) yield batch
      ;({ token } = page)
    } while (token !== undefined)
    if (last !== undefined) yield [last]
  }

  async #store(
    room: string,
    number: number,
    options: PartOptions,
    fill: (sink: ObjectSink) => Promise<void>,
  ): Promise<StoredPart> {
    const { length, signal, beforeCommit } = options
    throwIfAborted(signal)
    requireNumber(number)
    await this.#requireRoom(room, signal)
    const place = `${number}-${randomBytes(8).toString('hex')}`
    const key = keyOf(room, place)
    const digester = digesterFor(options)
    const sink = new ObjectSink(this.#context, { key, headers: partHeaders, length, heldBytes, digester, signal })
    try {
      await fill(sink)
      await sink.finish()
      const { size } = sink
      const digests = digestsOf(digester, options)
      await beforeCommit?.({ size, digests })
      throwIfAborted(signal)
      await sink.put(undefined, partHeaders, undefined)
      await this.#requireRoomOf(room, key)
      return { place, size, digests }
    } catch (error) {
      await sink.abandon()
      throw error
    } finally {
      sink.end()
    }
  }

  /** Whoever takes the room away sees the part that is there by now, or is seen here. */
  async #requireRoomOf(room: string, key: string): Promise<void> {
    try {
      await this.#requireRoom(room)
    } catch (error) {
      await this.#context.service.remove(key).catch(() => undefined)
      throw error
    }
  }

  /** Throws `not-found`. */
  async #requireRoom(room: string, signal?: AbortSignal): Promise<void> {
    if (isRoom(room) && (await this.#context.service.head(keyOf(room, roomName), signal)) !== undefined) return
    throw notFound(rootPath)
  }

  /** The objects of parts. Throws `not-found` where one is not there, or not as it was. */
  async #find(
    room: string,
    parts: readonly StoredPart[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PartSource[]> {
    if (!parts.every(({ place }) => isPlace(place))) throw notFound(rootPath)
    const { service } = this.#context
    const present = new Map<string, Pick<ListedObject, 'size' | 'etag'>>()
    // A few are asked for one by one: listings may lag behind.
    if (parts.length <= requestsAtOnce)
      await Promise.all(
        parts.map(async ({ place }) => {
          const key = keyOf(room, place)
          const facts = await service.head(key, signal)
          if (facts !== undefined) present.set(key, facts)
        }),
      )
    else for await (const object of this.#objects(room, signal)) present.set(object.key, object)
    return parts.map(({ place, size }) => {
      const key = keyOf(room, place)
      const object = present.get(key)
      if (object?.size !== size) throw notFound(rootPath)
      return { key, etag: object.etag, range: { start: 0, end: size } }
    })
  }

  async *#objects(room: string, signal: AbortSignal | undefined): AsyncGenerator<ListedObject, void> {
    let token: string | undefined
    do {
      const page = await this.#context.service.list({
        prefix: keyOf(room, ''),
        ...(token === undefined ? {} : { token }),
        ...(signal === undefined ? {} : { signal }),
      })
      yield* page.objects
      ;({ token } = page)
    } while (token !== undefined)
  }
}

function keyOf(room: string, name: string): string {
  return `${roomsPrefix}${room}/${name}`
}

/** Where a part of that number lies that comes past this server: one place, so that nobody can fill a room with promises. */
function placeOf(room: string, number: number): string {
  requireNumber(number)
  if (!isRoom(room)) throw notFound(rootPath)
  return `${number}-${createHash('sha256').update(`${room}/${number}`).digest('hex').slice(0, 16)}`
}

/** Throws `invalid`. */
function requireNumber(number: number): void {
  if (!Number.isInteger(number) || number < 1 || number > maxParts)
    throw new Failure('invalid', 'The number of a part is 1 to 10,000.')
}

function isRoom(room: string): boolean {
  return /^[0-9a-z]{1,64}$/.test(room)
}

function isPlace(place: string): boolean {
  return /^[1-9][0-9]{0,4}-[0-9a-f]{16}$/.test(place)
}
