import { Failure } from '../../core/failure.js'

/** How a front wants to be answered. */
export type FrontKind = 'url' | 'alb' | 'alb-multi'

/** A request as an event tells it, before anybody believes it. */
export interface EventHead {
  readonly front: FrontKind
  readonly method: string
  /** `path?query`, as it was sent as far as the front lets that be known. */
  readonly target: string
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, readonly string[]>
  /** Undefined where the event has none. */
  readonly body: Buffer | undefined
  /** Of the connection to the front, as the front has seen it. */
  readonly address: string | undefined
  /** The name of the front itself, where it says it. */
  readonly domain: string | undefined
}

/** What an event asks for. */
export type LambdaCall =
  | { readonly kind: 'http'; readonly head: EventHead }
  /** A request that cannot be one: the front is told so, in place of an answer. */
  | { readonly kind: 'refused'; readonly front: FrontKind; readonly failure: Failure }
  /** Work that nobody waits for; `all` is everything that is due. */
  | { readonly kind: 'job'; readonly name: string }

type Fields = Readonly<Record<string, unknown>>

/**
 * What an event is, by its shape: payload format 2.0 of a Function URL, the event of an Application Load Balancer with or without
 * multi-value headers, a scheduled event of EventBridge, or `{ "job": NAME }`, there or in `detail`. Throws `invalid` for
 * anything else, with what was expected.
 */
export function readEvent(event: unknown): LambdaCall {
  if (!isFields(event)) throw strange()
  const context = event['requestContext']
  if (isFields(context)) {
    if (isFields(context['elb']))
      return http(event['multiValueHeaders'] === undefined ? 'alb' : 'alb-multi', () => balancerHead(event))
    if (event['version'] === '2.0' && isFields(context['http'])) return http('url', () => urlHead(event, context))
    if (typeof event['httpMethod'] === 'string') return refused('url', notThisFront())
    throw strange()
  }
  const { detail } = event
  const name = event['job'] ?? (isFields(detail) ? detail['job'] : undefined)
  if (name === undefined && event['source'] === 'aws.events' && event['detail-type'] === 'Scheduled Event')
    return { kind: 'job', name: 'all' }
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,63}$/.test(name)) throw strange()
  return { kind: 'job', name }
}

function http(front: FrontKind, read: () => Omit<EventHead, 'front'>): LambdaCall {
  try {
    return { kind: 'http', head: { front, ...read() } }
  } catch (error) {
    if (error instanceof Failure) return refused(front, error)
    throw error
  }
}

function refused(front: FrontKind, failure: Failure): LambdaCall {
  return { kind: 'refused', front, failure }
}

/** Payload format 2.0 (AWS Lambda, Function URLs): path and query are as they were sent, repeated headers are joined. */
function urlHead(event: Fields, context: Fields): Omit<EventHead, 'front'> {
  const asked = context['http']
  const domain = textOf(context['domainName'])
  // An HTTP API has the same format, but hands over paths that are decoded: another file might be meant than the one that is named.
  if (domain !== undefined && /\.execute-api\.[a-z0-9-]+\.amazonaws\./.test(domain)) throw notThisFront()
  if (!isFields(asked)) throw invalid('no method')
  const headers = new Map<string, readonly string[]>()
  for (const [name, value] of entriesOf(event['headers'])) addHeader(headers, name, [value])
  const { cookies } = event
  if (Array.isArray(cookies) && cookies.length > 0) {
    headers.delete('cookie')
    // One field, as browsers send it (RFC 6265 §5.4).
    addHeader(headers, 'cookie', [cookies.map((cookie) => requiredText(cookie, 'cookies')).join('; ')])
  }
  return {
    method: methodOf(asked['method']),
    target: targetOf(event['rawPath'], textOf(event['rawQueryString']) ?? ''),
    headers,
    body: bodyOf(event),
    address: textOf(asked['sourceIp']),
    domain,
  }
}

/** The event of a load balancer (ELB user guide): path and query are as they were sent; without multi-value headers the last one of repeated names stays. */
function balancerHead(event: Fields): Omit<EventHead, 'front'> {
  const headers = new Map<string, readonly string[]>()
  for (const [name, value] of entriesOf(event['multiValueHeaders'] ?? event['headers']))
    addHeader(headers, name, listOf(value))
  const query = entriesOf(event['multiValueQueryStringParameters'] ?? event['queryStringParameters'])
    .flatMap(([name, value]) => listOf(value).map((one) => `${name}=${requiredText(one, 'query')}`))
    .join('&')
  return {
    method: methodOf(event['httpMethod']),
    target: targetOf(event['path'], query),
    headers,
    body: bodyOf(event),
    // The load balancer adds whom it is connected to at the end, after whatever the client says.
    address: headers.get('x-forwarded-for')?.at(-1)?.split(',').at(-1)?.trim(),
    domain: undefined,
  }
}

function methodOf(value: unknown): string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(value)) throw invalid('no method')
  return value
}

function targetOf(path: unknown, query: string): string {
  const target = `${requiredText(path, 'path')}${query === '' ? '' : `?${query}`}`
  if (!/^\/[\x21-\x7e]*$/.test(target) || requiredText(path, 'path').includes('?'))
    throw invalid('a path that no request can have')
  return target
}

/** Names are looked up in lower case; what could not stand in a header line of a request is refused. */
function addHeader(headers: Map<string, readonly string[]>, name: string, values: readonly unknown[]): void {
  const key = name.toLowerCase()
  const texts = values.map((value) => requiredText(value, 'headers'))
  if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(key) || texts.some((text) => /[\0-\x08\n-\x1f\x7f]/.test(text)))
    throw invalid('a header that no request can have')
  headers.set(key, [...(headers.get(key) ?? []), ...texts.map((text) => text.trim())])
}

function bodyOf({ body, isBase64Encoded = false }: Fields): Buffer | undefined {
  if (body === undefined || body === null) return undefined
  if (typeof body !== 'string' || typeof isBase64Encoded !== 'boolean') throw invalid('a body that is no text')
  if (!isBase64Encoded) return Buffer.from(body)
  const bytes = Buffer.from(body, 'base64')
  // The decoder leaves out what it does not know and stops where it likes: only the length gives that away.
  const length = (body.length / 4) * 3 - (body.endsWith('==') ? 2 : body.endsWith('=') ? 1 : 0)
  if (bytes.length !== length || body.includes('-') || body.includes('_')) throw invalid('a body that is not base64')
  return bytes
}

function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  if (value === undefined || value === null) return []
  if (!isFields(value)) throw invalid('headers or a query that are no group')
  return Object.entries(value)
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function requiredText(value: unknown, where: string): string {
  if (typeof value !== 'string') throw invalid(`something in its ${where} that is no text`)
  return value
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(what: string): Failure {
  return new Failure('invalid', `The event of this request has ${what}.`)
}

function notThisFront(): Failure {
  return new Failure(
    'unsupported',
    'API Gateway changes paths before it hands them over. Put a Function URL or an Application Load Balancer before this function.',
  )
}

function strange(): Failure {
  return new Failure(
    'invalid',
    'This event is none that Postern knows: it answers requests of a Function URL (payload format 2.0) and of an Application Load Balancer, scheduled events of EventBridge, and {"job": "NAME"}.',
  )
}
