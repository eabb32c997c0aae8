import { randomBytes } from 'node:crypto'
import { maxNameBytes, type Item } from './catalog.js'
import type { Upload, UploadPart } from './uploads.js'
import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { StoredPart } from '../store/part-rooms.js'
import type { DigestName, Digests } from '../store/store.js'

/** Groups of the catalog: one record for each upload, one for each part, and what became of those that are over. */
export const uploadGroup = 'uploads'
export const partGroup = 'upload-parts'
export const resultGroup = 'upload-results'

/** An upload as the catalog keeps it. */
export interface UploadRecord extends Upload {
  /** Where its parts gather. */
  readonly room: string
  /** It was about to become the file. Whether it did is to be seen there. */
  readonly closing?: Closing
}

/** What the file is when the upload has become it. */
export interface Closing {
  /** Bytes. */
  readonly size: number
  /** A hash of its attributes. */
  readonly attributes: string
  /** The etag of what had the name before. */
  readonly before?: string
}

export interface PartRecord extends UploadPart, StoredPart {}

/** What an upload has become, by its id. */
export interface ResultRecord {
  readonly path: StorePath
  readonly etag: string
  readonly created: boolean
}

const idLength = 31
const idBytes = 20
const idPattern = /^[0-9a-z]{31}$/

/** 160 random bits. */
export function newUploadId(): string {
  return BigInt(`0x${randomBytes(idBytes).toString('hex')}`)
    .toString(36)
    .padStart(idLength, '0')
}

export function isUploadId(text: string): boolean {
  return idPattern.test(text)
}

/** What heads are cut at: with the longest character over it, the separator and an id, a name is as long as it may be. */
const headBytes = maxNameBytes - 1 - idLength - 3

/**
 * What the names of the records of a path begin with: the names sort as the paths do, by UTF-8 bytes, and records of one path by
 * their ids. Where it is `cut`, other paths have the same head.
 */
export function headOf(path: string): { readonly head: string; readonly cut: boolean } {
  // Nothing may sort before what separates the head from the id.
  const text = /[\x01\x02]/.test(path) ? path.replace(/[\x01\x02]/g, '\x02$&') : path
  if (text.length * 3 < headBytes) return { head: text, cut: false }
  let bytes = 0
  let at = 0
  // Cut by a rule that looks at nothing behind the cut, so that paths with different heads sort as their heads do.
  for (const character of text) {
    bytes += Buffer.byteLength(character)
    at += character.length
    if (bytes >= headBytes) return { head: text.slice(0, at), cut: true }
  }
  return { head: text, cut: false }
}

export function uploadName(path: StorePath, id: string): string {
  return `${headOf(path).head}\x01${id}`
}

/** Whether other paths may have the same head. */
export function isCutHead(head: string): boolean {
  return head.length * 3 >= headBytes && Buffer.byteLength(head) >= headBytes
}

/** The head of a record's name. */
export function headOfName(name: string): string {
  return name.slice(0, -idLength - 1)
}

/** Names of parts sort by number. */
export function partName(id: string, number: number): string {
  return `${id}/${String(number).padStart(5, '0')}`
}

/** The id of the upload that a part belongs to. */
export function uploadOfPart(name: string): string {
  return name.slice(0, idLength)
}

export function encode(record: UploadRecord | ResultRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record))
}

/** Reads what `encode` wrote. Throws `unavailable` for anything else. */
export function decodeUpload(item: Item): UploadRecord {
  return parsed(item) as UploadRecord
}

/** Reads what `encode` wrote. Throws `unavailable` for anything else. */
export function decodeResult(item: Item): ResultRecord {
  return parsed(item) as ResultRecord
}

export function encodePart({ digests, ...rest }: PartRecord): Uint8Array {
  const hex = Object.entries(digests).map(([name, value]) => [name, Buffer.from(value).toString('hex')])
  return Buffer.from(JSON.stringify({ ...rest, digests: Object.fromEntries(hex) as unknown }))
}

/** Reads what `encodePart` wrote. Throws `unavailable` for anything else. */
export function decodePart(item: Item): PartRecord {
  const { digests, ...rest } = parsed(item) as Omit<PartRecord, 'digests'> & {
    readonly digests: Readonly<Record<string, string>>
  }
  const raw: Partial<Record<DigestName, Uint8Array>> = {}
  for (const [name, hex] of Object.entries(digests)) raw[name as DigestName] = new Uint8Array(Buffer.from(hex, 'hex'))
  return { ...rest, digests: raw }
}

/** Whether all digests that both of them know are the same. */
export function sameDigests(one: Digests, other: Digests): boolean {
  return Object.entries(one).every(([name, value]) => {
    const there = other[name as DigestName]
    return there === undefined || Buffer.compare(value, there) === 0
  })
}

function parsed(item: Item): unknown {
  try {
    return JSON.parse(Buffer.from(item.value.buffer, item.value.byteOffset, item.value.byteLength).toString())
  } catch (cause) {
    throw new Failure('unavailable', 'A record of the catalog is damaged.', { cause })
  }
}
