import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { pathOf, toPath } from '../../core/path.js'
import { directoryKey, fileKey, isAbsentByName, pathOfKey, refuseName, twinsOf } from './keys.js'

describe('keys that are no path', () => {
  it.each([
    '',
    '/',
    '//',
    '/a',
    'a//b',
    'a//',
    '.',
    '..',
    '../x',
    'a/../b',
    'a/./b',
    'a/..',
    'a/.',
    'a\0b',
    'a/\ud800',
    'a/\ufffd',
    'x'.repeat(256),
    'a/' + 'x'.repeat(256) + '/b',
    '.postern-parts/x',
    '.postern-x',
    'a/.POSTERN-x/b',
    'a/.po\u017ftern-x',
    // Neither wholly composed nor wholly decomposed.
    'caf\u00e9/cafe\u0301',
    // Composes to something else than it decomposes to: U+212B is neither of its forms.
    '\u212b',
  ])('%j', (key) => {
    expect(pathOfKey(key)).toBeUndefined()
  })
})

describe('keys that are', () => {
  it.each([
    ['a', '/a'],
    ['a/', '/a'],
    ['a/b c/\u{1F600}', '/a/b c/\u{1F600}'],
    ['.hidden/...', '/.hidden/...'],
    ['caf\u00e9/x', '/caf\u00e9/x'],
    ['cafe\u0301/x/', '/caf\u00e9/x'],
    ['a\nb', '/a\nb'],
    ['x'.repeat(255), '/' + 'x'.repeat(255)],
  ])('%j', (key, path) => {
    expect(pathOfKey(key)).toBe(path)
  })
})

describe('paths and keys', () => {
  const segment = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((text) => canBe([text]))
  const paths = fc.array(segment, { minLength: 1, maxLength: 5 }).filter(canBe).map(pathOf)

  it('belong together, in both forms of a name', () => {
    fc.assert(
      fc.property(paths, (path) => {
        if (isAbsentByName(path)) return
        for (const key of twinsOf(fileKey(path))) expect(pathOfKey(key)).toBe(path)
        for (const key of twinsOf(directoryKey(path))) expect(pathOfKey(key)).toBe(path)
      }),
    )
  })

  it('never name one object by two paths, nor show a key that its path does not lead to', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (key) => {
        const path = pathOfKey(key)
        if (path === undefined) return
        expect(isAbsentByName(path)).toBe(false)
        expect([...twinsOf(fileKey(path)), ...twinsOf(directoryKey(path))]).toContain(key)
        expect(toPath(path)).toBe(path)
      }),
      { numRuns: 500 },
    )
  })

  it('refuses what no key can hold', () => {
    const long = toPath('/' + Array.from({ length: 6 }, () => 'x'.repeat(200)).join('/'))
    expect(isAbsentByName(long)).toBe(true)
    expect(kindOf(() => refuseName(long))).toBe('invalid')
    expect(kindOf(() => refuseName(toPath('/a/.postern-x/y')))).toBe('denied')
    expect(kindOf(() => refuseName(toPath('/a')))).toBe('none')
  })
})

function canBe(segments: readonly string[]): boolean {
  try {
    pathOf(segments)
    return true
  } catch {
    return false
  }
}

function kindOf(work: () => void): string {
  try {
    work()
    return 'none'
  } catch (error) {
    return isFailure(error) ? error.kind : 'another error'
  }
}
