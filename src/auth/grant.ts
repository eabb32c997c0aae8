import { parseBytes } from '../core/bytes.js'
import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { Action } from '../store/store.js'
import type { Identity } from './identity.js'
import { compilePattern, type Pattern } from './pattern.js'
import type { Permit } from './permit.js'
import { compileScopeGrant, isScopeGrant } from './scope/scope-map.js'

/** A grant text that has been understood. */
export interface Grant {
  readonly text: string
  readonly actions: ReadonlySet<Action>
  readonly pattern: Pattern
  /** The largest file that may be put by it. */
  readonly mostBytes?: number
}

export const allActions: readonly Action[] = ['read', 'list', 'create', 'replace', 'delete']

const actionsOfWord: ReadonlyMap<string, readonly Action[]> = new Map([
  ...allActions.map((action) => [action, [action]] as const),
  ['r', ['read', 'list']] as const,
  ['rw', allActions] as const,
])

/** What a method of HTTP in a grant stands for. Those with nothing need what they count as: PROPPATCH needs PUT, MOVE needs GET, PUT and DELETE. */
const actionsOfMethod: ReadonlyMap<string, readonly Action[]> = new Map<string, readonly Action[]>([
  ['GET', ['read', 'list']],
  ['PROPFIND', ['list']],
  ['PUT', ['create', 'replace']],
  ['PATCH', ['replace']],
  ['POST', ['create']],
  ['DELETE', ['delete']],
  ...['HEAD', 'OPTIONS', 'REPORT', 'MKCOL', 'PROPPATCH', 'LOCK', 'UNLOCK', 'COPY', 'MOVE'].map(
    (method) => [method, []] as const,
  ),
])

/**
 * Reads `ACTIONS:/PATTERN`: actions are `read list create replace delete`, `r` (read and list), `rw` (all) and the methods
 * of HTTP and WebDAV, joined by commas; the pattern is that of `compilePattern`. `ACTIONS<=10M:/PATTERN` bounds the files
 * that are put by it. Throws `invalid`, naming the text and what would be right.
 */
export function parseGrant(text: string): Grant {
  const colon = text.indexOf(':')
  if (colon === -1) throw wrongGrant(text, 'it has no colon; write it as ACTIONS:/PATTERN, such as rw:/acme/**')
  const actions = new Set<Action>()
  const [words = '', size, ...more] = text.slice(0, colon).split('<=')
  const mostBytes = size === undefined ? undefined : parseBytes(size)
  if (size !== undefined && (mostBytes === undefined || more.length > 0))
    throw wrongGrant(text, 'its size is none; write it as in create<=10M:/inbox/**')
  for (const word of words.split(',')) {
    const found = actionsOfWord.get(word) ?? actionsOfMethod.get(word)
    if (!found)
      throw wrongGrant(
        text,
        `${JSON.stringify(word)} is no action; use r, rw, ${allActions.join(', ')} or methods such as GET, joined by commas`,
      )
    for (const action of found) actions.add(action)
  }
  if (actions.size === 0)
    throw wrongGrant(text, 'its methods allow nothing by themselves; add GET, PUT or DELETE, which they count as')
  if (mostBytes !== undefined && !actions.has('create') && !actions.has('replace'))
    throw wrongGrant(text, 'a size bounds what is put, which it does not allow')
  const pattern = text.slice(colon + 1)
  if (!pattern.startsWith('/')) throw wrongGrant(text, 'its pattern must begin with a slash, such as rw:/acme/**')
  try {
    return { text, actions, pattern: compilePattern(pattern), ...(mostBytes !== undefined && { mostBytes }) }
  } catch (error) {
    throw wrongGrant(text, error instanceof Failure ? error.message : 'its pattern is not understood', error)
  }
}

/**
 * Grants with `{user}` replaced by the name. Throws `denied` where a grant has it and the name is not one plain segment:
 * with a slash, a dot segment or a `*` it would reach into what is granted to others.
 */
export function expandUser(grants: readonly string[], name: string): readonly string[] {
  if (!grants.some((grant) => grant.includes('{user}'))) return grants
  if (name === '' || name === '.' || name === '..' || /[/*\\\x00-\x1f\x7f]/.test(name) || !name.isWellFormed())
    throw new Failure('denied', 'The user name cannot stand for {user} in a grant.')
  return grants.map((grant) => grant.replaceAll('{user}', () => name))
}

/** What the grants allow together, maps of nginx (`scopeGrant`) among them. `source` is told by `explain`. Throws `invalid` like `parseGrant`. */
export function compileGrants(grants: readonly string[], source: string): Permit {
  const plain = new GrantPermit(grants.filter((text) => !isScopeGrant(text)).map(parseGrant), source)
  const maps = grants.filter(isScopeGrant)
  return maps.length === 0 ? plain : union([plain, ...maps.map((text) => compileScopeGrant(text, source))])
}

function union(permits: readonly Permit[]): Permit {
  return {
    allows: (action, path, collection) => permits.some((permit) => permit.allows(action, path, collection)),
    allowsAllBelow: (action, path) => permits.some((permit) => permit.allowsAllBelow(action, path)),
    mayAllowBelow: (path) => permits.some((permit) => permit.mayAllowBelow(path)),
    ...(permits.some(({ mostBytes }) => mostBytes !== undefined) && {
      mostBytes: (path: StorePath) => Math.max(...permits.map((permit) => mostOf(permit, path))),
    }),
    explain: (action, path) => {
      for (const permit of permits) {
        const found = permit.explain(action, path)
        if (found !== undefined) return found
      }
      return undefined
    },
  }
}

/** What one of several allows; nothing where it lets nothing be put. */
function mostOf(permit: Permit, path: StorePath): number {
  if (permit.mostBytes !== undefined) return permit.mostBytes(path)
  return permit.allows('create', path) || permit.allows('replace', path) ? Infinity : 0
}

const permits = new WeakMap<readonly string[], Permit>()

/** The permit of an identity, compiled once for as long as its list of grants lives. Throws `invalid` like `parseGrant`. */
export function permitOf(identity: Identity): Permit {
  let permit = permits.get(identity.grants)
  if (!permit) {
    permit = compileGrants(identity.grants, identity.source)
    permits.set(identity.grants, permit)
  }
  return permit
}

type ByAction = Readonly<Record<Action, readonly Grant[]>>

class GrantPermit implements Permit {
  readonly #grants: readonly Grant[]
  readonly #source: string
  readonly #byAction: ByAction
  readonly mostBytes: ((path: StorePath) => number) | undefined

  constructor(grants: readonly Grant[], source: string) {
    this.#grants = grants
    this.#source = source
    const having = (action: Action): readonly Grant[] => grants.filter(({ actions }) => actions.has(action))
    this.#byAction = {
      read: having('read'),
      list: having('list'),
      create: having('create'),
      replace: having('replace'),
      delete: having('delete'),
    }
    if (grants.some(({ mostBytes }) => mostBytes !== undefined)) this.mostBytes = (path) => this.#most(path)
  }

  #most(path: StorePath): number {
    const most = (['create', 'replace'] as const)
      .map((action) => this.#byAction[action].filter(({ pattern }) => pattern.matches(path)))
      .filter((grants) => grants.length > 0)
      .map((grants) => Math.max(...grants.map(({ mostBytes = Infinity }) => mostBytes)))
    return most.length === 0 ? 0 : Math.min(...most)
  }

  allows(action: Action, path: StorePath): boolean {
    for (const { pattern } of this.#byAction[action]) if (pattern.matches(path)) return true
    return false
  }

  allowsAllBelow(action: Action, path: StorePath): boolean {
    for (const { pattern } of this.#byAction[action]) if (pattern.matchesAllBelow(path)) return true
    return false
  }

  mayAllowBelow(path: StorePath): boolean {
    return this.#grants.some(({ actions, pattern }) =>
      actions.has('list') || actions.has('read') ? pattern.mayMatchBelow(path) : pattern.leadsTo(path),
    )
  }

  explain(action: Action, path: StorePath): { readonly grant: string; readonly source: string } | undefined {
    const grant = this.#byAction[action].find(({ pattern }) => pattern.matches(path))
    return grant && { grant: grant.text, source: this.#source }
  }
}

function wrongGrant(text: string, why: string, cause?: unknown): Failure {
  return new Failure(
    'invalid',
    `The grant ${JSON.stringify(text)} is not right: ${why}.`,
    cause === undefined ? {} : { cause },
  )
}
