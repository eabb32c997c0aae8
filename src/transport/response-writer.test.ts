import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUp, broken, fileRange, hash, limits, recorded, serve, stream } from '../../test/serving.js'

afterEach(cleanUp)

describe('a response', () => {
  it.each([0, 1, 65_536, 65_537, 524_288, 1_048_577, 5_000_000])(
    'sends a file of %i bytes and closes it once',
    async (size) => {
      const content = Buffer.alloc(size, 'postern ')
      const range = fileRange(content, 0, size)
      const { connection } = await serve(async () => ({ status: 200, headers: [], body: range }))
      await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      const answer = await connection.answer()
      expect(answer.header('content-length')).toBe(String(size))
      expect(hash(answer.body)).toBe(hash(content))
      await connection.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
      expect(range.closed).toBe(1)
    },
  )

  it('sends a part of a file', async () => {
    const range = fileRange(Buffer.from('0123456789'), 3, 7)
    const { connection } = await serve(async () => ({ status: 206, headers: [], body: range }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('3456')
  })

  it('to HEAD keeps the length and closes the file', async () => {
    const range = fileRange(Buffer.from('0123456789'), 0, 10)
    const { connection } = await serve(async () => ({ status: 200, headers: [['ETag', '"a"']], body: range }))
    await connection.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer({ method: 'HEAD' })
    expect([answer.header('content-length'), range.closed]).toEqual(['10', 1])
  })

  it('whose client goes away closes the file', async () => {
    const range = fileRange(Buffer.alloc(50_000_000), 0, 50_000_000)
    const { connection, exchanges } = await serve(async () => ({ status: 200, headers: [], body: range }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    connection.destroy({ reset: true })
    expect((await exchanges(1))[0]?.sent.complete).toBe(false)
    expect(range.closed).toBe(1)
  })

  it('of a file that becomes shorter is broken off, never ended cleanly', async () => {
    for (const size of [10, 1_000_000]) {
      const range = fileRange(Buffer.alloc(size), 0, size + 5)
      const { connection } = await serve(async () => ({ status: 200, headers: [], body: range }))
      await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await expect(connection.answer()).rejects.toThrow(/ended/)
      expect(range.closed).toBe(1)
    }
  })

  it('streams without a known length, in chunks', async () => {
    const { connection } = await serve(async () => ({ status: 200, headers: [], body: stream('ab', 'c') }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.text, answer.header('transfer-encoding')]).toEqual(['abc', 'chunked'])
  })

  it.each([
    ['fails midway', [], true],
    ['is shorter than announced', [['Content-Length', '100']] as const, false],
    ['is longer than announced', [['Content-Length', '2']] as const, false],
  ])('that %s is broken off', async (_name, headers, fails) => {
    const { connection, exchanges } = await serve(async () => ({
      status: 200,
      headers,
      body: fails ? broken() : stream('abc', 'def'),
    }))
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await connection.untilClosed(2000)
    const outcome = await connection.answer().then(
      (answer) => answer.text,
      () => 'broken off',
    )
    expect(['broken off', '']).toContain(outcome)
    const [over] = await exchanges(1)
    expect(over?.sent.complete).toBe(false)
    expect(over?.sent.error).toBeInstanceOf(Error)
  })

  it('that nobody reads is held back and its source let go of', async () => {
    let produced = 0
    let released = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          produced += 1
          yield Buffer.alloc(65_536)
        }
      } finally {
        released = true
      }
    }
    const { port, exchanges } = await serve(async () => ({ status: 200, headers: [], body: endless() }), {
      limits: { ...limits, idleSeconds: 0.3 },
    })
    const socket = connect({ port, host: '127.0.0.1' })
    socket.pause()
    socket.on('error', () => undefined)
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await exchanges(1))[0]?.sent.complete).toBe(false)
    expect(released).toBe(true)
    expect(produced).toBeLessThan(400)
    socket.destroy()
  })

  it('aborts the signal of a request whose client went away', async () => {
    const { outcome, handle } = recorded(
      (request) => new Promise((resolve) => request.signal.addEventListener('abort', () => resolve('aborted'))),
    )
    const { connection } = await serve(handle)
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    connection.destroy()
    expect(await outcome).toBe('aborted')
  })

  it('is 500 without a word where the handler throws', async () => {
    const { connection } = await serve(async () => {
      throw new Error('secret detail')
    })
    await connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.status, answer.text]).toEqual([500, ''])
  })
})
