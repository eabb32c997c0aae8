import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { RawConnection } from '../../test/raw-http.js'
import { cleanUp, temporaryFolder, abandonSocket, ok, serve, text, transportOf } from '../../test/serving.js'
import type { Handle } from '../../test/serving.js'
import type { Listener } from './node-http.js'

afterEach(cleanUp)

describe('stopping', () => {
  it('lets a running request finish, closes idle connections and takes no new ones', async () => {
    let begun: () => void = () => undefined
    const running = new Promise<void>((resolve) => (begun = resolve))
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    const { transport, connection, port } = await serve(async () => {
      begun()
      await gate
      return ok
    })
    const idle = await RawConnection.open(port)
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await running
    const stopping = transport.stop(10)
    await idle.untilClosed(1000)
    await expect(RawConnection.open(port)).rejects.toThrow(/ECONNREFUSED/)
    go()
    const answer = await connection.answer()
    expect([answer.text, answer.header('connection')]).toEqual(['ok', 'close'])
    await stopping
  })

  it('closes a connection whose answer had begun before, once it is out', async () => {
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a')
      await gate
      yield Buffer.from('b')
    }
    const { transport, port } = await serve(async () => ({
      status: 200,
      headers: [['Content-Length', '2']],
      body: slow(),
    }))
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let received = ''
    const closed = new Promise((resolve) => socket.once('end', resolve))
    const begun = new Promise<void>((resolve) => {
      socket.on('data', (bytes) => {
        received += bytes.toString('latin1')
        if (received.endsWith('\r\n\r\na')) resolve()
      })
    })
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await begun
    const stopping = transport.stop(60)
    go()
    await closed
    expect(received.endsWith('\r\n\r\nab')).toBe(true)
    await stopping
    socket.destroy()
  })

  it('breaks off what is still running when the grace is over', async () => {
    let begun: () => void = () => undefined
    const running = new Promise<void>((resolve) => (begun = resolve))
    const { transport, connection } = await serve(
      (request) =>
        new Promise((resolve) => {
          request.signal.addEventListener('abort', () => resolve(ok))
          begun()
        }),
    )
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await running
    await transport.stop(0.05)
    await connection.untilClosed(1000)
  })
})

describe('listening', () => {
  it('on a Unix socket takes the place of a dead process, never of a live one or of a file', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'socket')
    const at: Listener = { name: 'main', at: { kind: 'unix', path } }
    const first = transportOf(async (request) => text(String(request.peer.address)), [at])
    expect(await first.start()).toEqual([{ name: 'main', url: `unix:${path}` }])
    await expect(transportOf(async () => ok, [at]).start()).rejects.toThrow(/Another process/)
    await first.stop(0)

    abandonSocket(path)
    expect(existsSync(path)).toBe(true)
    const second = transportOf(async () => ok, [at])
    await second.start()
    await second.stop(0)

    writeFileSync(path, 'mine')
    await expect(transportOf(async () => ok, [at]).start()).rejects.toThrow(/not a socket/)
  })

  it('opens every listener or none', async () => {
    const { port } = await serve(async () => ok)
    const free: Listener = { name: 'free', at: { kind: 'tcp', host: '127.0.0.1', port: 0 } }
    const taken: Listener = { name: 'taken', at: { kind: 'tcp', host: '127.0.0.1', port } }
    await expect(transportOf(async () => ok, [free, taken]).start()).rejects.toThrow(/EADDRINUSE/)
  })

  it('believes the headers of trusted proxies only', async () => {
    const handle: Handle = async (request) =>
      text(`${request.origin.scheme}://${request.origin.authority} ${String(request.peer.address)}`)
    const said = 'X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: files.example\r\n'
    for (const [trusted, expected] of [
      [[], 'http://inner 127.0.0.1'],
      [['127.0.0.0/8'], 'https://files.example 203.0.113.9'],
    ] as const) {
      const { connection } = await serve(handle, { trusted })
      await connection.send(`GET / HTTP/1.1\r\nHost: inner\r\n${said}\r\n`)
      expect((await connection.answer()).text).toBe(expected)
    }
  })
})
