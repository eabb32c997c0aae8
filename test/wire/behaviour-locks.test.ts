import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { freshFile, freshFolder, lock, lockInfo, propfind, proppatch, tokenOf } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('LOCK and UNLOCK', () => {
  it('makes an empty file under a new name', async () => {
    const { path, disk } = await freshFolder(server)
    const answer = await server.request('LOCK', `${path}/new`, { headers: { Depth: '0' }, body: lockInfo() })
    expect(answer.status).toBe(201)
    const read = await server.request('GET', `${path}/new`)
    expect([read.status, read.text, (await stat(join(disk, 'new'))).size]).toEqual([200, '', 0])
  })

  it('gives an unguessable absolute URI, keeps the owner and bounds the time', async () => {
    const { path } = await freshFile(server)
    const owner = '<D:href>mailto:ejw@example.org</D:href>'
    const answer = await server.request('LOCK', path, {
      headers: { Depth: '0', Timeout: 'Infinite, Second-4100000000' },
      body: lockInfo({ owner }),
    })
    expect(answer.status).toBe(200)
    expect(tokenOf(answer)).toMatch(/^(?:urn:uuid:|opaquelocktoken:)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect(answer.text).toContain('mailto:ejw@example.org')
    expect(answer.text).toMatch(/<(?:\w+:)?lockroot>\s*<(?:\w+:)?href>[^<]*\/f\.txt</)
    const seconds = Number(/Second-(\d+)/.exec(answer.text)?.[1])
    expect(seconds).toBeGreaterThanOrEqual(180)
    expect(seconds).toBeLessThanOrEqual(30 * 24 * 3600)
    const found = await server.request('PROPFIND', path, { headers: { Depth: '0' }, body: propfind('lockdiscovery') })
    expect(found.text).toContain('mailto:ejw@example.org')
  })

  it('needs no owner, and no Depth', async () => {
    const { path } = await freshFolder(server)
    const answer = await server.request('LOCK', path, { body: lockInfo() })
    expect(answer.status).toBe(200)
    expect(answer.text).toMatch(/depth>infinity</)
  })

  it('refuses Depth: 1', async () => {
    const { path } = await freshFolder(server)
    expect((await server.request('LOCK', path, { headers: { Depth: '1' }, body: lockInfo() })).status).toBe(400)
  })

  it('names the lock in the body of a 423', async () => {
    const { path, disk } = await freshFile(server)
    await lock(server, path)
    const answer = await server.request('PUT', path, { body: 'x' })
    expect(answer.status).toBe(423)
    expect(answer.text).toMatch(/lock-token-submitted[^]*\/f\.txt</)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
    const again = await server.request('LOCK', path, { headers: { Depth: '0' }, body: lockInfo() })
    expect([again.status, again.text.includes('no-conflicting-lock')]).toEqual([423, true])
  })

  it('frees a lock only from within its scope', async () => {
    const first = await freshFile(server)
    const second = await freshFile(server)
    const token = await lock(server, first.path)
    const unlock = async (path: string, value: string) =>
      await server.request('UNLOCK', path, { headers: { 'Lock-Token': value } })
    const wrong = await unlock(second.path, `<${token}>`)
    expect([wrong.status, wrong.text.includes('lock-token-matches-request-uri')]).toEqual([409, true])
    expect((await server.request('PUT', first.path, { body: 'x' })).status).toBe(423)
    expect((await unlock(first.path, '<urn:uuid:00000000-0000-4000-8000-000000000000>')).status).toBe(409)
    expect((await server.request('UNLOCK', first.path)).status).toBe(400)
    expect((await unlock(first.path, token)).status).toBe(204)
    expect((await server.request('PUT', first.path, { body: 'x' })).status).toBe(204)
  })

  it('shares, and refuses an exclusive lock beside a shared one', async () => {
    const { path } = await freshFile(server)
    const first = await lock(server, path, { scope: 'shared' })
    const second = await lock(server, path, { scope: 'shared' })
    expect(first).not.toBe(second)
    expect((await server.request('LOCK', path, { headers: { Depth: '0' }, body: lockInfo() })).status).toBe(423)
  })

  it('protects a locked tree and its membership', async () => {
    const { path, disk } = await freshFolder(server)
    await writeFile(join(disk, 'member'), 'x')
    const token = await lock(server, path, { depth: 'infinity' })
    const statuses = async (headers: Record<string, string>) => [
      (await server.request('PUT', `${path}/member`, { body: 'y', headers })).status,
      (await server.request('PUT', `${path}/new`, { body: 'y', headers })).status,
      (await server.request('MKCOL', `${path}/sub`, { headers })).status,
      (await server.request('DELETE', `${path}/member`, { headers })).status,
    ]
    expect(await statuses({})).toEqual([423, 423, 423, 423])
    expect(await statuses({ If: `<${server.url}${path}> (<${token}>)` })).toEqual([204, 201, 201, 204])
  })

  it('refreshes', async () => {
    const { path } = await freshFile(server)
    const token = await lock(server, path)
    const answer = await server.request('LOCK', path, { headers: { If: `(<${token}>)`, Timeout: 'Second-900' } })
    expect(answer.status).toBe(200)
    expect(answer.text).toMatch(/Second-(900|89\d)/)
    const wrong = { headers: { If: '(<urn:uuid:00000000-0000-4000-8000-000000000000>)' } }
    expect((await server.request('LOCK', path, wrong)).status).toBe(412)
    expect((await server.request('LOCK', path)).status).toBe(400)
  })

  it('evaluates the whole If header', async () => {
    const { path } = await freshFile(server)
    const other = await freshFile(server)
    const token = await lock(server, path)
    const etag = (await server.request('HEAD', path)).header('etag')
    const patch = async (condition: string | readonly string[]) =>
      (await server.request('PROPPATCH', path, { headers: { If: condition }, body: proppatch('<Z:a/>') })).status
    expect(await patch(`(<${token}> [${etag}])`)).toBe(207)
    expect(await patch(`(<${token}> ["stale"])`)).toBe(412)
    expect(await patch(`(<${token}> ["stale"]) (Not <DAV:no-lock> <${token}>)`)).toBe(207)
    expect(await patch('(Not <DAV:no-lock>)')).toBe(423)
    expect(await patch(`<${other.path}> (Not <${token}>) <${path}> (<${token}>)`)).toBe(207)
    expect(await patch(`<${other.path}> (<${token}>)`)).toBe(412)
    expect(await patch([`(<${token}>)`, '(["never"])'])).toBe(207)
    for (const junk of ['(', '()', `<${token}>`, `(<${token}>`, `(${token})`, `(Not)`, `<> (<${token}>)`])
      expect([junk, await patch(junk)]).toEqual([junk, 400])
  })
})
