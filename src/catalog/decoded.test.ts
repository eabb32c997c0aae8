import { expect, it } from 'vitest'
import type { Item } from './catalog.js'
import { Decoded } from './decoded.js'

const item = (version: string, text: string): Item => ({ value: Buffer.from(text), version })

it('decodes every version of every name, and each of them once', () => {
  let count = 0
  const decoded = new Decoded((found) => {
    count++
    return Buffer.from(found.value).toString()
  })
  expect(decoded.of('a', item('1', 'one'))).toBe('one')
  expect(decoded.of('b', item('1', 'another'))).toBe('another')
  expect(decoded.of('a', item('1', 'one'))).toBe('one')
  expect(count).toBe(2)
  expect(decoded.of('a', item('2', 'two'))).toBe('two')
  expect(decoded.of('a', item('1', 'one'))).toBe('one')
  expect(count).toBe(4)
})

it('forgets rather than grow without bounds', () => {
  let count = 0
  const decoded = new Decoded(() => ++count)
  for (let at = 0; at < 5000; at++) decoded.of(`n${at}`, item('1', ''))
  decoded.of('n0', item('1', ''))
  expect(count).toBe(5001)
  const large = item('1', 'x'.repeat(5000))
  expect(decoded.of('large', large)).not.toBe(decoded.of('large', large))
})
