import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { Conditions, WriteOptions } from '../store/store.js'
import type { Head } from './wire/link.js'

/** What a process of a user has to know of a write: notes, digests and the last word are not its business. */
export type PlainWriteOptions = Pick<
  WriteOptions,
  'ifMatch' | 'ifNoneMatch' | 'ifUnmodifiedSince' | 'length' | 'modified' | 'parents' | 'executable'
>

export function encodeWriteOptions(options: WriteOptions): Head {
  const { ifMatch, ifNoneMatch, ifUnmodifiedSince, length, modified, parents, executable } = options
  return { ifMatch, ifNoneMatch, ifUnmodifiedSince, length, modified, parents, executable }
}

/** Throws `invalid`. */
export function decodeWriteOptions(value: unknown): PlainWriteOptions {
  if (typeof value !== 'object' || value === null) throw malformed()
  const head = value as Head
  const ifMatch = etagsIn(head, 'ifMatch')
  const ifNoneMatch = etagsIn(head, 'ifNoneMatch')
  const ifUnmodifiedSince = numberIn(head, 'ifUnmodifiedSince')
  const length = numberIn(head, 'length')
  const modified = numberIn(head, 'modified')
  const parents = flagIn(head, 'parents')
  const executable = flagIn(head, 'executable')
  return {
    ...(ifMatch !== undefined && { ifMatch }),
    ...(ifNoneMatch !== undefined && { ifNoneMatch }),
    ...(ifUnmodifiedSince !== undefined && { ifUnmodifiedSince }),
    ...(length !== undefined && { length }),
    ...(modified !== undefined && { modified }),
    ...(parents !== undefined && { parents }),
    ...(executable !== undefined && { executable }),
  }
}

/** Throws `invalid`. */
export function pathIn(head: Head, name: string): StorePath {
  const path = textIn(head, name)
  if (!path.startsWith('/') || path.includes('\0')) throw malformed()
  return path as StorePath
}

/** Throws `invalid`. */
export function textIn(head: Head, name: string): string {
  const text = head[name]
  if (typeof text !== 'string') throw malformed()
  return text
}

/** A whole number from 0. Throws `invalid`. */
export function countIn(head: Head, name: string): number {
  const count = head[name]
  if (!Number.isSafeInteger(count) || (count as number) < 0) throw malformed()
  return count as number
}

/** To be thrown. */
export function malformed(): Failure {
  return new Failure('invalid', 'The message is not as it should be.')
}

function numberIn(head: Head, name: string): number | undefined {
  const value = head[name]
  if (value !== undefined && !Number.isFinite(value)) throw malformed()
  return value as number | undefined
}

function flagIn(head: Head, name: string): boolean | undefined {
  const value = head[name]
  if (value !== undefined && typeof value !== 'boolean') throw malformed()
  return value
}

function etagsIn(head: Head, name: string): Conditions['ifMatch'] {
  const value = head[name]
  if (value === undefined || value === '*') return value
  if (!Array.isArray(value) || !value.every((etag) => typeof etag === 'string')) throw malformed()
  return value
}
