import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPrivsepSite } from '../foreign/privsep-site.js'
import type { PrivsepSite } from '../foreign/privsep-site.js'
import { eventually, format, namesBelow } from '../harness.js'
import { canStartAsOthers } from '../other-users.js'
import type { RawConnection } from '../raw-http.js'
import { system } from '../unix-users.js'
import type { UnixUser } from '../unix-users.js'

/** Too large for a message: half of it is in the file that is being made when half of it is sent. */
const half = Buffer.alloc(500_000, 'u')

interface Session {
  readonly user: string
  readonly pid: number
  readonly front: number
  readonly openFiles: number
}

describe.skipIf(!canStartAsOthers())('a server of several Unix users at work (for root only)', () => {
  let site: PrivsepSite
  let alice: UnixUser
  let bob: UnixUser
  /** Whom nobody logs in as. */
  let visitor: string

  beforeAll(async () => {
    site = await openPrivsepSite({
      config: { workers: 2, log: { level: 'debug' } },
      prepare: ({ users, folder }) => (visitor = users.addWithHome(folder, 'visitor', 'is never shown').name),
    })
    ;({ alice, bob } = site)
  })

  afterAll(() => site.dispose())

  const own = (user: UnixUser): Promise<number> =>
    site.ask(user, 'GET', `/home/${user.name}/`).then(({ status }) => status)

  const sessions = async (): Promise<readonly Session[]> =>
    JSON.parse((await site.server.cli(['sessions', '--json'])).stdout) as readonly Session[]

  const said = (): string => site.server.stdout() + site.server.stderr()

  /** An upload of which half has been sent. */
  async function beginUpload(user: UnixUser, name: string): Promise<RawConnection> {
    const connection = await site.server.connect()
    const headers = { 'Content-Length': String(half.length * 2) }
    await connection.send(format('PUT', `/home/${user.name}/${name}`, { as: [user.name, user.password], headers }, site.server.port)) // prettier-ignore
    await connection.send(half)
    await eventually('it is being written', () => readdirSync(user.home).some((each) => each.startsWith('.postern')))
    return connection
  }

  it('each of the front’s processes has a worker of its own for a user', async () => {
    await eventually('both have served her', async () => {
      expect(await own(alice)).toBe(200)
      return new Set((await sessions()).map(({ front }) => front)).size === 2
    })
    expect((await sessions()).map(({ user }) => user)).toEqual([alice.name, alice.name])
  })

  it('a worker that is killed while it does nothing is not missed', async () => {
    expect(await own(bob)).toBe(200)
    for (const { user, pid } of await sessions()) if (user === bob.name) process.kill(pid, 'SIGKILL')
    await eventually('it is gone', async () => (await sessions()).every(({ user }) => user !== bob.name))
    expect(await own(bob)).toBe(200)
  })

  describe('sessions', () => {
    it('show who is at work, and end what is under way of one user alone', async () => {
      const [ofAlice, ofBob] = [await beginUpload(alice, 'cut'), await beginUpload(bob, 'whole')]
      const listed = await sessions()
      expect(new Set(listed.map(({ user }) => user))).toEqual(new Set([alice.name, bob.name]))
      const closed = await site.server.cli(['sessions', 'close', alice.name])
      expect(closed.stdout).toMatch(new RegExp(`^Ended \\d process(?:es)? of ${alice.name}\\.$`, 'm'))
      const cut = ofAlice.answer({ deadlineMs: 20_000 }).then(({ status }) => status, () => 'closed' as const) // prettier-ignore
      void ofAlice.trySend(half)
      expect([503, 'closed']).toContain(await cut)
      await ofBob.send(half)
      expect((await ofBob.answer({ deadlineMs: 20_000 })).status).toBe(201)
      for (const connection of [ofAlice, ofBob]) connection.destroy()
      expect(readFileSync(join(bob.home, 'whole')).length).toBe(half.length * 2)
      // With a new proof she is let in, and what she began is not there.
      expect(await own(alice)).toBe(200)
      await eventually('nothing half-done is left', async () => (await namesBelow(alice.home)).join() === 'own.txt', 20_000) // prettier-ignore
    })

    it('of nobody are closed with a word', async () => {
      expect((await site.server.cli(['sessions', 'close', 'nobody-there'])).stdout).toContain('No process of nobody-there') // prettier-ignore
    })
  })

  it('an account that has expired is out when its session is closed, and in again when it holds again', async () => {
    expect(await own(bob)).toBe(200)
    system('usermod', ['--expiredate', '1', bob.name])
    expect((await site.server.cli(['sessions', 'close', bob.name])).code).toBe(0)
    expect([401, 403]).toContain(await own(bob))
    expect(await own(alice)).toBe(200)
    system('usermod', ['--expiredate', '', bob.name])
    expect(await own(bob)).toBe(200)
  })

  describe('a changed configuration', () => {
    const change = (more: Readonly<Record<string, unknown>>): void => {
      const { configFile, pid } = site.server
      const config = JSON.parse(readFileSync(configFile, 'utf8')) as { privsep: object }
      writeFileSync(`${configFile}.new`, JSON.stringify({ ...config, ...more, privsep: { ...config.privsep, ...(more.privsep as object | undefined) } })) // prettier-ignore
      renameSync(`${configFile}.new`, configFile)
      process.kill(pid, 'SIGHUP')
    }

    it('counts at once for identities and the network, with the processes that there are', async () => {
      const before = site.server.processes().filter(({ part }) => part !== 'pam' && part !== 'worker')
      change({ basicRealm: 'another realm', anonymous: { grants: ['r:/all/**'], unixUser: visitor } })
      const challenge = async (): Promise<string> => (await site.ask(null, 'GET', '/home/')).header('www-authenticate')
      await eventually('the realm is the new one', async () => (await challenge()).includes('another realm'))
      // By each of the processes.
      for (let n = 0; n < 6; n += 1) expect((await site.ask(null, 'GET', '/all/')).status).toBe(200)
      expect((await sessions()).map(({ user }) => user)).toContain(visitor)
      expect(site.server.processes().filter(({ part }) => part !== 'pam' && part !== 'worker')).toEqual(before)
    })

    it('waits for the next start in what the broker does, and that is said', async () => {
      change({ privsep: { minimumUid: 60_000 } })
      await eventually('it is said', () => /takes effect at the next start: [^"]*privsep/.test(said()))
      expect((await site.server.cli(['sessions', 'close', alice.name])).code).toBe(0)
      expect(await own(alice)).toBe(200)
      change({ privsep: { minimumUid: 1000 } })
    })

    it('that is wrong is named by key and line, and what was served goes on', async () => {
      change({ basicRealm: 7 })
      await eventually('it is said', () => /postern\.yaml:1: basicRealm:/.test(said()))
      expect((await site.ask(null, 'GET', '/home/')).header('www-authenticate')).toContain('another realm')
      change({ basicRealm: 'another realm' })
    })
  })

  it('ends in order while an upload goes on and a process stands still: nobody is left, and the next start works', async () => {
    const { server } = site
    for (const user of [alice, bob]) expect(await own(user)).toBe(200)
    const connection = await beginUpload(alice, 'to-the-end')
    const stopped = server.workerOf(bob.uid) ?? 0
    process.kill(stopped, 'SIGSTOP')
    const all = server.processes().map(({ pid }) => pid)
    expect(all.length).toBeGreaterThan(5)
    const ended = server.stop()
    await eventually('nobody new is let in', async () => (await server.connect().then((one) => (one.destroy(), 'in'), () => 'out')) === 'out') // prettier-ignore
    await connection.send(half)
    expect((await connection.answer({ deadlineMs: 20_000 })).status).toBe(201)
    connection.destroy()
    expect(await ended).toBe(0)
    expect(all.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
    expect(existsSync(server.runtime)).toBe(false)
    expect(readFileSync(join(alice.home, 'to-the-end')).length).toBe(half.length * 2)
    await server.restart()
    for (const user of [alice, bob]) expect(await own(user)).toBe(200)
  })

  it('has never logged a ticket', () => {
    expect(said()).not.toMatch(/v1\.[\w-]{20,}\.[\w-]{43}/)
  })
})
