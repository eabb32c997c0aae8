import { GuardedLocks, GuardedProperties, type LocksForCallers, type PropertiesForCallers } from './guarded-records.js'
import { GuardedStore } from './guarded-store.js'
import { GuardedUploads } from './guarded-uploads.js'
import type { Permit } from './permit.js'
import { Rights } from './rights.js'
import type { UploadLimits } from './upload-limits.js'
import type { LockHolder, Locks } from '../catalog/locks.js'
import type { Properties } from '../catalog/properties.js'
import type { Uploads } from '../catalog/uploads.js'
import type { Store } from '../store/store.js'

/** What a protocol holds: every call through it is allowed by grants and locks, or throws `denied` or `locked`. */
export interface GuardedSet {
  readonly store: Store
  readonly locks: LocksForCallers
  readonly properties: PropertiesForCallers
  readonly uploads: Uploads
}

/** What the guard stands around. */
export interface Unguarded {
  readonly store: Store
  readonly locks: Locks
  readonly properties: Properties
  /** Of this store. */
  readonly uploads: Uploads
}

/**
 * Puts one caller's rights around everything that a protocol may touch. Writes are judged against the locks of others
 * before a body is read and again right before the commit. The short ways through trees throw `unsupported` where the
 * caller must go member by member. Made for each request, so it costs next to nothing until it is used.
 */
export function guard(
  { store, locks, properties, uploads }: Unguarded,
  permit: Permit,
  holder: LockHolder,
  limits?: UploadLimits,
): GuardedSet {
  const rights = new Rights(store, locks, permit, holder, limits)
  return {
    store: new GuardedStore(store, rights),
    locks: new GuardedLocks(locks, store, rights),
    properties: new GuardedProperties(properties, store, rights),
    uploads: new GuardedUploads(uploads, rights),
  }
}
