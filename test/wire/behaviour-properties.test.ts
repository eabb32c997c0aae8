import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { freshFile, freshFolder, hrefsOf, modified, propertyStatus, propfind, proppatch } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('PROPFIND', () => {
  it.each([undefined, 'infinity'])('streams the whole tree with Depth: %s', async (depth) => {
    const { path, disk } = await freshFolder(server)
    await mkdir(join(disk, 'a/b'), { recursive: true })
    await writeFile(join(disk, 'a/b/c'), 'c')
    const answer = await server.request('PROPFIND', path, {
      headers: depth === undefined ? {} : { Depth: depth },
      body: propfind('resourcetype'),
    })
    expect(answer.status).toBe(207)
    expect([...hrefsOf(answer)].sort()).toEqual([`${path}/`, `${path}/a/`, `${path}/a/b/`, `${path}/a/b/c`])
  })

  it('tells the type of a member that GET gives, where it is asked for by name or not', async () => {
    const { path } = await freshFolder(server)
    const type = 'application/x-of-its-own'
    await server.request('PUT', `${path}/f.txt`, { headers: { 'Content-Type': type }, body: 'f' })
    expect((await server.request('GET', `${path}/f.txt`)).headers.get('content-type')).toEqual([type])
    for (const body of [propfind('getcontenttype'), ''])
      for (const depth of ['0', '1', 'infinity']) {
        const at = depth === '0' ? `${path}/f.txt` : path
        const answer = await server.request('PROPFIND', at, { headers: { Depth: depth }, body })
        expect(answer.text, `${depth} ${body}`).toContain(`<D:getcontenttype>${type}</D:getcontenttype>`)
      }
  })

  it('gives one level with Depth: 1, one resource with 0, and 400 for another depth', async () => {
    const { path, disk } = await freshFolder(server)
    await mkdir(join(disk, 'a'))
    const ask = async (depth: string) => await server.request('PROPFIND', path, { headers: { Depth: depth } })
    expect([...hrefsOf(await ask('1'))].sort()).toEqual([`${path}/`, `${path}/a/`])
    expect(hrefsOf(await ask('0'))).toEqual([`${path}/`])
    expect((await ask('2')).status).toBe(400)
  })

  it.each([
    ['an empty prop', '<propfind xmlns="DAV:"><prop/></propfind>', 207],
    ['no body', '', 207],
    ['allprop', '<propfind xmlns="DAV:"><allprop/></propfind>', 207],
    [
      'allprop and include',
      '<propfind xmlns="DAV:"><allprop/><include><supported-report-set/></include></propfind>',
      207,
    ],
    ['propname', '<propfind xmlns="DAV:"><propname/></propfind>', 207],
    ['unknown elements', '<propfind xmlns="DAV:" xmlns:x="x:y"><x:new/><allprop/></propfind>', 207],
    ['a broken document', '<propfind xmlns="DAV:"><prop>', 400],
    ['no XML', 'propfind', 400],
    ['an unbound prefix', '<D:propfind><D:allprop/></D:propfind>', 400],
    ['a prefix bound to nothing', '<D:propfind xmlns:D="DAV:"><D:prop><x:a xmlns:x=""/></D:prop></D:propfind>', 400],
    ['another root', '<x xmlns="DAV:"/>', 400],
    ['two choices', '<propfind xmlns="DAV:"><allprop/><propname/></propfind>', 400],
    ['a DOCTYPE', '<!DOCTYPE a><propfind xmlns="DAV:"><allprop/></propfind>', 400],
    [
      'entities',
      '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><propfind xmlns="DAV:"><prop><a>&e;</a></prop></propfind>',
      400,
    ],
  ])('reads %s', async (_, body, status) => {
    const { path } = await freshFile(server)
    const answer = await server.request('PROPFIND', path, { headers: { Depth: '0' }, body })
    expect([answer.status, answer.text.includes('root:')]).toEqual([status, false])
  })

  it('refuses two million elements with 413', async () => {
    const body = `<propfind xmlns="DAV:"><prop>${'<a/>'.repeat(2_000_000)}</prop></propfind>`
    const begun = Date.now()
    expect((await server.request('PROPFIND', '/', { headers: { Depth: '0' }, body })).status).toBe(413)
    expect(Date.now() - begun).toBeLessThan(5000)
  })

  it('reads UTF-16', async () => {
    const { path } = await freshFile(server)
    const text = '<?xml version="1.0" encoding="utf-16"?><propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
    const body = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')])
    const answer = await server.request('PROPFIND', path, { headers: { Depth: '0' }, body })
    expect([answer.status, propertyStatus(answer, 'getetag')]).toEqual([207, 200])
  })

  it('tells quota (RFC 4331), and 404 for what it does not know', async () => {
    const { path } = await freshFolder(server)
    const answer = await server.request('PROPFIND', path, {
      headers: { Depth: '0' },
      body: propfind('quota-available-bytes', 'quota-used-bytes', 'executable', 'getcontentlanguage'),
    })
    expect(propertyStatus(answer, 'quota-available-bytes')).toBe(200)
    expect(propertyStatus(answer, 'quota-used-bytes')).toBe(200)
    expect(propertyStatus(answer, 'executable')).toBe(404)
    expect(answer.text).toMatch(/quota-available-bytes[^>]*>\d+</)
  })

  it('names awkward files by path-only hrefs that lead back to them', async () => {
    const { path, disk } = await freshFolder(server)
    const names = ['a b', '#', '%41', '100%', '?q', '&<>"\'', 'ümlaut', '😀', 'a+b', 'a;b', '[x]', '\\back', '\u{7f}']
    for (const name of names) await writeFile(join(disk, name), name)
    const listing = await server.request('PROPFIND', `${path}/`, { headers: { Depth: '1' } })
    const hrefs = hrefsOf(listing).filter((href) => href !== `${path}/`)
    expect(hrefs).toHaveLength(names.length)
    const read = []
    for (const href of hrefs) {
      expect(href.startsWith(`${path}/`)).toBe(true)
      read.push((await server.request('GET', href)).text)
    }
    expect(read.sort()).toEqual([...names].sort())
  })
})

describe('PROPPATCH', () => {
  it('takes the properties that Explorer writes, and the time counts', async () => {
    const { path, disk } = await freshFile(server)
    const time = 'Sat, 03 Feb 2001 04:05:06 GMT'
    const properties = [
      `<Win32CreationTime xmlns="urn:schemas-microsoft-com:">${time}</Win32CreationTime>`,
      `<Win32LastAccessTime xmlns="urn:schemas-microsoft-com:">${time}</Win32LastAccessTime>`,
      `<Win32LastModifiedTime xmlns="urn:schemas-microsoft-com:">${time}</Win32LastModifiedTime>`,
      '<Win32FileAttributes xmlns="urn:schemas-microsoft-com:">00000020</Win32FileAttributes>',
    ]
    const answer = await server.request('PROPPATCH', path, { body: proppatch(...properties) })
    expect(answer.status).toBe(207)
    for (const name of ['Win32CreationTime', 'Win32LastAccessTime', 'Win32LastModifiedTime', 'Win32FileAttributes'])
      expect([name, propertyStatus(answer, name)]).toEqual([name, 200])
    expect(await modified(disk)).toBe('2001-02-03T04:05:06.000Z')
  })

  it('applies nothing when one property is protected', async () => {
    const { path } = await freshFile(server)
    const answer = await server.request('PROPPATCH', path, {
      body: proppatch('<Z:dead>x</Z:dead>', '<D:getetag>"mine"</D:getetag>'),
    })
    expect(answer.status).toBe(207)
    expect([propertyStatus(answer, 'getetag'), propertyStatus(answer, 'dead')]).toEqual([403, 424])
    expect(answer.text).toContain('cannot-modify-protected-property')
    const read = await server.request('PROPFIND', path, {
      headers: { Depth: '0' },
      body: '<propfind xmlns="DAV:"><prop><Z:dead xmlns:Z="urn:example:z"/></prop></propfind>',
    })
    expect(propertyStatus(read, 'dead')).toBe(404)
  })

  it('keeps any XML value whole, with its language', async () => {
    const { path } = await freshFile(server)
    const value = '<Z:tree xml:lang="de"><b xmlns="x:y" a="&lt;&quot;">ü &amp; 😀<!-- c --><c/></b> tail</Z:tree>'
    expect((await server.request('PROPPATCH', path, { body: proppatch(value) })).status).toBe(207)
    const read = await server.request('PROPFIND', path, {
      headers: { Depth: '0' },
      body: '<propfind xmlns="DAV:"><prop><Z:tree xmlns:Z="urn:example:z"/></prop></propfind>',
    })
    expect(propertyStatus(read, 'tree')).toBe(200)
    expect(read.text).toMatch(/xml:lang="de"/)
    expect(read.text).toMatch(/ü &amp; 😀/)
    expect(read.text).toMatch(/ tail</)
    expect(read.text).toMatch(/a=["']&lt;(&quot;|")["']/)
  })
})
