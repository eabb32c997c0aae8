import { TextDecoder } from 'node:util'
import { SaxesParser } from 'saxes'
import { Failure } from './failure.js'

/** An XML element with its namespaces resolved. */
export interface XmlElement {
  /** The namespace URI; empty for none. */
  readonly namespace: string
  readonly name: string
  /** As the sender wrote it; empty for the default namespace. */
  readonly prefix: string
  readonly attributes: readonly XmlAttribute[]
  readonly children: readonly (XmlElement | string)[]
  /** The xml:lang in scope, where there is one (RFC 4918 §4.4). */
  readonly language: string | undefined
}

export interface XmlAttribute {
  readonly namespace: string
  readonly name: string
  readonly prefix: string
  readonly value: string
}

export const davNamespace = 'DAV:'
const xmlNamespace = 'http://www.w3.org/XML/1998/namespace'
const xmlnsNamespace = 'http://www.w3.org/2000/xmlns/'

/** Bounds of what is read, so that no document can take the memory or the time of others. */
export const maxXmlBytes = 1024 * 1024
const maxDepth = 64
const maxNodes = 50_000

/** Other bounds, for documents that must be larger. */
export interface XmlLimits {
  readonly bytes?: number
  /** Elements and attributes. */
  readonly nodes?: number
}
const maxNamespaceLength = 1000
/** Namespaces and languages in characters, counted for each name anew: what they come to once each stands on its own. */
const maxScopeLength = 4 * 1024 * 1024

/**
 * Reads an XML document as it arrives; undefined for an empty body. UTF-8 and UTF-16, by byte order mark or declaration.
 * Throws `too-large` over 1 MiB, over 50,000 elements and attributes (or other limits), or where the namespaces of all names come to more
 * than 4 MiB; `invalid` for anything not well-formed, nested deeper than 64, with a namespace over 1000 characters or
 * with a document type declaration (reason `no-external-entities`): entities are never expanded.
 */
export async function readXml(
  body: AsyncIterable<Uint8Array>,
  { bytes = maxXmlBytes, nodes = maxNodes }: XmlLimits = {},
): Promise<XmlElement | undefined> {
  let reader: XmlReader | undefined
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > bytes) throw new Failure('too-large', `An XML body may hold at most ${bytes} bytes.`, { size: bytes })
    reader ??= new XmlReader(nodes)
    reader.write(chunk)
  }
  return size === 0 ? undefined : reader?.end()
}

/** Reads an XML document that is there in whole. Throws like `readXml`. */
export function parseXml(bytes: Uint8Array): XmlElement {
  const reader = new XmlReader(maxNodes)
  reader.write(bytes)
  return reader.end()
}

interface OpenElement extends XmlElement {
  readonly children: (XmlElement | string)[]
}

class XmlReader {
  readonly #parser = new SaxesParser({ xmlns: true, position: false })
  readonly #open: OpenElement[] = []
  #decoder: TextDecoder | undefined
  #head: Uint8Array = new Uint8Array(0)
  #root: XmlElement | undefined
  #nodes = 0
  #scopeLength = 0

  constructor(mostNodes: number) {
    const parser = this.#parser
    parser.on('error', (error) => {
      throw new Failure('invalid', 'The XML body is not well-formed.', { cause: error })
    })
    parser.on('doctype', () => {
      throw new Failure('invalid', 'A document type declaration is not allowed in an XML body.', {
        reason: 'no-external-entities',
      })
    })
    const count = (): void => {
      if (++this.#nodes > mostNodes)
        throw new Failure('too-large', `An XML body may hold at most ${mostNodes} elements and attributes.`, {
          size: mostNodes,
        })
    }
    parser.on('attribute', ({ name, prefix, value }) => {
      count()
      // The parser spells every qualified attribute out with its namespace.
      if ((name === 'xmlns' || prefix === 'xmlns') && value.length > maxNamespaceLength)
        throw new Failure('invalid', `A namespace may have at most ${maxNamespaceLength} characters.`)
    })
    parser.on('opentag', (tag) => {
      count()
      if (this.#open.length >= maxDepth)
        throw new Failure('invalid', `Elements may be nested at most ${maxDepth} deep.`)
      const attributes: XmlAttribute[] = []
      let language = this.#open.at(-1)?.language
      for (const { uri, local, prefix, value } of Object.values(tag.attributes)) {
        if (uri === xmlnsNamespace) continue
        if (uri === xmlNamespace && local === 'lang') language = value
        attributes.push({ namespace: uri, name: local, prefix, value })
        this.#scopeLength += uri.length
      }
      this.#scopeLength += tag.uri.length + (language?.length ?? 0)
      if (this.#scopeLength > maxScopeLength)
        throw new Failure('too-large', 'The namespaces of an XML body are too long for so many names.', {
          size: maxScopeLength,
        })
      this.#open.push({ namespace: tag.uri, name: tag.local, prefix: tag.prefix, attributes, children: [], language })
    })
    parser.on('closetag', () => {
      const element = this.#open.pop()
      if (element === undefined) return
      const parent = this.#open.at(-1)
      if (parent === undefined) this.#root = element
      else parent.children.push(element)
    })
    const text = (piece: string): void => {
      const parent = this.#open.at(-1)
      if (parent !== undefined) parent.children.push(piece)
    }
    parser.on('text', text)
    parser.on('cdata', text)
  }

  write(chunk: Uint8Array): void {
    if (this.#decoder === undefined) {
      // The encoding is told by the first bytes; wait until there are enough of them.
      this.#head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk])
      if (this.#head.length < 128) return
      this.#start()
    } else this.#feed(chunk)
  }

  end(): XmlElement {
    if (this.#decoder === undefined) this.#start()
    const rest = this.#decode(undefined)
    if (rest !== '') this.#parser.write(rest)
    this.#parser.close()
    if (this.#root === undefined) throw new Failure('invalid', 'The XML body has no element.')
    return this.#root
  }

  #start(): void {
    this.#decoder = decoderFor(this.#head)
    this.#feed(this.#head)
  }

  #feed(chunk: Uint8Array): void {
    const text = this.#decode(chunk)
    if (text !== '') this.#parser.write(text)
  }

  #decode(chunk: Uint8Array | undefined): string {
    try {
      return chunk === undefined
        ? (this.#decoder?.decode() ?? '')
        : (this.#decoder?.decode(chunk, { stream: true }) ?? '')
    } catch (cause) {
      throw new Failure('invalid', 'The XML body is not valid in its encoding.', { cause })
    }
  }
}

function decoderFor(head: Uint8Array): TextDecoder {
  const [first, second] = head
  if ((first === 0xff && second === 0xfe) || (first === 0x3c && second === 0)) return decoder('utf-16le')
  if ((first === 0xfe && second === 0xff) || (first === 0 && second === 0x3c)) return decoder('utf-16be')
  const declared = /^(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']/.exec(
    Buffer.from(head).toString('latin1', 0, 200),
  )?.[1]
  return decoder(declared ?? 'utf-8')
}

function decoder(label: string): TextDecoder {
  try {
    return new TextDecoder(label, { fatal: true })
  } catch (cause) {
    throw new Failure('media-type', `The XML encoding ${JSON.stringify(label)} is not supported; use UTF-8.`, { cause })
  }
}

/** The child elements; text between them does not count. */
export function childElements(element: XmlElement): readonly XmlElement[] {
  return element.children.filter((child) => typeof child !== 'string')
}

/** The first child element of that name. */
export function childNamed(element: XmlElement, namespace: string, name: string): XmlElement | undefined {
  return childElements(element).find((child) => is(child, namespace, name))
}

export function is(element: XmlElement, namespace: string, name: string): boolean {
  return element.name === name && element.namespace === namespace
}

/** All the text directly within an element. */
export function textOf(element: XmlElement): string {
  return element.children.filter((child) => typeof child === 'string').join('')
}

/**
 * An element as XML text that stands on its own: every prefix it uses is declared on it, the xml:lang in scope is kept,
 * and prefixes are as the sender wrote them (RFC 4918 §4.3).
 */
export function serializeXml(element: XmlElement): string {
  const inherited =
    element.language !== undefined &&
    !element.attributes.some((each) => each.namespace === xmlNamespace && each.name === 'lang')
      ? element.language
      : undefined
  return write(element, new Map([['xml', xmlNamespace]]), inherited)
}

function write(element: XmlElement, scope: ReadonlyMap<string, string>, language: string | undefined): string {
  const inner = new Map(scope)
  let declarations = ''
  const declare = (prefix: string, namespace: string): void => {
    if ((inner.get(prefix) ?? '') === namespace) return
    inner.set(prefix, namespace)
    declarations += ` xmlns${prefix === '' ? '' : ':' + prefix}="${escapeAttribute(namespace)}"`
  }
  declare(element.prefix, element.namespace)
  let attributes = language === undefined ? '' : ` xml:lang="${escapeAttribute(language)}"`
  for (const attribute of element.attributes) {
    if (attribute.prefix !== '') declare(attribute.prefix, attribute.namespace)
    attributes += ` ${qualified(attribute)}="${escapeAttribute(attribute.value)}"`
  }
  const name = qualified(element)
  if (element.children.length === 0) return `<${name}${declarations}${attributes}/>`
  let content = ''
  for (const child of element.children)
    content += typeof child === 'string' ? escapeXml(child) : write(child, inner, undefined)
  return `<${name}${declarations}${attributes}>${content}</${name}>`
}

function qualified(named: { readonly prefix: string; readonly name: string }): string {
  return named.prefix === '' ? named.name : `${named.prefix}:${named.name}`
}

/** Text for element content. Characters that XML 1.0 cannot hold become U+FFFD. */
export function escapeXml(text: string): string {
  if (!special.test(text)) return text
  return text
    .replace(unrepresentable, '\uFFFD')
    .replace(/[&<>\r]/g, (mark) => (mark === '&' ? '&amp;' : mark === '<' ? '&lt;' : mark === '>' ? '&gt;' : '&#13;'))
}

const special = /[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/
const unrepresentable =
  /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** Text for an attribute value in double quotes. */
export function escapeAttribute(text: string): string {
  return escapeXml(text).replace(/["\n\t]/g, (mark) => (mark === '"' ? '&quot;' : mark === '\n' ? '&#10;' : '&#9;'))
}
