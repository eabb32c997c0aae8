import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { combineCrcs, type CrcName, type CrcPiece } from './crc-combine.js'
import { Digester } from './digester.js'

function crcOf(name: CrcName, ...chunks: readonly Uint8Array[]): Uint8Array {
  const digester = new Digester([name])
  for (const chunk of chunks) digester.update(chunk)
  return digester.digests()[name]!
}

describe.each<CrcName>(['crc32', 'crc32c', 'crc64nvme'])('%s of bytes put together', (name) => {
  const pieceOf = (bytes: Uint8Array): CrcPiece => ({ crc: crcOf(name, bytes), size: bytes.length })

  it('is that of all of them', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 8 }), (chunks) => {
        expect(combineCrcs(name, chunks.map(pieceOf))).toEqual(crcOf(name, ...chunks))
      }),
    )
  })

  it('holds for large pieces of odd sizes', () => {
    const chunks = [1_048_577, 5_242_880, 1, 5_242_880, 0, 99_999].map((size, at) => Buffer.alloc(size, `${at}ab`))
    expect(combineCrcs(name, chunks.map(pieceOf))).toEqual(crcOf(name, ...chunks))
  })

  it('of one piece is its own, wherever its bytes lie', () => {
    const crc = crcOf(name, Buffer.from('123456789'))
    const moved = Buffer.concat([Buffer.alloc(3), crc]).subarray(3)
    expect(combineCrcs(name, [{ crc: moved, size: 9 }])).toEqual(crc)
  })

  it('is told for sizes that no test can read', () => {
    // As x^n does not depend on how n is split.
    const crc = crcOf(name, Buffer.from('a'))
    const none = crcOf(name, Buffer.alloc(0))
    const far = combineCrcs(name, [{ crc, size: 1 }, { crc: none, size: 5 * 2 ** 40 }]) // prettier-ignore
    const near = combineCrcs(name, [{ crc, size: 1 }, { crc: none, size: 2 ** 40 }, { crc: none, size: 4 * 2 ** 40 }]) // prettier-ignore
    expect(far).toEqual(near)
  })

  it('of ten thousand pieces of different sizes is there at once', () => {
    const crc = crcOf(name, Buffer.from('a'))
    const pieces = Array.from({ length: 10_000 }, (_, at) => ({ crc, size: 5 * 2 ** 30 - at }))
    const begun = performance.now()
    combineCrcs(name, pieces)
    expect(performance.now() - begun).toBeLessThan(2000)
  })
})
