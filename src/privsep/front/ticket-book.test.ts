import { expect, it } from 'vitest'
import { issueTicket } from '../ticket.js'
import { KeptTickets } from './ticket-book.js'

const key = Buffer.alloc(32, 3)

function setUp() {
  let now = 1_000_000
  const shown: string[] = []
  const book = new KeptTickets({ now: () => now }, (user, { ticket }) => shown.push(`${user} ${ticket}`))
  const ticket = (uid: number, expires: number, generation = '00112233'): string =>
    issueTicket(key, { user: `user${uid}`, uid, generation, expires })
  return { book, shown, ticket, pass: (milliseconds: number) => (now += milliseconds) }
}

it('a ticket that is over is none', () => {
  const { book, ticket, pass } = setUp()
  book.put('alice', ticket(1001, 1_000_500), 1_000_500)
  expect(book.expiresOf('alice')).toBe(1_000_500)
  expect(book.expiresOf('bob')).toBeUndefined()
  pass(500)
  expect(book.expiresOf('alice')).toBeUndefined()
  expect(book.ticketOf('alice')).toBeUndefined()
})

it('another one is kept only where it holds for half a minute more', () => {
  const { book, ticket, shown } = setUp()
  const first = ticket(1001, 1_100_000)
  book.put('alice', first, 1_100_000)
  book.put('alice', ticket(1001, 1_060_000), 1_060_000)
  book.put('alice', ticket(1001, 1_129_999), 1_129_999)
  expect(book.ticketOf('alice')).toEqual({ ticket: first, expires: 1_100_000 })
  const later = ticket(1001, 1_130_000)
  book.put('alice', later, 1_130_000)
  expect(book.ticketOf('alice')).toEqual({ ticket: later, expires: 1_130_000 })
  expect(shown).toEqual([`alice ${first}`, `alice ${later}`])
})

it('one of a new life of the worker takes the place of any other', () => {
  const { book, ticket } = setUp()
  book.put('alice', ticket(1001, 1_900_000), 1_900_000)
  const reborn = ticket(1001, 1_060_000, 'aabbccdd')
  book.put('alice', reborn, 1_060_000)
  expect(book.ticketOf('alice')).toEqual({ ticket: reborn, expires: 1_060_000 })
})

it('those of one user are dropped, under all names, and nobody else’s', () => {
  const { book, ticket } = setUp()
  book.put('alice', ticket(1001, 1_900_000), 1_900_000)
  book.put('ALICE', ticket(1001, 1_900_000), 1_900_000)
  book.put('bob', ticket(1002, 1_900_000), 1_900_000)
  expect(book.drop(1001)).toEqual(['alice', 'ALICE'])
  expect(book.expiresOf('alice')).toBeUndefined()
  expect(book.expiresOf('bob')).toBe(1_900_000)
  expect(book.drop(1001)).toEqual([])
})
