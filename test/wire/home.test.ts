import { existsSync } from 'node:fs'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'
import type { Caller, Server } from '../harness.js'
import type { Answer } from '../raw-http.js'

async function homes(more: object = {}, args: readonly string[] = []): Promise<Server> {
  const config = JSON.stringify({ identity: [{ catalog: { home: '/home/{user}' } }], ...more })
  const server = await startServer({ config, args })
  await mkdir(join(server.root, 'home/bob'), { recursive: true })
  await writeFile(join(server.root, 'home/bob/secret.txt'), 'of bob')
  await writeFile(join(server.root, 'top.txt'), 'at the top')
  return server
}

const own = 'rw:/home/{user}/**'

const sync = (token: string): string =>
  `<D:sync-collection xmlns:D="DAV:"><D:sync-token>${token}</D:sync-token><D:sync-level>infinite</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>`

const hrefs = (answer: Answer): readonly string[] =>
  [...answer.body.toString().matchAll(/<D:href>([^<]*)<\/D:href>/g)].map(([, href]) => href ?? '')

describe('whoever is at home cannot get out', () => {
  it('by a path', async () => {
    await using server = await homes()
    const alice = await server.addUser('alice', 'rw:/**')
    const targets = [
      '/home/bob/secret.txt',
      '/../bob/secret.txt',
      '/%2e%2e/bob/secret.txt',
      '/x/../../bob/secret.txt',
      '/..%2fbob/secret.txt',
      '//home/bob/secret.txt',
      '/top.txt',
      '/bob/secret.txt',
    ]
    for (const target of targets)
      for (const method of ['GET', 'PROPFIND', 'DELETE']) {
        const answer = await server.request(method, target, { as: alice })
        expect([400, 404]).toContain(answer.status)
        expect(answer.body.toString()).not.toContain('of bob')
      }
    expect(await readFile(join(server.root, 'home/bob/secret.txt'), 'utf8')).toBe('of bob')
  })

  it('by Destination, by If, by a lock token of a neighbour', async () => {
    await using server = await homes()
    const alice = await server.addUser('alice', own)
    const bob = await server.addUser('bob', own)
    await server.request('PUT', '/mine.txt', { as: alice, body: 'of alice' })
    for (const method of ['COPY', 'MOVE'])
      for (const to of ['/home/bob/x', '/../bob/x', '/%2e%2e/bob/x', '/-/x', `${server.url}/../bob/x`]) {
        const answer = await server.request(method, '/mine.txt', { as: alice, headers: { Destination: to } })
        expect([400, 403, 409]).toContain(answer.status)
      }
    expect(await server.request('GET', '/mine.txt', { as: alice })).toMatchObject({ status: 200 })
    for (const at of ['home/bob/x', 'home/alice/home', 'home/alice/-', '-', 'home/x'])
      expect(existsSync(join(server.root, at))).toBe(false)

    // Equal names, different files: the state of another home's file shows nowhere.
    await server.request('PUT', '/secret.txt', { as: alice, body: 'x' })
    const etag = (await server.request('HEAD', '/secret.txt', { as: bob })).header('etag')
    for (const resource of ['/secret.txt', '/home/bob/secret.txt', `${server.url}/home/bob/secret.txt`]) {
      const headers = { If: `<${resource}> ([${etag}])` }
      expect((await server.request('PUT', '/mine.txt', { as: alice, headers, body: 'y' })).status).toBe(412)
    }
    const lockinfo = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>' // prettier-ignore
    const token = (await server.request('LOCK', '/secret.txt', { as: bob, body: lockinfo })).header('lock-token')
    expect((await server.request('UNLOCK', '/secret.txt', { as: alice, headers: { 'Lock-Token': token } })).status).toBe(409) // prettier-ignore
    expect((await server.request('PUT', '/secret.txt', { as: alice, body: 'z' })).status).toBe(204)
    expect((await server.request('PUT', '/secret.txt', { as: bob, body: 'z' })).status).toBe(423)
  })

  it('by removing or moving the home itself', async () => {
    await using server = await homes()
    const alice = await server.addUser('alice', 'rw:/**')
    await server.request('PUT', '/f', { as: alice, body: 'x' })
    expect((await server.request('DELETE', '/', { as: alice })).status).toBe(403)
    expect((await server.request('MOVE', '/', { as: alice, headers: { Destination: '/x' } })).status).toBe(403)
    expect((await server.request('COPY', '/', { as: alice, headers: { Destination: '/x' } })).status).toBe(403)
    expect((await server.request('COPY', '/f', { as: alice, headers: { Destination: '/' } })).status).toBe(403)
    expect(await readFile(join(server.root, 'home/alice/f'), 'utf8')).toBe('x')
  })

  it('by a sync token of another, or a report of what is above', async () => {
    await using server = await homes()
    const alice = await server.addUser('alice', own)
    const bob = await server.addUser('bob', own)
    const told = await server.request('REPORT', '/', { as: bob, body: sync('') })
    expect(hrefs(told)).toEqual(['/secret.txt'])
    const token = /<D:sync-token>([^<]*)</.exec(told.body.toString())?.[1] ?? ''
    expect((await server.request('REPORT', '/', { as: alice, body: sync(token) })).status).toBe(403)
    expect((await server.request('REPORT', '/home', { as: alice, body: sync('') })).status).toBe(404)
    expect(hrefs(await server.request('REPORT', '/', { as: alice, body: sync('') }))).toEqual([])
  })

  it('by a link, unless it was put there and links count', async () => {
    for (const [symlinks, status] of [
      ['absent', 404],
      ['inside', 200],
    ] as const) {
      await using server = await homes({ symlinks })
      const alice = await server.addUser('alice', own)
      await mkdir(join(server.root, 'home/alice'))
      await symlink('../bob/secret.txt', join(server.root, 'home/alice/link'))
      await symlink('/etc/passwd', join(server.root, 'home/alice/outside'))
      expect((await server.request('GET', '/link', { as: alice })).status).toBe(status)
      expect((await server.request('GET', '/outside', { as: alice })).status).toBe(404)
    }
  })

  it('by a name that is none for a home', async () => {
    await using server = await startServer({ config: JSON.stringify({ identity: [{ catalog: { home: '/{user}' } }] }) })
    for (const name of ['-', '*'])
      expect((await server.request('GET', '/', { as: await server.addUser(name, 'rw:/**') })).status).toBe(401)
    expect(existsSync(join(server.root, '-'))).toBe(false)
  })

  it('and grants stay those of the whole namespace', async () => {
    await using server = await homes()
    const carol = await server.addUser('carol', 'rw:/carol/**', 'rw:/mine/**')
    expect((await server.request('PUT', '/mine', { as: carol, body: 'x' })).status).toBe(403)
    expect((await server.request('GET', '/', { as: carol })).status).toBe(403)
    expect(existsSync(join(server.root, 'home/carol'))).toBe(false)
    const reader = await server.addUser('reader', 'r:/home/reader/**')
    expect((await server.request('GET', '/', { as: reader })).status).toBe(404)
  })
})

describe('a home', () => {
  it('is made on first use, and shows in no name that the caller is given', async () => {
    await using server = await homes({ basePath: '/files' })
    const alice: Caller = await server.addUser('alice', own)
    expect(hrefs(await server.request('PROPFIND', '/files/', { as: alice, headers: { Depth: '1' } }))).toEqual(['/files/']) // prettier-ignore
    const made = await server.request('MKCOL', '/files/d', { as: alice })
    expect([made.status, made.header('location')]).toEqual([201, '/files/d/'])
    const put = await server.request('PUT', '/files/d/a%20b', { as: alice, body: 'x' })
    expect([put.status, put.header('location')]).toEqual([201, '/files/d/a%20b'])
    expect(await readFile(join(server.root, 'home/alice/d/a b'), 'utf8')).toBe('x')
    const copied = await server.request('COPY', '/files/d', { as: alice, headers: { Destination: '/files/e' } })
    expect([copied.status, copied.header('location')]).toEqual([201, '/files/e'])
    const listed = await server.request('PROPFIND', '/files/', { as: alice, headers: { Depth: 'infinity' } })
    expect([...hrefs(listed)].sort()).toEqual(['/files/', '/files/d/', '/files/d/a%20b', '/files/e/', '/files/e/a%20b'])
    const lockinfo = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>' // prettier-ignore
    const lock = await server.request('LOCK', '/files/d', { as: alice, body: lockinfo })
    expect(lock.body.toString()).toMatch(/<D:lockroot><D:href>\/files\/d\/?<\/D:href>/)
    const refused = await server.request('DELETE', '/files/d/a%20b', { as: alice })
    expect(refused.status).toBe(423)
    const answers = [listed, lock, refused, await server.request('REPORT', '/files/', { as: alice, body: sync('') })]
    for (const type of ['text/html', 'application/json', 'text/plain'])
      answers.push(await server.request('GET', '/files/d/', { as: alice, headers: { Accept: type } }))
    for (const { body, headers } of answers) expect(body.toString() + JSON.stringify(headers)).not.toContain('home')
    const principal = await server.request('PROPFIND', '/files/-/principals/alice', { as: alice })
    expect(principal.status).toBe(207)
  })

  it('works in two workers at once', async () => {
    await using server = await homes({}, ['--workers', '2'])
    const alice = await server.addUser('alice', own)
    const puts = Array.from({ length: 12 }, (_, at) => server.request('PUT', `/f${at}`, { as: alice, body: 'x' }))
    expect((await Promise.all(puts)).map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => 201))
  })

  it('can be another for one user, from the next request on, and the root for the admin', async () => {
    await using server = await homes()
    const alice = await server.addUser('alice', 'rw:/**')
    const bob = await server.addUser('bob', 'rw:/home/bob/**')
    const set = (name: string, home: string) =>
      server.cli(['user', 'home', name, home, '--json', '--config', server.configFile])
    const seen = async (as: Caller) => hrefs(await server.request('PROPFIND', '/', { as, headers: { Depth: '1' } })).slice(1) // prettier-ignore
    expect([await seen(alice), await seen(bob)]).toEqual([[], ['/secret.txt']])
    expect(JSON.parse((await set('alice', '/home')).stdout)).toMatchObject({ name: 'alice', home: '/home' })
    expect([...(await seen(alice))].sort()).toEqual(['/alice/', '/bob/'])
    await set('alice', '/')
    expect([...(await seen(alice))].sort()).toEqual(['/home/', '/top.txt'])
    await set('alice', 'none')
    expect(await seen(alice)).toEqual([])
    // A home gives no right.
    await set('bob', '/home/alice')
    expect((await server.request('PROPFIND', '/', { as: bob })).status).toBe(403)
    for (const wrong of ['home', '/../x', '/-/x', '']) expect((await set('bob', wrong)).code).not.toBe(0)
    expect((await server.request('GET', '/home/bob/secret.txt')).body.toString()).toBe('of bob')
  })
})
