import { afterEach, describe, expect, it } from 'vitest'
import { RawConnection } from '../raw-http.js'
import { cleanUp, collect, serve, text } from '../serving.js'

afterEach(cleanUp)

interface Outcome {
  /** Statuses in the order in which they came. */
  readonly statuses: readonly number[]
  /** What got through to a handler: method, target and body. */
  readonly reached: readonly string[]
  readonly closed: boolean
}

/** Sends bytes followed by a request that must not be taken for a part of them, nor they for a part of it. */
async function send(bytes: string): Promise<Outcome> {
  const reached: string[] = []
  const { port } = await serve(async (request) => {
    const body = await collect(request)
    reached.push(`${request.method} ${request.target} ${body}`)
    return text('ok')
  })
  const connection = await RawConnection.open(port)
  await connection.trySend(`${bytes}GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
  const statuses: number[] = []
  for (;;) {
    const answer = await connection.answer({ deadlineMs: 3000 }).catch(() => undefined)
    if (answer === undefined) break
    statuses.push(answer.status)
  }
  await connection.untilClosed(3000).catch(() => undefined)
  const { closed } = connection
  connection.destroy()
  return { statuses, reached, closed }
}

const put = (fields: string, body: string): string => `PUT /x HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`
const chunked = 'Transfer-Encoding: chunked'
const last = '0\r\n\r\n'

describe('a request whose framing can be read in two ways', () => {
  it.each([
    ['TE and CL', put(`${chunked}\r\nContent-Length: 5`, last)],
    ['CL and TE', put(`Content-Length: 5\r\n${chunked}`, last)],
    ['CL and a TE in capitals', put('Content-Length: 5\r\nTRANSFER-ENCODING: Chunked', last)],
    ['two lengths', put('Content-Length: 3\r\nContent-Length: 4', 'abcd')],
    ['the same length twice', put('Content-Length: 3\r\nContent-Length: 3', 'abc')],
    ['a list of lengths', put('Content-Length: 3, 3', 'abc')],
    ['a length with a sign', put('Content-Length: +3', 'abc')],
    ['a negative length', put('Content-Length: -1', 'abc')],
    ['a length in hex', put('Content-Length: 0x3', 'abc')],
    ['a length with a blank in it', put('Content-Length: 1 2', 'abc')],
    ['an empty length', put('Content-Length:', 'abc')],
    ['a length that overflows', put('Content-Length: 18446744073709551619', 'abc')],
    ['a coding that is only like chunked', put('Transfer-Encoding: xchunked', last)],
    ['chunked in quotes', put('Transfer-Encoding: "chunked"', last)],
    ['chunked that is not last', put('Transfer-Encoding: chunked, identity', last)],
    ['chunked twice', put('Transfer-Encoding: chunked, chunked', last)],
    ['two coding headers', put(`${chunked}\r\n${chunked}`, last)],
    ['a coding before chunked', put('Transfer-Encoding: gzip, chunked', last)],
    ['identity', put('Transfer-Encoding: identity\r\nContent-Length: 3', 'abc')],
    ['an empty coding', put('Transfer-Encoding:\r\nContent-Length: 3', 'abc')],
    ['a coding with a control before it', put('Transfer-Encoding: \x0bchunked', last)],
    ['chunked over HTTP/1.0', `PUT /x HTTP/1.0\r\nHost: a\r\n${chunked}\r\nConnection: keep-alive\r\n\r\n${last}`],
    ['a blank before the colon', put('Content-Length : 3', 'abc')],
    ['a tab before the colon', put('Transfer-Encoding\t: chunked', last)],
    ['a folded header', put('X: 1\r\n Content-Length: 3', 'abc')],
    ['a folded coding', put('Transfer-Encoding:\r\n chunked', last)],
    ['a bare CR in a header', put('X: 1\rContent-Length: 3', 'abc')],
    ['NUL in a header', put('Content-Length: 3\0', 'abc')],
    ['a header without a name', put(': 1\r\nContent-Length: 3', 'abc')],
    ['a header without a colon', put('Content-Length 3', 'abc')],
    ['a blank before the first header', `PUT /x HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n`],
    ['bare line feeds', 'PUT /x HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc'],
  ])('never reaches anybody, nor what follows it: %s', async (_name, bytes) => {
    const { statuses, reached, closed } = await send(bytes)
    expect(reached).toEqual([])
    expect(statuses.length).toBeLessThanOrEqual(1)
    for (const status of statuses) expect([400, 501]).toContain(status)
    expect(closed).toBe(true)
  })

  it.each([
    ['no number', 'zz\r\nabc\r\n0\r\n\r\n'],
    ['a prefix', '0x3\r\nabc\r\n0\r\n\r\n'],
    ['a sign', '+3\r\nabc\r\n0\r\n\r\n'],
    ['nothing', '\r\nabc\r\n0\r\n\r\n'],
    ['more than can be counted', 'fffffffffffffffff\r\nabc\r\n0\r\n\r\n'],
    ['a bare line feed after the size', '3\nabc\r\n0\r\n\r\n'],
    ['a bare line feed after an extension', '3;a\nabc\r\n0\r\n\r\n'],
    ['a bare CR in an extension', '3;a\rb\r\nabc\r\n0\r\n\r\n'],
    ['more bytes than said', '3\r\nabcdef\r\n0\r\n\r\n'],
    ['a bare line feed after the bytes', '3\r\nabc\n0\r\n\r\n'],
    ['no line end after the bytes', '3\r\nabc0\r\n\r\n'],
    ['a blank after the size', '3 \r\nabc\r\n0\r\n\r\n'],
    ['endless extensions', `3;${'a=b;'.repeat(10_000)}\r\nabc\r\n0\r\n\r\n`],
    ['a folded trailer', '3\r\nabc\r\n0\r\nX: 1\r\n Y: 2\r\n\r\n'],
  ])('is no body to anybody where a chunk has %s', async (_name, body) => {
    const { reached, closed } = await send(put(chunked, body))
    expect(reached).toEqual([])
    expect(closed).toBe(true)
  })

  it('takes chunks with extensions and trailers for what they are', async () => {
    const body = '3;name="value"\r\nabc\r\n2\r\nde\r\n0\r\nHost: b\r\nX: 1\r\n\r\n'
    const { statuses, reached } = await send(put(chunked, body))
    expect([statuses, reached]).toEqual([
      [200, 200],
      ['PUT /x abcde', 'GET /next '],
    ])
  })

  it('takes the body of a GET for a body', async () => {
    const { reached } = await send(
      'GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 25\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n\r\n',
    )
    expect(reached.map((line) => line.split(' ')[1])).toEqual(['/x', '/next'])
  })
})

describe('a first line or host that is none', () => {
  it.each([
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
    ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
    ['a Host with a user', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
    ['a Host with a blank', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a Host with a port that is none', 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n', 400],
    ['a list of Hosts', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 501],
    ['PROXY protocol, version 1', 'PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    [
      'PROXY protocol, version 2',
      '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x06\x06\x06\x06\x7f\0\0\x01\0\x01\0\x02GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      400,
    ],
    ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 400],
    ['HTTP/2.0 as text', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 400],
    ['HTTP/0.9', 'GET /\r\n', 400],
    ['HTTP/0.9 as a version', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n', 400],
    ['HTTP/1.9', 'GET / HTTP/1.9\r\nHost: a\r\n\r\n', 400],
    ['a tab between', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a blank in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ])('reaches nobody: %s', async (_name, bytes, status) => {
    const { statuses, reached, closed } = await send(bytes)
    expect(reached).toEqual([])
    expect(statuses.length).toBeLessThanOrEqual(1)
    for (const found of statuses) expect([status, 400, 501, 505]).toContain(found)
    expect(closed).toBe(true)
  })

  it.each([
    ['an upgrade to HTTP/2', 'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n'],
    ['an upgrade to a WebSocket', 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n'],
  ])('is answered as HTTP/1.1 in spite of %s, and nothing that came with it is', async (_name, fields) => {
    const { statuses, reached, closed } = await send(put(`${fields}Content-Length: 3`, 'abc'))
    expect([statuses, reached, closed]).toEqual([[200], ['PUT /x abc'], true])
    expect((await send(`GET /x HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)).reached).toEqual(['GET /x '])
  })
})
