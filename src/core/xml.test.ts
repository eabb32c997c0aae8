import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure, type FailureDetails } from './failure.js'
import {
  childElements,
  childNamed,
  davNamespace,
  escapeXml,
  is,
  maxXmlBytes,
  parseXml,
  readXml,
  serializeXml,
  textOf,
  type XmlElement,
} from './xml.js'

const plain = '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>'

describe('hostile documents', () => {
  it.each([
    ['an internal entity', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'],
    ['a billion laughs', '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>'],
    ['an external entity', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'],
    ['a parameter entity', '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;]><a/>'],
    ['an external subset', '<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>'],
    ['an empty document type', '<!DOCTYPE a><a/>'],
    ['one behind the declaration', '<?xml version="1.0"?>\n<!-- c -->\n<!DOCTYPE a []><a/>'],
  ])('refuses %s', async (_, text) => {
    for (const bytes of [Buffer.from(text), Buffer.from(`\ufeff${text}`, 'utf16le')]) {
      expect(failureOf(() => parseXml(bytes))).toMatchObject({ kind: 'invalid', reason: 'no-external-entities' })
      await expect(readXml(chunked(bytes, 3))).rejects.toMatchObject({ reason: 'no-external-entities' })
    }
  })

  it.each([
    ['an undeclared entity', '<a>&x;</a>'],
    ['an undeclared prefix', '<x:a/>'],
    ['an undeclared attribute prefix', '<a x:b="1"/>'],
    ['the same attribute twice', '<a b="1" b="2"/>'],
    ['the same attribute twice by two prefixes', '<a xmlns:x="n" xmlns:y="n" x:b="1" y:b="2"/>'],
    ['a reference to NUL', '<a>&#0;</a>'],
    ['a reference to a control character', '<a>&#1;</a>'],
    ['a reference to a surrogate', '<a>&#xD800;</a>'],
    ['a reference beyond Unicode', '<a>&#x110000;</a>'],
    ['a raw control character', '<a>\x01</a>'],
    ['an unclosed element', '<a>'],
    ['a wrong end', '<a></b>'],
    ['two roots', '<a/><b/>'],
    ['text behind the root', '<a/>x'],
    ['text before the root', 'x<a/>'],
    ['no element', '<?xml version="1.0"?>'],
    ['white space alone', '  \n'],
    ['a byte order mark alone', '\ufeff'],
    ['a cut tag', '<a'],
    ['a bare ampersand', '<a>&</a>'],
    ['a prefix taken back', '<a xmlns:x=""><x:b/></a>'],
    ['the reserved prefix on another name', '<a xmlns:xml="urn:x"/>'],
    ['the xmlns prefix declared', '<a xmlns:xmlns="urn:x"/>'],
    ['CDATA never closed', '<a><![CDATA[x</a>'],
    ['a colon too many', '<a:b:c xmlns:a="x"/>'],
  ])('refuses %s', (_, text) => {
    expect(failureOf(() => parseXml(Buffer.from(text))).kind).toBe('invalid')
  })

  it.each([
    ['no UTF-8', Buffer.from('<a>\xff</a>', 'latin1')],
    ['overlong UTF-8', Buffer.from('<a>\xc0\xbc</a>', 'latin1')],
    ['cut UTF-8', Buffer.from('<a>x</a>\xc3', 'latin1')],
    ['half a UTF-16 unit', Buffer.concat([Buffer.from('\ufeff<a/>', 'utf16le'), Buffer.from([0x20])])],
    ['a lone surrogate', Buffer.from('\ufeff<a>\ud800</a>', 'utf16le')],
    ['another encoding than it declares', Buffer.from('<?xml version="1.0" encoding="utf-8"?><a>\xe9</a>', 'latin1')],
    ['UTF-32', Buffer.from([0xff, 0xfe, 0, 0, 0x3c, 0, 0, 0, 0x61, 0, 0, 0, 0x2f, 0, 0, 0, 0x3e, 0, 0, 0])],
    ['random bytes', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])],
  ])('refuses %s', (_, bytes) => {
    expect(failureOf(() => parseXml(bytes)).kind).toBe('invalid')
  })

  it('refuses an encoding it does not know', () => {
    const text = '<?xml version="1.0" encoding="utf-7"?><a/>'
    expect(failureOf(() => parseXml(Buffer.from(text))).kind).toBe('media-type')
  })

  it('takes no more than 1 MiB, and stops reading there', async () => {
    let pulled = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('<a>')
      for (;;) {
        pulled += 65_536
        yield Buffer.alloc(65_536, 'x')
      }
    }
    await expect(readXml(endless())).rejects.toMatchObject({ kind: 'too-large', size: maxXmlBytes })
    expect(pulled).toBeLessThanOrEqual(maxXmlBytes + 65_536)
    const whole = `<a>${'x'.repeat(maxXmlBytes - 7)}</a>`
    expect(textOf((await readXml(chunked(Buffer.from(whole), 65_536)))!)).toHaveLength(maxXmlBytes - 7)
    await expect(readXml(chunked(Buffer.from(`${whole} `), 65_536))).rejects.toMatchObject({ kind: 'too-large' })
  })

  it('nests 64 deep and no deeper', () => {
    const nested = (depth: number): Buffer => Buffer.from('<a>'.repeat(depth) + '</a>'.repeat(depth))
    expect(parseXml(nested(64)).name).toBe('a')
    expect(failureOf(() => parseXml(nested(65))).kind).toBe('invalid')
    expect(failureOf(() => parseXml(Buffer.from('<a>'.repeat(300_000)))).kind).toBe('invalid')
  })

  it('counts elements and attributes', () => {
    const many = (count: number): Buffer => Buffer.from(`<a>${'<b/>'.repeat(count - 1)}</a>`)
    expect(parseXml(many(50_000)).children).toHaveLength(49_999)
    expect(failureOf(() => parseXml(many(50_001))).kind).toBe('too-large')
    expect(failureOf(() => parseXml(Buffer.from(`<a>${'<b c=""/>'.repeat(25_000)}</a>`))).kind).toBe('too-large')
  })

  it('bounds what names would take once each of them stands on its own', () => {
    const uri = `urn:${'x'.repeat(990)}`
    const many = '<p:a/>'.repeat(40_000)
    expect(failureOf(() => parseXml(Buffer.from(`<r xmlns:p="${uri}">${many}</r>`))).kind).toBe('too-large')
    const lang = 'x'.repeat(500_000)
    expect(failureOf(() => parseXml(Buffer.from(`<r xml:lang="${lang}">${many.replaceAll('p:', '')}</r>`))).kind).toBe(
      'too-large',
    )
    const attributes = Array.from({ length: 40_000 }, (_, at) => `p:a${at}=""`).join(' ')
    expect(failureOf(() => parseXml(Buffer.from(`<r xmlns:p="${uri}" ${attributes}/>`))).kind).toBe('too-large')
    expect(parseXml(Buffer.from(`<r xmlns:p="${uri}"><p:a/></r>`)).children).toHaveLength(1)
  })

  it.each(['xmlns', 'xmlns:p'])('bounds a namespace declared by %s', (name) => {
    expect(failureOf(() => parseXml(Buffer.from(`<r ${name}="${'x'.repeat(1001)}"/>`))).kind).toBe('invalid')
    const attributes = Array.from({ length: 40_000 }, (_, at) => `p:a${at}=""`).join(' ')
    const before = performance.now()
    expect(failureOf(() => parseXml(Buffer.from(`<r ${name}="${'x'.repeat(400_000)}" ${attributes}/>`))).kind).toBe(
      'invalid',
    )
    expect(performance.now() - before).toBeLessThan(5000)
  })

  it('takes little time for a megabyte of whatever costs most', () => {
    const attributes = Array.from({ length: 40_000 }, (_, at) => `a${at.toString(36)}="" `).join('')
    const declared = Array.from({ length: 20_000 }, (_, at) => `xmlns:p${at.toString(36)}="u" `).join('')
    for (const text of [`<a ${attributes}/>`, `<a ${declared}/>`, `<a>${'&amp;'.repeat(200_000)}</a>`]) {
      const before = performance.now()
      parseXml(Buffer.from(text))
      expect(performance.now() - before).toBeLessThan(5000)
    }
  })

  it('throws nothing but failures for arbitrary bytes, however they are cut', async () => {
    const soup = fc
      .array(
        fc.constantFrom('<', '>', '</', '/>', 'a', ':', '="', '"', '&', ';', '#', '<!', '--', '[CDATA[', ']]>', '<?', '?>', 'xml', ' ', 'xmlns', '\xc3\xa9', '\xff', '\0'), // prettier-ignore
        { maxLength: 40 },
      )
      .map((pieces) => Buffer.from(pieces.join(''), 'latin1'))
    const bytes = fc.oneof(soup, fc.uint8Array({ maxLength: 200 }))
    await fc.assert(
      fc.asyncProperty(bytes, fc.integer({ min: 1, max: 7 }), async (document, size) => {
        const whole = document.length === 0 ? undefined : outcomeOf(() => parseXml(document))
        let parts: unknown
        try {
          parts = await readXml(chunked(document, size))
        } catch (error) {
          if (!(error instanceof Failure)) throw error
          parts = error.kind
        }
        expect(merged(parts)).toEqual(merged(whole))
      }),
    )
  })
})

describe('encodings', () => {
  const text = '<a b="\u00e9">\u{1f4be} \u20ac</a>'

  it.each([
    ['UTF-8', Buffer.from(text)],
    ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${text}`)],
    ['declared UTF-8', Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>${text}`)],
    ['UTF-16LE with a byte order mark', Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16BE with a byte order mark', Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
    ['UTF-16LE without', Buffer.from(text, 'utf16le')],
    ['UTF-16BE without', Buffer.from(text, 'utf16le').swap16()],
    ['declared UTF-16', Buffer.from(`\ufeff<?xml version="1.0" encoding="UTF-16"?>${text}`, 'utf16le')],
  ])('reads %s, cut anywhere', async (_, bytes) => {
    const whole = parseXml(bytes)
    expect(whole.attributes[0]?.value).toBe('\u00e9')
    expect(textOf(whole)).toBe('\u{1f4be} \u20ac')
    for (let cut = 1; cut < bytes.length; cut++) {
      const parts = [bytes.subarray(0, cut), new Uint8Array(0), bytes.subarray(cut)]
      expect(merged(await readXml(stream(parts)))).toEqual(merged(whole))
    }
    expect(merged(await readXml(chunked(bytes, 1)))).toEqual(merged(whole))
  })

  it('cuts a long document anywhere', async () => {
    const bytes = Buffer.from(`<a>${'\u20ac<b c="\u{1f4be}">x&amp;y</b>'.repeat(20)}</a>`)
    const whole = merged(parseXml(bytes))
    for (let cut = 1; cut < bytes.length; cut++)
      expect(merged(await readXml(stream([bytes.subarray(0, cut), bytes.subarray(cut)])))).toEqual(whole)
  })

  it.each([`encoding='ISO-8859-1'`, `encoding = "iso-8859-1"`, `encoding="latin1" standalone="yes"`])(
    'reads what is declared by %s',
    (declaration) => {
      const bytes = Buffer.from(`<?xml version="1.0" ${declaration}?><a>\xe9</a>`, 'latin1')
      expect(textOf(parseXml(bytes))).toBe('\u00e9')
    },
  )

  it('says that an empty body is none', async () => {
    expect(await readXml(stream([]))).toBeUndefined()
    expect(await readXml(stream([new Uint8Array(0)]))).toBeUndefined()
  })
})

describe('what is read', () => {
  it('resolves namespaces where they are declared again', () => {
    const root = parseXml(
      Buffer.from('<p:a xmlns:p="one" xmlns="none" p:x="1" y="2"><p:a xmlns:p="two"/><b xmlns=""/><b/></p:a>'),
    )
    expect(root).toMatchObject({ namespace: 'one', name: 'a', prefix: 'p' })
    expect(root.attributes).toEqual([
      { namespace: 'one', name: 'x', prefix: 'p', value: '1' },
      { namespace: '', name: 'y', prefix: '', value: '2' },
    ])
    expect(childElements(root).map(({ namespace, name }) => [namespace, name])).toEqual([
      ['two', 'a'],
      ['', 'b'],
      ['none', 'b'],
    ])
  })

  it('takes CDATA for text and leaves out comments and instructions', () => {
    expect(textOf(parseXml(Buffer.from('<a>1<![CDATA[<&2]]><!-- c --><?p i?>3&lt;&#52;</a>')))).toBe('1<&23<4')
  })

  it('hands the language on until it is said anew', () => {
    const root = parseXml(Buffer.from('<a xml:lang="en"><b/><c xml:lang="de"><d/></c><e xml:lang=""/></a>'))
    expect(childElements(root).map(({ language }) => language)).toEqual(['en', 'de', ''])
    expect(childElements(childElements(root)[1]!)[0]?.language).toBe('de')
  })

  it('finds children by name and namespace', () => {
    const root = parseXml(Buffer.from(plain))
    expect(childNamed(root, davNamespace, 'prop')).toBeDefined()
    expect(childNamed(root, '', 'prop')).toBeUndefined()
    expect(is(root, davNamespace, 'propfind')).toBe(true)
    expect(is(root, 'DAV', 'propfind')).toBe(false)
  })
})

describe('serializeXml', () => {
  it('comes back as it was, prefixes and all', () => {
    fc.assert(
      fc.property(trees, (tree) => {
        const text = serializeXml(tree)
        expect(merged(parseXml(Buffer.from(text)))).toEqual(merged(tree))
      }),
    )
  })

  it('stands on its own anywhere in another document', () => {
    fc.assert(
      fc.property(trees, (tree) => {
        const around = `<D:x xmlns:D="DAV:" xmlns:p="urn:other">${serializeXml(tree)}</D:x>`
        expect(merged(childElements(parseXml(Buffer.from(around)))[0])).toEqual(merged(tree))
      }),
    )
  })

  it('keeps the language in scope, once', () => {
    const inner = childElements(parseXml(Buffer.from('<a xml:lang="en"><b><c/></b></a>')))[0]!
    expect(serializeXml(inner)).toBe('<b xml:lang="en"><c/></b>')
    const own = childElements(parseXml(Buffer.from('<a xml:lang="en"><b xml:lang="de"/></a>')))[0]!
    expect(serializeXml(own)).toBe('<b xml:lang="de"/>')
  })

  it('keeps what a reader would else take for white space', () => {
    const element = parseXml(Buffer.from('<a b="1&#10;2&#9;3&#13;4&quot;">5&#13;6\n7</a>'))
    expect(element.attributes[0]?.value).toBe('1\n2\t3\r4"')
    expect(parseXml(Buffer.from(serializeXml(element)))).toEqual(element)
  })

  it('writes declarations in full where a namespace holds markup', () => {
    const element = parseXml(Buffer.from('<p:a xmlns:p="urn:&quot;&lt;&amp;&#10;&gt;"/>'))
    expect(parseXml(Buffer.from(serializeXml(element)))).toEqual(element)
  })
})

describe('escapeXml', () => {
  it('gives text that any reader takes, whatever it is made of', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)) }), (text) => {
        const back = textOf(parseXml(Buffer.from(`<a>${escapeXml(text)}</a>`)))
        expect(back).toBe(text.toWellFormed().replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '\ufffd'))
      }),
    ) // prettier-ignore
  })

  it('keeps pairs and drops halves', () => {
    expect(escapeXml('a\u{1f4be}b')).toBe('a\u{1f4be}b')
    expect(escapeXml('a\ud83db')).toBe('a\ufffdb')
    expect(escapeXml('a\udcbeb<')).toBe('a\ufffdb&lt;')
    expect(escapeXml(']]>')).toBe(']]&gt;')
  })
})

const names = fc.constantFrom('a', 'b', 'long-name', '_x', '\u00e9t\u00e9', 'x.1')
/** One namespace for each prefix at a time, or a document could not say it. */
const named = fc.constantFrom(
  { prefix: '', namespace: '' },
  { prefix: '', namespace: 'urn:default' },
  { prefix: 'p', namespace: 'urn:one' },
  { prefix: 'q', namespace: 'urn:one' },
  { prefix: 'D', namespace: 'urn:not-dav' },
  { prefix: 'p', namespace: 'urn:"two"&<' },
)
const texts = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).map((text) => text.replace(/[\x00-\x1f\ufffe\uffff]/g, '\t')) // prettier-ignore

const { tree: trees } = fc.letrec<{ tree: XmlElement }>((tie) => ({
  tree: fc
    .record({
      kind: named,
      name: names,
      attributes: fc.uniqueArray(fc.record({ name: names, own: fc.boolean(), value: texts }), {
        selector: ({ name }) => name,
        maxLength: 3,
      }),
      children: fc.array(fc.oneof({ maxDepth: 4 }, texts, tie('tree')), { maxLength: 3 }),
    })
    .map(({ kind, name, attributes, children }) => ({
      ...kind,
      name,
      attributes: attributes.map(({ name: own, own: qualified, value }) => ({
        name: own,
        value,
        ...(qualified && kind.prefix !== '' ? kind : { prefix: '', namespace: '' }),
      })),
      children,
      language: undefined,
    })),
}))

/** Neighbouring pieces of text are one text. */
function merged(node: unknown): unknown {
  if (typeof node !== 'object' || node === null) return node
  const element = node as XmlElement
  const children: unknown[] = []
  for (const child of element.children) {
    const last = children.at(-1)
    if (typeof child === 'string' && typeof last === 'string') children[children.length - 1] = last + child
    else children.push(typeof child === 'string' ? child : merged(child))
  }
  return { ...element, children }
}

function chunked(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  const parts: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size))
  return stream(parts)
}

async function* stream(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

function failureOf(run: () => unknown): Pick<Failure, 'kind'> & FailureDetails {
  try {
    run()
  } catch (error) {
    if (error instanceof Failure) return error as Pick<Failure, 'kind'> & FailureDetails
    throw error
  }
  throw new Error('nothing was thrown')
}

function outcomeOf(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    if (error instanceof Failure) return error.kind
    throw error
  }
}
