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
const timePattern = /^(-?[0-9a-z]{1,9})\.([0-9a-z]{1,6})$/

/** To be sent; the device of the store's root is 0 by then (`WorkerNotes`). */
export function encodeKnown(known: Known): KnownOnWire {
  const { kind, mode, size, links, uid, gid, device, inode, born, modified, changed } = known
  return [kind, mode, size, links, uid, gid, device, inode, born, modified, changed]
}

/** The same from a process that is not trusted: undefined where any of it could not be true of a file or directory. */
export function decodeKnown(value: unknown): Known | undefined {
  if (!Array.isArray(value) || value.length !== count) return undefined
  const [kind, mode, size, links, uid, gid, device, ...texts] = value as readonly unknown[]
  const numbers = [mode, size, links, uid, gid, device]
  if (kind !== fileKind && kind !== directoryKind) return undefined
  if (!numbers.every(isCount) || !texts.every((text) => typeof text === 'string')) return undefined
  const [inode = '', born = '', modified = '', changed = ''] = texts as readonly string[]
  const [bornMilliseconds, modifiedMilliseconds, changedMilliseconds] = [born, modified, changed].map(timeOf)
  if (!inodePattern.test(inode) || changedMilliseconds === undefined) return undefined
  if (bornMilliseconds === undefined || modifiedMilliseconds === undefined) return undefined
  return {
    kind,
    mode: mode as number,
    size: size as number,
    links: links as number,
    uid: uid as number,
    gid: gid as number,
    device: device as number,
    inode,
    born,
    modified,
    changed,
    modifiedMilliseconds,
    bornMilliseconds,
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Whole milliseconds of a time that a `Date` can be of. */
function timeOf(text: string): number | undefined {
  const [, seconds = '', nanoseconds = ''] = timePattern.exec(text) ?? []
  const milliseconds = parseInt(seconds, 36) * 1000 + Math.floor(parseInt(nanoseconds, 36) / 1e6)
  return Math.abs(milliseconds) <= 8.64e15 ? milliseconds : undefined
}
