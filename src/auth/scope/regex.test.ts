import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileScopeRegex } from './regex.js'

describe('what is not understood', () => {
  it.each([
    'a(?=b)',
    'a(?!b)',
    '(?<=a)b',
    '(?<!a)b',
    '(a)\\1',
    'a*+',
    'a++',
    'a?+',
    '(?>a)',
    '(?i:a)',
    'a(?i)',
    '(?x)a',
    '(*UTF8)a',
    '[[:alpha:]]',
    '[[.a.]]',
    '\\bword',
    '\\Q.\\E',
    '\\h',
    '\\p{L}',
    '\\x{41}',
    '\\xff',
    '[é]',
    '[z-a]',
    '[a-\\d]',
    '[a',
    '[]',
    '(a',
    'a)',
    '*a',
    '+',
    '?',
    'a**',
    'a{2}{3}',
    '^*',
    'a{3,2}',
    'a{256}',
    '(?:(?:a{100}){100}){100}',
    '(a{200}){200}',
    '(a?){100}a{100}$',
    'a{200}',
    '('.repeat(40) + ')'.repeat(40),
    'x'.repeat(1001),
    'a\\',
  ])('%s', (pattern) => {
    expect(() => compileScopeRegex(pattern, false)).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })
})

describe('what matches', () => {
  it.each([
    ['', '', true],
    ['a', 'xay', true],
    ['^a', 'xa', false],
    ['a$', 'ax', false],
    ['a$', 'a\n', false],
    ['^$', '', true],
    ['^$', 'a', false],
    ['$', 'abc', true],
    ['a^b', 'ab', false],
    ['^a|b$', 'xb', true],
    ['^a|b$', 'xbx', false],
    ['^(a|b)$', 'b', true],
    ['^(GET|HEAD):', 'HEAD:', true],
    ['^(?:a|)c$', 'c', true],
    ['^(?<name>a)$', 'a', true],
    ['^a*$', 'aaa', true],
    ['^a+$', '', false],
    ['^a+?$', 'aa', true],
    ['^(a*)*$', 'aaa', true],
    ['^(a*)*$', 'ab', false],
    ['^(|a)+$', 'aa', true],
    ['^a{2}$', 'aa', true],
    ['^a{2}$', 'aaa', false],
    ['^a{2,}$', 'aaaa', true],
    ['^a{1,2}$', 'aaa', false],
    ['^a{0}$', '', true],
    ['^a{,2}$', 'a{,2}', true],
    ['^{a}$', '{a}', true],
    ['^.$', '\n', false],
    ['^.$', '\r', true],
    ['^.$', '\u2028', false],
    ['^...$', '\u2028', true],
    ['^[^/]+$', 'a b\nc', true],
    ['^[^/]+$', 'a/b', false],
    ['^[]a]+$', ']a', true],
    ['^[^]a]$', ']', false],
    ['^[a-c-]+$', 'b-', true],
    ['^[\\d_]+$', '1_', true],
    ['^[\\]\\\\]+$', ']\\', true],
    ['^\\d\\D\\w\\W\\s\\S$', '1a_- x', true],
    ['^\\.\\/\\-\\$$', './-$', true],
    ['^\\x41\\t$', 'A\t', true],
    ['^\\Aa\\z$', 'a', true],
    ['^é+$', 'éé', true],
    ['^e\u0301$', 'é', true],
    ['^a$', 'A', false],
    ['(?i)^a$', 'A', true],
    ['(?i)^[^a]$', 'A', false],
    ['(?i)^[a-c]$', 'B', true],
    ['^/acme/', '/acmeX', false],
    ['^/a.me/', '/axme/', true],
  ])('%s on %j: %s', (pattern, text, expected) => {
    expect(compileScopeRegex(pattern, false).matches(text)).toBe(expected)
  })

  it('without regard to case, where asked', () => {
    expect(compileScopeRegex('^AbC[x-z]$', true).matches('aBcY')).toBe(true)
  })

  const piece = fc.constantFrom(
    'a',
    'b',
    '.',
    '[ab]',
    '[^a]',
    '(',
    ')',
    '(?:',
    '|',
    '*',
    '+',
    '?',
    '{1,2}',
    '^',
    '$',
    '/',
  )
  const patterns = fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join(''))
  const texts = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 8 })

  it('as it does for JavaScript', () => {
    fc.assert(
      fc.property(patterns, texts, (pattern, text) => {
        let ours
        try {
          ours = compileScopeRegex(pattern, false)
        } catch (error) {
          expect(error).toMatchObject({ kind: 'invalid' })
          return
        }
        expect(ours.matches(text)).toBe(new RegExp(pattern).test(text))
      }),
      { numRuns: 5000 },
    )
  })

  it('and the fate of a beginning is true of every text that begins so', () => {
    fc.assert(
      fc.property(patterns, texts, texts, (pattern, beginning, rest) => {
        let ours
        try {
          ours = compileScopeRegex(pattern, false)
        } catch {
          return
        }
        const fate = ours.fate(beginning)
        const matches = ours.matches(beginning + rest)
        if (fate === 'all') expect(matches).toBe(true)
        if (fate === 'none') expect(matches).toBe(false)
        const forced = ours.forced(beginning)
        if (matches && rest.length >= forced.length) expect(rest.startsWith(forced)).toBe(true)
        if (matches && rest.length < forced.length) expect(forced).toBe('')
      }),
      { numRuns: 5000 },
    )
  })

  it.each([
    ['^K:GET:/acme/', 'K:GET:/acme/', 'all'],
    ['^K:GET:/acme/', 'K:GET:/acme', 'open'],
    ['^K:GET:/acme/', 'K:GET:/acmf', 'none'],
    ['^K:GET:/acme/', 'L', 'none'],
    ['/acme/', 'anything', 'open'],
    ['^K:GET:/acme/$', 'K:GET:/acme/', 'open'],
    ['^K:GET:/acme/$', 'K:GET:/acme/x', 'none'],
  ])('%s after %s: %s', (pattern, beginning, fate) => {
    expect(compileScopeRegex(pattern, false).fate(beginning)).toBe(fate)
  })

  it('knows what must come', () => {
    const regex = compileScopeRegex('^K:(PUT|DELETE):/acme/uploads/', false)
    expect(regex.forced('K:PUT:')).toBe('/acme/uploads/')
    expect(regex.forced('K:')).toBe('')
    expect(compileScopeRegex('^K:PUT:/in/[^/]+/box/', false).forced('K:PUT:')).toBe('/in/')
  })

  it.each([
    '^(a+)+$',
    '^(a|a)*$',
    '^(a|aa)+$',
    '(.*a){20}$',
    '^(.*)*x$',
    '(a?){20}a{20}$',
    '^.*a.{80}$',
    '^(([a-z])+.)+[A-Z]$',
  ])('never takes long: %s', (pattern) => {
    const regex = compileScopeRegex(pattern, false)
    const text = 'a'.repeat(4000) + '!'
    const before = performance.now()
    regex.matches(text)
    expect(performance.now() - before).toBeLessThan(500)
  })
})
