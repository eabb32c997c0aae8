import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What stands before a function: a Function URL, or a load balancer with or without `lambda.multi_value_headers.enabled`. */
export type FrontName = 'url' | 'alb' | 'alb-single'

/** A front turns a request into an event, and the result of a handler into an answer. */
export interface Front {
  /** Most bytes of an event, as JSON. */
  readonly requestBytes: number
  /** Most bytes of a handler's result, as JSON. */
  readonly responseBytes: number
  event(request: IncomingMessage, body: Buffer, options: EventOptions): unknown
  /** Writes the answer; false where the front does not understand the result. */
  answer(result: unknown, request: IncomingMessage, response: ServerResponse): boolean
}

export interface EventOptions {
  /** Which bodies are base64: those that are no text by their type, or all of them. */
  readonly base64: 'binary' | 'always'
}

const hopHeaders = /^(?:connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect)$/i

export const fronts: Readonly<Record<FrontName, Front>> = {
  url: {
    requestBytes: 6_291_456,
    responseBytes: 6_291_556,
    event: urlEvent,
    answer: (result, request, response) => answerOf(result, request, response, false),
  },
  alb: {
    requestBytes: 1_048_576,
    responseBytes: 1_048_576,
    event: (request, body, options) => albEvent(request, body, options, true),
    answer: (result, request, response) => answerOf(result, request, response, true),
  },
  'alb-single': {
    requestBytes: 1_048_576,
    responseBytes: 1_048_576,
    event: (request, body, options) => albEvent(request, body, options, false),
    answer: (result, request, response) => answerOf(result, request, response, true),
  },
}

/** Payload format 2.0, as Function URLs send it: the path as it was sent, repeated headers joined. */
function urlEvent(request: IncomingMessage, body: Buffer, options: EventOptions): unknown {
  const { path, query } = partsOf(request)
  const headers: Record<string, string> = {}
  for (const [name, values] of headerLists(request)) headers[name] = values.join(',')
  const cookies = headers['cookie']?.split('; ')
  delete headers['cookie']
  const address = request.socket.remoteAddress ?? '127.0.0.1'
  headers['x-forwarded-for'] = [headers['x-forwarded-for'], address].filter((one) => one !== undefined).join(', ')
  headers['x-forwarded-proto'] = 'https'
  headers['x-forwarded-port'] = '443'
  const domainName = (headers['host'] ?? 'function.lambda-url.eu-west-1.on.aws').replace(/:\d+$/, '')
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: query,
    ...(cookies !== undefined && { cookies }),
    headers,
    ...(query !== '' && { queryStringParameters: Object.fromEntries(new URLSearchParams(query)) }),
    requestContext: {
      accountId: 'anonymous',
      apiId: 'function',
      domainName,
      domainPrefix: 'function',
      http: {
        method: request.method,
        path,
        protocol: 'HTTP/1.1',
        sourceIp: address,
        userAgent: headers['user-agent'] ?? null,
      },
      requestId: randomUUID(),
      routeKey: '$default',
      stage: '$default',
      time: '23/Nov/2026:05:38:22 +0000',
      timeEpoch: Date.now(),
    },
    ...(body.length > 0 && encodedBody(request, body, options)),
    isBase64Encoded: body.length > 0 && encodedBody(request, body, options).isBase64Encoded,
  }
}

/** Paths and queries come as they were sent; of repeated ones the last stays, where the target group is not multi-valued. */
function albEvent(request: IncomingMessage, body: Buffer, options: EventOptions, isMulti: boolean): unknown {
  const { path, query } = partsOf(request)
  const lists = headerLists(request)
  const address = request.socket.remoteAddress ?? '127.0.0.1'
  const before = lists.get('x-forwarded-for')?.join(', ')
  lists.set('x-forwarded-for', [before === undefined ? address : `${before}, ${address}`])
  lists.set('x-forwarded-proto', ['https'])
  lists.set('x-forwarded-port', ['443'])
  const parameters = new Map<string, string[]>()
  for (const pair of query === '' ? [] : query.split('&')) {
    const [name = '', ...value] = pair.split('=')
    parameters.set(name, [...(parameters.get(name) ?? []), value.join('=')])
  }
  const lasts = (map: ReadonlyMap<string, readonly string[]>): object =>
    Object.fromEntries([...map].map(([name, values]) => [name, values.at(-1)]))
  return {
    requestContext: {
      elb: {
        targetGroupArn: 'arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/postern/0123456789abcdef',
      },
    },
    httpMethod: request.method,
    path,
    ...(isMulti
      ? {
          multiValueQueryStringParameters: Object.fromEntries(parameters),
          multiValueHeaders: Object.fromEntries(lists),
        }
      : { queryStringParameters: lasts(parameters), headers: lasts(lists) }),
    ...(body.length > 0 ? encodedBody(request, body, options) : { body: '', isBase64Encoded: false }),
  }
}

function partsOf({ url = '/' }: IncomingMessage): { readonly path: string; readonly query: string } {
  const mark = url.indexOf('?')
  return mark === -1 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) }
}

function headerLists({ rawHeaders }: IncomingMessage): Map<string, string[]> {
  const lists = new Map<string, string[]>()
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase()
    if (!hopHeaders.test(name)) lists.set(name, [...(lists.get(name) ?? []), rawHeaders[at + 1] ?? ''])
  }
  return lists
}

function encodedBody(
  request: IncomingMessage,
  body: Buffer,
  { base64 }: EventOptions,
): { readonly body: string; readonly isBase64Encoded: boolean } {
  const type = request.headers['content-type'] ?? ''
  const isText =
    base64 === 'binary' &&
    /^text\/|json|xml|javascript/i.test(type) &&
    request.headers['content-encoding'] === undefined &&
    isUtf8(body)
  return { body: body.toString(isText ? 'utf8' : 'base64'), isBase64Encoded: !isText }
}

interface Result {
  readonly statusCode?: unknown
  readonly headers?: Readonly<Record<string, unknown>>
  readonly multiValueHeaders?: Readonly<Record<string, readonly unknown[]>>
  readonly cookies?: readonly unknown[]
  readonly body?: unknown
  readonly isBase64Encoded?: unknown
}

function answerOf(result: unknown, request: IncomingMessage, response: ServerResponse, isAlb: boolean): boolean {
  if (typeof result !== 'object' || result === null) return false
  const { statusCode, body = '', isBase64Encoded = false, cookies = [], ...rest } = result as Result
  if (!Number.isInteger(statusCode) || typeof body !== 'string' || typeof isBase64Encoded !== 'boolean') return false
  if (isBase64Encoded && !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(body)) return false
  const flat: string[] = []
  const lists = isAlb && rest.multiValueHeaders !== undefined ? rest.multiValueHeaders : undefined
  for (const [name, values] of Object.entries(lists ?? {}))
    for (const value of values) if (!addHeader(flat, name, value)) return false
  if (lists === undefined)
    for (const [name, value] of Object.entries(rest.headers ?? {})) if (!addHeader(flat, name, value)) return false
  if (!isAlb) for (const cookie of cookies) if (!addHeader(flat, 'Set-Cookie', cookie)) return false
  const status = Number(statusCode)
  const bytes = Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8')
  const isBare = request.method === 'HEAD' || status === 204 || status === 304
  if (!isBare) flat.push('Content-Length', String(bytes.length))
  response.writeHead(status, STATUS_CODES[status] ?? 'Unknown', flat)
  response.end(isBare ? undefined : bytes)
  return true
}

/** The length is the front's to say, of all answers that have a body. */
export function addHeader(flat: string[], name: string, value: unknown): boolean {
  if (typeof value !== 'string' || !/^[\x20-\x7e\t]*$/.test(value)) return false
  if (!/^(?:content-length|transfer-encoding|connection)$/i.test(name)) flat.push(name, value)
  return true
}
