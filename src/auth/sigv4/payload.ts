import { Failure } from '../../core/failure.js'
import { header, type HttpRequest } from '../../core/http.js'
import { AwsChunked } from './aws-chunked.js'
import { type ChunkSignatures, signatureText } from './chunk-signatures.js'
import { declaredChecksum, declaredDigests, declaredTrailers } from './declared-digests.js'
import type { Proof } from './proof.js'
import { type ExpectedDigest, VerifiedBody } from './verified-body.js'

/** Ways in which the bytes of a request are bound to its signature, each with all that the way needs. */
type Payload =
  /** `sha256` in hex, which is part of what was signed. */
  | { readonly kind: 'hashed'; readonly sha256: string }
  /** Bound by nothing but what the client declares besides. */
  | { readonly kind: 'unsigned' }
  /** Framed, each chunk signed on from the signature of the request. */
  | {
      readonly kind: 'signed-chunks'
      readonly chunks: () => ChunkSignatures
      readonly hasTrailers: boolean
    }
  /** Framed, with a checksum after it. */
  | { readonly kind: 'unsigned-chunks' }

/**
 * What stands for the payload in the canonical request: `x-amz-content-sha256` as sent, which is not judged here;
 * `UNSIGNED-PAYLOAD` where a signed URL says nothing. Throws `invalid` (`InvalidRequest`) where a signed header must say it.
 */
export function payloadHash(request: Pick<HttpRequest, 'headers' | 'target'>, by: Proof['by']): string {
  const said = header(request, 'x-amz-content-sha256')
  if (said !== undefined) return said
  if (by === 'header') throw invalid('Missing required header for this request: x-amz-content-sha256')
  if (by === 'query') return inQuery(request.target) ?? 'UNSIGNED-PAYLOAD'
  return isFramed(request) ? 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' : 'UNSIGNED-PAYLOAD'
}

/**
 * The body of a request whose signature holds, which cannot come to its end unless it is what was signed and declared.
 * Throws `invalid`, `unsupported`, `length-required` with the code of S3 for what cannot be verified: whatever is not
 * known to be right is refused. Nothing is read yet.
 */
export function payloadOf(request: HttpRequest, proof: Proof): VerifiedBody {
  const payload = readPayload(payloadHash(request, proof.by), proof)
  switch (payload.kind) {
    case 'hashed':
      return plainBody(request, [
        { name: 'sha256', value: Buffer.from(payload.sha256, 'hex'), said: 'x-amz-content-sha256' },
      ])
    case 'unsigned':
      return plainBody(request, [])
    case 'signed-chunks': {
      const trailers = declaredTrailers(request)
      if (payload.hasTrailers !== trailers.length > 0)
        throw invalid('x-amz-trailer and x-amz-content-sha256 must either both announce a trailer or both none.')
      return framedBody(request, trailers, payload.chunks(), payload.hasTrailers)
    }
    case 'unsigned-chunks':
      return framedBody(request, declaredTrailers(request), undefined, true)
    default:
      return payload satisfies never
  }
}

/** `Content-Encoding` of the content itself, without the framing of the request (`aws-chunked`); undefined where nothing is left. */
export function contentEncodingWithout(value: string | undefined): string | undefined {
  const left = codingsOf(value).filter((coding) => coding.toLowerCase() !== 'aws-chunked')
  return left.length === 0 ? undefined : left.join(',')
}

function readPayload(said: string, proof: Proof): Payload {
  if (signatureText.test(said)) return { kind: 'hashed', sha256: said }
  switch (said) {
    case 'UNSIGNED-PAYLOAD':
      return { kind: 'unsigned' }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      if (proof.by !== 'header') throw notThisWay(said)
      return { kind: 'signed-chunks', chunks: proof.chunks, hasTrailers: said.endsWith('-TRAILER') }
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      if (proof.by === 'query') throw notThisWay(said)
      return { kind: 'unsigned-chunks' }
    case 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD':
    case 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER':
      throw new Failure('unsupported', 'The chunk encoding algorithm is not supported. Sign with AWS4-HMAC-SHA256.', {
        reason: 'NotImplemented',
      })
    default:
      throw new Failure(
        'invalid',
        'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, ' +
          'STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
        { reason: 'InvalidArgument' },
      )
  }
}

function plainBody(request: HttpRequest, signed: readonly ExpectedDigest[]): VerifiedBody {
  if (request.headers.has('x-amz-trailer'))
    throw invalid('x-amz-trailer needs an x-amz-content-sha256 that ends with -TRAILER.')
  const length = wholeNumber(header(request, 'content-length'))
  // Its framing would be taken for content.
  if (isFramed(request) && length !== 0)
    throw invalid('A body with Content-Encoding aws-chunked needs an x-amz-content-sha256 that begins with STREAMING-.')
  return new VerifiedBody({
    chunks: request.body,
    length,
    expected: [...signed, ...expectedOf(request, [], () => '')],
  })
}

function framedBody(
  request: HttpRequest,
  trailers: readonly string[],
  signatures: ChunkSignatures | undefined,
  hasTrailers: boolean,
): VerifiedBody {
  const announced = header(request, 'x-amz-decoded-content-length')
  const length = wholeNumber(announced)
  // Who streams what has no end yet announces no length; then the last chunk alone tells that all is there.
  const isOpen = announced === undefined && !request.headers.has('content-length')
  if (length === undefined && !isOpen)
    throw new Failure('length-required', 'You must provide the x-amz-decoded-content-length HTTP header.', {
      reason: 'MissingContentLength',
    })
  const chunks = new AwsChunked({
    body: request.body,
    length,
    signatures,
    trailers: hasTrailers ? trailers : undefined,
  })
  const expected = expectedOf(request, trailers, (name) => chunks.trailer(name))
  return new VerifiedBody({ chunks, length, expected })
}

/** Where a multipart upload is completed, a checksum in the headers is that of the object and not of the list of its parts. */
function expectedOf(
  request: HttpRequest,
  trailers: readonly string[],
  trailer: (name: string) => string,
): readonly ExpectedDigest[] {
  if (!isCompletion(request)) return declaredDigests(request, trailers, trailer)
  declaredChecksum(request)
  const headers = new Map([...request.headers].filter(([name]) => name === 'content-md5'))
  return declaredDigests({ headers }, trailers, trailer)
}

/** `POST` with `uploadId` in its query, which would be of no account to the other operations that take a list. */
function isCompletion({ method, target }: Pick<HttpRequest, 'method' | 'target'>): boolean {
  return method === 'POST' && /[?&]uploadId=/.test(target) && !/[?&]delete(?:[=&]|$)/.test(target)
}

function isFramed(request: Pick<HttpRequest, 'headers'>): boolean {
  return codingsOf(header(request, 'content-encoding')).some((coding) => coding.toLowerCase() === 'aws-chunked')
}

function codingsOf(value: string | undefined): readonly string[] {
  return (value ?? '').split(',').flatMap((coding) => (coding.trim() === '' ? [] : [coding.trim()]))
}

/** `X-Amz-Content-Sha256` of a signed URL. */
function inQuery(target: string): string | undefined {
  return /[?&]x-amz-content-sha256=([^&]*)/i.exec(target)?.[1]
}

/** Undefined where it is absent or no whole number. */
function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function notThisWay(said: string): Failure {
  return invalid(`An x-amz-content-sha256 of ${said} needs a request that is signed by its Authorization header.`)
}

function invalid(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidRequest' })
}
