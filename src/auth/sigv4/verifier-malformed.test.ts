import { describe, expect, it } from 'vitest'
import { sha256 } from '../../../test/s3-signer.js'
import {
  authorization,
  credential,
  failureOf,
  link,
  names,
  parameters,
  put,
  refusal,
  signature,
  withHeader,
  without,
  type Refused,
} from '../../../test/s3-tampering.js'
import {
  arrived,
  bucketTarget,
  exampleHost,
  exampleKey,
  identityOf,
  verification,
} from '../../../test/s3-verification.js'

describe('what cannot be understood or is not taken, before anything of the body is read', () => {
  const cases: readonly Refused[] = [
    // The header itself.
    ['AuthorizationHeaderMalformed', 'no host among what is signed', put({ unsigned: ['host'] })],
    ['AuthorizationHeaderMalformed', 'names out of order', names('x-amz-date;host;x-amz-content-sha256')],
    ['AuthorizationHeaderMalformed', 'a name twice', names('host;host;x-amz-content-sha256;x-amz-date')],
    ['AuthorizationHeaderMalformed', 'a name in upper case', names('Host;host;x-amz-content-sha256;x-amz-date')],
    ['AuthorizationHeaderMalformed', 'an empty name', names(';host;x-amz-content-sha256;x-amz-date')],
    ['AuthorizationHeaderMalformed', 'a name that is none', names('ho:st;host;x-amz-content-sha256;x-amz-date')],
    ['AuthorizationHeaderMalformed', 'no names', names('')],
    ['AuthorizationHeaderMalformed', 'a signature in upper case', signature(put().signature.toUpperCase())],
    ['AuthorizationHeaderMalformed', 'a signature too short', signature('0'.repeat(63))],
    ['AuthorizationHeaderMalformed', 'a signature too long', signature('0'.repeat(65))],
    ['AuthorizationHeaderMalformed', 'a signature of other letters', signature('g'.repeat(64))],
    ['AuthorizationHeaderMalformed', 'an empty signature', signature('')],
    ['AuthorizationHeaderMalformed', 'no signature field', authorization((text) => text.replace(/, Signature=.*/, ''))],
    [
      'AuthorizationHeaderMalformed',
      'no names field',
      authorization((text) => text.replace(/ SignedHeaders=[^,]*,/, '')),
    ],
    [
      'AuthorizationHeaderMalformed',
      'no credential field',
      authorization((text) => text.replace(/ Credential=[^,]*,/, '')),
    ],
    ['AuthorizationHeaderMalformed', 'a field twice', authorization((text) => `${text}, Signature=${put().signature}`)],
    ['AuthorizationHeaderMalformed', 'a field that is unknown', authorization((text) => `${text}, Trust=me`)],
    ['AuthorizationHeaderMalformed', 'an empty field', authorization((text) => `${text},`)],
    ['AuthorizationHeaderMalformed', 'nothing but the algorithm', authorization(() => 'AWS4-HMAC-SHA256')],
    [
      'AuthorizationHeaderMalformed',
      'a header without end',
      authorization((text) => text.replace('SignedHeaders=', `SignedHeaders=${'a;'.repeat(9000)}`)),
    ],
    [
      'AuthorizationHeaderMalformed',
      'another service',
      credential(`${exampleKey.id}/20130524/us-east-1/iam/aws4_request`),
    ],
    [
      'AuthorizationHeaderMalformed',
      'another end of the scope',
      credential(`${exampleKey.id}/20130524/us-east-1/s3/aws5_request`),
    ],
    [
      'AuthorizationHeaderMalformed',
      'a scope without a region',
      credential(`${exampleKey.id}/20130524//s3/aws4_request`),
    ],
    [
      'AuthorizationHeaderMalformed',
      'a scope that is too short',
      credential(`${exampleKey.id}/20130524/s3/aws4_request`),
    ],
    [
      'AuthorizationHeaderMalformed',
      'a scope that is too long',
      credential(`x/${exampleKey.id}/20130524/us-east-1/s3/aws4_request`),
    ],
    ['AuthorizationHeaderMalformed', 'an id that is empty', credential('/20130524/us-east-1/s3/aws4_request')],
    [
      'AuthorizationHeaderMalformed',
      'an id that is too long',
      credential(`${'A'.repeat(129)}/20130524/us-east-1/s3/aws4_request`),
    ],
    // The query.
    [
      'AuthorizationQueryParametersError',
      'no time that it lasts',
      parameters((text) => text.replace('&X-Amz-Expires=3600', '')),
    ],
    ['AuthorizationQueryParametersError', 'a URL for eight days', link({ expires: 604_801 })],
    ['AuthorizationQueryParametersError', 'a URL for no time', link({ expires: 0 })],
    ['AuthorizationQueryParametersError', 'a URL for less than no time', link({ expires: -1 })],
    ['AuthorizationQueryParametersError', 'a URL for half a second', link({ expires: 0.5 })],
    [
      'AuthorizationQueryParametersError',
      'a time with an exponent',
      parameters((text) => text.replace('=3600', '=1e3')),
    ],
    [
      'AuthorizationQueryParametersError',
      'no algorithm',
      parameters((text) => text.replace('X-Amz-Algorithm=AWS4-HMAC-SHA256&', '')),
    ],
    [
      'AuthorizationQueryParametersError',
      'another algorithm',
      parameters((text) => text.replace('AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA1')),
    ],
    [
      'AuthorizationQueryParametersError',
      'no signature in a URL',
      parameters((text) => text.replace(/&X-Amz-Signature=.*/, '')),
    ],
    [
      'AuthorizationQueryParametersError',
      'an empty signature in a URL',
      parameters((text) => text.replace(/Signature=.*/, 'Signature=')),
    ],
    [
      'AuthorizationQueryParametersError',
      'no date in a URL',
      parameters((text) => text.replace(/&X-Amz-Date=[^&]*/, '')),
    ],
    [
      'AuthorizationQueryParametersError',
      'a date of another form in a URL',
      parameters((text) => text.replace('T000000Z', '')),
    ],
    [
      'AuthorizationQueryParametersError',
      'no names in a URL',
      parameters((text) => text.replace(/&X-Amz-SignedHeaders=[^&]*/, '')),
    ],
    [
      'AuthorizationQueryParametersError',
      'no host among what a URL signs',
      link({ unsigned: ['host'], headers: { a: 'b' } }),
    ],
    [
      'AuthorizationQueryParametersError',
      'nothing but who claims to ask',
      {
        target: `/a?X-Amz-Credential=${exampleKey.id}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request`,
        headers: { host: exampleHost },
      },
    ],
    [
      'AuthorizationQueryParametersError',
      'a signature twice',
      parameters((text) => `${text}&X-Amz-Signature=${'0'.repeat(64)}`),
    ],
    ['AuthorizationQueryParametersError', 'a credential twice', parameters((text) => `${text}&X-Amz-Credential=x`)],
    ['AuthorizationQueryParametersError', 'a time twice', parameters((text) => `${text}&X-Amz-Expires=604800`)],
    [
      'AuthorizationQueryParametersError',
      'a name that is escaped, twice',
      parameters((text) => `${text}&X%2DAmz%2DDate=20130524T000000Z`),
    ],
    [
      'AuthorizationQueryParametersError',
      'a name in lower case',
      parameters((text) => text.replace('X-Amz-Signature', 'x-amz-signature')),
    ],
    ['AuthorizationQueryParametersError', 'how the body is bound, twice', link({ query: [['X-Amz-Content-Sha256', 'UNSIGNED-PAYLOAD'], ['x-amz-content-sha256', 'UNSIGNED-PAYLOAD']] })], // prettier-ignore
    ['InvalidURI', 'an escape that is none', { ...put(), target: '/a%2' }],
    ['InvalidURI', 'an escape that is none in the query', { ...put(), target: '/a%20key?a=%zz' }],
    ['InvalidURI', 'a credential that is no UTF-8', parameters((text) => text.replace(exampleKey.id, '%ff'))],
    // More than one way, or the wrong one.
    ['InvalidRequest', 'a header and a URL', { ...put(), target: link().target }],
    [
      'InvalidRequest',
      'a header and who claims to ask in the query',
      { ...put(), target: '/a%20key?X-Amz-Credential=x' },
    ],
    [
      'InvalidRequest',
      'a header and a URL of version 2',
      { ...put(), target: '/a%20key?AWSAccessKeyId=x&Signature=y&Expires=1' },
    ],
    ['InvalidRequest', 'a URL and one of version 2', parameters((text) => `${text}&AWSAccessKeyId=x`)],
    ['InvalidRequest', 'two headers', { ...put(), headers: { ...put().headers, authorization: [String(put().headers['authorization']), String(put().headers['authorization'])] } }], // prettier-ignore
    ['InvalidRequest', 'a header and an API key', withHeader(put(), 'x-api-key', 'id:secret')],
    ['InvalidRequest', 'two times', { ...put(), headers: { ...put().headers, 'x-amz-date': ['20130524T000000Z', '20130524T000000Z'] } }], // prettier-ignore
    ['InvalidRequest', 'two hashes', { ...put(), headers: { ...put().headers, 'x-amz-content-sha256': ['UNSIGNED-PAYLOAD', sha256('content')] } }], // prettier-ignore
    ['InvalidRequest', 'two sources of a copy', put({ headers: { 'x-amz-copy-source': ['/a/b', '/a/c'] } })],
    ['InvalidRequest', 'Signature Version 2', withHeader(put(), 'authorization', `AWS ${exampleKey.id}:abc=`)],
    [
      'InvalidRequest',
      'a URL of Signature Version 2',
      { target: '/a?AWSAccessKeyId=x&Signature=y&Expires=1369353600', headers: { host: exampleHost } },
    ],
    ['InvalidRequest', 'Basic', withHeader(put(), 'authorization', 'Basic YTpi')],
    ['InvalidRequest', 'Bearer', withHeader(put(), 'authorization', 'Bearer abc')],
    ['InvalidRequest', 'an API key', { headers: { host: exampleHost, 'x-api-key': 'id:secret' } }],
    ['InvalidRequest', 'an empty Authorization', withHeader(put(), 'authorization', '')],
    [
      'InvalidRequest',
      'an algorithm that only begins like ours',
      withHeader(put(), 'authorization', 'AWS4-HMAC-SHA256X Credential=x'),
    ],
    ['NotImplemented', 'SigV4A', withHeader(put(), 'authorization', 'AWS4-ECDSA-P256-SHA256 Credential=x')],
    [
      'NotImplemented',
      'a URL of SigV4A',
      parameters((text) => text.replace('AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256')),
    ],
    ['InvalidToken', 'a token', put({ headers: { 'x-amz-security-token': 'abc' } })],
    ['InvalidToken', 'a token that is not signed', withHeader(put(), 'x-amz-security-token', 'abc')],
    ['InvalidToken', 'a token in a URL', link({ query: [['X-Amz-Security-Token', 'abc']] })],
    ['InvalidToken', 'a token of nobody', { headers: { host: exampleHost, 'x-amz-security-token': 'abc' } }],
    // How the body is bound.
    ['InvalidRequest', 'nothing said of the body', without(put(), 'x-amz-content-sha256')],
    ['InvalidArgument', 'something unknown said of the body', put({ payload: 'SIGNED-PAYLOAD' })],
    ['InvalidRequest', 'a URL for chunks that are not signed', link({ method: 'PUT', payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', headers: { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '1', 'x-amz-trailer': 'x-amz-checksum-crc32' } })], // prettier-ignore
    ['InvalidRequest', 'a URL for chunks that are signed', link({ method: 'PUT', payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', headers: { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'x-amz-decoded-content-length': '1' } })], // prettier-ignore
    ['InvalidRequest', 'chunks for a URL that says so in its query', link({ method: 'PUT', payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', query: [['X-Amz-Content-Sha256', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER']] })], // prettier-ignore
    ['AuthorizationQueryParametersError', 'chunks with nothing but who claims to ask', { method: 'PUT', target: `/a?X-Amz-Credential=${exampleKey.id}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request`, headers: { host: exampleHost, 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '7' } }], // prettier-ignore
  ]

  it.each(cases.map(([code, name, sent, more = {}]) => [code, name, sent, more] as const))(
    '%s: %s',
    async (code, _name, sent, more) => {
      expect(await refusal(sent, more)).toEqual({ code, pulls: 0, leaks: [] })
    },
  )

  it('says to clients of Signature Version 2 what to set', async () => {
    const { signatures } = verification()
    const old = arrived({ target: '/a?AWSAccessKeyId=x&Signature=y&Expires=1', headers: { host: exampleHost } })
    expect((await failureOf(signatures.verify(old, bucketTarget))).message).toContain("signature_version='s3v4'")
  })

  it('names the region that it wants', async () => {
    const { signatures } = verification({ region: 'eu-central-1' })
    const header = await failureOf(signatures.verify(arrived(put()), bucketTarget))
    const url = await failureOf(signatures.verify(arrived(link()), bucketTarget))
    expect([header.reason, url.reason]).toEqual(['AuthorizationHeaderMalformed', 'AuthorizationQueryParametersError'])
    for (const { message } of [header, url]) expect(message).toContain("expecting 'eu-central-1'")
    const right = arrived(put({ region: 'eu-central-1' }))
    expect((await signatures.verify(right, bucketTarget)).identity).toEqual(identityOf(exampleKey))
  })
})
