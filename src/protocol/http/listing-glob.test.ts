import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileGlob, literalPrefix } from './listing-glob.js'

describe('a glob over relative paths', () => {
  it.each([
    ['*.pdf', ['a.pdf', '.pdf'], ['a/b.pdf', 'a.pdf.txt', '']],
    ['**/*.pdf', ['a.pdf', 'x/y/a.pdf'], ['x/a.txt']],
    ['a/**', ['a', 'a/b', 'a/b/c'], ['ab', 'b/a']],
    ['a/**/z', ['a/z', 'a/b/c/z'], ['a', 'a/z/y']],
    ['?.t', ['a.t', '😀.t'], ['ab.t', '/.t']],
    ['[a]', ['[a]'], ['a']],
    ['**', ['a', 'a/b'], []],
  ])('%s', (pattern, yes, no) => {
    const glob = compileGlob(pattern)
    for (const path of yes) expect([path, glob(path)]).toEqual([path, true])
    for (const path of no) expect([path, glob(path)]).toEqual([path, false])
  })

  it('answers at once to patterns made to hang', () => {
    const begun = performance.now()
    expect(compileGlob('*a'.repeat(200) + 'b')('a'.repeat(255))).toBe(false)
    expect(compileGlob('**/a/'.repeat(100) + 'b')('a/'.repeat(1000))).toBe(false)
    expect(performance.now() - begun).toBeLessThan(2000)
  })

  it('matches only what begins with its literal prefix', () => {
    const alphabet = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '?'), maxLength: 8 })
    const paths = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 8 })
    fc.assert(
      fc.property(alphabet, paths, (pattern, path) => {
        if (compileGlob(pattern)(path)) expect(path.startsWith(literalPrefix(pattern))).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })
})
