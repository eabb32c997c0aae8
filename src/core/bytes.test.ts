import { describe, expect, it } from 'vitest'
import { bytesText, parseBytes } from './bytes.js'

describe('bytes', () => {
  it.each([
    ['1', 1],
    ['1024', 1024],
    ['10K', 10_240],
    ['500M', 524_288_000],
    ['2T', 2_199_023_255_552],
    ['0', undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5G', undefined],
    ['5 G', undefined],
    ['5g', undefined],
    ['5GB', undefined],
    ['010', undefined],
    ['1e3', undefined],
    ['9007199254740993', undefined],
    ['9999999T', undefined],
  ] as const)('%j is %j', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })

  it.each([1, 1023, 1024, 1536, 1024 ** 3, 5 * 1024 ** 4])('%d is read again as it was written', (bytes) => {
    expect(parseBytes(bytesText(bytes))).toBe(bytes)
  })
})
