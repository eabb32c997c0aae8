import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'
import type { Caller, Server } from '../harness.js'
import { propfind } from './dav.js'

const kib = 1024
const config = JSON.stringify({ identity: [{ catalog: { home: '/home/{user}', quota: '100K' } }] })

let server: Server
let count = 0

beforeAll(async () => {
  server = await startServer({ config, args: ['--workers', '2'] })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

interface User {
  readonly as: Caller
  readonly name: string
  readonly disk: string
}

async function newUser(): Promise<User> {
  const name = `user${count++}`
  return { name, as: await server.addUser(name, 'rw:/home/{user}/**'), disk: join(server.root, 'home', name) }
}

const put = (user: User, path: string, bytes: number) =>
  server.request('PUT', path, { as: user.as, body: Buffer.alloc(bytes, 1) })

const bytesOn = (disk: string): number =>
  readdirSync(disk, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(disk, name)))
    .reduce((sum, found) => sum + (found.isFile() ? found.size : 0), 0)

/** What PROPFIND says is used and available. */
async function told({ as }: User): Promise<readonly number[]> {
  const body = propfind('quota-used-bytes', 'quota-available-bytes')
  const answer = await server.request('PROPFIND', '/', { as, body, headers: { Depth: '0' } })
  return ['used', 'available'].map((what) => Number(new RegExp(`quota-${what}-bytes>(\\d+)<`).exec(answer.text)?.[1]))
}

describe('a quota', () => {
  it('refuses before the body what it announces, and changes nothing', async () => {
    const user = await newUser()
    expect((await put(user, '/f', 60 * kib)).status).toBe(201)
    const connection = await server.connect()
    const auth = Buffer.from(user.as?.join(':') ?? '').toString('base64')
    await connection.send(
      `PUT /g HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${auth}\r\nExpect: 100-continue\r\nContent-Length: ${101 * kib}\r\n\r\n`,
    )
    expect((await connection.answer()).status).toBe(507)
    connection.destroy()
    const refused = await put(user, '/g', 41 * kib)
    expect([refused.status, refused.text]).toEqual([507, expect.stringContaining('quota')])
    expect(readdirSync(user.disk)).toEqual(['f'])
    expect((await put(user, '/g', 40 * kib)).status).toBe(201)
    expect(await told(user)).toEqual([100 * kib, 0])
  })

  it('refuses by real bytes what announces nothing', async () => {
    const user = await newUser()
    const chunks = Array.from({ length: 101 }, () => Buffer.alloc(kib))
    expect((await server.request('PUT', '/f', { as: user.as, chunks })).status).toBe(507)
    expect((await server.request('PUT', '/f', { as: user.as, chunks: chunks.slice(1) })).status).toBe(201)
    expect(bytesOn(user.disk)).toBe(100 * kib)
  })

  it('counts what a file takes the place of, and what is removed', async () => {
    const user = await newUser()
    expect((await put(user, '/f', 90 * kib)).status).toBe(201)
    expect((await put(user, '/f', 95 * kib)).status).toBe(204)
    expect((await put(user, '/g', 10 * kib)).status).toBe(507)
    expect((await put(user, '/f', 1 * kib)).status).toBe(204)
    expect((await put(user, '/g', 99 * kib)).status).toBe(201)
    expect((await server.request('DELETE', '/g', { as: user.as })).status).toBe(204)
    expect((await server.request('MKCOL', '/d', { as: user.as })).status).toBe(201)
    expect((await put(user, '/d/a', 50 * kib)).status).toBe(201)
    expect((await put(user, '/d/b', 49 * kib)).status).toBe(201)
    expect((await server.request('DELETE', '/d', { as: user.as })).status).toBe(204)
    expect(await told(user)).toEqual([kib, 99 * kib])
  })

  it('holds for COPY of files and trees, and lets MOVE pass', async () => {
    const user = await newUser()
    await server.request('MKCOL', '/d', { as: user.as })
    expect((await put(user, '/d/f', 40 * kib)).status).toBe(201)
    const to = (Destination: string) => ({ as: user.as, headers: { Destination } })
    expect((await server.request('COPY', '/d', to('/e'))).status).toBe(201)
    for (const from of ['/d', '/d/f']) expect((await server.request('COPY', from, to('/x'))).status).toBe(507)
    expect((await server.request('MOVE', '/d', to('/x'))).status).toBe(201)
    expect((await server.request('MOVE', '/x/f', to('/e/f'))).status).toBe(204)
    expect(bytesOn(user.disk)).toBe(40 * kib)
    expect(await told(user)).toEqual([40 * kib, 60 * kib])
  })

  it('holds for PATCH', async () => {
    const user = await newUser()
    expect((await put(user, '/f', 90 * kib)).status).toBe(201)
    const append = (bytes: number) =>
      server.request('PATCH', '/f', {
        as: user.as,
        headers: { 'Content-Type': 'application/x-sabredav-partialupdate', 'X-Update-Range': 'append' },
        body: Buffer.alloc(bytes),
      })
    expect((await append(11 * kib)).status).toBe(507)
    expect(bytesOn(user.disk)).toBe(90 * kib)
    expect((await append(10 * kib)).status).toBe(204)
    expect(await told(user)).toEqual([100 * kib, 0])
  })

  it('is not overdrawn by many at once, whichever worker they meet', async () => {
    const user = await newUser()
    expect((await put(user, '/first', kib)).status).toBe(201)
    const answers = await Promise.all(Array.from({ length: 40 }, (_, at) => put(user, `/f${at}`, 10 * kib)))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(9)
    expect(statuses.filter((status) => status === 507)).toHaveLength(31)
    expect(bytesOn(user.disk)).toBe(91 * kib)
  })

  it('cannot be talked down by replacing and removing one name at once', async () => {
    const user = await newUser()
    for (let round = 0; round < 12; round++) {
      await put(user, '/f', 60 * kib)
      await Promise.all([
        put(user, '/f', 1),
        put(user, '/f', 1),
        put(user, '/f', 1),
        server.request('DELETE', '/f', { as: user.as }),
      ])
      await put(user, `/kept${round}`, 20 * kib)
    }
    expect(bytesOn(user.disk)).toBeLessThanOrEqual(Math.ceil(100 * 1.125) * kib + 60 * kib)
  })

  it('may be another for one user, from the next request on', async () => {
    const user = await newUser()
    expect((await put(user, '/f', 100 * kib)).status).toBe(201)
    const set = (quota: string) => server.cli(['user', 'quota', user.name, quota, '--config', server.configFile])
    expect(await set('1M')).toMatchObject({ code: 0, stdout: `The quota of ${user.name} is 1M.\n` })
    expect((await put(user, '/g', 100 * kib)).status).toBe(201)
    expect((await set('none')).code).toBe(0)
    expect((await put(user, '/h', kib)).status).toBe(507)
    // Whoever has too much may still make it less.
    expect((await put(user, '/g', 50 * kib)).status).toBe(204)
    expect((await set('5 GB')).stderr).toContain('500M')
  })

  it('counts what lies there before', async () => {
    const user = await newUser()
    expect((await server.request('PROPFIND', '/', { as: user.as })).status).toBe(207)
    writeFileSync(join(user.disk, 'before'), Buffer.alloc(95 * kib))
    expect((await put(user, '/f', 10 * kib)).status).toBe(507)
    expect(await told(user)).toEqual([95 * kib, 5 * kib])
  })

  it('does not bind a user whose home is the root', async () => {
    expect((await server.request('PUT', '/big', { body: Buffer.alloc(200 * kib) })).status).toBe(201)
    expect(statSync(join(server.root, 'big')).size).toBe(200 * kib)
  })
})

describe('a quota without a home', () => {
  it('is refused where it is set', async () => {
    const other = await startServer()
    try {
      const done = await other.cli(['user', 'quota', 'nobody', '5G'])
      expect([done.code !== 0, done.stderr]).toEqual([true, expect.stringContaining('home')])
    } finally {
      await other[Symbol.asyncDispose]()
    }
    await expect(startServer({ config: JSON.stringify({ identity: [{ catalog: { quota: '1G' } }] }) })).rejects.toThrow(
      /quota.*needs a home/s,
    )
  })
})
