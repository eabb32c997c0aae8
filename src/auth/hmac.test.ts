import { createHmac, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { hmacUnder } from './hmac.js'

it('is HMAC-SHA256', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.string({ unit: 'binary', maxLength: 300 }), (key, text) => {
      expect(hmacUnder(key)(text)).toBe(createHmac('sha256', key).update(text).digest('base64'))
    }),
  )
})

it('gives the test vector 2 of RFC 4231', () => {
  const mac = hmacUnder(Buffer.from('Jefe'))('what do ya want for nothing?')
  expect(Buffer.from(mac, 'base64').toString('hex')).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  )
})

it('takes no key of more than a block', () => {
  expect(() => hmacUnder(randomBytes(65))).toThrow('at most 64 bytes')
})
