import { describe, expect, it } from 'vitest'
import { sha256, signedChunks, signedRequest, type SentRequest } from '../../../test/s3-signer.js'
import {
  example,
  behind,
  changed,
  codeOf,
  failureOf,
  link,
  put,
  signature,
  textOf,
  withDate,
  withHeader,
  without,
} from '../../../test/s3-tampering.js'
import {
  arrived,
  bucketTarget,
  exampleHost,
  exampleKey,
  exampleTime,
  identityOf,
  keySource,
  verification,
} from '../../../test/s3-verification.js'
import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import type { Directory } from '../identity.js'

describe('the examples of the Amazon S3 API Reference', () => {
  const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
  const date = '20130524T000000Z'
  const credential = 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request'

  it.each([
    {
      name: 'GET Object',
      method: 'GET',
      target: '/test.txt',
      more: { range: 'bytes=0-9' },
      signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    },
    {
      name: 'PUT Object',
      method: 'PUT',
      target: '/test%24file.text',
      more: { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      body: 'Welcome to Amazon S3.',
      signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    },
    {
      name: 'PUT Object, its dollar sign as it is',
      method: 'PUT',
      target: '/test$file.text',
      more: { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      body: 'Welcome to Amazon S3.',
      signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    },
    {
      name: 'GET Bucket Lifecycle',
      method: 'GET',
      target: '/?lifecycle',
      signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    },
    {
      name: 'List Objects',
      method: 'GET',
      target: '/?max-keys=2&prefix=J',
      signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    },
    {
      name: 'List Objects, its query in another order',
      method: 'GET',
      target: '/?prefix=J&max-keys=2',
      signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    },
  ])('$name', async ({ method, target, more = {}, body = '', signature }) => {
    const headers = {
      host: exampleHost,
      'x-amz-date': date,
      'x-amz-content-sha256': body === '' ? emptyHash : sha256(body),
      ...more,
    }
    const names = Object.keys(headers).sort().join(';')
    const authorization = `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${names},Signature=${signature}`
    const { signatures } = verification()
    const request = arrived({ method, target, headers: { ...headers, authorization }, body: Buffer.from(body) })
    const { identity, request: verified } = await signatures.verify(request, bucketTarget)
    expect(identity).toEqual(identityOf(exampleKey))
    expect(verified.signedBy).toBe('header')
    expect(await textOf(verified.body)).toBe(body)
  })

  it('a signed URL', async () => {
    const { signatures, clock } = verification()
    clock.advanceSeconds(86_400)
    const target =
      '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
      '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
      '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404'
    const { identity, request } = await signatures.verify(
      arrived({ target, headers: { host: exampleHost } }),
      bucketTarget,
    )
    expect([identity, request.signedBy]).toEqual([identityOf(exampleKey), 'query'])
  })
})

describe('what is let in', () => {
  const cases: readonly (readonly [name: string, sent: SentRequest, more?: Partial<HttpRequest>])[] = [
    ['a header', put()],
    ['another region', put({ region: 'eu-central-1' })],
    ['a clock that is 15 minutes behind', put({ time: exampleTime - 900_000 })],
    ['a clock that is 15 minutes ahead', put({ time: exampleTime + 900_000 })],
    ['a URL for one second', link({ expires: 1 })],
    ['a URL for seven days', link({ expires: 604_800 })],
    ['a URL made within the skew ahead', link({ time: exampleTime + 900_000 })],
    ['a URL at its last moment', link({ time: exampleTime - 3_600_000 })],
    ['a URL to put to', link({ method: 'PUT', body: 'content', headers: { 'content-type': 'text/plain' } })],
    ['a URL with metadata that is signed', link({ method: 'PUT', body: 'content', headers: { 'x-amz-meta-a': 'b' } })],
    [
      'a URL that says how its body is bound',
      link({ query: [['X-Amz-Content-Sha256', 'UNSIGNED-PAYLOAD']], method: 'PUT', body: 'content' }),
    ],
    ['a body that is not signed', put({ payload: 'UNSIGNED-PAYLOAD' })],
    [
      'a content type that is not signed',
      put({ headers: { 'content-type': 'text/plain' }, unsigned: ['content-type'] }),
    ],
    ['spaces in headers', put({ headers: { 'x-amz-meta-a': '  a   b  ' } })],
    ['headers that come twice', put({ headers: { 'x-amz-meta-a': ['b', 'a'] } })],
    ['text beyond ASCII in headers', put({ headers: { 'x-amz-meta-a': 'ä€😀' } })],
    ['keys beyond ASCII', put({ path: "/ä€😀/!'()*+,;=:@&$" })],
    ['dots and slashes that S3 keeps', put({ path: '//a/./../b//' })],
    ['a query', put({ query: [['uploads', ''], ['prefix', 'a +/=&?'], ['a', '2'], ['a', '1'], ['x-id', 'PutObject']] })], // prettier-ignore
    ['a date without x-amz-date', withDate('Fri, 24 May 2013 00:00:00 GMT')],
    ['a date without x-amz-date, in the other form', withDate('20130524T000000Z')],
    ['Expect, signed and kept by a proxy', without(put({ headers: { expect: '100-continue' } }), 'expect')],
    [
      'fields in another order, without spaces',
      changed(put(), 'authorization', (text) =>
        text.replace(/ (Credential=\S+), (SignedHeaders=\S+), (Signature=\S+)$/, ' $3,$2,$1'),
      ),
    ],
    ['a number that CloudFront adds', withHeader(put(), 'x-amz-cf-id', 'abc'), { peer: { trusted: true } }],
    ['a trace id that a balancer adds', withHeader(put(), 'x-amzn-trace-id', 'Root=1')],
    ['the host as a trusted proxy names it', behind(put()), { origin: { scheme: 'https', authority: exampleHost } }],
    [
      'the host with a port that a proxy leaves out',
      put({ host: `${exampleHost}:8443` }),
      { origin: { scheme: 'https', authority: exampleHost } },
    ],
    ['the authority of HTTP/2', without(put(), 'host'), { origin: { scheme: 'https', authority: exampleHost } }],
    ['a host in upper case', put({ host: exampleHost.toUpperCase() })],
  ]

  it.each(cases.map(([name, sent, more = {}]) => [name, sent, more] as const))('%s', async (_name, sent, more) => {
    const { signatures } = verification()
    const { identity, request } = await signatures.verify(arrived(sent, more), bucketTarget)
    expect(identity).toEqual(identityOf(exampleKey))
    expect(await textOf(request.body)).toBe(sent.body.toString())
  })

  it('chunks that are signed on from the header', async () => {
    const headers = { 'x-amz-decoded-content-length': '6', 'content-encoding': 'aws-chunked' }
    const sent = put({ headers, payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', body: '' })
    const body = signedChunks({ key: exampleKey, seed: sent.signature, time: exampleTime, chunks: ['abc', 'def'] })
    const { signatures } = verification()
    const { request } = await signatures.verify(arrived({ ...sent, body }), bucketTarget)
    expect(await textOf(request.body)).toBe('abcdef')
  })

  it('a path from which a proxy has stripped the base path', async () => {
    const sent = signedRequest({ ...example, path: '/files/bucket/a key' })
    const { signatures } = verification({ basePath: '/files' })
    for (const target of ['/files/bucket/a%20key', '/bucket/a%20key']) {
      const { identity } = await signatures.verify(arrived({ ...sent, target }), bucketTarget)
      expect(identity).toEqual(identityOf(exampleKey))
    }
    const twice = signedRequest({ ...example, path: '/files/files/a key' })
    const once = { ...twice, target: '/files/a%20key' }
    expect(await codeOf(signatures.verify(arrived(once), bucketTarget))).toBe('SignatureDoesNotMatch')
  })

  it('nobody, where that is allowed', async () => {
    const { signatures, events } = verification({ anonymous: { grants: ['r:/public/**'] } })
    const { identity, request } = await signatures.verify(arrived({ headers: { host: exampleHost } }), bucketTarget)
    expect(identity).toEqual({ name: 'anonymous', source: 'anonymous', grants: ['r:/public/**'] })
    expect([request.signedBy, events]).toEqual(['nobody', []])
  })

  it('does not begin where what nobody may do cannot be understood', () => {
    expect(() => verification({ anonymous: { grants: ['fly:/**'] } })).toThrow(Failure)
  })
})

describe('keys', () => {
  const down = (name: string): Directory => ({
    ...keySource(name),
    signingKey: async () => {
      throw new Failure('unavailable', 'down', { retryAfterSeconds: 7 })
    },
  })

  it('come from the first source that knows them', async () => {
    const other = { id: exampleKey.id, secret: 'another' }
    const { signatures } = verification({ directories: [keySource('one', exampleKey), keySource('two', other)] })
    expect((await signatures.verify(arrived(put()), bucketTarget)).identity.source).toBe('one')
    expect(await codeOf(signatures.verify(arrived(put({ key: other })), bucketTarget))).toBe('SignatureDoesNotMatch')
  })

  it('come from another source where one is down', async () => {
    const { signatures, events } = verification({ directories: [down('one'), keySource('two', exampleKey)] })
    expect((await signatures.verify(arrived(put()), bucketTarget)).identity.source).toBe('two')
    expect(events[0]).toMatchObject({ event: 'source-unavailable', source: 'one' })
  })

  it('are not said to be unknown where the source that may know them is down', async () => {
    const { signatures, events } = verification({ directories: [keySource('one'), down('two')] })
    const failure = await failureOf(signatures.verify(arrived(put()), bucketTarget))
    expect([failure.kind, failure.retryAfterSeconds]).toEqual(['unavailable', 7])
    expect(events.map(({ event }) => event)).toEqual(['source-unavailable'])
  })

  it('count no longer from the moment in which they are revoked or changed', async () => {
    let secret: string | undefined = exampleKey.secret
    const source: Directory = {
      ...keySource('keys'),
      signingKey: async () => (secret === undefined ? undefined : { secret, identity: identityOf(exampleKey) }),
    }
    const { signatures } = verification({ directories: [source] })
    await signatures.verify(arrived(put()), bucketTarget)
    secret = 'changed'
    expect(await codeOf(signatures.verify(arrived(put()), bucketTarget))).toBe('SignatureDoesNotMatch')
    await signatures.verify(arrived(put({ key: { id: exampleKey.id, secret } })), bucketTarget)
    secret = undefined
    expect(await codeOf(signatures.verify(arrived(put()), bucketTarget))).toBe('InvalidAccessKeyId')
    secret = exampleKey.secret
    await signatures.verify(arrived(put()), bucketTarget)
  })

  it('are not asked for where a claim cannot hold', async () => {
    let asked = 0
    const source: Directory = { ...keySource('keys'), signingKey: async () => void (asked += 1) }
    const { signatures } = verification({ directories: [source] })
    await codeOf(signatures.verify(arrived(put({ time: exampleTime - 1e7 })), bucketTarget))
    await codeOf(signatures.verify(arrived(withHeader(put(), 'x-amz-acl', 'private')), bucketTarget))
    expect(asked).toBe(0)
  })
})

describe('the audit', () => {
  it('hears of a key and an address once, and again after a refusal', async () => {
    const { signatures, events } = verification()
    for (let count = 0; count < 3; count += 1) await signatures.verify(arrived(put()), bucketTarget)
    const name = `owner of ${exampleKey.id}`
    const login = { event: 'login', name, source: 'keys', with: 'signature', address: '192.0.2.1' }
    expect(events).toEqual([login])
    await signatures.verify(arrived(put(), { peer: { address: '192.0.2.2' } }), bucketTarget)
    expect(events.slice(1)).toEqual([{ ...login, address: '192.0.2.2' }])
    await codeOf(signatures.verify(arrived({ ...put(), method: 'GET' }), bucketTarget))
    await signatures.verify(arrived(put()), bucketTarget)
    const failed = { event: 'login-failed', name: exampleKey.id, why: 'bad-signature', address: '192.0.2.1' }
    expect(events.slice(2)).toEqual([failed, login])
  })

  it.each([
    ['unknown-key', put({ key: { id: 'AKIAOTHER', secret: 's' } }), 'AKIAOTHER'],
    ['bad-signature', put({ key: { id: exampleKey.id, secret: 's' } }), exampleKey.id],
    ['skewed', put({ time: exampleTime - 1e7 }), exampleKey.id],
    ['skewed', link({ time: exampleTime + 1e7 }), exampleKey.id],
    ['expired', link({ time: exampleTime - 1e7 }), exampleKey.id],
    ['unsigned-header', withHeader(put(), 'x-amz-acl', 'private'), exampleKey.id],
    ['missing-header', without(put({ headers: { 'content-md5': 'x' } }), 'content-md5'), exampleKey.id],
    ['malformed', signature('x'), ''],
    ['malformed', withHeader(put(), 'authorization', 'AWS a:b'), ''],
    ['unknown-key', put({ key: { id: 'A'.repeat(128), secret: 's' } }), `${'A'.repeat(100)}…`],
  ])('hears why a request is refused: %s', async (why, sent, name) => {
    const { signatures, events } = verification()
    await codeOf(signatures.verify(arrived(sent), bucketTarget))
    expect(events).toEqual([{ event: 'login-failed', name, why, address: '192.0.2.1' }])
  })
})
