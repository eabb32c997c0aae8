import { closeSync, constants } from 'node:fs'
import { constants as system } from 'node:os'
import { rootPath } from '../../core/path.js'
import { lookInto, required } from './context.js'
import { claimName, type LocalRoom, partOf, wholeName } from './parts-room.js'
import { Staging } from './staging.js'
import type { PartOptions } from '../part-rooms.js'

const { errno } = system
const { O_RDWR, O_CREAT, O_EXCL } = constants

/** Parts of S3 have at least so many bytes, except the last, which says nothing of the others. */
const fullPartBytes = 5 * 1024 * 1024

/** No object of S3 is larger. */
const wholeLimitBytes = 5 * 1024 ** 4

/** The place of a part in the one file, while it is being written. One of `release` and `giveUp` must be called. */
export interface Slot {
  /** Takes the bytes; to be closed by itself. */
  readonly file: Staging
  /** Once the part is finished. */
  release(): void
  /** Leaves the slot to others. */
  giveUp(): void
}

/**
 * Takes the slot of that number, if the part fits there and nobody else has it. The first full part of a room decides how
 * large its slots are. Slots need locks between processes: without the addon, and on disks without locks, there are none.
 */
export async function claimSlot(
  room: LocalRoom,
  number: number,
  { length, signal }: Pick<PartOptions, 'length' | 'signal'>,
): Promise<Slot | undefined> {
  const { calls } = room.context.beneath
  if (length === undefined || length === 0) return undefined
  const unlock = await room.lock(signal)
  let whole: number | undefined
  try {
    if (!room.isLocked) return undefined
    const opened = room.openWhole(number === 1 || length >= fullPartBytes ? length : undefined)
    if (opened === undefined) return undefined
    const { slotBytes } = opened
    whole = opened.fd
    const position = (number - 1) * slotBytes
    if (length > slotBytes || position + length > wholeLimitBytes) return undefined
    const claim = openClaim(room, number)
    if (claim < 0) return undefined
    const file = { directory: room.fd, fd: whole, name: wholeName(slotBytes), position }
    whole = undefined
    return {
      file: Staging.adopt(room.context, rootPath, file),
      release: () => closeSync(claim),
      giveUp: () => {
        calls.unlinkAt(room.fd, claimName(number), false)
        closeSync(claim)
      },
    }
  } finally {
    if (whole !== undefined) closeSync(whole)
    unlock()
  }
}

/** Marks a slot as one that holds a part. Only for who has locked the room. */
export function finishSlot(room: LocalRoom, place: string): void {
  const { calls } = room.context.beneath
  closeSync(required(calls.openAt(room.fd, place, O_RDWR | O_CREAT | O_EXCL, 0o600), rootPath))
}

/**
 * Whether a slot that is taken holds nothing and nobody writes it: its process died. Only for who has locked the room, as
 * long as it is locked.
 */
export function isForsaken(room: LocalRoom, number: number): boolean {
  if (isFinished(room, number)) return false
  const fd = lockClaim(room, number)
  if (fd < 0) return false
  closeSync(fd)
  return true
}

/** Open and locked, or negative. */
function openClaim(room: LocalRoom, number: number): number {
  const { calls } = room.context.beneath
  const made = calls.openAt(room.fd, claimName(number), O_RDWR | O_CREAT | O_EXCL, 0o600)
  if (made === -errno.EEXIST) return isFinished(room, number) ? made : lockClaim(room, number)
  required(made, rootPath)
  calls.flock(made, true)
  return made
}

function lockClaim(room: LocalRoom, number: number): number {
  const { calls } = room.context.beneath
  const fd = calls.openAt(room.fd, claimName(number), O_RDWR, 0)
  if (fd < 0) return fd
  const locked = calls.flock(fd, true)
  // Who had it may have taken its name away before letting go: then the lock says nothing.
  if (locked >= 0 && lookInto(room.context, fd, rootPath).links > 0) return fd
  closeSync(fd)
  return -errno.EWOULDBLOCK
}

function isFinished(room: LocalRoom, number: number): boolean {
  for (const place of room.survey().parts) {
    const told = partOf({ place, size: Number(place.slice(place.lastIndexOf('-') + 1)) })
    if (told?.isInSlot === true && told.number === number) return true
  }
  return false
}
