/**
 * Groups and names as the database keeps them: as text in the order of its bytes, in which a NUL cannot be. Order and
 * prefixes stay what they were, for 00 and 01 become 01 01 and 01 02.
 */
export function keyOf(name: string): string {
  return escaped.test(name) ? name.replace(eachEscaped, (found) => (found === '\0' ? '\x01\x01' : '\x01\x02')) : name
}

/** The name that has this key. */
export function nameOf(key: string): string {
  return key.includes('\x01') ? key.replace(eachEscape, (found) => (found === '\x01\x01' ? '\0' : '\x01')) : key
}

/** What all names with a prefix come before, and all other names behind them do not. */
export function endOf(prefix: string): string {
  const characters = Array.from(keyOf(prefix))
  for (;;) {
    const last = characters.pop()?.codePointAt(0)
    if (last === undefined) return behindAll
    const next = following(last)
    if (next !== undefined) return characters.join('') + next
  }
}

const escaped = /[\0\x01]/
const eachEscaped = /[\0\x01]/g
const eachEscape = /\x01[\x01\x02]/g

const highest = 0x10ffff
/** No name has room for as many. */
const behindAll = String.fromCodePoint(highest).repeat(130)

function following(codePoint: number): string | undefined {
  if (codePoint === highest) return undefined
  return String.fromCodePoint(codePoint === 0xd7ff ? 0xe000 : codePoint + 1)
}
