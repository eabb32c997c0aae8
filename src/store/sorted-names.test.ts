import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys } from './key-order.js'
import { Pace } from './local/pace.js'
import { SortedNames } from './sorted-names.js'

const none: ReadonlyMap<string, string> = new Map()

async function allOf(keys: readonly string[]): Promise<{ names: SortedNames; all: readonly string[] }> {
  const names = await SortedNames.of([...keys], none, new Pace())
  return { names, all: Array.from({ length: names.length }, (_, index) => names.keyAt(index)) }
}

const letters = fc.constantFrom('a', 'b', '.', '-', '0', '\u00e9', '\uff5e', '\u{1F600}')
const key = fc.tuple(fc.string({ unit: letters, minLength: 1, maxLength: 4 }), fc.boolean())

describe('SortedNames', () => {
  it('holds nothing where nothing is', async () => {
    const { names } = await allOf([])
    expect([names.length, names.find('a'), names.find('', true)]).toEqual([0, 0, 0])
  })

  it('gives every name once, in the order of bytes, and finds any text among them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(key, { maxLength: 30 }),
        fc.string({ unit: letters, maxLength: 5 }),
        async (raw, text) => {
          const keys = raw.map(([name, isDirectory]) => (isDirectory ? name + '/' : name))
          const { names, all } = await allOf(keys)
          const expected = [...new Set(keys)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
          expect(all).toEqual(expected)
          expect(names.find(text)).toBe(expected.filter((one) => compareKeys(one, text) < 0).length)
          expect(names.find(text, true)).toBe(expected.filter((one) => compareKeys(one, text) <= 0).length)
        },
      ),
    )
  })

  it.each([
    ['plain', ''],
    ['beyond the surrogates', '\u{1F600}'],
  ])('merges long lists: %s', async (_, letter) => {
    const keys = Array.from(
      { length: 30_001 },
      (_, index) => `${letter}${((index * 7919) % 30_011).toString(36)}\uff5e`,
    )
    const { all } = await allOf([...keys, ...keys.slice(0, 9000)])
    expect(all.length).toBe(30_001)
    expect(all.every((one, index) => index === 0 || compareKeys(all[index - 1] ?? '', one) < 0)).toBe(true)
  })
})
