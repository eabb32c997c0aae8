import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure, isFailure } from '../../core/failure.js'
import { checkDigests, expectedDigests, wantedDigest } from './digest-fields.js'

const sha256 = createHash('sha256').update('x').digest()
const md5 = createHash('md5').update('x').digest()
const sha1 = createHash('sha1').update('x').digest()

function request(headers: Record<string, string>) {
  return { headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])) }
}

describe('digests that a client announces', () => {
  it.each([
    { 'repr-digest': 'sha-256=abc' },
    { 'repr-digest': 'sha-256=:AAAA:' },
    { 'content-digest': 'sha-256' },
    { 'content-md5': 'not base64!' },
    { 'content-md5': 'AAAA' },
    { 'oc-checksum': 'MD5:zz' },
    { digest: 'md5=' },
  ])('that cannot be read are refused: %j', (headers) => {
    expect(() => expectedDigests(request(headers as unknown as Record<string, string>))).toThrow(Failure)
  })

  it.each([
    [{ 'repr-digest': `sha-256=:${sha256.toString('base64')}:` }, [{ name: 'sha256', value: sha256 }]],
    [{ 'repr-digest': `unixsum=:AAA=:, md5=:${md5.toString('base64')}:` }, [{ name: 'md5', value: md5 }]],
    [{ 'content-digest': 'crc32c=:AAAA:' }, []],
    [{ 'content-digest': '__proto__=:AAAA:' }, []],
    [{ digest: `SHA=${sha1.toString('base64')}` }, [{ name: 'sha1', value: sha1 }]],
    [{ 'content-md5': md5.toString('base64') }, [{ name: 'md5', value: md5 }]],
    [{ 'oc-checksum': `SHA1:${sha1.toString('hex')}` }, [{ name: 'sha1', value: sha1 }]],
    [{ 'oc-checksum': 'ADLER32:0000' }, []],
    [{}, []],
  ])('%j', (headers, expected) => {
    expect(expectedDigests(request(headers as Record<string, string>))).toEqual(expected)
  })

  it('are compared to the last byte', () => {
    const expected = [{ name: 'md5' as const, value: md5 }]
    expect(() => checkDigests(expected, { digests: { md5 } })).not.toThrow()
    expect(() => checkDigests(expected, { digests: { md5: sha256.subarray(0, 16) } })).toThrow(Failure)
    expect(() => checkDigests(expected, { digests: {} })).toThrow(Failure)
  })

  it('throw nothing but a Failure', () => {
    const field = fc.constantFrom('repr-digest', 'content-digest', 'digest', 'content-md5', 'oc-checksum')
    fc.assert(
      fc.property(field, fc.string({ unit: 'binary' }), (name, value) => {
        try {
          expectedDigests(request({ [name]: value }))
        } catch (error) {
          expect(isFailure(error, 'invalid')).toBe(true)
        }
        wantedDigest(request({ 'want-repr-digest': value }))
      }),
    )
  })
})

describe('Want-Repr-Digest', () => {
  it.each([
    ['sha-256=1', 'sha-256'],
    ['md5=10, sha-512=3', 'md5'],
    ['sha-256=0', undefined],
    ['unixsum=5', undefined],
    ['sha-512', 'sha-512'],
  ])('%s', (field, algorithm) => {
    expect(wantedDigest(request({ 'want-repr-digest': field }))?.algorithm).toBe(algorithm)
  })
})
