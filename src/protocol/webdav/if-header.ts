import { Failure } from '../../core/failure.js'

/** One condition of a list: a state token or an entity tag (RFC 4918 §10.4.2). */
export type IfCondition =
  | { readonly kind: 'token'; readonly token: string; readonly negated: boolean }
  | { readonly kind: 'etag'; readonly etag: string; readonly negated: boolean }

/** A list is true when all of its conditions are; the header when any of its lists is. */
export interface IfList {
  /** The resource it speaks of, as sent; undefined for the request's own. */
  readonly resource: string | undefined
  readonly conditions: readonly IfCondition[]
}

const maxLists = 200

/** Reads an `If` header: any input gives lists or throws `invalid`. */
export function parseIf(text: string): readonly IfList[] {
  const lists: IfList[] = []
  let at = 0
  let resource: string | undefined

  const skip = (): void => {
    // Repeated headers arrive joined by commas (the macOS client sends several).
    while (at < text.length && /[\s,]/.test(text.charAt(at))) at++
  }
  const upTo = (close: string, from = at): string => {
    const end = text.indexOf(close, from)
    if (end === -1) throw malformed()
    const found = text.slice(at, end)
    at = end + 1
    return found
  }

  for (;;) {
    skip()
    if (at >= text.length) break
    if (text[at] === '<') {
      at++
      resource = upTo('>').trim()
      skip()
      if (text[at] !== '(') throw malformed()
    }
    if (text[at] !== '(') throw malformed()
    at++
    lists.push({ resource, conditions: conditions() })
    if (lists.length > maxLists) throw malformed()
  }
  if (lists.length === 0) throw malformed()
  return lists

  function conditions(): readonly IfCondition[] {
    const found: IfCondition[] = []
    for (;;) {
      while (/\s/.test(text.charAt(at))) at++
      if (text[at] === ')') {
        at++
        if (found.length === 0) throw malformed()
        return found
      }
      const negated = /^not\b/i.test(text.slice(at, at + 4))
      if (negated) {
        at += 3
        while (/\s/.test(text.charAt(at))) at++
      }
      if (text[at] === '<') {
        at++
        found.push({ kind: 'token', token: upTo('>').trim(), negated })
      } else if (text[at] === '[') {
        at++
        // A bracket within the quotes belongs to the tag.
        const quoted = /\s*(?:W\/)?"[^"]*"/y
        quoted.lastIndex = at
        found.push({ kind: 'etag', etag: upTo(']', quoted.test(text) ? quoted.lastIndex : at).trim(), negated })
      } else throw malformed()
      if (found.length > maxLists) throw malformed()
    }
  }
}

/** Every state token in the header: these are the lock tokens that the request submits (RFC 4918 §7.5). */
export function submittedTokens(lists: readonly IfList[]): readonly string[] {
  return lists.flatMap((list) => list.conditions.flatMap((each) => (each.kind === 'token' ? [each.token] : [])))
}

function malformed(): Failure {
  return new Failure('invalid', 'The If header is malformed (RFC 4918 section 10.4).')
}
