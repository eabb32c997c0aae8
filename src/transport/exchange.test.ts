import { afterEach, describe, expect, it } from 'vitest'
import type { HttpRequest } from '../core/http.js'
import { RawConnection } from '../../test/raw-http.js'
import { cleanUp, collect, limits, ok, serve, stream, text } from '../../test/serving.js'

afterEach(cleanUp)

describe('a transport', () => {
  it('keeps the target and repeated headers exactly as sent', async () => {
    let seen: HttpRequest | undefined
    const { connection } = await serve(async (request) => {
      seen = request
      return ok
    })
    await connection.send('GET /a//%2e%2E/b?x=%41&y HTTP/1.1\r\nHost: Example.org\r\nX-A: 1\r\nx-a: 2\r\n\r\n')
    expect((await connection.answer()).text).toBe('ok')
    expect(seen?.target).toBe('/a//%2e%2E/b?x=%41&y')
    expect(seen?.headers.get('x-a')).toEqual(['1', '2'])
    expect(seen?.origin).toEqual(expect.objectContaining({ scheme: 'http', authority: 'example.org' }))
    expect(seen?.peer.address).toBe('127.0.0.1')
    expect(seen?.listener).toBe('main')
  })

  it('reduces an absolute form to its path and authority', async () => {
    const { connection } = await serve(async (request) => text(`${request.target} ${request.origin.authority}`))
    await connection.send('GET http://Files.example:81/a%20b?c HTTP/1.1\r\nHost: other\r\n\r\n')
    expect((await connection.answer()).text).toBe('/a%20b?c files.example:81')
    await connection.send('GET http://files.example HTTP/1.1\r\nHost: other\r\n\r\n')
    expect((await connection.answer()).text).toBe('/ files.example')
  })

  it.each([
    ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['user information in the host', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
    [
      'both framings',
      'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['another transfer coding', 'PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 501],
    ['two lengths', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd', 400],
    ['a signed length', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc', 400],
    ['a line folded into a header', 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n', 400],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n', 400],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', 400],
    ['an unknown method', 'FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n', 501],
    ['an unknown expectation', 'PUT / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n', 417],
    ['a header bomb', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(10_000)}\r\n`, 431],
    ['one huge header', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`, 431],
  ])('refuses %s', async (_name, bytes, status) => {
    const { connection } = await serve(async () => ok)
    await connection.trySend(bytes)
    expect((await connection.answer()).status).toBe(status)
  })

  it('shows every one of thousands of small headers, or refuses', async () => {
    const { connection } = await serve(async (request) => text(String(request.headers.size)))
    const many = Array.from({ length: 2500 }, (_, number) => `${number.toString(36)}:\r\n`).join('')
    await connection.send(`GET / HTTP/1.1\r\nHost: a\r\n${many}\r\n`)
    expect((await connection.answer()).text).toBe('2501')
  })

  it('answers 500 where a header cannot be written, and lives on', async () => {
    const { connection, port } = await serve(async (request) =>
      request.target === '/bad'
        ? { status: 200, headers: [['X-A', 'a\r\nSet-Cookie: b']], body: Buffer.from('x') }
        : ok,
    )
    await connection.send('GET /bad HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.status, answer.text, answer.header('set-cookie')]).toEqual([500, '', ''])
    const next = await RawConnection.open(port)
    await next.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await next.answer()).status).toBe(200)
    next.destroy()
  })

  it('answers what came whole before bytes that are no HTTP, and closes', async () => {
    const { connection } = await serve(async (request) => text(await collect(request)))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\x00garbage\r\n\r\n')
    expect((await connection.answer()).text).toBe('abc')
    await connection.untilClosed(1000)
  })

  it('does not break off an answer that takes longer than the idle time to make', async () => {
    const { connection } = await serve(
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 400))
        return { status: 200, headers: [], body: stream('late') }
      },
      { limits: { ...limits, idleSeconds: 0.1 } },
    )
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('late')
  })

  it('serves requests sent ahead in order, one after the other', async () => {
    const order: string[] = []
    const { connection } = await serve(async (request) => {
      order.push(`begin ${request.target}`)
      let size = 0
      for await (const chunk of request.body) size += chunk.length
      if (request.target === '/1') await new Promise((resolve) => setTimeout(resolve, 20))
      order.push(`end ${request.target}`)
      return text(`${request.target} ${size}`)
    })
    await connection.send(
      'PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n',
    )
    const answers = [await connection.answer(), await connection.answer(), await connection.answer()]
    expect(answers.map((answer) => answer.text)).toEqual(['/1 3', '/2 0', '/3 0'])
    expect(order).toEqual(['begin /1', 'end /1', 'begin /2', 'end /2', 'begin /3', 'end /3'])
  })
})
