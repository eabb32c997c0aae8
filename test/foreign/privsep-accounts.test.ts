import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../harness.js'
import { system } from '../unix-users.js'
import type { UnixUser } from '../unix-users.js'
import { makeFile, openPrivsepSite, privsepNeeds, sitePassword } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

describeForeign('accounts of the system', [...privsepNeeds, 'program: chage', 'program: usermod'], () => {
  let site: PrivsepSite
  /** By role, with the same password each. */
  const user: Record<string, string> = {}

  beforeAll(async () => {
    site = await openPrivsepSite({
      catalog: 'catalog',
      prepare: ({ users, service }) => {
        for (const role of ['locked', 'gone', 'old', 'later', 'member']) user[role] = users.add(role, sitePassword)
        user.toor = users.add('toor', sitePassword, '-o', '-u', '0')
        user.wheel = users.add('wheel', sitePassword, '-g', '0')
        user.further = users.add('further', sitePassword, '-G', 'root')
        user.small = users.add('small', sitePassword, '-r')
        system('usermod', ['-L', user.locked ?? ''])
        system('chage', ['-E', '0', user.gone ?? ''])
        system('chage', ['-d', '0', user.old ?? ''])
        // Its modules let a name in that no account has.
        users.service('site', `auth sufficient pam_succeed_if.so quiet user = ${users.nameOf('ghost')}\nauth required pam_unix.so\naccount sufficient pam_succeed_if.so quiet user = ${users.nameOf('ghost')}\naccount required pam_unix.so\n`) // prettier-ignore
        expect(service).toContain('postern-')
      },
    })
  })

  afterAll(() => site.dispose())

  const get = (name = '', path = '/'): Promise<number> =>
    site.server.request('GET', path, { as: [name, sitePassword] }).then(({ status }) => status)

  /** Refusals in the broker's audit log. */
  const audited = (): string => site.server.stdout() + site.server.stderr()

  describe('act as nobody', () => {
    it.each(['locked', 'gone', 'old', 'toor'])('with a %s account, which is a login that fails', async (role) => {
      expect(await get(user[role])).toBe(401)
    })

    it.each([
      ['of the primary group 0', 'wheel', 'group-of-root'],
      ['with the further group 0', 'further', 'group-of-root'],
      ['below the least number', 'small', 'uid-below-minimum'],
    ])('%s, whatever PAM says', async (_what, role, why) => {
      const name = user[role] ?? ''
      expect([401, 403]).toContain(await get(name))
      await eventually('it is in the log', () => audited().split('\n').some((line) => line.includes(name) && line.includes(why))) // prettier-ignore
      expect(site.server.processes().filter(({ part }) => part === 'worker')).toEqual([])
    })

    it('whom PAM lets in without an account, and nothing falls over', async () => {
      const before = site.server.processes().filter(({ part }) => part !== 'pam')
      const ghost = site.users.nameOf('ghost')
      for (let n = 0; n < 3; n += 1) expect([401, 403]).toContain(await get(ghost))
      expect(site.server.processes().filter(({ part }) => part !== 'pam')).toEqual(before)
      expect((await site.ask(site.alice, 'GET', `/home/${site.alice.name}/own.txt`)).status).toBe(200)
    })
  })

  it('has all further groups, and a new one within the life of a login, a lost one too', async () => {
    const { alice, bob, server, ask } = site
    expect((await ask(alice, 'PUT', '/alices/x', { body: 'x' })).status).toBe(201)
    expect((await ask(bob, 'PUT', '/alices/y', { body: 'y' })).status).toBe(403)
    const group = site.users.nameOf('own')
    system('usermod', ['-aG', group, bob.name])
    expect((await server.cli(['sessions', 'close', bob.name])).code).toBe(0)
    expect((await ask(bob, 'PUT', '/alices/y', { body: 'y' })).status).toBe(201)
    system('gpasswd', ['-d', bob.name, group])
    expect((await server.cli(['sessions', 'close', bob.name])).code).toBe(0)
    expect((await ask(bob, 'PUT', '/alices/z', { body: 'z' })).status).toBe(403)
  })

  it('closed by an administrator, is out at once, even in the middle of what it reads', async () => {
    const { server } = site
    const later = user.later ?? ''
    expect(await get(later, '/all/')).toBe(200)
    system('usermod', ['-L', later])
    expect((await server.cli(['sessions', 'close', later])).code).toBe(0)
    expect(await get(later, '/all/')).toBe(401)
    const listed = await server.cli(['sessions'])
    expect(listed.stdout).not.toContain(later)
  })

  it('is listed while it works', async () => {
    const { alice, server, ask } = site
    expect((await ask(alice, 'GET', `/home/${alice.name}/own.txt`)).status).toBe(200)
    const listed = await server.cli(['sessions'])
    expect(listed.code, listed.stderr).toBe(0)
    expect(listed.stdout).toContain(alice.name)
    expect(listed.stdout).toContain(String(server.workerOf(alice.uid)))
  })

  it('is named by an account of another source, and without that there is no way in', async () => {
    const { server, alice } = site
    const made = await server.cli(['user', 'add', 'named', '--grant', 'rw:/**', '--unix-user', alice.name, '--password-stdin'], 'password of named\n') // prettier-ignore
    expect(made.code, made.stderr).toBe(0)
    const named = await server.request('GET', `/home/${alice.name}/own.txt`, { as: ['named', 'password of named'] })
    expect(named.text).toBe('of alice')
    const unnamed = await server.addUser('unnamed', 'rw:/**')
    const answer = await server.request('GET', `/home/${alice.name}/own.txt`, { as: unnamed })
    expect(answer.status).toBe(403)
    expect(answer.text).toMatch(/Unix user/)
    const root = await server.cli(['user', 'add', 'rooted', '--grant', 'rw:/**', '--unix-user', 'root', '--password-stdin'], 'password of rooted\n') // prettier-ignore
    if (root.code === 0)
      expect([401, 403]).toContain((await server.request('GET', '/', { as: ['rooted', 'password of rooted'] })).status)
  })
})

describeForeign('rules for accounts', privsepNeeds, () => {
  it('let in whoever is in an allowed group, and nobody else', async () => {
    let allowed: UnixUser | undefined
    const config: { privsep: { allowedGroups: string[] } } = { privsep: { allowedGroups: [] } }
    const site = await openPrivsepSite({
      config,
      prepare: ({ users, root }) => {
        const group = users.addGroup('may')
        config.privsep.allowedGroups.push(group)
        allowed = users.addWithHome(join(root, 'home'), 'carol', sitePassword, '-G', group)
        makeFile(join(allowed.home, 'c.txt'), allowed, 0o600, 'of carol')
        mkdirSync(join(root, 'x'))
      },
    })
    try {
      expect((await site.ask(allowed ?? null, 'GET', `/home/${allowed?.name ?? ''}/c.txt`)).text).toBe('of carol')
      expect([401, 403]).toContain((await site.ask(site.alice, 'GET', `/home/${site.alice.name}/own.txt`)).status)
      expect(readFileSync(join(site.alice.home, 'own.txt'), 'utf8')).toBe('of alice')
    } finally {
      await site.dispose()
    }
  })
})
