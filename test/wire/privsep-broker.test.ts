import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  chmodSync,
  chownSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { brokerSocket, defaultRuntime } from '../../src/privsep/broker/runtime-directory.js'
import type { Head } from '../../src/privsep/wire/link.js'
import { connectTo } from '../../src/privsep/wire/one-time.js'
import { answerFrame, questionFrame, readAnswer } from '../../src/auth/pam/question.js'
import { BrokerRig, aboutOf, ticketOf, until } from '../broker-rig.js'
import type { RigOptions } from '../broker-rig.js'
import { UnixUsers, idsOf } from '../unix-users.js'

const realWorker = fileURLToPath(new URL('../../bin/unix-worker.cjs', import.meta.url))
const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const users = new UnixUsers()
let alice: string
let bob: string
let rig: BrokerRig | undefined

afterEach(async () => {
  await rig?.stop()
  rig = undefined
})
afterAll(() => users.cleanUp())

async function open(options: RigOptions = {}): Promise<BrokerRig> {
  rig = await BrokerRig.open(options)
  return rig
}

/** A broker with a front and a process of identities, and good tickets for alice and bob. */
async function opened(options: RigOptions = {}) {
  const rig = await open(options)
  const told: Head[] = []
  const toldAuth: Head[] = []
  const [front, auth] = [await rig.front(told), await rig.auth(toldAuth)]
  const ticketFor = async (user: string): Promise<string> => ticketOf((await auth.ask('account', { user })).head)
  return {
    rig,
    told,
    toldAuth,
    front,
    auth,
    ticketFor,
    tickets: { alice: await ticketFor(alice), bob: await ticketFor(bob) },
  }
}

const isThere = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

describe.skipIf(process.getuid?.() !== 0)('a broker (for root only)', () => {
  beforeAll(() => {
    alice = users.add('alice', 'wonderland')
    bob = users.add('bob', 'builder')
  })

  describe('is asked in vain', () => {
    it('by whoever is neither its front nor its process of identities', async () => {
      const { places, broker } = await open()
      const { front, auth } = broker.users
      const { uid, gid } = idsOf(alice)
      const connect = (path: string, user: { uid: number; gid: number }, group = user.gid): string =>
        spawnSync(
          '/usr/bin/setpriv',
          [
            `--reuid=${user.uid}`,
            `--regid=${group}`,
            '--clear-groups',
            process.execPath,
            '-e',
            `require('net').connect(process.argv[1]).on('error', (e) => { console.log(e.code); process.exit() }).on('connect', () => { console.log('in'); process.exit() })`,
            path,
          ],
          { encoding: 'utf8' },
        ).stdout.trim()
      const [atFront, atAuth] = [brokerSocket(places.front), brokerSocket(places.auth)]
      expect(connect(atFront, front)).toBe('in')
      expect(connect(atAuth, auth)).toBe('in')
      for (const [path, user, group] of [
        [atFront, { uid, gid }],
        [atAuth, { uid, gid }],
        [places.control, { uid, gid }],
        [atAuth, front],
        [atFront, auth],
        [places.control, front],
        [places.control, auth],
        // Who is a member of their group is not yet one of them.
        [atFront, { uid, gid }, front.gid],
        [atAuth, { uid, gid }, auth.gid],
      ] as const)
        expect(connect(path, user, group), `${path} ${user.uid} ${group ?? ''}`).toBe('EACCES')
    })

    it('for a worker without a good ticket', async () => {
      const { rig, front, tickets } = await opened()
      const { key, ...claim } = (await (await rig.auth()).ask('account', { user: alice })).head as Record<
        string,
        string | number
      >
      const forged = [
        '',
        'v1',
        tickets.alice.slice(0, -2),
        `${tickets.alice.slice(0, -5)}AAAAA`,
        ticketOf({ ...claim, key: randomBytes(32).toString('base64') }),
        ticketOf({ ...claim, key: key ?? '', uid: 0 }),
        ticketOf({ ...claim, key: key ?? '', user: bob }),
        ticketOf({ ...claim, key: key ?? '', user: bob, uid: idsOf(bob).uid }),
        ticketOf({ ...claim, key: key ?? '' }, Date.now() - 1),
        ticketOf({ ...claim, key: key ?? '' }, Date.now() + 86_400_000),
      ]
      for (const ticket of forged)
        await expect(front.ask('worker', { ticket })).rejects.toMatchObject({ kind: 'denied' })
      expect(rig.audit.filter(({ what }) => what === 'worker')).toHaveLength(forged.length)
      expect(JSON.stringify(rig.audit)).not.toContain(tickets.alice)
      expect(JSON.stringify([rig.audit, rig.log])).not.toContain(String(key))
    })

    it.each<readonly ['front' | 'auth', string, Head]>([
      ['front', 'account', { user: 'root' }],
      ['front', 'pam', {}],
      ['front', 'sessions', {}],
      ['front', 'close', { user: 'x' }],
      ['front', 'worker', { uid: 0 }],
      ['front', 'worker', { ticket: 'x'.repeat(4000) }],
      ['front', '__proto__', {}],
      ['front', 'constructor', {}],
      ['auth', 'worker', { ticket: 'v1' }],
      ['auth', 'hung', { worker: 1 }],
      ['auth', 'close', { user: 'x' }],
      ['auth', 'pam', { command: '/bin/sh' }],
      ['auth', 'account', { user: 'x'.repeat(20_000) }],
    ])('by %s for %s %o: its link is closed, and nobody else notices', async (side, name, head) => {
      const { rig, front, tickets } = await opened()
      const hostile = await rig[side]()
      await expect(hostile.ask(name, head)).rejects.toThrow()
      await hostile.closed
      await until(() => rig.audit.some(({ what }) => what === 'violation'))
      const { link } = await rig.worker(front, tickets.alice)
      expect((await aboutOf(link)).settings['user']).toBe(alice)
    })

    it('with what is no message at all', async () => {
      const { rig, front, tickets } = await opened()
      const garbage = [
        randomBytes(4096),
        Buffer.alloc(4096, 0xff),
        Buffer.alloc(65536),
        Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      ]
      for (const folder of [rig.places.front, rig.places.auth, rig.places.control])
        for (const bytes of garbage) {
          const socket = await connectTo(brokerSocket(folder).replace('control/broker', 'control'))
          const closed = new Promise((resolve) => socket.on('close', resolve))
          socket.on('error', () => undefined)
          socket.resume().write(bytes)
          await closed
        }
      await rig.worker(front, tickets.alice)
    })

    it('by more connections than there can be processes', async () => {
      const { rig, front, tickets } = await opened()
      const sockets = await Promise.all(Array.from({ length: 300 }, () => connectTo(brokerSocket(rig.places.front))))
      let closed = 0
      for (const socket of sockets) socket.resume().on('close', () => (closed += 1))
      await until(() => closed >= 300 - 128)
      await rig.worker(front, tickets.alice)
      for (const socket of sockets) socket.destroy()
      await until(() => closed === 300)
      await rig.front()
    })

    it('about a worker of another front', async () => {
      const { rig, front, tickets } = await opened()
      const other = await rig.front()
      const { link, worker } = await rig.worker(front, tickets.alice)
      await other.ask('hung', { worker })
      expect((await aboutOf(link)).settings['user']).toBe(alice)
    })
  })

  describe('lets nobody be', () => {
    it('root, a member of its group, a user of the server, nobody known, or one whose time is over', async () => {
      const { auth } = await opened()
      const member = users.add('member', 'x', '-G', 'root')
      const primary = users.add('primary', 'x', '-g', 'root')
      const low = users.add('low', 'x', '-u', '987')
      const over = users.add('over', 'x', '-e', '2001-01-01')
      const twin = users.add('twin', 'x', '-o', '-u', '0')
      const why = async (user: string): Promise<string> => {
        const error: unknown = await auth.ask('account', { user }).catch((thrown: unknown) => thrown)
        expect(error).toMatchObject({ kind: 'denied' })
        return (error as Error).message
      }
      expect(await why('root')).toBe('root')
      expect(await why(twin)).toBe('root')
      expect(await why(member)).toBe('group-of-root')
      expect(await why(primary)).toBe('group-of-root')
      expect(await why(low)).toBe('uid-below-minimum')
      expect(await why(over)).toBe('account-expired')
      expect(await why('nobody')).toBe('user-of-the-server')
      expect(await why(users.nameOf('ghost'))).toBe('no-such-account')
      for (const name of ['../root', 'a\nb', '-x', '.x', 'a\0b', '']) expect(await why(name), name).toBe('unfit-name')
    })

    it('outside of the allowed groups, from the next login on', async () => {
      const group = users.addGroup('dav')
      spawnSync('/usr/sbin/usermod', ['-aG', group, alice])
      const rig = await open({ settings: { allowedGroups: [group] } })
      const told: Head[] = []
      const [front, auth] = [await rig.front(told), await rig.auth()]
      await expect(auth.ask('account', { user: bob })).rejects.toMatchObject({ kind: 'denied', message: 'not-allowed' })
      const ticket = ticketOf((await auth.ask('account', { user: alice })).head)
      const { link } = await rig.worker(front, ticket)
      const { pid } = await aboutOf(link)
      spawnSync('/usr/sbin/usermod', ['-rG', group, alice])
      spawnSync('/usr/bin/gpasswd', ['-d', alice, group])
      await expect(auth.ask('account', { user: alice })).rejects.toMatchObject({
        kind: 'denied',
        message: 'not-allowed',
      })
      await link.closed
      await until(() => !isThere(pid) && told.length > 0)
      expect(told).toContainEqual({ name: 'closed', user: alice, uid: idsOf(alice).uid })
      await expect(front.ask('worker', { ticket })).rejects.toMatchObject({ kind: 'denied' })
    })
  })

  describe('starts a worker', () => {
    it('that is its user, with all groups and nothing else, in every thread', async () => {
      const group = users.addGroup('staff')
      const carol = users.add('carol', 'x', '-G', group)
      const { rig, front, ticketFor } = await opened()
      const { uid, gid } = idsOf(carol)
      const { link } = await rig.worker(front, await ticketFor(carol))
      const about = await aboutOf(link)
      const groupId = /:(\d+):/.exec(
        readFileSync('/etc/group', 'utf8')
          .split('\n')
          .find((line) => line.startsWith(`${group}:`)) ?? '',
      )?.[1]
      expect(about.tasks.length).toBeGreaterThan(4)
      for (const status of about.tasks) {
        const field = (name: string): readonly string[] =>
          (new RegExp(`^${name}:\\s+(.*?)\\s*$`, 'm').exec(status)?.[1] ?? '').split(/\s+/)
        expect(field('Uid')).toEqual(Array.from({ length: 4 }, () => String(uid)))
        expect(field('Gid')).toEqual(Array.from({ length: 4 }, () => String(gid)))
        expect([...field('Groups')].sort()).toEqual([String(gid), groupId].sort())
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
          expect(field(set)).toEqual(['0000000000000000'])
        expect(field('NoNewPrivs')).toEqual(['1'])
      }
    })

    it('with a clean environment, in /, with its two sockets and nothing of the broker’s', async () => {
      const { rig, front, tickets } = await opened({
        environment: { TZ: 'Europe/Vienna', NODE_OPTIONS: '--inspect', LD_PRELOAD: '' },
      })
      const { link } = await rig.worker(front, tickets.alice)
      const about = await aboutOf(link)
      expect(Object.keys(about.environment).sort()).toEqual(['PATH', 'TZ'])
      expect(about.cwd).toBe('/')
      const kinds = about.files.filter(([, what]) => !/^anon_inode:|^pipe:|^\/dev\/null$|^\/proc\//.test(what))
      // Settings, complaints, link and channel.
      expect(kinds.map(([descriptor, what]) => [descriptor, what.replace(/\d+/, '')]).sort()).toEqual(
        [0, 2, 3, 4].map((descriptor) => [descriptor, 'socket:[]']),
      )
      const own = new Set(
        ['socket', 'pipe'].flatMap((kind) =>
          about.files.filter(([, what]) => what.startsWith(kind)).map(([, what]) => what),
        ),
      )
      const held = readlinkSync('/proc/self/fd/1')
      expect(own.has(held)).toBe(false)
    })

    it('whose directories are those of its account, and whose key nobody else has', async () => {
      const mount = { durability: 'full', symlinks: 'inside' } as const
      const { rig, front, tickets } = await opened({
        mounts: [
          { directory: '/srv', ...mount },
          { directory: '/home/{user}', ...mount },
          { directory: '{home}/files', ...mount },
        ],
      })
      const { link } = await rig.worker(front, tickets.alice)
      const { settings } = await aboutOf(link)
      expect((settings['mounts'] as readonly { directory: string }[]).map(({ directory }) => directory)).toEqual([
        '/srv',
        `/home/${alice}`,
        `/home/${alice}/files`,
      ])
      const other = (await aboutOf((await rig.worker(front, tickets.bob)).link)).settings
      expect(other['key']).not.toBe(settings['key'])
    })

    it('once for each user and process of the front: a new one takes the place of the old one', async () => {
      const { rig, front, tickets } = await opened()
      const first = await rig.worker(front, tickets.alice)
      const { pid } = await aboutOf(first.link)
      first.link.close()
      const next = await rig.worker(front, tickets.alice)
      expect((await aboutOf(next.link)).pid).not.toBe(pid)
      expect(isThere(pid)).toBe(false)
    })

    it('that ends with its link, and at the next start finds no word of a crash', async () => {
      const { rig, front, tickets } = await opened()
      const first = await rig.worker(front, tickets.alice)
      const about = await aboutOf(first.link)
      expect(about.settings['sweeps']).toBe(true)
      first.link.close()
      await until(() => rig.audit.some(({ what, result }) => what === 'worker-end' && result === 'done'))
      const second = await rig.worker(front, tickets.alice)
      expect((await aboutOf(second.link)).settings['sweeps']).toBe(false)
    })

    it('in less than a tenth of a second, on a machine with nothing else to do', async () => {
      const { rig, front, tickets } = await opened()
      const took: number[] = []
      for (let round = 0; round < 5; round += 1) {
        const began = performance.now()
        const { link } = await rig.worker(front, round % 2 === 0 ? tickets.alice : tickets.bob)
        await link.ask('about')
        took.push(performance.now() - began)
        const { pid } = await aboutOf(link)
        link.close()
        await until(() => !isThere(pid))
      }
      console.info(`a worker answers after ${took.map((each) => each.toFixed(0)).join(', ')} ms`)
      expect(Math.min(...took)).toBeLessThan(2000)
    })
  })

  describe('starts the real worker', () => {
    const command = [process.execPath, '--max-old-space-size=128', realWorker]

    it('that nobody may look into, with its two sockets and nothing of the broker’s', async () => {
      const { rig, front, tickets } = await opened({ workerCommand: command })
      const began = performance.now()
      const { link } = await rig.worker(front, tickets.alice)
      await link.ask('ticket', { ticket: tickets.alice })
      console.info(`the real worker answers after ${(performance.now() - began).toFixed(0)} ms`)
      const pid = rig.audit.find(({ what }) => what === 'worker')?.pid ?? 0
      // So the kernel shows what is not dumpable (proc(5)).
      expect(lstatSync(`/proc/${pid}/environ`).uid).toBe(0)
      expect(lstatSync(`/proc/${pid}/mem`).uid).toBe(0)
      const { uid, gid } = idsOf(alice)
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')
        const four = (id: number): string => Array.from({ length: 4 }, () => String(id)).join('\t')
        expect(status).toContain(`Uid:\t${four(uid)}\n`)
        expect(status).toContain(`Gid:\t${four(gid)}\n`)
        for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
          expect(status).toContain(`Cap${set}:\t0000000000000000\n`)
        expect(status).toContain('NoNewPrivs:\t1\n')
      }
      const open = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
        const what = readlinkSync(`/proc/${pid}/fd/${fd}`)
        return /^anon_inode:|^pipe:|^\/dev\/null$/.test(what) ? [] : [`${fd} ${what.replace(/\[\d+\]/, '')}`]
      })
      // Its settings may have been closed already; link, channel and complaints stay; the list of mounts is the kernel's.
      expect(open.filter((each) => !/^(?:0|2|3|4) socket:$/.test(each) && !each.endsWith('/mountinfo'))).toEqual([])
    })
  })

  describe('ends a worker', () => {
    it('that takes too much memory', async () => {
      const limits = { max: 4, idleSeconds: 300, memoryBytes: 150 * 1024 * 1024 }
      const { rig, front, tickets } = await opened({ settings: { workers: limits } })
      const [taking, other] = [await rig.worker(front, tickets.alice), await rig.worker(front, tickets.bob)]
      await taking.link.ask('take', { bytes: 200 * 1024 * 1024 })
      await taking.link.closed
      await until(() => rig.audit.some(({ why }) => why === 'too-much-memory'))
      expect((await aboutOf(other.link)).settings['user']).toBe(bob)
    })

    it('that stands still, when its front says so; others go on', async () => {
      const { rig, front, tickets } = await opened()
      const [still, other] = [await rig.worker(front, tickets.alice), await rig.worker(front, tickets.bob)]
      await still.link.ask('stand-still')
      await front.ask('hung', { worker: still.worker })
      await still.link.closed
      expect((await aboutOf(other.link)).settings['user']).toBe(bob)
    })

    it('whose front is gone, even one that does not want to', async () => {
      const { rig, front, tickets } = await opened()
      const { link } = await rig.worker(front, tickets.alice)
      const { pid } = await aboutOf(link)
      await link.ask('stay')
      front.close()
      await until(() => !isThere(pid))
    })

    it('that crashes: what it knew is void, everybody is told, and its user waits before the next', async () => {
      const { rig, told, toldAuth, front, tickets, ticketFor } = await opened()
      const other = await rig.worker(front, tickets.bob)
      for (let round = 0; round < 4; round += 1) {
        const ticket = await ticketFor(alice)
        let crashing: Awaited<ReturnType<BrokerRig['worker']>> | undefined
        while (crashing === undefined) crashing = await rig.worker(front, ticket).catch(() => undefined)
        crashing.link.ask('crash').catch(() => undefined)
        await crashing.link.closed
        await until(() => told.length > round && toldAuth.length > round)
        await expect(front.ask('worker', { ticket })).rejects.toMatchObject({ kind: 'denied' })
      }
      const closed = { name: 'closed', user: alice, uid: idsOf(alice).uid }
      expect([told, toldAuth]).toEqual([
        Array.from({ length: 4 }, () => closed),
        Array.from({ length: 4 }, () => closed),
      ])
      await expect(front.ask('worker', { ticket: await ticketFor(alice) })).rejects.toMatchObject({
        kind: 'unavailable',
      })
      expect((await aboutOf(other.link)).settings['user']).toBe(bob)
    })

    it('that nobody fetches, and never starts it', async () => {
      const { rig, front, tickets } = await opened({
        settings: { workers: { max: 1, idleSeconds: 300, memoryBytes: 2 ** 30 } },
      })
      const { head } = await front.ask('worker', { ticket: tickets.alice })
      const path = String(head['path'])
      expect(lstatSync(path).uid).toBe(rig.broker.users.front.uid)
      expect(lstatSync(path).mode & 0o777).toBe(0o600)
      await until(() => !existsSync(path))
      await rig.worker(front, tickets.bob)
      expect(rig.audit.filter(({ what, result }) => what === 'worker' && result === 'failed')).toHaveLength(1)
    })

    it('whose complaints do not end: some of them are logged', async () => {
      const { rig, front, tickets } = await opened()
      const { link } = await rig.worker(front, tickets.alice)
      for (let round = 0; round < 30; round += 1) await link.ask('complain', { text: `\u001b[31m${'x'.repeat(2000)}` })
      await until(() => rig.log.length > 4)
      expect(rig.log.length).toBeLessThan(12)
      expect(JSON.stringify(rig.log)).not.toContain('\\u001b')
      await aboutOf(link)
    })
  })

  describe('with as many workers as there may be', () => {
    it('asks fronts to let some go, turns the next away, and takes it when there is room', async () => {
      const limits = { max: 1, idleSeconds: 300, memoryBytes: 2 ** 30 }
      const { rig, told, front, tickets } = await opened({ settings: { workers: limits } })
      const first = await rig.worker(front, tickets.alice)
      await expect(front.ask('worker', { ticket: tickets.bob })).rejects.toMatchObject({
        kind: 'unavailable',
        retryAfterSeconds: 2,
      })
      expect(told).toContainEqual({ name: 'shed' })
      const second = rig.worker(front, tickets.bob)
      first.link.close()
      expect((await aboutOf((await second).link)).settings['user']).toBe(bob)
    })
  })

  describe('starts helpers that ask PAM', () => {
    it('so many and no more, and ends them when they are not wanted', async () => {
      const { rig, auth } = await opened()
      const started = await Promise.all(Array.from({ length: 32 }, () => auth.ask('pam')))
      await expect(auth.ask('pam')).rejects.toMatchObject({ kind: 'unavailable' })
      const [first] = started
      await auth.ask('pam-end', { helper: first?.head['helper'] })
      await until(() => rig.audit.some(({ what, result }) => what === 'pam-helper' && result === 'failed'))
      const { head } = await auth.ask('pam')
      expect(lstatSync(String(head['path'])).uid).toBe(rig.broker.users.auth.uid)
    })

    it('which answer on the socket that was fetched, and go with the link of who wanted them', async () => {
      const { rig, auth } = await opened()
      const { head } = await auth.ask('pam')
      const socket = await connectTo(String(head['path']))
      const answer = async (user: string): Promise<unknown> => {
        socket.write(questionFrame({ ask: 'account', user }))
        let received = Buffer.alloc(0)
        return new Promise((resolve) => {
          const take = (piece: Buffer): void => {
            received = Buffer.concat([received, piece])
            const read = readAnswer(received)
            if (read === undefined) return
            socket.off('data', take)
            resolve(read)
          }
          socket.on('data', take)
        })
      }
      expect(await answer(alice)).toMatchObject({ kind: 'account', account: { name: alice, uid: idsOf(alice).uid } })
      // Between two questions it has to wait for the second.
      expect(await answer(users.nameOf('ghost'))).toEqual({ kind: 'unknown' })
      expect(answerFrame({ kind: 'unknown' }).length).toBeGreaterThan(4)
      const closed = new Promise((resolve) => socket.on('close', resolve))
      auth.close()
      await closed
      await until(() => !isThere(rig.audit.find(({ what }) => what === 'pam-helper')?.pid ?? 0))
    })
  })

  describe('obeys root', () => {
    it('who lists what users do, and ends it at once', async () => {
      const state = join(mkdtempSync(join(tmpdir(), 'sessions-')), 'state')
      const { rig, told, front, tickets, ticketFor } = await opened({ settings: { runtime: defaultRuntime(state) } })
      const run = (...args: readonly string[]): Promise<string> => postern(...args, '--state', state)
      expect(await run('sessions')).toBe('Nobody is at work.\n')
      const { link } = await rig.worker(front, tickets.alice)
      const { pid } = await aboutOf(link)
      const [session, ...others] = JSON.parse(await run('sessions', '--json')) as readonly Record<string, unknown>[]
      expect(others).toEqual([])
      expect(session).toMatchObject({ user: alice, uid: idsOf(alice).uid, pid, front: 2 })
      expect(await run('sessions')).toContain(alice)
      await link.ask('stay')
      expect(await run('sessions', 'close', alice)).toBe(`Ended 1 process of ${alice}.\n`)
      expect(isThere(pid)).toBe(false)
      expect(told).toEqual([{ name: 'closed', user: alice, uid: idsOf(alice).uid }])
      await expect(front.ask('worker', { ticket: tickets.alice })).rejects.toMatchObject({ kind: 'denied' })
      expect(await run('sessions', 'close', alice)).toBe(`No process of ${alice} was running.\n`)
      await rig.worker(front, await ticketFor(alice))
      await rig.stop()
      await expect(run('sessions')).rejects.toThrow('No server with --privsep runs here')
    })
  })

  describe('begins and ends', () => {
    it('not where another is at work, or the runtime directory is not its own', async () => {
      const home = mkdtempSync(join(tmpdir(), 'broker-'))
      chmodSync(home, 0o755)
      const runtime = join(home, 'run')
      try {
        mkdirSync(join(home, 'target'))
        symlinkSync(join(home, 'target'), runtime)
        await expect(BrokerRig.open({ settings: { runtime } })).rejects.toMatchObject({ kind: 'invalid' })
        rmSync(runtime)
        mkdirSync(runtime)
        chownSync(runtime, idsOf(alice).uid, 0)
        await expect(BrokerRig.open({ settings: { runtime } })).rejects.toMatchObject({ kind: 'invalid' })
        rmSync(runtime, { recursive: true })
        chownSync(home, idsOf(alice).uid, 0)
        await expect(BrokerRig.open({ settings: { runtime } })).rejects.toMatchObject({ kind: 'invalid' })
        chownSync(home, 0, 0)
        await open({ settings: { runtime } })
        await expect(BrokerRig.open({ settings: { runtime } })).rejects.toMatchObject({ kind: 'conflict' })
      } finally {
        await rig?.stop()
        rig = undefined
        rmSync(home, { recursive: true, force: true })
      }
    })

    it('not where a process says what is wrong, or ends', async () => {
      const broken = (command: readonly string[]): RigOptions => ({ auth: () => ({ command }) })
      await expect(BrokerRig.open(broken([process.execPath, '-e', 'process.exit(7)']))).rejects.toMatchObject({
        message: expect.stringContaining('exit code 7') as string,
      })
      await expect(BrokerRig.open(broken(['/nowhere/at/all']))).rejects.toMatchObject({ kind: 'unavailable' })
      await expect(BrokerRig.open({ settings: { user: users.nameOf('ghost') } })).rejects.toMatchObject({
        kind: 'invalid',
      })
      await expect(BrokerRig.open({ settings: { user: 'root' } })).rejects.toMatchObject({ kind: 'invalid' })
      await expect(BrokerRig.open({ settings: { authUser: 'nobody' } })).rejects.toMatchObject({ kind: 'invalid' })
      await expect(BrokerRig.open({ program: ['/nowhere'] })).rejects.toMatchObject({ kind: 'invalid' })
    })

    it('its front and process of identities again when they crash', async () => {
      const rig = await open()
      const pids = (): readonly number[] =>
        rig.audit.filter(({ what }) => what === 'process').map(({ pid }) => pid ?? 0)
      const first = pids()
      for (const pid of first) process.kill(pid, 'SIGKILL')
      await until(() => pids().length === 4)
      expect(first.some(isThere)).toBe(false)
      await until(() => rig.audit.length > 0 && pids().slice(2).every(isThere))
    })

    it('hands new settings to both, and none to the front that the other refuses', async () => {
      const { broker } = await open()
      await broker.apply({ auth: { config: {} }, front: {} })
      await expect(broker.apply({ auth: {}, front: { refuse: 'no such port' } })).rejects.toThrow('no such port')
      await expect(
        broker.apply({ auth: { refuse: 'no such key' }, front: { refuse: 'not asked' } }),
      ).rejects.toMatchObject({
        kind: 'invalid',
        message: 'no such key',
      })
    })

    it('and leaves nothing behind', async () => {
      const { rig, front, auth, tickets } = await opened()
      const { link } = await rig.worker(front, tickets.alice)
      const { pid } = await aboutOf(link)
      await link.ask('stay')
      const { head } = await auth.ask('pam')
      await connectTo(String(head['path']))
      await until(() => rig.audit.some(({ what }) => what === 'pam-helper'))
      await rig.stop()
      const pids = [pid, ...rig.audit.flatMap((line) => line.pid ?? [])]
      expect(pids.filter(isThere)).toEqual([])
      expect(existsSync(rig.places.directory)).toBe(false)
    })
  })
})

/** The output of the program; rejects with what it has complained about. */
async function postern(...args: readonly string[]): Promise<string> {
  const { execFile } = await import('node:child_process')
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [program, ...args], (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(stderr))
    })
  })
}
