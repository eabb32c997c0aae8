import { Failure } from '../../core/failure.js'
import { pathOf, type StorePath } from '../../core/path.js'
import { isReserved, refuseReserved } from '../reserved.js'

/**
 * How paths and keys belong together. A file's key is its path without the first slash; a directory's, the key of its
 * marker, has a slash at its end. The root's is empty and no object: nobody may ever ask the service for it.
 */

/** Longest key of S3, in UTF-8 bytes. */
export const maxKeyBytes = 1024

export function fileKey(path: StorePath): string {
  return path.slice(1)
}

/** The key of a directory's marker, which is also what all keys below it begin with; empty for the root. */
export function directoryKey(path: StorePath): string {
  return path === '/' ? '' : path.slice(1) + '/'
}

/** Keys that a name may have on the medium, the one that Postern gives first: others leave names in NFD, too. */
export function twinsOf(key: string): readonly string[] {
  if (isAscii(key)) return [key]
  const decomposed = key.normalize('NFD')
  return decomposed === key ? [key] : [key, decomposed]
}

/** Whether a path can be there at all: reserved names and those too long for a key never are. */
export function isAbsentByName(path: StorePath): boolean {
  return isReserved(path) || isTooLong(path)
}

/** Throws `denied` for reserved names, `invalid` for those that no key can hold. */
export function refuseName(path: StorePath): void {
  refuseReserved(path)
  if (isTooLong(path)) throw new Failure('invalid', 'The path is too long for a key of S3.', { path })
}

/**
 * The path that a key stands for; a directory's where the key ends with a slash. Undefined for keys that no path can
 * name (empty, `.` and `..` segments, …), for reserved ones, and for the root.
 */
export function pathOfKey(key: string): StorePath | undefined {
  if (key.length <= 255 && plainKey.test(key)) return ('/' + (key.endsWith('/') ? key.slice(0, -1) : key)) as StorePath
  const path = canonical(key.endsWith('/') ? key.slice(0, -1) : key)
  if (path === undefined || isReserved(path)) return undefined
  const bare = path.slice(1)
  return key.startsWith(bare) || key.startsWith(bare.normalize('NFD')) ? path : undefined
}

/** ASCII, and no segment empty or with a dot at its beginning. */
const plainKey = /^(?:[^./\x00\x80-\uffff][^/\x00\x80-\uffff]*\/)*[^./\x00\x80-\uffff][^/\x00\x80-\uffff]*\/?$/

function canonical(bare: string): StorePath | undefined {
  try {
    return pathOf(bare.split('/'))
  } catch {
    return undefined
  }
}

function isTooLong(path: StorePath): boolean {
  return path.length * 3 > maxKeyBytes && Buffer.byteLength(path) > maxKeyBytes
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text)
}
