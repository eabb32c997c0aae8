import type { Session } from '../protocol.js'
import { memberOf } from '../../core/path.js'
import type { Action, Entry } from '../../store/store.js'

/** Why a caller is told of fewer privileges than its grants give: the medium would refuse these. */
export type Refused = ReadonlySet<Action>

const actions: readonly Action[] = ['read', 'list', 'replace', 'create', 'delete']
const nothing: Refused = new Set()

/** What the medium refuses of what is granted; of a directory, `create` and `delete` are about its members. */
export async function refusedOf({ store, permit }: Session, { path, kind }: Entry): Promise<Refused> {
  const refused: Action[] = []
  for (const action of actions) {
    const isOfMembers = kind === 'directory' && (action === 'create' || action === 'delete')
    const at = (isOfMembers ? memberOf(path, 'member') : undefined) ?? path
    if (permit.allows(action, at) && !(await store.permits(action, at))) refused.push(action)
  }
  return refused.length === 0 ? nothing : new Set(refused)
}

/** The names of the privileges that a caller has on a resource (RFC 3744 §3). */
export function privilegesOf(
  { path, kind }: Entry,
  { permit }: Pick<Session, 'permit'>,
  refused: Refused = nothing,
): readonly string[] {
  const may = (action: Action): boolean => permit.allows(action, path) && !refused.has(action)
  const directory = kind === 'directory'
  return [
    ...(may('read') || may('list') ? ['read', 'read-current-user-privilege-set'] : []),
    ...(may('replace') ? ['write', 'write-content', 'write-properties', 'unlock'] : []),
    ...(directory && permit.mayAllowBelow(path) && may('create') ? ['bind'] : []),
    ...(directory && may('delete') ? ['unbind'] : []),
  ]
}
