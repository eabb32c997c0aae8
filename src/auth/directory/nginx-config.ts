/** One directive of an nginx configuration. */
export interface NginxDirective {
  readonly line: number
  /** Name and parameters, with quotes and escapes undone. */
  readonly words: readonly string[]
  /** What stands between its braces; absent where it ends in a semicolon. */
  readonly block?: readonly NginxDirective[]
}

/** Why a text is no configuration. */
export interface NginxProblem {
  readonly line: number
  readonly why: string
}

const maxDepth = 20

/** Reads an nginx configuration as nginx does, without knowing any directive. Gives a problem where it stops in the middle. */
export function parseNginx(text: string): readonly NginxDirective[] | NginxProblem {
  const reader = new Reader(text)
  return reader.problem ?? reader.directives
}

/** Whether reading ended in a problem. */
export function isProblem(parsed: readonly NginxDirective[] | NginxProblem): parsed is NginxProblem {
  return 'why' in parsed
}

class Reader {
  readonly directives: readonly NginxDirective[]
  problem: NginxProblem | undefined
  readonly #text: string
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text
    this.directives = this.#block(0)
  }

  /** Up to the closing brace, or to the end where there is none to come. */
  #block(depth: number): readonly NginxDirective[] {
    const found: NginxDirective[] = []
    if (depth > maxDepth) this.#fail('its blocks are too deep')
    while (this.problem === undefined) {
      this.#skip()
      const char = this.#text[this.#at]
      if (char === undefined) {
        if (depth > 0) this.#fail('a block is not closed')
        return found
      }
      if (char === '}') {
        if (depth === 0) this.#fail('a brace closes nothing')
        this.#at++
        return found
      }
      const directive = this.#directive(depth)
      if (directive !== undefined) found.push(directive)
    }
    return found
  }

  #directive(depth: number): NginxDirective | undefined {
    const line = this.#line
    const words: string[] = []
    while (this.problem === undefined) {
      this.#skip()
      const char = this.#text[this.#at]
      if (char === undefined || char === '}') this.#fail('a directive has no semicolon')
      else if (char === ';') {
        this.#at++
        return { line, words }
      } else if (char === '{') {
        this.#at++
        return { line, words, block: this.#block(depth + 1) }
      } else words.push(char === '"' || char === "'" ? this.#quoted(char) : this.#bare())
    }
    return undefined
  }

  #quoted(quote: string): string {
    this.#at++
    let word = ''
    for (;;) {
      const char = this.#take()
      if (char === undefined) {
        this.#fail('a quotation is not closed')
        return word
      }
      if (char === quote) return word
      word += char === '\\' ? this.#escaped() : char
    }
  }

  #bare(): string {
    let word = ''
    for (;;) {
      const char = this.#text[this.#at]
      if (char === undefined || /[\s;]/.test(char)) return word
      // A brace belongs to a word where it names a variable.
      if (char === '{' && !word.endsWith('$')) return word
      this.#take()
      word += char === '\\' ? this.#escaped() : char
    }
  }

  /** Behind a backslash: what nginx does not know keeps its backslash. */
  #escaped(): string {
    const next = this.#take() ?? ''
    switch (next) {
      case '"':
      case "'":
      case '\\':
        return next
      case 't':
        return '\t'
      case 'r':
        return '\r'
      case 'n':
        return '\n'
      default:
        return `\\${next}`
    }
  }

  #skip(): void {
    for (;;) {
      const char = this.#text[this.#at]
      if (char === '#') while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#at++
      else if (char !== undefined && /\s/.test(char)) this.#take()
      else return
    }
  }

  #take(): string | undefined {
    const char = this.#text[this.#at++]
    if (char === '\n') this.#line++
    return char
  }

  #fail(why: string): void {
    this.problem ??= { line: this.#line, why }
  }
}
