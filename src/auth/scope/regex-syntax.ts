import { Failure } from '../../core/failure.js'

/** A regular expression over bytes, understood. Which way a repetition prefers plays no part: it is only asked whether it matches. */
export type RegexNode =
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'sequence'; readonly parts: readonly RegexNode[] }
  | { readonly kind: 'either'; readonly parts: readonly RegexNode[] }
  | { readonly kind: 'repeat'; readonly part: RegexNode; readonly least: number; readonly most: number }
  | { readonly kind: 'start' | 'end' }

/** 1 for each byte that is in it. */
export type ByteSet = Uint8Array

const maxPattern = 1000
const maxRepeat = 255
const maxDepth = 30

/**
 * Reads what nginx's patterns are written in, as far as it can be matched in a time that grows only with the length of the
 * text: literals, `.`, brackets, groups, `|`, `* + ? {n,m}` (greedy or not), `^ $`, `\d \w \s` and their opposites, a
 * leading `(?i)`. Throws `invalid` for what else PCRE has (look-around, back-references, possessive repetition, POSIX
 * classes, `\b`): it must not mean something else here. Bytes of UTF-8 are matched, as nginx does.
 */
export function parseRegex(pattern: string, ignoreCase: boolean): RegexNode {
  if (pattern.length > maxPattern) throw wrong(`it is longer than ${maxPattern} characters`)
  const folded = pattern.startsWith('(?i)')
  return new Parser(folded ? pattern.slice(4) : pattern, ignoreCase || folded).whole()
}

const newline = 10

function setOf(...bytes: readonly number[]): ByteSet {
  const set = new Uint8Array(256)
  for (const byte of bytes) set[byte] = 1
  return set
}

function range(set: ByteSet, from: number, to: number): void {
  for (let byte = from; byte <= to; byte++) set[byte] = 1
}

function complement(set: ByteSet): ByteSet {
  return set.map((has) => 1 - has)
}

function code(char: string): number {
  return char.charCodeAt(0)
}

/** `\d`, `\w`, `\s` and their opposites; undefined for other letters. */
function classOf(letter: string): ByteSet | undefined {
  const set = new Uint8Array(256)
  switch (letter.toLowerCase()) {
    case 'd':
      range(set, 48, 57)
      break
    case 'w':
      range(set, 48, 57)
      range(set, 65, 90)
      range(set, 97, 122)
      set[code('_')] = 1
      break
    case 's':
      for (const byte of [9, 10, 11, 12, 13, 32]) set[byte] = 1
      break
    default:
      return undefined
  }
  return letter === letter.toLowerCase() ? set : complement(set)
}

const controls: ReadonlyMap<string, number> = new Map([
  ['t', 9],
  ['n', 10],
  ['r', 13],
  ['f', 12],
])

class Parser {
  readonly #text: string
  readonly #ignoreCase: boolean
  #at = 0
  #depth = 0

  constructor(text: string, ignoreCase: boolean) {
    this.#text = text.normalize('NFC')
    this.#ignoreCase = ignoreCase
  }

  whole(): RegexNode {
    const node = this.#either()
    if (this.#at < this.#text.length) throw wrong('it has a `)` that closes nothing')
    return node
  }

  #either(): RegexNode {
    if (++this.#depth > maxDepth) throw wrong('its groups are too deep')
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    this.#depth--
    return { kind: 'either', parts }
  }

  #sequence(): RegexNode {
    const parts: RegexNode[] = []
    while (this.#at < this.#text.length && this.#peek() !== '|' && this.#peek() !== ')') parts.push(this.#repeated())
    return { kind: 'sequence', parts }
  }

  #repeated(): RegexNode {
    const part = this.#atom()
    const times = this.#times()
    if (times === undefined) return part
    if (part.kind === 'start' || part.kind === 'end') throw wrong('it repeats an anchor')
    if (this.#peek() === '+') throw wrong('it has a possessive repetition')
    this.#take('?')
    if (this.#times() !== undefined) throw wrong('it repeats a repetition')
    return { kind: 'repeat', part, ...times }
  }

  #times(): { readonly least: number; readonly most: number } | undefined {
    if (this.#take('*')) return { least: 0, most: Infinity }
    if (this.#take('+')) return { least: 1, most: Infinity }
    if (this.#take('?')) return { least: 0, most: 1 }
    const counted = /^\{(\d{1,5})(,(\d{0,5}))?\}/.exec(this.#text.slice(this.#at, this.#at + 16))
    if (!counted) return undefined
    this.#at += counted[0].length
    const least = Number(counted[1])
    const most = counted[2] === undefined ? least : counted[3] === '' ? Infinity : Number(counted[3])
    if (least > maxRepeat || (most !== Infinity && (most > maxRepeat || most < least)))
      throw wrong(`it repeats more than ${maxRepeat} times, or a negative number of times`)
    return { least, most }
  }

  #atom(): RegexNode {
    if (this.#times() !== undefined) throw wrong('it has a repetition with nothing to repeat')
    const char = this.#next()
    switch (char) {
      case '.':
        return { kind: 'set', set: complement(setOf(newline)) }
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '(':
        return this.#group()
      case '[':
        return { kind: 'set', set: this.#brackets() }
      case '\\':
        return this.#escape()
      default:
        return this.#literal(char)
    }
  }

  #group(): RegexNode {
    if (this.#take('?')) {
      const opening = /^(?::|P?<[A-Za-z_]\w*>)/.exec(this.#text.slice(this.#at))
      if (!opening) throw wrong('it looks around, or has flags in the middle')
      this.#at += opening[0].length
    } else if (this.#peek() === '*') throw wrong('it has a verb of PCRE')
    const node = this.#either()
    if (!this.#take(')')) throw wrong('it has a `(` that is not closed')
    return node
  }

  #escape(): RegexNode {
    const letter = this.#next()
    if (letter === 'A') return { kind: 'start' }
    if (letter === 'z' || letter === 'Z') return { kind: 'end' }
    const known = classOf(letter)
    return known === undefined ? this.#literal(this.#escaped(letter)) : { kind: 'set', set: known }
  }

  /** The character that an escape stands for. */
  #escaped(letter: string): string {
    const control = controls.get(letter)
    if (control !== undefined) return String.fromCharCode(control)
    if (letter === 'x') {
      const hex = /^[0-7][0-9a-f]/i.exec(this.#text.slice(this.#at))
      if (!hex) throw wrong('it has a `\\x` that is not two hexadecimal digits of ASCII')
      this.#at += 2
      return String.fromCharCode(parseInt(hex[0], 16))
    }
    if (/[A-Za-z0-9]/.test(letter)) throw wrong(`it has \`\\${letter}\`, which is not known here`)
    return letter
  }

  #literal(char: string): RegexNode {
    const bytes = Buffer.from(char)
    const [only] = bytes
    if (only !== undefined && bytes.length === 1) return { kind: 'set', set: this.#folded(setOf(only)) }
    return { kind: 'sequence', parts: Array.from(bytes, (byte) => ({ kind: 'set', set: setOf(byte) })) }
  }

  #brackets(): ByteSet {
    const set = new Uint8Array(256)
    const negated = this.#take('^')
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      const from = this.#member()
      if (typeof from !== 'number') {
        from.forEach((has, byte) => (set[byte] = (set[byte] ?? 0) | has))
        continue
      }
      if (this.#peek() !== '-' || this.#text[this.#at + 1] === ']') {
        set[from] = 1
        continue
      }
      this.#next()
      const to = this.#member()
      if (typeof to !== 'number' || to < from) throw wrong('it has a range in brackets that is none')
      range(set, from, to)
    }
    this.#next()
    const folded = this.#folded(set)
    return negated ? complement(folded) : folded
  }

  #member(): number | ByteSet {
    const char = this.#next()
    if (char === '[' && /[:.=]/.test(this.#peek())) throw wrong('it has a class of POSIX')
    if (char !== '\\') return asciiOf(char)
    const letter = this.#next()
    return classOf(letter) ?? asciiOf(this.#escaped(letter))
  }

  #folded(set: ByteSet): ByteSet {
    if (!this.#ignoreCase) return set
    for (let upper = 65; upper <= 90; upper++) {
      const either = (set[upper] ?? 0) | (set[upper + 32] ?? 0)
      set[upper] = either
      set[upper + 32] = either
    }
    return set
  }

  #peek(): string {
    return this.#text[this.#at] ?? ''
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at++
    return true
  }

  #next(): string {
    const point = this.#text.codePointAt(this.#at)
    if (point === undefined) throw wrong('it ends in the middle')
    const char = String.fromCodePoint(point)
    this.#at += char.length
    return char
  }
}

function asciiOf(char: string): number {
  const byte = char.charCodeAt(0)
  if (byte > 127) throw wrong('it has a letter outside ASCII in brackets')
  return byte
}

function wrong(why: string): Failure {
  return new Failure('invalid', `The regular expression is not right: ${why}.`)
}
