import { catalogMoves, type Records } from './moves.js'
import { together } from './together.js'
import type { StorePath } from '../core/path.js'
import { bound } from '../store/bound.js'
import type { Staged, Store, WriteOptions, Written } from '../store/store.js'

export type { Records } from './moves.js'

/**
 * A store whose locks and dead properties live and die with its files: they follow MOVE and COPY (RFC 4918 §9.8.2,
 * §9.9.1), end with DELETE, and a new file never inherits those of a forgotten one. The lock on a file that is replaced
 * by another file stays, for the resource at that URL goes on; so do its properties, but for who could not read them. What is still known of names below
 * something that is gone is forgotten when a directory is made there.
 */
export function tended(store: Store, records: Records): Store {
  const { locks, properties } = records
  const moves = catalogMoves(store, records)

  /** Of what goes, locks and properties go that were there before. */
  async function gone(path: StorePath, extent: 'self' | 'tree', remove: () => Promise<void>): Promise<void> {
    const [over, drop] = await Promise.all([locks.rooted(path, extent), properties.leaving(path, extent)])
    await remove()
    await together([locks.end(over), drop()])
  }

  /** What is made where nothing was, or what its maker could not read, begins without properties. */
  async function fresh(
    path: StorePath,
    options: WriteOptions | undefined,
    make: (options: WriteOptions) => Promise<Written>,
  ): Promise<Written> {
    const before = properties.look([path]).then(async (all) => {
      const [seen] = all
      return { all, isHidden: seen?.version !== undefined && !(await store.permits('read', path)) }
    })
    // Whoever fails earlier does not come to ask.
    before.catch(() => undefined)
    const beforeCommit = async (staged: Staged): Promise<void> => {
      await options?.beforeCommit?.(staged)
      // Once the file is there, others may give it properties.
      await before
    }
    const written = await make({ ...options, beforeCommit })
    const { all, isHidden } = await before
    if (written.created || isHidden) for (const seen of all) await properties.replace(seen, [])
    return written
  }

  const self: { -readonly [Key in keyof Store]: Store[Key] } = {
    ...bound(store),

    write: (path, body, options) => fresh(path, options, (asked) => store.write(path, body, asked)),

    async makeDirectory(path, signal) {
      const drop = await properties.leaving(path, 'tree')
      const entry = await store.makeDirectory(path, signal)
      await drop()
      return entry
    },

    remove: (path, options) => gone(path, 'self', () => store.remove(path, options)),

    async copy(from, to, options) {
      const [source, target] = await properties.look([from, to])
      const written = await store.copy(from, to, options)
      if (source !== undefined && target !== undefined) await properties.replace(target, source.properties)
      return written
    },

    move: (from, to, options) => moves.file(from, to, () => store.move(from, to, options)),
  }
  const { removeTree, moveTree, copyTree, assemble, parts } = bound(store)
  if (removeTree !== undefined) self.removeTree = (path, signal) => gone(path, 'tree', () => removeTree(path, signal))
  if (moveTree !== undefined) self.moveTree = (from, to) => moves.tree(from, to, () => moveTree(from, to))
  if (copyTree !== undefined)
    self.copyTree = async (from, to, signal) => {
      const written = await copyTree(from, to, signal)
      await properties.copyTree(from, to)
      return written
    }
  if (assemble !== undefined)
    self.assemble = (to, pieces, options) => fresh(to, options, (asked) => assemble(to, pieces, asked))
  if (parts !== undefined)
    self.parts = {
      ...parts,
      become: (room, path, stored, options) => fresh(path, options, (asked) => parts.become(room, path, stored, asked)),
    }
  return self
}
