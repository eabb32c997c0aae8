import { appendFileSync, chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCredentialKey } from '../../src/auth/cached.js'
import { answerFrame } from '../../src/auth/pam/question.js'
import { Failure } from '../../src/core/failure.js'
import { authDoor } from '../../src/privsep/front/auth-door.js'
import { remoteDirectories } from '../../src/privsep/front/remote-directories.js'
import { readTicket } from '../../src/privsep/ticket.js'
import type { Answered, Head, Link, Table } from '../../src/privsep/wire/link.js'
import { AuthUnderTest, isRoot } from '../auth-process.js'
import type { AuthProcessOptions } from '../auth-process.js'
import { UnixUsers } from '../unix-users.js'

const facts = { method: 'GET', target: '/' }
const admin = { name: 'admin', password: 'a password for tests' }
/** What no line of a log may hold. */
const secrets = [admin.password, 'a wrong password', 'a password by PAM', 'tokenlike-secret']

const running: AuthUnderTest[] = []

afterEach(async () => {
  for (const auth of running.splice(0)) {
    const said = [auth.output, ...auth.auditLines()].join('\n')
    await auth.close()
    for (const secret of secrets) expect(said).not.toContain(secret)
  }
})

async function start(options: AuthProcessOptions = {}): Promise<AuthUnderTest> {
  const auth = await AuthUnderTest.start(options)
  running.push(auth)
  return auth
}

function check(link: Pick<Link, 'ask'>, { name, password }: typeof admin, address?: string): Promise<Answered> {
  const credential = { kind: 'password', name, password }
  return link.ask('check', { credential, facts: { ...facts, ...(address !== undefined && { address }) } })
}

describe('a front that somebody has taken', () => {
  it('is told nothing for garbage, and others go on', async () => {
    const auth = await start()
    const taken = await auth.front()
    const credential = { kind: 'password', ...admin }
    const heads: readonly Head[] = [
      {},
      { credential },
      { credential: null, facts },
      { credential: 'admin', facts },
      { credential: { ...credential, password: ['x'] }, facts },
      { credential: { ...credential, name: 'admin\n{"event":"login"}' }, facts },
      { credential: { ...credential, name: 'a'.repeat(9000) }, facts },
      { credential: { ...credential, password: 'a'.repeat(200_000) }, facts },
      { credential: { ...credential, kind: 'signature' }, facts },
      { credential, facts: { ...facts, address: '127.0.0.1\r\n' } },
      { identity: { name: 'admin', source: 'catalog', grants: ['rw:/**'] } },
    ]
    for (const head of heads) await expect(taken.ask('check', head)).rejects.toMatchObject({ kind: 'invalid' })
    expect((await check(taken, admin)).head).toMatchObject({ identity: { name: 'admin' } })
  })

  it.each(['apply', 'closed', 'stop', 'account', 'pam', 'ready', 'grant', '__proto__', 'constructor'])(
    'is cut off when it asks for %s, and others go on',
    async (name) => {
      const auth = await start()
      const taken = await auth.front()
      const other = await auth.front()
      await expect(taken.ask(name, { user: 'root' })).rejects.toMatchObject({ kind: 'unavailable' })
      await taken.closed
      expect((await check(other, admin)).head).toMatchObject({ identity: { name: 'admin' } })
      expect(auth.told.map((told) => told.name)).toEqual(['ready'])
    },
  )

  it('is cut off when it sends more than any credential', async () => {
    const auth = await start()
    const taken = await auth.front()
    const asked = check(taken, { name: 'admin', password: 'a'.repeat(4 * 1024 * 1024) })
    await expect(asked).rejects.toMatchObject({ kind: 'unavailable' })
    expect((await check(await auth.front(), admin)).head).toMatchObject({ identity: { name: 'admin' } })
  })

  it('guesses no faster than its callers could, whatever addresses it names', async () => {
    const auth = await start()
    const link = await auth.front()
    const guesses = Array.from({ length: 60 }, (_, index) =>
      check(link, { name: 'admin', password: `a wrong password ${index}` }, `10.0.${index}.1`),
    )
    const kinds = (await Promise.allSettled(guesses)).map((guess) =>
      guess.status === 'rejected' && guess.reason instanceof Failure ? guess.reason.kind : 'accepted',
    )
    expect(kinds.filter((kind) => kind === 'unauthenticated').length).toBeLessThanOrEqual(10)
    expect(new Set(kinds)).toEqual(new Set(['unauthenticated', 'throttled']))
    // Over another connection as well, and for the right password too.
    const slowed = check(await auth.front(), admin)
    await expect(slowed).rejects.toMatchObject({ kind: 'throttled' })
    await expect(slowed).rejects.toHaveProperty('retryAfterSeconds', expect.any(Number))
  })

  it('learns not from the time whether there is a user', async () => {
    const auth = await start()
    const link = await auth.front()
    const time = async (name: string): Promise<number> => {
      const begun = performance.now()
      await expect(check(link, { name, password: 'a wrong password' })).rejects.toMatchObject({
        kind: 'unauthenticated',
        message: 'This needs a valid login.',
      })
      return performance.now() - begun
    }
    await time('warm-up')
    let [known, unknown] = [Infinity, Infinity]
    for (let round = 0; round < 6; round += 1) {
      known = Math.min(known, await time('admin'))
      unknown = Math.min(unknown, await time('nobody'))
    }
    // A check of a hash takes tens of milliseconds; without one the other would take a hundredth of them.
    expect(unknown).toBeGreaterThan(known / 8)
    expect(known).toBeGreaterThan(unknown / 8)
  })
})

it('nobody but a front and its own user can knock at the door or read its state', async () => {
  const auth = await start()
  const { mode, uid, gid } = statSync(auth.door)
  expect(mode & 0o777).toBe(0o660)
  if (isRoot) expect({ uid, gid }).toEqual({ uid: auth.uid, gid: auth.frontGid })
  for (const file of ['secret', 'audit.log']) expect(statSync(join(auth.state, file)).mode & 0o077).toBe(0)
})

it.skipIf(!isRoot)('is a user without any right, whose memory nobody but root can look into', async () => {
  const auth = await start()
  const proc = `/proc/${auth.child?.pid}`
  const status = readFileSync(`${proc}/status`, 'utf8')
  expect(status).toMatch(new RegExp(`^Uid:(\\t${auth.uid}){4}$`, 'm'))
  expect(status).toMatch(new RegExp(`^Gid:(\\t${auth.uid}){4}$`, 'm'))
  expect(status).toMatch(/^Groups:\s*$/m)
  expect(status).toMatch(/^CapEff:\t0+$/m)
  expect(status).toMatch(/^NoNewPrivs:\t1$/m)
  // Of a process that can be looked into, all of this belongs to its user (proc(5)).
  expect(statSync(`${proc}/environ`).uid).toBe(0)
})

describe('the first admin', () => {
  it('is made once, and shown to the broker alone', async () => {
    const auth = await AuthUnderTest.start({ adminPassword: '' })
    running.push(auth)
    const made = auth.told[0]?.head['admin'] as { readonly name: string; readonly password: string }
    expect(made).toMatchObject({ name: 'admin', password: expect.stringMatching(/^[a-z2-9.]{27}$/) as string })
    expect((await check(await auth.front(), made)).head).toMatchObject({ identity: { name: 'admin' } })
    expect(auth.output).not.toContain(made.password)
    expect(auth.auditLines().join('\n')).not.toContain(made.password)
    await auth.kill()
    expect(await auth.begin()).toEqual({})
  })
})

describe('a change of the configuration', () => {
  it('counts from then on, and what is wrong changes nothing', async () => {
    const auth = await start()
    const link = await auth.front()
    await check(link, admin)
    const file = join(auth.home, 'htpasswd')
    writeFileSync(file, 'carol:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n')
    chmodSync(file, 0o644)
    const carol = { name: 'carol', password: 'password' }
    await expect(check(link, carol)).rejects.toMatchObject({ kind: 'unauthenticated' })
    const missing = auth.config({ identity: [{ htpasswd: { file: `${file}.missing`, grants: ['rw:/**'] } }] })
    await expect(auth.broker?.ask('apply', { config: missing })).rejects.toMatchObject({ kind: 'invalid' })
    expect((await check(link, admin)).head).toMatchObject({ identity: { name: 'admin' } })
    const next = auth.config({ identity: [{ htpasswd: { file, grants: ['rw:/**'] } }] })
    await auth.broker?.ask('apply', { config: next })
    expect((await check(link, carol)).head).toMatchObject({ identity: { name: 'carol', source: 'htpasswd' } })
    await expect(check(link, admin)).rejects.toMatchObject({ kind: 'unauthenticated' })
    expect((await link.ask('about')).head).toMatchObject({ kinds: { password: 'credential' } })
    appendFileSync(file, 'dave:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n')
    expect((await check(link, { ...carol, name: 'dave' })).head).toMatchObject({ identity: { name: 'dave' } })
  })

  it('that cannot be started with is told to the broker', async () => {
    await expect(
      start({ config: { identity: [{ htpasswd: { file: '/nonexistent/htpasswd', grants: ['rw:/**'] } }] } }),
    ).rejects.toThrow('identity.htpasswd.file')
  })
})

describe('the end', () => {
  it('comes when the broker says so', async () => {
    const auth = await start()
    auth.broker?.tell('stop')
    expect(await auth.ended()).toBe(0)
  })

  it('comes when the broker has gone', async () => {
    const auth = await start()
    auth.broker?.close()
    expect(await auth.ended()).toBe(0)
  })
})

it('a front goes on with those whom it remembers while nobody answers, and finds the process that comes after', async () => {
  const auth = await start()
  const lost = vi.fn()
  const back = vi.fn()
  const door = await authDoor({ runtime: join(auth.home, 'run'), onLost: lost, onBack: back })
  const remote = remoteDirectories({
    door,
    about: (await door.ask('about')).head as never,
    book: { put: () => undefined, expiresOf: () => undefined },
    clock: { now: () => Date.now() },
    keyOf: createCredentialKey(),
  })
  const [directory] = remote.directories
  const login = { kind: 'password', ...admin } as const
  const verdict = await directory?.check(login, facts)
  expect(verdict).toMatchObject({ kind: 'identity' })
  await auth.kill()
  await vi.waitFor(() => expect(lost).toHaveBeenCalled())
  expect(await directory?.check(login, facts)).toEqual(verdict)
  const other = { ...login, name: 'other' }
  await expect(directory?.check(other, facts)).rejects.toMatchObject({ kind: 'unavailable', retryAfterSeconds: 1 })
  await auth.begin()
  await vi.waitFor(() => expect(back).toHaveBeenCalled(), { timeout: 10_000 })
  await expect(directory?.check(other, facts)).rejects.toMatchObject({ kind: 'unauthenticated' })
  door.close()
})

describe.skipIf(!isRoot)('users of this system, by helpers of the broker', () => {
  const users = new UnixUsers()
  const key = Buffer.alloc(32, 5)
  const generation = '0011223344556677'
  const asked: Head[] = []
  const ended: Head[] = []
  /** How the helper in the place of ours answers a question about PAM. */
  let answer: (user: string, password: string) => Buffer | undefined

  afterEach(() => {
    users.cleanUp()
    asked.length = 0
    ended.length = 0
  })

  /** A broker whose helpers are in this process. */
  function broker(): { readonly table: Table; readonly close: () => void } {
    const closing: (() => void)[] = []
    const pam = async (): Promise<Head> => {
      const auth = running.at(-1)
      const path = join(auth?.home ?? '', 'run', 'auth', `helper-${closing.length}`)
      const server = createServer((socket) => {
        let received = Buffer.alloc(0)
        socket.on('error', () => undefined)
        socket.on('data', (bytes: Buffer) => {
          received = Buffer.concat([received, bytes])
          if (received.length < 4 || received.length < 4 + received.readUInt32BE(0)) return
          const end = 6 + received.readUInt16BE(4)
          const { user } = JSON.parse(received.toString('utf8', end)) as { readonly user: string }
          const said = answer(user, received.toString('utf8', 6, end))
          received = Buffer.alloc(0)
          if (said !== undefined) socket.write(said)
        })
      })
      closing.push(() => server.close())
      await new Promise<void>((resolve) => server.listen(path, resolve))
      chmodSync(path, 0o666)
      return { path, helper: closing.length }
    }
    return {
      close: () => closing.forEach((close) => close()),
      table: {
        pam: { maxBytes: 100, handle: async ({ head }) => (asked.push(head), { head: await pam() }) },
        'pam-end': { maxBytes: 100, handle: ({ head }) => (ended.push(head), {}) },
      },
    }
  }

  const accept = (name: string): Buffer => answerFrame({ kind: 'accepted', name, groups: ['staff'], stamp: 'stamp' })

  async function startPam(accounts: Map<string, Head>, more: object = {}): Promise<AuthUnderTest> {
    const service = users.service('auth', 'auth required pam_permit.so\n')
    const identity = [{ pam: { service, grants: ['rw:/home/{user}/**'], refusalMilliseconds: 0, ...more } }]
    return await start({ config: { identity }, accounts, broker: broker().table })
  }

  const alice = { name: 'alice', password: 'a password by PAM' }
  const account = { user: 'alice', uid: 1001, gid: 1001, generation, key: key.toString('base64') }

  it('whose account the broker refuses do not come in, and the reason is written down and not told', async () => {
    answer = (user) => accept(user)
    const auth = await startPam(new Map())
    const refused = check(await auth.front(), alice, '192.0.2.7')
    await expect(refused).rejects.toMatchObject({
      kind: 'denied',
      message: expect.not.stringContaining('account') as string,
    })
    const written = auth.auditLines().map((line) => JSON.parse(line) as object)
    const reason = { event: 'login-failed', name: 'alice', source: 'pam', why: 'no-such-account', address: '192.0.2.7' }
    expect(written).toContainEqual(expect.objectContaining(reason))
  })

  it('get a ticket that their worker takes, and another one as soon as their account has changed', async () => {
    answer = (user, password) =>
      password === alice.password ? accept(user) : answerFrame({ kind: 'refused', why: 'no' })
    const accounts = new Map<string, Head>([['alice', account]])
    const auth = await startPam(accounts)
    const link = await auth.front()
    await expect(check(link, { ...alice, password: 'a wrong password' })).rejects.toMatchObject({
      kind: 'unauthenticated',
    })
    const { head } = await check(link, alice)
    expect(head).toMatchObject({ identity: { name: 'alice', unixUser: 'alice', groups: ['staff'] }, unixUser: 'alice' })
    const reading = { uid: 1001, generation, now: Date.now() }
    expect(readTicket(key, head['ticket'], reading)).toMatchObject({ user: 'alice', uid: 1001 })
    expect((await link.ask('about')).head).toMatchObject({ kinds: { password: 'address' } })
    accounts.set('alice', { ...account, generation: 'ffffffffffffffff' })
    await auth.broker?.ask('closed', { user: 'alice', uid: 1001 })
    const fresh = await check(link, alice)
    expect(readTicket(key, fresh.head['ticket'], reading)).toBeUndefined()
    expect(readTicket(key, fresh.head['ticket'], { ...reading, generation: 'ffffffffffffffff' })).toBeDefined()
    accounts.delete('alice')
    await auth.broker?.ask('closed', { user: 'alice', uid: 1001 })
    await expect(check(link, alice)).rejects.toMatchObject({ kind: 'denied' })
  })

  it('wait for no helper that hangs, which is ended, nor for one that sends nonsense; then another is asked', async () => {
    const auth = await startPam(new Map([['alice', account]]), { timeoutSeconds: 1 })
    const link = await auth.front()
    answer = () => undefined
    await expect(check(link, alice)).rejects.toMatchObject({ kind: 'unavailable' })
    await vi.waitFor(() => expect(ended).toHaveLength(1))
    answer = () => Buffer.from('GET / HTTP/1.1\r\n\r\n')
    await expect(check(link, alice)).rejects.toMatchObject({ kind: 'unavailable' })
    await vi.waitFor(() => expect(ended).toHaveLength(2))
    answer = (user) => accept(user)
    expect((await check(link, alice)).head).toMatchObject({ identity: { name: 'alice' } })
    expect(asked).toEqual([{}, {}, {}])
  })
})
