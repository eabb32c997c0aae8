import { Failure, type S3ErrorCode } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import { amzDateOf } from './amz-date.js'
import { assumedHeader } from './canonical-request.js'
import type { Claim } from './claim.js'

/** Why a claim cannot hold, whatever its signature. */
export interface Objection {
  /** For the audit log. */
  readonly why: string
  readonly failure: Failure
}

/** How far clocks may be apart (Amazon S3 API Reference, "Authenticating Requests"). */
const mostSkew = 15 * 60 * 1000

/**
 * When a request says that it was signed, as `20260131T120000Z`: in `x-amz-date`, else in `Date`. Throws `denied`
 * (`AccessDenied`) where neither says so.
 */
export function requestDate({ headers }: Pick<HttpRequest, 'headers'>): string {
  const said = headers.get('x-amz-date')?.[0] ?? amzDateOf(headers.get('date')?.[0] ?? '')
  if (said !== undefined && amzDateOf(said) === said) return said
  throw new Failure('denied', 'AWS authentication requires a valid Date or x-amz-date header', {
    reason: 'AccessDenied',
  })
}

/** What the clock has against a claim, if anything. `now` in milliseconds since the epoch. */
export function objectionToTime({ time, expiresSeconds }: Claim, now: number): Objection | undefined {
  if (expiresSeconds === undefined)
    return Math.abs(now - time) <= mostSkew
      ? undefined
      : objection(
          'skewed',
          'RequestTimeTooSkewed',
          'The difference between the request time and the server time is too large. Set the clock of your computer.',
        )
  if (time - now > mostSkew) return objection('skewed', 'AccessDenied', 'Request is not yet valid')
  return now <= time + expiresSeconds * 1000 ? undefined : objection('expired', 'AccessDenied', 'Request has expired')
}

/** Milliseconds since the epoch: later than that, the clock has something against the claim. */
export function provenUntil({ time, expiresSeconds }: Claim): number {
  return time + (expiresSeconds === undefined ? mostSkew : expiresSeconds * 1000)
}

/**
 * What is wrong with the headers that a claim covers, if anything: every header of Amazon's own must be among them, so that
 * nobody on the way can add one, and all that are among them must be there.
 */
export function objectionToHeaders(
  { by, names }: Claim,
  { headers, peer }: Pick<HttpRequest, 'headers' | 'peer'>,
): Objection | undefined {
  const signed = new Set(names)
  for (const name of headers.keys()) {
    if (!name.startsWith('x-amz-') || signed.has(name)) continue
    // Part of what is signed, as what stands for the body.
    if (by === 'query' && name === 'x-amz-content-sha256') continue
    // CloudFront numbers the requests that it passes on.
    if (peer.trusted === true && name === 'x-amz-cf-id') continue
    return notSigned(name)
  }
  if (by === 'header' && !headers.has('x-amz-date') && !signed.has('date')) return notSigned('date')
  const missing = names.find((name) => name !== 'host' && !headers.has(name) && assumedHeader(name) === undefined)
  if (missing === undefined) return undefined
  return objection(
    'missing-header',
    'SignatureDoesNotMatch',
    `The signature is over the header ${missing}, which the request does not have. If a proxy removed it, sign without it.`,
  )
}

function notSigned(name: string): Objection {
  const message = `There were headers present in the request which were not signed: ${name}`
  return objection('unsigned-header', 'AccessDenied', message)
}

function objection(why: string, reason: S3ErrorCode, message: string): Objection {
  return { why, failure: new Failure('denied', message, { reason }) }
}
