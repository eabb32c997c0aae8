import { beforeEach, describe, expect, it } from 'vitest'
import { openDavSite, responsesOf, type DavAnswer, type DavAsked, type DavSite } from '../../../test/dav-site.js'
import { toPath } from '../../core/path.js'

let site: DavSite

beforeEach(async () => {
  site = openDavSite()
  await site.fill('/f', '/d/g', '/d/sub/h', '/t/old')
  for (const path of ['/f', '/d', '/d/sub/h'])
    await site.properties.change(toPath(path), [{ kind: 'set', property: { namespace: '', name: 'a', xml: `<a>${path}</a>` } }]) // prettier-ignore
})

function transfer(method: string, from: string, to: string, asked: DavAsked = {}): Promise<DavAnswer> {
  return site.ask(method, from, { ...asked, headers: { destination: to, ...asked.headers } })
}

async function contentOf(path: string): Promise<string | undefined> {
  const answer = await site.ask('GET', path)
  return answer.status === 200 ? answer.text : undefined
}

async function propertyOf(path: string): Promise<string | undefined> {
  return (await site.properties.of(toPath(path)))[0]?.xml.replace(/<[^>]*>/g, '')
}

describe.each(['COPY', 'MOVE'])('%s', (method) => {
  it.each([
    ['without a destination', '/f', undefined, {}, 400],
    ['to a relative destination', '/f', 'x', {}, 400],
    ['to a network path', '/f', '//evil.example/x', {}, 400],
    ['to a traversal', '/f', '/d/../../x', {}, 400],
    ['to an encoded traversal', '/f', 'http://localhost/%2e%2e/x', {}, 400],
    ['to another server', '/f', 'http://evil.example/x', {}, 502],
    ['to another port', '/f', 'http://localhost:81/x', {}, 502],
    ['to the root', '/f', '/', {}, 403],
    ['onto itself', '/f', '/f', {}, 403],
    ['a collection onto itself', '/d', '/d/', {}, 403],
    ['into itself', '/d', '/d/sub/new', {}, 403],
    ['below nothing', '/f', '/none/x', {}, 409],
    ['below a file', '/d/g', '/f/x', {}, 409],
    ['from nothing', '/none', '/x', {}, 404],
    ['to what is Postern\'s own', '/f', '/-/x', {}, 403],
    ['from what is Postern\'s own', '/-/x', '/x', {}, 404],
    ['onto a file with Overwrite: F', '/d/g', '/f', { overwrite: 'F' }, 412],
    ['onto a collection with Overwrite: F', '/f', '/t', { overwrite: 'F' }, 412],
    ['with another Overwrite', '/f', '/x', { overwrite: 'X' }, 400],
    ['with Depth: 1', '/d', '/x', { depth: '1' }, 400],
  ])('%s is refused and changes nothing', async (_, from, to, headers, status) => {
    const all = async (): Promise<string> => (await site.ask('PROPFIND', '/', { body: '<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>' })).text // prettier-ignore
    const before = await all()
    const answer = await site.ask(method, from, { headers: { ...headers, ...(to !== undefined && { destination: to }) } })
    expect(answer.status).toBe(status)
    expect(await all()).toBe(before)
  }) // prettier-ignore

  it.each([
    ['/x', '/x'],
    ['http://localhost/x', '/x'],
    ['https://LOCALHOST/x', '/x'],
    ['http://localhost/a%20b%C3%BC', '/a bü'],
  ])('to %s', async (destination, path) => {
    const answer = await transfer(method, '/f', destination)
    expect(answer.status).toBe(201)
    expect(await contentOf(encodeURI(path))).toBe('/f')
    expect(await propertyOf(path)).toBe('/f')
    expect(await contentOf('/f')).toBe(method === 'COPY' ? '/f' : undefined)
  })

  it('takes the place of a file, as if Overwrite were T where nothing is said', async () => {
    expect((await transfer(method, '/f', '/t/old')).status).toBe(204)
    expect([await contentOf('/t/old'), await propertyOf('/t/old')]).toEqual(['/f', '/f'])
  })

  it('takes a whole collection along, and nothing of what was there stays', async () => {
    expect((await transfer(method, '/d', '/t')).status).toBe(204)
    expect(await contentOf('/t/sub/h')).toBe('/d/sub/h')
    expect(await contentOf('/t/old')).toBeUndefined()
    expect([await propertyOf('/t'), await propertyOf('/t/sub/h')]).toEqual(['/d', '/d/sub/h'])
    expect(await contentOf('/d/g')).toBe(method === 'COPY' ? '/d/g' : undefined)
  })

  it('needs rights at both ends', async () => {
    expect((await transfer(method, '/f', '/t/x', { grants: ['r:/**', 'rw:/d/**'] })).status).toBe(403)
    expect((await transfer(method, '/f', '/t/x', { grants: ['rw:/t/**', 'create:/f', 'delete:/f'] })).status).toBe(403)
    expect((await transfer(method, '/f', '/t/old', { grants: ['rw:/f', 'create:/t/**', 'r:/t/**'] })).status).toBe(403)
    expect([await contentOf('/f'), await contentOf('/t/old')]).toEqual(['/f', '/t/old'])
  })

  it('needs the tokens at both ends', async () => {
    const take = (path: string): Promise<{ token: string }> => site.locks.take({ path: toPath(path), scope: 'exclusive', depth: 0, principal: 'test:alice', timeoutSeconds: 600 }) // prettier-ignore
    const target = await take('/t')
    expect((await transfer(method, '/f', '/t/x')).status).toBe(423)
    expect((await transfer(method, '/f', '/t/x', { headers: { if: `</t> (<${target.token}>)` } })).status).toBe(201)
    const source = await take('/d/g')
    const headers = { if: `</d/g> (<${source.token}>)`, destination: '/y' }
    expect((await site.ask(method, '/d/g', { as: 'bob', headers })).status).toBe(method === 'COPY' ? 201 : 423)
  })
})

describe('COPY', () => {
  it('of a collection with Depth: 0 makes the collection alone, with its properties', async () => {
    expect((await transfer('COPY', '/d', '/x', { headers: { depth: '0' } })).status).toBe(201)
    expect([await contentOf('/x/g'), await propertyOf('/x')]).toEqual([undefined, '/d'])
  })

  it('leaves out what may not be read, and names it', async () => {
    const answer = await transfer('COPY', '/d', '/x', { grants: ['list:/**', 'read:/d/g', 'rw:/x/**'] })
    expect(responsesOf(answer).map(({ status }) => status)).toEqual([403])
    expect([await contentOf('/x/g'), await contentOf('/x/sub/h')]).toEqual(['/d/g', undefined])
  })

  it('takes no lock along, and leaves that of the target', async () => {
    const request = { scope: 'exclusive', depth: 0, principal: 'test:alice', timeoutSeconds: 600 } as const
    await site.locks.take({ ...request, path: toPath('/f') })
    const { token } = await site.locks.take({ ...request, path: toPath('/t/old') })
    await transfer('COPY', '/f', '/x')
    expect(await site.locks.covering(toPath('/x'))).toEqual([])
    expect((await transfer('COPY', '/f', '/t/old', { headers: { if: `</t/old> (<${token}>)` } })).status).toBe(204)
    expect(await site.locks.covering(toPath('/t/old'))).toHaveLength(1)
  })
})

describe('MOVE', () => {
  it('of a collection is whole or not at all', async () => {
    expect((await transfer('MOVE', '/d', '/x', { headers: { depth: '0' } })).status).toBe(400)
    expect((await transfer('MOVE', '/f', '/x', { headers: { depth: '0' } })).status).toBe(201)
  })

  it('takes no lock along', async () => {
    const { token } = await site.locks.take({ path: toPath('/d/g'), scope: 'exclusive', depth: 0, principal: 'test:alice', timeoutSeconds: 600 }) // prettier-ignore
    expect((await transfer('MOVE', '/d', '/x', { headers: { if: `</d/g> (<${token}>)` } })).status).toBe(201)
    expect(await site.locks.covering(toPath('/x/g'))).toEqual([])
    expect(await site.locks.covering(toPath('/d/g'))).toEqual([])
  })

  it('leaves what another has locked, and names it', async () => {
    await site.locks.take({ path: toPath('/d/sub/h'), scope: 'exclusive', depth: 0, principal: 'test:bob', timeoutSeconds: 600 }) // prettier-ignore
    const answer = await transfer('MOVE', '/d', '/x')
    expect(responsesOf(answer).map(({ status }) => status)).toEqual([423])
    expect([await contentOf('/d/sub/h'), await contentOf('/x/g')]).toEqual(['/d/sub/h', '/d/g'])
  })
})

describe('behind a proxy', () => {
  it('knows the outside names of this server, and the path that was stripped', async () => {
    site = openDavSite({ basePath: '/dav', publicOrigins: ['https://files.example.org:8443'] })
    await site.fill('/f')
    const answer = await transfer('COPY', '/f', 'https://files.example.org:8443/dav/x')
    expect([answer.status, answer.header('location')]).toEqual([201, '/dav/x'])
    expect(await contentOf('/x')).toBe('/f')
    expect((await transfer('COPY', '/f', 'https://files.example.org/dav/y')).status).toBe(502)
  })
})
