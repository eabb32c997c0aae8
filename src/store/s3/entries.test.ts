import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { digestBytes, digestNames } from '../digester.js'
import type { Attributes } from '../store.js'
import { attributesOf, digestsOf, headersOf } from './entries.js'
import type { ObjectHeaders } from './service.js'

const path = toPath('/f')
const names = fc.oneof(
  fc.constantFrom(
    'content-type',
    'cache-control',
    'content-disposition',
    'content-encoding',
    'content-language',
    'expires',
    'x-amz-meta-mtime',
    'x-amz-meta-a',
    'x-amz-meta-postern-attributes',
    'x-amz-meta-postern-digests',
    'x-amz-acl',
    'authorization',
    'host',
    '__proto__',
    'constructor',
    '',
  ),
  fc.string({ maxLength: 12 }).map((text) => 'x-amz-meta-' + text.toLowerCase()),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const values = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    'text/plain',
    'binary/octet-stream',
    'application/x-directory',
    'a\r\nx-amz-acl: public-read',
    'two  blanks',
    ' edge ',
    '=?utf-8?q?x?=',
    'aws-chunked',
    'Thu, 01 Dec 1994 16:00:00 GMT',
    'never',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }),
)
const attributes = fc
  .array(fc.tuple(names, values), { maxLength: 6 })
  .map((pairs): Attributes => Object.fromEntries(pairs))

function kept(headers: ObjectHeaders): void {
  for (const [name, value] of Object.entries(headers)) {
    expect(name).toMatch(
      /^(?:content-type|cache-control|content-disposition|content-encoding|content-language|expires|x-amz-meta-[0-9a-z-]+)$/,
    )
    expect(value).toMatch(/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/)
  }
}

describe('attributes', () => {
  it.each(['file', 'directory'] as const)('of a %s come back as they were, and break out of no header', (kind) => {
    fc.assert(
      fc.property(attributes, (given) => {
        const headers = headersOf(path, { kind, size: 5, attributes: given })
        kept(headers)
        expect(Object.entries(attributesOf(headers, kind)).sort()).toEqual(Object.entries(given).sort())
      }),
      { numRuns: 1000 },
    )
  })

  it('are seen by other clients where they are plain', () => {
    const given = {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'max-age=5',
      expires: 'Thu, 01 Dec 1994 16:00:00 GMT',
      'x-amz-meta-mtime': '1700000000.5',
      'x-amz-meta-color': 'blue, or green',
    }
    expect(headersOf(path, { kind: 'file', size: 5, attributes: given })).toEqual(given)
  })

  it('may be anything that others have written', () => {
    const others = (text: string): ObjectHeaders => ({ 'x-amz-meta-postern-attributes': text, 'x-amz-meta-a': 'b' })
    for (const text of ['', '!', 'bnVsbA', 'NQ', 'W10', '{}', Buffer.from('{"a":{"b":1},"c":5}').toString('base64url')])
      expect(attributesOf(others(text), 'file')).toEqual({ 'x-amz-meta-a': 'b' })
    expect(attributesOf({ 'content-type': 'binary/octet-stream' }, 'file')).toEqual({})
    expect(attributesOf({ 'content-type': 'application/x-directory' }, 'directory')).toEqual({})
  })

  it('are refused where S3 has no room for them', () => {
    const fails = (given: Attributes): string => {
      try {
        headersOf(path, { kind: 'file', size: 5, attributes: given })
        return 'none'
      } catch (error) {
        return isFailure(error) ? error.kind : 'another error'
      }
    }
    expect(fails({ 'x-amz-meta-a': 'x'.repeat(2047) })).toBe('none')
    expect(fails({ 'x-amz-meta-a': 'x'.repeat(2048) })).toBe('too-large')
    expect(fails({ a: 'x'.repeat(1400) })).toBe('none')
    expect(fails({ a: 'x'.repeat(1600) })).toBe('too-large')
    expect(fails({ a: '\u00e9'.repeat(800) })).toBe('too-large')
    expect(fails({ 'content-disposition': 'x'.repeat(5000) })).toBe('too-large')
  })

  it('leave a time that was given to those who look for it', () => {
    const time = (modified: number, given: Attributes = {}): unknown =>
      headersOf(path, { kind: 'file', size: 0, attributes: given, modified })['x-amz-meta-mtime']
    expect(time(1_700_000_000_123)).toBe('1700000000.123')
    expect(time(0)).toBe('0')
    expect(time(5, { 'x-amz-meta-mtime': '7' })).toBe('7')
  })
})

describe('digests', () => {
  const all = Object.fromEntries(digestNames.map((name) => [name, new Uint8Array(digestBytes[name]).fill(7)]))
  const other = new Uint8Array(createHash('md5').update('other').digest())

  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.subarray([...digestNames]), (names) => {
        const digests = Object.fromEntries(names.map((name) => [name, all[name] ?? new Uint8Array()]))
        const headers = headersOf(path, { kind: 'file', size: 5, digests })
        kept(headers)
        expect(digestsOf(headers, 5, undefined)).toEqual(digests)
      }),
    )
  })

  it('are not kept where the ETag tells all of them', () => {
    const digests = { md5: other }
    const headers = headersOf(path, { kind: 'file', size: 5, digests, etagIsMd5: true })
    expect(headers['x-amz-meta-postern-digests']).toBeUndefined()
    expect(digestsOf(headers, 5, other)).toEqual({ md5: other })
  })

  it('count for nothing where they are those of other bytes', () => {
    const headers = headersOf(path, { kind: 'file', size: 5, digests: all })
    expect(digestsOf(headers, 6, undefined)).toEqual({})
    expect(digestsOf(headers, 5, other)).toEqual({ md5: other })
    expect(digestsOf(headers, 5, all['md5'])).toEqual(all)
  })

  it('count for nothing where others have written nonsense', () => {
    const said = (value: unknown): ObjectHeaders => ({
      'x-amz-meta-postern-digests': Buffer.from(JSON.stringify(value)).toString('base64url'),
    })
    for (const value of [null, 5, [], { size: 5, sha1: 'AAAA' }, { size: 5, sha1: 7 }, { sha1: 'A'.repeat(28) }])
      expect(digestsOf(said(value), 5, undefined)).toEqual({})
    expect(digestsOf({ 'x-amz-meta-postern-digests': '\u00ff' }, 5, undefined)).toEqual({})
  })
})
