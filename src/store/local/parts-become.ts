import { closeSync, constants, fchownSync, ftruncate } from 'node:fs'
import { promisify } from 'node:util'
import { isFailure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import type { Digester } from '../digester.js'
import { lookAt, lookInto, onDisk, required } from './context.js'
import { digestRange } from './digest.js'
import { type LocalRoom, type PartFacts, partOf, piecesOf, type Survey, wholeName } from './parts-room.js'
import { isForsaken } from './parts-slots.js'
import { Staging } from './staging.js'
import { requireRoom, stage } from './write.js'
import { fileKind } from '../native.js'
import type { StoredPart } from '../part-rooms.js'
import { notFound } from '../refusals.js'
import type { WriteOptions, Written } from '../store.js'

const truncate = promisify(ftruncate)
const setGroup = 0o2000

/** A part, and where in the new file it goes. */
interface Laid extends PartFacts {
  readonly place: string
  readonly at: number
}

/** A file of the room that can become the new one. */
interface Base {
  readonly name: string
  /** Parts that do not lie in it yet. */
  readonly missing: readonly Laid[]
}

/** `PartRooms.become`, in a room that is locked; the room itself stays. */
export async function become(
  room: LocalRoom,
  path: StorePath,
  parts: readonly StoredPart[],
  options: WriteOptions,
): Promise<Written> {
  const survey = room.survey()
  const laid = layOut(room, survey, parts)
  const base = baseOf(room, survey, laid)
  try {
    return await commit(room, path, { survey, laid, base }, options)
  } catch (error) {
    // What is one disk to look at can be two to rename between.
    if (base === undefined || !isFailure(error, 'elsewhere')) throw error
    return await commit(room, path, { survey, laid, base: undefined }, options)
  }
}

/** Throws `not-found` for a part that is not there. */
function layOut(room: LocalRoom, survey: Survey, parts: readonly StoredPart[]): readonly Laid[] {
  let at = 0
  return parts.map((part) => {
    const told = partOf(part)
    if (told === undefined || !survey.parts.has(part.place) || (told.isInSlot && survey.slotBytes === undefined))
      throw notFound(rootPath)
    if (!told.isInSlot) {
      const known = lookAt(room.context, { directory: room.fd, name: part.place, passOnly: false }, rootPath)
      if (known?.kind !== fileKind || known.size !== told.size) throw notFound(rootPath)
    }
    const laid = { ...told, place: part.place, at }
    at += told.size
    return laid
  })
}

/** The file that needs least: a part alone, or the one with the slots, if nothing else that counts lies there. */
function baseOf(room: LocalRoom, { slotBytes, claims }: Survey, laid: readonly Laid[]): Base | undefined {
  const [first] = laid
  if (first !== undefined && laid.length === 1 && !first.isInSlot) return { name: first.place, missing: [] }
  const inSlots = laid.filter(({ isInSlot }) => isInSlot)
  if (slotBytes === undefined || inSlots.length === 0) return undefined
  if (inSlots.some(({ number, at }) => (number - 1) * slotBytes !== at)) return undefined
  // Others would be overwritten or cut off, and whoever still writes one would write into the new file.
  const used = new Set(inSlots.map(({ number }) => number))
  for (const number of claims) if (!used.has(number) && !isForsaken(room, number)) return undefined
  return { name: wholeName(slotBytes), missing: laid.filter(({ isInSlot }) => !isInSlot) }
}

async function commit(
  room: LocalRoom,
  path: StorePath,
  { survey, laid, base }: { readonly survey: Survey; readonly laid: readonly Laid[]; readonly base: Base | undefined },
  options: WriteOptions,
): Promise<Written> {
  const total = laid.reduce((sum, { size }) => sum + size, 0)
  let adopted: Staging | undefined
  return await stage(room.context, path, options, {
    adopt: (directory) => (adopted = base === undefined ? undefined : adopt(room, base.name, path, directory, total)),
    fill: async ({ open }, digester) => {
      if (adopted === undefined || base === undefined) await copyAll(room, survey, laid, path, open, digester, options)
      else {
        for (const part of base.missing) await fillIn(room, part, adopted, path, options)
        await onDisk(path, truncate(adopted.fd, total))
        if (digester !== undefined)
          await digestRange(room.context, { fd: adopted.fd, start: 0, end: total, path }, digester, options.signal)
      }
      return total
    },
  })
}

/** Undefined where the file lies on another disk than the directory. */
function adopt(
  room: LocalRoom,
  name: string,
  path: StorePath,
  directory: number,
  position: number,
): Staging | undefined {
  const { context } = room
  const above = lookInto(context, directory, path)
  const fd = required(context.beneath.calls.openAt(room.fd, name, constants.O_RDWR, 0), path)
  const file = Staging.adopt(context, path, { directory: room.fd, fd, name, position })
  const known = file.known()
  if (known.device !== above.device) {
    file.close()
    return undefined
  }
  try {
    // As it would be, had it been made there.
    if ((above.mode & setGroup) !== 0 && known.gid !== above.gid) fchownSync(fd, known.uid, above.gid)
  } catch {
    // Who may not give files away keeps them.
  }
  return file
}

/** Copies a part that has a file of its own to where it belongs in another. */
async function fillIn(
  room: LocalRoom,
  part: Laid,
  into: Staging,
  path: StorePath,
  { signal }: WriteOptions,
): Promise<void> {
  const { calls } = room.context.beneath
  const fd = required(calls.openAt(room.fd, part.place, constants.O_RDONLY, 0), path)
  const slot = Staging.adopt(room.context, path, {
    directory: into.directory,
    fd: into.fd,
    name: into.name,
    position: part.at,
  })
  try {
    for await (const piece of piecesOf(room.context, { fd, start: 0, end: part.size, path })) {
      throwIfAborted(signal)
      await slot.append([piece])
    }
  } finally {
    closeSync(fd)
  }
}

async function copyAll(
  room: LocalRoom,
  { slotBytes = 0 }: Survey,
  laid: readonly Laid[],
  path: StorePath,
  open: () => Staging,
  digester: Digester | undefined,
  { signal }: WriteOptions,
): Promise<void> {
  const { calls } = room.context.beneath
  await requireRoom(
    room.context,
    path,
    laid.reduce((sum, { size }) => sum + size, 0),
  )
  const file = open()
  for (const { isInSlot, number, place, size } of laid) {
    const name = isInSlot ? wholeName(slotBytes) : place
    const start = isInSlot ? (number - 1) * slotBytes : 0
    const fd = required(calls.openAt(room.fd, name, constants.O_RDONLY, 0), path)
    try {
      if (digester !== undefined)
        await digestRange(room.context, { fd, start, end: start + size, path }, digester, signal)
      await file.appendFrom(fd, start, start + size, () => throwIfAborted(signal))
    } finally {
      closeSync(fd)
    }
  }
}
