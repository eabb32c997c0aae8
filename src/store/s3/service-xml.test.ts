import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { parseXml, childElements, textOf } from '../../core/xml.js'
import { errorCodeOf } from './service-errors.js'
import { scanListing } from './list-scan.js'
import type { Scanned } from './list-scan.js'
import {
  completionBody,
  fitsXml,
  readGroups,
  readListPage,
  readUploadsPage,
  removalBody,
  timeOf,
  unquoted,
} from './service-xml.js'

const fragments = fc.array(
  fc.constantFrom(
    '<ListBucketResult>',
    '</ListBucketResult>',
    '<ListMultipartUploadsResult>',
    '</ListMultipartUploadsResult>',
    '<Contents>',
    '</Contents>',
    '<Upload>',
    '</Upload>',
    '<Key>a</Key>',
    '<Key/>',
    '<Size>1</Size>',
    '<Size>-1</Size>',
    '<Size>1e99</Size>',
    '<LastModified>2026-11-22T23:00:00Z</LastModified>',
    '<LastModified>never</LastModified>',
    '<Initiated>2026-11-22T23:00:00Z</Initiated>',
    '<EncodingType>url</EncodingType>',
    '<Key>%</Key>',
    '<IsTruncated>true</IsTruncated>',
    '<Error><Code>X</Code></Error>',
    '&a;',
    ' ',
    '<?xml version="1.0"?>',
  ),
  { maxLength: 12 },
)

describe('what a service answers', () => {
  it('is read, or is a failure: nothing else', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fragments.map((parts) => Buffer.from(parts.join(''))),
          fc.uint8Array(),
        ),
        (bytes) => {
          for (const read of [readListPage, readUploadsPage]) {
            try {
              read(bytes)
            } catch (error) {
              expect(isFailure(error, 'unavailable')).toBe(true)
            }
          }
          errorCodeOf(bytes)
        },
      ),
    )
  })

  it('has no further page without a way to ask for it', () => {
    const page = '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>'
    expect(() => readListPage(Buffer.from(page))).toThrow(expect.objectContaining({ kind: 'unavailable' }))
  })

  it('is an error by its root only', () => {
    const codeOf = (text: string): string | undefined => errorCodeOf(Buffer.from(text))
    expect(codeOf('<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>')).toBeUndefined()
    expect(codeOf('<Errors><Code>A</Code></Errors>')).toBeUndefined()
    expect(codeOf('<Error/>')).toBeUndefined()
    expect(codeOf(' <?xml version="1.0"?>\n <Error xmlns="x">\n<Code> SlowDown </Code>')).toBe('SlowDown')
  })
})

describe('a listing that is scanned', () => {
  const name = fc.constantFrom('Contents', 'CommonPrefixes', 'Key', 'Prefix', 'Owner', 'IsTruncated', 'Name')
  const text = fc.string({
    unit: fc.constantFrom('a', 'Z', '%20', '&amp;', '&lt;', '&quot;', '&#9;', '&x;', 'ü', ' ', '\n', '>', ']', '\r'),
  })
  const { tree } = fc.letrec<{ tree: string; leaf: string; node: string }>((tie) => ({
    tree: fc.oneof({ depthSize: 'small' }, tie('leaf'), tie('node')),
    leaf: fc.tuple(name, text).map(([tag, content]) => `<${tag}>${content}</${tag}>`),
    node: fc
      .tuple(
        name,
        fc.array(tie('tree'), { maxLength: 5 }),
        fc.constantFrom('', ' ', '<!-- x -->', '<![CDATA[x]]>', '<b a="c"/>', '<Key/>'),
      )
      .map(([tag, inner, odd]) => `<${tag}>${inner.join(odd)}</${tag}>`),
  }))

  it('is what a reader of XML finds in it, or is left to that', () => {
    let scanned = 0
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 6 }), (inner) => {
        const bytes = Buffer.from(`<?xml version="1.0"?><R xmlns="x">${inner.join('')}</R>`)
        const found = scanListing(bytes, 'R')
        if (found === undefined) return
        scanned += 1
        expect(withoutEmpty(found)).toEqual(withoutEmpty(readGroups(parseXml(bytes))))
      }),
    )
    expect(scanned).toBeGreaterThan(5)
  })

  /** An element that has nothing but white space in it may be read as a field or as a group. */
  const withoutEmpty = ({ fields, groups }: Scanned): unknown => ({
    fields: Object.fromEntries(Object.entries(fields).filter(([, value]) => value?.trim() !== '')),
    groups: groups.map((group) => ({
      name: group.name,
      fields: Object.fromEntries(Object.entries(group.fields).filter(([, value]) => value?.trim() !== '')),
    })),
  })
})

describe('what a service is asked', () => {
  const named = (text: Buffer): readonly string[] =>
    childElements(parseXml(text)).flatMap((element) =>
      childElements(element)
        .filter(({ name }) => name === 'Key')
        .map(textOf),
    )

  it('names any key that XML can name, and no other', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', minLength: 1 }).filter((key) => key.isWellFormed())), (keys) => {
        const fit = keys.filter(fitsXml)
        expect(named(removalBody(fit.map((key) => ({ key }))))).toEqual(fit)
        for (const key of keys.filter((each) => !fitsXml(each))) expect(key).toMatch(/[\x00-\x1f\ufffe\uffff]/)
      }),
    )
    expect(['\u0000', 'a\rb', '\u001f', '\uffff'].filter(fitsXml)).toEqual([])
    expect(['a\tb', 'a\nb', '\u007f', '💾', ']]>'].filter(fitsXml)).toHaveLength(5)
  })

  it('has ETags with quotes', () => {
    const body = completionBody([{ number: 1, etag: 'a&b' }])
    expect(body.toString()).toContain('<Part><PartNumber>1</PartNumber><ETag>&quot;a&amp;b&quot;</ETag></Part>')
    expect(['"a"', 'W/"a"', 'a', '""', '"'].map(unquoted)).toEqual(['a', 'a', 'a', '', '"'])
    expect(timeOf('2026-11-22T23:00:00.999Z')).toBe(Date.UTC(2026, 10, 22, 23))
  })
})

it('names what is to be removed as it was seen', () => {
  const body = removalBody([{ key: 'a', etag: 'x"<' }, { key: 'b' }]).toString()
  expect(body).toMatch(
    /<Object><Key>a<\/Key><ETag>&quot;x(&quot;|")&lt;&quot;<\/ETag><\/Object><Object><Key>b<\/Key><\/Object>/,
  )
})
