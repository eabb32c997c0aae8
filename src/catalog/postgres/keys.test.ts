import fc from 'fast-check'
import { expect, it } from 'vitest'
import { maxGroupBytes, maxNameBytes } from '../catalog.js'
import { endOf, keyOf, nameOf } from './keys.js'

const characters = fc.oneof(
  fc.constantFrom('\0', '\x01', '\x02', '\x03', 'a', '/', 'é', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}'),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }).filter((text) => text.isWellFormed()),
)
const names = fc.array(characters, { maxLength: 6 }).map((parts) => parts.join(''))
const compare = (one: string, other: string): number => Math.sign(Buffer.compare(Buffer.from(one), Buffer.from(other)))

it('keys hold no NUL, which the database would refuse', () => {
  fc.assert(fc.property(names, (name) => !keyOf(name).includes('\0')))
})

it('keys keep the order of names, and give the names back', () => {
  fc.assert(
    fc.property(names, names, (one, other) => {
      expect(nameOf(keyOf(one))).toBe(one)
      expect(compare(keyOf(one), keyOf(other))).toBe(compare(one, other))
    }),
  )
})

it('names with a prefix are those from its key up to its end', () => {
  fc.assert(
    fc.property(names, names, names, (prefix, rest, other) => {
      const isWithin = (name: string): boolean =>
        compare(keyOf(name), keyOf(prefix)) >= 0 && compare(keyOf(name), endOf(prefix)) < 0
      expect(isWithin(prefix + rest)).toBe(true)
      expect(isWithin(other)).toBe(other.startsWith(prefix))
    }),
  )
})

it('the highest name there can be is below the end of all', () => {
  expect(compare('\u{10ffff}'.repeat(maxNameBytes / 4), endOf(''))).toBe(-1)
})

it('keys of any path fit into the 1,024 bytes of an Aurora DSQL key', () => {
  expect(Buffer.byteLength(keyOf('é'.repeat(maxNameBytes / 2))) + maxGroupBytes).toBeLessThan(1024)
})
