import type { Commit } from './commits.js'
import type { StorePath } from '../core/path.js'

/** A write lock (RFC 4918 §6 and §7). */
export interface Lock {
  /** An unguessable absolute URI, `opaquelocktoken:…` (RFC 4918 appendix C). */
  readonly token: string
  /** The lock root. */
  readonly path: StorePath
  readonly scope: 'exclusive' | 'shared'
  readonly depth: 0 | 'infinity'
  /** The client's `owner` element as one XML element, kept as sent. */
  readonly owner?: string
  /** Whose it is: only this principal may use or release it. */
  readonly principal: string
  /** Milliseconds since the epoch. */
  readonly expires: number
}

export interface LockRequest {
  readonly path: StorePath
  readonly scope: Lock['scope']
  readonly depth: Lock['depth']
  readonly owner?: string
  readonly principal: string
  readonly timeoutSeconds: number
}

/** Who writes, and the lock tokens it has submitted. A token counts only for the principal that made the lock. */
export interface LockHolder {
  readonly principal: string
  readonly tokens: ReadonlySet<string>
}

/** What a write touches. */
export interface LockedWrite {
  readonly path: StorePath
  /** `tree`: everything below changes too. */
  readonly extent: 'self' | 'tree'
  /** The name itself comes or goes, which locks on the parent collection protect as well (RFC 4918 §7.4). */
  readonly membership: boolean
}

export interface Locks {
  /** Takes a lock. Throws `locked` (`no-conflicting-lock`) with the path of the conflicting lock's root; `throttled` where the principal holds too many; `unavailable` where a write there does not end. */
  take(request: LockRequest): Promise<Lock>
  /** Prolongs the lock among the holder's tokens that covers the path (RFC 4918 §9.10.2). Throws `precondition` (`lock-token-matches-request-uri`) where there is none of this principal. */
  refresh(path: StorePath, holder: LockHolder, timeoutSeconds: number): Promise<Lock>
  /** Ends a lock. Throws `conflict` (`lock-token-matches-request-uri`) where the token does not cover the path, `denied` where it is another principal's. */
  release(path: StorePath, token: string, principal: string): Promise<void>
  /** Every lock that applies to the path: its own and those of depth infinity above it. */
  covering(path: StorePath): Promise<readonly Lock[]>
  /** Every lock whose root lies strictly below the path, in batches. */
  below(path: StorePath): AsyncIterable<readonly Lock[]>
  /** Locks on a directory's members themselves (not deeper), by path: for listings. */
  members(directory: StorePath): Promise<ReadonlyMap<StorePath, readonly Lock[]>>
  /**
   * The last step of writes that others must be able to rely on: `begin` it before `check`, `end` it once they are made.
   * `take` resolves only when those are over that had begun before its lock could be seen.
   */
  commit(writes: readonly LockedWrite[]): Commit
  /** Throws `locked` (`lock-token-submitted`, path of the lock root) unless the holder may make this write. */
  check(write: LockedWrite, holder: LockHolder): Promise<void>
  /** Those that end with a path, at it and for a `tree` below it (RFC 4918 §9.6.1): to be asked before it goes. */
  rooted(path: StorePath, extent: 'self' | 'tree'): Promise<readonly Lock[]>
  /** Ends these locks, whoever holds them; those that have come since stay. */
  end(locks: readonly Pick<Lock, 'path' | 'token'>[]): Promise<void>
}
