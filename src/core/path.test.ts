import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from './failure.js'
import {
  ancestorsOf,
  encodePath,
  isWithin,
  maxPathBytes,
  memberOf,
  nameOf,
  parentOf,
  parseTarget,
  pathOf,
  rebase,
  rootPath,
  segmentsOf,
  toPath,
  type StorePath,
} from './path.js'

const refused: readonly (readonly [target: string, why: string])[] = [
  ['', 'empty'],
  ['a', 'no slash'],
  ['*', 'asterisk form'],
  ['http://host/a', 'absolute form'],
  ['?a', 'query alone'],
  ['/a#b', 'fragment'],
  ['/.', 'dot'],
  ['/..', 'dot-dot'],
  ['/./a', 'dot'],
  ['/../a', 'dot-dot'],
  ['/a/.', 'dot at the end'],
  ['/a/..', 'dot-dot at the end'],
  ['/a/../', 'dot-dot and a slash'],
  ['/a//../b', 'dot-dot behind an empty segment'],
  ['/a/../?x', 'dot-dot before a query'],
  ['/%2e', 'encoded dot'],
  ['/%2E%2E/b', 'encoded dot-dot'],
  ['/%2e%2e', 'encoded dot-dot, lower case'],
  ['/a/%2E./b', 'half encoded'],
  ['/a/.%2e/b', 'half encoded'],
  ['/..%2f', 'encoded slash'],
  ['/a%2fb', 'encoded slash'],
  ['/a%2Fb', 'encoded slash'],
  ['/%2F', 'encoded slash alone'],
  ['/%2f..%2fetc', 'encoded slashes'],
  ['/a%00', 'NUL'],
  ['/a%00.txt', 'NUL in the middle'],
  ['/a\0', 'raw NUL'],
  ['/%', 'bad escape'],
  ['/%z', 'bad escape'],
  ['/%zz', 'bad escape'],
  ['/%2', 'cut escape'],
  ['/%u002e%u002e/', 'not a URL escape'],
  ['/%c0%af', 'overlong slash'],
  ['/%c0%ae%c0%ae', 'overlong dots'],
  ['/%e0%80%af', 'overlong slash of three bytes'],
  ['/%f0%80%80%af', 'overlong slash of four bytes'],
  ['/%c0%80', 'overlong NUL'],
  ['/%ff', 'no UTF-8'],
  ['/%e9', 'Latin-1'],
  ['/%c3', 'cut UTF-8'],
  ['/%c3/%a9', 'UTF-8 over a border'],
  ['/%ed%a0%80', 'surrogate'],
  ['/%f4%90%80%80', 'beyond Unicode'],
  ['/\xe9', 'raw Latin-1'],
  ['/\xc0\xae\xc0\xae', 'raw overlong dots'],
  ['/\xc3', 'raw cut UTF-8'],
  ['/\u012e\u012e/etc', 'what would be dots if cut to bytes'],
  ['/a\u012fb', 'what would be a slash if cut to bytes'],
  ['/\u0161cme', 'what would be another name if cut to bytes'],
  ['/\uff0e\uff0e/etc', 'no byte'],
  ['/%EF%BF%BD', 'the mark of what is not UTF-8, which no listing shows'],
  [`/${'a'.repeat(256)}`, 'a name of 256 bytes'],
  [`/${'%C3%A9'.repeat(128)}`, 'a name of 256 bytes'],
  [`/${'\xc3\xa9'.repeat(128)}`, 'a name of 256 raw bytes'],
  ['/abcdefg'.repeat(600), 'a path that is too long'],
  [`/${'%EF%AC%AC'.repeat(60)}`, 'a name that grows beyond 255 bytes as NFC'],
]

const read: readonly (readonly [target: string, path: string, slash?: boolean, query?: string])[] = [
  ['/', '/', true],
  ['//', '/', true],
  ['/?x', '/', true, 'x'],
  ['/a', '/a'],
  ['/a/', '/a', true],
  ['//a///b//', '/a/b', true],
  ['/a?b=../c%2f#no', '/a', false, 'b=../c%2f#no'],
  ['/a??', '/a', false, '?'],
  ['/a+b', '/a+b'],
  ['/a%2Bb', '/a+b'],
  ['/a%20b', '/a b'],
  ['/a b', '/a b'],
  ['/a%3Fb', '/a?b'],
  ['/a%23b', '/a#b'],
  ['/a;v=1', '/a;v=1'],
  ['/...', '/...'],
  ['/.a', '/.a'],
  ['/a.', '/a.'],
  ['/..a/b..', '/..a/b..'],
  ['/%2e%2e%2e', '/...'],
  // A second decoding would make something else of these: they are names as they stand.
  ['/%252e%252e', '/%2e%2e'],
  ['/%252f', '/%2f'],
  ['/%2500', '/%00'],
  ['/%25', '/%'],
  // A backslash is a character like any other.
  ['/a%5c..%5cb', '/a\\..\\b'],
  ['/..%5c', '/..\\'],
  ['/..\\', '/..\\'],
  // Nor does anything that merely looks like a dot or a slash count as one.
  ['/%EF%BC%8E%EF%BC%8E/a', '/\uff0e\uff0e/a'],
  ['/a%EF%BC%8Fb', '/a\uff0fb'],
  ['/a%E2%81%84b', '/a\u2044b'],
  ['/%E2%80%A4%E2%80%A4', '/\u2024\u2024'],
  ['/caf%C3%A9', '/caf\u00e9'],
  ['/caf\xc3\xa9', '/caf\u00e9'],
  ['/cafe%CC%81', '/caf\u00e9'],
  ['/cafe\xcc\x81', '/caf\u00e9'],
  ['/u%CC%88/%E2%84%AB', '/\u00fc/\u00c5'],
  ['/%F0%9F%92%BE', '/\u{1f4be}'],
  ['/-/health', '/-/health'],
  [`/${'a'.repeat(255)}`, `/${'a'.repeat(255)}`],
]

describe('parseTarget', () => {
  it.each(refused)('refuses %j: %s', (target) => {
    expect(kindOf(() => parseTarget(target))).toBe('invalid')
  })

  it.each(read.map(([target, ...rest]) => ({ target, rest })))('reads $target', ({ target, rest }) => {
    const [path, slash = false, query = ''] = rest
    expect(parseTarget(target)).toEqual({ path, slash, query })
  })

  it('gives a canonical path for anything, or throws invalid', () => {
    const piece = fc.oneof(
      fc.constantFrom('/', '//', '.', '..', '%2e', '%2F', '%5c', '%00', '%', '%c3%a9', 'e%CC%81', '\xc3\xa9', '?', '#'),
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.string({ unit: 'grapheme', maxLength: 4 }).map(encodeURIComponent),
      fc.constantFrom('\u1100', '\u1161', '\u0338', '\u0301', '\u0344', '\ufb1d').map(encodeURIComponent),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const target = '/' + pieces.join('')
        let path: StorePath
        try {
          path = parseTarget(target).path
        } catch (error) {
          expect(error).toBeInstanceOf(Failure)
          expect(error).toHaveProperty('kind', 'invalid')
          return
        }
        expectCanonical(path)
        expect(parseTarget(encodePath(path))).toMatchObject({ path, query: '' })
        expect(toPath(path)).toBe(path)
        expect(pathOf(segmentsOf(path))).toBe(path)
      }),
    )
  })

  it('agrees with itself whether or not the short way is taken', () => {
    const plain = fc.stringMatching(/^\/[A-Za-z0-9._~!$'()*+,;=:@&/-]{0,40}$/)
    fc.assert(
      fc.property(plain, (target) => {
        const short = outcomeOf(() => parseTarget(target).path)
        const long = outcomeOf(() => parseTarget(`${target}${'/'.repeat(210)}`).path)
        expect(short).toEqual(long)
      }),
    )
  })
})

describe('toPath and pathOf', () => {
  it.each(['a', '', '/..', '/a/./b', '/a\0b', '/\ud800', `/${'a'.repeat(256)}`])('refuse %j', (text) => {
    expect(kindOf(() => toPath(text))).toBe('invalid')
  })

  it.each(['.', '..', 'a/b', 'a\0', '/'])('refuse the segment %j', (segment) => {
    expect(kindOf(() => pathOf(['a', segment]))).toBe('invalid')
  })

  it('refuses an empty segment, which would make two paths of one', () => {
    expect(kindOf(() => pathOf(['a', '', 'b']))).toBe('invalid')
  })

  it('bounds the path by bytes', () => {
    const segments = Array.from({ length: 20 }, () => '\u00e9'.repeat(100))
    expect(kindOf(() => pathOf(segments))).toBe('invalid')
    expect(Buffer.byteLength(pathOf(segments.slice(0, 19)))).toBeLessThanOrEqual(maxPathBytes)
  })

  it('does not decode anything', () => {
    expect(toPath('/a%2fb')).toBe('/a%2fb')
  })
})

describe('memberOf', () => {
  it.each(['', '.', '..', 'a/b', 'a\0b', 'bad\ufffd'])('has no path for %j', (name) => {
    expect(memberOf(rootPath, name)).toBeUndefined()
  })

  it('shows a decomposed name composed', () => {
    expect(memberOf(toPath('/a'), 'e\u0301')).toBe('/a/\u00e9')
    expect(memberOf(rootPath, 'x')).toBe('/x')
  })
})

describe('relations', () => {
  it.each([
    ['/a', '/a', true],
    ['/a/b', '/a', true],
    ['/a-b', '/a', false],
    ['/a.', '/a', false],
    ['/ab', '/a', false],
    ['/A', '/a', false],
    ['/a', '/a/b', false],
    ['/', '/', true],
    ['/x', '/', true],
    ['/', '/x', false],
  ])('%s within %s: %s', (path, ancestor, within) => {
    expect(isWithin(toPath(path), toPath(ancestor))).toBe(within)
  })

  it('agree with segments', () => {
    fc.assert(
      fc.property(paths, paths, paths, (path, other, to) => {
        const own = segmentsOf(path)
        const above = segmentsOf(other)
        expect(isWithin(path, other)).toBe(above.every((segment, at) => own[at] === segment))
        expect(ancestorsOf(path)).toEqual(own.map((_, at) => pathOf(own.slice(0, own.length - 1 - at))))
        expect(pathOf([...segmentsOf(parentOf(path)), ...(path === '/' ? [] : [nameOf(path)])])).toBe(path)
        if (isWithin(path, other))
          expect(rebase(path, other, to)).toBe(pathOf([...segmentsOf(to), ...own.slice(above.length)]))
      }),
    )
  })
})

describe('encodePath', () => {
  it('leaves nothing that a header, an attribute or a shell could take for its own', () => {
    fc.assert(
      fc.property(paths, (path) => {
        expect(encodePath(path)).toMatch(/^[A-Za-z0-9/._~%-]*$/)
        expect(parseTarget(encodePath(path)).path).toBe(path)
      }),
    )
    expect(encodePath(toPath(`/a"<>&'!*() ;?#%\r\n\\`))).toBe('/a%22%3C%3E%26%27%21%2A%28%29%20%3B%3F%23%25%0D%0A%5C')
  })
})

const paths = fc
  .array(
    fc.oneof(fc.constantFrom('a', 'a-b', 'ab', 'A', '-', '\u00e9'), fc.string({ unit: 'grapheme', maxLength: 5 })),
    { maxLength: 5 },
  )
  .map((names) => names.filter((name) => !/^\.{0,2}$|[/\0\ufffd]/.test(name.normalize('NFC'))))
  .map(pathOf)

function expectCanonical(path: string): void {
  expect(path.startsWith('/')).toBe(true)
  expect(path === '/' || !path.endsWith('/')).toBe(true)
  expect(path.includes('//') || path.includes('\0')).toBe(false)
  for (const segment of path.slice(1).split('/')) {
    expect(segment === '.' || segment === '..').toBe(false)
    expect(segment.normalize('NFC')).toBe(segment)
    expect(Buffer.byteLength(segment)).toBeLessThanOrEqual(255)
  }
  expect(Buffer.byteLength(path)).toBeLessThanOrEqual(maxPathBytes)
}

function kindOf(run: () => unknown): string | undefined {
  try {
    run()
  } catch (error) {
    if (error instanceof Failure) return error.kind
    throw error
  }
  return undefined
}

function outcomeOf(run: () => string): string {
  return kindOf(run) ?? run()
}
