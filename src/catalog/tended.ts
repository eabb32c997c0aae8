import { randomUUID } from 'node:crypto'
import type { Catalog } from './catalog.js'
import type { Locks } from './locks.js'
import type { Properties } from './properties.js'
import type { StorePath } from '../core/path.js'
import { bound } from '../store/bound.js'
import type { Store } from '../store/store.js'

export interface Records {
  readonly catalog: Catalog
  readonly locks: Locks
  readonly properties: Properties
}

/**
 * A store whose locks and dead properties live and die with its files: they follow MOVE and COPY (RFC 4918 §9.8.2,
 * §9.9.1), end with DELETE, and a new file never inherits those of a forgotten one. The lock on a file that is replaced
 * by another file stays, for the resource at that URL goes on.
 */
export function tended(store: Store, records: Records): Store {
  const { locks, properties } = records

  async function forget(path: StorePath): Promise<void> {
    await locks.forget(path)
    await properties.forget(path)
  }

  const self: { -readonly [Key in keyof Store]: Store[Key] } = {
    ...bound(store),

    async write(path, body, options) {
      const written = await store.write(path, body, options)
      if (written.created) await properties.forget(path)
      return written
    },

    async makeDirectory(path, signal) {
      const entry = await store.makeDirectory(path, signal)
      await properties.forget(path)
      return entry
    },

    async remove(path, options) {
      await store.remove(path, options)
      await forget(path)
    },

    async copy(from, to, options) {
      const written = await store.copy(from, to, options)
      await properties.copy(from, to)
      return written
    },

    async move(from, to, options) {
      return relocate(records, from, to, () => store.move(from, to, options))
    },
  }
  const { removeTree, moveTree, copyTree, assemble, parts } = bound(store)
  if (removeTree !== undefined)
    self.removeTree = async (path, signal) => {
      await removeTree(path, signal)
      await forget(path)
    }
  if (moveTree !== undefined) self.moveTree = (from, to) => relocate(records, from, to, () => moveTree(from, to))
  if (copyTree !== undefined)
    self.copyTree = async (from, to, signal) => {
      const written = await copyTree(from, to, signal)
      await properties.copyTree(from, to)
      return written
    }
  if (assemble !== undefined)
    self.assemble = async (to, pieces, options) => {
      const written = await assemble(to, pieces, options)
      if (written.created) await properties.forget(to)
      return written
    }
  if (parts !== undefined)
    self.parts = {
      ...parts,
      async become(room, path, stored, options) {
        const written = await parts.become(room, path, stored, options)
        if (written.created) await properties.forget(path)
        return written
      },
    }
  return self
}

const moves = 'moves'

/** A move that has begun. */
interface Move {
  readonly from: StorePath
  readonly to: StorePath
  /** The target has all of its properties: what the source still has may go. */
  readonly copied?: true
}

/**
 * Moves on the medium, then in the catalog. Where there are properties to take along or to drop, the intent is written
 * down first, so that `mendMoves` can finish what a crash has interrupted.
 */
async function relocate<Result>(
  records: Records,
  from: StorePath,
  to: StorePath,
  moveOnMedium: () => Promise<Result>,
): Promise<Result> {
  const { catalog, locks, properties } = records
  if (!(await properties.anyWithin(from)) && !(await properties.anyWithin(to))) {
    const result = await moveOnMedium()
    await locks.forget(from)
    return result
  }
  const intent = randomUUID()
  await catalog.swap(moves, intent, encode({ from, to }), undefined)
  let result: Result
  try {
    result = await moveOnMedium()
  } catch (error) {
    await catalog.swap(moves, intent, undefined, 'any')
    throw error
  }
  // A catalog that fails here keeps the intent: the next start mends it.
  await follow(records, intent, { from, to })
  return result
}

/** The catalog's part of a move. Stopped anywhere, it can be begun again: nothing goes before its copy is known to be whole. */
async function follow({ catalog, locks, properties }: Records, intent: string, move: Move): Promise<void> {
  const { from, to, copied } = move
  if (copied !== true) {
    await properties.copyTree(from, to)
    await catalog.swap(moves, intent, encode({ from, to, copied: true }), 'any')
  }
  await properties.forget(from)
  await locks.forget(from)
  await catalog.swap(moves, intent, undefined, 'any')
}

function encode(move: Move): Uint8Array {
  return Buffer.from(JSON.stringify(move))
}

/**
 * Finishes moves that a crash has interrupted between the medium and the catalog, and gives their number. To be called
 * by one process, before anything is served.
 */
export async function mendMoves(store: Store, records: Records): Promise<number> {
  const { catalog } = records
  let mended = 0
  for await (const items of catalog.list(moves)) {
    for (const item of items) {
      const move = JSON.parse(Buffer.from(item.value).toString()) as Move
      if ((await store.stat(move.from)) === undefined && (await store.stat(move.to)) !== undefined) {
        await follow(records, item.name, move)
        mended++
      } else await catalog.swap(moves, item.name, undefined, 'any')
    }
  }
  return mended
}
