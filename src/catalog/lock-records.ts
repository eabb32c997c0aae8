import type { Item } from './catalog.js'
import type { Lock } from './locks.js'
import type { StorePath } from '../core/path.js'

/** The group of the catalog in which locks are kept. */
export const group = 'locks'

/** A lock as the catalog keeps it. */
export interface StoredLock extends Lock {
  /** Not granted yet: counts only for others who take a lock at the same time. */
  readonly provisional?: true
}

/** All locks of one resource. */
export interface LockRecord {
  readonly path: StorePath
  readonly locks: readonly StoredLock[]
}

/** The value of a record, as JSON. */
export function encode(record: LockRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record))
}

/** Reads what `encode` wrote. */
export function decode(item: Item): LockRecord {
  return JSON.parse(
    Buffer.from(item.value.buffer, item.value.byteOffset, item.value.byteLength).toString(),
  ) as LockRecord
}
