// Signs requests of the S3 API (AWS Signature Version 4, in headers) as clients do, before they are measured.
import { createHash, createHmac } from 'node:crypto'

const region = 'us-east-1'
/** What is said of a body that is not signed. */
export const unsignedPayload = 'UNSIGNED-PAYLOAD'
const streamed = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const hmac = (key, text) => createHmac('sha256', key).update(text).digest()

/**
 * @typedef {{ id: string, secret: string }} Key
 * @typedef {{ method: string, target: string, host: string, key: Key, headers?: Record<string, string>, payload?: string }} Unsigned
 * `target` is the path, its query percent-encoded; `payload` what `x-amz-content-sha256` is to say.
 */

/** A query as S3 clients write it: sorted, everything encoded but what need not be. @param {Record<string, string>} values */
export function queryOf(values) {
  const encode = (text) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  return Object.keys(values)
    .sort()
    .map((name) => `${encode(name)}=${encode(values[name])}`)
    .join('&')
}

const signingKeys = new Map()
function signingKey(secret, day) {
  const name = `${secret} ${day}`
  let key = signingKeys.get(name)
  if (key === undefined) {
    key = [day, region, 's3', 'aws4_request'].reduce(hmac, `AWS4${secret}`)
    signingKeys.set(name, key)
  }
  return key
}

function sign({ method, target, host, key, headers = {}, payload = unsignedPayload }) {
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`
  const all = { ...headers, 'x-amz-content-sha256': payload, 'x-amz-date': date }
  const signed = Object.entries({ ...all, host }).map(([name, value]) => [name.toLowerCase(), value])
  signed.sort(([a], [b]) => (a < b ? -1 : 1))
  const names = signed.map(([name]) => name).join(';')
  const [path, query = ''] = target.split('?')
  const lines = signed.map(([name, value]) => `${name}:${value}\n`).join('')
  const request = `${method}\n${path}\n${query}\n${lines}\n${names}\n${payload}`
  const by = signingKey(key.secret, date.slice(0, 8))
  const signature = hmac(by, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(request)}`).toString('hex')
  const credential = `AWS4-HMAC-SHA256 Credential=${key.id}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  return { headers: { ...all, Authorization: credential }, by, date, scope, signature }
}

/** All headers but Host and Content-Length, the signature being one. Good for 15 minutes. @param {Unsigned} request */
export function signedHeaders(request) {
  return sign(request).headers
}

/**
 * The headers and the body of an upload whose chunks are each signed (`aws-chunked`).
 * @param {Unsigned} request @param {number} length of the content
 * @param {(part: Buffer) => void} write takes the parts of the body in turn
 * @returns {(chunk: Buffer) => void} to be given the content in chunks, and an empty one at the end
 */
export function signedChunks(request, length, write) {
  const extra = { 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': String(length) }
  const seed = sign({ ...request, headers: { ...request.headers, ...extra }, payload: streamed })
  let before = seed.signature
  const empty = sha256('')
  const feed = (chunk) => {
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${seed.date}\n${seed.scope}\n${before}\n${empty}\n${sha256(chunk)}`
    before = hmac(seed.by, text).toString('hex')
    write(Buffer.from(`${chunk.length.toString(16)};chunk-signature=${before}\r\n`))
    write(chunk)
    write(Buffer.from('\r\n'))
  }
  return { headers: seed.headers, feed }
}
