import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { namesBelow, startServer, type Server } from '../harness.js'

let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'postern-mounts-'))
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** Three directories as one tree: `/`, `/way/to/big` for files of at most 1,000 bytes, and `/old`, which is read-only. */
async function serve(): Promise<Server> {
  await mkdir(join(home, 'old/d'), { recursive: true })
  writeFileSync(join(home, 'old/d/f'), 'old')
  const mounts = [
    { path: '/', local: join(home, 'base') },
    { path: '/way/to/big', local: join(home, 'big'), maxFileBytes: 1000 },
    { path: '/old', local: join(home, 'old'), readOnly: true },
  ]
  return startServer({ mounts: true, config: JSON.stringify({ mounts }) })
}

/** The paths that a PROPFIND names, decoded. */
async function listed(server: Server, path: string, depth = '1'): Promise<readonly string[]> {
  const { status, text } = await server.request('PROPFIND', path, { headers: { Depth: depth } })
  expect(status).toBe(207)
  return [...text.matchAll(/<[^>]*href>([^<]*)</g)].map(([, href = '']) => decodeURIComponent(href))
}

async function statusOf(
  server: Server,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<number> {
  return (await server.request(method, path, { headers, ...(body !== undefined && { body }) })).status
}

describe('several directories as one tree', () => {
  it('hold their mount points, whoever tries to remove, move or replace them', async () => {
    await using server = await serve()
    await server.request('PUT', '/f', { body: 'f' })
    await server.request('PUT', '/way/to/big/kept', { body: 'kept' })
    const destination = (path: string): Record<string, string> => ({ Destination: server.url + path, Overwrite: 'T' })
    for (const path of ['/way/to/big', '/old']) {
      expect([path, await statusOf(server, 'DELETE', `${path}/`)]).toEqual([path, 403])
      expect([path, await statusOf(server, 'MOVE', `${path}/`, destination('/elsewhere'))]).toEqual([path, 403])
      expect([path, await statusOf(server, 'COPY', '/f', destination(path))]).toEqual([path, 403])
      expect([path, await statusOf(server, 'MOVE', '/f', destination(path))]).toEqual([path, 403])
      expect([path, await statusOf(server, 'MKCOL', path)]).toEqual([path, 405])
      expect([path, await statusOf(server, 'PUT', path, {}, 'x')]).toEqual([path, 405])
    }
    expect(await statusOf(server, 'MOVE', '/way/', destination('/elsewhere'))).toBe(403)
    expect(await statusOf(server, 'MOVE', '/f', destination('/way'))).toBe(403)
    const removed = await server.request('DELETE', '/way/')
    expect([removed.status, removed.text.match(/href>[^<]+/g)]).toEqual([207, ['href>/way/to/big']])
    expect(removed.text).toContain('403')
    expect(await listed(server, '/', 'infinity')).toEqual(
      expect.arrayContaining(['/', '/f', '/old/', '/old/d/', '/old/d/f', '/way/', '/way/to/', '/way/to/big/']),
    )
    expect(readFileSync(join(home, 'old/d/f'), 'utf8')).toBe('old')
  })

  it('move and copy between each other, with locks and properties', async () => {
    await using server = await serve()
    await server.request('MKCOL', '/d')
    await server.request('PUT', '/d/f', { body: 'bytes', headers: { 'Content-Type': 'application/x-own' } })
    await server.request('PROPPATCH', '/d/f', {
      body: '<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">kept</x></prop></set></propertyupdate>',
    })
    const to = (path: string): Record<string, string> => ({ Destination: server.url + path })
    expect(await statusOf(server, 'MOVE', '/d/', to('/way/to/big/d'))).toBe(201)
    expect(await statusOf(server, 'GET', '/d/f')).toBe(404)
    const moved = await server.request('GET', '/way/to/big/d/f')
    expect([moved.text, moved.header('content-type')]).toEqual(['bytes', 'application/x-own'])
    expect((await server.request('PROPFIND', '/way/to/big/d/f', { headers: { Depth: '0' } })).text).toContain('kept')
    expect(readFileSync(join(home, 'big/d/f'), 'utf8')).toBe('bytes')
    expect(await namesBelow(join(home, 'base'))).toEqual([])
    expect(await statusOf(server, 'COPY', '/old/d/', to('/way/copy'))).toBe(201)
    expect(readFileSync(join(home, 'base/way/copy/f'), 'utf8')).toBe('old')
    // A lock across the border counts on both sides.
    const lock = await server.request('LOCK', '/way/', {
      headers: { Depth: 'infinity' },
      body: '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>',
    })
    expect(lock.status).toBe(200)
    expect(await statusOf(server, 'PUT', '/way/to/big/g', {}, 'x')).toBe(423)
    expect(await statusOf(server, 'MOVE', '/way/to/big/d/f', to('/f'))).toBe(423)
  })

  it('keep their limits', async () => {
    await using server = await serve()
    expect(await statusOf(server, 'PUT', '/way/to/big/f', {}, 'x'.repeat(1001))).toBe(413)
    const chunked = await server.request('PUT', '/way/to/big/f', { chunks: ['x'.repeat(900), 'x'.repeat(200)] })
    expect(chunked.status).toBe(413)
    expect(await statusOf(server, 'PUT', '/way/to/big/f', {}, 'x'.repeat(1000))).toBe(201)
    expect(await statusOf(server, 'PUT', '/large', {}, 'x'.repeat(1001))).toBe(201)
    expect(await statusOf(server, 'COPY', '/large', { Destination: `${server.url}/way/to/big/large` })).toBe(413)
    expect(await statusOf(server, 'MOVE', '/large', { Destination: `${server.url}/way/to/big/large` })).toBe(413)
    for (const [method, path] of [
      ['PUT', '/old/new'],
      ['PUT', '/old/d/f'],
      ['MKCOL', '/old/new'],
      ['DELETE', '/old/d/f'],
      ['PATCH', '/old/d/f'],
    ] as const) {
      const { status, text } = await server.request(method, path, {
        body: method === 'MKCOL' || method === 'DELETE' ? '' : 'x',
        ...(method === 'PATCH' && {
          headers: { 'Content-Type': 'application/x-sabredav-partialupdate', 'X-Update-Range': 'append' },
        }),
      })
      expect([method, status]).toEqual([method, 403])
      expect(text).toContain('read-only')
    }
    expect(await statusOf(server, 'MOVE', '/old/d/f', { Destination: `${server.url}/f` })).toBe(403)
    expect(await statusOf(server, 'GET', '/f')).toBe(404)
    expect(await readdir(join(home, 'big'))).toEqual(['f'])
  })
})
