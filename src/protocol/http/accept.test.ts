import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { preferredCoding, preferredType } from './accept.js'

const offers = ['text/plain', 'application/json', 'text/html'] as const

describe('Accept', () => {
  it.each([
    [undefined, 'text/plain'],
    ['', 'text/plain'],
    ['*/*', 'text/plain'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8', 'text/html'],
    ['text/html, */*', 'text/html'],
    ['application/json', 'application/json'],
    ['application/*', 'application/json'],
    ['text/html;q=0.5, application/json;q=0.51', 'application/json'],
    ['text/html;q=0.501, application/json;q=0.5', 'text/html'],
    ['text/html;q=0, */*;q=0.1', 'text/plain'],
    ['TEXT/HTML;level=1;Q=1.0', 'text/html'],
    ['image/png', undefined],
    ['*/*;q=0', undefined],
  ])('%s', (field, expected) => {
    expect(preferredType(field, offers)).toBe(expected)
  })
})

describe('Accept-Encoding', () => {
  it.each([
    [undefined, undefined],
    ['identity', undefined],
    ['gzip', 'gzip'],
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip;q=1, br;q=0.5', 'gzip'],
    ['br;q=0, gzip;q=0', undefined],
    ['br;q=0, *', 'gzip'],
    ['x-gzip', 'gzip'],
  ])('%s', (field, expected) => {
    expect(preferredCoding(field)).toBe(expected)
  })

  it('never throws, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (field) => {
        preferredCoding(field)
        preferredType(field, offers)
      }),
    )
  })
})
