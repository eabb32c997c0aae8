import type { Change } from './catalog.js'
import { maxGroupBytes, maxNameBytes, maxValueBytes } from './catalog.js'
import { Failure } from '../core/failure.js'

/** Most changes that one transaction may hold. */
export const maxChanges = 100

/** Throws `too-large` over the limits of every catalog and `invalid` for a name that has no UTF-8 form. */
export function checkKey(group: string, name: string): void {
  checkText(group, maxGroupBytes, 'group')
  checkText(name, maxNameBytes, 'name')
}

/** `checkKey`, and the limit of the value. */
export function checkItem(group: string, name: string, next: Uint8Array | undefined): void {
  checkKey(group, name)
  if (next !== undefined && next.byteLength > maxValueBytes)
    throw new Failure('too-large', `A catalog value is longer than ${maxValueBytes} bytes.`, { size: maxValueBytes })
}

/** `checkItem` for each; throws `too-large` for too many changes and `invalid` where two of them touch the same item. */
export function checkChanges(changes: readonly Change[]): void {
  if (changes.length > maxChanges)
    throw new Failure('too-large', `A catalog transaction holds more than ${maxChanges} changes.`)
  const touched = new Set<string>()
  for (const { group, name, next } of changes) {
    checkItem(group, name, next)
    touched.add(`${group.length}:${group}${name}`)
  }
  if (touched.size !== changes.length)
    throw new Failure('invalid', 'A catalog transaction touches one item more than once.')
}

function checkText(text: string, limit: number, what: string): void {
  if (text.length * 3 > limit && Buffer.byteLength(text) > limit)
    throw new Failure('too-large', `A catalog ${what} is longer than ${limit} bytes.`, { size: limit })
  if (!text.isWellFormed()) throw new Failure('invalid', `A catalog ${what} is not valid UTF-8.`)
}
