import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { knownOf } from '../store/local/facts.js'
import { fact, factsLength } from '../store/native.js'
import { decodeDigests } from './digests.js'
import { decodeKnown, encodeKnown } from './known.js'

const time = fc.tuple(fc.integer({ min: -(2 ** 34), max: 2 ** 34 }), fc.integer({ min: 0, max: 999_999_999 }))

describe('what is known of a file', () => {
  it('is the same on the other side', () => {
    const counts = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 8, maxLength: 8 })
    fc.assert(
      fc.property(counts, fc.tuple(time, time, time), fc.integer({ min: 1, max: 2 }), (numbers, times, kind) => {
        const facts = new Float64Array(factsLength)
        const places = [
          fact.mode,
          fact.links,
          fact.uid,
          fact.gid,
          fact.device,
          fact.inodeHigh,
          fact.inodeLow,
          fact.size,
        ]
        for (const [index, place] of places.entries()) facts[place] = numbers[index] ?? 0
        facts.set(times[0], fact.modifiedSeconds)
        facts.set(times[1], fact.changedSeconds)
        facts.set(times[2], fact.bornSeconds)
        facts[fact.kind] = kind
        const known = knownOf(facts)
        expect(decodeKnown(JSON.parse(JSON.stringify(encodeKnown(known))))).toEqual(known)
      }),
    )
  })

  it('is nothing where it could not be true, whatever comes', () => {
    const honest = encodeKnown(knownOf(new Float64Array(factsLength).fill(1)))
    expect(decodeKnown(honest)).toBeDefined()
    fc.assert(
      fc.property(fc.nat(honest.length - 1), fc.jsonValue(), (at, value) => {
        const known = decodeKnown([...honest.slice(0, at), value, ...honest.slice(at + 1)])
        if (known === undefined) return
        for (const each of Object.values(known))
          expect(typeof each === 'string' ? /^-?[0-9a-z.]{1,16}$/.test(each) : Number.isFinite(each)).toBe(true)
      }),
    )
    fc.assert(fc.property(fc.jsonValue(), (value) => decodeKnown(value) === undefined))
  })

  it('has digests of known names and lengths, whatever comes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const digests = decodeDigests(value)
        return digests === undefined || Object.keys(digests).length === 0
      }),
    )
    expect(decodeDigests(JSON.parse('{"__proto__":"AAAA"}'))).toBeUndefined()
    expect(decodeDigests({ crc32: 'AAAAAA==' })).toEqual({ crc32: new Uint8Array(4) })
    expect(decodeDigests({ crc32: 'AAAAAAA=' })).toBeUndefined()
  })
})
