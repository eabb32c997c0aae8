import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { issueTicket, type Ticket } from '../ticket.js'
import { TicketGate } from './gate.js'

const key = Buffer.alloc(32, 1)
const rules = { key, uid: 61010, generation: '0123456789abcdef' }
const begin = 1_700_000_000_000

function gateAt(): { readonly gate: TicketGate; readonly clock: { now: number } } {
  const clock = { now: begin }
  return { gate: new TicketGate({ ...rules, now: () => clock.now }), clock }
}

function ticketWith(changes: Partial<Ticket> = {}, by: Uint8Array = key): string {
  return issueTicket(by, { user: 'u', uid: 61010, generation: rules.generation, expires: begin + 1000, ...changes })
}

function refuses(work: () => void): boolean {
  try {
    work()
    return false
  } catch (error) {
    return isFailure(error, 'unauthenticated')
  }
}

describe('TicketGate', () => {
  it('lets nobody in without a ticket', () => {
    expect(refuses(() => gateAt().gate.require())).toBe(true)
  })

  it('refuses all tickets but its own that have not expired, and stays shut', () => {
    const good = ticketWith()
    const bad: readonly unknown[] = [
      undefined,
      null,
      7,
      '',
      {},
      [good],
      good.slice(0, -1),
      good.slice(1),
      good + 'A',
      good.replace('v1', 'v2'),
      `${good}\n`,
      ticketWith({ expires: begin }),
      ticketWith({ expires: begin - 1 }),
      ticketWith({ uid: 61011 }),
      ticketWith({ generation: 'fedcba9876543210' }),
      ticketWith({}, Buffer.alloc(32, 2)),
    ]
    const { gate } = gateAt()
    for (const text of bad) expect([text, refuses(() => gate.show(text))]).toEqual([text, true])
    expect(refuses(() => gate.require())).toBe(true)
    gate.show(good)
    gate.require()
  })

  it('refuses a ticket with any other letter', () => {
    const good = ticketWith()
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.constantFrom(...Array.from('Aa0-_.=/ ')), (at, letter) => {
        const other = good.slice(0, at) + letter + good.slice(at + 1)
        return other === good || refuses(() => gateAt().gate.show(other))
      }),
    )
  })

  it('shuts when the ticket expires, and opens with a newer one; an older or a bad one changes nothing', () => {
    const { gate, clock } = gateAt()
    gate.show(ticketWith({ expires: begin + 1000 }))
    gate.show(ticketWith({ expires: begin + 500 }))
    expect(refuses(() => gate.show('v1.x.y'))).toBe(true)
    clock.now = begin + 999
    gate.require()
    clock.now = begin + 1000
    expect(refuses(() => gate.require())).toBe(true)
    gate.show(ticketWith({ expires: begin + 2000 }))
    gate.require()
  })

  it('asks for a ticket before anything else is looked at', () => {
    const looked: unknown[] = []
    const { gate } = gateAt()
    const table = gate.guard({ stat: { maxBytes: 1, handle: ({ head }) => void looked.push(head) } }, (mount) => {
      looked.push(mount)
      return undefined
    })
    const asked = { head: { mount: 0 }, bytes: Buffer.alloc(0), signal: new AbortController().signal }
    expect(refuses(() => void table.stat?.handle(asked))).toBe(true)
    expect(looked).toEqual([])
    gate.show(ticketWith())
    void table.stat?.handle(asked)
    expect(looked).toEqual([0, { mount: 0 }])
  })
})
