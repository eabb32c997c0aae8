import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, run, startServer } from '../harness.js'
import type { Server } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { system, UnixUsers } from '../unix-users.js'
import { describeForeign } from './tools.js'

const docs = fileURLToPath(new URL('../../docs/identity.md', import.meta.url))
const unixStack = 'auth required pam_unix.so\naccount required pam_unix.so\n'
const password = 'correct horse: battery stäple'

describeForeign('logins by PAM', ['right: root', 'program: useradd', 'program: chage', 'program: chpasswd'], () => {
  const users = new UnixUsers()
  const scripts: string[] = []
  let server: Server
  let service: string
  let log: string
  /** By role, with the same password each. */
  const user: Record<string, string> = {}

  beforeAll(async () => {
    service = users.service('main', unixStack)
    const banned = users.addGroup('banned')
    for (const role of ['alice', 'bob', 'locked', 'unlocked', 'gone', 'old', 'moved', 'health', 'empty'])
      user[role] = users.add(role, password)
    user.denied = users.add('denied', password, '-G', banned)
    user.small = users.add('small', password, '-r')
    user.root = users.add('toor', password, '-o', '-u', '0')
    system('usermod', ['-L', user.locked ?? ''])
    system('chage', ['-E', '0', user.gone ?? ''])
    system('chage', ['-d', '0', user.old ?? ''])
    system('passwd', ['-d', user.empty ?? ''])
    server = await startServer({
      config: [
        'trustedProxies: ["127.0.0.1/32"]',
        'identity:',
        '  - catalog',
        `  - pam: { service: ${service}, deniedGroups: [${banned}], timeoutSeconds: 2, grants: ["rw:/home/{user}/**"] }`,
      ].join('\n'),
    })
    for (const role of ['alice', 'bob', 'moved', 'unlocked'])
      await mkdir(join(server.root, 'home', user[role] ?? ''), { recursive: true })
  })

  afterAll(async () => {
    try {
      log = server.stderr()
      await server[Symbol.asyncDispose]()
    } finally {
      users.cleanUp()
      for (const script of scripts) rmSync(script, { force: true })
    }
    // Not even a part of it, in any form that it had on its way.
    for (const secret of [password, 'battery stäple', Buffer.from(password).toString('base64').slice(0, 20), '$6$'])
      expect(log).not.toContain(secret)
  })

  let clients = 0
  let lastAddress = ''
  /** Each from an address of its own, or the throttle would answer. */
  const get = async (name: string, secret = password, address?: string): Promise<Answer> => {
    clients += 1
    const from = address ?? `198.51.${100 + (clients >> 8)}.${clients & 255}`
    lastAddress = from
    const headers = { 'X-Forwarded-For': from }
    return await server.request('GET', `/home/${name}/`, { as: [name, secret], headers })
  }

  /** Why the last login was refused, by the name, as the log has it. */
  const why = async (name: string): Promise<string | undefined> => {
    const address = lastAddress
    const found = (): string | undefined =>
      events(server).find((event) => event.event === 'login-failed' && event.name === name && event.address === address)
        ?.why
    await eventually(`a line about ${name}`, () => found() !== undefined)
    return found()
  }

  const script = (content: string): string => {
    const path = join(tmpdir(), `postern-pam-${process.pid}-${scripts.length}`)
    scripts.push(path)
    writeFileSync(path, `#!/bin/sh\n${content}\n`)
    chmodSync(path, 0o755)
    return path
  }

  describe('are refused', () => {
    it.each([
      ['a wrong password', 'bob', 'wrong', 'wrong-password'],
      ['a password with a tail', 'bob', `${password}x`, 'wrong-password'],
      ['an empty password', 'bob', '', 'no-possible-password'],
      ['an empty password that is the right one', 'empty', '', 'no-possible-password'],
      ['any password of a user who has none', 'empty', 'x', 'wrong-password'],
      ['a locked account', 'locked', password, 'locked'],
      ['an expired account', 'gone', password, 'account-expired'],
      ['an expired password', 'old', password, 'password-expired'],
      ['a member of a denied group', 'denied', password, 'denied-group'],
      ['a user id below the minimum', 'small', password, 'uid-below-minimum'],
      ['the user id 0 under another name', 'root', password, 'root'],
    ])('for %s', async (_what, role, secret, reason) => {
      const name = user[role] ?? ''
      const answer = await get(name, secret)
      expect(answer.status).toBe(401)
      expect(await why(name)).toBe(reason)
    })

    it('for names that nobody has, and root itself', async () => {
      expect((await get('root')).status).toBe(401)
      expect(await why('root')).toBe('root')
      const nobody = users.nameOf('ghost')
      expect((await get(nobody)).status).toBe(401)
      expect(await why(nobody)).toBe('unknown-name')
      const shouted = (user.alice ?? '').toUpperCase()
      expect((await get(shouted)).status).toBe(401)
      expect(await why(shouted)).toBe('unknown-name')
    })

    it('all in the same way, and after the same time, though their reasons are found at different times', async () => {
      const slow = `auth optional pam_exec.so quiet ${script('exec sleep 0.2')}\n`
      users.service(
        'main',
        `auth requisite pam_localuser.so\nauth requisite pam_succeed_if.so uid >= 1000\n${slow}${unixStack}`,
      )
      const kinds = { wrong: 'alice', locked: 'locked', denied: 'denied', root: 'root', small: 'small', expired: 'gone', ghost: 'ghost' } // prettier-ignore
      const answers = new Set<string>()
      const times = new Map<string, number[]>()
      for (let round = 0; round < 5; round += 1)
        for (const [kind, role] of Object.entries(kinds)) {
          const begun = performance.now()
          const answer = await get(user[role] ?? users.nameOf('ghost'), kind === 'wrong' ? 'wrong' : password)
          times.set(kind, [...(times.get(kind) ?? []), performance.now() - begun])
          const headers = [...answer.headers].filter(([name]) => name !== 'date' && name !== 'x-request-id')
          answers.add(JSON.stringify([answer.status, headers, answer.text.replaceAll(/[0-9a-f-]{36}/g, 'ID')]))
        }
      expect([...answers]).toHaveLength(1)
      users.service('main', unixStack)
      // What this machine does beside it makes some of them later, none sooner.
      const soonest = [...times.values()].map((all) => Math.min(...all))
      expect(Math.min(...soonest)).toBeGreaterThan(295)
      expect(Math.max(...soonest) - Math.min(...soonest), JSON.stringify([...times])).toBeLessThan(100)
    })
  })

  describe('of those who may', () => {
    it('lead to their own files only', async () => {
      const alice = user.alice ?? ''
      const as = [alice, password] as const
      expect((await get(alice)).status).toBe(200)
      expect((await server.request('PUT', `/home/${alice}/a.txt`, { as, body: 'hello' })).status).toBe(201)
      expect((await server.request('GET', `/home/${user.bob ?? ''}/`, { as })).status).toBe(403)
      expect((await server.request('GET', '/', { as: ['admin', server.adminPassword] })).status).toBe(200)
    })

    it('are remembered, until the account changes', async () => {
      const name = user.unlocked ?? ''
      const from = '203.0.113.9'
      expect((await get(name, password, from)).status).toBe(200)
      system('usermod', ['-L', name])
      expect((await get(name, password, from)).status).toBe(401)
      system('usermod', ['-U', name])
      expect((await get(name, password, from)).status).toBe(200)
      users.setPassword(name, 'another')
      expect((await get(name, password, from)).status).toBe(401)
      expect((await get(name, 'another', from)).status).toBe(200)
      system('usermod', ['-a', '-G', users.nameOf('banned'), name])
      expect((await get(name, 'another', from)).status).toBe(401)
      expect((await get(name, 'another')).status).toBe(401)
      expect(await why(name)).toBe('denied-group')
    })

    it('tell modules who asks from where, and nothing of the server', async () => {
      const note = join(tmpdir(), `postern-pam-note-${process.pid}`)
      scripts.push(note)
      const told = script(`env > ${note}; ls -l /proc/self/fd >> ${note}`)
      users.service('main', `auth optional pam_exec.so ${told}\n${unixStack}`)
      const name = user.moved ?? ''
      expect((await get(name, password, '2001:db8::7')).status).toBe(200)
      const lines = readFileSync(note, 'utf8').split('\n')
      expect(lines).toEqual(expect.arrayContaining([`PAM_USER=${name}`, 'PAM_RHOST=2001:db8::7', 'PAM_TTY=postern', `PAM_SERVICE=${service}`])) // prettier-ignore
      const names = lines.filter((line) => /^\w+=/.test(line)).map((line) => line.replace(/=.*/, ''))
      expect(names.filter((key) => !/^PAM_|^(?:PATH|PWD|SHLVL|_|OLDPWD)$/.test(key))).toEqual([])
      expect(lines.join('\n')).not.toMatch(/catalog\.sqlite|socket:/)
    })
  })

  describe('do not harm the server', () => {
    it('where a module hangs: 503 in time, and the next login works', async () => {
      users.service('main', `auth required pam_exec.so quiet ${script('exec sleep 30')}\n${unixStack}`)
      const name = user.bob ?? ''
      const begun = performance.now()
      const hung = await get(name)
      expect([hung.status, hung.header('retry-after')]).toEqual([503, '5'])
      expect(performance.now() - begun).toBeLessThan(6000)
      users.service('main', unixStack)
      expect((await get(name)).status).toBe(200)
    })

    it('where a module takes its process along', async () => {
      users.service('main', `auth required pam_exec.so quiet ${script('kill -SEGV $PPID; sleep 1')}\n${unixStack}`)
      const name = user.bob ?? ''
      expect((await get(name)).status).toBe(503)
      users.service('main', unixStack)
      expect((await get(name)).status).toBe(200)
    })

    it('where somebody kills the processes', async () => {
      const name = user.bob ?? ''
      expect((await get(name)).status).toBe(200)
      const before = processesOf(server.pid)
      expect(before.length).toBeGreaterThan(0)
      for (const pid of before) process.kill(pid, 'SIGKILL')
      await eventually('the processes are gone', () => !processesOf(server.pid).some((pid) => before.includes(pid)))
      expect((await get(name)).status).toBe(200)
    })

    it('where the service is gone, for PAM would take another', async () => {
      users.removeService(service)
      expect((await get(user.bob ?? '')).status).toBe(503)
      users.service('main', unixStack)
      expect((await get(user.bob ?? '')).status).toBe(200)
    })

    it('where a module asks for something else than one password', async () => {
      const asks = 'auth [success=ignore auth_err=ignore default=die] pam_ftp.so\n'
      users.service('main', `${asks}${asks}${unixStack}`)
      const name = user.health ?? ''
      expect((await get(name)).status).toBe(401)
      expect(await why(name)).toBe('asks-for-more-than-a-password')
      users.service('main', unixStack)
    })

    it('where 200 wrong ones come at once: other requests do not wait', async () => {
      users.service('main', `auth required pam_exec.so quiet ${script('exec sleep 0.05')}\n${unixStack}`)
      const progress = { isOver: false }
      const wrong = Promise.all(
        Array.from({ length: 200 }, (_, n) => get(n % 2 === 0 ? users.nameOf(`ghost${n}`) : (user.health ?? ''), 'wrong')),
      ).finally(() => (progress.isOver = true)) // prettier-ignore
      const waits: number[] = []
      while (!progress.isOver) {
        const begun = performance.now()
        expect((await server.request('GET', '/-/health', { as: null })).status).toBe(200)
        // The thread pool is not theirs either: this reads the disk.
        expect((await server.request('PROPFIND', '/', { headers: { Depth: '0' } })).status).toBe(207)
        waits.push(performance.now() - begun)
      }
      for (const { status } of await wrong) expect([401, 429, 503]).toContain(status)
      users.service('main', unixStack)
      waits.sort((a, b) => a - b)
      expect(waits.length).toBeGreaterThan(10)
      // One after the other the logins take five seconds and more.
      expect(waits[Math.floor(waits.length / 2)], JSON.stringify(waits)).toBeLessThan(300)
      expect(waits[Math.floor(waits.length * 0.9)], JSON.stringify(waits)).toBeLessThan(1000)
    })

    it('nor can anybody but root look into the processes, which end with the server', async () => {
      expect((await get(user.alice ?? '', password, '203.0.113.77')).status).toBe(200)
      const pids = processesOf(server.pid)
      expect(pids.length).toBeGreaterThan(0)
      for (const pid of pids) {
        const seen = await run('su', ['-s', '/bin/sh', user.alice ?? '', '-c', `cat /proc/${pid}/environ /proc/${pid}/maps`]) // prettier-ignore
        expect([seen.code, seen.stdout]).toEqual([1, ''])
        expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(service)
        expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/^Max core file size\s+0\s+0\s/m)
      }
      await server.kill9()
      await eventually('they have ended', () => pids.every((pid) => !existsSync(`/proc/${pid}/exe`)))
      await server.restart()
    })
  })

  describe('are set up', () => {
    it('only for a service that there is', async () => {
      const missing = startServer({ config: 'identity: [{ pam: { service: postern-nowhere, grants: [] } }]' })
      await expect(missing).rejects.toThrow('Make the file /etc/pam.d/postern-nowhere.')
    })

    it('as the documentation says', async () => {
      const section = /^## PAM[^]*?(?=^## |$(?![^]))/m.exec(readFileSync(docs, 'utf8'))?.[0] ?? ''
      const [, stack = '', config = ''] = /^```\n(auth[^]*?)^```$[^]*?^```yaml\n([^]*?)^```$/m.exec(section) ?? []
      const own = users.service('docs', stack)
      expect(config).toContain('service: postern\n')
      await using documented = await startServer({ config: config.replace('service: postern\n', `service: ${own}\n`) })
      const name = user.alice ?? ''
      await mkdir(join(documented.root, 'home', name), { recursive: true })
      const ask = async (secret: string): Promise<number> =>
        (await documented.request('GET', `/home/${name}/`, { as: [name, secret] })).status
      expect(await ask('wrong')).toBe(401)
      expect(await ask(password)).toBe(200)
      expect(documented.stderr()).not.toContain('ordinary user')
    })

    it('with a warning where the server is not root, and then for its own user only', async () => {
      const home = mkdtempSync(join(tmpdir(), 'postern-pam-'))
      chmodSync(home, 0o755)
      const [root = '', state = ''] = ['data', 'state'].map((name) => join(home, name))
      // A process of root becomes the owner of its state.
      system('install', ['-d', '-m', '700', '-o', user.alice ?? '', root, state])
      try {
        const config = join(home, 'postern.yaml')
        writeFileSync(config, `identity: [{ pam: { service: ${service}, grants: [] } }]`)
        await using own = await startServer({ root, args: ['--state', state, '--config', config] })
        await eventually('the warning', () => own.stderr().includes('ordinary user'))
        const ask = async (name = ''): Promise<number> =>
          (await own.request('GET', '/', { as: [name, password] })).status
        // Known, though without a grant; and one of whom pam_unix can say nothing.
        expect([await ask(user.alice), await ask(user.bob)]).toEqual([403, 503])
      } finally {
        rmSync(home, { recursive: true, force: true })
      }
    })
  })
})

interface LogEvent {
  readonly event?: string
  readonly address?: string
  readonly name?: string
  readonly why?: string
}

function events(server: Server): readonly LogEvent[] {
  return server
    .stderr()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogEvent)
}

/** Those that ask PAM for a server. */
function processesOf(server: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const parent = Number(/\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1])
        return parent === server && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('pam-helper')
      } catch {
        return false
      }
    })
}
