import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { basic, eventually, format, namesBelow, startServer } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { freshFile, lock, lockInfo } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

/** Sends bytes on a connection of their own and gives the first answer; undefined where the server just closed. */
async function raw(bytes: string | Uint8Array): Promise<Answer | undefined> {
  const connection = await server.connect()
  try {
    await connection.trySend(bytes)
    return await connection.answer({ deadlineMs: 15_000 }).catch((error: unknown) => {
      if (connection.closed) return undefined
      throw error
    })
  } finally {
    connection.destroy()
  }
}

const login = () => `Host: 127.0.0.1:${server.port}\r\nAuthorization: ${basic(['admin', server.adminPassword])}\r\n`

async function stillServes(): Promise<void> {
  expect((await server.request('OPTIONS', '/')).status).toBe(200)
}

describe('framing', () => {
  it('refuses a message with two lengths', async () => {
    const both = await raw(
      `PUT /smuggle HTTP/1.1\r\n${login()}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    )
    expect(both?.status ?? 400).toBe(400)
    const two = await raw(`PUT /smuggle HTTP/1.1\r\n${login()}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`)
    expect(two?.status ?? 400).toBe(400)
    const lists = await raw(`PUT /smuggle HTTP/1.1\r\n${login()}Content-Length: 5, 5\r\n\r\nabcde`)
    expect(lists?.status ?? 400).toBe(400)
    const coded = await raw(`PUT /smuggle HTTP/1.1\r\n${login()}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`)
    expect([400, 411, 415, 501]).toContain(coded?.status ?? 400)
    expect(existsSync(join(server.root, 'smuggle'))).toBe(false)
  })

  it.each([
    ['a chunk size that is none', 'zz\r\nabc\r\n0\r\n\r\n'],
    ['a negative chunk size', '-1\r\nabc\r\n0\r\n\r\n'],
    ['a chunk longer than said', '2\r\nabcdef\r\n0\r\n\r\n'],
    ['an end in the middle', '5\r\nab'],
    ['no last chunk', '3\r\nabc\r\n'],
  ])('stores nothing of a body with %s', async (_, body) => {
    const { path, disk } = await freshFile(server)
    const connection = await server.connect()
    await connection.send(`PUT ${path} HTTP/1.1\r\n${login()}Transfer-Encoding: chunked\r\n\r\n${body}`)
    connection.finish()
    const answer = await connection.answer().catch(() => undefined)
    expect(answer?.status ?? 400).toBe(400)
    connection.destroy()
    await eventually('no temp file is left', async () => (await namesBelow(join(disk, '..'))).length === 1)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
  })

  it('stores nothing of a body shorter than said', async () => {
    const { path, disk } = await freshFile(server)
    const connection = await server.connect()
    await connection.send(`PUT ${path} HTTP/1.1\r\n${login()}Content-Length: 100\r\n\r\nonly this`)
    connection.finish()
    const answer = await connection.answer().catch(() => undefined)
    expect(answer?.status ?? 400).toBe(400)
    connection.destroy()
    await eventually('no temp file is left', async () => (await namesBelow(join(disk, '..'))).length === 1)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
  })

  it('takes no byte more than said', async () => {
    const { path, disk } = await freshFile(server)
    const connection = await server.connect()
    await connection.send(
      `PUT ${path} HTTP/1.1\r\n${login()}Content-Length: 3\r\n\r\nnewBUT THIS IS NO REQUEST\r\n\r\n`,
    )
    const { status } = await connection.answer()
    expect([204, 400]).toContain(status)
    const rest = status === 204 ? await connection.answer().catch(() => undefined) : undefined
    expect(rest?.status ?? 400).toBe(400)
    await connection.untilClosed()
    connection.destroy()
    expect(await readFile(disk, 'utf8')).toBe(status === 204 ? 'new' : '0123456789')
  })

  it.each([
    ['header flood', () => `GET / HTTP/1.1\r\n${login()}${'X-A: b\r\n'.repeat(20_000)}\r\n`],
    ['one huge header', () => `GET / HTTP/1.1\r\n${login()}X-A: ${'b'.repeat(1_000_000)}\r\n\r\n`],
    ['huge target', () => `GET /${'a/'.repeat(100_000)} HTTP/1.1\r\n${login()}\r\n`],
    ['huge If', () => `PUT /x HTTP/1.1\r\n${login()}Content-Length: 0\r\nIf: ${'(<a:b>) '.repeat(50_000)}\r\n\r\n`],
    ['header name with a space', () => `GET / HTTP/1.1\r\n${login()}Bad Name: x\r\n\r\n`],
    ['bare CR in a header', () => `GET / HTTP/1.1\r\n${login()}X: a\rb\r\n\r\n`],
    ['NUL in a header', () => `GET / HTTP/1.1\r\n${login()}X: a\0b\r\n\r\n`],
    ['no host', () => 'GET / HTTP/1.1\r\n\r\n'],
    ['two hosts', () => `GET / HTTP/1.1\r\n${login()}Host: other\r\n\r\n`],
    ['unknown version', () => `GET / HTTP/9.9\r\n${login()}\r\n`],
    ['no HTTP', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'.padEnd(300, '\0')],
    ['unknown method', () => `BREW / HTTP/1.1\r\n${login()}\r\n`],
    ['target without slash', () => `GET x HTTP/1.1\r\n${login()}\r\n`],
    ['TRACE', () => `TRACE / HTTP/1.1\r\n${login()}\r\n`],
    ['CONNECT', () => `CONNECT 127.0.0.1:1 HTTP/1.1\r\n${login()}\r\n`],
  ])('refuses: %s', async (_, bytes) => {
    const answer = await raw(bytes())
    expect(answer?.status ?? 400).toSatisfy(
      (code: number) => (code >= 400 && code < 500) || code === 501 || code === 505,
    )
    await stillServes()
  })

  it('takes the absolute form for its own authority, and no other path from it', async () => {
    const { path } = await freshFile(server)
    const own = await raw(`GET ${server.url}${path} HTTP/1.1\r\n${login()}Connection: close\r\n\r\n`)
    expect([own?.status, own?.text]).toEqual([200, '0123456789'])
    const dots = await raw(`GET ${server.url}/a/../${path} HTTP/1.1\r\n${login()}Connection: close\r\n\r\n`)
    expect(dots?.status).toBe(400)
  })

  it('closes a connection whose request body it has not read', async () => {
    const connection = await server.connect()
    const head = format('PUT', '/x', { as: ['admin', 'wrong'], headers: { 'Content-Length': '1000000' } }, server.port)
    await connection.send(head)
    expect((await connection.answer()).status).toBe(401)
    await connection.trySend(`GET /-/health HTTP/1.1\r\n${login()}\r\n`)
    await connection.trySend(Buffer.alloc(1_000_000))
    await connection.trySend(`DELETE /smuggled HTTP/1.1\r\n${login()}\r\n`)
    const next = await connection.answer({ deadlineMs: 5000 }).catch(() => undefined)
    expect(next?.status ?? 'closed').toBe('closed')
    connection.destroy()
  })

  it('serves others while a client is silent', async () => {
    const silent = await Promise.all(Array.from({ length: 50 }, async () => await server.connect()))
    await Promise.all(silent.map(async (connection) => await connection.send('PUT /slow HTTP/1.1\r\nHost: ')))
    await stillServes()
    for (const connection of silent) connection.destroy()
  })

  it('answers pipelined requests in order', async () => {
    const { path } = await freshFile(server)
    const connection = await server.connect()
    const as = ['admin', server.adminPassword] as const
    await connection.send(
      Buffer.concat([
        format('PUT', `${path}-p`, { as, body: 'one' }, server.port),
        format('GET', `${path}-p`, { as }, server.port),
        format('DELETE', `${path}-p`, { as }, server.port),
        format('GET', `${path}-p`, { as }, server.port),
      ]),
    )
    const answers = [
      await connection.answer(),
      await connection.answer(),
      await connection.answer(),
      await connection.answer(),
    ]
    expect(answers.map((answer) => answer.status)).toEqual([201, 200, 204, 404])
    connection.destroy()
  })
})

describe('bounds', () => {
  it('limits how many locks one caller may hold, without an end to others', async () => {
    const { path } = await freshFile(server)
    const codes = new Set<number>()
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const connection = await server.connect()
        for (let n = 0; n < 20; n += 1) {
          const as = ['admin', server.adminPassword] as const
          await connection.send(
            format('LOCK', path, { as, headers: { Depth: '0' }, body: lockInfo({ scope: 'shared' }) }, server.port),
          )
          codes.add((await connection.answer()).status)
        }
        connection.destroy()
      }),
    )
    for (const code of codes) expect([200, 423, 429, 507]).toContain(code)
    const elsewhere = await freshFile(server)
    expect(await lock(server, elsewhere.path)).toMatch(/^[a-z]+:/)
  })
})
