import type { Clock } from '../core/clock.js'
import type { Change, Report } from '../core/events.js'
import type { StorePath } from '../core/path.js'
import { bound } from '../store/bound.js'
import type { Entry, Store, Written } from '../store/store.js'

export interface ReportingOptions {
  /** Who works on the store. */
  readonly by: string
  readonly report: Report
  readonly clock: Clock
}

/** A store that reports what was done in it, once it was. What did not come about is not reported. */
export function reporting(store: Store, { by, report, clock }: ReportingOptions): Store {
  const say = (change: Omit<Change, 'by' | 'at'>): void => report({ ...change, by, at: clock.now() })
  const put = (written: Written): Written => {
    say({ kind: written.created ? 'created' : 'changed', ...factsOf(written.entry) })
    return written
  }
  const moved = (from: StorePath, written: Written): Written => {
    say({ kind: 'moved', from, ...factsOf(written.entry) })
    return written
  }
  const gone = (path: StorePath): void => say({ kind: 'removed', path })
  const self: { -readonly [Key in keyof Store]: Store[Key] } = {
    ...bound(store),
    write: async (path, body, options) => put(await store.write(path, body, options)),
    copy: async (from, to, options) => put(await store.copy(from, to, options)),
    move: async (from, to, options) => moved(from, await store.move(from, to, options)),
    async change(path, change) {
      const entry = await store.change(path, change)
      say({ kind: 'changed', ...factsOf(entry) })
      return entry
    },
    async makeDirectory(path, signal) {
      const entry = await store.makeDirectory(path, signal)
      say({ kind: 'created', ...factsOf(entry) })
      return entry
    },
    async remove(path, options) {
      await store.remove(path, options)
      gone(path)
    },
  }
  const { removeTree, moveTree, copyTree, assemble, parts } = bound(store)
  if (removeTree !== undefined)
    self.removeTree = async (path, signal) => {
      await removeTree(path, signal)
      gone(path)
    }
  if (moveTree !== undefined) self.moveTree = async (from, to) => moved(from, await moveTree(from, to))
  if (copyTree !== undefined) self.copyTree = async (from, to, signal) => put(await copyTree(from, to, signal))
  if (assemble !== undefined) self.assemble = async (to, pieces, options) => put(await assemble(to, pieces, options))
  if (parts !== undefined)
    self.parts = {
      ...parts,
      become: async (room, path, stored, options) => put(await parts.become(room, path, stored, options)),
    }
  return self
}

function factsOf({ path, kind, size, etag }: Entry): Pick<Change, 'path' | 'type' | 'size' | 'etag'> {
  return kind === 'file' ? { path, type: kind, size, etag } : { path, type: kind }
}
