import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matchesStrongly, matchesWeakly, parseEntityTag, parseEntityTags } from './entity-tag.js'

describe('a list of entity tags', () => {
  it.each(['JoplinIgnore-4711', 'abc', '"a', 'a"', '"a" "b"', '*, "a"', 'w/"a"', '"a",b', '', ' , ', '"\u0001"'])(
    'is ignored as a whole when it is junk: %j',
    (field) => {
      expect(parseEntityTags(field)).toBeUndefined()
    },
  )

  it.each([
    [' * ', '*'],
    ['"a"', [{ value: 'a', weak: false }]],
    [
      'W/"a" ,, "b,c"',
      [
        { value: 'a', weak: true },
        { value: 'b,c', weak: false },
      ],
    ],
    ['""', [{ value: '', weak: false }]],
  ])('reads %j', (field, tags) => {
    expect(parseEntityTags(field)).toEqual(tags)
  })

  it('never throws and reads back whatever it was made of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        parseEntityTags(text)
        parseEntityTag(text)
      }),
    )
    const tag = fc.record({ value: fc.stringMatching(/^[!#-~]*$/), weak: fc.boolean() })
    fc.assert(
      fc.property(fc.array(tag, { minLength: 1 }), (tags) => {
        const field = tags.map(({ value, weak }) => `${weak ? 'W/' : ''}"${value}"`).join(', ')
        expect(parseEntityTags(field)).toEqual(tags)
      }),
    )
  })
})

describe('comparison', () => {
  it('is strong or weak as RFC 9110 §8.8.3.2 has it', () => {
    const weak = [{ value: 'a', weak: true }]
    expect(matchesStrongly(weak, 'a')).toBe(false)
    expect(matchesWeakly(weak, 'a')).toBe(true)
    expect(matchesStrongly([{ value: 'a', weak: false }], 'a')).toBe(true)
    expect(matchesStrongly('*', 'a')).toBe(true)
    expect(matchesWeakly([{ value: 'b', weak: false }], 'a')).toBe(false)
  })
})
