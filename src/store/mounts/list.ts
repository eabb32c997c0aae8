import { isFailure } from '../../core/failure.js'
import { isWithin, parentOf, rootPath, type StorePath } from '../../core/path.js'
import { compareKeys, keyOf } from '../key-order.js'
import type { Entry, ListOptions, Store } from '../store.js'
import type { MountTable } from './table.js'

/** `Store.list` over several stores. What a store has at or below a mount point of another one does not show. */
export async function* listMounted(
  table: MountTable,
  directory: StorePath,
  options: ListOptions = {},
): AsyncGenerator<readonly Entry[]> {
  const { depth = 1 } = options
  const below = table.heldBelow(directory)
  const held = depth === 1 ? below.filter((path) => parentOf(path) === directory) : below
  if (held.length === 0) yield* table.of(directory).store.list(directory, options)
  else if (options.order === 'key') yield* inKeyOrder(table, directory, options, held)
  else yield* inAnyOrder(table, directory, options, held)
}

/** The root of a mounted store. A store that cannot be asked shows too: a tree must not seem to be gone. */
export async function mountEntry(table: MountTable, path: StorePath, signal?: AbortSignal): Promise<Entry> {
  let found: Entry | undefined
  try {
    found = await table.of(path).store.stat(path, signal)
  } catch (error) {
    if (!isFailure(error) || signal?.aborted === true) throw error
  }
  return { ...(found ?? madeUp(path)), ...(path !== rootPath && { mount: 'here' }) }
}

/** A directory that is there only because of what is mounted below it. */
export function madeUp(path: StorePath): Entry {
  return { path, kind: 'directory', size: 0, modified: 0, etag: 'mounts', mount: 'below' }
}

/** Longer than any name, and behind any: with a directory's key in front of it, it comes after all that lies below. */
const lastName = '\u{10ffff}'.repeat(64)

async function* inKeyOrder(
  table: MountTable,
  directory: StorePath,
  options: ListOptions,
  held: readonly StorePath[],
): AsyncGenerator<readonly Entry[]> {
  const waiting = held.map((path) => ({ path, key: `${path}/` })).sort((a, b) => compareKeys(a.key, b.key))
  let next = 0
  /** What is held and comes before a key, or has it. */
  async function* heldUpTo(key: string | undefined): AsyncGenerator<readonly Entry[]> {
    for (; ; next++) {
      const one = waiting[next]
      if (one === undefined || (key !== undefined && compareKeys(one.key, key) > 0)) return
      if (table.at(one.path) !== undefined) yield* mountedAt(table, one.path, options)
      // A directory that the store itself has there comes by itself.
      else if (one.key !== key) yield* shownOf([madeUp(one.path)], options)
    }
  }

  let after = options.after
  for (let isDone = false; !isDone;) {
    isDone = true
    const own = ownMembers(table, directory, { ...options, ...(after !== undefined && { after }) })
    reading: for await (const batch of own) {
      let shown: Entry[] = []
      for (const entry of batch) {
        const key = keyOf(entry)
        const one = waiting[next]
        if (one !== undefined && compareKeys(one.key, key) <= 0) {
          if (shown.length > 0) yield shown
          shown = []
          yield* heldUpTo(key)
        }
        const hidden = held.find((path) => hides(table, path, entry))
        if (hidden === undefined) shown.push(table.isWay(entry.path) ? { ...entry, mount: 'below' } : entry)
        else if (options.depth === 'infinity' && entry.path !== hidden) {
          // There may be millions: they are passed over at once.
          if (shown.length > 0) yield shown
          after = `${hidden}/${lastName}`
          isDone = false
          break reading
        }
      }
      if (shown.length > 0) yield shown
    }
  }
  yield* heldUpTo(undefined)
}

async function* inAnyOrder(
  table: MountTable,
  directory: StorePath,
  options: ListOptions,
  held: readonly StorePath[],
): AsyncGenerator<readonly Entry[]> {
  const seen = new Set<StorePath>()
  for await (const batch of ownMembers(table, directory, options)) {
    const shown: Entry[] = []
    for (const entry of batch) {
      if (held.some((path) => hides(table, path, entry))) continue
      const isWay = table.isWay(entry.path)
      if (isWay) seen.add(entry.path)
      shown.push(isWay ? { ...entry, mount: 'below' } : entry)
    }
    if (shown.length > 0) yield shown
  }
  const others = held.filter((path) => !seen.has(path)).sort((a, b) => a.length - b.length)
  const unordered = { ...options, after: '' }
  yield* shownOf(
    others.filter((path) => table.at(path) === undefined).map((path) => madeUp(path)),
    unordered,
  )
  for (const path of others) if (table.at(path) !== undefined) yield* mountedAt(table, path, unordered)
}

/** What the directory's own store has there; nothing where the directory is only made up. */
async function* ownMembers(
  table: MountTable,
  directory: StorePath,
  options: ListOptions,
): AsyncGenerator<readonly Entry[]> {
  const { store }: { readonly store: Store } = table.of(directory)
  try {
    yield* store.list(directory, options)
  } catch (error) {
    if (!table.isWay(directory) || !isFailure(error, 'not-found', 'not-directory')) throw error
  }
}

/** Whether something that is held stands in front of what a store has: a mount point, or a directory in place of a file. */
function hides(table: MountTable, held: StorePath, entry: Entry): boolean {
  if (table.at(held) !== undefined) return isWithin(entry.path, held)
  return entry.path === held && entry.kind === 'file'
}

async function* mountedAt(table: MountTable, path: StorePath, options: ListOptions): AsyncGenerator<readonly Entry[]> {
  const { depth = 1, prefix = '', after, signal } = options
  yield* shownOf([await mountEntry(table, path, signal)], options)
  if (depth === 1) return
  const key = `${path}/`
  const mayHoldPrefix = key.startsWith(prefix) || prefix.startsWith(key)
  const mayHoldMore = after === undefined || compareKeys(after, key) <= 0 || after.startsWith(key)
  if (mayHoldPrefix && mayHoldMore) yield* listMounted(table, path, options)
}

/** Those that the options ask for, in a batch that is not empty. */
function* shownOf(entries: readonly Entry[], { prefix = '', after }: ListOptions): Generator<readonly Entry[]> {
  const shown = entries.filter(
    (entry) => entry.path.startsWith(prefix) && (after === undefined || compareKeys(keyOf(entry), after) > 0),
  )
  if (shown.length > 0) yield shown
}
