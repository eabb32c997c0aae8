import { Failure } from '../../core/failure.js'
import { compileGrants, expandUser } from '../grant.js'

/** What a source says of all its users. */
export interface TableGrants {
  /** For users whose scopes hold no grant. */
  readonly grants: readonly string[]
  /** What a word among the scopes stands for: `{ admin: ["rw:/**"] }`. */
  readonly scopeGrants: Readonly<Record<string, readonly string[]>>
}

/**
 * What the `scopes` of a user let it do. Those with a colon are grants and replace those of the source; other words add
 * what `scopeGrants` has for them, and nothing where it has nothing. Throws `invalid` where one with a colon is no grant,
 * `denied` where the name cannot stand for `{user}`.
 */
export function grantsOf(scopes: readonly string[], source: TableGrants, user: string): readonly string[] {
  const own = scopes.filter((scope) => scope.includes(':'))
  const words = scopes.filter((scope) => !scope.includes(':'))
  const byWord = words.flatMap((word) =>
    Object.hasOwn(source.scopeGrants, word) ? (source.scopeGrants[word] ?? []) : [],
  )
  const grants = expandUser([...(own.length > 0 ? own : source.grants), ...byWord], user)
  compileGrants(grants, '')
  return [...new Set(grants)]
}

/** Scopes that somebody wants to write: throws `invalid` where `grantsOf` would refuse their user. */
export function checkScopes(scopes: readonly string[]): readonly string[] {
  if (scopes.includes('')) throw new Failure('invalid', 'A scope is empty.')
  grantsOf(scopes, { grants: [], scopeGrants: {} }, 'user')
  return scopes
}
