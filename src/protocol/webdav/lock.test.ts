import { beforeEach, describe, expect, it } from 'vitest'
import { errorOf, openDavSite, type DavAnswer, type DavAsked, type DavSite } from '../../../test/dav-site.js'
import { toPath } from '../../core/path.js'
import { childElements, childNamed, davNamespace, textOf, type XmlElement } from '../../core/xml.js'

let site: DavSite

beforeEach(async () => {
  site = openDavSite()
  await site.fill('/f', '/d/g')
})

const info = (scope = 'exclusive', owner = ''): string =>
  `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype>${owner}</D:lockinfo>`

function lock(path: string, asked: DavAsked = {}): Promise<DavAnswer> {
  return site.ask('LOCK', path, { body: info(), ...asked, headers: { depth: '0', ...asked.headers } })
}

async function tokenFor(path: string, asked?: DavAsked): Promise<string> {
  const answer = await lock(path, asked)
  const token = /^<(opaquelocktoken:[^<>]+)>$/.exec(answer.header('lock-token') ?? '')?.[1]
  if (token === undefined) throw new Error(`${answer.status} ${answer.text}`)
  return token
}

function activeOf({ xml }: DavAnswer): XmlElement {
  const found = xml && childNamed(xml, davNamespace, 'lockdiscovery')
  return childElements(found!)[0]!
}

async function isThere(path: string): Promise<boolean> {
  return (await site.store.stat(toPath(path))) !== undefined
}

describe('LOCK refuses', () => {
  it.each([
    ['Depth: 1', info(), { depth: '1' }, 400],
    ['no XML', 'x', {}, 400],
    ['another element', '<D:lock xmlns:D="DAV:"/>', {}, 400],
    ['no scope', info('none'), {}, 400],
    ['no type', info().replace('write', 'read'), {}, 400],
    ['a document type', `<!DOCTYPE a []>${info()}`, {}, 400],
    ['an owner that fills the catalog', info('shared', `<D:owner>${'x'.repeat(9000)}</D:owner>`), {}, 413],
    ['a refresh without a token', '', {}, 400],
    ['a refresh with a token that is none', '', { if: '(<opaquelocktoken:none>)' }, 412],
    ['a malformed If', info(), { if: 'x' }, 400],
  ])('%s', async (_, body, headers, status) => {
    for (const path of ['/f', '/new']) expect((await lock(path, { body, headers })).status).toBe(status)
    expect(await isThere('/new')).toBe(false)
    expect(await site.locks.covering(toPath('/f'))).toEqual([])
  })

  it('whom it must', async () => {
    expect((await lock('/f', { grants: ['r:/**'] })).status).toBe(403)
    expect((await lock('/new', { grants: ['r:/**', 'replace:/**'] })).status).toBe(403)
    expect((await lock('/d', { grants: ['rw:/d', 'rw:/d/g'], headers: { depth: 'infinity' } })).status).toBe(403)
    expect((await lock('/-/x')).status).toBe(403)
    expect(await isThere('/new')).toBe(false)
  })

  it('a new name below nothing, and keeps no lock for it', async () => {
    expect((await lock('/none/new')).status).toBe(409)
    expect(await site.locks.covering(toPath('/none/new'))).toEqual([])
    expect((await lock('/f/new')).status).toBe(409)
    expect(await site.locks.covering(toPath('/f/new'))).toEqual([])
  })

  it('a new name in a locked collection without its token', async () => {
    const token = await tokenFor('/d')
    const refused = await lock('/d/new', { as: 'bob' })
    expect([refused.status, errorOf(refused)]).toEqual([423, { 'lock-token-submitted': '/d' }])
    expect(await isThere('/d/new')).toBe(false)
    expect(await site.locks.covering(toPath('/d/new'))).toEqual([])
    expect((await lock('/d/new', { headers: { if: `</d> (<${token}>)` } })).status).toBe(201)
  })

  it('what another has, and names it', async () => {
    await tokenFor('/d', { headers: { depth: 'infinity' } })
    const refused = await lock('/d/g', { as: 'bob' })
    expect([refused.status, errorOf(refused)]).toEqual([423, { 'no-conflicting-lock': '/d' }])
    expect((await lock('/d/g', { as: 'bob', body: info('shared') })).status).toBe(423)
    expect((await lock('/', { as: 'bob', headers: { depth: 'infinity' } })).status).toBe(423)
  })
})

describe('LOCK', () => {
  it('answers with the lock as it is', async () => {
    const owner = '<D:owner><x:href xmlns:x="urn:x" a="1">me &amp; you</x:href> too</D:owner>'
    const answer = await lock('/f', { body: info('exclusive', owner), headers: { timeout: 'Second-3600' } })
    expect(answer.status).toBe(200)
    const active = activeOf(answer)
    const text = (name: string): string => textOf(childNamed(active, davNamespace, name)!)
    expect(text('depth')).toBe('0')
    expect(text('timeout')).toBe('Second-3600')
    expect(textOf(childElements(childNamed(active, davNamespace, 'lockroot')!)[0]!)).toBe('/f')
    expect(`<${textOf(childElements(childNamed(active, davNamespace, 'locktoken')!)[0]!)}>`).toBe(
      answer.header('lock-token'),
    )
    expect(answer.text).toContain('a="1">me &amp; you</x:href> too</D:owner>')
    const found = await site.ask('PROPFIND', '/f', { headers: { depth: '0' } })
    expect(found.text).toContain('a="1">me &amp; you</x:href> too</D:owner>')
  })

  it('needs no owner, and is deep where nothing is said', async () => {
    const answer = await site.ask('LOCK', '/d', { body: info() })
    expect(textOf(childNamed(activeOf(answer), davNamespace, 'depth')!)).toBe('infinity')
    expect((await site.ask('PUT', '/d/g', { body: 'x' })).status).toBe(423)
  })

  it('makes an empty file of a new name, which the owner alone may fill', async () => {
    const answer = await lock('/new')
    expect([answer.status, answer.header('location')]).toEqual([201, '/new'])
    expect(await site.ask('GET', '/new')).toMatchObject({ status: 200, text: '' })
    expect((await site.ask('PUT', '/new', { as: 'bob', body: 'x' })).status).toBe(423)
    const token = answer.header('lock-token')!
    expect((await site.ask('PUT', '/new', { body: 'x', headers: { if: `(${token})` } })).status).toBe(204)
    expect((await site.ask('PUT', '/new', { as: 'bob', body: 'y', headers: { if: `(${token})` } })).status).toBe(423)
    expect((await site.ask('UNLOCK', '/new', { headers: { 'lock-token': token } })).status).toBe(204)
    expect((await site.ask('PUT', '/new', { as: 'bob', body: 'y' })).status).toBe(204)
  })

  it('may be shared', async () => {
    const one = await tokenFor('/f', { body: info('shared') })
    const other = await tokenFor('/f', { body: info('shared'), as: 'bob' })
    expect((await lock('/f', { as: 'carol' })).status).toBe(423)
    expect((await site.ask('PUT', '/f', { body: 'x' })).status).toBe(423)
    expect((await site.ask('PUT', '/f', { body: 'x', headers: { if: `(<${other}>)` } })).status).toBe(423)
    expect((await site.ask('PUT', '/f', { body: 'x', headers: { if: `(<${one}>)` } })).status).toBe(204)
  })

  it('is refreshed by its owner, from its root or below, and answers without a Lock-Token', async () => {
    const token = await tokenFor('/d', { headers: { depth: 'infinity', timeout: 'Second-200' } })
    site.clock.advanceSeconds(150)
    const refresh = (path: string, as = 'alice'): Promise<DavAnswer> =>
      site.ask('LOCK', path, { as, headers: { if: `(<${token}>)`, timeout: 'Second-300' } })
    expect((await refresh('/d', 'bob')).status).toBe(412)
    expect((await refresh('/f')).status).toBe(412)
    const answer = await refresh('/d/g')
    expect([answer.status, answer.header('lock-token')]).toEqual([200, undefined])
    expect(answer.text).toContain('<D:timeout>Second-300</D:timeout>')
    expect(answer.text).toContain(token)
    site.clock.advanceSeconds(299)
    expect((await site.ask('PUT', '/d/g', { as: 'bob' })).status).toBe(423)
    site.clock.advanceSeconds(1)
    expect((await site.ask('PUT', '/d/g', { as: 'bob' })).status).toBe(204)
    expect((await refresh('/d')).status).toBe(412)
  })
})

describe('UNLOCK', () => {
  const unlock = (path: string, token: string | undefined, as = 'alice'): Promise<DavAnswer> =>
    site.ask('UNLOCK', path, { as, ...(token !== undefined && { headers: { 'lock-token': token } }) })

  it('wants the token, the place and the owner', async () => {
    const token = await tokenFor('/f')
    expect((await unlock('/f', undefined)).status).toBe(400)
    expect((await unlock('/f', '')).status).toBe(400)
    expect((await unlock('/f', '<>')).status).toBe(400)
    const elsewhere = await unlock('/d', `<${token}>`)
    expect([elsewhere.status, errorOf(elsewhere)]).toEqual([409, { 'lock-token-matches-request-uri': '' }])
    expect((await unlock('/f', '<opaquelocktoken:none>')).status).toBe(409)
    expect((await unlock('/f', `<${token}>`, 'bob')).status).toBe(403)
    expect((await site.ask('PUT', '/f', { as: 'bob' })).status).toBe(423)
    expect((await unlock('/f', `<${token}>`)).status).toBe(204)
    expect((await unlock('/f', `<${token}>`)).status).toBe(409)
  })

  it('takes a token without brackets (Explorer) and ends a deep lock from below', async () => {
    expect((await unlock('/f', await tokenFor('/f'))).status).toBe(204)
    const token = await tokenFor('/d', { headers: { depth: 'infinity' } })
    expect((await unlock('/d/g', `<${token}>`)).status).toBe(204)
    expect(await site.locks.covering(toPath('/d'))).toEqual([])
  })
})

describe('the If header', () => {
  it('is judged before anything is done, on every method', async () => {
    const no = { if: '(["none"])' }
    for (const method of ['GET', 'PUT', 'DELETE', 'MKCOL', 'PROPFIND', 'PROPPATCH', 'LOCK', 'UNLOCK', 'COPY', 'MOVE'])
      expect((await site.ask(method, '/f', { headers: no })).status).toBe(412)
    expect(await isThere('/f')).toBe(true)
  })

  it('knows entity tags, tokens, Not and other resources', async () => {
    const { etag } = (await site.store.stat(toPath('/f')))!
    const token = await tokenFor('/d/g')
    const put = async (condition: string): Promise<number> => {
      const now = (await site.store.stat(toPath('/f')))!.etag
      return (await site.ask('PUT', '/f', { body: 'x', headers: { if: condition.replaceAll('NOW', now) } })).status
    }
    expect(await put(`(["${etag}"])`)).toBe(204)
    expect(await put(`(["${etag}"])`)).toBe(412)
    expect(await put('(["NOW"])')).toBe(204)
    expect(await put('(Not ["NOW"])')).toBe(412)
    expect(await put('(W/["NOW"])')).toBe(400)
    expect(await put('([W/"NOW"])')).toBe(412)
    expect(await put(`(<${token}>)`)).toBe(412)
    expect(await put(`(Not <${token}>)`)).toBe(204)
    expect(await put(`(<${token}>) (Not <DAV:no-lock>)`)).toBe(204)
    expect(await put(`</d/g> (<${token}>)`)).toBe(204)
    expect(await put(`<http://localhost/d/g> (<${token}>)`)).toBe(204)
    expect(await put(`<http://elsewhere.example/d/g> (<${token}>)`)).toBe(412)
    expect(await put(`<http://elsewhere.example/d/g> (Not <${token}>)`)).toBe(204)
    expect(await put(`</none> (["NOW"])`)).toBe(412)
    expect(await put('</a/../b> (Not <DAV:no-lock>)')).toBe(400)
    expect(await put('<relative> (Not <DAV:no-lock>)')).toBe(400)
  })

  it('tells nothing of what the caller may not see', async () => {
    const { etag } = (await site.store.stat(toPath('/d/g')))!
    const ask = async (condition: string): Promise<number> =>
      (await site.ask('GET', '/f', { grants: ['r:/f'], headers: { if: `</d/g> ${condition}` } })).status
    expect(await ask(`(["${etag}"])`)).toBe(412)
    expect(await ask('(["other"])')).toBe(412)
    expect(await ask(`(Not ["${etag}"])`)).toBe(200)
  })

  it('is no proof of ownership', async () => {
    const token = await tokenFor('/f')
    const refused = await site.ask('PUT', '/f', { as: 'bob', body: 'x', headers: { if: `(<${token}>)` } })
    expect([refused.status, errorOf(refused)]).toEqual([423, { 'lock-token-submitted': '/f' }])
  })
})
