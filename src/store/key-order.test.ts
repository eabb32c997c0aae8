import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toPath } from '../core/path.js'
import { compareKeys, keyOf } from './key-order.js'

describe('key order', () => {
  it('counts a directory as its name with a slash', () => {
    expect(keyOf({ path: toPath('/a'), kind: 'file' })).toBe('/a')
    expect(keyOf({ path: toPath('/a'), kind: 'directory' })).toBe('/a/')
    expect(keyOf({ path: toPath('/'), kind: 'directory' })).toBe('/')
  })

  it('sorts what lies on both sides of the slash as S3 does', () => {
    expect(['/a0', '/a/', '/a.', '/a/x', '/a-', '/a'].sort(compareKeys)).toEqual([
      '/a',
      '/a-',
      '/a.',
      '/a/',
      '/a/x',
      '/a0',
    ])
  })

  it('puts U+FF5E before an emoji, as the bytes do and UTF-16 does not', () => {
    expect(compareKeys('～', '😀')).toBeLessThan(0)
    expect(['～', '😀'].sort()).toEqual(['😀', '～'])
  })

  it('agrees with the bytes for any two texts', () => {
    const text = fc.string({ unit: 'binary', maxLength: 6 })
    fc.assert(
      fc.property(text, text, text, (start, a, b) => {
        const bytes = Buffer.compare(Buffer.from(start + a), Buffer.from(start + b))
        expect(Math.sign(compareKeys(start + a, start + b))).toBe(bytes)
      }),
    )
  })
})
