import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseIf, submittedTokens } from './if-header.js'
import { Failure } from '../../core/failure.js'

const token = (text: string, negated = false): object => ({ kind: 'token', token: text, negated })
const etag = (text: string, negated = false): object => ({ kind: 'etag', etag: text, negated })

describe('parseIf', () => {
  it.each<[name: string, text: string, lists: readonly object[]]>([
    [
      'RFC 4918 §10.4.6, no tag',
      '(<urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2> ["I am an ETag"]) (["I am another ETag"])',
      [
        {
          resource: undefined,
          conditions: [token('urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2'), etag('"I am an ETag"')],
        },
        { resource: undefined, conditions: [etag('"I am another ETag"')] },
      ],
    ],
    [
      'RFC 4918 §10.4.7, Not',
      '(Not <urn:uuid:181d4fae> <urn:uuid:58f202ac>)',
      [{ resource: undefined, conditions: [token('urn:uuid:181d4fae', true), token('urn:uuid:58f202ac')] }],
    ],
    [
      'RFC 4918 §10.4.8, always true',
      '(<urn:uuid:181d4fae>) (Not <DAV:no-lock>)',
      [
        { resource: undefined, conditions: [token('urn:uuid:181d4fae')] },
        { resource: undefined, conditions: [token('DAV:no-lock', true)] },
      ],
    ],
    [
      'RFC 4918 §10.4.9, tagged',
      '</resource1> (<urn:uuid:181d4fae> [W/"A weak ETag"]) (["strong ETag"])',
      [
        { resource: '/resource1', conditions: [token('urn:uuid:181d4fae'), etag('W/"A weak ETag"')] },
        { resource: '/resource1', conditions: [etag('"strong ETag"')] },
      ],
    ],
    [
      'RFC 4918 §10.4.10, another resource',
      '<http://www.example.com/specs/> (<urn:uuid:181d4fae>)',
      [{ resource: 'http://www.example.com/specs/', conditions: [token('urn:uuid:181d4fae')] }],
    ],
    [
      'RFC 4918 §10.4.11, an unmapped URL',
      '</specs/rfc2518.doc> (["4217"]) </other> (Not ["4217"])',
      [
        { resource: '/specs/rfc2518.doc', conditions: [etag('"4217"')] },
        { resource: '/other', conditions: [etag('"4217"', true)] },
      ],
    ],
    ['joined headers', '(<a:1>), (<a:2>)', [{ conditions: [token('a:1')] }, { conditions: [token('a:2')] }]],
    ['no space', '(Not<a:1>Not["x"])', [{ conditions: [token('a:1', true), etag('"x"', true)] }]],
    ['any case and space', '  ( nOt\t<a:1>   [ "x" ] )  ', [{ conditions: [token('a:1', true), etag('"x"')] }]],
    ['a bracket in a tag', '(["a]b"] [W/"]"])', [{ conditions: [etag('"a]b"'), etag('W/"]"')] }]],
    ['a parenthesis in a token', '(<a:)(>)', [{ conditions: [token('a:)(')] }]],
  ])('reads %s', (_, text, lists) => {
    expect(parseIf(text)).toMatchObject(lists)
    expect(parseIf(text)).toHaveLength(lists.length)
  })

  it.each([
    '',
    ' ',
    ',',
    '()',
    '( )',
    '(',
    ')',
    '<a:1>',
    '</a>',
    '</a> <b:1>',
    '</a> (',
    '(<a:1>',
    '(<a:1)',
    '(["x)',
    '(a:1)',
    '("x")',
    '(Not)',
    '(Not Not <a:1>)',
    '(Notx <a:1>)',
    '(<a:1>) x',
    '(<a:1>,<a:2>)',
    '((<a:1>))',
    '(<a:1>))',
    '\0',
    '(<a:1>\0)',
    '(<a:1>)'.repeat(201),
    `(${'<a:1>'.repeat(202)})`,
    '('.repeat(100_000),
    '(["'.repeat(10_000),
  ])('refuses %.40j', (text) => {
    expect(() => parseIf(text)).toThrow(Failure)
  })

  it('is total', () => {
    const soup = fc
      .array(
        fc.constantFrom('(', ')', '<', '>', '[', ']', '"', 'Not', ' ', ',', 'a:b', 'W/', '/x', '\0', 'DAV:no-lock'),
        {
          maxLength: 30,
        },
      )
      .map((pieces) => pieces.join(''))
    fc.assert(
      fc.property(fc.oneof(soup, fc.string({ unit: 'binary' })), (text) => {
        try {
          const lists = parseIf(text)
          expect(lists.length).toBeGreaterThan(0)
          for (const { conditions } of lists) expect(conditions.length).toBeGreaterThan(0)
        } catch (error) {
          expect(error).toBeInstanceOf(Failure)
          expect(error).toHaveProperty('kind', 'invalid')
        }
      }),
    ) // prettier-ignore
  })

  it('reads what it is written from', () => {
    const condition = fc.record({
      kind: fc.constantFrom('token' as const, 'etag' as const),
      text: fc.stringMatching(/^[a-z:0-9()[ -]{1,8}$/).map((text) => `u${text}u`),
      negated: fc.boolean(),
    })
    const list = fc.record({ resource: fc.constantFrom('/a', 'http://h/b'), all: fc.array(condition, { minLength: 1, maxLength: 4 }) }) // prettier-ignore
    fc.assert(
      fc.property(fc.array(list, { minLength: 1, maxLength: 5 }), fc.constantFrom('', ' ', '  '), (lists, space) => {
        const text = lists
          .map(({ resource, all }) => {
            const inner = all.map((each) => `${each.negated ? 'Not ' : ''}${each.kind === 'token' ? `<${each.text}>` : `["${each.text}"]`}`) // prettier-ignore
            return `<${resource}>${space}(${inner.join(space)})`
          })
          .join(space)
        expect(parseIf(text)).toEqual(
          lists.map(({ resource, all }) => ({
            resource,
            conditions: all.map((each) => each.kind === 'token' ? token(each.text, each.negated) : etag(`"${each.text}"`, each.negated)), // prettier-ignore
          })),
        )
      }),
    )
  })
})

describe('submittedTokens', () => {
  it('are all that appear anywhere', () => {
    expect(submittedTokens(parseIf('</a> (<t:1> ["x"]) (Not <t:2>) </b> (<t:3>)'))).toEqual(['t:1', 't:2', 't:3'])
  })
})
