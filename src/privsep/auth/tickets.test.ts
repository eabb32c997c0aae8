import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import { readTicket } from '../ticket.js'
import type { Head } from '../wire/link.js'
import { BrokerTickets } from './tickets.js'

const key = Buffer.alloc(32, 7)
const generation = '0123456789abcdef'

/** A broker that knows alice, and counts how often it was asked. */
function broker(answer: (user: unknown) => Head) {
  const asked: unknown[] = []
  return {
    asked,
    ask: async (_name: string, head: Head = {}) => {
      asked.push(head['user'])
      return { head: answer(head['user']), bytes: Buffer.alloc(0) }
    },
  }
}

function tickets(answer: (user: unknown) => Head = alice) {
  let now = 1_000_000
  const asking = broker(answer)
  const made = new BrokerTickets(asking, { now: () => now }, 900)
  return { made, asking, pass: (milliseconds: number) => (now += milliseconds), now: () => now }
}

const alice = (user: unknown): Head => ({ user, uid: 1001, gid: 1001, generation, key: key.toString('base64') })

describe('no ticket', () => {
  it('for whom the broker refuses, with its reason for the log and not for the caller', async () => {
    const { made, asking } = tickets(() => {
      throw new Failure('denied', 'uid-below-minimum')
    })
    for (let round = 1; round <= 2; round += 1) {
      const refused: unknown = await made.grant({ unixUser: 'root' }).catch((error: unknown) => error)
      expect(refused).toMatchObject({ kind: 'denied', cause: { message: 'uid-below-minimum' } })
      expect((refused as Error).message).not.toContain('uid')
      // A refusal is not remembered.
      expect(asking.asked).toHaveLength(round)
    }
  })

  it('where the broker cannot say', async () => {
    const { made } = tickets(() => {
      throw new Failure('unavailable', 'no')
    })
    await expect(made.grant({ unixUser: 'alice' })).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('where what the broker says makes no sense', async () => {
    const { made } = tickets(() => ({ user: 'alice', uid: '1001' }))
    await expect(made.grant({ unixUser: 'alice' })).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('for whom acts as nobody, of whom the broker is not asked', async () => {
    const { made, asking } = tickets()
    expect(await made.grant({})).toBeUndefined()
    expect(asking.asked).toEqual([])
  })
})

describe('a ticket', () => {
  it('is what the worker of that user takes, in this life, until it is over', async () => {
    const { made, now } = tickets(() => ({ ...alice('Alice'), user: 'alice' }))
    const granted = await made.grant({ unixUser: 'Alice' })
    expect(granted).toMatchObject({ unixUser: 'alice', ticketExpires: now() + 900_000 })
    const reading = { uid: 1001, generation, now: now() }
    expect(readTicket(key, granted?.ticket, reading)).toMatchObject({ user: 'alice', uid: 1001 })
    expect(readTicket(key, granted?.ticket, { ...reading, now: now() + 900_000 })).toBeUndefined()
    expect(readTicket(key, granted?.ticket, { ...reading, uid: 1002 })).toBeUndefined()
    expect(readTicket(key, granted?.ticket, { ...reading, generation: 'ffffffffffffffff' })).toBeUndefined()
    expect(readTicket(Buffer.alloc(32, 8), granted?.ticket, reading)).toBeUndefined()
  })

  it('outlives what was shown by a minute at most', async () => {
    const { made, now } = tickets()
    expect((await made.grant({ unixUser: 'alice' }, 0))?.ticketExpires).toBe(now() + 60_000)
    expect((await made.grant({ unixUser: 'alice' }, now() + 100_000))?.ticketExpires).toBe(now() + 100_000)
    expect((await made.grant({ unixUser: 'alice' }, now() + 10_000_000))?.ticketExpires).toBe(now() + 900_000)
  })

  it('costs the broker one question in two seconds, unless something has changed', async () => {
    const { made, asking, pass } = tickets()
    const many = Array.from({ length: 20 }, () => made.grant({ unixUser: 'alice' }))
    await Promise.all(many)
    expect(asking.asked).toEqual(['alice'])
    made.forget('alice')
    await made.grant({ unixUser: 'alice' })
    expect(asking.asked).toHaveLength(2)
    pass(2000)
    await made.grant({ unixUser: 'alice' })
    expect(asking.asked).toHaveLength(3)
  })
})
