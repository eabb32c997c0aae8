import { randomBytes } from 'node:crypto'
import { closeSync } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure, isFailure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { Digester } from '../digester.js'
import { type LocalContext, lookAt, openFile, required } from './context.js'
import { namesIn } from './names.js'
import { become } from './parts-become.js'
import { claimSlot, finishSlot, type Slot } from './parts-slots.js'
import { foldersFor, isNoPlace, openAbove, openFolder, openOwn, type RoomFolder, roomFolders } from './parts-folder.js'
import { claimName, LocalRoom, nameOfPart, noRoom, partOf, piecesOf, roomName } from './parts-room.js'
import { parting } from './parting.js'
import { emptyAndRemove } from './remove.js'
import { reservedName, Staging } from './staging.js'
import { syncDirectory } from './sync.js'
import { digestsOf, pour } from './pour.js'
import { type Fill, requireRoom } from './write.js'
import { directoryKind } from '../native.js'
import type { PartOptions, PartRooms, RoomEntry, StoredPart } from '../part-rooms.js'
import { wrongLength } from '../refusals.js'
import type { Body, ByteRange, WriteOptions, Written } from '../store.js'

const { errno } = system
const batchRooms = 250

/** How often the folder of all rooms may be taken away, with the last of them, before another one is in it. */
const openTries = 20

/**
 * Rooms as directories in one reserved folder at the root. Parts of equal size lie in one file, each in its slot, so that
 * the file need only be cut and renamed in the end; those that do not fit have files of their own
 * (docs/decisions/0022-parts-in-slots-of-one-file.md).
 */
export class LocalPartRooms implements PartRooms {
  readonly #context: LocalContext

  constructor(context: LocalContext) {
    this.#context = context
  }

  async open(path: StorePath, size?: number): Promise<string> {
    if (size !== undefined) await requireRoom(this.#context, path, size)
    for (const folder of foldersFor(this.#context, path)) {
      const above = openAbove(this.#context, folder)
      try {
        const opened = above < 0 ? above : await this.#openIn(above, folder)
        if (typeof opened === 'string') return opened
        // Where all users share a process there is one place for all.
        if (folder.uid === undefined || !isNoPlace(opened)) required(opened, rootPath)
      } finally {
        if (above >= 0) closeSync(above)
      }
    }
    throw new Failure(
      'denied',
      'There is no place for uploads in parts here: .postern-parts must be made for them in the served directory, owned by root and of mode 1777.',
      { path },
    )
  }

  /** Makes a room in a folder, which is made first where it is missing; or gives a negative errno. */
  async #openIn(above: number, { name: folder, uid }: RoomFolder): Promise<string | number> {
    const { calls } = this.#context.beneath
    for (let tries = 0; tries < openTries; tries++) {
      const made = calls.mkdirAt(above, folder, uid === undefined ? 0o777 : 0o700)
      if (made < 0 && made !== -errno.EEXIST) return made
      const parent = openOwn(this.#context, above, folder, uid)
      if (parent === -errno.ENOENT) continue
      if (parent < 0) return parent
      try {
        const name = randomBytes(16).toString('hex')
        const result = calls.mkdirAt(parent, name, 0o700)
        if (result === -errno.ENOENT) continue
        if (result < 0) return result
        if (this.#context.full) {
          await syncDirectory(this.#context, parent, rootPath)
          await syncDirectory(this.#context, above, rootPath)
        }
        return name
      } finally {
        closeSync(parent)
      }
    }
    throw new Failure('unavailable', 'No room could be made for the parts of a file.', { retryAfterSeconds: 1 })
  }

  async put(name: string, number: number, body: Body, options: PartOptions = {}): Promise<StoredPart> {
    return await this.fill(name, number, (sink, digester) => pour(body, sink, digester, options), options)
  }

  /** `put` of bytes that somebody else brings: `fill` is called once there is a place for them. */
  async fill(name: string, number: number, fill: Fill, options: PartOptions = {}): Promise<StoredPart> {
    throwIfAborted(options.signal)
    if (!Number.isInteger(number) || number < 1 || number > 10_000)
      throw new Failure('invalid', 'The number of a part is 1 to 10,000.')
    const room = LocalRoom.enter(this.#context, name)
    try {
      if (options.length !== undefined) await requireRoom(this.#context, rootPath, options.length)
      const slot = await claimSlot(room, number, options)
      return await this.#fill(room, number, fill, options, slot)
    } finally {
      room.leave()
    }
  }

  async #fill(
    room: LocalRoom,
    number: number,
    fill: Fill,
    options: PartOptions,
    slot: Slot | undefined,
  ): Promise<StoredPart> {
    const { calls } = this.#context.beneath
    const file = slot?.file ?? Staging.create(this.#context, rootPath, room.fd)
    if (file === undefined) throw noRoom()
    let place: string | undefined
    try {
      const names = options.digests ?? []
      const digester = names.length === 0 ? undefined : new Digester(names)
      const size = await fill({ open: () => file }, digester)
      throwIfAborted(options.signal)
      if (options.length !== undefined && size !== options.length) throw wrongLength()
      if (this.#context.full) await file.sync()
      const digests = digestsOf(digester, options)
      await options.beforeCommit?.({ size, digests })
      throwIfAborted(options.signal)
      place = nameOfPart({ isInSlot: slot !== undefined, number, size })
      const unlock = await room.lock(options.signal)
      try {
        if (slot !== undefined) finishSlot(room, place)
        else required(calls.renameAt(room.fd, file.name, room.fd, place, true), rootPath)
      } finally {
        unlock()
      }
      if (this.#context.full) await syncDirectory(this.#context, room.fd, rootPath)
      file.close()
      slot?.release()
      return { place, size, digests }
    } catch (error) {
      if (place !== undefined) calls.unlinkAt(room.fd, place, false)
      file.discard()
      slot?.giveUp()
      throw error
    }
  }

  async putFrom(
    name: string,
    number: number,
    from: StorePath,
    range: ByteRange,
    options: PartOptions = {},
  ): Promise<StoredPart> {
    throwIfAborted(options.signal)
    const { fd, known } = openFile(this.#context, from)
    try {
      const { start, end } = range
      if (start < 0 || end < start || end > known.size)
        throw new Failure('bad-range', 'The range does not lie within the file.', { path: from, size: known.size })
      const body = piecesOf(this.#context, { fd, start, end, path: from })
      return await this.put(name, number, body, { length: end - start, ...options })
    } finally {
      closeSync(fd)
    }
  }

  async become(
    name: string,
    path: StorePath,
    parts: readonly StoredPart[],
    options: WriteOptions = {},
  ): Promise<Written> {
    throwIfAborted(options.signal)
    const room = LocalRoom.enter(this.#context, name)
    try {
      const unlock = await room.lock(options.signal)
      try {
        const written = await become(room, path, parts, options)
        // The file is in place: that something of the room stays is no reason to call that a failure.
        await this.#takeAway(room.folder, name).catch(() => undefined)
        return written
      } finally {
        unlock()
      }
    } finally {
      room.leave()
    }
  }

  async drop(name: string, part: StoredPart): Promise<void> {
    const room = LocalRoom.enter(this.#context, name)
    try {
      const told = partOf(part)
      if (told === undefined) return
      const { calls } = this.#context.beneath
      const unlock = await room.lock()
      try {
        const known = lookAt(this.#context, { directory: room.fd, name: part.place, passOnly: false }, rootPath)
        const place = { directory: room.fd, name: part.place }
        const gone = parting(calls, place, known, () => calls.unlinkAt(room.fd, part.place, false))
        if (gone >= 0 && told.isInSlot) calls.unlinkAt(room.fd, claimName(told.number), false)
      } finally {
        unlock()
      }
    } finally {
      room.leave()
    }
  }

  async close(name: string): Promise<void> {
    let room: LocalRoom
    try {
      room = LocalRoom.enter(this.#context, name)
    } catch (error) {
      if (isFailure(error, 'not-found')) return
      throw error
    }
    try {
      const unlock = await room.lock()
      try {
        await this.#takeAway(room.folder, name)
      } finally {
        unlock()
      }
    } catch (error) {
      if (!isFailure(error, 'not-found')) throw error
    } finally {
      room.leave()
    }
  }

  async *list(): AsyncGenerator<readonly RoomEntry[]> {
    for (const folder of roomFolders(this.#context)) {
      const parent = openFolder(this.#context, folder)
      if (parent === -errno.ENOENT || (folder.uid !== undefined && isNoPlace(parent))) continue
      yield* this.#listIn(required(parent, rootPath))
    }
  }

  /** Closes the folder at the end. */
  async *#listIn(parent: number): AsyncGenerator<readonly RoomEntry[]> {
    const { beneath, pace } = this.#context
    try {
      let batch: RoomEntry[] = []
      for (const { name } of namesIn(beneath.calls, parent)) {
        if (pace.isDue()) await pace.pause()
        if (!roomName.test(name)) continue
        const known = lookAt(this.#context, { directory: parent, name, passOnly: false }, rootPath)
        if (known?.kind !== directoryKind) continue
        batch.push({ room: name, modified: known.modifiedMilliseconds })
        if (batch.length < batchRooms) continue
        yield batch
        batch = []
      }
      if (batch.length > 0) yield batch
    } finally {
      closeSync(parent)
    }
  }

  /** Takes a room's name away in one step; what was in it goes by itself. Only for who has locked it. */
  async #takeAway(folder: RoomFolder, name: string): Promise<void> {
    const { calls } = this.#context.beneath
    const above = required(openAbove(this.#context, folder), rootPath)
    let parent: number | undefined
    let goesOn = false
    try {
      parent = required(openOwn(this.#context, above, folder.name, folder.uid), rootPath)
      const trash = reservedName('trash')
      const renamed = calls.renameAt(parent, name, above, trash, true)
      // The folder may lie on another disk.
      if (renamed === -errno.EXDEV) await emptyAndRemove(this.#context, parent, name)
      else required(renamed, rootPath)
      // Only where this was the last room.
      calls.unlinkAt(above, folder.name, true)
      goesOn = true
      this.#context.later(emptyAndRemove(this.#context, above, trash).finally(() => closeSync(above)))
    } finally {
      if (parent !== undefined) closeSync(parent)
      if (!goesOn) closeSync(above)
    }
  }
}
