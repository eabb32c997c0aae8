import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hash } from 'node:crypto'
import type { ChainLink } from '../auth/sigv4/chunk-signatures.js'
import { Failure } from '../core/failure.js'
import { mostChainBytes, mostLinks, readSentChain, sentChain } from './sent-chain.js'
import { mostRequestBytes, readSentRequest, sentRequest, type RequestHead } from './sent-request.js'
import type { Head } from './wire/link.js'

/** As it comes out at the other end. */
function passed(head: Head): Head {
  return JSON.parse(JSON.stringify(head)) as Head
}

/** Undefined where it is refused on purpose. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof Failure && error.kind === 'invalid') return undefined
    throw error
  }
}

const latin = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) })
const token = fc.stringMatching(/^[a-z0-9-]{1,20}$/)
const unbroken = fc.stringMatching(/^[!-~\u0080-\u00ff]{0,60}$/)

const request: fc.Arbitrary<RequestHead> = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'POST', 'M-SEARCH'),
  target: unbroken,
  headers: fc
    .uniqueArray(fc.tuple(token, fc.array(latin, { minLength: 1, maxLength: 3 })), { selector: ([name]) => name })
    .map((entries) => new Map(entries)),
  origin: fc.record({ scheme: fc.constantFrom('http' as const, 'https' as const), authority: unbroken }),
  peer: fc.record(
    {
      address: fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant('fe80::1%eth0')),
      trusted: fc.constant(true as const),
    },
    { requiredKeys: [] },
  ),
})

describe('a request that is told of', () => {
  it('arrives as it is', () => {
    fc.assert(
      fc.property(request, (one) => {
        expect(readSentRequest(passed({ request: sentRequest(one) }))).toEqual(one)
      }),
    )
  })

  it('is refused before it would be longer than a message', () => {
    const of = (value: string, count: number): RequestHead => ({
      method: 'GET',
      target: '/',
      headers: new Map([['x', Array.from({ length: count }, () => value)]]),
      origin: { scheme: 'http', authority: 'h' },
      peer: {},
    })
    for (const [value, count] of [
      ['\u0001'.repeat(79_900), 1],
      ['', 13_000],
      ['\u00ff', 11_000],
      ['"', 11_000],
    ] as const)
      // prettier-ignore
      expect(JSON.stringify(sentRequest(of(value, count))).length).toBeLessThan(mostRequestBytes - 100)
    for (const [value, count] of [
      ['x'.repeat(80_000), 1],
      ['', 14_000],
      ['"', 12_000],
    ] as const)
      expect(() => sentRequest(of(value, count))).toThrow(Failure)
  })

  it('may be anything: it is read or refused on purpose', () => {
    const value = fc.anything({ maxDepth: 3 })
    const near = fc.record(
      { method: value, target: value, headers: value, scheme: value, authority: value, address: value, trusted: value },
      { requiredKeys: [] },
    )
    const changed = fc.tuple(request, near).map(([one, other]) => ({ ...sentRequest(one), ...other }))
    fc.assert(
      fc.property(fc.oneof(value, near, changed), (told) => {
        const found = attempt(() => readSentRequest({ request: told }))
        if (found === undefined) return
        expect([...found.headers].flat(2).concat(found.method, found.target).join('')).not.toMatch(/[\r\n\0]/)
      }),
    )
  })
})

const hex = fc.string({ maxLength: 5 }).map((text) => hash('sha256', text))

describe('a chain that is told of', () => {
  const claim = { accessKeyId: 'AKIA', day: '20130524', region: 'us-east-1', date: '20130524T000000Z' }

  it('arrives as it is', () => {
    const chain = fc
      .tuple(hex, fc.array(fc.tuple(hex, hex), { minLength: 1, maxLength: mostLinks }), fc.boolean())
      .map(([seed, pairs, trailers]) =>
        pairs.map(([content, claimed], at): ChainLink => {
          const kind = trailers && at === pairs.length - 1 ? 'trailers' : 'chunk'
          return { kind, previous: pairs[at - 1]?.[1] ?? seed, hash: content, claimed }
        }),
      )
    fc.assert(
      fc.property(chain, (links) => {
        const { head, bytes } = sentChain(claim, links)
        expect(JSON.stringify(head).length + bytes.length).toBeLessThan(mostChainBytes)
        expect(readSentChain({ head: passed(head), bytes })).toEqual({ ...claim, links })
      }),
    )
  })

  it('may be anything: it is read or refused on purpose', () => {
    const value = fc.anything({ maxDepth: 2 })
    const good = { ...claim, previous: hash('sha256', ''), trailers: false }
    const near = fc.record(
      { accessKeyId: value, day: value, region: value, date: value, previous: value, trailers: value },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(near, fc.uint8Array({ maxLength: 200 }), (other, bytes) => {
        const found = attempt(() => readSentChain({ head: { ...good, ...other }, bytes: Buffer.from(bytes) }))
        expect(found === undefined || found.links.length === bytes.length / 64).toBe(true)
      }),
    )
  })
})
