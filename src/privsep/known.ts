import type { Known } from '../store/local/facts.js'
import { directoryKind, fileKind } from '../store/native.js'

/** What is known of a file, as it crosses between processes: numbers, then texts, in this order. */
export type KnownOnWire = readonly [
  kind: number,
  mode: number,
  size: number,
  links: number,
  uid: number,
  gid: number,
  device: number,
  inode: string,
  born: string,
  modified: string,
  changed: string,
]

const count = 11
const inodePattern = /^[0-9a-z]{1,7}(?:\.[0-9a-z]{1,7})?$/
const timePattern = /^-?[0-9a-z]{1,9}\.[0-9a-z]{1,6}$/

/** To be sent; the device of the store's root is 0 by then (`WorkerNotes`). */
export function encodeKnown(known: Known): KnownOnWire {
  const { kind, mode, size, links, uid, gid, device, inode, born, modified, changed } = known
  return [kind, mode, size, links, uid, gid, device, inode, born, modified, changed]
}

/** The same from a process that is not trusted: undefined where any of it could not be true of a file or directory. */
export function decodeKnown(value: unknown): Known | undefined {
  if (!Array.isArray(value) || value.length !== count) return undefined
  // One by one, for this is done for each entry of a listing.
  const all = value as readonly unknown[]
  const [kind, mode, size, links, uid, gid, device] = all
  const [inode, born, modified, changed] = [all[7], all[8], all[9], all[10]]
  if (kind !== fileKind && kind !== directoryKind) return undefined
  if (!isCount(mode) || !isCount(size) || !isCount(links)) return undefined
  if (!isCount(uid) || !isCount(gid) || !isCount(device)) return undefined
  if (typeof inode !== 'string' || typeof born !== 'string') return undefined
  if (typeof modified !== 'string' || typeof changed !== 'string') return undefined
  if (!inodePattern.test(inode) || timeOf(changed) === undefined) return undefined
  const [bornMilliseconds, modifiedMilliseconds] = [timeOf(born), timeOf(modified)]
  if (bornMilliseconds === undefined || modifiedMilliseconds === undefined) return undefined
  const numbers = { kind, mode, size, links, uid, gid, device }
  return { ...numbers, inode, born, modified, changed, modifiedMilliseconds, bornMilliseconds }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Whole milliseconds of a time that a `Date` can be of. */
function timeOf(text: string): number | undefined {
  if (!timePattern.test(text)) return undefined
  const dot = text.indexOf('.')
  const milliseconds = parseInt(text, 36) * 1000 + Math.floor(parseInt(text.slice(dot + 1), 36) / 1e6)
  return Math.abs(milliseconds) <= 8.64e15 ? milliseconds : undefined
}
