import { Failure } from '../../core/failure.js'
import type { Notes } from '../../store/local/notes.js'

/** Notes of one user, at most. */
const mostNotes = 1_000_000

/** Longest note, in bytes: as `Notes` allows. */
const mostBytes = 64 * 1024

/** So many are put before the first count: counting takes time, and few users have so many. Then a quarter of what there is. */
const uncounted = 10_000

/** A full book is counted again only after so long. */
const fullMilliseconds = 60_000

export interface NoteBounds {
  readonly mostNotes?: number
  readonly uncounted?: number
}

/**
 * The notes, for a user whose process can ask for as many as it likes: refused with `no-space` above a number of them,
 * which several processes on the network may pass a little, and with `too-large` above the size of one.
 */
export function boundedNotes(notes: Notes, bounds: NoteBounds = {}): Notes {
  const most = bounds.mostNotes ?? mostNotes
  const step = bounds.uncounted ?? uncounted
  let room = Math.min(step, most)
  let fullUntil = 0
  let counting: Promise<void> | undefined

  async function count(): Promise<void> {
    if (Date.now() < fullUntil) throw full()
    const there = (await notes.count?.(most)) ?? 0
    const left = most - there
    if (left <= 0) {
      fullUntil = Date.now() + fullMilliseconds
      throw full()
    }
    room = Math.min(Math.max(step, Math.floor(there / 4)), left)
  }

  async function requireRoom(): Promise<void> {
    while (room <= 0) await (counting ??= count().finally(() => (counting = undefined)))
    room--
  }

  return {
    ...notes,
    async put(key, value) {
      requireSmall(value)
      await requireRoom()
      await notes.put(key, value)
    },
    ...(notes.update !== undefined && {
      async update(key: string, next: (value: Uint8Array | undefined) => Uint8Array) {
        await requireRoom()
        await notes.update?.(key, (value) => requireSmall(next(value)))
      },
    }),
  }
}

function requireSmall(value: Uint8Array): Uint8Array {
  if (value.length > mostBytes) throw new Failure('too-large', 'What is to be noted of a file is too large.')
  return value
}

function full(): Failure {
  return new Failure('no-space', 'There is no room for properties of more files of this user.')
}
