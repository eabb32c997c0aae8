import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, namesBelow, startServer } from '../harness.js'
import { freshFile, freshFolder, isRefusal } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('browsers', () => {
  it.each([
    ['another origin', { Origin: 'https://evil.example' }],
    ['a cross-site fetch', { 'Sec-Fetch-Site': 'cross-site' }],
    ['an opaque origin', { Origin: 'null' }],
  ] as const)('cannot be made to write from %s', async (_, headers) => {
    const { path, disk } = await freshFile(server)
    const sent: Record<string, string> = { ...headers }
    for (const method of ['PUT', 'DELETE', 'PATCH', 'POST', 'PROPPATCH', 'LOCK', 'MKCOL']) {
      const target = method === 'MKCOL' ? `${path}-new` : path
      const answer = await server.request(method, target, { headers: sent, body: method === 'PUT' ? 'evil' : '' })
      expect([method, answer.status]).toEqual([method, method === 'POST' ? expect.toSatisfy(isRefusal) : 403])
    }
    for (const method of ['COPY', 'MOVE'])
      expect((await server.request(method, path, { headers: { ...sent, Destination: `${path}-2` } })).status).toBe(403)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
    expect(await namesBelow(join(disk, '..'))).toEqual(['f.txt'])
  })

  it('may write from its own page', async () => {
    const { path } = await freshFile(server)
    const headers = { Origin: server.url, 'Sec-Fetch-Site': 'same-origin' }
    expect((await server.request('PUT', path, { headers, body: 'mine' })).status).toBe(204)
  })

  it('get no permission for a foreign page', async () => {
    const { path } = await freshFile(server)
    const read = await server.request('GET', path, { headers: { Origin: 'https://evil.example' } })
    expect(read.headers.has('access-control-allow-origin')).toBe(false)
    const preflight = await server.request('OPTIONS', path, {
      as: null,
      headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'PUT' },
    })
    expect(preflight.headers.has('access-control-allow-origin')).toBe(false)
  })

  it('run nothing that a name carries', async () => {
    const { path, disk } = await freshFolder(server)
    await mkdir(join(disk, '"><script>alert(1)<'))
    await writeFile(join(disk, '<img src=x onerror=alert(1)>'), 'x')
    await writeFile(join(disk, "javascript:alert('1')"), 'x')
    const page = await server.request('GET', `${path}/`, { headers: { Accept: 'text/html' } })
    expect(page.header('content-type')).toMatch(/^text\/html/)
    expect(page.text).not.toMatch(/<script>alert|<img src=x/)
    expect(page.text).not.toMatch(/href=["']?javascript:/i)
    expect(page.header('content-security-policy')).toMatch(/default-src 'none'/)
    expect(page.header('x-content-type-options')).toBe('nosniff')
  })

  it('get no header that a name has made', async () => {
    const { path, disk } = await freshFolder(server)
    const name = 'a\r\nSet-Cookie: evil=1\r\n\r\n<b>.html'
    await writeFile(join(disk, name), 'x')
    const answer = await server.request('GET', `${path}/${encodeURIComponent(name)}`)
    expect([answer.status, answer.headers.has('set-cookie'), answer.text]).toEqual([200, false, 'x'])
    const put = await server.request('PUT', `${path}/new%0d%0aX-Evil:%201`, { body: 'x' })
    expect([put.status, put.headers.has('x-evil')]).toEqual([201, false])
  })
})

describe('what is said', () => {
  it('tells nothing of the inside', async () => {
    const { path } = await freshFile(server)
    const answers = [
      await server.request('GET', `${path}/below`),
      await server.request('GET', '/%zz'),
      await server.request('MOVE', path, { headers: { Destination: 'http://other.example/' } }),
      await server.request('PROPFIND', path, { headers: { Depth: '0' }, body: '<' }),
      await server.request('PUT', `${path}/below`, { body: 'x' }),
      await server.request('BREW', path),
    ]
    for (const answer of answers) {
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(answer.text).not.toMatch(/\bat \/|\.js:\d|node_modules|ENOENT|ENOTDIR|Error:/)
      expect(answer.text).not.toContain(server.root)
      expect(answer.headers.has('x-powered-by')).toBe(false)
    }
  })

  it('logs one line for a request, whatever is in it', async () => {
    const mark = `mark-${process.pid}`
    await server.request('GET', `/${mark}%0a%7b%22forged%22%3atrue%7d%1b%5b31m`)
    await eventually('the line is there', () => server.stderr().includes(mark))
    const lines = server
      .stderr()
      .split('\n')
      .filter((line) => line.includes(mark))
    expect(lines).toHaveLength(1)
    expect(server.stderr()).not.toMatch(/^\{"forged"/m)
    expect(server.stderr()).not.toContain('\u001b[31m')
  })
})
