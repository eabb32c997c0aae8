import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { eventually, format, namesBelow, startServer } from '../harness.js'
import { RawConnection } from '../raw-http.js'

const body = Buffer.alloc(4_000_000, 'n')

it.each([
  ['goes away', false],
  ['resets the connection', true],
])('a client that %s in the middle of an upload leaves the old file and no other', async (_, reset) => {
  await using server = await startServer()
  await writeFile(join(server.root, 'f'), 'old')
  const whole = format('PUT', '/f', { as: ['admin', server.adminPassword], body }, server.port)
  for (const cut of [whole.length - body.length + 1, whole.length - 2_000_000, whole.length - 1]) {
    const connection = await server.connect()
    await connection.send(whole.subarray(0, cut))
    connection.destroy({ reset })
  }
  await eventually('no temp file is left', async () => (await namesBelow(server.root)).join() === 'f')
  expect(await readFile(join(server.root, 'f'), 'utf8')).toBe('old')
  expect((await server.request('GET', '/f')).text).toBe('old')
})

it('a client that goes away in the middle of a download hurts nobody', async () => {
  await using server = await startServer()
  await writeFile(join(server.root, 'big'), Buffer.alloc(50_000_000, 'b'))
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      const connection = await server.connect()
      await connection.send(format('GET', '/big', { as: ['admin', server.adminPassword] }, server.port))
      connection.destroy({ reset: true })
    }),
  )
  const whole = await server.request('GET', '/big')
  expect([whole.status, whole.body.length]).toEqual([200, 50_000_000])
})

it('a client that goes away in the middle of a listing hurts nobody', async () => {
  await using server = await startServer()
  await mkdir(join(server.root, 'many'))
  for (let n = 0; n < 3000; n += 1) await writeFile(join(server.root, 'many', `file-${n}`), '')
  for (let n = 0; n < 5; n += 1) {
    const connection = await server.connect()
    const as = ['admin', server.adminPassword] as const
    await connection.send(format('PROPFIND', '/', { as, headers: { Depth: 'infinity' } }, server.port))
    connection.destroy({ reset: true })
  }
  expect((await server.request('PROPFIND', '/many', { headers: { Depth: '1' } })).status).toBe(207)
})

it('SIGTERM lets a running upload end, takes no new connection, and exits with 0', async () => {
  await using server = await startServer()
  const connection = await server.connect()
  const whole = format('PUT', '/f', { as: ['admin', server.adminPassword], body }, server.port)
  await connection.send(whole.subarray(0, whole.length - 1000))
  server.terminate()
  await eventually('no new connection is taken', async () => {
    try {
      const refused = await RawConnection.open(server.port)
      refused.destroy()
      return false
    } catch {
      return true
    }
  })
  await connection.send(whole.subarray(whole.length - 1000))
  const answer = await connection.answer()
  expect(answer.status).toBe(201)
  connection.destroy()
  expect(await server.exited()).toBe(0)
  expect((await readFile(join(server.root, 'f'))).equals(body)).toBe(true)
  expect(await namesBelow(server.root)).toEqual(['f'])
})

it('SIGTERM ends idle connections at once', async () => {
  await using server = await startServer()
  const idle = await server.connect()
  await idle.send(format('GET', '/-/health', {}, server.port))
  expect((await idle.answer()).status).toBe(200)
  const begun = Date.now()
  expect(await server.stop()).toBe(0)
  expect(Date.now() - begun).toBeLessThan(5000)
  idle.destroy()
})
