import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxNameBytes } from './catalog.js'
import { membersPrefix, recordName, treePrefix } from './record-name.js'
import { isWithin, parentOf, pathOf, rootPath, toPath, type StorePath } from '../core/path.js'

const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', '-', 'a-b', '~', ' ', 'a~b') },
  { weight: 2, arbitrary: fc.constantFrom('x'.repeat(63), 'x'.repeat(64), 'x'.repeat(65), 'x'.repeat(120), 'x'.repeat(255)) },
  { weight: 2, arbitrary: fc.constantFrom('\u20ac'.repeat(21), '\u20ac'.repeat(85), '\u{1f4be}'.repeat(31), '\u{1f4be}'.repeat(33), `y${'\u{1f4be}'.repeat(33)}`) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }).filter((text) => !/^\.{1,2}$|[/\0\ufffd]/.test(text.normalize('NFC'))) },
) // prettier-ignore
const path = fc.array(name, { maxLength: 7 }).map(pathOf)
const family = fc.record({ top: path, rest: fc.array(name, { minLength: 1, maxLength: 3 }) }).map(({ top, rest }) => {
  const all: StorePath[] = [top]
  for (const each of rest) all.push(toPath(`${all.at(-1) === '/' ? '' : all.at(-1)!}/${each}`))
  return all
})

describe('record names', () => {
  it('tell any two paths apart and fit every catalog', () => {
    fc.assert(
      fc.property(fc.array(path, { minLength: 2, maxLength: 20 }), (paths) => {
        const names = new Map(paths.map((each) => [recordName(each), each]))
        expect(names.size).toBe(new Set(paths).size)
        for (const each of names.keys()) {
          expect(Buffer.byteLength(each)).toBeLessThanOrEqual(maxNameBytes)
          expect(each.isWellFormed()).toBe(true)
        }
      }),
    )
  })

  it('cover a tree and the members of a directory', () => {
    fc.assert(
      fc.property(family, (all) => {
        for (const above of all) {
          expect(treePrefix(above).isWellFormed()).toBe(true)
          for (const below of all) {
            if (below !== above && isWithin(below, above))
              expect(recordName(below).startsWith(treePrefix(above))).toBe(true)
            if (below !== '/' && parentOf(below) === above)
              expect(recordName(below).startsWith(membersPrefix(above))).toBe(true)
          }
        }
      }),
    )
  })

  it("give a directory short enough to be kept whole its own members and nobody else's", () => {
    fc.assert(
      fc.property(path, path, (directory, other) => {
        if (Buffer.byteLength(directory) > 60 || other === '/') return
        if (recordName(other).startsWith(membersPrefix(directory)) && Buffer.byteLength(other) < 240)
          expect(parentOf(other)).toBe(directory)
      }),
    )
  })

  it('cannot be made to meet by a name that looks like what a long path is cut to', () => {
    const long = toPath(`/${'a'.repeat(200)}/${'b'.repeat(200)}`)
    const hash = createHash('sha256').update(long).digest('hex')
    const own = recordName(toPath(`${long}/x`))
    for (let length = 16; length <= 64; length++)
      for (const mark of ['~', '/', '//', '.', '/~', ''])
        expect(recordName(toPath(`${long.slice(0, 66)}${mark}${hash.slice(0, length)}/x`))).not.toBe(own)
  })

  it('cut no character in half', () => {
    for (let before = 58; before < 68; before++) {
      const top = toPath(`/${'a'.repeat(before)}${'\u{1f4be}'.repeat(20)}`)
      const deep = toPath(`${top}/${'b'.repeat(250)}/c`)
      expect(recordName(deep).isWellFormed()).toBe(true)
      expect(recordName(deep).startsWith(treePrefix(top))).toBe(true)
    }
  })

  it('keep the longest path within the limit', () => {
    const longest = pathOf([...Array.from({ length: 14 }, () => '\u20ac'.repeat(85)), '\u20ac'.repeat(85)])
    expect(Buffer.byteLength(recordName(longest))).toBeLessThanOrEqual(maxNameBytes)
    expect(Buffer.byteLength(membersPrefix(longest))).toBeLessThanOrEqual(maxNameBytes)
  })

  it('know the root', () => {
    expect(recordName(rootPath)).toBe('//')
    expect(recordName(toPath('/a')).startsWith(membersPrefix(rootPath))).toBe(true)
    expect(recordName(toPath('/a/b')).startsWith(membersPrefix(rootPath))).toBe(false)
    expect(recordName(toPath('/a/b')).startsWith(treePrefix(rootPath))).toBe(true)
    expect(recordName(toPath('/a-b/c')).startsWith(treePrefix(toPath('/a')))).toBe(false)
  })
})
