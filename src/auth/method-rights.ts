import type { StorePath } from '../core/path.js'
import type { Action } from '../store/store.js'
import type { Permit } from './permit.js'

/** Which rights a method needs at its target: one of each group. Which one of a group depends on what is there. */
export const rightsOfMethods: ReadonlyMap<string, readonly (readonly Action[])[]> = new Map([
  ['GET', [['read', 'list']]],
  ['HEAD', [['read', 'list']]],
  ['OPTIONS', []],
  ['PROPFIND', [['list', 'read']]],
  ['REPORT', [['list']]],
  ['PUT', [['create', 'replace']]],
  ['POST', [['create']]],
  ['MKCOL', [['create']]],
  ['PATCH', [['replace']]],
  ['PROPPATCH', [['replace']]],
  ['LOCK', [['create', 'replace']]],
  ['UNLOCK', [['replace', 'create']]],
  ['DELETE', [['delete']]],
  ['COPY', [['read']]],
  ['MOVE', [['read'], ['delete']]],
])

/**
 * Whether a method is allowed whatever is at the path, which only another service knows: all of the rights that it could
 * need are there. COPY and MOVE need those of PUT at their destination. No to methods that nobody knows.
 */
export function allowsBlindly(
  permit: Permit,
  method: string,
  path: StorePath,
  destination: StorePath | undefined,
): boolean {
  const groups = rightsOfMethods.get(method)
  if (groups === undefined) return false
  if (!groups.flat().every((action) => permit.allows(action, path))) return false
  if (method !== 'COPY' && method !== 'MOVE') return true
  return destination !== undefined && allowsBlindly(permit, 'PUT', destination, undefined)
}
