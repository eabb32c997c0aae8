import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseRange } from './ranges.js'

describe('Range', () => {
  it.each([
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'lines=0-1',
    'bytes=a-b',
    'bytes=4-2',
    'bytes=-',
    'bytes=0-1;2-3',
    'bytes=--1',
    'bytes=0-1,x',
  ])('counts as absent when it is %j', (field) => {
    expect(parseRange(field, 10)).toBeUndefined()
  })

  it.each(['bytes=10-', 'bytes=-0', 'bytes=10-20,-0', 'bytes=99999999999999999999999-'])(
    'cannot be satisfied: %s',
    (field) => {
      expect(parseRange(field, 10)).toBe('unsatisfiable')
    },
  )

  it.each([
    ['bytes=0-0', [[0, 1]]],
    ['BYTES = 2-', [[2, 10]]],
    ['bytes=-3', [[7, 10]]],
    ['bytes=-30', [[0, 10]]],
    ['bytes=5-999999999999999999999', [[5, 10]]],
    [
      'bytes=8-9, 0-1',
      [
        [8, 10],
        [0, 2],
      ],
    ],
    ['bytes=4-6,0-2,2-4', [[0, 7]]],
    ['bytes=0-1,20-30', [[0, 2]]],
  ])('%s', (field, expected) => {
    expect(parseRange(field, 10)).toEqual(expected.map(([start, end]) => ({ start, end })))
  })

  it('is bounded', () => {
    const many = (count: number) => `bytes=${Array.from({ length: count }, (_, n) => `${2 * n}-${2 * n}`).join(',')}`
    expect(parseRange(many(50), 1000)).toHaveLength(50)
    expect(parseRange(many(51), 1000)).toBeUndefined()
  })

  it('of an empty file gives all of it for a suffix, 416 else', () => {
    expect(parseRange('bytes=-5', 0)).toBeUndefined()
    expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable')
  })

  it('gives only parts that lie within, never overlapping, and never throws', () => {
    const part = fc.oneof(
      fc.tuple(fc.nat(30), fc.nat(30)).map(([a, b]) => `${a}-${b}`),
      fc.nat(30).map((a) => `${a}-`),
      fc.nat(30).map((a) => `-${a}`),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(part), fc.nat(25), (parts, size) => {
        const ranges = parseRange(`bytes=${parts.join(',')}`, size)
        if (typeof ranges !== 'object') return
        const covered = new Set<number>()
        for (const { start, end } of ranges) {
          expect(start).toBeLessThan(end)
          expect(end).toBeLessThanOrEqual(size)
          for (let at = start; at < end; at++) {
            expect(covered.has(at)).toBe(false)
            covered.add(at)
          }
        }
      }),
    )
    fc.assert(fc.property(fc.string(), fc.nat(), (field, size) => void parseRange(field, size)))
  })
})
