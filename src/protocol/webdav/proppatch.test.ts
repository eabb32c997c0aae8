import { beforeEach, describe, expect, it } from 'vitest'
import { openDavSite, responsesOf, type DavAnswer, type DavSite } from '../../../test/dav-site.js'
import { bound } from '../../store/bound.js'
import { Failure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { parseXml, serializeXml, type XmlElement } from '../../core/xml.js'
import type { Entry } from '../../store/store.js'

let site: DavSite

beforeEach(async () => {
  site = openDavSite()
  await site.fill('/f', '/d/')
})

const namespaces =
  'xmlns:D="DAV:" xmlns:Z="urn:z" xmlns:W="urn:schemas-microsoft-com:" xmlns:A="http://apache.org/dav/props/"'

function update(inner: string, attributes = ''): string {
  return `<?xml version="1.0"?><D:propertyupdate ${namespaces}${attributes}>${inner}</D:propertyupdate>`
}

const set = (inner: string): string => `<D:set><D:prop>${inner}</D:prop></D:set>`
const remove = (inner: string): string => `<D:remove><D:prop>${inner}</D:prop></D:remove>`

function patch(inner: string, path = '/f'): Promise<DavAnswer> {
  return site.ask('PROPPATCH', path, { body: update(inner) })
}

function statuses(answer: DavAnswer): Record<string, number> {
  return Object.fromEntries([...responsesOf(answer)[0]!.properties].map(([name, { status }]) => [name, status]))
}

async function stored(path = '/f'): Promise<readonly string[]> {
  return (await site.properties.of(toPath(path))).map(({ namespace, name }) => `{${namespace}}${name}`)
}

async function read(path: string, body: string): Promise<ReadonlyMap<string, { status: number; element: XmlElement }>> {
  const answer = await site.ask('PROPFIND', path, { headers: { depth: '0' }, body: `<D:propfind ${namespaces}><D:prop>${body}</D:prop></D:propfind>` })
  return responsesOf(answer)[0]!.properties
} // prettier-ignore

describe('PROPPATCH refuses', () => {
  it.each([
    ['no body', '', 400],
    ['no XML', 'x', 400],
    ['another element', '<D:prop xmlns:D="DAV:"/>', 400],
    ['nothing', update(''), 400],
    ['no property', update(set('')), 400],
    ['a document type', `<!DOCTYPE a []>${update(set('<Z:a/>'))}`, 400],
  ])('%s', async (_, body, status) => {
    expect((await site.ask('PROPPATCH', '/f', { body })).status).toBe(status)
    expect(await stored()).toEqual([])
  })

  it('what is not there, and whom it must', async () => {
    expect((await patch(set('<Z:a/>'), '/none')).status).toBe(404)
    const body = update(set('<Z:a/>'))
    expect((await site.ask('PROPPATCH', '/f', { body, grants: ['r:/**'] })).status).toBe(403)
    await site.locks.take({ path: toPath('/f'), scope: 'exclusive', depth: 0, principal: 'test:bob', timeoutSeconds: 600 }) // prettier-ignore
    expect((await site.ask('PROPPATCH', '/f', { body })).status).toBe(423)
    expect(await stored()).toEqual([])
  })

  it.each([
    'getetag',
    'getcontentlength',
    'resourcetype',
    'lockdiscovery',
    'supportedlock',
    'creationdate',
    'quota-used-bytes',
    'getcontenttype',
    'sync-token',
    'current-user-principal',
  ])('to change %s, and then changes nothing', async (name) => {
    for (const instruction of [set, remove]) {
      const answer = await patch(set('<Z:before/>') + instruction(`<D:${name}>x</D:${name}>`) + set('<Z:after/>'))
      expect(statuses(answer)).toEqual({ '{urn:z}before': 424, [`{DAV:}${name}`]: 403, '{urn:z}after': 424 })
      expect(answer.text).toContain('<D:cannot-modify-protected-property/>')
      expect(await stored()).toEqual([])
    }
  })

  it('a time that is none, and then changes nothing', async () => {
    for (const time of ['x', '', '999999999999', '99999999999999', '-1', 'JoplinIgnore-1', '2030-13-45T00:00:00Z']) {
      const answer = await patch(set(`<Z:a/><D:getlastmodified>${time}</D:getlastmodified>`))
      expect(statuses(answer)).toEqual({ '{urn:z}a': 424, '{DAV:}getlastmodified': 409 })
    }
    expect(await stored()).toEqual([])
    expect((await site.store.stat(toPath('/f')))?.modified).toBe(site.clock.now())
  })

  it('more than fits, and then changes nothing, the time neither', async () => {
    const answer = await patch(set(`<D:getlastmodified>1000</D:getlastmodified><Z:a>${'x'.repeat(210_000)}</Z:a>`))
    expect(answer.status).toBe(507)
    expect(await stored()).toEqual([])
    expect((await site.store.stat(toPath('/f')))?.modified).toBe(site.clock.now())
  })

  it('what the medium refuses, and then changes nothing, the properties neither', async () => {
    site = openDavSite({
      around: (store) => ({
        ...bound(store),
        change: async () => Promise.reject(new Failure('no-space', 'The disk is full.')),
      }),
    })
    await site.fill('/f')
    await patch(set('<Z:kept>1</Z:kept><Z:other>2</Z:other>'))
    const before = await site.properties.of(toPath('/f'))
    const instructions = set('<Z:kept>3</Z:kept><Z:new/><W:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</W:Win32LastModifiedTime>') + remove('<Z:other/>') // prettier-ignore
    expect((await patch(instructions)).status).toBe(507)
    const after = await site.properties.of(toPath('/f'))
    expect([...after].sort(byName)).toEqual([...before].sort(byName))
  })
})

describe('PROPPATCH keeps', () => {
  it.each([
    ['text', '<Z:a>some text</Z:a>'],
    ['nothing', '<Z:a/>'],
    ['white space', '<Z:a>  \n\t </Z:a>'],
    ['markup in text', '<Z:a>&lt;b&gt; &amp;amp; ]]&gt; "q"</Z:a>'],
    ['a tree', '<Z:a><Z:b c="1"><Z:c/>t</Z:b>u<Z:d/></Z:a>'],
    ['other namespaces', '<Z:a><x xmlns="urn:x"><y xmlns=""/></x><q:r xmlns:q="urn:q" q:s="t"/></Z:a>'],
    ['no namespace', '<a xmlns=""><b/></a>'],
    ['a default namespace', '<a xmlns="urn:def"><b/></a>'],
    ['another meaning of D', '<D:a xmlns:D="urn:other"><D:b D:c="1"/></D:a>'],
    ['a language', '<Z:a xml:lang="de-AT">Servus</Z:a>'],
    ['characters far out', '<Z:a b="\u00e9\u{1f4be}">\u{1f4be}\u0001</Z:a>'.replace('\u0001', '&#xFFFD;')],
    ['line ends', '<Z:a b="1&#10;2">3&#13;4</Z:a>'],
    ['CDATA', '<Z:a><![CDATA[<x>&]]></Z:a>'],
    ['a strange name', '<Z:__proto__/>'],
  ])('%s whole', async (_, value) => {
    const sent = parseXml(Buffer.from(`<x ${namespaces}>${value}</x>`)).children[0] as XmlElement
    const name = `{${sent.namespace}}${sent.name}`
    for (const path of ['/f', '/d']) {
      expect(statuses(await patch(set(value), path))).toEqual({ [name]: 200 })
      const asked = `<n:${sent.name} xmlns:n="${sent.namespace}"/>`.replace('n:', sent.namespace === '' ? '' : 'n:').replace('xmlns:n=""', '') // prettier-ignore
      const got = (await read(path, asked)).get(name)
      expect(got?.status).toBe(200)
      expect(serializeXml(got!.element)).toBe(serializeXml(sent))
      expect((await read(path, '<Z:nothing/>')).get('{urn:z}nothing')?.status).toBe(404)
    }
  })

  it('the language in scope', async () => {
    await site.ask('PROPPATCH', '/f', { body: update(set('<Z:a>x</Z:a><Z:b xml:lang="fr">y</Z:b>'), ' xml:lang="en"') })
    const got = await read('/f', '<Z:a/><Z:b/>')
    expect(got.get('{urn:z}a')?.element.language).toBe('en')
    expect(got.get('{urn:z}b')?.element.language).toBe('fr')
  })

  it('to the order of its instructions', async () => {
    await patch(set('<Z:a>1</Z:a>') + remove('<Z:a/>') + set('<Z:a>2</Z:a><Z:b/>') + remove('<Z:b/><Z:never/>'))
    expect(await stored()).toEqual(['{urn:z}a'])
    expect((await site.properties.of(toPath('/f')))[0]?.xml).toContain('>2<')
  })

  it("a displayname of the client's own until it is removed", async () => {
    await patch(set('<D:displayname>Shown</D:displayname>'))
    expect((await read('/f', '<D:displayname/>')).get('{DAV:}displayname')?.element.children).toEqual(['Shown'])
    const all = await site.ask('PROPFIND', '/f', { headers: { depth: '0' } })
    expect(all.text.match(/<\w+:displayname/g)).toHaveLength(1)
    await patch(remove('<D:displayname/>'))
    expect((await read('/f', '<D:displayname/>')).get('{DAV:}displayname')?.element.children).toEqual(['f'])
  })

  it.each([
    ['getlastmodified', '<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>'],
    ['lastmodified (rclone)', '<D:lastmodified>784111777</D:lastmodified>'],
    ['Win32LastModifiedTime', '<W:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</W:Win32LastModifiedTime>'],
    ['RFC 3339', '<D:getlastmodified>1994-11-06T08:49:37Z</D:getlastmodified>'],
  ])('the time of %s on the file itself', async (_, value) => {
    expect(Object.values(statuses(await patch(set(value))))).toEqual([200])
    expect((await site.store.stat(toPath('/f')))?.modified).toBe(784_111_777_000)
  })

  it('the executable bit, and what else is no bit it refuses', async () => {
    expect(statuses(await patch(set('<A:executable>T</A:executable>')))).toEqual({ '{http://apache.org/dav/props/}executable': 200 }) // prettier-ignore
    expect((await site.store.stat(toPath('/f')))?.executable).toBe(true)
    await patch(set('<A:executable>F</A:executable>'))
    expect((await site.store.stat(toPath('/f')))?.executable).toBe(false)
    expect(statuses(await patch(set('<A:executable>yes</A:executable>')))).toEqual({ '{http://apache.org/dav/props/}executable': 409 }) // prettier-ignore
  })
})

describe('Explorer and Office', () => {
  const win32 = '<W:Win32CreationTime>a</W:Win32CreationTime><W:Win32LastAccessTime>b</W:Win32LastAccessTime><W:Win32FileAttributes>00000020</W:Win32FileAttributes>' // prettier-ignore

  it('may set what they set on every file', async () => {
    expect(Object.values(statuses(await patch(set(win32))))).toEqual([200, 200, 200])
    expect((await read('/f', '<W:Win32FileAttributes/>')).get('{urn:schemas-microsoft-com:}Win32FileAttributes')?.element.children).toEqual(['00000020']) // prettier-ignore
  })

  it('may do so on a file they have locked, without the token; others and other properties may not', async () => {
    await site.locks.take({ path: toPath('/f'), scope: 'exclusive', depth: 0, principal: 'test:alice', timeoutSeconds: 600 }) // prettier-ignore
    expect((await patch(set(win32))).status).toBe(207)
    expect((await patch(set(`${win32}<Z:a/>`))).status).toBe(423)
    expect((await patch(set('<Z:Win32FileAttributes/>'))).status).toBe(423)
    expect((await site.ask('PROPPATCH', '/f', { as: 'bob', body: update(set(win32)) })).status).toBe(423)
  })
})

function byName(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name < other.name ? -1 : 1
}

describe('a store that keeps no times and flags', () => {
  beforeEach(async () => {
    site = openDavSite({
      around: (store) => ({
        ...bound(store),
        // As S3 does it: directories have no time, and what is given of files is not kept.
        stat: async (path, signal) => timeless(await store.stat(path, signal)),
        write: (path, body, options) => store.write(path, body, { ...options, modified: Date.now() }),
        change: async (path, change) => {
          if (change.modified !== undefined || change.executable !== undefined)
            throw new Failure('unsupported', 'not here')
          return store.change(path, change)
        },
      }),
    })
    await site.fill('/f', '/d/')
  })

  it('is not said to have kept them, and the rest of the request is undone', async () => {
    const time = '<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>'
    expect(statuses(await patch(set(`<Z:a>1</Z:a>${time}`)))).toEqual({ '{urn:z}a': 424, '{DAV:}getlastmodified': 403 })
    expect(statuses(await patch(set('<A:executable>T</A:executable>')))).toEqual({
      '{http://apache.org/dav/props/}executable': 403,
    })
    expect(await stored()).toEqual([])
  })

  it('shows Windows the times that Windows has set', async () => {
    const time = '<W:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</W:Win32LastModifiedTime>'
    expect(statuses(await patch(set(time)))).toEqual({ '{urn:schemas-microsoft-com:}Win32LastModifiedTime': 200 })
    expect(await stored()).toEqual(['{urn:schemas-microsoft-com:}Win32LastModifiedTime'])
  })

  it('does not say that it has accepted the time of an upload', async () => {
    const answer = await site.ask('PUT', '/new', { body: 'x', headers: { 'X-OC-Mtime': '784111777' } })
    expect([answer.status, answer.header('x-oc-mtime')]).toEqual([201, undefined])
  })

  it('has directories without a time rather than of 1970', async () => {
    const found = await read('/d', '<D:getlastmodified/><D:creationdate/>')
    expect([...found.values()].map(({ status }) => status)).toEqual([404, 404])
  })
})

function timeless(entry: Entry | undefined): Entry | undefined {
  if (entry?.kind !== 'directory') return entry
  const { path, kind, size, etag } = entry
  return { path, kind, size, etag, modified: 0 }
}
