import type { Locks } from '../catalog/locks.js'
import type { Properties } from '../catalog/properties.js'
import type { Store } from '../store/store.js'

/** What a protocol holds: every call through it is allowed by grants and locks, or throws. */
export interface GuardedSet {
  readonly store: Store
  readonly locks: Locks
  readonly properties: Properties
}
