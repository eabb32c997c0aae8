import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { header, httpDate, isFileRange, parseHttpDate } from './http.js'

describe('parseHttpDate', () => {
  const one = Date.UTC(1994, 10, 6, 8, 49, 37)

  it.each(['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])(
    'reads %j (RFC 9110 §5.6.7)',
    (text) => {
      expect(parseHttpDate(text)).toBe(one)
    },
  )

  it('reads every form as UTC, wherever the server stands', () => {
    const before = process.env['TZ']
    process.env['TZ'] = 'Asia/Kolkata'
    try {
      expect(parseHttpDate('Sun Nov  6 08:49:37 1994')).toBe(one)
      expect(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT')).toBe(one)
    } finally {
      if (before === undefined) delete process.env['TZ']
      else process.env['TZ'] = before
    }
  })

  it('takes two digits of a year that lies far ahead for one that is past', () => {
    expect(parseHttpDate('Friday, 01-Jan-99 00:00:00 GMT')).toBe(Date.UTC(1999, 0, 1))
    expect(parseHttpDate('Wednesday, 01-Jan-30 00:00:00 GMT')).toBe(Date.UTC(2030, 0, 1))
  })

  it.each([
    undefined,
    '',
    '0',
    '784111777',
    '1994-11-06T08:49:37Z',
    'Jan 1',
    'May 2001',
    'Sun',
    'Sun, 06 Nov 1994',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 +0100',
    'Sun, 06 Nov 1994 08:49:37 GMT; length=3',
    'Sun, 06 Nov 1994 25:00:00 GMT',
    'Sun, 06 Nov 1994 08:60:00 GMT',
    'Sun, 31 Feb 1994 08:49:37 GMT',
    'Sun, 06 Foo 1994 08:49:37 GMT',
    'JoplinIgnore-12',
    'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  ])('gives undefined for %j', (text) => {
    expect(parseHttpDate(text)).toBeUndefined()
  })

  it('reads what httpDate writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), fc.integer({ min: 0, max: 999 }), (second, part) => {
        expect(parseHttpDate(httpDate(second * 1000 + part))).toBe(second * 1000)
      }),
    )
  })

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(parseHttpDate(`Sun${text}`)).toBeUndefined()
      }),
    )
  })
})

describe('httpDate', () => {
  it('has the fixed form and forgets parts of a second', () => {
    expect(httpDate(999)).toBe('Thu, 01 Jan 1970 00:00:00 GMT')
    expect(httpDate(1000)).toBe('Thu, 01 Jan 1970 00:00:01 GMT')
    expect(httpDate(0)).toBe('Thu, 01 Jan 1970 00:00:00 GMT')
  })
})

describe('header', () => {
  const request = { headers: new Map([['a', ['1']], ['b', ['1', '2']]]) } // prettier-ignore

  it('joins repeats and tells absence from emptiness', () => {
    expect(header(request, 'a')).toBe('1')
    expect(header(request, 'b')).toBe('1, 2')
    expect(header(request, 'c')).toBeUndefined()
    expect(header({ headers: new Map([['d', ['']]]) }, 'd')).toBe('')
  })
})

describe('isFileRange', () => {
  it('takes bytes and streams for what they are', () => {
    expect(isFileRange({ fd: 3, start: 0, end: 1, close: () => undefined })).toBe(true)
    for (const other of [undefined, null, 'x', new Uint8Array(1), (async function* () {})()]) {
      expect(isFileRange(other)).toBe(false)
    }
  })
})
