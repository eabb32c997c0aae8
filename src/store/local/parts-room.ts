import { randomBytes } from 'node:crypto'
import { closeSync, constants, read } from 'node:fs'
import { constants as system } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Failure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { type LocalContext, lookInto, onDisk, required } from './context.js'
import { failureOf } from './errors.js'
import { knownOf } from './facts.js'
import { namesIn } from './names.js'
import { isNoPlace, openFolder, openOwn, type RoomFolder, roomFolders } from './parts-folder.js'
import { factsLength } from '../native.js'
import type { StoredPart } from '../part-rooms.js'
import { notFound } from '../refusals.js'

const { errno } = system
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY
const readSome = promisify(read)

/** Rooms of which the size of slots is remembered. */
const mostRemembered = 1000

/** What a room may be called. */
export const roomName = /^[0-9a-z]{1,64}$/

/** A finished part: in its slot of the one file, or a file of its own; its number, something by chance, its bytes. */
const partName = /^([sp])([1-9]\d{0,4})-[0-9a-f]{16}-(\d{1,15})$/

/** Somebody writes, or has written, the slot of that number. */
const claimPattern = /^s([1-9]\d{0,4})$/

/** The one file, with the size of its slots. */
const wholePattern = /^whole-([1-9]\d{0,14})$/

/** Read at a time from a file that becomes a part. */
const pieceBytes = 256 * 1024

/** What the name of a part says. */
export interface PartFacts {
  readonly isInSlot: boolean
  readonly number: number
  /** Bytes. */
  readonly size: number
}

/** A name that no part has had before. */
export function nameOfPart({ isInSlot, number, size }: PartFacts): string {
  return `${isInSlot ? 's' : 'p'}${number}-${randomBytes(8).toString('hex')}-${size}`
}

/** What a part's place says; undefined for what cannot be one, or does not agree with the size. */
export function partOf({ place, size }: Pick<StoredPart, 'place' | 'size'>): PartFacts | undefined {
  const match = partName.exec(place)
  if (match === null || Number(match[3]) !== size) return undefined
  return { isInSlot: match[1] === 's', number: Number(match[2]), size }
}

export function claimName(number: number): string {
  return `s${number}`
}

export function wholeName(slotBytes: number): string {
  return `whole-${slotBytes}`
}

/** What there is in a room. */
export interface Survey {
  /** Bytes of each slot of the one file; undefined where there is none yet. */
  readonly slotBytes: number | undefined
  /** Numbers of slots that are taken, finished or not. */
  readonly claims: ReadonlySet<number>
  /** Names of finished parts. */
  readonly parts: ReadonlySet<string>
}

/** An open room. `leave` must be called. */
export class LocalRoom {
  readonly context: LocalContext
  readonly fd: number
  readonly folder: RoomFolder
  readonly #name: string
  #isLocked = false

  private constructor(context: LocalContext, folder: RoomFolder, name: string, fd: number) {
    this.context = context
    this.folder = folder
    this.#name = name
    this.fd = fd
  }

  /** Throws `not-found`. */
  static enter(context: LocalContext, name: string): LocalRoom {
    if (!roomName.test(name)) throw noRoom()
    for (const folder of roomFolders(context)) {
      const parent = openFolder(context, folder)
      const fd = parent < 0 ? parent : openOwn(context, parent, name, folder.uid)
      if (parent >= 0) closeSync(parent)
      if (fd >= 0) return new LocalRoom(context, folder, name, fd)
      if (fd !== -errno.ENOENT && !(folder.uid !== undefined && isNoPlace(fd))) throw failureOf(fd, rootPath)
    }
    throw noRoom()
  }

  /**
   * Keeps everybody else, in other processes as well, from taking slots, finishing parts and taking the room away until
   * the function that it gives is called. Throws `not-found` where the room has gone meanwhile.
   */
  async lock(signal?: AbortSignal): Promise<() => void> {
    const { rooms, beneath } = this.context
    const { locks } = rooms
    while (locks.has(this.#name)) {
      await locks.get(this.#name)
      throwIfAborted(signal)
    }
    let release: () => void = () => undefined
    locks.set(this.#name, new Promise((resolve) => (release = resolve)))
    const unlock = (): void => {
      beneath.calls.flock(this.fd, false)
      locks.delete(this.#name)
      release()
    }
    try {
      let result = beneath.calls.flock(this.fd, true)
      for (let pause = 1; result === -errno.EWOULDBLOCK; pause = Math.min(pause * 2, 50)) {
        await setTimeout(pause)
        throwIfAborted(signal)
        result = beneath.calls.flock(this.fd, true)
      }
      this.#isLocked = result >= 0 && beneath.isNative
      if (!this.#isThere()) throw noRoom()
      return unlock
    } catch (error) {
      unlock()
      throw error
    }
  }

  /** Whether what was locked last was locked for other processes too, which not every disk can. */
  get isLocked(): boolean {
    return this.#isLocked
  }

  /**
   * The one file, to write, and the bytes of each slot; where none was made yet it is made with slots of `offered` bytes.
   * Undefined where nothing was offered, and where the file has gone, because it has become somebody's and then the
   * process died: what was in it is no longer here, and another must not be taken for it. Only for who has locked the room.
   */
  openWhole(offered: number | undefined): { readonly fd: number; readonly slotBytes: number } | undefined {
    const { calls } = this.context.beneath
    let decided = this.context.rooms.slotBytes.get(this.#name)
    if (decided === undefined) {
      const { slotBytes, claims, parts } = this.survey()
      if (slotBytes === undefined && (claims.size > 0 || [...parts].some((name) => name.startsWith('s'))))
        return undefined
      decided = slotBytes
    }
    const slotBytes = decided ?? offered
    if (slotBytes === undefined) return undefined
    const flags = decided === undefined ? constants.O_RDWR | constants.O_CREAT | constants.O_EXCL : constants.O_RDWR
    const fd = calls.openAt(this.fd, wholeName(slotBytes), flags, 0o666)
    if (fd === -errno.ENOENT) return undefined
    required(fd, rootPath)
    this.#remember(slotBytes)
    return { fd, slotBytes }
  }

  survey(): Survey {
    const { calls } = this.context.beneath
    let slotBytes: number | undefined
    const claims = new Set<number>()
    const parts = new Set<string>()
    // A descriptor reads its directory once.
    const fd = required(calls.openAt(this.fd, '.', directoryFlags, 0), rootPath)
    try {
      for (const { name } of namesIn(calls, fd)) {
        const claim = claimPattern.exec(name)
        const whole = wholePattern.exec(name)
        if (partName.test(name)) parts.add(name)
        else if (claim !== null) claims.add(Number(claim[1]))
        else if (whole !== null) slotBytes = Number(whole[1])
      }
    } finally {
      closeSync(fd)
    }
    return { slotBytes, claims, parts }
  }

  leave(): void {
    closeSync(this.fd)
  }

  /** Once decided, it stays; and no two rooms have the same name. */
  #remember(slotBytes: number): void {
    const known = this.context.rooms.slotBytes
    known.set(this.#name, slotBytes)
    for (const oldest of known.keys()) {
      if (known.size <= mostRemembered) break
      known.delete(oldest)
    }
  }

  #isThere(): boolean {
    const facts = new Float64Array(factsLength)
    if (this.context.beneath.stat(pathOf(this.folder, this.#name), facts) < 0) return false
    const named = knownOf(facts)
    const open = lookInto(this.context, this.fd, rootPath)
    return named.inode === open.inode && named.device === open.device && named.born === open.born
  }
}

function pathOf({ above, name: folder }: RoomFolder, name: string): StorePath {
  return `${above === rootPath ? '' : above}/${folder}/${name}` as StorePath
}

/** The room is not there. To be thrown. */
export function noRoom(): Failure {
  return notFound(rootPath)
}

/** The bytes `[start, end)` of an open file. Throws `unavailable` where it has become shorter. */
export async function* piecesOf(
  { pace }: LocalContext,
  {
    fd,
    start,
    end,
    path,
  }: { readonly fd: number; readonly start: number; readonly end: number; readonly path: StorePath },
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end;) {
    if (pace.isDueNow()) await pace.pause()
    const buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, end - at))
    const { bytesRead } = await onDisk(path, readSome(fd, buffer, 0, buffer.length, at))
    if (bytesRead === 0) throw failureOf(-errno.EIO, path)
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
