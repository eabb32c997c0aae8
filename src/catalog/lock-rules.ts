import type { LockRecord, StoredLock } from './lock-records.js'
import type { Lock, LockHolder } from './locks.js'
import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'

/** Throws `locked` unless an exclusive lock among these is held, or any one of the shared ones (RFC 4918 §6.2). */
export function demand(locks: readonly Lock[], holder: LockHolder): void {
  let foreignShared: Lock | undefined
  let heldShared = false
  for (const lock of locks) {
    const held = holds(holder, lock)
    if (lock.scope === 'exclusive' && !held) throw unsubmitted(lock.path)
    if (lock.scope === 'shared') {
      if (held) heldShared = true
      else foreignShared ??= lock
    }
  }
  if (foreignShared !== undefined && !heldShared) throw unsubmitted(foreignShared.path)
}

/** Whether the holder has submitted the token of this lock of its own. */
export function holds(holder: LockHolder, lock: Lock): boolean {
  return lock.principal === holder.principal && holder.tokens.has(lock.token)
}

/** The locks that apply to a path, out of the records near it. */
export function covering(records: readonly LockRecord[], path: StorePath): readonly Lock[] {
  if (records.length === 0) return none
  return records.flatMap((record) =>
    record.locks.filter((lock) => confirmed(lock) && (record.path === path || lock.depth === 'infinity')),
  )
}

const none: readonly Lock[] = []

/** Whether it has been granted, or is about to be. */
export function confirmed(lock: StoredLock): boolean {
  return lock.provisional !== true
}

/** Whether two locks on one resource exclude each other (RFC 4918 §7). */
export function excludes(one: Pick<Lock, 'scope'>, other: Pick<Lock, 'scope'>): boolean {
  return one.scope === 'exclusive' || other.scope === 'exclusive'
}

/** Locks by their root. */
export function byRoot<Each extends Pick<Lock, 'path'>>(
  locks: readonly Each[],
): ReadonlyMap<StorePath, readonly Each[]> {
  const roots = new Map<StorePath, Each[]>()
  for (const lock of locks) {
    const known = roots.get(lock.path)
    if (known === undefined) roots.set(lock.path, [lock])
    else known.push(lock)
  }
  return roots
}

/** The same list where the token is not among them. */
export function without(locks: readonly StoredLock[], token: string): readonly StoredLock[] {
  return locks.some((lock) => lock.token === token) ? locks.filter((lock) => lock.token !== token) : locks
}

/** What is said to who wants a lock where another one excludes it. */
export function conflict(path: StorePath): Failure {
  return new Failure('locked', 'Another lock is in the way.', { reason: 'no-conflicting-lock', path })
}

function unsubmitted(path: StorePath): Failure {
  return new Failure('locked', 'The resource is locked. Submit the lock token in an If header.', {
    reason: 'lock-token-submitted',
    path,
  })
}
