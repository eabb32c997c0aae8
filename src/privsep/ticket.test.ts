import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { claimOf, issueTicket, maxTicketLength, readTicket, workerKey } from './ticket.js'

const master = Buffer.alloc(32, 1)
const generation = '0123456789abcdef'
const uid = 1000
const now = 1_700_000_000_000
const key = workerKey(master, uid, generation)
const ticket = { user: 'alice', uid, generation, expires: now + 1 }
const reading = { uid, generation, now }
const text = issueTicket(key, ticket)

/** A ticket with an HMAC that is right, whatever it says. */
function signed(payload: string): string {
  const other = issueTicket(key, ticket)
  return `${other.slice(0, 3)}${Buffer.from(payload).toString('base64url')}${other.slice(other.lastIndexOf('.'))}`
}

describe('a ticket', () => {
  it('is refused where anything of it is another', () => {
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === 'A' ? 'B' : 'A'
      expect(readTicket(key, text.slice(0, at) + other + text.slice(at + 1), reading)).toBeUndefined()
      expect(readTicket(key, text.slice(0, at), reading)).toBeUndefined()
    }
    for (const more of [`${text}A`, `${text}=`, ` ${text}`, `${text}\n`, `${text}.${text}`])
      expect(readTicket(key, more, reading)).toBeUndefined()
  })

  it.each([
    ['another user’s key', workerKey(master, 1001, generation), reading],
    ['the key of another life', workerKey(master, uid, 'fedcba9876543210'), reading],
    ['the key of another installation', workerKey(Buffer.alloc(32, 2), uid, generation), reading],
    ['no key', Buffer.alloc(0), reading],
    ['another user', key, { ...reading, uid: 0 }],
    ['another life', key, { ...reading, generation: 'fedcba9876543210' }],
    ['the moment at which it expires', key, { ...reading, now: now + 1 }],
    ['later', key, { ...reading, now: Number.MAX_SAFE_INTEGER }],
    ['no time at all', key, { ...reading, now: NaN }],
  ])('is refused for %s', (_, by, given) => {
    expect(readTicket(by, text, given)).toBeUndefined()
  })

  it('of one user is none of another, though it names them', () => {
    const own = workerKey(master, 1001, generation)
    const forged = issueTicket(own, { ...ticket, uid: 1001 })
    const body = issueTicket(own, ticket)
    for (const wrong of [forged, body, `v1.${body.split('.')[1]}.${forged.split('.')[2]}`])
      expect(readTicket(key, wrong, reading)).toBeUndefined()
  })

  it.each([undefined, null, 1, {}, [text], '', 'v1', 'v1..', 'v2' + text.slice(2), 'x'.repeat(maxTicketLength + 1)])(
    'is no %j',
    (value) => {
      expect(readTicket(key, value, reading)).toBeUndefined()
      expect(claimOf(value)).toBeUndefined()
    },
  )

  it.each([
    'null',
    '[]',
    '{}',
    '{"user":"","uid":1000,"generation":"0123456789abcdef","expires":9e15}',
    '{"user":"a","uid":-1,"generation":"0123456789abcdef","expires":9e15}',
    '{"user":"a","uid":1.5,"generation":"0123456789abcdef","expires":9e15}',
    '{"user":"a","uid":4294967295,"generation":"0123456789abcdef","expires":9e15}',
    '{"user":"a","uid":"1000","generation":"0123456789abcdef","expires":9e15}',
    '{"user":"a","uid":1000,"generation":"../../../etc","expires":9e15}',
    '{"user":"a","uid":1000,"generation":"0123456789abcdef","expires":"never"}',
    '{"user":"a","uid":1000,"generation":"0123456789abcdef"}',
    '{"user":',
  ])('claims nothing where it says %s', (payload) => {
    expect(claimOf(signed(payload))).toBeUndefined()
  })

  it('says whom it is for, and by what key', () => {
    expect(readTicket(key, text, reading)).toEqual(ticket)
    expect(claimOf(text)).toEqual({ uid, generation })
  })

  it('is as long as a name may be, at most', () => {
    expect(issueTicket(key, { ...ticket, user: 'x'.repeat(255) }).length).toBeLessThanOrEqual(maxTicketLength)
  })

  it('can be any text, and is refused', () => {
    const forms = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string().map((payload) => signed(payload)),
      fc.json({ maxDepth: 1 }).map((payload) => signed(payload)),
      fc
        .tuple(fc.nat(text.length), fc.string({ maxLength: 3 }))
        .map(([at, more]) => text.slice(0, at) + more + text.slice(at + more.length)),
    )
    fc.assert(
      fc.property(forms, (given) => {
        expect(readTicket(key, given, reading)).toEqual(given === text ? ticket : undefined)
      }),
    )
  })

  it('is read back by its key, and by no other', () => {
    const some = fc.record({
      user: fc.string({ minLength: 1, maxLength: 100 }),
      uid: fc.integer({ min: 0, max: 0xffff_fffe }),
      generation: fc.uint8Array({ minLength: 4, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
      expires: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    })
    fc.assert(
      fc.property(some, (given) => {
        const own = workerKey(master, given.uid, given.generation)
        const made = issueTicket(own, given)
        expect(readTicket(own, made, { ...given, now: given.expires - 1 })).toEqual(given)
        expect(readTicket(randomBytes(32), made, { ...given, now: 0 })).toBeUndefined()
      }),
    )
  })
})
