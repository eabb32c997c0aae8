import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Digester, digestBytes, digestNames } from './digester.js'
import type { DigestName } from './store.js'

function hex(name: DigestName, ...chunks: readonly Uint8Array[]): string {
  const digester = new Digester([name])
  for (const chunk of chunks) digester.update(chunk)
  return Buffer.from(digester.digests()[name]!).toString('hex')
}

/** Bit by bit, as the definition says: the judge of the tables. */
function slowCrc(bytes: Uint8Array, polynomial: bigint, bits: bigint): string {
  const ones = (1n << bits) - 1n
  let crc = ones
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ ((crc & 1n) === 1n ? polynomial : 0n)
  }
  return (crc ^ ones).toString(16).padStart(Number(bits) / 4, '0')
}

describe('Digester', () => {
  it.each([
    ['crc32', 'cbf43926', '00000000'],
    ['crc32c', 'e3069283', '00000000'],
    ['crc64nvme', 'ae8b14860a799888', '0000000000000000'],
    ['md5', '25f9e794323b453885f5181f1b624d0b', 'd41d8cd98f00b204e9800998ecf8427e'],
    ['sha1', 'f7c3bc1d808e04732adf679965ccc34ca7ae3441', 'da39a3ee5e6b4b0d3255bfef95601890afd80709'],
  ] as const)('%s gives the known check value, and that of nothing', (name, check, empty) => {
    expect(hex(name, Buffer.from('123456789'))).toBe(check)
    expect(hex(name)).toBe(empty)
    expect(hex(name, new Uint8Array(0), new Uint8Array(0))).toBe(empty)
  })

  it('computes what was asked, each once, and nothing else', () => {
    expect(new Digester([]).digests()).toEqual({})
    const digester = new Digester(['md5', 'crc32', 'md5'])
    digester.update(Buffer.from('123456789'))
    expect(Object.keys(digester.digests())).toEqual(['md5', 'crc32'])
    expect(digester.digests()).toBe(digester.digests())
  })

  it('gives each digest its length', () => {
    const digests = new Digester(digestNames).digests()
    for (const name of digestNames) expect(digests[name]?.length).toBe(digestBytes[name])
  })

  it('agrees with the definitions for any bytes in any chunks, at any alignment', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), fc.nat(7), (bytes, at, offset) => {
        const shifted = new Uint8Array(bytes.length + offset).subarray(offset)
        shifted.set(bytes)
        const cut = at % (bytes.length + 1)
        const chunks = [shifted.subarray(0, cut), shifted.subarray(cut)]
        expect(hex('crc32', ...chunks)).toBe(slowCrc(bytes, 0xedb88320n, 32n))
        expect(hex('crc32c', ...chunks)).toBe(slowCrc(bytes, 0x82f63b78n, 32n))
        expect(hex('crc64nvme', ...chunks)).toBe(slowCrc(bytes, 0x9a6c9329ac4bc9b5n, 64n))
        expect(hex('sha256', ...chunks)).toBe(createHash('sha256').update(bytes).digest('hex'))
      }),
    )
  })
})
