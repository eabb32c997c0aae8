import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ChunkList } from './chunk-list.js'

describe('ChunkList', () => {
  it('holds crumbs in little memory', () => {
    const list = new ChunkList()
    for (let index = 0; index < 100_000; index++) list.add(Uint8Array.of(index & 255))
    const chunks = list.take()
    expect(chunks.length).toBeLessThan(5)
    expect(new Set(chunks.map(({ buffer }) => buffer)).size).toBe(2)
    expect(Buffer.concat(chunks).every((byte, index) => byte === (index & 255))).toBe(true)
  })

  it('does not copy large chunks', () => {
    const list = new ChunkList()
    const large = Buffer.alloc(100_000)
    list.add(large)
    expect(list.take()[0]).toBe(large)
  })

  it('gives all the bytes in order, as often as it is emptied', () => {
    const sizes = fc.array(fc.oneof(fc.nat(20), fc.nat(20_000), fc.constant(-1)), { maxLength: 60 })
    fc.assert(
      fc.property(sizes, (steps) => {
        const list = new ChunkList()
        let expected: Buffer[] = []
        for (const [index, size] of steps.entries()) {
          if (size === -1) {
            expect(Buffer.concat(list.all()).equals(Buffer.concat(expected))).toBe(true)
            if (index % 2 === 0) continue
            expect(Buffer.concat(list.take()).equals(Buffer.concat(expected))).toBe(true)
            expected = []
          } else {
            const chunk = Buffer.alloc(size, index + 1)
            list.add(chunk)
            expected.push(chunk)
          }
          expect(list.size).toBe(Buffer.concat(expected).length)
        }
        expect(Buffer.concat(list.take()).equals(Buffer.concat(expected))).toBe(true)
      }),
      { numRuns: 50 },
    )
  })
})
