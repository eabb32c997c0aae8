import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { openSite } from '../../../test/http-exchange.js'
import { bound } from '../../store/bound.js'
import { toPath } from '../../core/path.js'
import { openMemoryStore } from '../../store/memory.js'
import type { Store } from '../../store/store.js'
import { createHttpFiles } from './index.js'

const files = createHttpFiles()

/** A memory store that counts the contents that are open. */
function counting(): { readonly store: Store; open: number; opened: number; stats: number } {
  const inner = openMemoryStore()
  const count = { open: 0, opened: 0, stats: 0 }
  const store: Store = {
    ...bound(inner),
    stat: (path, signal) => {
      count.stats++
      return inner.stat(path, signal)
    },
    open: async (path, options) => {
      const content = await inner.open(path, options)
      count.open++
      count.opened++
      let closed = false
      return {
        entry: content.entry,
        bytes: (range) => content.bytes(range),
        close: async () => {
          if (!closed) count.open--
          closed = true
        },
      }
    },
  }
  return Object.assign(count, { store })
}

describe('what a reader must never get', () => {
  it('a file without the right to read it, by GET or HEAD', async () => {
    const site = openSite(files)
    await site.fill({ '/a/secret.txt': 'secret' })
    for (const grants of [['create:/**'], ['list:/**'], ['r:/b/**'], []])
      for (const method of ['GET', 'HEAD']) {
        const answer = await site.ask(method, '/a/secret.txt', { grants })
        expect([method, grants, answer.status]).toEqual([method, grants, 403])
        expect(answer.text).not.toContain('secret')
        expect(answer.header('etag')).toBeUndefined()
      }
  })

  it('a page of a user that runs at our origin', async () => {
    const site = openSite(files)
    for (const name of ['p.html', 'p.svg', 'p.xhtml', 'p.xml', 'p.js']) {
      await site.fill({ [`/${name}`]: '<script>alert(1)</script>' })
      const answer = await site.ask('GET', `/${name}`)
      expect(answer.header('x-content-type-options')).toBe('nosniff')
      expect(answer.header('content-security-policy')).toMatch(/^sandbox; default-src 'none'/)
      expect(answer.header('content-disposition')).toBe(`attachment; filename="${name}"`)
    }
  })

  it('active content through a stored type and disposition', async () => {
    const site = openSite(files)
    const attributes = { 'content-type': 'text/html', 'content-disposition': 'inline; filename="x.html"' }
    await site.store.write(toPath('/pic.png'), (async function* () {})(), { attributes })
    const answer = await site.ask('GET', '/pic.png')
    expect(answer.header('content-type')).toBe('text/html')
    expect(answer.header('content-disposition')).toBe('attachment; filename="pic.png"')
  })

  it('headers that were smuggled into attributes', async () => {
    const site = openSite(files)
    const attributes = { 'content-type': 'text/plain\r\nSet-Cookie: a=b', 'cache-control': 'a\nb', expires: 'x\u0100' }
    await site.store.write(toPath('/a.txt'), (async function* () {})(), { attributes })
    const answer = await site.ask('GET', '/a.txt')
    expect(answer.header('content-type')).toBe('text/plain; charset=utf-8')
    expect(answer.header('cache-control')).toBeUndefined()
    expect(answer.header('expires')).toBeUndefined()
  })

  it('a file under a name with a slash behind it, or an unknown method', async () => {
    const site = openSite(files)
    await site.fill({ '/f': 'x' })
    expect((await site.ask('GET', '/f/')).status).toBe(404)
    expect((await site.ask('HEAD', '/f/')).status).toBe(404)
    expect((await site.ask('GET', '/none')).status).toBe(404)
    const post = await site.ask('POST', '/f', { body: 'y' })
    expect([post.status, post.header('allow')]).toEqual([405, 'GET, HEAD, PUT, DELETE, PATCH, OPTIONS'])
  })
})

describe('GET', () => {
  it('gives bytes and everything known of them, with one open and no stat', async () => {
    const counted = counting()
    const site = openSite(files, { store: counted.store })
    await site.fill({ '/a/b.txt': 'hello' })
    counted.stats = 0
    const answer = await site.ask('GET', '/a/b.txt')
    expect([answer.status, answer.text, answer.header('content-length')]).toEqual([200, 'hello', '5'])
    expect(answer.header('content-type')).toBe('text/plain; charset=utf-8')
    expect(answer.header('accept-ranges')).toBe('bytes')
    expect(answer.header('etag')).toBe(`"${(await counted.store.stat(toPath('/a/b.txt')))?.etag ?? ''}"`)
    expect(answer.header('last-modified')).toMatch(/GMT$/)
    expect([counted.opened, counted.open, counted.stats]).toEqual([1, 0, 1])
  })

  it('closes what it opened on every way out', async () => {
    const counted = counting()
    const site = openSite(files, { store: counted.store })
    await site.fill({ '/f': '0123456789' })
    const statuses: number[] = []
    for (const headers of [
      { 'If-None-Match': '*' },
      { 'If-Match': '"old"' },
      { Range: 'bytes=99-' },
      { Range: 'bytes=0-1' },
      { Range: 'bytes=0-1,5-6' },
      { 'Want-Repr-Digest': 'sha-256=1' },
    ] as Record<string, string>[]) {
      statuses.push((await site.ask('GET', '/f', { headers })).status)
      expect(counted.open).toBe(0)
    }
    expect(statuses).toEqual([304, 412, 416, 206, 206, 200])
    counted.opened = 0
    await site.ask('HEAD', '/f')
    expect(counted.opened).toBe(0)
  })

  it('answers HEAD like GET, without the bytes', async () => {
    const site = openSite(files)
    await site.fill({ '/f.bin': '0123456789' })
    const get = await site.ask('GET', '/f.bin')
    const head = await site.ask('HEAD', '/f.bin', { headers: { Range: 'bytes=0-1' } })
    expect([head.status, head.bytes.length]).toEqual([200, 0])
    for (const name of ['content-length', 'etag', 'last-modified', 'content-type', 'accept-ranges'])
      expect(head.header(name)).toBe(get.header(name))
  })

  it('says 304 with validators and no body', async () => {
    const site = openSite(files)
    await site.store.write(toPath('/f'), (async function* () {})(), { attributes: { 'cache-control': 'max-age=9' } })
    const etag = (await site.ask('HEAD', '/f')).header('etag') ?? ''
    for (const method of ['GET', 'HEAD']) {
      const answer = await site.ask(method, '/f', { headers: { 'If-None-Match': `"x", W/${etag}` } })
      expect([answer.status, answer.bytes.length, answer.header('etag')]).toEqual([304, 0, etag])
      expect(answer.header('cache-control')).toBe('max-age=9')
      expect(answer.header('content-length')).toBeUndefined()
    }
  })

  it('takes a junk If-None-Match for none', async () => {
    const site = openSite(files)
    await site.fill({ '/f': 'x' })
    expect((await site.ask('GET', '/f', { headers: { 'If-None-Match': 'JoplinIgnore-17' } })).status).toBe(200)
  })

  it('gives one range, several ranges, and 416 with the size', async () => {
    const site = openSite(files)
    await site.fill({ '/f.txt': '0123456789' })
    const one = await site.ask('GET', '/f.txt', { headers: { Range: 'bytes=-3' } })
    expect([one.status, one.text, one.header('content-range')]).toEqual([206, '789', 'bytes 7-9/10'])
    const bad = await site.ask('GET', '/f.txt', { headers: { Range: 'bytes=10-' } })
    expect([bad.status, bad.header('content-range')]).toEqual([416, 'bytes */10'])
    const many = await site.ask('GET', '/f.txt', { headers: { Range: 'bytes=8-9,0-1' } })
    expect(many.status).toBe(206)
    expect(Number(many.header('content-length'))).toBe(many.bytes.length)
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(many.header('content-type') ?? '')?.[1] ?? '?'
    const type = 'Content-Type: text/plain; charset=utf-8'
    expect(many.text).toBe(
      `\r\n--${boundary}\r\n${type}\r\nContent-Range: bytes 8-9/10\r\n\r\n89` +
        `\r\n--${boundary}\r\n${type}\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--${boundary}--\r\n`,
    )
  })

  it('gives everything where If-Range is stale', async () => {
    const site = openSite(files)
    await site.fill({ '/f': '0123456789' })
    const etag = (await site.ask('HEAD', '/f')).header('etag') ?? ''
    const status = async (validator: string) =>
      (await site.ask('GET', '/f', { headers: { Range: 'bytes=0-1', 'If-Range': validator } })).status
    expect([await status('"x"'), await status(`W/${etag}`), await status(etag)]).toEqual([200, 200, 206])
  })

  it('computes the digest that is wanted', async () => {
    const site = openSite(files)
    await site.fill({ '/f': 'hello' })
    const expected = createHash('sha512').update('hello').digest('base64')
    for (const method of ['GET', 'HEAD']) {
      const answer = await site.ask(method, '/f', { headers: { 'Want-Repr-Digest': 'sha-256=2, sha-512=5' } })
      expect(answer.header('repr-digest')).toBe(`sha-512=:${expected}:`)
    }
    expect((await site.ask('GET', '/f')).header('repr-digest')).toBeUndefined()
  })

  it('gives back what was stored beside the bytes', async () => {
    const site = openSite(files)
    const attributes = {
      'content-type': 'image/png',
      'cache-control': 'no-store',
      'content-disposition': 'inline; filename="x.png"',
      'content-encoding': 'gzip',
      'content-language': 'de',
      expires: 'Thu, 01 Jan 2099 00:00:00 GMT',
      'x-amz-meta-a': 'b',
    }
    await site.store.write(toPath('/x'), (async function* () {})(), { attributes })
    const answer = await site.ask('HEAD', '/x')
    for (const [name, value] of Object.entries(attributes))
      expect([name, answer.header(name)]).toEqual([name, name.startsWith('x-') ? undefined : value])
  })

  it('lets a browser show a PDF', async () => {
    const site = openSite(files)
    await site.fill({ '/a.pdf': '%PDF' })
    const answer = await site.ask('GET', '/a.pdf')
    expect(answer.header('content-security-policy')).not.toContain('sandbox')
    expect(answer.header('content-disposition')).toBeUndefined()
  })
})
