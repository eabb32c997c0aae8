import { beforeEach, describe, expect, it } from 'vitest'
import { openDavSite, responsesOf, type DavAnswer, type DavSite } from '../../../test/dav-site.js'
import { toPath } from '../../core/path.js'
import { textOf } from '../../core/xml.js'

let site: DavSite

beforeEach(async () => {
  site = openDavSite()
  await site.fill('/f.txt', '/d/g', '/d/sub/h', '/empty/')
})

const asks = (inner: string): string => `<D:propfind xmlns:D="DAV:">${inner}</D:propfind>`
const named = (...names: readonly string[]): string => asks(`<D:prop>${names.map((name) => `<D:${name}/>`).join('')}</D:prop>`) // prettier-ignore

function propfind(path: string, body = '', headers: Record<string, string> = { depth: '0' }): Promise<DavAnswer> {
  return site.ask('PROPFIND', path, { headers, body })
}

/** Names and statuses of the first response's properties. */
function statuses(answer: DavAnswer): Record<string, number> {
  const [first] = responsesOf(answer)
  return Object.fromEntries([...(first?.properties ?? [])].map(([name, { status }]) => [name, status]))
}

function valueOf(answer: DavAnswer, name: string): string | undefined {
  const found = responsesOf(answer)[0]?.properties.get(`{DAV:}${name}`)
  return found?.status === 200 ? textOf(found.element) : undefined
}

describe('what PROPFIND refuses', () => {
  it.each([
    ['no XML', 'hello', 400],
    ['another element', '<D:prop xmlns:D="DAV:"/>', 400],
    ['another namespace', '<propfind><prop/></propfind>', 400],
    ['nothing asked', asks(''), 400],
    ['two things asked', asks('<D:propname/><D:allprop/>'), 400],
    ['prop twice', asks('<D:prop><D:a/></D:prop><D:prop><D:b/></D:prop>'), 400],
    ['an unbound prefix (litmus)', '<D:propfind xmlns:D="DAV:"><D:prop><bar:foo xmlns:bar=""/></D:prop></D:propfind>', 400],
    ['a document type', `<!DOCTYPE a [<!ENTITY x "y">]>${asks('<D:prop>&x;</D:prop>')}`, 400],
    ['half a document', '<D:propfind xmlns:D="DAV:">', 400],
    ['too many names', asks(`<D:prop>${'<D:a/>'.repeat(1001)}</D:prop>`), 413],
    ['too many names to include', asks(`<D:allprop/><D:include>${'<D:a/>'.repeat(1001)}</D:include>`), 413],
    ['a megabyte and more', asks(' '.repeat(1024 * 1024)), 413],
  ])('%s', async (_, body, status) => {
    expect((await propfind('/f.txt', body)).status).toBe(status)
  }) // prettier-ignore

  it('a compressed body, a depth that is none, what is not there', async () => {
    expect((await propfind('/', asks('<D:allprop/>'), { 'content-encoding': 'gzip' })).status).toBe(415)
    expect((await propfind('/', '', { depth: '2' })).status).toBe(400)
    expect((await propfind('/none')).status).toBe(404)
    expect((await propfind('/f.txt/')).status).toBe(404)
    expect((await propfind('/f.txt/below')).status).toBe(404)
    expect((await propfind('/-/own')).status).toBe(404)
  })

  it('keeps a 404 out of the cache of Explorer', async () => {
    const agent = 'Microsoft-WebDAV-MiniRedir/10.0.19045'
    expect((await propfind('/none', '', { 'user-agent': agent })).header('cache-control')).toBe('no-store')
    expect((await propfind('/none')).header('cache-control')).toBeUndefined()
  })
})

describe('what is asked', () => {
  it.each([
    ['no body', ''],
    ['allprop', asks('<D:allprop/>')],
    ['an empty prop (NetDrive)', asks('<D:prop/>')],
  ])('%s is all that costs nothing', async (_, body) => {
    await site.properties.change(toPath('/f.txt'), [
      { kind: 'set', property: { namespace: 'urn:z', name: 'p', xml: '<p xmlns="urn:z">v</p>' } },
    ])
    const found = statuses(await propfind('/f.txt', body))
    expect(found).toMatchObject({ '{DAV:}getetag': 200, '{DAV:}getcontentlength': 200, '{urn:z}p': 200 })
    expect(Object.keys(found)).not.toContain('{DAV:}quota-used-bytes')
    expect(Object.keys(found)).not.toContain('{DAV:}sync-token')
    expect(new Set(Object.values(found))).toEqual(new Set([200]))
  })

  it('is answered for each name, with 404 for what there is not', async () => {
    const body = asks('<D:prop><D:getetag/><D:nothing/><x xmlns=""/><y xmlns="urn:&quot;&lt;&#10;z"/></D:prop>')
    expect(statuses(await propfind('/f.txt', body))).toEqual({
      '{DAV:}getetag': 200,
      '{DAV:}nothing': 404,
      '{}x': 404,
      '{urn:"<\nz}y': 404,
    })
    expect(statuses(await propfind('/d', named('getetag', 'getcontentlength', 'resourcetype')))).toEqual({
      '{DAV:}getetag': 404,
      '{DAV:}getcontentlength': 404,
      '{DAV:}resourcetype': 200,
    })
  })

  it('may include more than all', async () => {
    const body = asks('<D:allprop/><D:include><D:supported-report-set/><D:nothing/><D:getetag/></D:include>')
    expect(statuses(await propfind('/d', body))).toMatchObject({
      '{DAV:}supported-report-set': 200,
      '{DAV:}nothing': 404,
      '{DAV:}getetag': 404,
    })
    expect(statuses(await propfind('/f.txt', body))).toMatchObject({
      '{DAV:}supported-report-set': 404,
      '{DAV:}getetag': 200,
    })
  })

  it('may be names alone', async () => {
    const [response] = responsesOf(await propfind('/f.txt', asks('<D:propname/>')))
    expect([...response!.properties.keys()]).toContain('{DAV:}getetag')
    for (const { element, status } of response!.properties.values())
      expect([element.children.length, status]).toEqual([0, 200])
  })

  it('may be said in a chunked body', async () => {
    const answer = await propfind('/f.txt', named('getetag'), { 'transfer-encoding': 'chunked', depth: '0' })
    expect(statuses(answer)).toEqual({ '{DAV:}getetag': 200 })
  })

  it('may be said in UTF-16 (BitKinex)', async () => {
    const body = Buffer.from(`\ufeff<?xml version="1.0" encoding="UTF-16"?>${named('getetag')}`, 'utf16le')
    expect(statuses(await site.ask('PROPFIND', '/f.txt', { headers: { depth: '0' }, body }))).toEqual({
      '{DAV:}getetag': 200,
    })
  })

  it('is never answered with 404 alone (Joplin), and briefly where that is asked', async () => {
    const answer = await propfind('/f.txt', named('nothing'))
    expect(answer.text).toMatch(/200 OK.*404 Not Found/s)
    for (const headers of [
      { depth: '0', brief: 't' },
      { depth: '0', prefer: 'return=minimal' },
    ])
      expect(statuses(await propfind('/f.txt', named('getetag', 'nothing'), headers))).toEqual({ '{DAV:}getetag': 200 })
  })
})

describe('where it is asked', () => {
  const hrefs = async (path: string, depth?: string): Promise<readonly string[]> =>
    responsesOf(await propfind(path, named('resourcetype'), depth === undefined ? {} : { depth }))
      .map(({ href }) => href)
      .sort()

  it.each([
    ['/', '0', ['/']],
    ['/', '1', ['/', '/d/', '/empty/', '/f.txt']],
    ['/', 'infinity', ['/', '/d/', '/d/g', '/d/sub/', '/d/sub/h', '/empty/', '/f.txt']],
    ['/', undefined, ['/', '/d/', '/d/g', '/d/sub/', '/d/sub/h', '/empty/', '/f.txt']],
    ['/d', '1', ['/d/', '/d/g', '/d/sub/']],
    ['/d/', '1', ['/d/', '/d/g', '/d/sub/']],
    ['/f.txt', '1', ['/f.txt']],
    ['/f.txt', 'infinity', ['/f.txt']],
    ['/empty', '1', ['/empty/']],
  ])('%s, depth %s', async (path, depth, wanted) => {
    expect(await hrefs(path, depth)).toEqual(wanted)
  })

  it('hrefs are encoded and begin with the base path', async () => {
    site = openDavSite({ basePath: '/dav' })
    await site.fill(`/a b&<>'"%#?\u{1f4be}`)
    const [, file] = responsesOf(await propfind('/', named('displayname'), { depth: '1' }))
    expect(file?.href).toBe('/dav/a%20b%26%3C%3E%27%22%25%23%3F%F0%9F%92%BE')
    expect(textOf(file!.properties.get('{DAV:}displayname')!.element)).toBe(`a b&<>'"%#?\u{1f4be}`)
  })

  it('is bounded for infinite depth, and says so at the end', async () => {
    site = openDavSite({ maxMembers: 3 })
    await site.fill('/1', '/2', '/3', '/4')
    const responses = responsesOf(await propfind('/', named('resourcetype'), { depth: 'infinity' }))
    expect(responses.at(-1)).toMatchObject({ href: '/', status: 507 })
    expect(responsesOf(await propfind('/', named('resourcetype'), { depth: '1' }))).toHaveLength(5)
  })

  it('shows what leads to a grant, and nothing else', async () => {
    const seen = responsesOf(
      await site.ask('PROPFIND', '/', { grants: ['r:/d/sub/**'], headers: { depth: 'infinity' } }),
    )
    expect(seen.map(({ href }) => href)).toEqual(['/', '/d/', '/d/sub/', '/d/sub/h'])
    expect((await site.ask('PROPFIND', '/empty', { grants: ['r:/d/sub/**'] })).status).toBe(403)
  })
})

describe('live properties', () => {
  it('of a file', async () => {
    site.clock.advanceSeconds(60)
    const answer = await propfind('/f.txt', asks('<D:allprop/>'))
    const { etag } = (await site.store.stat(toPath('/f.txt')))!
    expect(valueOf(answer, 'getetag')).toBe(`"${etag}"`)
    expect(valueOf(answer, 'getcontentlength')).toBe('6')
    expect(valueOf(answer, 'getlastmodified')).toBe('Tue, 01 Jan 2030 00:00:00 GMT')
    expect(valueOf(answer, 'creationdate')).toBe('2030-01-01T00:00:00Z')
    expect(valueOf(answer, 'getcontenttype')).toMatch(/^text\/plain/)
    expect(valueOf(answer, 'displayname')).toBe('f.txt')
    expect(valueOf(answer, 'resourcetype')).toBe('')
  })

  it('tell the caller who he is, and nobody that he is nobody', async () => {
    const ask = (as: string): Promise<DavAnswer> =>
      site.ask('PROPFIND', '/', { as, headers: { depth: '0' }, body: named('current-user-principal') })
    expect((await ask('alice')).text).toContain('<D:href>/-/principals/alice</D:href>')
    expect((await ask('a<b/ü')).text).toContain('<D:href>/-/principals/a%3Cb%2F%C3%BC</D:href>')
    expect((await ask('anonymous')).text).toContain('<D:unauthenticated/>')
  })

  it('lead to a principal that only he can see', async () => {
    const answer = await propfind('/-/principals/alice', named('displayname', 'principal-URL', 'nothing'))
    expect(statuses(answer)).toEqual({ '{DAV:}displayname': 200, '{DAV:}principal-URL': 200, '{DAV:}nothing': 404 })
    for (const path of ['/-/principals/bob', '/-/principals', '/-/principals/Alice'])
      expect((await propfind(path)).status).toBe(404)
    expect((await site.ask('PROPFIND', '/-/principals/anonymous', { as: 'anonymous' })).status).toBe(404)
    for (const method of ['GET', 'PUT', 'DELETE', 'LOCK', 'PROPPATCH', 'MKCOL'])
      expect((await site.ask(method, '/-/principals/alice')).status).toBe(405)
  })

  it('tell what the caller may do', async () => {
    const ask = async (grants: readonly string[]): Promise<readonly string[]> => {
      const answer = await site.ask('PROPFIND', '/d', { grants, headers: { depth: '0' }, body: named('current-user-privilege-set') }) // prettier-ignore
      return [...answer.text.matchAll(/<D:privilege><D:([\w-]+)\/>/g)].map(([, name]) => name!)
    }
    expect(await ask(['r:/**'])).toEqual(['read', 'read-current-user-privilege-set'])
    expect(await ask(['rw:/**'])).toEqual(expect.arrayContaining(['read', 'write', 'write-content', 'bind', 'unbind']))
  })

  it('tell the space used, but not to those who hang on it', async () => {
    const body = named('quota-used-bytes', 'quota-available-bytes')
    expect(valueOf(await propfind('/', body), 'quota-used-bytes')).toBe(String(6 + 4 + 8))
    const finder = await propfind('/', body, { depth: '0', 'user-agent': 'WebDAVFS/3.0.0 (03008000) Darwin/24' })
    expect(statuses(finder)).toEqual({ '{DAV:}quota-used-bytes': 404, '{DAV:}quota-available-bytes': 404 })
  })

  it('show the locks that apply, on each member', async () => {
    const request = { principal: 'test:alice', timeoutSeconds: 600, owner: '<o:owner xmlns:o="DAV:">me &amp; you</o:owner>' } // prettier-ignore
    await site.locks.take({ ...request, path: toPath('/d'), scope: 'shared', depth: 'infinity' })
    await site.locks.take({ ...request, path: toPath('/d/g'), scope: 'shared', depth: 0 })
    await site.locks.take({ ...request, path: toPath('/'), scope: 'exclusive', depth: 0 })
    const found = new Map(
      responsesOf(await propfind('/', named('lockdiscovery'), { depth: 'infinity' })).map(({ href, properties }) => [
        href,
        properties.get('{DAV:}lockdiscovery')!.element.children.length,
      ]),
    )
    expect(Object.fromEntries(found)).toEqual({
      '/': 1,
      '/d/': 1,
      '/d/g': 2,
      '/d/sub/': 1,
      '/d/sub/h': 1,
      '/empty/': 0,
      '/f.txt': 0,
    })
    expect((await propfind('/d/g', named('lockdiscovery'))).text).toContain('>me &amp; you</o:owner>')
  })
})
