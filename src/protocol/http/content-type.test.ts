import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attachment, contentTypeToKeep, guessContentType, isActive, isFieldValue } from './content-type.js'

describe('attachment', () => {
  it('never lets a name out of its quotes', () => {
    expect(attachment('a"; filename="b.html')).not.toContain('"; filename="b')
    expect(attachment('a\r\nSet-Cookie: x=1')).toBe(
      `attachment; filename="a__Set-Cookie_ x_1"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%3D1`,
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        const value = attachment(name)
        expect(isFieldValue(value)).toBe(true)
        expect(value).toMatch(/^attachment; filename="[^"\\]*"(?:; filename\*=UTF-8''[A-Za-z0-9%._~!-]*)?$/)
      }),
    )
  })

  it('keeps names of any script', () => {
    expect(attachment('report (1).html')).toBe('attachment; filename="report (1).html"')
    expect(attachment('Übersicht.html')).toBe(
      `attachment; filename="_bersicht.html"; filename*=UTF-8''%C3%9Cbersicht.html`,
    )
  })
})

describe('the type of a name', () => {
  it.each([
    ['a.txt', 'text/plain; charset=utf-8'],
    ['a.HTML', 'text/html; charset=utf-8'],
    ['a.tar.gz', 'application/gzip'],
    ['a.prop', 'application/octet-stream'],
    ['Makefile', 'application/octet-stream'],
    ['.html', 'application/octet-stream'],
    ['a.constructor', 'application/octet-stream'],
    ['a.', 'application/octet-stream'],
  ])('%s', (name, type) => {
    expect(guessContentType(name)).toBe(type)
  })
})

describe('the type of an upload', () => {
  it.each([
    ['a.txt', 'text/plain', undefined],
    ['a.txt', 'text/plain; charset=UTF-8', undefined],
    ['a.txt', 'text/plain; charset=iso-8859-1', 'text/plain; charset=iso-8859-1'],
    ['a.txt', 'application/octet-stream', undefined],
    ['a.txt', 'application/x-www-form-urlencoded', undefined],
    ['a', 'image/png', 'image/png'],
    ['a', 'nonsense', undefined],
    ['a', undefined, undefined],
  ])('of %s sent as %s', (name, sent, kept) => {
    expect(contentTypeToKeep(name, sent)).toBe(kept)
  })
})

describe('active content', () => {
  it.each([
    'text/html',
    'TEXT/HTML;charset=x',
    'image/svg+xml',
    'application/xml',
    'text/javascript',
    'x',
    'application/rss+xml',
  ])('%s is', (type) => {
    expect(isActive(type)).toBe(true)
  })
  it.each(['text/plain', 'image/png', 'application/pdf', 'video/mp4'])('%s is not', (type) => {
    expect(isActive(type)).toBe(false)
  })
})
