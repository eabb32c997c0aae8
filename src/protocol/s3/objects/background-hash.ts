import { isFailure } from '../../../core/failure.js'
import type { StorePath } from '../../../core/path.js'
import type { Entry, Store } from '../../../store/store.js'

/** As many files wait; a page of a listing fits several times. */
const mostWaiting = 10_000

/** Computes the MD5 of files that are shown without one, when there is time. */
export interface BackgroundHash {
  /** Puts a file on the list, if it is not there and there is room. Never throws. */
  later(entry: Pick<Entry, 'path'>): void
  /** Resolves when nothing is waiting or under way any more. */
  idle(): Promise<void>
  /** Gives up what waits, and what is under way. */
  close(): Promise<void>
}

export interface BackgroundHashOptions {
  /** The whole store, with nobody's rights around it. */
  readonly store: Pick<Store, 'digest'>
  readonly mostWaiting?: number
  /** Told of what should not fail. */
  readonly onFault?: (error: unknown) => void
}

/**
 * One file at a time, in the order in which they were first shown. What cannot be hashed (gone, changed meanwhile,
 * unreadable) is forgotten: whoever shows it again puts it on the list again. Nothing is done where the store cannot
 * remember digests.
 */
export function openBackgroundHash({
  store,
  mostWaiting: most = mostWaiting,
  onFault,
}: BackgroundHashOptions): BackgroundHash {
  const waiting = new Set<StorePath>()
  const stop = new AbortController()
  let working: Promise<void> | undefined

  async function work(): Promise<void> {
    for (const path of waiting) {
      try {
        await store.digest?.(path, ['md5'], stop.signal)
      } catch (error) {
        if (!isFailure(error)) onFault?.(error)
      }
      // Only now: what is under way need not be put on the list once more.
      waiting.delete(path)
      if (stop.signal.aborted) return
    }
  }

  return {
    later({ path }) {
      if (store.digest === undefined || stop.signal.aborted || waiting.size >= most) return
      waiting.add(path)
      working ??= work().finally(() => (working = undefined))
    },
    async idle() {
      while (working !== undefined) await working
    },
    async close() {
      stop.abort()
      waiting.clear()
      await working
    },
  }
}
