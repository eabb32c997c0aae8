import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { spawnedPam } from './spawned-pam.js'
import { PamPool } from './pool.js'
import type { PamPoolOptions } from './pool.js'

const rules = { minimumUid: 1000, allowedUsers: [], allowedGroups: [], deniedUsers: [], deniedGroups: [] }
const pools: PamPool[] = []

/** PAM is asked nowhere else, and only there is a /proc to look into. */
const onLinux = it.skipIf(process.platform !== 'linux')

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close()
})

/** A program in the place of ours: `answer(question, password)` gives the text of an answer, or does something else. */
function program(answer: string): readonly string[] {
  return [
    process.execPath,
    '-e',
    `const fs = require('fs')
     const read = (length) => { const bytes = Buffer.alloc(length); let got = 0
       while (got < length) { const n = fs.readSync(3, bytes, got, length - got, null); if (n === 0) process.exit(0); got += n }
       return bytes }
     const write = (text) => { const head = Buffer.alloc(4); head.writeUInt32BE(Buffer.byteLength(text)); fs.writeSync(4, Buffer.concat([head, Buffer.from(text)])) }
     const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
     const answer = ${answer}
     for (;;) { const bytes = read(read(4).readUInt32BE(0)); const end = 2 + bytes.readUInt16BE(0)
       const text = answer(JSON.parse(bytes.toString('utf8', end)), bytes.toString('utf8', 2, end))
       if (text !== undefined) write(text) }`,
  ]
}

const accept = `JSON.stringify({ kind: 'accepted', name: question.user, groups: [], stamp: String(process.pid) })`

function open(command: readonly string[], options: Partial<PamPoolOptions> = {}): PamPool {
  const pool = new PamPool({
    start: spawnedPam(command),
    service: 'postern',
    rules,
    stampKey: Buffer.from('key'),
    processes: 2,
    timeoutSeconds: 5,
    refusalMilliseconds: 0,
    warn: () => undefined,
    ...options,
  })
  pools.push(pool)
  return pool
}

/** The processes of a group, without those that only wait to be buried (proc(5)). */
function livingIn(group: number): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      const [state, , pgrp] = /\) (\S) (\d+) (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.slice(1) ?? []
      return state !== 'Z' && Number(pgrp) === group
    } catch {
      return false
    }
  })
}

const stampOf = async (pool: PamPool, user = 'alice'): Promise<string> => {
  const answer = await pool.login(user, 'pw')
  if (answer.kind !== 'accepted') throw new Error(`not accepted: ${JSON.stringify(answer)}`)
  return answer.stamp
}

describe('a process that asks PAM', () => {
  it.each([
    ['ends', '() => process.exit(0)'],
    ['crashes', `() => process.kill(process.pid, 'SIGSEGV')`],
    ['sends no frame', `() => { fs.writeSync(4, 'HTTP/1.1 200 OK\\r\\n\\r\\n') }`],
    ['sends too large a frame', `() => { fs.writeSync(4, Buffer.from([255, 255, 255, 255])) }`],
    ['sends no JSON', `() => 'yes'`],
    ['sends another thing', `() => '{"kind":"identity"}'`],
    ['sends an answer with a tail', `() => { fs.writeSync(4, Buffer.concat([Buffer.from([0,0,0,18]), Buffer.from('{"kind":"unknown"}x')])) }`],
  ])('and %s lets nobody in, and takes nothing along', async (_what, answer) => {
    const lost: object[] = []
    const command = program(`(question) => question.user === 'mallory' ? (${answer})() : ${accept}`)
    const pool = open(command, { warn: (facts) => lost.push(facts) })
    const pid = await stampOf(pool)
    await expect(pool.login('mallory', 'secret of mallory')).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await stampOf(pool)).not.toBe(pid)
    expect(lost).toEqual([expect.objectContaining({ user: 'mallory', service: 'postern' })])
    expect(JSON.stringify(lost)).not.toContain('secret of mallory')
  }) // prettier-ignore

  onLinux('and hangs is ended in time, with those whom it has started', async () => {
    const command = program(`(question) => {
      if (question.user !== 'mallory') return ${accept}
      require('child_process').execFileSync('sleep', ['60'])
    }`)
    const pool = open(command, { timeoutSeconds: 1, processes: 1 })
    const pid = Number(await stampOf(pool))
    const begun = performance.now()
    await expect(pool.login('mallory', 'pw')).rejects.toMatchObject({ kind: 'unavailable', retryAfterSeconds: 5 })
    expect(performance.now() - begun).toBeLessThan(3000)
    expect(Number(await stampOf(pool))).not.toBe(pid)
    await vi.waitFor(() => expect(livingIn(pid)).toEqual([]))
  })

  it('that cannot be started is a source that is down', async () => {
    const pool = open(['/nowhere/postern-pam'])
    for (let time = 0; time < 3; time += 1)
      await expect(pool.login('alice', 'pw')).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('is not started again and again where it dies at once', async () => {
    const pids = new Set<unknown>()
    const pool = open(program(`() => process.exit(1)`), {
      timeoutSeconds: 1,
      warn: (facts) => pids.add((facts as { pid?: number }).pid),
    })
    const asked = Array.from({ length: 60 }, () => pool.login('alice', 'pw'))
    for (const one of await Promise.allSettled(asked)) expect(one.status).toBe('rejected')
    expect(pids.size).toBeLessThan(20)
  })

  onLinux('sees nothing of the environment but a path', async () => {
    const pool = open(program(`() => JSON.stringify({ kind: 'refused', why: JSON.stringify([process.env, process.cwd(), fs.readdirSync('/proc/self/fd').map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd) } catch { return '' } }).filter((name) => name.startsWith('socket:')).length]) })`)) // prettier-ignore
    const answer = await pool.login('alice', 'pw')
    expect(JSON.parse(answer.kind === 'refused' ? answer.why : '')).toEqual([
      { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      '/',
      2,
    ])
  })
})

describe('a pool of them', () => {
  it('asks each process one question at a time, in order, and gives everybody their own answer', async () => {
    const pool = open(program(`(question, password) => JSON.stringify({ kind: 'accepted', name: question.user, groups: [password], stamp: String(process.pid) })`)) // prettier-ignore
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => pool.login(`user${n}`, `pw${n}`)))
    answers.forEach((answer, n) => expect(answer).toMatchObject({ name: `user${n}`, groups: [`pw${n}`] }))
    const pids = new Set(answers.map((answer) => (answer.kind === 'accepted' ? answer.stamp : '')))
    expect(pids.size).toBe(2)
  })

  it('lets no more wait than it can serve, nor longer than they would', async () => {
    const pool = open(program(`() => { sleep(60000) }`), { timeoutSeconds: 1, processes: 1 })
    const begun = performance.now()
    const asked = Array.from({ length: 400 }, () => pool.login('alice', 'pw'))
    for (const one of await Promise.allSettled(asked))
      expect(one).toMatchObject({ status: 'rejected', reason: { kind: 'unavailable' } })
    expect(performance.now() - begun).toBeLessThan(4000)
  })

  it('gives no refusal sooner than it is told, and holds no process meanwhile', async () => {
    const command = program(`(question) => question.user === 'alice' ? ${accept} : JSON.stringify(question.user === 'bob' ? { kind: 'refused', why: 'locked' } : { kind: 'unknown' })`) // prettier-ignore
    const pool = open(command, { refusalMilliseconds: 400, processes: 1 })
    await stampOf(pool)
    const begun = performance.now()
    const refused = Promise.all(['bob', 'nobody', 'bob', 'nobody'].map((user) => pool.login(user, 'pw')))
    await stampOf(pool)
    expect(performance.now() - begun).toBeLessThan(350)
    await refused
    const took = performance.now() - begun
    expect(took).toBeGreaterThanOrEqual(398)
    expect(took).toBeLessThan(800)
  })

  it('does not care what modules print', async () => {
    const pool = open(program(`(question) => { console.log('hello'); console.error('hello'); return ${accept} }`))
    const pid = await stampOf(pool)
    expect(await stampOf(pool)).toBe(pid)
  })

  it('goes on where a process says that PAM has failed', async () => {
    const pool = open(program(`(question) => question.user === 'alice' ? ${accept} : '{"kind":"failed","why":"no"}'`))
    const pid = await stampOf(pool)
    await expect(pool.login('bob', 'pw')).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await stampOf(pool)).toBe(pid)
  })

  it('ends with everything in it', async () => {
    const pool = open(program(`(question) => question.user === 'alice' ? ${accept} : void sleep(60000)`))
    const pid = Number(await stampOf(pool))
    const asked = ['bob', 'carol', 'dave'].map((user) => pool.login(user, 'pw'))
    const settled = Promise.allSettled(asked)
    await pool.close()
    for (const one of await settled) expect(one).toMatchObject({ status: 'rejected', reason: { kind: 'unavailable' } })
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    await expect(pool.login('alice', 'pw')).rejects.toMatchObject({ kind: 'unavailable' })
  })
})
