import { Failure } from '../src/core/failure.js'
import type { HttpRequest } from '../src/core/http.js'
import { presignedRequest, sha256, sign, signedRequest } from './s3-signer.js'
import type { S3Request, SentRequest } from './s3-signer.js'
import { arrived, bucketTarget, exampleHost, exampleKey, exampleTime, verification } from './s3-verification.js'

export const example = { key: exampleKey, host: exampleHost, time: exampleTime }

export async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

export const put = (more: Partial<S3Request> = {}): SentRequest =>
  signedRequest({ ...example, method: 'PUT', path: '/a key', body: 'content', ...more })

export const link = (more: Partial<Parameters<typeof presignedRequest>[0]> = {}): SentRequest =>
  presignedRequest({ ...example, path: '/a key', ...more })

export function withHeader(sent: SentRequest, name: string, value: string): SentRequest {
  return { ...sent, headers: { ...sent.headers, [name]: value } }
}

export function without(sent: SentRequest, name: string): SentRequest {
  return { ...sent, headers: Object.fromEntries(Object.entries(sent.headers).filter(([one]) => one !== name)) }
}

export function changed(sent: SentRequest, name: string, change: (text: string) => string): SentRequest {
  return withHeader(sent, name, change(String(sent.headers[name])))
}

export function authorization(change: (text: string) => string): SentRequest {
  return changed(put(), 'authorization', change)
}

export function signature(text: string): SentRequest {
  return authorization((all) => all.replace(/Signature=.*/, `Signature=${text}`))
}

export function names(text: string): SentRequest {
  return authorization((all) => all.replace(/SignedHeaders=[^,]*/, `SignedHeaders=${text}`))
}

export function credential(text: string): SentRequest {
  return authorization((all) => all.replace(/Credential=[^,]*/, `Credential=${text}`))
}

export function parameters(change: (target: string) => string): SentRequest {
  return { ...link(), target: change(link().target) }
}

/** As a proxy passes it on that asks for another host. */
export function behind(sent: SentRequest): SentRequest {
  return withHeader(sent, 'host', '127.0.0.1:8080')
}

/** Signed with a date in place of `x-amz-date`. */
export function withDate(date: string): SentRequest {
  const names = 'date;host;x-amz-content-sha256'
  const hash = sha256('content')
  const canonical = ['PUT', '/a', '', `date:${date}`, `host:${exampleHost}`, `x-amz-content-sha256:${hash}`, '', names, hash] // prettier-ignore
  const value = sign(exampleKey, '20130524T000000Z', 'us-east-1', canonical.join('\n'))
  const scope = `${exampleKey.id}/20130524/us-east-1/s3/aws4_request`
  const authorization = `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=${names}, Signature=${value}`
  const headers = { host: exampleHost, date, 'x-amz-content-sha256': hash, authorization }
  return { method: 'PUT', target: '/a', headers, body: Buffer.from('content'), signature: value }
}

export async function failureOf(verifying: Promise<unknown>): Promise<Failure> {
  try {
    await verifying
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('it was let in')
}

export async function codeOf(verifying: Promise<unknown>): Promise<string | undefined> {
  return (await failureOf(verifying)).reason
}

/** A request that is refused: the code of S3, what is wrong, the request. */
export type Refused = readonly [code: string, name: string, sent: Partial<SentRequest>, more?: Partial<HttpRequest>]

/** How a request is refused, how often its body was asked for, and which secrets an answer or the audit gave away. */
export async function refusal(
  sent: Partial<SentRequest>,
  more: Partial<HttpRequest>,
): Promise<{ readonly code: string | undefined; readonly pulls: number; readonly leaks: readonly string[] }> {
  const { signatures, events } = verification()
  const request = arrived({ body: Buffer.from('content'), ...sent }, more)
  const { reason, message } = await failureOf(signatures.verify(request, bucketTarget))
  const told = JSON.stringify([message, events])
  const secrets = [exampleKey.secret, put().signature, link().signature]
  return { code: reason, pulls: request.pulls(), leaks: secrets.filter((secret) => told.includes(secret)) }
}
