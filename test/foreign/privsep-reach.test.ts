import { linkSync, lstatSync, mkdirSync, readFileSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { system } from '../unix-users.js'
import type { UnixUser } from '../unix-users.js'
import { clientEnvironment, issueKey } from './s3-site.js'
import type { S3Key } from './s3-site.js'
import { makeFile, openPrivsepSite, privsepNeeds } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

const refused: readonly number[] = [403, 404, 405, 409, 423]
const property = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x:colour xmlns:x="urn:x">COLOUR</x:colour></D:prop></D:set></D:propertyupdate>' // prettier-ignore
const lockInfo = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>' // prettier-ignore

describeForeign('one user and the files of another', [...privsepNeeds, 'program: setfacl', 'program: aws'], () => {
  let site: PrivsepSite
  let alice: UnixUser
  let bob: UnixUser
  /** Of each, by name. */
  const keys = new Map<string, S3Key>()

  beforeAll(async () => {
    site = await openPrivsepSite()
    ;({ alice, bob } = site)
    for (const { name } of [alice, bob]) keys.set(name, await issueKey(site.server, name, 'rw:/**'))
  })

  afterAll(() => site.dispose())

  /** Every way to a file that a user might try; none of the answers may show or change it. */
  async function tryAll(user: UnixUser, path: string, content: string): Promise<void> {
    const folder = path.replace(/[^/]+$/, '')
    const headers = { Destination: `${site.server.url}/home/${user.name}/stolen` }
    const ways: readonly (readonly [string, string, Parameters<PrivsepSite['ask']>[3]?])[] = [
      ['GET', path],
      ['GET', path, { headers: { Range: 'bytes=0-3' } }],
      ['COPY', path, { headers }],
      ['MOVE', path, { headers }],
      ['DELETE', path],
      ['PUT', path, { body: 'overwritten' }],
      ['PUT', `${path}.new`, { body: 'new' }],
      ['PATCH', path, { headers: { 'Content-Type': 'application/x-sabredav-partialupdate', 'X-Update-Range': 'append' }, body: 'more' }], // prettier-ignore
      ['MKCOL', `${folder}made/`],
      ['LOCK', path, { body: lockInfo }],
      ['LOCK', `${folder}reserved`, { body: lockInfo }],
      ['PROPPATCH', path, { body: property }],
      ['GET', folder, { headers: { Accept: 'application/json' } }],
      ['PROPFIND', folder, { headers: { Depth: 'infinity' } }],
    ]
    for (const [method, target, options] of ways) {
      const answer = await site.ask(user, method, target, options)
      expect(answer.text, `${method} ${target}`).not.toContain(content)
      if (method === 'PROPFIND') {
        // The folder itself can be seen in its parent; what is in it cannot.
        expect(answer.text).not.toContain(path.slice(folder.length))
        continue
      }
      expect(refused.includes(answer.status), `${method} ${target}: ${answer.status} ${answer.text}`).toBe(true)
    }
    const key = keys.get(user.name)
    if (key === undefined) throw new Error(`${user.name} has no key`)
    const aws = (...args: readonly string[]) => run('aws', ['--endpoint-url', site.server.url, 's3api', ...args], { env: clientEnvironment(site.folder, key) }) // prettier-ignore
    const [, bucket = '', name = ''] = /^\/([^/]+)\/(.+)$/.exec(path) ?? []
    const object = ['--bucket', bucket, '--key', name]
    expect((await aws('get-object', ...object, join(site.folder, 'stolen'))).code).not.toBe(0)
    expect((await aws('put-object', ...object, '--body', '/etc/hostname')).code).not.toBe(0)
    expect((await aws('copy-object', '--bucket', 'home', '--key', `${user.name}/stolen`, '--copy-source', path.slice(1))).code).not.toBe(0) // prettier-ignore
    await aws('delete-object', ...object)
    const inHome = await site.ask(user, 'GET', `/home/${user.name}/stolen`)
    expect(inHome.status).toBe(404)
  }

  const file = (...parts: readonly string[]): string => join(site.root, ...parts)

  it('in a home of mode 0700: nothing of it shows, nothing of it changes', async () => {
    const secret = file('home', bob.name, 'secret.txt')
    await tryAll(alice, `/home/${bob.name}/secret.txt`, 'secret of bob')
    expect(readFileSync(secret, 'utf8')).toBe('secret of bob')
    expect((await site.ask(bob, 'GET', `/home/${bob.name}/secret.txt`)).text).toBe('secret of bob')
    // What she tried has kept nothing from bob either.
    expect((await site.ask(bob, 'PUT', `/home/${bob.name}/reserved`, { body: 'x' })).status).toBe(201)
  })

  it('in a folder of a group that is not the other’s', async () => {
    makeFile(file('alices/plan.txt'), alice, 0o660, 'plan of alice')
    await tryAll(bob, '/alices/plan.txt', 'plan of alice')
    expect(readFileSync(file('alices/plan.txt'), 'utf8')).toBe('plan of alice')
    expect((await site.ask(alice, 'GET', '/alices/plan.txt')).text).toBe('plan of alice')
  })

  it('where an access control list says no, and where it says yes', async () => {
    makeFile(file('all/acl.txt'), bob, 0o666, 'by the list')
    system('setfacl', ['-m', `u:${alice.name}:---`, file('all/acl.txt')])
    expect((await site.ask(alice, 'GET', '/all/acl.txt')).status).toBe(403)
    expect((await site.ask(alice, 'PROPPATCH', '/all/acl.txt', { body: property })).status).toBe(403)
    expect((await site.ask(alice, 'LOCK', '/all/acl.txt', { body: lockInfo })).status).toBe(403)
    makeFile(file('all/given.txt'), bob, 0o600, 'given by the list')
    system('setfacl', ['-m', `u:${alice.name}:r--`, file('all/given.txt')])
    expect((await site.ask(alice, 'GET', '/all/given.txt')).text).toBe('given by the list')
    expect((await site.ask(alice, 'PROPPATCH', '/all/given.txt', { body: property })).status).toBe(403)
  })

  it('by a symbolic link into the home of the other', async () => {
    for (const [name, target] of [
      ['link.txt', `../${bob.name}/secret.txt`],
      ['link', `../${bob.name}`],
      ['away', '/etc'],
    ] as const)
      // prettier-ignore
      symlinkSync(target, file('home', alice.name, name))
    for (const target of ['link.txt', 'link/secret.txt', 'link/', 'away/passwd']) {
      for (const method of ['GET', 'PROPFIND', 'DELETE', 'PROPPATCH', 'LOCK']) {
        if (method === 'DELETE' && !target.includes('/')) continue
        const body = method === 'LOCK' ? lockInfo : method === 'PROPPATCH' ? property : undefined
        const answer = await site.ask(alice, method, `/home/${alice.name}/${target}`, { headers: { Depth: '0' }, ...(body !== undefined && { body }) }) // prettier-ignore
        expect(refused.includes(answer.status), `${method} ${target}: ${answer.status}`).toBe(true)
        expect(answer.text).not.toMatch(/secret of bob|root:x/)
      }
      const put = await site.ask(alice, 'PUT', `/home/${alice.name}/${target.replace(/\/$/, '')}`, { body: 'overwritten' }) // prettier-ignore
      expect(refused.includes(put.status), `PUT ${target}: ${put.status}`).toBe(true)
    }
    expect(readFileSync(file('home', bob.name, 'secret.txt'), 'utf8')).toBe('secret of bob')
  })

  it('by a hard link: it opens for whom the file itself opens', async () => {
    makeFile(file('home', bob.name, 'linked.txt'), bob, 0o600, 'linked by root')
    linkSync(file('home', bob.name, 'linked.txt'), file('home', alice.name, 'hard.txt'))
    const path = `/home/${alice.name}/hard.txt`
    expect((await site.ask(alice, 'GET', path)).status).toBe(403)
    expect((await site.ask(bob, 'PROPPATCH', `/home/${bob.name}/linked.txt`, { body: property })).status).toBe(207)
    expect((await site.ask(alice, 'PROPFIND', path, { headers: { Depth: '0' } })).text).not.toContain('COLOUR')
    // In her own folder the name is hers: a new file stands there then, and bob's is as it was.
    expect((await site.ask(alice, 'PUT', path, { body: 'hers' })).status).toBe(204)
    expect(readFileSync(file('home', bob.name, 'linked.txt'), 'utf8')).toBe('linked by root')
    expect(lstatSync(file('home', alice.name, 'hard.txt')).uid).toBe(alice.uid)
  })

  it('while names change under the request: what comes is hers, or nothing', async () => {
    const [here, there] = [file('home', alice.name, 'race'), file('home', alice.name, 'race-aside')]
    mkdirSync(here)
    makeFile(join(here, 'secret.txt'), alice, 0o600, 'race of alice')
    const stop = { now: false }
    const swapping = (async () => {
      while (!stop.now) {
        renameSync(here, there)
        symlinkSync(`../${bob.name}`, here)
        await new Promise((resolve) => setImmediate(resolve))
        system('rm', [here])
        renameSync(there, here)
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const seen = new Set<string>()
    for (let n = 0; n < 150; n += 1) {
      const answers: readonly Answer[] = await Promise.all([
        site.ask(alice, 'GET', `/home/${alice.name}/race/secret.txt`),
        site.ask(alice, 'PUT', `/home/${alice.name}/race/secret.txt`, { body: 'race of alice' }),
        site.ask(alice, 'COPY', `/home/${alice.name}/own.txt`, { headers: { Destination: `${site.server.url}/home/${alice.name}/race/copied.txt` } }), // prettier-ignore
      ])
      if (answers[0]?.status === 200) seen.add(answers[0].text)
    }
    stop.now = true
    await swapping
    expect([...seen].filter((text) => text !== 'race of alice')).toEqual([])
    expect(readFileSync(file('home', bob.name, 'secret.txt'), 'utf8')).toBe('secret of bob')
    expect(() => lstatSync(file('home', bob.name, 'copied.txt'))).toThrow()
  })

  describe('in a folder that may be walked but not listed', () => {
    it('shows that a file is there, and neither what is in it nor what was noted of it', async () => {
      expect((await site.ask(bob, 'PROPPATCH', '/bobs/private.txt', { body: property })).status).toBe(207)
      const known = await site.ask(alice, 'PROPFIND', '/bobs/private.txt', { headers: { Depth: '0' } })
      expect(known.status).toBe(207)
      expect(known.text).toContain('getcontentlength')
      expect(known.text).not.toContain('COLOUR')
      const own = await site.ask(bob, 'PROPFIND', '/bobs/private.txt', { headers: { Depth: '0' } })
      expect(own.text).toContain('COLOUR')
      for (const [method, body] of [
        ['GET'],
        ['PROPPATCH', property],
        ['LOCK', lockInfo],
        ['PUT', 'x'],
        ['DELETE'],
      ] as const)
        // prettier-ignore
        expect((await site.ask(alice, method, '/bobs/private.txt', body === undefined ? {} : { body })).status).toBe(403)
      expect((await site.ask(alice, 'PROPFIND', '/bobs/', { headers: { Depth: '1' } })).text).not.toContain('private.txt') // prettier-ignore
      expect((await site.ask(alice, 'GET', '/bobs/open.txt')).text).toBe('open of bob')
    })

    it('tells of the privileges that the kernel gives', async () => {
      const body = '<D:propfind xmlns:D="DAV:"><D:prop><D:current-user-privilege-set/></D:prop></D:propfind>'
      const told = async (user: UnixUser, path: string): Promise<readonly string[]> =>
        [...(await site.ask(user, 'PROPFIND', path, { headers: { Depth: '0' }, body })).text.matchAll(/<D:privilege><D:([\w-]+)\/>/g)].map(([, name]) => name ?? '') // prettier-ignore
      expect(await told(alice, '/bobs/private.txt')).toEqual([])
      expect(await told(alice, '/bobs/open.txt')).toEqual(['read', 'read-current-user-privilege-set'])
      expect(await told(bob, '/bobs/open.txt')).toContain('write')
      expect(await told(alice, '/team/')).toEqual(expect.arrayContaining(['read', 'bind', 'unbind']))
      expect(await told(alice, '/bobs/')).not.toContain('bind')
    })
  })

  it('locks of one hold for the other where both may write, and only their owner gives them back', async () => {
    expect((await site.ask(alice, 'PUT', '/team/locked.txt', { body: 'one' })).status).toBe(201)
    system('chmod', ['664', file('team/locked.txt')])
    const lock = await site.ask(alice, 'LOCK', '/team/locked.txt', { body: lockInfo })
    const token = lock.header('lock-token')
    expect((await site.ask(bob, 'PUT', '/team/locked.txt', { body: 'two' })).status).toBe(423)
    expect((await site.ask(bob, 'PUT', '/team/locked.txt', { body: 'two', headers: { If: `(${token})` } })).status).toBe(423) // prettier-ignore
    expect([403, 409, 423]).toContain((await site.ask(bob, 'UNLOCK', '/team/locked.txt', { headers: { 'Lock-Token': token } })).status) // prettier-ignore
    expect((await site.ask(alice, 'UNLOCK', '/team/locked.txt', { headers: { 'Lock-Token': token } })).status).toBe(204)
    expect((await site.ask(bob, 'PUT', '/team/locked.txt', { body: 'two' })).status).toBe(204)
  })
})

describeForeign('a directory for each user', privsepNeeds, () => {
  let site: PrivsepSite

  beforeAll(async () => {
    site = await openPrivsepSite({ config: { mounts: [{ path: '/homes', local: '{home}', privsep: true }] } })
  })

  afterAll(() => site.dispose())

  it('is what they see, and that of another is not there', async () => {
    const { alice, bob, ask } = site
    expect((await ask(alice, 'GET', '/own.txt')).text).toBe('of alice')
    for (const path of [
      `/homes/${bob.name}/secret.txt`,
      `/${bob.name}/secret.txt`,
      '/secret.txt',
      `/../${bob.name}/secret.txt`,
    ]) {
      // prettier-ignore
      const answer = await ask(alice, 'GET', path)
      expect([400, 403, 404]).toContain(answer.status)
      expect(answer.text).not.toContain('secret of bob')
    }
    expect((await ask(bob, 'GET', '/secret.txt')).text).toBe('secret of bob')
  })

  it('keeps their locks and properties apart, though the paths that they write are the same', async () => {
    const { alice, bob, ask } = site
    for (const user of [alice, bob]) expect((await ask(user, 'PUT', '/same.txt', { body: user.name })).status).toBe(201)
    expect((await ask(alice, 'LOCK', '/same.txt', { body: lockInfo })).status).toBe(200)
    expect((await ask(alice, 'PROPPATCH', '/same.txt', { body: property })).status).toBe(423)
    expect((await ask(bob, 'PUT', '/same.txt', { body: 'again' })).status).toBe(204)
    expect((await ask(bob, 'PROPPATCH', '/same.txt', { body: property })).status).toBe(207)
    expect((await ask(alice, 'PROPFIND', '/same.txt', { headers: { Depth: '0' } })).text).not.toContain('COLOUR')
    expect((await ask(bob, 'PROPFIND', '/same.txt', { headers: { Depth: '0' } })).text).not.toContain('activelock')
  })
})
