import { describe, expect, it } from 'vitest'
import { createSeal } from './seal.js'

const secret = new Uint8Array(32).fill(7)
const seal = createSeal(secret, 'tests')
const unavailable = expect.objectContaining({ kind: 'unavailable' }) as unknown

describe('a sealed text', () => {
  const sealed = seal.close('the secret', 'PSTN1')

  it('is opened by nobody else, for nothing else, and not when a bit is changed', () => {
    expect(() => createSeal(new Uint8Array(32), 'tests').open(sealed, 'PSTN1')).toThrow(unavailable)
    expect(() => createSeal(secret, 'other').open(sealed, 'PSTN1')).toThrow(unavailable)
    expect(() => seal.open(sealed, 'PSTN2')).toThrow(unavailable)
    const bytes = Buffer.from(sealed, 'base64')
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(() => seal.open(changed.toString('base64'), 'PSTN1')).toThrow(unavailable)
      expect(() => seal.open(bytes.subarray(0, at).toString('base64'), 'PSTN1')).toThrow(unavailable)
    }
    for (const nonsense of ['', '!', 'x'.repeat(10_000)])
      expect(() => seal.open(nonsense, 'PSTN1')).toThrow(unavailable)
  })

  it('says nothing of the text but its length, and is another each time', () => {
    expect(sealed).not.toContain(Buffer.from('the secret').toString('base64').slice(0, 10))
    expect(seal.close('the secret', 'PSTN1')).not.toBe(sealed)
  })

  it('is opened by every process of the installation', () => {
    expect(createSeal(new Uint8Array(32).fill(7), 'tests').open(sealed, 'PSTN1')).toBe('the secret')
    for (const text of ['', 'é😀', 'x'.repeat(5000)]) expect(seal.open(seal.close(text, ''), '')).toBe(text)
  })
})
