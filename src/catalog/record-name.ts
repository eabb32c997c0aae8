import { createHash } from 'node:crypto'
import { maxNameBytes } from './catalog.js'
import { nameOf, parentOf, type StorePath } from '../core/path.js'

/**
 * Names of catalog records that belong to a path: `PARENT//NAME`. A canonical path never holds `//`, so the members of a
 * directory, and all that lies below it, are each one range of names. Long parents are cut and hashed, for a record name
 * is limited and a path is not; whoever lists a range must therefore look at the path within the record as well.
 */
export function recordName(path: StorePath): string {
  if (path === '/') return '//'
  return parentKey(parentOf(path)) + '//' + nameOf(path)
}

/** What the record names of a directory's members begin with; the root's own record begins with it too. */
export function membersPrefix(directory: StorePath): string {
  return parentKey(directory) + '//'
}

/** What the record names of everything below a path begin with, and perhaps some others. */
export function treePrefix(path: StorePath): string {
  const text = path === '/' ? '' : path
  return text.length < cutLength ? text + '/' : cut(text)
}

/** A parent that is kept whole, its name and the separator must fit: 240 + 2 + 255 < 512; so must a cut one: 3 * 66 + 35 + 2 + 255. */
const wholeBytes = maxNameBytes - 272
const cutLength = 66

function parentKey(directory: StorePath): string {
  const text = directory === '/' ? '' : directory
  // No character takes more than three bytes, so the common case needs no count.
  if (text.length * 3 <= wholeBytes || (text.length <= wholeBytes && Buffer.byteLength(text) <= wholeBytes)) return text
  // No canonical path holds a `.` segment, so no directory can be named to fall together with a cut one.
  return `${cut(text)}/./${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
}

/** The first characters, never half a surrogate pair. */
function cut(text: string): string {
  const last = text.charCodeAt(cutLength - 1)
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? cutLength - 1 : cutLength)
}
