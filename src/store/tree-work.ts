import { isFailure, type Failure } from '../core/failure.js'
import { isWithin, type StorePath } from '../core/path.js'
import { throwIfAborted } from './aborted.js'
import type { Entry, Store } from './store.js'

/** A member of a tree that something could not be done to. */
export interface MemberFailure {
  readonly path: StorePath
  readonly failure: Failure
}

/** Whether anything in one directory of the tree has failed, or below it. */
export interface Scope {
  failed: boolean
}

/** Where a step works: what it takes, and what it makes of it where it makes something. */
export interface Step {
  readonly source: StorePath
  readonly target?: StorePath
}

const maxFailures = 1000
/** Steps under way at once, where the store does not say how many are of use. */
const usualRunning = 4
/** Listings kept half-read at once, so that a deep tree does not use up the descriptors. */
const maxOpenListings = 32

/**
 * The steps of one work on a tree: a few run at a time, failures are kept up to a bound, and nothing runs on once the
 * work is over. A full or unreachable medium ends it: no later step would fare better.
 */
export class TreeWork {
  readonly #store: Store
  readonly #signal: AbortSignal | undefined
  readonly #failures: MemberFailure[] = []
  readonly #running = new Set<Promise<void>>()
  #omitted = 0
  #ended = false
  #broken: { readonly error: unknown } | undefined

  constructor(store: Store, signal: AbortSignal | undefined) {
    this.#store = store
    this.#signal = signal
  }

  /** Runs a work to its end; what it has started is over when this resolves or throws. */
  async run(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
      await this.#idle()
    } finally {
      await Promise.all(this.#running)
    }
  }

  /** What could not be done. */
  outcome(): { readonly failures: readonly MemberFailure[]; readonly omitted: number } {
    return { failures: this.#failures, omitted: this.#omitted }
  }

  /** Calls `each` for every member of a directory, one after the other; gives how many there were. */
  async members(
    directory: StorePath,
    level: number,
    scope: Scope,
    each: (member: Entry) => Promise<void>,
  ): Promise<number> {
    const batches = this.#store.list(directory, this.#signal === undefined ? {} : { signal: this.#signal })
    let count = 0
    const listing = async (): Promise<void> => {
      for await (const batch of level < maxOpenListings ? batches : await drained(batches)) {
        for (const member of batch) {
          if (this.#ended) return
          count++
          await each(member)
        }
      }
    }
    await this.now(scope, { source: directory }, listing)
    return count
  }

  /** Begins a step as soon as there is room for one more; its failure is kept. */
  async start(scope: Scope, step: Step, task: () => Promise<unknown>): Promise<void> {
    while (this.#running.size >= (this.#store.concurrency ?? usualRunning)) await Promise.race(this.#running)
    this.#check()
    if (this.#ended) return
    const running: Promise<void> = this.#attempt(scope, step, task).then(
      () => void this.#running.delete(running),
      (error: unknown) => {
        this.#running.delete(running)
        this.#broken ??= { error }
      },
    )
    this.#running.add(running)
  }

  /** Does a step and gives its result; undefined where it failed, which is kept, or where the source has vanished, which is no failure. */
  async now<T>(scope: Scope, step: Step, task: () => Promise<T>): Promise<T | undefined> {
    this.#check()
    return this.#ended ? undefined : await this.#attempt(scope, step, task)
  }

  /** Waits until nothing that was started still runs, then says whether all of the scope went well. */
  async isClean(scope: Scope): Promise<boolean> {
    await this.#idle()
    return !scope.failed && !this.#ended
  }

  async #idle(): Promise<void> {
    await Promise.all(this.#running)
    this.#check()
  }

  async #attempt<T>(scope: Scope, step: Step, task: () => Promise<T>): Promise<T | undefined> {
    try {
      return await task()
    } catch (error) {
      if (!isFailure(error) || this.#signal?.aborted === true) throw error
      const path = pathAtFault(error, step)
      if (error.kind === 'not-found' && path === step.source) return undefined
      scope.failed = true
      if (error.kind === 'no-space' || error.kind === 'unavailable') this.#ended = true
      if (this.#failures.length < maxFailures) this.#failures.push({ path, failure: error })
      else this.#omitted++
      return undefined
    }
  }

  #check(): void {
    if (this.#broken !== undefined) throw this.#broken.error
    throwIfAborted(this.#signal)
  }
}

/** The target, unless the failure is about the source: one that it names, or something above it, such as a lock's root. */
function pathAtFault(failure: Failure, { source, target }: Step): StorePath {
  if (target === undefined) return source
  const { path, kind } = failure
  if (path === undefined) return kind === 'not-found' ? source : target
  return related(path, source) && !related(path, target) ? source : target
}

function related(a: StorePath, b: StorePath): boolean {
  return isWithin(a, b) || isWithin(b, a)
}

async function drained<T>(batches: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = []
  for await (const batch of batches) all.push(batch)
  return all
}
