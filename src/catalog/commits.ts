import { setTimeout as delay } from 'node:timers/promises'
import type { Lock, LockedWrite } from './locks.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { isWithin, parentOf } from '../core/path.js'

/**
 * The last step of a write: from before its last look at the locks until it is done. Without it a lock could be granted
 * between that look and the deed, and its holder would read what is about to be replaced.
 */
export interface Commit {
  /** Aborts where the commit can no longer be seen by others, with an `unavailable` as its reason: the deed must not go on. */
  readonly signal: AbortSignal | undefined
  /** Begins in advance, for a second at most, so that `begin` need not wait for it. */
  prepare(): void
  /** Resolves once everyone who takes a lock from here on sees that this is under way. Throws `unavailable`. */
  begin(): Promise<void>
  /** The deed is over, or will not be. May be called at any time, and again. */
  end(): void
}

/** Who is about to write: what LOCK waits for before it answers. Writers wait for nobody, so nobody waits in a circle. */
export interface Commits {
  of(writes: readonly LockedWrite[]): Commit
  /**
   * Waits until no commit that concerns a lock, and had begun before this call, is under way; the lock must be there for
   * all to see by then. Resolves to whether there was any. Throws `unavailable` after 25 seconds.
   */
  past(lock: Pick<Lock, 'path' | 'depth'>): Promise<boolean>
}

export interface CommitsOptions {
  readonly clock: Clock
  /** Waits so many milliseconds (default: by a timer). */
  readonly pause?: (milliseconds: number) => Promise<unknown>
}

/** Longer than a process that has died can be thought to be at work. */
export const patienceMilliseconds = 25_000

/** Whether a write changes what a lock protects. */
export function concerns(write: LockedWrite, { path, depth }: Pick<Lock, 'path' | 'depth'>): boolean {
  return (
    write.path === path ||
    (write.membership && write.path !== '/' && parentOf(write.path) === path) ||
    (depth === 'infinity' && isWithin(write.path, path)) ||
    (write.extent === 'tree' && isWithin(path, write.path))
  )
}

/** Waits until nothing is left. Throws `unavailable` after 25 seconds. */
export async function outwait(isLeft: () => boolean | Promise<boolean>, options: CommitsOptions): Promise<void> {
  const { clock, pause = delay } = options
  const end = clock.now() + patienceMilliseconds
  for (let wait = 1; await isLeft(); wait = Math.min(wait * 2, 200)) {
    if (clock.now() >= end)
      throw new Failure('unavailable', 'Somebody is still writing here. Try again.', { retryAfterSeconds: 5 })
    await pause(wait)
  }
}

/** For one process alone: nothing is said to anybody, so a commit costs next to nothing. */
export class LocalCommits implements Commits {
  readonly #underWay = new Set<LocalCommit>()
  readonly #options: CommitsOptions

  constructor(options: CommitsOptions) {
    this.#options = options
  }

  of(writes: readonly LockedWrite[]): Commit {
    return new LocalCommit(this.#underWay, writes)
  }

  async past(lock: Pick<Lock, 'path' | 'depth'>): Promise<boolean> {
    const before = [...this.#underWay].filter(({ writes }) => writes.some((write) => concerns(write, lock)))
    if (before.length === 0) return false
    await outwait(() => before.some((commit) => this.#underWay.has(commit)), this.#options)
    return true
  }
}

const done = Promise.resolve()

class LocalCommit implements Commit {
  readonly signal = undefined
  readonly writes: readonly LockedWrite[]
  readonly #underWay: Set<LocalCommit>

  constructor(underWay: Set<LocalCommit>, writes: readonly LockedWrite[]) {
    this.#underWay = underWay
    this.writes = writes
  }

  prepare(): void {
    // Nothing to wait for later.
  }

  begin(): Promise<void> {
    this.#underWay.add(this)
    return done
  }

  end(): void {
    this.#underWay.delete(this)
  }
}
