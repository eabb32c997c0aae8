import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../core/clock.js'
import { toPath } from '../../core/path.js'
import { createDropTimes, defaultNamePattern, nameOfDrop, nameOfKey, namePatternProblem } from './names.js'

const at = { now: Date.UTC(2024, 11, 4, 17, 58, 31, 123), microseconds: 456, sender: 'sensor' }

describe('a pattern of names', () => {
  it.each([
    '{time}',
    'x',
    '{uuid}{what}',
    '../{uuid}',
    '{uuid}/..',
    '/{uuid}',
    '{uuid}/',
    'a//{uuid}',
    '.postern-{uuid}',
    '-/{uuid}',
    '{uuid}\n',
    '{uuid}*',
  ])('is refused: %s', (pattern) => {
    expect(namePatternProblem(pattern)).toBeTypeOf('string')
  })

  it('makes a name that is a path, whatever the sender calls its file', () => {
    const pattern = '{date}/{token}-{time}-{name}-{uuid}{extension}'
    expect(namePatternProblem(pattern)).toBeUndefined()
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ maxLength: 64 }), (fileName, sender) => {
        const name = nameOfDrop(pattern, { ...at, fileName, sender })
        expect(toPath(`/inbox/${name}`)).toBe(`/inbox/${name}`.normalize('NFC'))
        expect(name.split('/')).toHaveLength(2)
      }),
    )
  })

  it('keeps what can be kept of the name of a file', () => {
    const named = (fileName: string): string =>
      nameOfDrop('{name}+{extension}+{uuid}', { ...at, fileName }).slice(0, -37)
    expect(named('C:\\scans\\invoice 12.pdf')).toBe('invoice_12.pdf+.pdf')
    expect(named('../../etc/passwd')).toBe('passwd+')
    expect(named('.htaccess')).toBe('htaccess+')
    expect(named('हिन्दी.txt')).toBe('हिन्दी.txt+.txt')
    expect(named('')).toBe('unnamed+')
    expect(named('名'.repeat(200) + '.jpeg')).toBe('名'.repeat(25) + '.jpeg+.jpeg')
  })

  it('is that of s3-dropbox where nothing is said', () => {
    expect(nameOfDrop(defaultNamePattern, at)).toMatch(/^2024-12-04T17:58:31\.123456-[0-9a-f-]{36}$/)
  })
})

it('times sort as they were given', () => {
  const clock = new ManualClock()
  const times = createDropTimes(clock)
  const names = Array.from({ length: 300 }, (_, index) => {
    if (index % 100 === 99) clock.advanceSeconds(0.001)
    return nameOfDrop('{time}{uuid}', { ...times(), sender: 'a' })
  })
  expect(names.toSorted()).toEqual(names)
})

it('a key has one name for each sender and drop', () => {
  const name = nameOfKey('/a', 'drop:x', 'key')
  expect(name).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(nameOfKey('/a', 'drop:x', 'key')).toBe(name)
  for (const other of [
    nameOfKey('/b', 'drop:x', 'key'),
    nameOfKey('/a', 'drop:y', 'key'),
    nameOfKey('/a', 'drop:x', 'Key'),
  ])
    expect(other).not.toBe(name)
})
