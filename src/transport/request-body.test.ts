import { afterEach, describe, expect, it } from 'vitest'
import { isFailure } from '../core/failure.js'
import { cleanUp, collect, limits, ok, recorded, serve, text } from '../../test/serving.js'

afterEach(cleanUp)

describe('a request body', () => {
  it('is asked for only when it is read', async () => {
    const { connection } = await serve(async (request) => text(await collect(request)))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
    const answering = connection.answer()
    await connection.send('hello')
    const answer = await answering
    expect(answer.interim).toEqual([100])
    expect(answer.text).toBe('hello')
  })

  it('costs nothing when the request is refused while the client still waits', async () => {
    const { connection } = await serve(async () => ({ status: 403, headers: [] }))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n')
    const answer = await connection.answer()
    expect([answer.status, answer.interim, answer.header('connection')]).toEqual([403, [], 'close'])
    await connection.untilClosed(1000)
  })

  it('that is small and unwanted does not cost the connection', async () => {
    const { connection } = await serve(async () => ok)
    await connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(20_000)}`)
    expect((await connection.answer()).header('connection')).toBe('keep-alive')
    await connection.send('x'.repeat(40_000) + 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('ok')
  })

  it('that was read halfway does not disturb the next request', async () => {
    const { connection } = await serve(async (request) => {
      for await (const chunk of request.body) return text(String(chunk.length > 0))
      return ok
    })
    await connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(100)}`)
    expect((await connection.answer()).text).toBe('true')
    await connection.send('x'.repeat(59_900) + 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await connection.answer()).text).toBe('ok')
  })

  it('that is big and unwanted lets the client read the answer before the connection closes', async () => {
    const { connection } = await serve(async () => ({ status: 413, headers: [], body: Buffer.from('too much') }))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n')
    await connection.send(Buffer.alloc(6_000_000))
    const answer = await connection.answer()
    expect([answer.status, answer.text, answer.header('connection')]).toEqual([413, 'too much', 'close'])
    await connection.untilClosed(1500)
  })

  it('without an end is not listened to for ever', async () => {
    const { connection } = await serve(async () => ({ status: 413, headers: [] }))
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    expect((await connection.answer()).status).toBe(413)
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000), Buffer.from('\r\n')])
    for (let sent = 0; sent < 40 && !connection.closed; sent += 1) await connection.trySend(chunk)
    await connection.untilClosed(4000)
  })

  it.each([
    ['is cut off by the end of the stream', 'finish'],
    ['is cut off by a reset', 'reset'],
  ] as const)('that %s is incomplete', async (_name, how) => {
    const { outcome, handle } = recorded(collect)
    const { connection } = await serve(handle)
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf')
    if (how === 'finish') connection.finish()
    else connection.destroy({ reset: true })
    expect(isFailure(await outcome, 'incomplete')).toBe(true)
  })

  it('in malformed chunks is incomplete and gets its answer', async () => {
    const { outcome, handle } = recorded(collect)
    const { connection } = await serve(async (request) => {
      await handle(request)
      return { status: 400, headers: [] }
    })
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n')
    expect(isFailure(await outcome, 'incomplete')).toBe(true)
    expect((await connection.answer()).status).toBe(400)
    await connection.untilClosed(1000)
  })

  it('that stands still ends with a time-out', async () => {
    const { outcome, handle } = recorded(collect)
    const { connection } = await serve(handle, { limits: { ...limits, idleSeconds: 0.1 } })
    await connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf')
    expect(isFailure(await outcome, 'timeout')).toBe(true)
    expect((await connection.answer()).header('connection')).toBe('close')
  })

  it('waits in a bounded amount of memory for a slow reader', async () => {
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    let received = -1
    const { connection, exchanges } = await serve(async (request) => {
      const iterator = request.body[Symbol.asyncIterator]()
      await iterator.next()
      await gate
      received = (request.body as unknown as { readonly received: number }).received
      for (let step = await iterator.next(); step.done !== true;) step = await iterator.next()
      return ok
    })
    const size = 64 * 1024 * 1024
    await connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
    const sending = connection.send(Buffer.alloc(size))
    const winner = await Promise.race([sending.then(() => 'sent'), new Promise((r) => setTimeout(r, 300, 'held'))])
    expect(winner).toBe('held')
    go()
    await sending
    expect((await connection.answer()).status).toBe(200)
    expect(received).toBeLessThan(4 * 1024 * 1024)
    expect((await exchanges(1))[0]?.received).toBe(size)
  })
})
