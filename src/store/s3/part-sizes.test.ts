import { describe, expect, it } from 'vitest'
import { partBytesOf, smallBytes } from './part-sizes.js'
import { maxObjectBytesAtOnce, maxParts } from './service.js'

const tebibyte = 2 ** 40

describe('partBytesOf', () => {
  it('fits a body of any length that S3 takes into as many parts as S3 takes', () => {
    for (const length of [
      0,
      1,
      smallBytes,
      smallBytes * maxParts,
      smallBytes * maxParts + 1,
      5 * tebibyte,
      48 * tebibyte,
    ]) {
      const bytes = partBytesOf(1, length)
      expect(bytes).toBeGreaterThanOrEqual(smallBytes)
      expect(bytes).toBeLessThanOrEqual(maxObjectBytesAtOnce)
      expect(bytes * maxParts).toBeGreaterThanOrEqual(length)
      expect(partBytesOf(maxParts, length)).toBe(bytes)
    }
    expect(() => partBytesOf(1, 60 * tebibyte)).toThrow(expect.objectContaining({ kind: 'too-large' }))
  })

  it('lets parts grow where nobody knows how many there will be', () => {
    expect(partBytesOf(1, undefined)).toBe(smallBytes)
    let sum = 0
    for (let number = 1; number <= maxParts; number++) {
      const bytes = partBytesOf(number, undefined)
      expect(bytes).toBeGreaterThanOrEqual(partBytesOf(Math.max(1, number - 1), undefined))
      sum += bytes
    }
    expect(sum).toBeGreaterThan(tebibyte)
  })
})
