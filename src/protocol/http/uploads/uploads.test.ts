import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { openSite, read, type Answer, type Asked, type Site } from '../../../../test/http-exchange.js'
import { toPath } from '../../../core/path.js'
import { openLocalStore } from '../../../store/local.js'
import { openMemoryStore } from '../../../store/memory.js'
import type { Store } from '../../../store/store.js'
import { refuseHttp } from '../failures.js'
import { createUploads } from './index.js'

const mebibyte = 2 ** 20
const keepMilliseconds = 24 * 3600 * 1000
const opened: { readonly store: Store; readonly root?: string }[] = []

afterEach(async () => {
  for (const { store, root } of opened.splice(0)) {
    await store.close()
    if (root !== undefined) rmSync(root, { recursive: true })
  }
})

async function siteOn(medium: 'memory' | 'local', mostRelayedBytes?: number): Promise<Site> {
  const root = medium === 'local' ? mkdtempSync(join(tmpdir(), 'postern-uploads-')) : undefined
  const store =
    root === undefined ? openMemoryStore() : await openLocalStore({ root, durability: 'fast', symlinks: 'absent' })
  opened.push({ store, ...(root !== undefined && { root }) })
  const page = createUploads({ keepMilliseconds, ...(mostRelayedBytes !== undefined && { mostRelayedBytes }) })
  const handle = (request: Parameters<typeof page>[0], target: Parameters<typeof page>[1], session: Parameters<typeof page>[2]) => page(request, target, session) // prettier-ignore
  return openSite({ handle, refuse: refuseHttp }, { store })
}

interface Begun {
  readonly id: string
  readonly partSize: number
  readonly parts: number
  readonly direct: boolean
}

async function post(site: Site, target: string, value: unknown, asked: Asked = {}): Promise<Answer> {
  return site.ask('POST', `/-/uploads${target}`, { ...asked, body: JSON.stringify(value) })
}

async function begin(site: Site, value: object): Promise<Begun> {
  const answer = await post(site, '', value)
  expect(answer.text).toContain('"id"')
  return JSON.parse(answer.text) as Begun
}

function hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function put(site: Site, id: string, number: number, bytes: Uint8Array, asked: Asked = {}): Promise<Answer> {
  return site.ask('PUT', `/-/uploads/${id}/parts/${number}`, { ...asked, body: bytes })
}

async function content(site: Site, path: string): Promise<Buffer> {
  const open = await site.store.open(toPath(path))
  const { bytes } = await read({ status: 200, headers: [], body: open.bytes() })
  await open.close()
  return bytes
}

const file = randomBytes(12 * mebibyte)
const parts = [file.subarray(0, 8 * mebibyte), file.subarray(8 * mebibyte)] as const

describe.each(['memory', 'local'] as const)('an upload over a store of %s', (medium) => {
  it('is refused before the first byte where the size, the name or a condition does not fit', async () => {
    const site = await siteOn(medium)
    await site.fill({ '/there': 'x', '/folder/file': 'x' })
    const outcome = async (value: object, asked = {}): Promise<number> => (await post(site, '', value, asked)).status
    expect(await outcome({ size: 1 })).toBe(400)
    expect(await outcome({ path: '/', size: 1 })).toBe(409)
    expect(await outcome({ path: '/../x', size: 1 })).toBe(400)
    expect(await outcome({ path: '/-/x', size: 1 })).toBe(403)
    expect(await outcome({ path: '/folder', size: 1 })).toBe(409)
    expect(await outcome({ path: '/f', size: -1 })).toBe(400)
    expect(await outcome({ path: '/f', size: 6 * 2 ** 40 })).toBe(413)
    expect(await outcome({ path: '/f', sha256: 'abc' })).toBe(400)
    expect(await outcome({ path: '/f', unknown: 1 })).toBe(400)
    expect(await outcome({ path: '/there', ifNoneMatch: '*' })).toBe(412)
    expect(await outcome({ path: '/there', ifMatch: '"other"' })).toBe(412)
    expect(await outcome({ path: '/there', ifMatch: 'bare' })).toBe(400)
    expect(await outcome({ path: '/f', size: 1 }, { grants: ['r:/**'] })).toBe(403)
    expect(await outcome({ path: '/f', size: 11 }, { grants: ['create<=10:/**'] })).toBe(413)
    expect((await site.ask('POST', '/-/uploads', { body: '{' })).status).toBe(400)
    expect((await site.ask('PUT', '/-/uploads')).status).toBe(405)
  })

  it('becomes a file that is verified as a whole, and completing it again says the same', async () => {
    const site = await siteOn(medium)
    const { id, partSize, parts: count, direct } = await begin(site, { path: '/deep/er/f', size: file.length, sha256: hex(file) }) // prettier-ignore
    expect({ partSize, count, direct }).toEqual({ partSize: 8 * mebibyte, count: 2, direct: false })
    const said = parts.map((bytes, index) => ({ number: index + 1, size: bytes.length, sha256: hex(bytes) }))
    const offered = JSON.parse((await post(site, `/${id}/parts`, { parts: said })).text) as { parts: { url: string }[] }
    expect(offered.parts.map(({ url }) => url)).toEqual([`/-/uploads/${id}/parts/1`, `/-/uploads/${id}/parts/2`])
    await Promise.all(parts.map((bytes, index) => put(site, id, index + 1, bytes)))
    const first = await post(site, `/${id}/complete`, { parts: said })
    expect([first.status, JSON.parse(first.text)]).toMatchObject([201, { path: '/deep/er/f', size: file.length, created: true, verified: 'whole' }]) // prettier-ignore
    expect((await content(site, '/deep/er/f')).equals(file)).toBe(true)
    expect((await site.store.stat(toPath('/deep/er/f')))?.size).toBe(file.length)
    const again = await post(site, `/${id}/complete`, { parts: said })
    expect([again.status, again.header('etag')]).toEqual([201, first.header('etag')])
    expect((await site.ask('GET', `/-/uploads/${id}`)).status).toBe(404)
  })

  it('does not become a file of other bytes than were said', async () => {
    const site = await siteOn(medium)
    const { id } = await begin(site, { path: '/f', size: file.length, sha256: hex(Buffer.from('other')) })
    const digest = `sha-256=:${createHash('sha256').update('other').digest('base64')}:`
    expect((await put(site, id, 1, parts[0], { headers: { 'content-digest': digest } })).status).toBe(400)
    expect((await put(site, id, 1, parts[1])).status).toBe(400)
    expect((await put(site, id, 3, parts[1])).status).toBe(400)
    expect((await put(site, id, 0, parts[0])).status).toBe(400)
    expect((await put(site, id, 1, parts[0])).status).toBe(200)
    const missing = await post(site, `/${id}/complete`, {})
    expect([missing.status, JSON.parse(missing.text)]).toMatchObject([409, { missing: [2] }])
    await put(site, id, 2, parts[1])
    const wrong = { number: 2, size: parts[1].length, sha256: hex(Buffer.from('other')) }
    const lied = await post(site, `/${id}/complete`, { parts: [{ number: 1, size: parts[0].length }, wrong] })
    expect([lied.status, JSON.parse(lied.text)]).toMatchObject([409, { missing: [2] }])
    expect((await post(site, `/${id}/complete`, { sha256: hex(file) })).status).toBe(400)
    expect((await post(site, `/${id}/complete`, {})).status).toBe(400)
    expect(await site.store.stat(toPath('/f'))).toBeUndefined()
    expect((await site.ask('DELETE', `/-/uploads/${id}`)).status).toBe(204)
    expect((await post(site, `/${id}/complete`, {})).status).toBe(404)
  })

  it('is gone on with where it was, by what has arrived', async () => {
    const site = await siteOn(medium)
    const { id } = await begin(site, { path: '/f', size: file.length })
    await put(site, id, 2, parts[1])
    const status = JSON.parse((await site.ask('GET', `/-/uploads/${id}`)).text) as object
    expect(status).toMatchObject({ path: '/f', size: file.length, arrived: [{ number: 2, sha256: hex(parts[1]) }] })
    const said = parts.map((bytes, index) => ({ number: index + 1, size: bytes.length, sha256: hex(bytes) }))
    const offered = JSON.parse((await post(site, `/${id}/parts`, { parts: said, look: true })).text) as object
    expect(offered).toMatchObject({
      parts: [
        { number: 1, method: 'PUT' },
        { number: 2, arrived: true },
      ],
    })
  })

  it('is refused at its end where the file is another one by then', async () => {
    const site = await siteOn(medium)
    await site.fill({ '/f': 'before' })
    const etag = (await site.store.stat(toPath('/f')))?.etag
    const { id } = await begin(site, { path: '/f', size: 3, ifMatch: `"${etag ?? ''}"` })
    await put(site, id, 1, Buffer.from('new'))
    await site.fill({ '/f': 'meanwhile' })
    expect((await post(site, `/${id}/complete`, {})).status).toBe(412)
    expect((await site.store.stat(toPath('/f')))?.size).toBe(9)
  })

  it('knows no ids of others, and none that are made up', async () => {
    const site = await siteOn(medium)
    const { id } = await begin(site, { path: '/f', size: 3 })
    const [inner = ''] = id.split('.')
    const other = `${inner}.${Buffer.from('/g').toString('base64url')}`
    for (const each of [other, 'x', `${inner}.`, `${'0'.repeat(31)}.${Buffer.from('/f').toString('base64url')}`])
      expect((await put(site, each, 1, Buffer.from('new'))).status).toBe(404)
    // Those that S3 has begun have another shape of parts.
    const foreign = await site.store.parts?.open(toPath('/f'))
    expect((await put(site, foreign ?? '', 1, Buffer.from('new'))).status).toBe(404)
  })

  it('respects locks of others, and takes the token of its own', async () => {
    const site = await siteOn(medium)
    await site.fill({ '/mine': 'x', '/theirs': 'x' })
    const lock = { scope: 'exclusive', depth: 0, timeoutSeconds: 60 } as const
    await site.locks.take({ ...lock, path: toPath('/theirs'), principal: 'test:bob' })
    const { token } = await site.locks.take({ ...lock, path: toPath('/mine'), principal: 'test:alice' })
    const headers = { if: `(<${token}>)` }
    expect((await post(site, '', { path: '/theirs', size: 1 }, { headers })).status).toBe(423)
    expect((await post(site, '', { path: '/mine', size: 1 })).status).toBe(423)
    const begun = await post(site, '', { path: '/mine', size: 1 }, { headers })
    const { id } = JSON.parse(begun.text) as Begun
    await put(site, id, 1, Buffer.from('y'))
    expect((await post(site, `/${id}/complete`, {})).status).toBe(423)
    expect((await post(site, `/${id}/complete`, {}, { headers: { 'lock-token': `<${token}>` } })).status).toBe(200)
  })

  it('holds an empty file, and one whose size nobody knows', async () => {
    const site = await siteOn(medium)
    const empty = await begin(site, { path: '/empty', size: 0 })
    await put(site, empty.id, 1, Buffer.alloc(0), { headers: { 'content-length': '0' } })
    expect((await post(site, `/${empty.id}/complete`, {})).status).toBe(201)
    const { id } = await begin(site, { path: '/unknown', partSize: 5 * mebibyte })
    await put(site, id, 1, parts[1])
    await put(site, id, 3, Buffer.from('end'))
    expect((await post(site, `/${id}/complete`, {})).status).toBe(409)
    await put(site, id, 2, Buffer.from('middle'))
    expect((await post(site, `/${id}/complete`, {})).status).toBe(201)
    expect((await site.store.stat(toPath('/unknown')))?.size).toBe(parts[1].length + 9)
  })
})

it('has no part that does not fit through the door before the server', async () => {
  const site = await siteOn('memory', 4 * mebibyte)
  expect(await begin(site, { path: '/f', size: file.length })).toMatchObject({ partSize: 4 * mebibyte, parts: 3 })
})
