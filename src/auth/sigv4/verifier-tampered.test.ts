import { describe, expect, it } from 'vitest'
import { sha256 } from '../../../test/s3-signer.js'
import {
  changed,
  link,
  put,
  refusal,
  signature,
  withHeader,
  without,
  type Refused,
} from '../../../test/s3-tampering.js'
import { exampleHost, exampleKey, exampleTime } from '../../../test/s3-verification.js'

describe('what is not as it was signed, before anything of the body is read', () => {
  const otherKey = { id: 'AKIAOTHER', secret: exampleKey.secret }
  const cases: readonly Refused[] = [
    ['AccessDenied', 'no signature', { headers: { host: exampleHost } }],
    // The signature is over everything.
    ['SignatureDoesNotMatch', 'another method', { ...put(), method: 'DELETE' }],
    ['SignatureDoesNotMatch', 'HEAD for GET', { ...link(), method: 'HEAD' }],
    ['SignatureDoesNotMatch', 'another key', { ...put(), target: '/b%20key' }],
    ['SignatureDoesNotMatch', 'an encoded dot-dot', { ...put(), target: '/x/%2e%2e/a%20key' }],
    ['SignatureDoesNotMatch', 'a dot-dot', { ...put(), target: '/x/../a%20key' }],
    ['SignatureDoesNotMatch', 'one slash more', { ...put(), target: '//a%20key' }],
    ['SignatureDoesNotMatch', 'a plus in the path for a space', { ...put(), target: '/a+key' }],
    ['SignatureDoesNotMatch', 'an escape that is escaped', { ...put(), target: '/a%2520key' }],
    ['SignatureDoesNotMatch', 'a parameter more', { ...put(), target: '/a%20key?acl' }],
    ['SignatureDoesNotMatch', 'a parameter less', { ...put({ query: [['tagging', '']] }), target: '/a%20key' }],
    ['SignatureDoesNotMatch', 'a parameter twice', { ...put({ query: [['a', '1']] }), target: '/a%20key?a=1&a=1' }],
    [
      'SignatureDoesNotMatch',
      'another value of a parameter',
      { ...put({ query: [['a', '1']] }), target: '/a%20key?a=2' },
    ],
    [
      'SignatureDoesNotMatch',
      'a parameter more in a URL',
      { ...link(), target: `${link().target}&response-content-type=text/html` },
    ],
    ['SignatureDoesNotMatch', 'another host', withHeader(put(), 'host', 'other.s3.amazonaws.com')],
    [
      'SignatureDoesNotMatch',
      'the host of the header where a proxy names another',
      put(),
      { origin: { scheme: 'https', authority: 'other.s3.amazonaws.com' } },
    ],
    [
      'SignatureDoesNotMatch',
      'another content type that is signed',
      withHeader(put({ headers: { 'content-type': 'text/plain' } }), 'content-type', 'text/html'),
    ],
    [
      'SignatureDoesNotMatch',
      'another value of metadata',
      withHeader(put({ headers: { 'x-amz-meta-a': 'b' } }), 'x-amz-meta-a', 'c'),
    ],
    [
      'SignatureDoesNotMatch',
      'one more value of metadata',
      {
        ...put({ headers: { 'x-amz-meta-a': 'b' } }),
        headers: { ...put({ headers: { 'x-amz-meta-a': 'b' } }).headers, 'x-amz-meta-a': ['b', 'c'] },
      },
    ],
    ['SignatureDoesNotMatch', 'another hash of the body', withHeader(put(), 'x-amz-content-sha256', sha256('other'))],
    [
      'SignatureDoesNotMatch',
      'no hash of the body in its place',
      withHeader(put(), 'x-amz-content-sha256', 'UNSIGNED-PAYLOAD'),
    ],
    [
      'SignatureDoesNotMatch',
      'unsigned chunks in its place',
      withHeader(put(), 'x-amz-content-sha256', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'),
    ],
    ['SignatureDoesNotMatch', 'another time', withHeader(put(), 'x-amz-date', '20130524T000001Z')],
    [
      'SignatureDoesNotMatch',
      'another region',
      changed(put(), 'authorization', (text) => text.replace('us-east-1', 'us-west-2')),
    ],
    ['SignatureDoesNotMatch', 'another secret', put({ key: { id: exampleKey.id, secret: 'wrong' } })],
    ['SignatureDoesNotMatch', 'a signature of zeros', signature('0'.repeat(64))],
    [
      'SignatureDoesNotMatch',
      'one digit of the signature',
      signature(put().signature.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))),
    ],
    [
      'SignatureDoesNotMatch',
      'a URL that lasts longer than signed',
      { ...link(), target: link().target.replace('Expires=3600', 'Expires=604800') },
    ],
    [
      'SignatureDoesNotMatch',
      'a URL whose date is later than signed',
      { ...link(), target: link().target.replace('T000000Z', 'T000010Z') },
    ],
    ['SignatureDoesNotMatch', 'a URL of another secret', link({ key: { id: exampleKey.id, secret: 'wrong' } })],
    ['SignatureDoesNotMatch', 'a header of a URL', { ...link(), headers: { host: 'other.s3.amazonaws.com' } }],
    [
      'SignatureDoesNotMatch',
      'a hash for a URL that has none',
      withHeader(link({ method: 'PUT', body: 'content' }), 'x-amz-content-sha256', sha256('content')),
    ],
    [
      'SignatureDoesNotMatch',
      'a signature of a header in a URL',
      { ...link(), target: link().target.replace(/[0-9a-f]{64}$/, put().signature) },
    ],
    // Headers that are named and absent.
    [
      'SignatureDoesNotMatch',
      'a signed content type that is gone',
      without(put({ headers: { 'content-type': 'text/plain' } }), 'content-type'),
    ],
    [
      'SignatureDoesNotMatch',
      'a signed content-md5 that is gone',
      without(put({ headers: { 'content-md5': 'mgNkuembtIDdJeHwKEyFVQ==' } }), 'content-md5'),
    ],
    [
      'SignatureDoesNotMatch',
      'signed metadata that is gone',
      without(put({ headers: { 'x-amz-meta-a': 'b' } }), 'x-amz-meta-a'),
    ],
    // Who.
    ['InvalidAccessKeyId', 'a key that nobody has', put({ key: otherKey })],
    ['InvalidAccessKeyId', 'a URL of a key that nobody has', link({ key: otherKey })],
    [
      'InvalidAccessKeyId',
      'a signature of a key that is claimed to be another',
      changed(put(), 'authorization', (text) => text.replace(exampleKey.id, otherKey.id)),
    ],
    // When.
    ['RequestTimeTooSkewed', 'a clock too far behind', put({ time: exampleTime - 901_000 })],
    ['RequestTimeTooSkewed', 'a clock too far ahead', put({ time: exampleTime + 901_000 })],
    ['RequestTimeTooSkewed', 'yesterday', put({ time: exampleTime - 86_400_000 })],
    ['AccessDenied', 'a URL of the past', link({ time: exampleTime - 3_601_000 })],
    ['AccessDenied', 'a URL of the future', link({ time: exampleTime + 901_000 })],
    ['AccessDenied', 'no date', without(put(), 'x-amz-date')],
    ['AccessDenied', 'a date of another form', withHeader(put(), 'x-amz-date', new Date(exampleTime).toISOString())],
    ['AccessDenied', 'a day that is none', withHeader(put(), 'x-amz-date', '20130231T000000Z')],
    ['AccessDenied', 'an hour that is none', withHeader(put(), 'x-amz-date', '20130524T250000Z')],
    [
      'AccessDenied',
      'a date that is not signed',
      withHeader(without(put(), 'x-amz-date'), 'date', 'Fri, 24 May 2013 00:00:00 GMT'),
    ],
    [
      'AuthorizationHeaderMalformed',
      'another day in the scope',
      changed(put(), 'authorization', (text) => text.replace('/20130524/', '/20130523/')),
    ],
    [
      'AuthorizationQueryParametersError',
      'another day in the scope of a URL',
      { ...link(), target: link().target.replace('%2F20130524%2F', '%2F20130523%2F') },
    ],
    // Headers of Amazon's that are not signed.
    [
      'AccessDenied',
      'metadata that is not signed',
      put({ headers: { 'x-amz-meta-a': 'b' }, unsigned: ['x-amz-meta-a'] }),
    ],
    ['AccessDenied', 'an added source of a copy', withHeader(put(), 'x-amz-copy-source', '/other/secret')],
    ['AccessDenied', 'an added access control', withHeader(put(), 'x-amz-acl', 'public-read')],
    ['AccessDenied', 'a hash that is not signed', put({ unsigned: ['x-amz-content-sha256'] })],
    ['AccessDenied', 'a time that is not signed', put({ unsigned: ['x-amz-date'] })],
    [
      'AccessDenied',
      'an added source of a copy to a URL',
      withHeader(link({ method: 'PUT' }), 'x-amz-copy-source', '/other/secret'),
    ],
    ['AccessDenied', 'an added tag to a URL', withHeader(link({ method: 'PUT' }), 'x-amz-tagging', 'a=b')],
    ['AccessDenied', 'a number of CloudFront from anybody', withHeader(put(), 'x-amz-cf-id', 'abc')],
  ]

  it.each(cases.map(([code, name, sent, more = {}]) => [code, name, sent, more] as const))(
    '%s: %s',
    async (code, _name, sent, more) => {
      expect(await refusal(sent, more)).toEqual({ code, pulls: 0, leaks: [] })
    },
  )
})
