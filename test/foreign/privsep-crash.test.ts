import { existsSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually, format, namesBelow } from '../harness.js'
import type { Part } from '../privsep-server.js'
import { programWithHostileWorker } from '../privsep-server.js'
import type { UnixUser } from '../unix-users.js'
import { makeFile, openPrivsepSite, privsepNeeds } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

const size = 4_000_000
const oldContent = Buffer.alloc(size, 'o')
const newContent = Buffer.alloc(size, 'n')

/** Every moment of a PUT: before the body, in it, when it is there, and a little later. */
const moments = ['after the head', 'in the body', 'at its end', 'a moment later'] as const

describeForeign('kill -9', privsepNeeds, () => {
  let site: PrivsepSite
  let alice: UnixUser
  let file: string

  beforeAll(async () => {
    site = await openPrivsepSite()
    ;({ alice } = site)
    file = join(alice.home, 'f')
    // From now on at the same port, also when another front listens there.
    await site.server.stop()
    await site.server.restart()
  })

  afterAll(() => site.dispose())

  beforeEach(async () => {
    makeFile(file, alice, 0o600, oldContent.toString())
    await works()
  })

  const get = (): Promise<number | undefined> =>
    site.ask(alice, 'GET', `/home/${alice.name}/f`).then(({ status }) => status, () => undefined) // prettier-ignore

  const works = (): Promise<void> => eventually('it answers', async () => (await get()) === 200, 30_000)

  function victims(part: Part): readonly number[] {
    const { server } = site
    return server.processes().filter((each) => each.part === part && (part !== 'worker' || each.uid === alice.uid)).map(({ pid }) => pid) // prettier-ignore
  }

  async function putAndKill(part: Part, moment: (typeof moments)[number]): Promise<number | undefined> {
    const { server } = site
    const connection = await server.connect()
    const whole = format('PUT', `/home/${alice.name}/f`, { as: [alice.name, alice.password], body: newContent }, server.port) // prettier-ignore
    const head = whole.length - size
    const ends = { 'after the head': head, 'in the body': head + size / 2, 'at its end': whole.length, 'a moment later': whole.length } // prettier-ignore
    const answered = connection.answer({ deadlineMs: 30_000 }).then(({ status }) => status, () => undefined) // prettier-ignore
    await connection.trySend(whole.subarray(0, ends[moment]))
    // Only to vary the moment; every outcome is looked at.
    if (moment === 'a moment later') await pause(8)
    // One that was killed before may only be starting; whoever is remembered was answered without it.
    await eventually(`there is a ${part}`, () => victims(part).length > 0)
    const pids = victims(part)
    if (part === 'broker') await server.kill9()
    else for (const pid of pids) process.kill(pid, 'SIGKILL')
    if (part === 'broker' || part === 'front') connection.destroy()
    else if (ends[moment] < whole.length) void connection.trySend(whole.subarray(ends[moment]))
    const status = await answered
    connection.destroy()
    if (part === 'broker') await eventually('all are gone', () => pids.every((pid) => !isThere(pid)))
    return status
  }

  describe.each(['worker', 'front', 'auth', 'broker'] as const)('of the %s', (part) => {
    it.each(moments)('%s: the old content or the new, and all works again', async (moment) => {
      const before = site.server.processes()
      const status = await putAndKill(part, moment)
      if (part === 'broker') {
        await eventually('nobody is left without it', () => before.every(({ pid }) => !isThere(pid)))
        await site.server.restart()
      }
      await works()
      const content = readFileSync(file)
      expect(content.equals(oldContent) || content.equals(newContent), `${content.length} bytes`).toBe(true)
      if (status === 204) expect(content.equals(newContent)).toBe(true)
      if (status !== undefined && status !== 204) expect([502, 503]).toContain(status)
      if (content.equals(oldContent)) expect(status).not.toBe(204)
      await eventually('nothing half-done is left', async () => (await namesBelow(alice.home)).join() === 'f,own.txt', 20_000) // prettier-ignore
    })
  })
})

describeForeign('what one user does to the other', privsepNeeds, () => {
  let site: PrivsepSite
  let alice: UnixUser
  let bob: UnixUser

  beforeAll(async () => {
    site = await openPrivsepSite()
    ;({ alice, bob } = site)
    expect((await site.ask(alice, 'GET', `/home/${alice.name}/own.txt`)).status).toBe(200)
  })

  afterAll(() => site.dispose())

  const ofBob = (): Promise<number> => site.ask(bob, 'GET', `/home/${bob.name}/secret.txt`).then(({ status }) => status)

  /** Alice works as ever while something else goes on; each answer within a bound that no waiting for bob would keep. */
  async function undisturbed(until: Promise<unknown>): Promise<number> {
    const over = { is: false }
    void until.finally(() => (over.is = true)).catch(() => undefined)
    let rounds = 0
    for (; !over.is || rounds < 5; rounds += 1) {
      const begun = performance.now()
      const body = `round ${rounds}`
      expect([201, 204]).toContain((await site.ask(alice, 'PUT', `/home/${alice.name}/w`, { body })).status)
      expect((await site.ask(alice, 'GET', `/home/${alice.name}/w`)).text).toBe(body)
      expect((await site.ask(alice, 'PROPFIND', `/home/${alice.name}/`, { headers: { Depth: '1' } })).status).toBe(207)
      expect(performance.now() - begun).toBeLessThan(5000)
    }
    return rounds
  }

  it('a worker that hangs: its user is told to come again, nobody else waits, and it is replaced', async () => {
    expect(await ofBob()).toBe(200)
    const worker = site.server.workerOf(bob.uid) ?? 0
    process.kill(worker, 'SIGSTOP')
    const hung = Promise.all([ofBob(), ofBob()])
    await undisturbed(hung)
    expect(await hung).toEqual([503, 503])
    await eventually('bob is served again', async () => (await ofBob()) === 200, 20_000)
    expect(isThere(worker)).toBe(false)
  })

  it('a worker that dies again and again', async () => {
    const end = Date.now() + 4000
    const dying = (async () => {
      while (Date.now() < end) {
        const asked = ofBob().catch(() => 503)
        const worker = site.server.workerOf(bob.uid)
        if (worker !== undefined) process.kill(worker, 'SIGKILL')
        expect([200, 503]).toContain(await asked)
      }
    })()
    await undisturbed(dying)
    await dying
    await eventually('bob is served again', async () => (await ofBob()) === 200, 30_000)
  })

  it('a flood of requests', async () => {
    const flood = Promise.all(Array.from({ length: 200 }, () => site.ask(bob, 'PROPFIND', '/', { headers: { Depth: 'infinity' } }))) // prettier-ignore
    await undisturbed(flood)
    for (const { status } of await flood) expect([207, 429, 503]).toContain(status)
  })
})

/** What a process of bob could say that has been taken over, by what stands in the file `mode` in his home. */
const hostile = `
import { readFileSync, openSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Socket } from 'node:net'
const settings = JSON.parse(readFileSync(0, 'utf8'))
const mode = readFileSync(settings.home + '/mode', 'utf8')
const link = new Socket({ fd: 3 })
link.on('error', () => process.exit(0))
link.on('end', () => process.exit(0))
const frame = (head, bytes = Buffer.alloc(0)) => {
  const text = Buffer.from(typeof head === 'string' ? head : JSON.stringify(head))
  const prefix = Buffer.alloc(8)
  prefix.writeUInt32BE(text.length + bytes.length)
  prefix.writeUInt32BE(text.length, 4)
  link.write(Buffer.concat([prefix, text, bytes]))
}
const addon = () => createRequire(import.meta.url)('../native/postern-' + process.platform + '-' + process.arch + '.node')
const kinds = { directory: '/', device: '/dev/zero' }
let pending = Buffer.alloc(0)
link.on('data', (piece) => {
  writeFileSync(settings.home + '/asked-' + mode, '')
  if (mode === 'silence') return
  if (mode === 'noise') return void link.write(Buffer.from(Array.from({ length: 4096 }, () => Math.floor(Math.random() * 256))))
  if (mode === 'huge') return void link.write(Buffer.from([255, 255, 255, 255, 0, 0, 0, 9, 1, 2, 3]))
  pending = Buffer.concat([pending, piece])
  while (pending.length >= 8 && pending.length >= 8 + pending.readUInt32BE(0)) {
    const head = JSON.parse(pending.subarray(8, 8 + pending.readUInt32BE(4)).toString())
    pending = pending.subarray(8 + pending.readUInt32BE(0))
    if (head.ask === undefined) continue
    if (mode === 'nobody-asked') frame({ answer: head.ask + 1000, head: {} })
    else if (mode === 'unknown') frame({ ask: 1, name: 'become-root', head: {} })
    else if (mode === 'not-json') frame('{"answer":')
    else if (mode === 'ticket-only') { if (head.name === 'ticket' || head.name === 'ping') frame({ answer: head.ask, head: {} }) }
    else if (mode === 'flood') for (let n = 0; n < 5000; n += 1) frame({ ask: n + 1, name: 'note', head: { mount: 0 } })
    else if (head.name === 'ticket') frame({ answer: head.ask, head: {} })
    else if (mode in kinds) { addon().sendDescriptor(4, openSync(kinds[mode], 'r'), 1); frame({ answer: head.ask, fd: 1, head: {} }) }
    else if (mode === 'no-descriptor') frame({ answer: head.ask, fd: 7, head: {} })
    else frame({ answer: head.ask, head: { entry: { path: '/home/other/secret.txt' }, known: ['lies'], entries: [['../x']], path: '/etc/passwd' } })
  }
})
`

/** Those that live for long first: each that dies young makes the next one wait. */
const hostileModes = ['silence', 'ticket-only', 'lies', 'noise', 'huge', 'nobody-asked', 'unknown', 'not-json', 'flood', 'directory', 'device', 'no-descriptor'] as const // prettier-ignore

describeForeign('a worker that was taken over', privsepNeeds, () => {
  let site: PrivsepSite
  let program = ''

  beforeAll(async () => {
    site = await openPrivsepSite({ program: ({ bob }) => (program = programWithHostileWorker(bob.uid, hostile)) })
  })

  afterAll(async () => {
    await site.dispose()
    await rm(program, { recursive: true, force: true })
  })

  it.each(hostileModes)(
    'which answers with %s: neither front nor broker falls over, and alice is served',
    async (mode) => {
      const { alice, bob, server, ask } = site
      makeFile(join(bob.home, 'mode'), bob, 0o600, mode)
      expect((await server.cli(['sessions', 'close', bob.name])).code).toBe(0)
      const standing = server.processes().filter(({ part }) => part === 'broker' || part === 'front' || part === 'auth')
      const over = { is: false }
      const ways = [['GET'], ['PROPFIND'], ['PUT', 'x']] as const
      const asked = (async () => {
        // After one that died young there is a pause.
        const end = Date.now() + 60_000
        while (!existsSync(join(bob.home, `asked-${mode}`))) {
          await pause(50)
          expect(Date.now(), 'it was asked').toBeLessThan(end)
          const answers = ways.map(([method, body]) => ask(bob, method, `/home/${bob.name}/x`, { headers: { Depth: '0' }, ...(body !== undefined && { body }) })) // prettier-ignore
          // One that answers pings may be at slow work: only its own user waits, for as long as that likes.
          if (mode === 'ticket-only') for (const answer of answers) void answer.catch(() => undefined)
          else
            for (const { status, text } of await Promise.all(answers)) {
              expect([403, 404, 409, 500, 503]).toContain(status)
              expect(text).not.toMatch(/root:x|secret of/)
            }
        }
      })().finally(() => {
        over.is = true
      })
      for (let n = 0; n < 10 || !over.is; n += 1) {
        const begun = performance.now()
        expect((await ask(alice, 'GET', `/home/${alice.name}/own.txt`)).text).toBe('of alice')
        expect(performance.now() - begun).toBeLessThan(5000)
      }
      await asked
      const now = server.processes()
      for (const each of standing) expect(now).toContainEqual(each)
    },
    120_000,
  )
})

function isThere(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
