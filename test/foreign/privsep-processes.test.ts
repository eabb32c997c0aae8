import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../harness.js'
import type { Part, ServerProcess } from '../privsep-server.js'
import { openPrivsepSite, privsepNeeds } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

const docs = fileURLToPath(new URL('../../docs/privsep.md', import.meta.url))

/** The table of docs/privsep.md that begins with `| process |`, by process and column. */
function documented(): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const lines = /^\| process \|[^]*?\n\n/m.exec(readFileSync(docs, 'utf8'))?.[0].trim().split('\n') ?? []
  const [columns = [], , ...rows] = lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
  return new Map(rows.map((row) => [row[0] ?? '', Object.fromEntries(row.map((cell, n) => [columns[n] ?? '', cell]))]))
}

/** Every thread of a process: the fields of its status. */
function threadsOf(pid: number): readonly Readonly<Record<string, string>>[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      const text = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
      return [Object.fromEntries([...text.matchAll(/^(\w+):\t(.*)$/gm)].map(([, name = '', value = '']) => [name, value.trim()]))] // prettier-ignore
    } catch {
      // A thread of the pool has ended.
      return []
    }
  })
}

/** Sockets of the network that a process has open. */
function networkSocketsOf(pid: number): readonly string[] {
  const known = new Set(
    ['tcp', 'tcp6', 'udp', 'udp6'].flatMap(
      (table) =>
      readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1).map((line) => `socket:[${line.trim().split(/\s+/)[9] ?? ''}]`), // prettier-ignore
    ),
  )
  return filesOf(pid).filter((target) => known.has(target))
}

function filesOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return []
    }
  })
}

const numbers = (text = ''): readonly number[] => (text === '' ? [] : text.split(/\s+/).map(Number))

describeForeign('the processes of a server', privsepNeeds, () => {
  let site: PrivsepSite

  beforeAll(async () => {
    site = await openPrivsepSite()
    const { alice, bob, ask } = site
    for (const user of [alice, bob]) expect((await ask(user, 'PUT', `/home/${user.name}/p`, { body: Buffer.alloc(200_000) })).status).toBe(201) // prettier-ignore
  })

  afterAll(() => site.dispose())

  const of = (part: Part): readonly ServerProcess[] => site.server.processes().filter((each) => each.part === part)

  it('are all there', () => {
    for (const part of ['broker', 'pam', 'auth', 'front'] as const) expect(of(part).length, part).toBeGreaterThan(0)
    expect(of('worker').map(({ uid }) => uid).sort()).toEqual([site.alice.uid, site.bob.uid].sort()) // prettier-ignore
  })

  it('may do what the documentation says, in each of their threads', () => {
    const table = documented()
    expect([...table.keys()].sort()).toEqual(['auth', 'broker', 'front', 'pam', 'worker'])
    const frontUid = of('front')[0]?.uid
    for (const { part, pid, uid } of site.server.processes()) {
      const row = table.get(part) ?? {}
      const threads = threadsOf(pid)
      expect(threads.length).toBeGreaterThan(0)
      for (const status of threads) {
        const at = `${part} ${pid} ${status.Name ?? ''}`
        const user = uid === site.alice.uid ? site.alice : site.bob
        const own = { root: 0, 'privsep.user': frontUid, 'the user': user.uid, 'privsep.authUser': uid }[row.Uid ?? '']
        expect(numbers(status.Uid), `${at} Uid`).toEqual([own, own, own, own])
        if (row.Uid !== 'root') {
          expect(own, at).not.toBe(0)
          expect(numbers(status.Gid), `${at} Gid`).not.toContain(0)
          expect(numbers(status.Groups), `${at} Groups`).not.toContain(0)
        }
        if (part === 'worker') {
          expect(new Set(numbers(status.Gid))).toEqual(new Set([user.gid]))
          const groups = execFileSync('id', ['-G', user.name], { encoding: 'utf8' }).trim().split(' ').map(Number)
          expect(new Set([...numbers(status.Groups), user.gid]), `${at} Groups`).toEqual(new Set(groups))
        }
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
          if (row[set] === 'none') expect(BigInt(`0x${status[set] ?? 'f'}`), `${at} ${set}`).toBe(0n)
        expect(status.NoNewPrivs, `${at} NoNewPrivs`).toBe(row.NoNewPrivs)
      }
      const sockets = networkSocketsOf(pid)
      if (row.network === 'no') expect(sockets, `${part} ${pid}`).toEqual([])
      if (row.network === 'yes') expect(sockets.length, part).toBeGreaterThan(0)
    }
    const uids = (['broker', 'auth', 'front'] as const).map((part) => of(part)[0]?.uid)
    expect(new Set(uids).size).toBe(3)
  })

  it('hold no file of a user when they are not asked for it, the broker and auth never', () => {
    for (const { part, pid } of site.server.processes()) {
      if (part === 'worker') continue
      expect(filesOf(pid).filter((target) => target.startsWith(site.root)), `${part} ${pid}`).toEqual([])
    } // prettier-ignore
  })

  it('carry nothing of the environment of root', () => {
    for (const { part, pid } of site.server.processes()) {
      if (part === 'broker') continue
      const names = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').map((line) => line.replace(/=.*/s, '')) // prettier-ignore
      expect(
        names.filter((name) => /^(?:NODE_|UV_|LD_|HOME$|USER$|SSH_|POSTERN_ADMIN)/.test(name)),
        part,
      ).toEqual([])
      expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/')
      expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(site.alice.password)
    }
  })

  it('cannot be looked into by the users that they are', async () => {
    const pid = site.server.workerOf(site.alice.uid) ?? 0
    const seen = await run('setpriv', [`--reuid=${site.alice.uid}`, `--regid=${site.alice.gid}`, '--clear-groups', 'sh', '-c', `cat /proc/${pid}/environ /proc/${pid}/maps; ls /proc/${pid}/fd`]) // prettier-ignore
    expect(seen.stdout).toBe('')
    expect(statSync(`/proc/${pid}/environ`).uid).toBe(0)
    expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/^Max core file size\s+0\s/m)
  })

  describe('meet where nobody else gets in', () => {
    it('by folders and sockets that no user can open', async () => {
      const { server, alice } = site
      for (const name of ['front/broker', 'auth/broker', 'door/auth', 'control']) {
        const path = join(server.runtime, name)
        expect(existsSync(path), name).toBe(true)
        const script = `require('net').connect(${JSON.stringify(path)}).on('connect', () => process.exit(0)).on('error', () => process.exit(1))`
        for (const uid of [alice.uid, of('front')[0]?.uid, of('auth')[0]?.uid]) {
          const isAllowed = (name === 'front/broker' && uid === of('front')[0]?.uid) || (name === 'auth/broker' && uid === of('auth')[0]?.uid) || (name === 'door/auth' && uid !== alice.uid) // prettier-ignore
          const gid = uid === alice.uid ? alice.gid : Number(/^Gid:\t(\d+)/m.exec(readFileSync(`/proc/${of(uid === of('front')[0]?.uid ? 'front' : 'auth')[0]?.pid ?? 0}/status`, 'utf8'))?.[1]) // prettier-ignore
          const done = await run('setpriv', [`--reuid=${uid ?? 0}`, `--regid=${gid}`, '--clear-groups', process.execPath, '-e', script], { cwd: '/' }) // prettier-ignore
          expect([name, uid, done.code], done.stderr).toEqual([name, uid, isAllowed ? 0 : 1])
        }
      }
    })

    it('and neither user nor front can read what auth keeps, nor auth and users what the front keeps', async () => {
      const { server, alice, folder } = site
      expect(folder).not.toBe('')
      const reads = async (uid = 0, path = ''): Promise<boolean> => (await run('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', 'ls', path])).code === 0 // prettier-ignore
      const records = join(server.state, '..', 'records')
      for (const path of [server.state, records]) expect(await reads(alice.uid, path), path).toBe(false)
      expect(await reads(of('front')[0]?.uid, server.state)).toBe(false)
      expect(await reads(of('auth')[0]?.uid, records)).toBe(false)
    })
  })

  it('a worker cannot become root again, whatever it runs', async () => {
    const { alice, folder, root } = site
    expect([folder, root]).not.toContain('')
    const pid = site.server.workerOf(alice.uid) ?? 0
    const status = threadsOf(pid)[0]
    // What has no_new_privs and no bounding set gains nothing from a program that is set-user-id.
    const tried = await run('setpriv', [`--reuid=${alice.uid}`, `--regid=${alice.gid}`, '--clear-groups', '--bounding-set=-all', '--inh-caps=-all', '--no-new-privs', 'sh', '-c', 'grep -E "NoNewPrivs|CapBnd" /proc/self/status; su -c id root < /dev/null; mount -t tmpfs none /mnt; chown root /tmp']) // prettier-ignore
    expect(tried.stdout).toContain(`NoNewPrivs:\t${status?.NoNewPrivs ?? ''}`)
    expect(tried.stdout).toContain(`CapBnd:\t${status?.CapBnd ?? ''}`)
    expect(tried.stdout).not.toContain('uid=0')
  })
})

describeForeign('a start', privsepNeeds, () => {
  it('is refused to an ordinary user, with what to do', async () => {
    const done = await run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, fileURLToPath(new URL('../../bin/postern.js', import.meta.url)), 'serve', '--privsep', '/tmp/pt-none', '--state', '/tmp/pt-none-state'], { cwd: '/' }) // prettier-ignore
    expect(done.code).not.toBe(0)
    expect(done.stderr).toMatch(/root/)
  })
})
