import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { Conditions, Entry } from './store.js'

/** Throws `precondition` unless the target's present entry (undefined: nothing is there) meets every condition. */
export function requireConditions(
  path: StorePath,
  present: Pick<Entry, 'etag' | 'modified'> | undefined,
  conditions: Conditions,
): void {
  if (conditionsHold(present, conditions)) return
  throw new Failure('precondition', 'The file is not in the state that the request requires.', { path })
}

/** Whether what is there meets every condition (see `Conditions`). */
export function conditionsHold(
  present: Pick<Entry, 'etag' | 'modified'> | undefined,
  { ifMatch, ifNoneMatch, ifUnmodifiedSince }: Conditions,
): boolean {
  if (present === undefined) return ifMatch === undefined
  if (ifMatch !== undefined && !matches(present.etag, ifMatch)) return false
  if (ifNoneMatch !== undefined && matches(present.etag, ifNoneMatch)) return false
  return ifUnmodifiedSince === undefined || wholeSecond(present.modified) <= wholeSecond(ifUnmodifiedSince)
}

function matches(etag: string, wanted: '*' | readonly string[]): boolean {
  return wanted === '*' || wanted.includes(etag)
}

function wholeSecond(milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}
