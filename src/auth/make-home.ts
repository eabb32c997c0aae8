import type { Permit } from './permit.js'
import type { LockHolder, Locks } from '../catalog/locks.js'
import { isFailure } from '../core/failure.js'
import { ancestorsOf, rootPath, type StorePath } from '../core/path.js'
import type { Store } from '../store/store.js'

/** The caller whose home it is, and the whole store. */
export interface HomeMaker {
  readonly store: Store
  readonly locks: Pick<Locks, 'check' | 'commit'>
  readonly permit: Permit
  readonly holder: LockHolder
}

/**
 * Makes a home that is missing for a caller who may create it. Its parents come with it, for the configuration names
 * them. Where a lock keeps it out, or a file is in the way, it stays missing.
 */
export async function makeHome(home: StorePath, { store, locks, permit, holder }: HomeMaker): Promise<void> {
  if ((await store.stat(home)) !== undefined || !permit.allows('create', home, true)) return
  const above = ancestorsOf(home).filter((path) => path !== rootPath)
  try {
    for (const path of [home, ...above].reverse()) {
      if ((await store.stat(path)) !== undefined) continue
      const write = { path, extent: 'self', membership: true } as const
      const commit = locks.commit([write])
      try {
        await commit.begin()
        await locks.check(write, holder)
        await make(store, path, commit.signal)
      } finally {
        commit.end()
      }
    }
  } catch (error) {
    if (!isFailure(error, 'denied', 'locked', 'not-directory', 'no-parent')) throw error
  }
}

async function make(store: Store, path: StorePath, signal: AbortSignal | undefined): Promise<void> {
  try {
    await store.makeDirectory(path, signal)
  } catch (error) {
    // Another request was faster.
    if (!isFailure(error, 'exists')) throw error
  }
}
