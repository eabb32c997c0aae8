import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'

describe('the size of uploads', () => {
  it('is bounded by rules and by grants: 413, before the body where its length is known', async () => {
    const config = JSON.stringify({ uploads: [{ path: '/inbox/**', bytes: '10K' }] })
    await using server = await startServer({ config })
    await mkdir(join(server.root, 'inbox'))
    const kib = Buffer.alloc(1024)
    const sender = await server.addUser('sender', 'create<=2K:/inbox/**')
    const put = async (kibs: number, as?: typeof sender) =>
      (await server.request('PUT', '/inbox/f', { body: Buffer.alloc(1024 * kibs), ...(as && { as }) })).status
    const stream = async (kibs: number, as?: typeof sender) =>
      (await server.request('PUT', '/inbox/g', { chunks: Array<Buffer>(kibs).fill(kib), ...(as && { as }) })).status
    expect([await put(11), await stream(11)]).toEqual([413, 413])
    expect([await put(3, sender), await stream(3, sender)]).toEqual([413, 413])
    expect([existsSync(join(server.root, 'inbox/f')), existsSync(join(server.root, 'inbox/g'))]).toEqual([false, false])
    expect([await put(2, sender), await put(10), await stream(10)]).toEqual([201, 204, 201])

    const connection = await server.connect()
    const auth = Buffer.from(`admin:${server.adminPassword}`).toString('base64')
    await connection.send(
      `PUT /inbox/h HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${auth}\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n`,
    )
    expect((await connection.answer()).status).toBe(413)
    connection.destroy()

    expect((await server.request('PUT', '/elsewhere', { body: Buffer.alloc(20_000) })).status).toBe(201)
    const grown = await server.request('PATCH', '/inbox/f', {
      headers: { 'Content-Type': 'application/x-sabredav-partialupdate', 'X-Update-Range': 'append' },
      body: 'x',
    })
    expect(grown.status).toBe(413)
  })
})
