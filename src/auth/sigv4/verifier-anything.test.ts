import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { presignedRequest, signedRequest } from '../../../test/s3-signer.js'
import { example, codeOf, failureOf, put, withHeader, without } from '../../../test/s3-tampering.js'
import { arrived, bucketTarget, exampleKey, identityOf, verification } from '../../../test/s3-verification.js'

const marks = 'aZ09-._~+%/=&?#@;,ä€😀\'"()*!$'

describe('anything at all', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/)
  const value = fc.string({ unit: fc.constantFrom(...Array.from(`${marks} `)), maxLength: 12 })
  const words = fc.string({ unit: fc.constantFrom(...Array.from(marks)), maxLength: 12 })

  it('is let in where a client has signed it, in a header or a URL, and not when a letter differs', async () => {
    const { signatures } = verification()
    await fc.assert(
      fc.asyncProperty(
        fc.array(value, { minLength: 1, maxLength: 4 }),
        fc.array(fc.tuple(value, value), { maxLength: 5 }),
        fc.dictionary(name.map((text) => `x-amz-meta-${text}`), words, { maxKeys: 4 }), // prettier-ignore
        fc.constantFrom('GET', 'PUT', 'DELETE', 'HEAD'),
        fc.constantFrom(signedRequest, presignedRequest),
        async (segments, pairs, headers, method, client) => {
          const query = pairs.filter(([one]) => one !== '')
          const sent = client({ ...example, method, path: `/${segments.join('/')}`, query, headers })
          const { identity } = await signatures.verify(arrived(sent), bucketTarget)
          expect(identity).toEqual(identityOf(exampleKey))
          const other = { ...sent, target: sent.target.replace('/', '/x') }
          expect(await codeOf(signatures.verify(arrived(other), bucketTarget))).toBe('SignatureDoesNotMatch')
        },
      ),
    )
  })

  it('is refused with a Failure where nobody has signed it', async () => {
    const { signatures } = verification()
    const garbage = fc.string({
      unit: fc.constantFrom(...Array.from('AWS4-HMCSHA256 =,;/%&?aXz09\u00ff')),
      maxLength: 60,
    })
    const parts = fc.constantFrom(
      'AWS4-HMAC-SHA256 ',
      `Credential=${exampleKey.id}/20130524/us-east-1/s3/aws4_request`,
      ', SignedHeaders=host;x-amz-content-sha256;x-amz-date',
      `, Signature=${'0'.repeat(64)}`,
      ',',
      ';',
      '\u0000',
    )
    const parameter = fc.constantFrom(
      'X-Amz-Algorithm=AWS4-HMAC-SHA256',
      `X-Amz-Credential=${exampleKey.id}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request`,
      'X-Amz-Date=20130524T000000Z',
      'X-Amz-Expires=60',
      'X-Amz-SignedHeaders=host',
      `X-Amz-Signature=${'0'.repeat(64)}`,
      'AWSAccessKeyId=x',
    )
    const authorization = fc.oneof(
      garbage,
      fc.array(fc.oneof(parts, garbage), { maxLength: 7 }).map((all) => all.join('')),
    )
    const query = fc.array(fc.oneof(parameter, garbage), { maxLength: 8 }).map((all) => all.join('&'))
    await fc.assert(
      fc.asyncProperty(fc.option(authorization, { nil: undefined }), query, async (said, text) => {
        const { headers } =
          said === undefined ? without(put(), 'authorization') : withHeader(put(), 'authorization', '')
        const map = new Map(Object.entries(headers).map(([key, one]) => [key, [one].flat()]))
        if (said !== undefined) map.set('authorization', [said])
        const request = arrived({}, { target: `/a?${text}`, headers: map })
        expect((await failureOf(signatures.verify(request, bucketTarget))).reason).toBeDefined()
      }),
    )
  })
})
