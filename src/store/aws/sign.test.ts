import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { presignedRequest, signedRequest } from '../../../test/s3-signer.js'
import {
  arrived,
  bucketTarget,
  exampleHost,
  exampleKey,
  exampleTime,
  verification,
} from '../../../test/s3-verification.js'
import { isFailure } from '../../core/failure.js'
import { Signer, amzDate, canonicalQuery, encoded, encodedPath, payloadHash } from './sign.js'
import type { Signable } from './sign.js'

const credentials = { accessKeyId: exampleKey.id, secretAccessKey: exampleKey.secret }
const emptyHash = hash('sha256', '', 'hex')
const host = exampleHost
const get: Signable = { method: 'GET', path: '/', query: '', headers: { host }, payload: emptyHash }
const s3 = (): Signer => new Signer({ region: 'us-east-1', service: 's3' })
const signatureOf = (headers: Readonly<Record<string, string>>): string | undefined =>
  /Signature=([0-9a-f]{64})$/.exec(headers['authorization'] ?? '')?.[1]

describe('a signature', () => {
  it('is another for anything else', () => {
    const signed = signatureOf(s3().headers(get, credentials, exampleTime))
    const others: readonly string[] = [
      ...[
        { ...get, method: 'HEAD' },
        { ...get, path: '/x' },
        { ...get, query: 'a=' },
        { ...get, headers: { host: 'other' } },
        { ...get, headers: { host, range: 'bytes=0-0' } },
        { ...get, payload: 'UNSIGNED-PAYLOAD' },
      ].map((request) => s3().headers(request, credentials, exampleTime)),
      s3().headers(get, { ...credentials, secretAccessKey: 'x' }, exampleTime),
      s3().headers(get, { ...credentials, sessionToken: 'x' }, exampleTime),
      s3().headers(get, credentials, exampleTime + 1000),
      new Signer({ region: 'us-east-2', service: 's3' }).headers(get, credentials, exampleTime),
      new Signer({ region: 'us-east-1', service: 'dynamodb' }).headers(get, credentials, exampleTime),
    ].map((headers) => signatureOf(headers) ?? '')
    expect(new Set([signed, ...others]).size).toBe(others.length + 1)
  })

  it('follows the secret and the day, though keys are remembered', () => {
    const signer = s3()
    const first = signer.headers(get, credentials, exampleTime)
    const rotated = { ...credentials, secretAccessKey: 'another' }
    const day = 24 * 3600 * 1000
    expect(signer.headers(get, rotated, exampleTime)).toEqual(s3().headers(get, rotated, exampleTime))
    expect(signer.headers(get, rotated, exampleTime + day)).toEqual(s3().headers(get, rotated, exampleTime + day))
    expect(signer.headers(get, credentials, exampleTime)).toEqual(first)
  })
})

describe('the examples of the Amazon S3 API Reference', () => {
  it.each([
    [
      'GET Object',
      { ...get, path: '/test.txt', headers: { host, range: 'bytes=0-9' } },
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ],
    [
      'PUT Object',
      {
        method: 'PUT',
        path: encodedPath('/test$file.text'),
        query: '',
        headers: { host, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
        payload: payloadHash([Buffer.from('Welcome to '), Buffer.from('Amazon S3.')]),
      },
      '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    ],
    [
      'GET Bucket Lifecycle',
      { ...get, query: canonicalQuery({ lifecycle: '' }) },
      'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    ],
    [
      'List Objects',
      { ...get, query: canonicalQuery({ prefix: 'J', 'max-keys': '2' }) },
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    ],
  ])('%s', (_, request, signature) => {
    expect(signatureOf(s3().headers(request, credentials, exampleTime))).toBe(signature)
  })

  it('a presigned URL', () => {
    const query = s3().query(
      { ...get, path: '/test.txt', payload: 'UNSIGNED-PAYLOAD' },
      credentials,
      exampleTime,
      86400,
    )
    expect(query).toMatch(/&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404$/)
  })
})

describe('the public signing test suite of AWS', () => {
  const time = Date.UTC(2015, 7, 30, 12, 36)
  const key = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
  const vanilla = { ...get, headers: { host: 'example.amazonaws.com' } }
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const signer = new Signer({ region: 'us-east-1', service: 'service' })

  it.each([
    ['get-vanilla', vanilla, '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    [
      'get-vanilla-query-order-key-case',
      { ...vanilla, query: canonicalQuery({ Param2: 'value2', Param1: 'value1' }) },
      'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
    ],
    ['get-utf8', { ...vanilla, path: '/ሴ' }, '8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85'],
    [
      'get-header-value-trim',
      { ...vanilla, headers: { ...vanilla.headers, 'my-header1': ' value1', 'my-header2': ' "a   b   c"' } },
      'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
    ],
    [
      'post-x-www-form-urlencoded',
      {
        ...vanilla,
        method: 'POST',
        headers: { ...vanilla.headers, ...form },
        payload: payloadHash([Buffer.from('Param1=value1')]),
      },
      'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
    ],
  ])('%s', (_, request, signature) => {
    expect(signatureOf(signer.headers(request, key, time))).toBe(signature)
  })

  it('get-vanilla-with-session-token', () => {
    const sessionToken = '6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267'
    const headers = signer.headers(vanilla, { ...key, sessionToken }, time)
    expect(headers['x-amz-security-token']).toBe(sessionToken)
    expect(signatureOf(headers)).toBe('07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8')
  })
})

const names = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => text.isWellFormed())
const values = fc.string({
  unit: fc.constantFrom('a', 'Z', ' ', '=', '&', '%', '+', ',', '"', '~', '-'),
  maxLength: 12,
})

describe('any request', () => {
  it('is signed as an independent signer does it, and convinces the verifier', async () => {
    const { signatures, clock } = verification()
    await fc.assert(
      fc.asyncProperty(
        fc.array(names, { maxLength: 4 }),
        fc.dictionary(
          names.filter((name) => name !== '' && !/^x-amz-/i.test(name)),
          names,
          { maxKeys: 4, noNullPrototype: true },
        ),
        values,
        async (segments, query, value) => {
          const path = `/${segments.join('/')}`
          const request: Signable = {
            method: 'PUT',
            path: encodedPath(path),
            query: canonicalQuery(query),
            headers: { host, 'x-amz-meta-a': value },
            payload: payloadHash([]),
          }
          const headers = s3().headers(request, credentials, clock.now())
          const expected = signedRequest({
            key: exampleKey,
            method: 'PUT',
            path,
            host,
            query: Object.entries(query),
            headers: { 'x-amz-meta-a': value },
            time: clock.now(),
          })
          expect(signatureOf(headers)).toBe(expected.signature)
          const target = request.query === '' ? request.path : `${request.path}?${request.query}`
          const proved = await signatures.verify(arrived({ method: 'PUT', target, headers }), bucketTarget)
          expect(proved.identity.name).toBe(`owner of ${exampleKey.id}`)
        },
      ),
    )
  })

  it('is signed in its URL as well', async () => {
    const { signatures, clock } = verification()
    const query = { uploadId: 'a+b/c=', partNumber: '3', 'x-amz-storage-class': 'STANDARD' }
    const request = { ...get, path: encodedPath('/ü +'), query: canonicalQuery(query), payload: 'UNSIGNED-PAYLOAD' }
    const signed = s3().query(request, credentials, clock.now(), 60)
    const expected = presignedRequest({
      key: exampleKey,
      path: '/ü +',
      host,
      query: Object.entries(query),
      time: clock.now(),
      expires: 60,
    })
    expect(signed).toContain(`X-Amz-Signature=${expected.signature}`)
    const target = `${request.path}?${signed}`
    await signatures.verify(arrived({ target, headers: { host } }), bucketTarget)
    clock.advanceSeconds(61)
    await expect(signatures.verify(arrived({ target, headers: { host } }), bucketTarget)).rejects.toMatchObject({
      kind: 'denied',
    })
    expect(s3().query(request, { ...credentials, sessionToken: 'a/b+c' }, clock.now(), 60)).toContain(
      'X-Amz-Security-Token=a%2Fb%2Bc',
    )
  })
})

describe('encoding', () => {
  it('refuses half characters', () => {
    for (const text of ['\ud800', 'a\udc00b'])
      expect(() => encoded(text)).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })

  it('can be undone, and leaves slashes to paths only', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          expect(decodeURIComponent(encoded(text))).toBe(text)
          expect(encoded(text)).toMatch(/^(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*$/)
          expect(encodedPath(text)).toBe(text.split('/').map(encoded).join('/'))
        } catch (error) {
          if (!isFailure(error, 'invalid')) throw error
          expect(text.isWellFormed()).toBe(false)
        }
      }),
    )
  })

  it('orders queries by names, then dates as Amazon writes them', () => {
    expect(canonicalQuery({ b: '1', 'a-b': '2', a: '3', B: '' })).toBe('B=&a=3&a-b=2&b=1')
    expect(amzDate(exampleTime + 999)).toBe('20130524T000000Z')
  })
})
