/** An element of a listing that has fields, each with its text; what is nested deeper is left out. */
export type Fields = Readonly<Partial<Record<string, string>>>

/** A document whose root has fields, and groups of fields: what a listing of S3 is. */
export interface Scanned {
  readonly fields: Fields
  readonly groups: readonly { readonly name: string; readonly fields: Fields }[]
}

/**
 * Reads a document of the plain shape that services give listings: no attributes but the root's, no comments, nothing
 * mixed. Undefined for anything else, which is for a reader of XML to judge; that one takes ten times as long.
 */
export function scanListing(bytes: Uint8Array, root: string): Scanned | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
  // What is no UTF-8, and line ends that XML takes for others.
  if (text.includes('\ufffd') || text.includes('\r')) return undefined
  const head = /^\s*(?:<\?xml [^<>]*\?>)?\s*<([A-Za-z]+)(?: xmlns="[^"<&]*")?>/.exec(text)
  if (head?.[1] !== root) return undefined
  const scanner = new Scanner(text, head[0].length)
  const fields: Record<string, string> = {}
  const groups: Scanned['groups'][number][] = []
  for (;;) {
    const name = scanner.openTag()
    if (name === undefined) return undefined
    if (name === `/${root}`) return scanner.isAtEnd() ? { fields, groups } : undefined
    const value = scanner.valueOf(name)
    if (value !== undefined) fields[name] ??= value
    else {
      const group = scanner.fieldsOf(name)
      if (group === undefined) return undefined
      groups.push({ name, fields: group })
    }
  }
}

class Scanner {
  readonly #text: string
  #at: number

  constructor(text: string, at: number) {
    this.#text = text
    this.#at = at
  }

  isAtEnd(): boolean {
    this.#skipSpace()
    return this.#at === this.#text.length
  }

  /** The name in a tag, with `/` in front where it closes; undefined where there is something else. */
  openTag(): string | undefined {
    this.#skipSpace()
    const text = this.#text
    if (text.charCodeAt(this.#at) !== lessThan) return undefined
    const end = text.indexOf('>', this.#at)
    if (end === -1) return undefined
    const name = text.slice(this.#at + 1, end)
    if (!/^\/?[A-Za-z][A-Za-z0-9]*\/?$/.test(name)) return undefined
    this.#at = end + 1
    return name
  }

  /** The text of an element whose tag has been read, and its end; undefined, and nothing read, where it holds elements. */
  valueOf(name: string): string | undefined {
    if (name.endsWith('/')) return ''
    const text = this.#text
    const end = text.indexOf('<', this.#at)
    if (end === -1 || !text.startsWith(`</${name}>`, end)) return undefined
    const value = unescaped(text.slice(this.#at, end))
    if (value !== undefined) this.#at = end + name.length + 3
    return value
  }

  /** The fields of an element whose tag has been read, and its end. */
  fieldsOf(group: string): Fields | undefined {
    const fields: Record<string, string> = {}
    for (;;) {
      const name = this.openTag()
      if (name === undefined) return undefined
      if (name.startsWith('/')) return name === `/${group}` ? fields : undefined
      const value = this.valueOf(name)
      if (value !== undefined) fields[name] ??= value
      else if (this.fieldsOf(name) === undefined) return undefined
    }
  }

  #skipSpace(): void {
    while (this.#text.charCodeAt(this.#at) <= space) this.#at += 1
  }
}

const lessThan = 0x3c
const space = 0x20
const entities: Readonly<Partial<Record<string, string>>> = { quot: '"', amp: '&', lt: '<', gt: '>', apos: "'" }

/** Undefined where there is an entity of another kind. */
function unescaped(text: string): string | undefined {
  if (!text.includes('&')) return text.includes(']]>') || text.includes('>') ? undefined : text
  if (/&(?!(?:quot|amp|lt|gt|apos);)/.test(text)) return undefined
  return text.replace(/&([a-z]+);/g, (_, name: string) => entities[name] ?? '')
}
