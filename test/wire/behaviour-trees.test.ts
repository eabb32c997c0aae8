import { existsSync } from 'node:fs'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { namesBelow, startServer } from '../harness.js'
import { freshFile, freshFolder, hrefsOf, propfind } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('COPY and MOVE', () => {
  const transfer = async (method: string, from: string, to: string, headers: Record<string, string> = {}) =>
    await server.request(method, from, { headers: { Destination: to, ...headers } })

  it('replaces a file when Overwrite is missing', async () => {
    const { path, disk } = await freshFolder(server)
    await writeFile(join(disk, 'a'), 'a')
    await writeFile(join(disk, 'b'), 'b')
    expect((await transfer('MOVE', `${path}/a`, `${server.url}${path}/b`)).status).toBe(204)
    expect([await namesBelow(disk), await readFile(join(disk, 'b'), 'utf8')]).toEqual([['b'], 'a'])
  })

  it.each(['COPY', 'MOVE'])('%s with Overwrite: F leaves an old file', async (method) => {
    const { path, disk } = await freshFolder(server)
    await writeFile(join(disk, 'a'), 'a')
    await writeFile(join(disk, 'b'), 'b')
    const answer = await transfer(method, `${path}/a`, `${server.url}${path}/b`, { Overwrite: 'F' })
    expect([answer.status, await readFile(join(disk, 'b'), 'utf8')]).toEqual([412, 'b'])
  })

  it.each(['COPY', 'MOVE'])('%s onto itself is 403', async (method) => {
    const { path, disk } = await freshFile(server)
    expect((await transfer(method, path, server.url + path)).status).toBe(403)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
  })

  it.each(['COPY', 'MOVE'])('%s of a collection into itself is 403', async (method) => {
    const { path, disk } = await freshFolder(server)
    await writeFile(join(disk, 'x'), 'x')
    expect((await transfer(method, path, `${server.url}${path}/inner`)).status).toBe(403)
    expect(await namesBelow(disk)).toEqual(['x'])
  })

  it('does not replace a folder by what lies in it', async () => {
    const { path, disk } = await freshFolder(server)
    await mkdir(join(disk, 'inner'))
    expect((await transfer('MOVE', `${path}/inner`, server.url + path)).status).toBe(403)
    expect(await namesBelow(disk)).toEqual(['inner'])
  })

  it('takes an absolute path for a Destination (RFC 4918 §8.3)', async () => {
    const { path, disk } = await freshFile(server)
    expect((await transfer('COPY', path, `${path}.copy`)).status).toBe(201)
    expect(await readFile(`${disk}.copy`, 'utf8')).toBe('0123456789')
  })

  it.each([
    ['another host', 'http://other.example/x', 502],
    ['another port', 'http://127.0.0.1:1/x', 502],
    ['another scheme', 'ftp://127.0.0.1/x', 502],
    ['a missing parent', '/no/such/parent', 409],
    ['no URI', 'x y z', 400],
    ['a relative path', 'x.txt', 400],
    ['nothing', '', 400],
    ['dot segments', '/../../etc/x', 400],
    ['encoded dot segments', '/%2e%2e/x', 400],
    ['a NUL', '/a%00b', 400],
    ['a fragment', '/a#b', 400],
  ])('judges a Destination with %s', async (_, destination, status) => {
    const { path, disk } = await freshFile(server)
    expect((await transfer('MOVE', path, destination)).status).toBe(status)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
  })

  it('needs a Destination', async () => {
    const { path } = await freshFile(server)
    expect((await server.request('COPY', path)).status).toBe(400)
  })

  it('copies a collection whole with infinity, alone with 0, and refuses 1', async () => {
    const { path, disk } = await freshFolder(server)
    await mkdir(join(disk, 'a/b'), { recursive: true })
    await writeFile(join(disk, 'a/b/c'), 'c')
    expect((await transfer('COPY', `${path}/a`, `${path}/whole`)).status).toBe(201)
    expect((await transfer('COPY', `${path}/a`, `${path}/alone`, { Depth: '0' })).status).toBe(201)
    expect((await transfer('COPY', `${path}/a`, `${path}/never`, { Depth: '1' })).status).toBe(400)
    expect((await transfer('MOVE', `${path}/a`, `${path}/never`, { Depth: '0' })).status).toBe(400)
    expect(await namesBelow(disk)).toEqual(['a', 'a/b', 'a/b/c', 'alone', 'whole', 'whole/b', 'whole/b/c'])
  })

  it('takes folders with and without a slash', async () => {
    const { path, disk } = await freshFolder(server)
    expect((await server.request('MKCOL', `${path}/a`)).status).toBe(201)
    expect((await server.request('MKCOL', `${path}/b/`)).status).toBe(201)
    expect((await transfer('MOVE', `${path}/a`, `${path}/c`)).status).toBe(201)
    expect((await transfer('MOVE', `${path}/b/`, `${path}/d`)).status).toBe(201)
    expect((await transfer('MOVE', `${path}/c`, `${path}/e/`)).status).toBe(201)
    expect((await server.request('DELETE', `${path}/d`)).status).toBe(204)
    expect((await server.request('DELETE', `${path}/e/`)).status).toBe(204)
    expect(await namesBelow(disk)).toEqual([])
  })
})

describe('DELETE and MKCOL', () => {
  it('honours If-Match', async () => {
    const { path, disk } = await freshFile(server)
    expect((await server.request('DELETE', path, { headers: { 'If-Match': '"stale"' } })).status).toBe(412)
    expect(existsSync(disk)).toBe(true)
  })

  it('deletes collections whole or not at all', async () => {
    const { path, disk } = await freshFolder(server)
    await writeFile(join(disk, 'x'), 'x')
    expect((await server.request('DELETE', path, { headers: { Depth: '0' } })).status).toBe(400)
    expect(existsSync(join(disk, 'x'))).toBe(true)
    expect((await server.request('DELETE', path, { headers: { Depth: 'infinity' } })).status).toBe(204)
    expect((await server.request('DELETE', path)).status).toBe(404)
  })

  it('never deletes the root', async () => {
    const { disk } = await freshFolder(server)
    expect([403, 405]).toContain((await server.request('DELETE', '/')).status)
    expect(existsSync(disk)).toBe(true)
  })

  it('says what is in the way of a new collection', async () => {
    const { path } = await freshFile(server)
    expect((await server.request('MKCOL', path)).status).toBe(405)
    expect((await server.request('MKCOL', `${path}-no/such`)).status).toBe(409)
    expect((await server.request('MKCOL', '/')).status).toBe(405)
  })

  it('makes a collection with properties (RFC 5689), and refuses other bodies', async () => {
    const { path } = await freshFolder(server)
    const body =
      '<mkcol xmlns="DAV:"><set><prop><resourcetype><collection/></resourcetype><displayname>Shown</displayname></prop></set></mkcol>'
    const xml = { 'Content-Type': 'application/xml' }
    expect((await server.request('MKCOL', `${path}/a`, { headers: xml, body })).status).toBe(201)
    const read = await server.request('PROPFIND', `${path}/a`, {
      headers: { Depth: '0' },
      body: propfind('displayname'),
    })
    expect(read.text).toContain('Shown')
    const strange = body.replace('<collection/>', '<collection/><x:address-book xmlns:x="x:y"/>')
    const refused = await server.request('MKCOL', `${path}/b`, { headers: xml, body: strange })
    expect([refused.status, refused.text.includes('valid-resourcetype')]).toEqual([403, true])
    const text = await server.request('MKCOL', `${path}/c`, { headers: { 'Content-Type': 'text/plain' }, body: 'x' })
    expect(text.status).toBe(415)
    expect((await server.request('GET', `${path}/b/`)).status).toBe(404)
  })
})

describe('names that are no paths', () => {
  it.each([
    '/%zz',
    '/%c0%af',
    '/a%00',
    '/%2e%2e/x',
    '/a/../b',
    '/a/./b',
    '/a%2fb',
    `/${'x'.repeat(256)}`,
    '/%ff',
    '/%',
  ])('%s is 400', async (target) => {
    expect((await server.request('GET', target)).status).toBe(400)
    expect((await server.request('PUT', target, { body: 'x' })).status).toBe(400)
  })

  it('collapses repeated slashes', async () => {
    const { path } = await freshFile(server)
    expect((await server.request('GET', path.replace('/f.txt', '//f.txt'))).text).toBe('0123456789')
  })

  it('takes NFC and NFD for one name', async () => {
    const { path, disk } = await freshFolder(server)
    expect((await server.request('PUT', `${path}/caf%65%CC%81`, { body: 'nfd' })).status).toBe(201)
    expect((await server.request('GET', `${path}/caf%C3%A9`)).text).toBe('nfd')
    expect((await server.request('PUT', `${path}/caf%C3%A9`, { body: 'nfc' })).status).toBe(204)
    expect(await namesBelow(disk)).toHaveLength(1)
    await writeFile(join(disk, 're\u0301sume\u0301'), 'left by others')
    expect((await server.request('GET', `${path}/r%C3%A9sum%C3%A9`)).text).toBe('left by others')
  })
})

describe('symbolic links', () => {
  it('are treated as absent', async () => {
    const { path, disk } = await freshFolder(server)
    await symlink('/etc/passwd', join(disk, 'file'))
    await symlink('/etc', join(disk, 'dir'))
    await symlink('nowhere', join(disk, 'dangling'))
    expect((await server.request('GET', `${path}/file`)).status).toBe(404)
    expect((await server.request('GET', `${path}/dir/passwd`)).status).toBe(404)
    expect((await server.request('PUT', `${path}/file`, { body: 'x' })).status).toBe(403)
    expect((await server.request('PUT', `${path}/dangling`, { body: 'x' })).status).toBe(403)
    expect([403, 409]).toContain((await server.request('PUT', `${path}/dir/new`, { body: 'x' })).status)
    const listing = await server.request('PROPFIND', `${path}/`, { headers: { Depth: '1' } })
    expect(hrefsOf(listing)).toEqual([`${path}/`])
    expect(existsSync(join(disk, 'nowhere'))).toBe(false)
  })
})
