import type { Change } from '../../../core/events.js'
import { isWithin, parentOf, rebase, rootPath } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import type { Session } from '../../protocol.js'

type Seer = Pick<Session, 'identity' | 'permit' | 'store'>

/**
 * What a caller is told of a change: paths as they see them below their home, and nothing of what no listing would show
 * them. A move of which they see one end only is told as what it is for them. Undefined: nothing. `below`, as the caller
 * sees it, leaves out everything elsewhere.
 */
export async function visibleChange(change: Change, seer: Seer, below: StorePath): Promise<Change | undefined> {
  const path = await shown(change.path, change, seer, below)
  const from = change.from === undefined ? undefined : await shown(change.from, change, seer, below)
  if (path === undefined) return from === undefined ? undefined : { kind: 'removed', path: from, by: change.by, at: change.at } // prettier-ignore
  if (from !== undefined) return { ...change, path, from }
  const { kind, type, size, etag, by, at } = change
  const facts = { ...(type && { type }), ...(size !== undefined && { size }), ...(etag !== undefined && { etag }) }
  return { kind: kind === 'moved' ? 'created' : kind, path, ...facts, by, at }
}

async function shown(
  path: StorePath,
  { type }: Change,
  { identity, permit, store }: Seer,
  below: StorePath,
): Promise<StorePath | undefined> {
  const { home = rootPath, unixUser } = identity
  if (!isWithin(path, home)) return undefined
  const seen = home === rootPath ? path : rebase(path, home, rootPath)
  if (!isWithin(seen, below)) return undefined
  const granted = permit.allows('list', seen) || permit.allows('read', seen)
  if (!granted && !(type === 'directory' && permit.mayAllowBelow(seen))) return undefined
  // Where the kernel decides what a listing shows, it is asked.
  if (unixUser !== undefined && !(await store.permits('list', parentOf(seen)))) return undefined
  return seen
}
