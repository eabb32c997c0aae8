import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Caller, Server } from '../harness.js'
import { startServer } from '../harness.js'
import { lock, propfind, proppatch } from '../wire/dav.js'

let server: Server
let bob: Caller

beforeAll(async () => {
  server = await startServer()
  bob = await server.addUser('bob', 'rw:/**')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const colour = '<propfind xmlns="DAV:"><prop><Z:colour xmlns:Z="urn:example:z"/></prop></propfind>'

async function colourOf(path: string): Promise<string | undefined> {
  const answer = await server.request('PROPFIND', path, { headers: { Depth: '0' }, body: colour })
  if (answer.status === 404) return undefined
  expect(answer.status).toBe(207)
  return /colour[^>]*>([^<]+)</.exec(answer.text)?.[1]
}

async function paint(path: string, value: string, headers: Record<string, string> = {}): Promise<void> {
  const answer = await server.request('PROPPATCH', path, { headers, body: proppatch(`<Z:colour>${value}</Z:colour>`) })
  expect([answer.status, /HTTP\/1\.1 200/.test(answer.text)]).toEqual([207, true])
}

async function isLocked(path: string): Promise<boolean> {
  const found = await server.request('PROPFIND', path, { headers: { Depth: '0' }, body: propfind('lockdiscovery') })
  return found.text.includes('activelock')
}

async function put(path: string, headers: Record<string, string> = {}, as?: Caller): Promise<number> {
  return (await server.request('PUT', path, { headers, body: 'x', ...(as === undefined ? {} : { as }) })).status
}

it.each(['stop', 'kill9'] as const)('locks and properties survive a restart after %s', async (how) => {
  const base = `/${how}`
  await mkdir(join(server.root, base))
  await writeFile(join(server.root, base, 'f'), 'x')
  await paint(`${base}/f`, 'blue')
  const token = await lock(server, `${base}/f`)
  const made = await server.request('GET', `${base}/f`)
  await server[how]()
  await server.restart()
  expect(await colourOf(`${base}/f`)).toBe('blue')
  expect(await isLocked(`${base}/f`)).toBe(true)
  expect(await put(`${base}/f`)).toBe(423)
  expect(await put(`${base}/f`, { If: `(<${token}>)` }, bob)).not.toBe(204)
  expect((await server.request('GET', `${base}/f`)).header('etag'), 'entity tags too').toBe(made.header('etag'))
  expect(await put(`${base}/f`, { If: `(<${token}>)` })).toBe(204)
  const unlock = await server.request('UNLOCK', `${base}/f`, { headers: { 'Lock-Token': `<${token}>` } })
  expect(unlock.status).toBe(204)
})

it('properties follow MOVE and COPY, and die with DELETE', async () => {
  await mkdir(join(server.root, 'tree/sub'), { recursive: true })
  await writeFile(join(server.root, 'tree/sub/f'), 'x')
  await paint('/tree', 'red')
  await paint('/tree/sub/f', 'green')
  expect((await server.request('MOVE', '/tree', { headers: { Destination: '/moved' } })).status).toBe(201)
  expect([await colourOf('/moved'), await colourOf('/moved/sub/f')]).toEqual(['red', 'green'])
  expect((await server.request('COPY', '/moved', { headers: { Destination: '/copied' } })).status).toBe(201)
  expect([await colourOf('/copied'), await colourOf('/copied/sub/f')]).toEqual(['red', 'green'])
  await mkdir(join(server.root, 'tree/sub'), { recursive: true })
  await writeFile(join(server.root, 'tree/sub/f'), 'x')
  expect([await colourOf('/tree'), await colourOf('/tree/sub/f')]).toEqual([undefined, undefined])
  expect((await server.request('DELETE', '/moved')).status).toBe(204)
  await mkdir(join(server.root, 'moved/sub'), { recursive: true })
  await writeFile(join(server.root, 'moved/sub/f'), 'x')
  expect([await colourOf('/moved'), await colourOf('/moved/sub/f')]).toEqual([undefined, undefined])
})

it('a file that replaces another by MOVE brings its own properties', async () => {
  await writeFile(join(server.root, 'a'), 'a')
  await writeFile(join(server.root, 'b'), 'b')
  await paint('/a', 'red')
  await paint('/b', 'blue')
  expect((await server.request('MOVE', '/a', { headers: { Destination: '/b', Overwrite: 'T' } })).status).toBe(204)
  expect(await colourOf('/b')).toBe('red')
  expect(await put('/b')).toBe(204)
  expect(await colourOf('/b'), 'PUT keeps them').toBe('red')
})

it('a lock does not follow MOVE, and dies with DELETE (RFC 4918 §7.5, §9.6.1)', async () => {
  await mkdir(join(server.root, 'l'))
  await writeFile(join(server.root, 'l/f'), 'x')
  const token = await lock(server, '/l/f')
  expect((await server.request('MOVE', '/l/f', { headers: { Destination: '/l/g' } })).status).toBe(423)
  const moved = await server.request('MOVE', '/l/f', { headers: { Destination: '/l/g', If: `</l/f> (<${token}>)` } })
  expect(moved.status).toBe(201)
  expect([await isLocked('/l/g'), await put('/l/g')]).toEqual([false, 204])
  await writeFile(join(server.root, 'l/f'), 'again')
  expect([await isLocked('/l/f'), await put('/l/f')]).toEqual([false, 204])

  const second = await lock(server, '/l/f')
  const gone = await server.request('DELETE', '/l/f', { headers: { If: `(<${second}>)` } })
  expect(gone.status).toBe(204)
  await writeFile(join(server.root, 'l/f'), 'again')
  expect([await isLocked('/l/f'), await put('/l/f')]).toEqual([false, 204])
})

it('what is moved into a locked collection is locked with it', async () => {
  await mkdir(join(server.root, 'locked'))
  await writeFile(join(server.root, 'outside'), 'x')
  const token = await lock(server, '/locked', { depth: 'infinity' })
  const move = { Destination: '/locked/inside' }
  expect((await server.request('MOVE', '/outside', { headers: move })).status).toBe(423)
  const headers = { ...move, If: `</locked> (<${token}>)` }
  expect((await server.request('MOVE', '/outside', { headers })).status).toBe(201)
  expect([await isLocked('/locked/inside'), await put('/locked/inside')]).toEqual([true, 423])
})

it('a lock below keeps a tree from being deleted, and the rest of it is told apart', async () => {
  await mkdir(join(server.root, 'part/a'), { recursive: true })
  await writeFile(join(server.root, 'part/a/f'), 'x')
  await lock(server, '/part/a/f')
  const answer = await server.request('DELETE', '/part')
  expect([207, 423]).toContain(answer.status)
  expect(answer.text).toContain('/part/a/f')
  expect(answer.text).toMatch(answer.status === 207 ? /HTTP\/1\.1 423/ : /lock-token-submitted/)
  expect((await server.request('GET', '/part/a/f')).status).toBe(200)
})

it('a failed upload keeps properties and locks as they were', async () => {
  await writeFile(join(server.root, 'kept'), 'x')
  await paint('/kept', 'blue')
  const token = await lock(server, '/kept')
  expect(await put('/kept', { If: `(<${token}>)`, 'Content-MD5': 'AAAAAAAAAAAAAAAAAAAAAA==' })).toBe(400)
  expect([await colourOf('/kept'), await isLocked('/kept')]).toEqual(['blue', true])
})
