import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { readEvent } from './event.js'
import type { EventHead, LambdaCall } from './event.js'

/** As a Function URL sends it. */
const url = {
  version: '2.0',
  routeKey: '$default',
  rawPath: '/pa2%2Fth/1',
  rawQueryString: 'a=1&a=%20&b',
  cookies: ['one=1', 'two=2'],
  headers: {
    'content-length': '3',
    'content-type': 'text/plain',
    host: 'abc.lambda-url.eu-west-1.on.aws',
    'x-forwarded-for': '6.6.6.6, 192.0.2.7',
    'x-forwarded-proto': 'https',
  },
  requestContext: {
    accountId: 'anonymous',
    apiId: 'abc',
    domainName: 'abc.lambda-url.eu-west-1.on.aws',
    http: { method: 'POST', path: '/pa2%2Fth/1', protocol: 'HTTP/1.1', sourceIp: '192.0.2.7', userAgent: 'curl' },
    stage: '$default',
  },
  body: 'abc',
  isBase64Encoded: false,
}

const elb = { elb: { targetGroupArn: 'arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/a/b' } }

/** As a load balancer sends it, with `lambda.multi_value_headers.enabled`. */
const multi = {
  requestContext: elb,
  httpMethod: 'GET',
  path: '/a%20b',
  multiValueQueryStringParameters: { x: ['1', '%2F'], uploads: [''] },
  multiValueHeaders: { 'X-Twice': ['a', 'b'], 'x-forwarded-for': ['6.6.6.6, 192.0.2.7'], host: ['files.example.org'] },
  body: '',
  isBase64Encoded: false,
}

const single = {
  requestContext: elb,
  httpMethod: 'PUT',
  path: '/',
  queryStringParameters: { x: '%2F' },
  headers: { host: 'files.example.org' },
  body: 'AAE=',
  isBase64Encoded: true,
}

function head(event: unknown): EventHead {
  const call = readEvent(event)
  if (call.kind !== 'http') throw new Error(`no request: ${JSON.stringify(call)}`)
  return call.head
}

/** How an event is answered that is no request: by the kind of the failure, or by throwing. */
function outcome(event: unknown): string {
  let call: LambdaCall
  try {
    call = readEvent(event)
  } catch (error) {
    if (isFailure(error)) return `throws ${error.kind}`
    throw error
  }
  return call.kind === 'refused' ? `${call.front} ${call.failure.kind}` : call.kind
}

describe('events that are requests', () => {
  it('keep the path and the query of a Function URL as they were sent', () => {
    expect(head(url)).toMatchObject({
      front: 'url',
      method: 'POST',
      target: '/pa2%2Fth/1?a=1&a=%20&b',
      address: '192.0.2.7',
    })
    expect(head({ ...url, rawQueryString: '' }).target).toBe('/pa2%2Fth/1')
    expect(head(url).body?.toString()).toBe('abc')
  })

  it('have their cookies in one header, whatever else is said of them', () => {
    expect(head(url).headers.get('cookie')).toEqual(['one=1; two=2'])
    expect(head({ ...url, headers: { ...url.headers, cookie: 'other=1' } }).headers.get('cookie')).toEqual([
      'one=1; two=2',
    ])
    expect(head({ ...url, cookies: undefined, headers: { cookie: 'a=1' } }).headers.get('cookie')).toEqual(['a=1'])
  })

  it('keep repeated headers and parameters of a load balancer that sends them', () => {
    const found = head(multi)
    expect(found).toMatchObject({ front: 'alb-multi', target: '/a%20b?x=1&x=%2F&uploads=' })
    expect(found.headers.get('x-twice')).toEqual(['a', 'b'])
    // The last one is its own word; a client writes what it likes before it.
    expect(found.address).toBe('192.0.2.7')
  })

  it('come with one value each from one that does not', () => {
    const found = head(single)
    expect(found).toMatchObject({ front: 'alb', target: '/?x=%2F', address: undefined })
    expect(found.body).toEqual(Buffer.from([0, 1]))
  })

  it('may have no body, an empty one, or one of any bytes', () => {
    expect(head({ ...url, body: undefined }).body).toBeUndefined()
    expect(head({ ...url, body: null }).body).toBeUndefined()
    expect(head({ ...url, body: '', isBase64Encoded: true }).body).toEqual(Buffer.alloc(0))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const body = Buffer.from(bytes).toString('base64')
        expect(head({ ...url, body, isBase64Encoded: true }).body?.equals(bytes)).toBe(true)
      }),
    )
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (body) => {
        expect(head({ ...url, body }).body?.toString()).toBe(body)
      }),
    )
  })
})

describe('events that are no request', () => {
  const withHttp = (change: object): unknown => ({
    ...url,
    requestContext: { ...url.requestContext, http: { ...url.requestContext.http, ...change } },
  })

  it.each([
    ['truncated base64', { ...url, body: 'YWJ', isBase64Encoded: true }],
    ['base64 with a line break', { ...url, body: 'YWJj\nYWJj', isBase64Encoded: true }],
    ['base64 that ends in the middle', { ...url, body: 'YW==YWJj', isBase64Encoded: true }],
    ['base64 for URLs', { ...url, body: 'YW-_', isBase64Encoded: true }],
    ['something else in base64', { ...url, body: 'Y*Jj', isBase64Encoded: true }],
    ['a body that is no text', { ...url, body: { a: 1 } }],
    ['a flag that is none', { ...url, isBase64Encoded: 'true' }],
    ['no path', { ...url, rawPath: undefined }],
    ['a path without a slash', { ...url, rawPath: 'a' }],
    ['an absolute URL as its path', { ...url, rawPath: 'http://other/a' }],
    ['a path with a query in it', { ...url, rawPath: '/a?b' }],
    ['a path that is decoded', { ...url, rawPath: '/a b' }],
    ['a path of other letters', { ...url, rawPath: '/é' }],
    ['a path with a line break', { ...url, rawPath: '/a\r\nx: y' }],
    ['a query with a line break', { ...url, rawQueryString: 'a\r\nb' }],
    ['no method', withHttp({ method: undefined })],
    ['an empty method', withHttp({ method: '' })],
    ['a method with a space', withHttp({ method: 'GET /' })],
    ['a method that is a list', withHttp({ method: ['GET'] })],
    ['headers that are a list', { ...url, headers: ['a'] }],
    ['a header that is a number', { ...url, headers: { 'content-length': 3 } }],
    ['a header that is a list', { ...url, headers: { a: ['b'] } }],
    ['a header with a line break', { ...url, headers: { a: 'b\r\nc: d' } }],
    ['a header with a NUL', { ...url, headers: { a: 'b\0' } }],
    ['a header with no name', { ...url, headers: { '': 'b' } }],
    ['a header whose name ends a line', { ...url, headers: { 'a\r\nb': 'c' } }],
    ['cookies that are no text', { ...url, cookies: [1] }],
    ['a cookie with a line break', { ...url, cookies: ['a=1\r\nb: c'] }],
  ])('are refused: %s', (_, event) => {
    expect(outcome(event)).toBe('url invalid')
  })

  it.each([
    ['no path', { ...multi, path: undefined }],
    ['a query that is no text', { ...multi, multiValueQueryStringParameters: { x: [1] } }],
    ['a query that is deep', { ...multi, multiValueQueryStringParameters: { x: [['1']] } }],
    ['a header that is no text', { ...multi, multiValueHeaders: { x: [null] } }],
    ['truncated base64', { ...multi, body: 'YWJ', isBase64Encoded: true }],
  ])('are refused in the way of a load balancer: %s', (_, event) => {
    expect(outcome(event)).toBe('alb-multi invalid')
  })

  it('are refused where the front changes paths', () => {
    const domainName = 'abc.execute-api.eu-west-1.amazonaws.com'
    expect(outcome({ ...url, requestContext: { ...url.requestContext, domainName } })).toBe('url unsupported')
    // A REST API, payload format 1.0.
    expect(outcome({ resource: '/{proxy+}', path: '/a', httpMethod: 'GET', requestContext: { stage: 'a' } })).toBe(
      'url unsupported',
    )
  })

  it.each([
    null,
    undefined,
    1,
    'text',
    [],
    [url],
    {},
    { Records: [{ eventSource: 'aws:s3' }] },
    { requestContext: {} },
    { requestContext: { http: {} }, version: '1.0' },
    { job: 1 },
    { job: '' },
    { job: '../purge' },
    { job: 'a'.repeat(65) },
    { source: 'aws.events' },
    { source: 'aws.s3', 'detail-type': 'Object Created', detail: {} },
  ])('are no events of ours: %j', (event) => {
    expect(outcome(event)).toBe('throws invalid')
  })

  it('never do anything else than to be refused', () => {
    const part = fc.anything({ withNullPrototype: true })
    const shape = fc.record(
      {
        version: fc.constantFrom('2.0', '1.0', 2),
        rawPath: part,
        rawQueryString: part,
        cookies: part,
        headers: part,
        multiValueHeaders: part,
        multiValueQueryStringParameters: part,
        queryStringParameters: part,
        httpMethod: part,
        path: part,
        body: part,
        isBase64Encoded: part,
        job: part,
        detail: part,
        source: part,
        requestContext: fc.oneof(part, fc.record({ http: part }), fc.constant(elb)),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fc.oneof(part, shape), (event) => {
        expect(outcome(event)).toMatch(/^(?:http|job|(?:url|alb|alb-multi) (?:invalid|unsupported)|throws invalid)$/)
      }),
    )
  })
})

describe('events that are jobs', () => {
  it('name the job, or mean all that are due', () => {
    expect(readEvent({ job: 'sweep' })).toEqual({ kind: 'job', name: 'sweep' })
    expect(readEvent({ job: 'all' })).toEqual({ kind: 'job', name: 'all' })
    expect(readEvent({ source: 'ours', 'detail-type': 'x', detail: { job: 'deliver' } })).toEqual({
      kind: 'job',
      name: 'deliver',
    })
    expect(readEvent({ source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} })).toEqual({
      kind: 'job',
      name: 'all',
    })
  })

  it('are never what a client of HTTP sends', () => {
    const forged = { ...url, job: 'all', detail: { job: 'all' }, source: 'aws.events' }
    expect(outcome(forged)).toBe('http')
    expect(outcome({ ...multi, job: 'all' })).toBe('http')
  })
})
