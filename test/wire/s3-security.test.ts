import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scopeOf, sha256, signedChunks } from '../s3-signer.js'
import type { SentRequest } from '../s3-signer.js'
import { Target } from './s3-attack.js'
import type { Asked, Attack } from './s3-attack.js'

/** One for all tests: no attack leaves anything behind. */
let site: Target

beforeAll(async () => {
  site = await Target.open()
})

afterAll(async () => {
  await site.server[Symbol.asyncDispose]()
})

describe('what is not what was signed', () => {
  const put = (asked: Asked = {}): SentRequest => site.signed({ method: 'PUT', body: 'new', ...asked })
  const withHeaders = (request: SentRequest, headers: SentRequest['headers']): SentRequest => ({
    ...request,
    headers: { ...request.headers, ...headers },
  })
  const altered = (request: SentRequest, from: RegExp | string, to: string): SentRequest =>
    withHeaders(request, { authorization: String(request.headers['authorization']).replace(from, to) })

  it.each<readonly [what: string, request: () => Attack, expected: string]>([
    ['a body', () => ({ ...put(), body: Buffer.from('NEW') }), '400 XAmzContentSHA256Mismatch'],
    ['a longer body', () => ({ ...put(), body: Buffer.from('new and more') }), '400 XAmzContentSHA256Mismatch'],
    ['the hash of a body', () => withHeaders(put(), { 'x-amz-content-sha256': sha256('NEW') }), '403 SignatureDoesNotMatch'],
    ['no hash', () => withHeaders(put(), { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }), '403 SignatureDoesNotMatch'],
    ['a method', () => ({ ...put(), method: 'DELETE' }), '403 SignatureDoesNotMatch'],
    ['a key', () => ({ ...put(), target: '/b/other' }), '403 SignatureDoesNotMatch'],
    ['a query', () => ({ ...put(), target: '/b/old?tagging' }), '403 SignatureDoesNotMatch'],
    ['a date', () => withHeaders(put(), { 'x-amz-date': '20200101T000000Z' }), '400 AuthorizationHeaderMalformed'],
    ['a time that has passed', () => put({ time: Date.now() - 16 * 60_000 }), '403 RequestTimeTooSkewed'],
    ['a time to come', () => put({ time: Date.now() + 16 * 60_000 }), '403 RequestTimeTooSkewed'],
    ['a region', () => altered(put(), '/us-east-1/', '/eu-west-1/'), '403 SignatureDoesNotMatch'],
    ['a service', () => altered(put(), '/s3/', '/iam/'), '400 AuthorizationHeaderMalformed'],
    ['a key of nobody', () => altered(put(), site.keys.owner.id, 'AKIAIOSFODNN7EXAMPLE'), '403 InvalidAccessKeyId'],
    ['a key of somebody else', () => altered(put(), site.keys.owner.id, site.keys.beside.id), '403 SignatureDoesNotMatch'],
    ['no signature', () => altered(put(), /, Signature=.*/, ''), '400 AuthorizationHeaderMalformed'],
    ['an empty signature', () => altered(put(), /Signature=.*/, 'Signature='), '400 AuthorizationHeaderMalformed'],
    ['a signature of zeros', () => altered(put(), /Signature=.*/, `Signature=${'0'.repeat(64)}`), '403 SignatureDoesNotMatch'],
    ['a source to copy', () => withHeaders(put({ body: '' }), { 'x-amz-copy-source': '/c/secret' }), '403 AccessDenied'],
    ['metadata', () => withHeaders(put(), { 'x-amz-meta-owner': 'me' }), '403 AccessDenied'],
    ['an access control list', () => withHeaders(put(), { 'x-amz-acl': 'private' }), '403 AccessDenied'],
    ['a header twice', () => withHeaders(put(), { 'x-amz-date': [String(put().headers['x-amz-date']), '20200101T000000Z'] }), '400 InvalidRequest'],
    ['metadata twice', () => withHeaders(put({ headers: { 'x-amz-meta-a': '1' } }), { 'x-amz-meta-a': ['1', '2'] }), '403 SignatureDoesNotMatch'],
    ['a signature in the query as well', () => ({ ...put(), target: site.presigned({ method: 'PUT' }).target }), '400 InvalidRequest'],
    ['a digest', () => put({ headers: { 'content-md5': Buffer.alloc(16).toString('base64') } }), '400 BadDigest'],
    ['a checksum', () => put({ headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }), '400 BadDigest'],
    ['two checksums', () => put({ headers: { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-checksum-sha1': `${'A'.repeat(27)}=` } }), '400 InvalidRequest'],
  ])('%s', async (_, request, expected) => {
    expect(await site.refused(request())).toBe(expected)
  }) // prettier-ignore

  it.each<readonly [what: string, change: (body: Buffer) => Buffer | string, expected: string]>([
    ['a byte', (body) => body.toString().replace('xx', 'xX'), '403 SignatureDoesNotMatch'],
    ['the last chunk', (body) => body.subarray(0, body.lastIndexOf('\r\n0;') + 2), '400 IncompleteBody'],
    ['the signature of the last chunk', (body) => body.toString().replace(/\r\n0;chunk-signature=[0-9a-f]{64}/, `\r\n0;chunk-signature=${'0'.repeat(64)}`), '403 SignatureDoesNotMatch'],
    ['the trailer', (body) => body.toString().replace('x-amz-checksum-crc32:', 'x-amz-checksum-crc32:A'), '403 SignatureDoesNotMatch'],
    ['the signature of the trailer', (body) => body.toString().replace(/trailer-signature:[0-9a-f]{64}/, `trailer-signature:${'0'.repeat(64)}`), '403 SignatureDoesNotMatch'],
    ['no trailer', (body) => `${body.toString().split('x-amz-checksum-crc32')[0] ?? ''}\r\n`, '400 MalformedTrailerError'],
    ['one more chunk', (body) => `${body.toString()}4\r\nmore\r\n`, '400 IncompleteBody'],
  ])('of a body in chunks: %s', async (_, change, expected) => {
    const time = Date.now()
    const headers = { 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': '300', 'x-amz-trailer': 'x-amz-checksum-crc32' }
    const request = put({ time, headers, payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER' })
    const chunks = ['x'.repeat(200), 'y'.repeat(100)]
    const body = signedChunks({ key: site.keys.owner, seed: request.signature, time, chunks, trailer: 'x-amz-checksum-crc32:AAAAAA==' })
    expect(await site.refused({ ...request, body: Buffer.from(change(Buffer.from(body))) })).toBe(expected)
  }) // prettier-ignore

  it.each(['299', '301', '-1', '1e3', ''])('a decoded length of "%s"', async (length) => {
    const time = Date.now()
    const headers = { 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': length }
    const request = put({ time, headers, payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' })
    const body = signedChunks({ key: site.keys.owner, seed: request.signature, time, chunks: ['x'.repeat(300)] })
    expect(await site.refused({ ...request, body })).toMatch(/^4(?:00 (?:IncompleteBody|InvalidArgument|InvalidRequest)|11 MissingContentLength)$/) // prettier-ignore
  })
})

describe('a signed URL', () => {
  const url = (asked: Asked & { readonly expires?: number } = {}): SentRequest =>
    site.presigned({ method: 'PUT', body: 'new', ...asked })

  it.each<readonly [what: string, request: () => Attack, expected: string]>([
    ['that has expired', () => url({ time: Date.now() - 61_000, expires: 60 }), '403 AccessDenied'],
    ['that lasts for more than a week', () => url({ expires: 604_801 }), '400 AuthorizationQueryParametersError'],
    ['made to last', () => ({ ...url(), target: url().target.replace('Expires=3600', 'Expires=7200') }), '403 SignatureDoesNotMatch'],
    ['for another key', () => ({ ...url(), target: url().target.replace('/b/old', '/b/new') }), '403 SignatureDoesNotMatch'],
    ['with one more parameter', () => ({ ...url(), target: `${url().target}&tagging` }), '403 SignatureDoesNotMatch'],
    ['with a parameter twice', () => ({ ...url(), target: `${url().target}&X-Amz-Expires=1` }), '400 AuthorizationQueryParametersError'],
    ['with a header of Amazon that it does not sign', () => ({ ...url(), headers: { host: site.host, 'x-amz-copy-source': '/c/secret' } }), '403 AccessDenied'],
    ['and a body in chunks', () => ({ ...url(), headers: { host: site.host, 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' } }), '403 SignatureDoesNotMatch'],
    ['of a region that it does not say', () => ({ ...url(), target: url().target.replace('us-east-1', 'eu-west-1') }), '403 SignatureDoesNotMatch'],
  ])('%s', async (_, request, expected) => {
    expect(await site.refused(request())).toBe(expected)
  }) // prettier-ignore

  it.each([
    'UNSIGNED-PAYLOAD',
    'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
  ])('that names an access key and proves nothing (%s)', async (payload) => {
    // CVE-2026-41145
    const headers = {
      host: site.host,
      'x-amz-content-sha256': payload,
      'content-encoding': 'aws-chunked',
      'x-amz-decoded-content-length': '3',
      'x-amz-trailer': 'x-amz-checksum-crc32',
    }
    const body = Buffer.from('3\r\nnew\r\n0\r\n\r\n')
    const credential = encodeURIComponent(`${site.keys.owner.id}/${scopeOf('20260101', 'us-east-1')}`)
    for (const query of [`X-Amz-Credential=${credential}`, `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential}`])
      expect(await site.refused({ method: 'PUT', target: `/b/old?${query}`, headers, body })).toBe('400 AuthorizationQueryParametersError') // prettier-ignore
    const all = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential}&X-Amz-Date=20260101T000000Z&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=`
    for (const signature of ['', '00', '0'.repeat(64)])
      expect(await site.refused({ method: 'PUT', target: `/b/old?${all}${signature}`, headers, body })).toMatch(/^40[03] A/) // prettier-ignore
  })
})
