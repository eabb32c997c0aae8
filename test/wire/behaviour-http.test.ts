import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, format, namesBelow, startServer } from '../harness.js'
import { freshFile, freshFolder, modified } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('OPTIONS', () => {
  it.each(['/', '/missing'])('says the honest classes at %s', async (path) => {
    const answer = await server.request('OPTIONS', path)
    expect([200, 204]).toContain(answer.status)
    const classes = (answer.headers.get('dav') ?? []).join(',').split(/\s*,\s*/)
    expect(classes).toEqual(expect.arrayContaining(['1', '2', '3']))
    expect(answer.header('ms-author-via')).toBe('DAV')
    expect(answer.header('allow')).toMatch(/\bPROPFIND\b/)
  })

  it('answers OPTIONS * too', async () => {
    const answer = await server.request('OPTIONS', '*')
    expect([200, 204]).toContain(answer.status)
  })
})

describe('PUT', () => {
  it('answers 201 for a new and 204 for an old file, with the ETag that GET shows', async () => {
    const { path } = await freshFolder(server)
    const made = await server.request('PUT', `${path}/a`, { body: 'one' })
    const replaced = await server.request('PUT', `${path}/a`, { body: 'two!' })
    expect([made.status, replaced.status]).toEqual([201, 204])
    expect(made.header('etag')).toMatch(/^"[^"]+"$/)
    expect(replaced.header('etag')).not.toBe(made.header('etag'))
    expect(replaced.header('last-modified')).toMatch(/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/)
    const read = await server.request('GET', `${path}/a`)
    expect([read.text, read.header('etag')]).toEqual(['two!', replaced.header('etag')])
  })

  it('leaves the old file when the client goes away half-way', async () => {
    const { path, disk } = await freshFile(server)
    const connection = await server.connect()
    const whole = Buffer.from(
      format('PUT', path, { as: ['admin', server.adminPassword], body: 'x'.repeat(100_000) }, server.port),
    )
    await connection.send(whole.subarray(0, whole.length - 50_000))
    connection.destroy()
    await eventually('the upload is cleared away', async () => (await namesBelow(join(disk, '..'))).length === 1)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
  })

  it('leaves nothing under a new name when the client goes away half-way', async () => {
    const { path, disk } = await freshFolder(server)
    const connection = await server.connect()
    const whole = Buffer.from(
      format('PUT', `${path}/new`, { as: ['admin', server.adminPassword], body: 'x'.repeat(100_000) }, server.port),
    )
    await connection.send(whole.subarray(0, whole.length - 50_000))
    connection.destroy()
    await eventually('the upload is cleared away', async () => (await namesBelow(disk)).length === 0)
    expect((await server.request('GET', `${path}/new`)).status).toBe(404)
  })

  it('takes no fragment for the whole', async () => {
    const { path, disk } = await freshFile(server)
    const answer = await server.request('PUT', path, { body: 'XX', headers: { 'Content-Range': 'bytes 2-3/10' } })
    expect([answer.status, await readFile(disk, 'utf8')]).toEqual([400, '0123456789'])
  })

  it.each([
    ['If-Match', '"stale"'],
    ['If-None-Match', '*'],
    ['If-Unmodified-Since', 'Thu, 01 Jan 1970 00:00:00 GMT'],
  ])('honours %s: %s', async (name, value) => {
    const { path, disk } = await freshFile(server)
    const answer = await server.request('PUT', path, { body: 'new', headers: { [name]: value } })
    expect([answer.status, await readFile(disk, 'utf8')]).toEqual([412, '0123456789'])
  })

  it('makes a new file with If-None-Match: * and none with If-Match: *', async () => {
    const { path, disk } = await freshFolder(server)
    const refused = await server.request('PUT', `${path}/a`, { body: 'a', headers: { 'If-Match': '*' } })
    expect([refused.status, existsSync(join(disk, 'a'))]).toEqual([412, false])
    expect((await server.request('PUT', `${path}/a`, { body: 'a', headers: { 'If-None-Match': '*' } })).status).toBe(
      201,
    )
  })

  it('needs the parent, and a file for a parent is no folder', async () => {
    const { path } = await freshFile(server)
    expect((await server.request('PUT', `${path}-no/such/place`, { body: 'x' })).status).toBe(409)
    expect((await server.request('PUT', `${path}/below-a-file`, { body: 'x' })).status).toBe(409)
  })

  it('writes no file in the place of a folder', async () => {
    const { path } = await freshFolder(server)
    expect([405, 409]).toContain((await server.request('PUT', path, { body: 'x' })).status)
    expect([405, 409]).toContain((await server.request('PUT', `${path}/`, { body: 'x' })).status)
  })

  it('keeps the time that a client asks for', async () => {
    const { path, disk } = await freshFolder(server)
    const answer = await server.request('PUT', `${path}/a`, { body: 'x', headers: { 'X-OC-Mtime': '981173106' } })
    expect([answer.status, answer.header('x-oc-mtime')]).toEqual([201, 'accepted'])
    expect(await modified(join(disk, 'a'))).toBe('2001-02-03T04:05:06.000Z')
  })

  it('takes chunks, and an empty file', async () => {
    const { path, disk } = await freshFolder(server)
    expect((await server.request('PUT', `${path}/c`, { chunks: ['0123', '456', '789'] })).status).toBe(201)
    expect(await readFile(join(disk, 'c'), 'utf8')).toBe('0123456789')
    expect((await server.request('PUT', `${path}/e`, { body: '' })).status).toBe(201)
    expect((await stat(join(disk, 'e'))).size).toBe(0)
  })

  it('asks for the body only when it will be used', async () => {
    const { path } = await freshFile(server)
    const connection = await server.connect()
    const as = ['admin', server.adminPassword] as const
    const head = (extra: Record<string, string>) =>
      format('PUT', path, { as, headers: { Expect: '100-continue', 'Content-Length': '3', ...extra } }, server.port)
    await connection.send(head({ 'If-Match': '"stale"' }))
    const refused = await connection.answer()
    expect([refused.status, refused.interim]).toEqual([412, []])
    connection.destroy()
    const second = await server.connect()
    await second.send(head({}))
    await second.send('new')
    const taken = await second.answer()
    expect([taken.status, taken.interim]).toEqual([204, [100]])
    second.destroy()
  })
})

describe('GET and HEAD', () => {
  it('gives several ranges as multipart/byteranges', async () => {
    const { path } = await freshFile(server)
    const answer = await server.request('GET', path, { headers: { Range: 'bytes=0-1,4-5' } })
    expect(answer.status).toBe(206)
    const boundary = /^multipart\/byteranges; ?boundary="?([^"]+)"?$/.exec(answer.header('content-type'))?.[1] ?? '?'
    const parts = answer.text.split(`--${boundary}`)
    expect(parts).toHaveLength(4)
    expect(parts[1]).toMatch(/content-range: bytes 0-1\/10(?:\r\n[^\r\n]+)*\r\n\r\n01\r\n$/i)
    expect(parts[2]).toMatch(/content-range: bytes 4-5\/10(?:\r\n[^\r\n]+)*\r\n\r\n45\r\n$/i)
    expect(Number(answer.header('content-length'))).toBe(answer.body.length)
  })

  it.each([
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['bytes=5-99', 206, '56789', 'bytes 5-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['lines=1-2', 200, '0123456789', ''],
    ['bytes=4-2', 200, '0123456789', ''],
    ['bytes=a-b', 200, '0123456789', ''],
  ])('reads Range: %s', async (range, status, text, contentRange) => {
    const { path } = await freshFile(server)
    const answer = await server.request('GET', path, { headers: { Range: range } })
    expect([answer.status, answer.text, answer.header('content-range')]).toEqual([status, text, contentRange])
  })

  it.each(['bytes=10-', 'bytes=-0', 'bytes=99999999999999999999-'])(
    'answers 416 with the size to %s',
    async (range) => {
      const { path } = await freshFile(server)
      const answer = await server.request('GET', path, { headers: { Range: range } })
      expect([answer.status, answer.header('content-range')]).toEqual([416, 'bytes */10'])
    },
  )

  it('gives everything when If-Range is stale, and the range when it is not', async () => {
    const { path } = await freshFile(server)
    const etag = (await server.request('HEAD', path)).header('etag')
    const get = async (validator: string) =>
      await server.request('GET', path, { headers: { Range: 'bytes=0-1', 'If-Range': validator } })
    expect((await get('"stale"')).status).toBe(200)
    expect((await get(`W/${etag}`)).status).toBe(200)
    expect((await get('Thu, 01 Jan 1970 00:00:00 GMT')).status).toBe(200)
    expect((await get(etag)).status).toBe(206)
  })

  it('bounds 200 overlapping ranges', async () => {
    const { path, disk } = await freshFile(server)
    await writeFile(disk, Buffer.alloc(100_000, 'r'))
    const range = `bytes=${Array.from({ length: 200 }, (_, n) => `${n}-`).join(',')}`
    const answer = await server.request('GET', path, { headers: { Range: range } })
    expect([200, 206, 416]).toContain(answer.status)
    expect(answer.body.length).toBeLessThan(210_000)
  })

  it('answers 304 and 412 as RFC 9110 §13 says', async () => {
    const { path } = await freshFile(server)
    const head = await server.request('HEAD', path)
    const etag = head.header('etag')
    const since = head.header('last-modified')
    const get = async (headers: Record<string, string>) => (await server.request('GET', path, { headers })).status
    expect(await get({ 'If-None-Match': etag })).toBe(304)
    expect(await get({ 'If-None-Match': `"other", W/${etag}` })).toBe(304)
    expect(await get({ 'If-None-Match': '"other"', 'If-Modified-Since': since })).toBe(200)
    expect(await get({ 'If-Modified-Since': since })).toBe(304)
    expect(await get({ 'If-Modified-Since': 'yesterday' })).toBe(200)
    expect(await get({ 'If-Match': '"other"' })).toBe(412)
    expect(await get({ 'If-Match': etag })).toBe(200)
  })

  it('gives HEAD the header of GET and no body', async () => {
    const { path } = await freshFile(server)
    const connection = await server.connect()
    const as = ['admin', server.adminPassword] as const
    await connection.send(format('HEAD', path, { as }, server.port))
    const head = await connection.answer({ method: 'HEAD' })
    await connection.send(format('GET', path, { as }, server.port))
    const get = await connection.answer()
    connection.destroy()
    expect([head.status, head.header('content-length'), get.text]).toEqual([200, '10', '0123456789'])
    expect(head.header('accept-ranges')).toBe('bytes')
    expect(head.header('etag')).toBe(get.header('etag'))
    expect(head.header('last-modified')).toBe(get.header('last-modified'))
  })

  it('answers HEAD and GET on a collection with 200 and never redirects', async () => {
    const { path } = await freshFolder(server)
    for (const target of [path, `${path}/`]) {
      expect((await server.request('HEAD', target)).status).toBe(200)
      expect((await server.request('GET', target)).status).toBe(200)
    }
  })

  it('lets no page of a user run in the name of the server', async () => {
    const { path, disk } = await freshFolder(server)
    for (const name of ['p.html', 'p.svg', 'p.xhtml', 'p.xml']) {
      await writeFile(join(disk, name), '<script>alert(1)</script>')
      const answer = await server.request('GET', `${path}/${name}`)
      expect(answer.header('x-content-type-options')).toBe('nosniff')
      const policy = answer.header('content-security-policy')
      expect(/\bsandbox\b/.test(policy) || answer.header('content-disposition').startsWith('attachment')).toBe(true)
    }
  })

  it('answers a miss at once and without a body that a client could take for the file', async () => {
    const answer = await server.request('GET', '/lastsync/nonexistent.prop')
    expect(answer.status).toBe(404)
  })

  it('refuses POST on a file with 405 and Allow', async () => {
    const { path, disk } = await freshFile(server)
    const answer = await server.request('POST', path, { body: 'x' })
    expect([answer.status, await readFile(disk, 'utf8')]).toEqual([405, '0123456789'])
    expect(answer.header('allow')).toMatch(/\bGET\b/)
  })
})
