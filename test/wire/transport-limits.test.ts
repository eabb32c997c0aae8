import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { basic, eventually, namesBelow, startServer } from '../harness.js'
import type { RawConnection } from '../raw-http.js'
import { freshFile } from './dav.js'

const login = (server: Server): string =>
  `Host: 127.0.0.1:${server.port}\r\nAuthorization: ${basic(['admin', server.adminPassword])}\r\n`

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Sends a text byte by byte, until all is sent or the peer has closed. */
async function drip(connection: RawConnection, text: string, milliseconds: number): Promise<void> {
  for (const byte of text) {
    if (connection.closed) return
    await connection.trySend(byte)
    await pause(milliseconds)
  }
}

/** An answer that comes as slowly as it is read. */
interface SlowAnswer {
  readonly stream: Readable
  readonly close: () => void
}

async function overHttp1(server: Server, path: string): Promise<SlowAnswer> {
  const socket = connectTls({ port: server.port, ALPNProtocols: ['http/1.1'], rejectUnauthorized: false })
  socket.on('error', () => undefined)
  socket.write(`GET ${path} HTTP/1.1\r\n${login(server)}\r\n`)
  await once(socket, 'readable')
  return { stream: socket, close: () => socket.destroy() }
}

async function overHttp2(server: Server, path: string): Promise<SlowAnswer> {
  const session = connectHttp2(server.url, { rejectUnauthorized: false })
  session.on('error', () => undefined)
  const stream = session.request({ ':path': path, authorization: basic(['admin', server.adminPassword]) })
  stream.on('error', () => undefined)
  await once(stream, 'readable')
  return { stream, close: () => session.destroy() }
}

async function stillServes(server: Server): Promise<void> {
  expect((await server.request('OPTIONS', '/')).status).toBe(200)
}

describe('a slow client', () => {
  it('is closed when it says nothing, or drips its headers', async () => {
    await using server = await startServer({ config: 'limits: { headerSeconds: 1 }\n' })
    const silent = await server.connect()
    const dripping = await server.connect()
    const second = await server.connect()
    await second.send(`OPTIONS / HTTP/1.1\r\n${login(server)}\r\n`)
    expect((await second.answer()).status).toBe(200)
    const drips = [
      drip(dripping, `GET / HTTP/1.1\r\n${login(server)}`, 40),
      drip(second, 'GET / HTTP/1.1\r\nX: y', 150),
    ]
    await stillServes(server)
    expect((await dripping.answer({ deadlineMs: 8000 })).status).toBe(408)
    await silent.untilClosed(8000)
    await dripping.untilClosed(8000)
    await second.untilClosed(8000)
    await Promise.all(drips)
  })

  it('loses a body that comes too slowly, and nothing is changed', async () => {
    await using server = await startServer({ config: 'limits: { idleSeconds: 2, bodyBytesPerSecond: 1000 }\n' })
    const { path, disk } = await freshFile(server)
    const connection = await server.connect()
    await connection.send(`PUT ${path} HTTP/1.1\r\n${login(server)}Content-Length: 100000\r\n\r\n`)
    const dripping = drip(connection, 'x'.repeat(200), 50)
    expect((await connection.answer({ deadlineMs: 10_000 })).status).toBe(408)
    await connection.untilClosed()
    await dripping
    await eventually('no temp file is left', async () => (await namesBelow(join(disk, '..'))).length === 1)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
    await stillServes(server)
  })

  it('loses a body of which nothing more comes', async () => {
    await using server = await startServer({ config: 'limits: { idleSeconds: 1, bodyBytesPerSecond: 0 }\n' })
    const connection = await server.connect()
    await connection.send(`PUT /half HTTP/1.1\r\n${login(server)}Content-Length: 100\r\n\r\nhalf`)
    expect((await connection.answer({ deadlineMs: 8000 })).status).toBe(408)
    await connection.untilClosed()
    expect(existsSync(join(server.root, 'half'))).toBe(false)
  })

  it.each([
    ['HTTP/1.1', overHttp1],
    ['HTTP/2', overHttp2],
  ] as const)('loses an answer that it takes drop by drop, over %s', async (_, get) => {
    await using server = await startServer({ config: 'limits: { idleSeconds: 1 }\n', args: ['--tls', 'self-signed'] })
    await writeFile(join(server.root, 'big'), '')
    await truncate(join(server.root, 'big'), 64 << 20)
    const { stream, close } = await get(server, '/big')
    // Three kilobytes a second, in steps between which no time runs out.
    const drops = setInterval(() => void stream.read(300), 100)
    try {
      await eventually('the answer is given up', () => /"path":"\/big".*"incomplete":true/.test(server.stderr()))
    } finally {
      clearInterval(drops)
      close()
    }
  })

  it('is closed between requests after a while', async () => {
    await using server = await startServer({ config: 'limits: { keepAliveSeconds: 1 }\n' })
    const connection = await server.connect()
    await connection.send(`OPTIONS / HTTP/1.1\r\n${login(server)}\r\n`)
    expect((await connection.answer()).status).toBe(200)
    await connection.untilClosed(8000)
  })
})

describe('a greedy client', () => {
  it('may not send more headers than allowed', async () => {
    await using server = await startServer({ config: 'limits: { headers: 20 }\n' })
    const connection = await server.connect()
    const fields = Array.from({ length: 30 }, (_, n) => `X-${n}: y\r\n`).join('')
    await connection.send(`GET / HTTP/1.1\r\n${login(server)}${fields}\r\n`)
    expect((await connection.answer()).status).toBe(431)
    await connection.untilClosed()
  })

  it('may not open more connections than allowed, and others may', async () => {
    await using server = await startServer({ config: 'limits: { connectionsPerAddress: 20 }\n' })
    const held = await Promise.all(Array.from({ length: 40 }, async () => await server.connect()))
    await eventually('20 are closed', () => held.filter(({ closed }) => closed).length === 20)
    // On Linux every address of 127.0.0.0/8 is this machine's.
    expect(await statusFrom('127.0.0.2', server)).toBe(200)
    expect(await statusFrom('127.0.0.1', server)).toBeUndefined()
    for (const connection of held) connection.destroy()
    await eventually('there is room again', async () => (await statusFrom('127.0.0.1', server)) === 200)
  })

  it('does not count where it is a trusted proxy', async () => {
    await using server = await startServer({
      config: 'limits: { connectionsPerAddress: 5 }\ntrustedProxies: ["127.0.0.1"]\n',
    })
    const held = await Promise.all(Array.from({ length: 20 }, async () => await server.connect()))
    await stillServes(server)
    expect(held.filter(({ closed }) => closed)).toEqual([])
    for (const connection of held) connection.destroy()
  })

  it('finds the door shut when all places are taken, until one is free', async () => {
    await using server = await startServer({ config: 'limits: { connections: 10 }\n' })
    const held = await Promise.all(Array.from({ length: 10 }, async () => await server.connect()))
    await eventually('all places are taken', async () => (await statusFrom('127.0.0.1', server)) === undefined)
    held[0]?.destroy()
    await eventually('one is free', async () => (await statusFrom('127.0.0.1', server)) === 200)
    for (const connection of held) connection.destroy()
  })

  it('gets a new connection after so many requests', async () => {
    await using server = await startServer({ config: 'limits: { requestsPerConnection: 3 }\n' })
    const connection = await server.connect()
    await connection.send(`OPTIONS / HTTP/1.1\r\n${login(server)}\r\n`.repeat(5))
    const seen: string[] = []
    for (let n = 0; n < 3; n += 1) seen.push((await connection.answer()).header('connection'))
    expect(seen).toEqual(['keep-alive', 'keep-alive', 'close'])
    await connection.untilClosed()
    await expect(connection.answer()).rejects.toThrow(/ended/)
  })

  it('that holds 2,000 connections idle keeps nobody out', async () => {
    await using server = await startServer()
    const held: RawConnection[] = []
    for (let batch = 0; batch < 20; batch += 1)
      held.push(...(await Promise.all(Array.from({ length: 100 }, async () => await server.connect()))))
    await Promise.all(
      held.map(async (connection, n) => {
        if (n % 3 === 0) await connection.send('GET / HTTP/1.1\r\nHost: ')
        if (n % 3 === 1) await connection.send(`PUT /idle HTTP/1.1\r\n${login(server)}Content-Length: 5\r\n`)
      }),
    )
    const { path } = await freshFile(server)
    for (let n = 0; n < 20; n += 1) expect((await server.request('GET', path)).text).toBe('0123456789')
    expect(held.filter(({ closed }) => closed)).toEqual([])
    for (const connection of held) connection.destroy()
    await stillServes(server)
  })
})

describe('a client that goes away early', () => {
  it('leaves nothing behind, wherever it stops', async () => {
    await using server = await startServer()
    const { path, disk } = await freshFile(server)
    const whole = `PUT ${path} HTTP/1.1\r\n${login(server)}Content-Length: 50\r\n\r\n${'x'.repeat(50)}`
    for (let end = 1; end < whole.length; end += 7)
      for (const reset of [true, false]) {
        const connection = await server.connect()
        await connection.trySend(whole.slice(0, end))
        connection.destroy({ reset })
      }
    await eventually('no temp file is left', async () => (await namesBelow(join(disk, '..'))).length === 1)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
    await stillServes(server)
  })
})

describe('whoever is no trusted proxy', () => {
  it('cannot give itself another address', async () => {
    await using server = await startServer()
    const forged = { 'X-Forwarded-For': '6.6.6.6', 'X-Real-IP': '6.6.6.6', Forwarded: 'for=6.6.6.6' }
    expect((await server.request('OPTIONS', '/', { headers: forged })).status).toBe(200)
    await eventually('the log has it', () => server.stderr().includes('"OPTIONS"'))
    expect(server.stderr()).toContain('"address":"127.0.0.1"')
    expect(server.stderr()).not.toContain('6.6.6.6')
  })
})

/** The status of a request from another address of this machine; undefined where the server just closed. */
async function statusFrom(localAddress: string, server: Server): Promise<number | undefined> {
  const socket = connect({ host: '127.0.0.1', port: server.port, localAddress })
  const answer = await new Promise<string>((resolve) => {
    let text = ''
    socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
    socket.on('error', () => resolve(text)).on('close', () => resolve(text))
    socket.on('connect', () => socket.write(`OPTIONS / HTTP/1.1\r\n${login(server)}Connection: close\r\n\r\n`))
  })
  const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]
  return status === undefined ? undefined : Number(status)
}
