import { describe, expect, it } from 'vitest'
import { claimOfHeader } from './claim.js'

function header(region: string): string {
  const signature = 'a'.repeat(64)
  return `AWS4-HMAC-SHA256 Credential=AK/20260131/${region}/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`
}

describe('the region of a credential', () => {
  it.each(['us-east-1', 'auto', 'garage', 'EU', '127.0.0.1', 'files.example.org'])('may be %s', (region) => {
    const claim = claimOfHeader(header(region), '20260131T120000Z')
    expect(claim).toMatchObject({ region, scope: `20260131/${region}/s3/aws4_request` })
  })

  it.each(['', 'a b', 'a/b', 'a%2Fb', 'ä', '../x', 'a,b', 'x'.repeat(254)])('may not be %j', (region) => {
    expect(() => claimOfHeader(header(region), '20260131T120000Z')).toThrow(
      expect.objectContaining({ kind: 'invalid', reason: 'AuthorizationHeaderMalformed' }),
    )
  })
})
