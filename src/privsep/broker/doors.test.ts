import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import type { Head, Table } from '../wire/link.js'
import { authTable } from './auth-door.js'
import { frontTable } from './front-door.js'
import type { AuditLine } from './options.js'

/** Both tables, over an inside that notes all that reaches it. */
function doors() {
  const reached: string[] = []
  const broken: string[] = []
  const audit: AuditLine[] = []
  const note =
    (what: string) =>
    (...args: readonly unknown[]) => {
      reached.push([what, ...args.map((arg) => JSON.stringify(arg))].join(' '))
    }
  const onBroken = (why: string): void => void broken.push(why)
  const never = (what: string) => () => {
    reached.push(what)
    return Promise.reject(new Failure('denied', 'no-such-account'))
  }
  const front = frontTable(
    { id: 1, isClosed: false },
    {
      users: { bearerOf: () => undefined },
      workers: { start: never('start'), hung: (_front, id) => reached.push(`hung ${id}`) > 0 },
      ...{ onListening: note('listening'), onFailed: note('failed'), onBroken, audit: (line) => void audit.push(line) },
    },
  )
  const auth = authTable({
    users: { admit: never('admit') },
    helpers: { start: never('pam'), end: (id) => reached.push(`end ${id}`) > 0 },
    ...{ onReady: note('ready'), onFailed: note('failed'), onBroken, audit: (line) => void audit.push(line) },
  })
  return { front, auth, reached, broken, audit }
}

async function say(table: Table, name: string, head: unknown, bytes = Buffer.alloc(0)): Promise<unknown> {
  return table[name]?.handle({ head: head as Head, bytes, signal: new AbortController().signal })
}

const fingerprint = Array.from({ length: 32 }, () => 'A9').join(':')
const longLine = 'x'.repeat(5000)

describe('what is not on the list', () => {
  it('is not in the table: each side has its own', () => {
    const { front, auth } = doors()
    expect(Object.keys(front).sort()).toEqual(['failed', 'hung', 'listening', 'worker'])
    expect(Object.keys(auth).sort()).toEqual(['account', 'failed', 'pam', 'pam-end', 'ready'])
  })

  it.each<readonly ['front' | 'auth', string, unknown]>([
    ['front', 'worker', {}],
    ['front', 'worker', { ticket: 7 }],
    ['front', 'worker', { ticket: ['v1'] }],
    ['front', 'worker', { ticket: 'x'.repeat(1025) }],
    ['front', 'worker', { ticket: 'v1', user: 'root' }],
    ['front', 'worker', { ticket: 'v1', uid: 0 }],
    ['front', 'hung', {}],
    ['front', 'hung', { worker: '1' }],
    ['front', 'hung', { worker: -1 }],
    ['front', 'hung', { worker: 1.5 }],
    ['front', 'hung', { worker: 1, pid: 1 }],
    ['front', 'listening', {}],
    ['front', 'listening', { addresses: 'http://x' }],
    ['front', 'listening', { addresses: [7] }],
    ['front', 'listening', { addresses: ['\u001b[2Jhttp://x'] }],
    ['front', 'listening', { addresses: ['http://x\nlistening http://y'] }],
    ['front', 'listening', { addresses: Array.from({ length: 300 }, () => 'http://x') }],
    ['front', 'listening', { addresses: [], certificate: 'AA:BB' }],
    ['front', 'listening', { addresses: [], certificate: null }],
    ['front', 'listening', { addresses: [], certificate: { file: '/c.pem' } }],
    ['front', 'listening', { addresses: [], certificate: { file: '/c\n', fingerprint } }],
    ['front', 'listening', { addresses: [], certificate: { file: '/c.pem', fingerprint: `${fingerprint}\n` } }],
    ['front', 'listening', { addresses: [], certificate: { file: '/c.pem', fingerprint, key: 'x' } }],
    ['front', 'failed', { problem: 7 }],
    ['front', 'failed', { problem: '\u009b2J' }],
    ['front', 'failed', { problem: longLine }],
    ['auth', 'account', {}],
    ['auth', 'account', { user: 7 }],
    ['auth', 'account', { user: 'x'.repeat(1025) }],
    ['auth', 'account', { user: 'alice', uid: 0 }],
    ['auth', 'pam', { service: 'su' }],
    ['auth', 'pam', { command: ['/bin/sh'] }],
    ['auth', 'pam-end', {}],
    ['auth', 'pam-end', { helper: '1' }],
    ['auth', 'ready', { admin: 'root' }],
    ['auth', 'ready', { admin: { name: 'admin' } }],
    ['auth', 'ready', { admin: { name: '\u001b[31m', grants: [] } }],
    ['auth', 'ready', { admin: { name: 'admin', grants: [], password: 'a\nb' } }],
    ['auth', 'ready', { admin: { name: 'admin', grants: [], shell: 'sh' } }],
    ['auth', 'ready', { user: 'root' }],
  ])('breaks the link: %s %s %o', async (side, name, head) => {
    const all = doors()
    await expect(say(all[side], name, head)).rejects.toMatchObject({ kind: 'invalid' })
    expect(all.broken).toHaveLength(1)
    expect(all.reached).toEqual([])
  })

  it('has no bytes behind it', async () => {
    const { auth, broken, reached } = doors()
    await expect(say(auth, 'pam', {}, Buffer.from('x'))).rejects.toMatchObject({ kind: 'invalid' })
    expect([broken.length, reached.length]).toEqual([1, 0])
  })

  it('never reaches what is behind the door, whatever it is', async () => {
    const names = fc.constantFrom('worker', 'hung', 'listening', 'failed', 'account', 'pam', 'pam-end', 'ready')
    const key = fc.constantFrom(
      'ticket',
      'worker',
      'addresses',
      'problem',
      'user',
      'helper',
      'admin',
      'extra',
      '__proto__',
    )
    const head = fc.dictionary(key, fc.jsonValue())
    await fc.assert(
      fc.asyncProperty(names, head, async (name, given) => {
        const { front, auth, broken, reached } = doors()
        for (const table of [front, auth]) await say(table, name, given).catch(() => undefined)
        if (broken.length > 0 && name !== 'failed') expect(reached).toEqual([])
      }),
    )
  })
})

describe('what is on the list', () => {
  it('needs a good ticket for a worker, and a refusal stands in the audit log without it', async () => {
    const { front, reached, broken, audit } = doors()
    await expect(say(front, 'worker', { ticket: 'v1.secret.x' })).rejects.toMatchObject({ kind: 'denied' })
    expect([reached, broken]).toEqual([[], []])
    expect(audit).toEqual([{ what: 'worker', result: 'refused', front: 1, why: 'ticket' }])
  })

  it('gets through', async () => {
    const { front, auth, reached, broken } = doors()
    await say(front, 'hung', { worker: 3 })
    await say(front, 'listening', { addresses: ['http://[::1]:80'] })
    await say(front, 'listening', { addresses: [], certificate: { file: '/c.pem', fingerprint } })
    await say(front, 'failed', { problem: 'one\ntwo' })
    await say(auth, 'ready', {})
    await say(auth, 'ready', { admin: { name: 'admin', grants: ['rw:/**'], password: 'x' } })
    await say(auth, 'pam-end', { helper: 2 })
    await expect(say(auth, 'account', { user: 'ghost\n' })).rejects.toMatchObject({ kind: 'denied' })
    expect(broken).toEqual([])
    expect(reached).toHaveLength(8)
  })
})
