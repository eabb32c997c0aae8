import { beforeEach, describe, expect, it } from 'vitest'
import {
  errorOf,
  openDavSite,
  responsesOf,
  type DavAnswer,
  type DavAsked,
  type DavSite,
} from '../../../test/dav-site.js'
import { toPath } from '../../core/path.js'
import { childElements, textOf } from '../../core/xml.js'

let site: DavSite

beforeEach(async () => {
  site = openDavSite()
  await site.fill('/f', '/d/g', '/d/sub/h')
})

async function isThere(path: string): Promise<boolean> {
  return (await site.store.stat(toPath(path))) !== undefined
}

const xml = { 'content-type': 'application/xml' }
const mkcolBody = (props: string): string => `<D:mkcol xmlns:D="DAV:" xmlns:Z="urn:z"><D:set><D:prop>${props}</D:prop></D:set></D:mkcol>` // prettier-ignore
const collection = '<D:resourcetype><D:collection/></D:resourcetype>'

describe('MKCOL', () => {
  it.each([
    ['what is there', '/d', 405],
    ['where a file is', '/f', 405],
    ['below nothing', '/none/new', 409],
    ['below a file', '/f/new', 409],
    ['the root', '/', 405],
    ["what is Postern's own", '/-/new', 403],
  ])('cannot make %s', async (_, path, status) => {
    expect((await site.ask('MKCOL', path)).status).toBe(status)
  })

  it('makes a collection, with a slash or without', async () => {
    for (const path of ['/one', '/two/']) {
      const answer = await site.ask('MKCOL', path)
      expect([answer.status, answer.header('location')]).toEqual([201, path.replace(/\/?$/, '/')])
    }
    expect((await site.store.stat(toPath('/two')))?.kind).toBe('directory')
  })

  it('takes no body that it does not know, and makes nothing of it', async () => {
    expect((await site.ask('MKCOL', '/new', { body: 'x', headers: { 'content-type': 'text/plain' } })).status).toBe(415)
    expect((await site.ask('MKCOL', '/new', { body: 'afafafaf' })).status).toBe(415)
    expect((await site.ask('MKCOL', '/new', { body: '<a/>', headers: xml })).status).toBe(415)
    expect((await site.ask('MKCOL', '/new', { body: 'x', headers: xml })).status).toBe(400)
    expect((await site.ask('MKCOL', '/new', { body: 'x', headers: { 'transfer-encoding': 'chunked' } })).status).toBe(415)
    expect(await isThere('/new')).toBe(false)
  }) // prettier-ignore

  it('needs the right, and the token of a locked parent', async () => {
    expect((await site.ask('MKCOL', '/new', { grants: ['r:/**', 'replace:/**'] })).status).toBe(403)
    await site.locks.take({ path: toPath('/d'), scope: 'exclusive', depth: 0, principal: 'test:bob', timeoutSeconds: 600 }) // prettier-ignore
    expect((await site.ask('MKCOL', '/d/new')).status).toBe(423)
    expect(await isThere('/d/new')).toBe(false)
  })
})

describe('extended MKCOL (RFC 5689)', () => {
  const make = (body: string, asked: DavAsked = {}): Promise<DavAnswer> =>
    site.ask('MKCOL', '/new', { body, headers: xml, ...asked })

  it('sets properties with the collection', async () => {
    const answer = await make(mkcolBody(`${collection}<D:displayname>Shown</D:displayname><Z:a>1</Z:a>`))
    expect([answer.status, answer.xml?.name]).toEqual([201, 'mkcol-response'])
    expect((await site.properties.of(toPath('/new'))).map(({ name }) => name)).toEqual(['displayname', 'a'])
  })

  it('may say nothing but the type', async () => {
    const answer = await make(mkcolBody(collection))
    expect([answer.status, answer.xml?.name]).toEqual([201, 'mkcol-response'])
    expect((await site.store.stat(toPath('/new')))?.kind).toBe('directory')
  })

  it('makes nothing where one property is refused', async () => {
    const answer = await make(mkcolBody('<Z:a>1</Z:a><D:getetag>x</D:getetag>'))
    expect(answer.status).toBe(403)
    const found = childElements(answer.xml!).map((propstat) => childElements(propstat).map((each) => childElements(each)[0]?.name ?? textOf(each))) // prettier-ignore
    expect(found).toEqual([
      ['getetag', 'HTTP/1.1 403 Forbidden'],
      ['a', 'HTTP/1.1 424 Failed Dependency'],
    ])
    expect(await isThere('/new')).toBe(false)
  })

  it.each(['<D:resourcetype><D:principal/></D:resourcetype>', '<D:resourcetype/>', '<D:resourcetype><D:collection/><Z:calendar/></D:resourcetype>'])('makes nothing of the type %s', async (type) => {
    const answer = await make(mkcolBody(type))
    expect([answer.status, errorOf(answer)]).toEqual([403, { 'valid-resourcetype': '' }])
    expect(await isThere('/new')).toBe(false)
  }) // prettier-ignore

  it('makes nothing where the properties do not fit or may not be set', async () => {
    expect((await make(mkcolBody(`<Z:a>${'x'.repeat(210_000)}</Z:a>`))).status).toBe(507)
    expect((await make(mkcolBody('<Z:a/>'), { grants: ['create:/**', 'r:/**'] })).status).toBe(403)
    expect(await isThere('/new')).toBe(false)
    expect((await make(mkcolBody(collection), { grants: ['create:/**', 'r:/**'] })).status).toBe(201)
  })
})

describe('DELETE', () => {
  it('removes files and whole collections, and what was known of them', async () => {
    await site.properties.change(toPath('/d/sub/h'), [{ kind: 'set', property: { namespace: '', name: 'a', xml: '<a/>' } }]) // prettier-ignore
    await site.locks.take({ path: toPath('/d/sub/h'), scope: 'exclusive', depth: 0, principal: 'test:alice', timeoutSeconds: 600 }) // prettier-ignore
    const [lock] = await site.locks.covering(toPath('/d/sub/h'))
    expect((await site.ask('DELETE', '/f')).status).toBe(204)
    expect((await site.ask('DELETE', '/d', { headers: { if: `</d/sub/h> (<${lock!.token}>)` } })).status).toBe(204)
    expect([await isThere('/f'), await isThere('/d')]).toEqual([false, false])
    expect(await site.properties.anyWithin(toPath('/'))).toBe(false)
    expect(await site.locks.covering(toPath('/d/sub/h'))).toEqual([])
  })

  it.each([
    ['/none', {}, 404],
    ['/f/', {}, 404],
    ['/d', { depth: '0' }, 400],
    ['/d', { depth: '1' }, 400],
    ['/', {}, 403],
    ['/f', { 'if-match': '"none"' }, 412],
    ['/-/x', {}, 403],
  ])('of %s with %j is refused', async (path, headers, status) => {
    expect((await site.ask('DELETE', path, { headers })).status).toBe(status)
    expect(await isThere('/d/sub/h')).toBe(true)
  })

  it('names the members that stay, and removes the others', async () => {
    await site.locks.take({ path: toPath('/d/sub/h'), scope: 'exclusive', depth: 0, principal: 'test:bob', timeoutSeconds: 600 }) // prettier-ignore
    const answer = await site.ask('DELETE', '/d')
    expect(responsesOf(answer).map(({ href, status, error }) => [href, status, error])).toEqual([
      ['/d/sub/h', 423, ['lock-token-submitted']],
    ])
    expect([await isThere('/d/g'), await isThere('/d/sub/h')]).toEqual([false, true])
  })

  it('leaves what may not be deleted', async () => {
    const answer = await site.ask('DELETE', '/d', { grants: ['rw:/d', 'r:/d/**', 'delete:/d/g'] })
    expect(answer.status).toBe(207)
    expect([await isThere('/d/g'), await isThere('/d/sub/h')]).toEqual([false, true])
  })
})
