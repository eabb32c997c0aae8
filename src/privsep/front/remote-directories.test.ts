import { afterEach, expect, describe, it, vi } from 'vitest'
import { createCredentialKey } from '../../auth/cached.js'
import type { Credential, Verdict } from '../../auth/identity.js'
import { Failure } from '../../core/failure.js'
import { doorTo } from '../../../test/privsep-door.js'
import type { About } from '../auth/about.js'
import type { Head } from '../wire/link.js'
import { anonymousTicket } from './anonymous-ticket.js'
import { openThrottle, remoteDirectories } from './remote-directories.js'
import type { TicketBook } from './ticket-book.js'

const alice: Credential = { kind: 'password', name: 'alice', password: 'secret' }
const facts = { method: 'GET', target: '/' }
const start = 1_000_000

interface Answering {
  readonly kinds?: About['kinds']
  /** What `check` answers; alice until 100 s from the start, without it. */
  readonly answer?: (count: number) => Head | Promise<Head>
}

function setUp({ kinds = { password: 'credential' }, answer = () => asAlice }: Answering = {}) {
  let now = start
  const clock = { now: () => now }
  const tickets = new Map<string, { ticket: string; expires: number }>()
  const book: TicketBook = {
    put: (user, ticket, expires) => void tickets.set(user, { ticket, expires }),
    expiresOf: (user) => {
      const expires = tickets.get(user)?.expires
      return expires !== undefined && expires > now ? expires : undefined
    },
  }
  let asked = 0
  const handle = async () => ({ head: await answer((asked += 1)) })
  const door = doorTo({ check: { maxBytes: 10_000, handle }, anonymous: { maxBytes: 100, handle } })
  const remote = remoteDirectories({ door, about: { kinds }, book, clock, keyOf: createCredentialKey() })
  const check = async (address?: string, credential = alice): Promise<Verdict | undefined> =>
    remote.directories
      .find(({ accepts }) => accepts.has(credential.kind))
      ?.check(credential, { ...facts, ...(address !== undefined && { address }) })
  return { remote, check, book, clock, door, tickets, asked: () => asked, pass: (ms: number) => (now += ms) }
}

/** What is known to be current is so for a turn of the event loop. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const identity = { name: 'alice', source: 'htpasswd', grants: ['rw:/**'] }
const asAlice = {
  identity: { ...identity, unixUser: 'alice' },
  until: start + 100_000,
  ticket: 'v1.a.b',
  ticketExpires: start + 900_000,
  unixUser: 'alice',
}

describe('a process that stands still', () => {
  afterEach(() => vi.useRealTimers())

  it.each(['a login', 'a caller without one'])('does not keep %s waiting for ever', async (who) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const { check, book, clock, door, asked } = setUp({ answer: () => new Promise(() => undefined) })
    const waiting = who === 'a login' ? check() : anonymousTicket({ door, book, clock, unixUser: 'alice' })()
    const seen = expect(waiting).rejects.toMatchObject({ kind: 'unavailable' })
    while (asked() === 0) await nextTurn()
    await vi.advanceTimersByTimeAsync(61_000)
    await seen
  })
})

describe('what is refused', () => {
  it.each([
    new Failure('unauthenticated', 'This needs a valid login.', { challenges: ['Basic realm="elsewhere"'] }),
    new Failure('throttled', 'Too many failed logins. Try again later.', { retryAfterSeconds: 17 }),
    new Failure('unavailable', 'Logins cannot be checked now.', { retryAfterSeconds: 5 }),
    new Failure('denied', 'Access is denied.'),
  ])('comes across as it is, and is not remembered: $kind', async (failure) => {
    const { check, asked } = setUp({
      answer: () => {
        throw failure
      },
    })
    const { kind, message, retryAfterSeconds, challenges } = failure
    for (let round = 1; round <= 2; round += 1) {
      await expect(check()).rejects.toMatchObject({ kind, message, retryAfterSeconds, challenges })
      expect(asked()).toBe(round)
    }
  })

  it('is asked about once by those who ask at once', async () => {
    const { check, asked } = setUp({
      answer: () => {
        throw new Failure('unauthenticated', 'no')
      },
    })
    const refused = await Promise.allSettled([check(), check(), check()])
    expect(refused.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(asked()).toBe(1)
  })
})

describe('a login that is remembered', () => {
  it('ends when its source says', async () => {
    const { check, asked, pass } = setUp()
    await check()
    pass(99_999)
    await check()
    expect(asked()).toBe(1)
    pass(1)
    await check()
    expect(asked()).toBe(2)
  })

  it('is none where its source is never to be remembered, not even by those who ask at once', async () => {
    const { check, asked } = setUp({ answer: () => ({ ...asAlice, until: 0 }) })
    await Promise.all([check(), check()])
    await check()
    expect(asked()).toBe(3)
  })

  it('ends with its ticket', async () => {
    const { check, asked, pass } = setUp({ answer: () => ({ ...asAlice, until: start + 10_000_000 }) })
    await check()
    pass(899_999)
    await check()
    expect(asked()).toBe(1)
    pass(1)
    await nextTurn()
    await check()
    expect(asked()).toBe(2)
  })

  it('ends when its ticket is taken away, or the user is forgotten, and no other one with it', async () => {
    const { check, asked, tickets, remote } = setUp({
      answer: (count) => (count === 2 ? { identity, until: start + 100_000 } : asAlice),
    })
    const bob: Credential = { kind: 'password', name: 'bob', password: 'secret' }
    await check()
    await check(undefined, bob)
    remote.forget('alice')
    await nextTurn()
    await check()
    await check(undefined, bob)
    expect(asked()).toBe(3)
    tickets.clear()
    await nextTurn()
    await check()
    await check(undefined, bob)
    expect(asked()).toBe(4)
    remote.forget()
    await nextTurn()
    await check()
    await check(undefined, bob)
    expect(asked()).toBe(6)
  })

  it('is asked about again where its user was forgotten while the answer was on its way', async () => {
    let forget: () => void = () => undefined
    const { check, asked, remote } = setUp({
      answer: () => {
        forget()
        return asAlice
      },
    })
    forget = () => {
      remote.forget('alice')
      forget = () => undefined
    }
    await check()
    await check()
    await check()
    expect(asked()).toBe(2)
  })

  it('is one for each address where it depends on that', async () => {
    const { check, asked } = setUp({ kinds: { password: 'address' } })
    await check('10.0.0.1')
    await check('10.0.0.1')
    await check('10.0.0.2')
    await check('10.0.0.2')
    expect(asked()).toBe(2)
  })

  it('is none where it depends on the request', async () => {
    const { check, asked } = setUp({ kinds: { password: 'request' } })
    await Promise.all([check(), check()])
    await check()
    expect(asked()).toBe(3)
  })

  it('costs no trip, and puts its ticket into the book under the name of the system', async () => {
    const { check, asked, tickets } = setUp({ answer: () => ({ ...asAlice, unixUser: 'ALICE' }) })
    const checks = await Promise.all([check(), check(), check()])
    for (const verdict of checks) expect(verdict).toMatchObject({ kind: 'identity', identity: { unixUser: 'ALICE' } })
    expect([...tickets.keys()]).toEqual(['ALICE'])
    expect(asked()).toBe(1)
  })
})

it('each kind of credential has one place to go', () => {
  const kinds = { password: 'address', bearer: 'credential', 'api-key': 'credential' } as const
  const { remote } = setUp({ kinds })
  expect(remote.directories.map(({ accepts }) => [...accepts])).toEqual([['password'], ['bearer', 'api-key']])
})

it('nobody is slowed twice', async () => {
  const attempts = Array.from({ length: 200 }, async () => {
    const attempt = await openThrottle.enter({ name: 'alice', key: 'key' })
    await attempt.failed()
  })
  await expect(Promise.all(attempts)).resolves.toHaveLength(200)
})

describe('callers without a credential', () => {
  it('are not let in where they may not act as their user, nor where that cannot be known at first', async () => {
    for (const kind of ['denied', 'unavailable'] as const) {
      const { door, book, clock } = setUp({
        answer: () => {
          throw new Failure(kind, 'no')
        },
      })
      await expect(anonymousTicket({ door, book, clock, unixUser: 'www' })()).rejects.toMatchObject({ kind })
    }
  })

  it('are asked about once a minute, and let in for as long as the ticket holds where nobody answers', async () => {
    const { door, book, clock, asked, pass } = setUp({
      answer: (count) => {
        if (count > 1) throw new Failure('unavailable', 'no')
        return { ticket: 'v1.a.b', ticketExpires: start + 900_000, unixUser: 'www' }
      },
    })
    const admit = anonymousTicket({ door, book, clock, unixUser: 'www' })
    await Promise.all([admit(), admit()])
    await admit()
    expect(asked()).toBe(1)
    pass(60_000)
    await admit()
    expect(asked()).toBe(2)
    pass(840_000)
    await expect(admit()).rejects.toMatchObject({ kind: 'unavailable' })
  })
})
