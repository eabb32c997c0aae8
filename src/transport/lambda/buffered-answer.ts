import { isUtf8 } from 'node:buffer'
import { STATUS_CODES } from 'node:http'
import type { AnswerHead } from './answer-head.js'
import type { FrontKind } from './event.js'
import { balancedBytes, bufferedBytes } from './limits.js'

/** What a handler gives back: payload format 2.0, or what a load balancer wants. */
export interface BufferedResult {
  readonly statusCode: number
  readonly statusDescription?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[]>>
  readonly cookies?: readonly string[]
  readonly body: string
  readonly isBase64Encoded: boolean
}

/** Most bytes of a result as JSON, which is how a handler gives it to the platform. */
export function mostBytes(front: FrontKind): number {
  return front === 'url' ? bufferedBytes : balancedBytes
}

/** An answer as this front takes it; undefined where it is larger than the front does. */
export function bufferedResult(front: FrontKind, head: AnswerHead, body: Uint8Array): BufferedResult | undefined {
  const result = { statusCode: head.status, ...headersFor(front, head), ...encoded(head, body) }
  // Every character could take six bytes as JSON; none of base64 does.
  const isFar = body.length * (result.isBase64Encoded ? 4 / 3 : 6) + 65_536 < mostBytes(front)
  return isFar || Buffer.byteLength(JSON.stringify(result)) <= mostBytes(front) ? result : undefined
}

function headersFor(
  front: FrontKind,
  { status, headers, cookies }: AnswerHead,
): Pick<BufferedResult, 'statusDescription' | 'headers' | 'multiValueHeaders' | 'cookies'> {
  if (front === 'url') return { headers: Object.fromEntries(headers), ...(cookies.length > 0 && { cookies }) }
  const statusDescription = `${status} ${STATUS_CODES[status] ?? 'Unknown'}`
  if (front === 'alb-multi') {
    const lists = Object.fromEntries(headers.map(([name, value]) => [name, [value]]))
    return { statusDescription, multiValueHeaders: cookies.length > 0 ? { ...lists, 'Set-Cookie': cookies } : lists }
  }
  // One value by name, and cookies cannot be joined: names in other letters are other names to it, and the same to the client.
  const named = cookies.map((cookie, index) => [inLetters('set-cookie', index), cookie] as const)
  return { statusDescription, headers: Object.fromEntries([...headers, ...named]) }
}

/** The name with the letters upper-cased that the bits of `number` stand for. */
function inLetters(name: string, number: number): string {
  let bit = -1
  return name.replace(/[a-z]/g, (letter) => {
    bit += 1
    return (number >> bit) % 2 === 1 ? letter.toUpperCase() : letter
  })
}

/** Text as it is, where its type says so and it is UTF-8: that is smaller, and reads well in a test of the console. */
function encoded({ headers }: AnswerHead, body: Uint8Array): Pick<BufferedResult, 'body' | 'isBase64Encoded'> {
  if (body.length === 0) return { body: '', isBase64Encoded: false }
  const of = (wanted: string): string => headers.find(([name]) => name.toLowerCase() === wanted)?.[1] ?? ''
  const isText =
    of('content-encoding') === '' &&
    /^text\/|[/+](?:json|xml)\b|^application\/javascript\b/i.test(of('content-type')) &&
    isUtf8(body)
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  return { body: bytes.toString(isText ? 'utf8' : 'base64'), isBase64Encoded: !isText }
}
