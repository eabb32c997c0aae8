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
import { childNamed, davNamespace, textOf } from '../../core/xml.js'

let site: DavSite

beforeEach(async () => {
  site = openDavSite()
  await site.fill('/d/a', '/d/b', '/d/sub/c', '/f')
})

interface SyncAsked extends DavAsked {
  readonly level?: string
  readonly limit?: string
  readonly prop?: string
}

function sync(token: string, asked: SyncAsked = {}, path = '/d'): Promise<DavAnswer> {
  const { level = '1', limit, prop = '<D:prop><D:getetag/></D:prop>', ...rest } = asked
  const limits = limit === undefined ? '' : `<D:limit><D:nresults>${limit}</D:nresults></D:limit>`
  const body = `<D:sync-collection xmlns:D="DAV:"><D:sync-token>${token}</D:sync-token><D:sync-level>${level}</D:sync-level>${limits}${prop}</D:sync-collection>`
  return site.ask('REPORT', path, { body, headers: { depth: '0' }, ...rest })
}

function tokenOf({ xml }: DavAnswer): string {
  return textOf(childNamed(xml!, davNamespace, 'sync-token')!)
}

/** What was told: href, and the status where it is not that of a member that is there. */
function told(answer: DavAnswer): readonly string[] {
  return responsesOf(answer)
    .map(({ href, status }) => (status === undefined ? href : `${href} ${status}`))
    .sort()
}

async function put(path: string): Promise<void> {
  await site.fill(path)
}

describe('sync-collection', () => {
  it('tells all at first, then what has changed, then nothing', async () => {
    const first = await sync('')
    expect(told(first)).toEqual(['/d/a', '/d/b', '/d/sub/'])
    expect(told(await sync(tokenOf(first)))).toEqual([])
    expect(tokenOf(await sync(tokenOf(first)))).toBe(tokenOf(first))
    await put('/d/a')
    await put('/d/new')
    await site.store.remove(toPath('/d/b'))
    const second = await sync(tokenOf(first))
    expect(told(second)).toEqual(['/d/a', '/d/b 404', '/d/new'])
    expect(told(await sync(tokenOf(second)))).toEqual([])
    // An old token still tells the whole difference.
    await site.store.remove(toPath('/d/new'))
    expect(told(await sync(tokenOf(first)))).toEqual(['/d/a', '/d/b 404'])
    expect(told(await sync(tokenOf(second)))).toEqual(['/d/new 404'])
  })

  it('goes as deep as it is asked to', async () => {
    const flat = await sync('')
    const deep = await sync('', { level: 'infinite' })
    expect(told(deep)).toEqual(['/d/a', '/d/b', '/d/sub/', '/d/sub/c'])
    await put('/d/sub/c')
    expect(told(await sync(tokenOf(deep), { level: 'infinite' }))).toContain('/d/sub/c')
    expect(told(await sync(tokenOf(flat)))).not.toContain('/d/sub/c')
    await site.store.removeTree!(toPath('/d/sub'))
    expect(told(await sync(tokenOf(deep), { level: 'infinite' }))).toEqual(['/d/sub 404', '/d/sub/c 404'])
  })

  it('follows a member that moves', async () => {
    const first = await sync('', { level: 'infinite' })
    await site.store.moveTree!(toPath('/d/sub'), toPath('/d/moved'))
    expect(told(await sync(tokenOf(first), { level: 'infinite' }))).toEqual([
      '/d/moved/',
      '/d/moved/c',
      '/d/sub 404',
      '/d/sub/c 404',
    ])
  })

  it('tells a file that has taken the place of a collection', async () => {
    const first = await sync('')
    await site.store.removeTree!(toPath('/d/sub'))
    await put('/d/sub')
    expect(told(await sync(tokenOf(first)))).toEqual(['/d/sub'])
  })

  it('comes in pieces that add up to everything, changes and removals, once each', async () => {
    const start = tokenOf(await sync(''))
    for (let at = 0; at < 5; at++) await put(`/d/n${at}`)
    await site.store.remove(toPath('/d/a'))
    await site.store.remove(toPath('/d/b'))
    const seen: string[] = []
    let token = start
    for (let round = 0; ; round++) {
      expect(round).toBeLessThan(10)
      const answer = await sync(token, { limit: '2' })
      token = tokenOf(answer)
      const members = told(answer).filter((each) => each !== '/d/ 507')
      expect(members.length).toBeLessThanOrEqual(2)
      seen.push(...members)
      if (members.length === told(answer).length) break
      const cut = responsesOf(answer).find(({ status }) => status === 507)
      expect(cut?.error).toEqual(['number-of-matches-within-limits'])
    }
    expect(seen.sort()).toEqual(['/d/a 404', '/d/b 404', '/d/n0', '/d/n1', '/d/n2', '/d/n3', '/d/n4'])
    expect(told(await sync(token))).toEqual([])
  })

  it('gives each member the properties that were asked for', async () => {
    const answer = await sync('', { prop: '<D:prop><D:getetag/><D:nothing/></D:prop>' })
    const [first] = responsesOf(answer)
    expect(Object.fromEntries([...first!.properties].map(([name, { status }]) => [name, status]))).toEqual({
      '{DAV:}getetag': 200,
      '{DAV:}nothing': 404,
    })
    const brief = await sync('', { prop: '<D:prop><D:getetag/><D:nothing/></D:prop>', headers: { brief: 't' } })
    expect(brief.text).not.toContain('nothing')
  })

  it('shares its token with the sync-token property', async () => {
    const body = '<D:propfind xmlns:D="DAV:"><D:prop><D:sync-token/></D:prop></D:propfind>'
    const property = async (): Promise<string> => {
      const [response] = responsesOf(await site.ask('PROPFIND', '/d', { headers: { depth: '0' }, body }))
      return textOf(response!.properties.get('{DAV:}sync-token')!.element)
    }
    const before = await property()
    expect(tokenOf(await sync(''))).toBe(before)
    await put('/d/a')
    expect(await property()).not.toBe(before)
    expect(told(await sync(before))).toEqual(['/d/a'])
  })

  it('tells everybody only what they may see', async () => {
    const grants = ['r:/d/a', 'r:/d/sub/**']
    const first = await sync('', { grants })
    expect(told(first)).toEqual(['/d/a', '/d/sub/'])
    await put('/d/b')
    expect(told(await sync(tokenOf(first), { grants }))).toEqual([])
  })
})

describe('what REPORT refuses', () => {
  it.each([
    'urn:postern:sync:',
    `urn:postern:sync:${'0'.repeat(40)}`,
    'x',
    'http://example.org/sync/1',
    '0'.repeat(40),
  ])('the token %s', async (token) => {
    const answer = await sync(token)
    expect([answer.status, errorOf(answer)]).toEqual([403, { 'valid-sync-token': '' }])
  })

  it('the token of another collection, level or caller', async () => {
    const token = tokenOf(await sync(''))
    for (const [asked, path] of [
      [{}, '/d/sub'],
      [{ level: 'infinite' }, '/d'],
      [{ as: 'bob' }, '/d'],
    ] as const)
      // prettier-ignore
      expect((await sync(token, asked, path)).status).toBe(403)
  })

  it('a token that is too old', async () => {
    const token = tokenOf(await sync(''))
    site.clock.advanceSeconds(31 * 24 * 3600)
    expect(errorOf(await sync(token))).toEqual({ 'valid-sync-token': '' })
  })

  it('a file, another report, and what makes no sense', async () => {
    expect(errorOf(await sync('', {}, '/f'))).toEqual({ 'supported-report': '' })
    expect(errorOf(await site.ask('REPORT', '/d', { body: '<D:expand-property xmlns:D="DAV:"/>' }))).toEqual({
      'supported-report': '',
    })
    expect((await site.ask('REPORT', '/d')).status).toBe(403)
    expect((await sync('', {}, '/none')).status).toBe(404)
    expect((await sync('', { level: '2' })).status).toBe(400)
    for (const limit of ['0', '-1', 'x', '1.5', '']) expect((await sync('', { limit })).status).toBe(400)
    expect((await sync('', { prop: '' })).status).toBe(400)
    expect((await sync('', { grants: ['r:/f'] })).status).toBe(403)
  })

  it('more members than it may hold', async () => {
    site = openDavSite({ maxMembers: 2 })
    await site.fill('/d/a', '/d/b', '/d/c')
    expect(errorOf(await sync(''))).toEqual({ 'number-of-matches-within-limits': '' })
    expect(errorOf(await sync('', { level: 'infinite' }, '/'))).toEqual({ 'sync-traversal-supported': '' })
  })
})
