import { Failure } from '../../core/failure.js'
import { isWithin, type StorePath } from '../../core/path.js'
import type { Action } from '../../store/store.js'
import type { Permit } from '../permit.js'
import { compileScopeRegex, type ScopeRegex } from './regex.js'

/** A map of nginx over `KEY:METHOD:PATH`, as far as it can decide about one key. */
export interface ScopeMap {
  readonly key: string
  /** Whole texts: they decide before all expressions. */
  readonly exact: readonly ExactRule[]
  /** The first that matches decides. */
  readonly expressions: readonly ExpressionRule[]
  /** Where nothing matches. */
  readonly otherwise: boolean
}

export interface ExactRule {
  readonly text: string
  readonly allows: boolean
}

export interface ExpressionRule {
  readonly pattern: string
  readonly ignoreCase: boolean
  readonly allows: boolean
}

const prefix = 'map:'

/** The map as the text of a grant. It holds no secret. */
export function scopeGrant({ key, exact, expressions, otherwise }: ScopeMap): string {
  return prefix + JSON.stringify({ key, exact, expressions, otherwise })
}

/** Whether the text of a grant is that of a map. */
export function isScopeGrant(text: string): boolean {
  return text.startsWith(prefix)
}

/** What the map of a grant allows; `source` is told by `explain`. Throws `invalid` for what `scopeGrant` did not make. */
export function compileScopeGrant(text: string, source: string): Permit {
  try {
    return new ScopePermit(JSON.parse(text.slice(prefix.length)) as ScopeMap, source)
  } catch (cause) {
    throw new Failure('invalid', 'A grant made of a map is not right.', { cause })
  }
}

/** PROPFIND counts as GET; MKCOL, LOCK, PROPPATCH and PATCH as PUT. */
const methodOf: Readonly<Record<Action, string>> = {
  read: 'GET',
  list: 'GET',
  create: 'PUT',
  replace: 'PUT',
  delete: 'DELETE',
}

interface Expression extends ExpressionRule {
  readonly regex: ScopeRegex
}

/**
 * Judges the canonical path. A collection that is listed, and one that is made, has a slash behind its name, as such
 * requests had where these maps come from; everything else has none.
 */
class ScopePermit implements Permit {
  readonly #map: ScopeMap
  readonly #source: string
  readonly #expressions: readonly Expression[]
  readonly #denied: ReadonlySet<string>
  readonly #allowed: ReadonlySet<string>

  constructor(map: ScopeMap, source: string) {
    this.#map = map
    this.#source = source
    this.#expressions = map.expressions.map((rule) => ({
      ...rule,
      regex: compileScopeRegex(rule.pattern, rule.ignoreCase),
    }))
    this.#allowed = new Set(map.exact.filter(({ allows }) => allows).map(({ text }) => text))
    // As nginx compares: whatever the case. What is allowed must be meant exactly.
    this.#denied = new Set(map.exact.filter(({ allows }) => !allows).map(({ text }) => lowerCase(text)))
  }

  allows(action: Action, path: StorePath, collection = false): boolean {
    return this.#rule(action, path, collection) !== undefined
  }

  explain(action: Action, path: StorePath): { readonly grant: string; readonly source: string } | undefined {
    const grant = this.#rule(action, path, false)
    return grant === undefined ? undefined : { grant, source: this.#source }
  }

  allowsAllBelow(action: Action, path: StorePath): boolean {
    if (!this.allows(action, path)) return false
    const beginning = this.#text(methodOf[action], below(path))
    for (const text of this.#denied) if (text.startsWith(lowerCase(beginning))) return false
    for (const { regex, allows } of this.#expressions) {
      const fate = regex.fate(beginning)
      if (fate === 'all') return allows
      if (fate === 'open' && !allows) return false
    }
    return this.#map.otherwise
  }

  mayAllowBelow(path: StorePath): boolean {
    return (
      this.allows('read', path) ||
      this.allows('list', path) ||
      this.#mayAllow(this.#text('GET', below(path))) ||
      this.#leads('PUT', path) ||
      this.#leads('DELETE', path)
    )
  }

  /** The rule that allows it, as it stands in the file. */
  #rule(action: Action, path: StorePath, collection: boolean): string | undefined {
    const method = methodOf[action]
    const asCollection = action === 'list' ? this.#deciding(this.#text(method, below(path))) : undefined
    if (action === 'list') return asCollection
    const plain = this.#deciding(this.#text(method, path))
    return plain ?? (collection ? this.#deciding(this.#text(method, below(path))) : undefined)
  }

  #deciding(text: string): string | undefined {
    if (this.#denied.has(lowerCase(text))) return undefined
    if (this.#allowed.has(text)) return text
    const rule = this.#expressions.find(({ regex }) => regex.matches(text))
    if (rule === undefined) return this.#map.otherwise ? 'default' : undefined
    return rule.allows ? `${rule.ignoreCase ? '~*' : '~'}${rule.pattern}` : undefined
  }

  #mayAllow(beginning: string): boolean {
    for (const text of this.#allowed) if (text.startsWith(beginning)) return true
    for (const { regex, allows } of this.#expressions) {
      const fate = regex.fate(beginning)
      if (fate === 'all') return allows
      if (fate === 'open' && allows) return true
    }
    return this.#map.otherwise
  }

  /** What shows nothing leads as far as it names its way, and no further. */
  #leads(method: string, path: StorePath): boolean {
    const start = this.#text(method, '')
    for (const text of this.#allowed)
      if (text.startsWith(start) && isWithin(text.slice(start.length) as StorePath, path)) return true
    return this.#expressions.some(({ regex, allows }) => {
      if (!allows || regex.fate(`${start}/`) === 'none') return false
      return path === '/' || regex.forced(start).startsWith(below(path))
    })
  }

  #text(method: string, path: string): string {
    return `${this.#map.key}:${method}:${path}`
  }
}

function below(path: StorePath): string {
  return path === '/' ? path : `${path}/`
}

function lowerCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
