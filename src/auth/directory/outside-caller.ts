import { isFailure } from '../../core/failure.js'
import { compileGrants, expandUser } from '../grant.js'
import type { Verdict } from '../identity.js'

/** What the callers of a source may do that says who somebody is and in which groups, and nothing of paths. */
export interface CallerGrants {
  /** Of everybody whom it lets in. */
  readonly grants: readonly string[]
  /** Of the members of a group, besides. */
  readonly groupGrants: ReadonlyMap<string, readonly string[]>
}

const longestName = 256
const mostGroups = 1000

/** Whether a text from outside can be the name of a caller: it will stand in logs, locks and headers. */
export function isName(text: string): boolean {
  return (
    text !== '' &&
    text.length <= longestName &&
    text.trim() === text &&
    text.isWellFormed() &&
    !/[\p{Cc}\p{Zl}\p{Zp}\uFFFD]/u.test(text)
  )
}

/** Those of the groups that can be one, each once: a name that is no name gives nobody any right. */
export function groupsAmong(texts: readonly string[]): readonly string[] {
  return [...new Set(texts.slice(0, mostGroups).filter(isName))]
}

/** The verdict on somebody whom an outside source has let in. Its name must be one. */
export function callerFrom(
  source: string,
  { name, groups }: { readonly name: string; readonly groups: readonly string[] },
  { grants, groupGrants }: CallerGrants,
): Verdict {
  const all = new Set([...grants, ...groups.flatMap((group) => groupGrants.get(group) ?? [])])
  try {
    const expanded = expandUser([...all], name)
    compileGrants(expanded, source)
    return {
      kind: 'identity',
      identity: { name, source, grants: expanded, ...(groups.length > 0 && { groups }) },
    }
  } catch (error) {
    if (isFailure(error, 'invalid', 'denied')) return { kind: 'refused', why: 'broken-grants' }
    throw error
  }
}
