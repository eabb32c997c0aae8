import { describe, expect, it } from 'vitest'
import { openSite } from '../../../test/http-exchange.js'
import type { Site } from '../../../test/http-exchange.js'
import { createHttpFiles } from './index.js'
import { humanSize } from './listing-html.js'

const files = createHttpFiles()
const browser = { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }
const json = { Accept: 'application/json' }

async function filled(): Promise<Site> {
  const site = openSite(files)
  await site.fill({ '/d/b.txt': 'bb', '/d/a/x.txt': 'x', '/d/a/deep/y.pdf': 'y', '/d/Z.pdf': 'z', '/other/o': 'o' })
  return site
}

const linesOf = (text: string): readonly string[] => text.split('\n').filter(Boolean).sort()

describe('names made to break a page', () => {
  it('are escaped in text and in links', async () => {
    const site = openSite(files)
    const names = [
      '<script>alert(1)</script>',
      '"onmouseover="x',
      "'x",
      'javascript:alert(1)',
      'a&lt;b',
      'ev\u202Egpj.exe',
    ]
    for (const name of names) await site.store.write(`/${name.replaceAll('/', '\u2215')}` as never, empty(), {})
    const { text } = await site.ask('GET', '/', { headers: browser })
    expect(text).not.toMatch(/<script|"onmouseover|href="javascript|\u202E/)
    expect(text).toContain('href="/javascript%3Aalert%281%29"')
    expect(text).toContain('a&amp;lt;b')
  })

  it('cannot run anything in a listing: its policy allows one style sheet', async () => {
    const site = await filled()
    const answer = await site.ask('GET', '/d/', { headers: browser })
    expect(answer.header('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/]+=*'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    )
    expect(answer.header('x-content-type-options')).toBe('nosniff')
  })

  it('keep to one line of text', async () => {
    const site = openSite(files)
    await site.fill({ '/a\nb': '', '/"q"': '', '/\u009bx': '', '/plain ü': '' })
    const { text } = await site.ask('GET', '/')
    expect(linesOf(text)).toEqual(['"\\"q\\""', '"\\u009bx"', '"a\\nb"', 'plain ü'])
  })

  it('come out of JSON as they went in', async () => {
    const site = openSite(files)
    await site.fill({ '/a\n"b\\': '', '/\u2028': '' })
    const { text } = await site.ask('GET', '/', { headers: json })
    const names = (JSON.parse(text) as { entries: { name: string }[] }).entries.map(({ name }) => name)
    expect(names.sort()).toEqual(['a\n"b\\', '\u2028'])
  })
})

async function* empty(): AsyncGenerator<Uint8Array> {}

describe('what a caller may see', () => {
  it('is listed, and nothing else', async () => {
    const site = await filled()
    const asked = { grants: ['r:/d/a/**'] }
    expect(linesOf((await site.ask('GET', '/', asked)).text)).toEqual(['d/a/deep/y.pdf', 'd/a/x.txt'])
    const page = await site.ask('GET', '/', { ...asked, headers: browser })
    expect(page.text).toContain('href="/d/"')
    expect(page.text).not.toContain('other')
    expect((await site.ask('GET', '/other/', asked)).status).toBe(403)
  })

  it('is listed without the slash too, where only the way is allowed', async () => {
    const site = await filled()
    expect((await site.ask('GET', '/d', { grants: ['r:/d/a/**'] })).status).toBe(200)
    expect((await site.ask('GET', '/d', { grants: ['list:/d/**'], headers: json })).status).toBe(200)
  })
})

describe('a listing', () => {
  it('is text by default: keys relative to the directory, of files at any depth', async () => {
    const site = await filled()
    for (const target of ['/d/', '/d']) {
      const answer = await site.ask('GET', target, { headers: { Accept: '*/*' } })
      expect(answer.header('content-type')).toBe('text/plain; charset=utf-8')
      expect(answer.header('vary')).toMatch(/Accept\b/)
      expect(linesOf(answer.text)).toEqual(['Z.pdf', 'a/deep/y.pdf', 'a/x.txt', 'b.txt'])
    }
  })

  it.each([
    ['depth=1', ['Z.pdf', 'a/', 'b.txt']],
    ['depth=infinity', ['Z.pdf', 'a/', 'a/deep/', 'a/deep/y.pdf', 'a/x.txt', 'b.txt']],
    ['glob=*.pdf', ['Z.pdf']],
    ['glob=**/*.pdf', ['Z.pdf', 'a/deep/y.pdf']],
    ['glob=a/**', ['a/deep/y.pdf', 'a/x.txt']],
    ['glob=%2Fa/*', ['a/x.txt']],
    ['exclude_prefix=a/', ['Z.pdf', 'b.txt']],
    ['glob=**&exclude_prefix=a/deep', ['Z.pdf', 'a/x.txt', 'b.txt']],
    ['v=1', ['Z.pdf', 'a/deep/y.pdf', 'a/x.txt', 'b.txt']],
  ])('with ?%s', async (query, expected) => {
    const site = await filled()
    expect(linesOf((await site.ask('GET', `/d/?${query}`)).text)).toEqual(expected)
  })

  it.each(['depth=2', 'depth=', `glob=${'a'.repeat(2000)}`])('refuses ?%s', async (query) => {
    const site = await filled()
    expect((await site.ask('GET', `/d/?${query}`)).status).toBe(400)
  })

  it('as JSON has the form that others rely on', async () => {
    const site = await filled()
    const { text } = await site.ask('GET', '/d/', { headers: json })
    const listing = JSON.parse(text) as { path: string; entries: Record<string, unknown>[] }
    expect(listing.path).toBe('/d')
    expect(listing.entries.map(({ name }) => name).sort()).toEqual(['Z.pdf', 'a', 'b.txt'])
    const entry = listing.entries.find(({ name }) => name === 'b.txt')
    const head = await site.ask('HEAD', '/d/b.txt')
    expect(entry).toEqual({
      name: 'b.txt',
      type: 'file',
      size: 2,
      modified: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as unknown,
      etag: head.header('etag'),
    })
    expect(JSON.parse((await site.ask('GET', '/d/?glob=none', { headers: json })).text)).toEqual({
      path: '/d',
      entries: [],
    })
  })

  it('as a page has folders first, then names in order, with a way up', async () => {
    const site = await filled()
    const { text } = await site.ask('GET', '/d/', { headers: browser })
    const links = [...text.matchAll(/<td><a href="([^"]*)"/g)].map(([, link]) => link)
    expect(links).toEqual(['/', '/d/a/', '/d/b.txt', '/d/Z.pdf'])
    expect(text).toContain('title="2 bytes">2 B<')
  })

  it('sends a browser to the form with a slash, and nobody else', async () => {
    const site = openSite(files, { basePath: '/base' })
    await site.fill({ '/ä b/f': '' })
    const sent = await site.ask('GET', '/%C3%A4%20b?depth=1', { headers: browser })
    expect([sent.status, sent.header('location')]).toEqual([301, '/base/%C3%A4%20b/?depth=1'])
    const page = await site.ask('GET', '/%C3%A4%20b/', { headers: browser })
    expect(page.text).toContain('href="/base/%C3%A4%20b/f"')
    expect(
      (await site.ask('GET', '/%C3%A4%20b', { headers: { 'User-Agent': 'Microsoft-WebDAV-MiniRedir' } })).status,
    ).toBe(200)
  })

  it('answers HEAD with 200 and no body, and 404 where nothing is', async () => {
    const site = await filled()
    for (const target of ['/d', '/d/', '/']) {
      const answer = await site.ask('HEAD', target)
      expect([target, answer.status, answer.bytes.length]).toEqual([target, 200, 0])
    }
    expect((await site.ask('GET', '/none/')).status).toBe(404)
    expect((await site.ask('GET', '/none/', { headers: browser })).header('content-type')).toMatch('text/html')
  })

  it('is compressed where it is asked for and worth it', async () => {
    const site = await filled()
    const small = await site.ask('GET', '/d/', { headers: { 'Accept-Encoding': 'gzip' } })
    expect([small.header('content-encoding'), small.header('vary')]).toEqual([undefined, 'Accept, Accept-Encoding'])
    await site.fill(Object.fromEntries(Array.from({ length: 8000 }, (_, n) => [`/many/some-longer-name-${n}.txt`, ''])))
    const plain = await site.ask('GET', '/many/')
    const packed = await site.ask('GET', '/many/', { headers: { 'Accept-Encoding': 'gzip' } })
    expect(packed.header('content-encoding')).toBe('gzip')
    expect(packed.text).toBe(plain.text)
    expect(linesOf(plain.text)).toHaveLength(8000)
    const file = await site.ask('GET', '/d/b.txt', { headers: { 'Accept-Encoding': 'gzip' } })
    expect(file.header('content-encoding')).toBeUndefined()
  })
})

describe('a size for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '0.98 KiB'],
    [1024, '1.0 KiB'],
    [12_345, '12.1 KiB'],
    [1024 ** 3 * 150, '150 GiB'],
  ])('%d', (bytes, text) => {
    expect(humanSize(bytes)).toBe(text)
  })
})
