import { describe, expect, it } from 'vitest'
import { missingPowers, powersLeft } from './powers.js'

/** As of a process without any, but for what is said. */
const statusOf = (changes: Readonly<Record<string, string>> = {}): string => {
  const none = '0000000000000000'
  const lines = { Name: 'node', CapInh: none, CapPrm: none, CapEff: none, CapBnd: none, CapAmb: none, NoNewPrivs: '1' }
  return Object.entries({ ...lines, ...changes })
    .map(([name, value]) => `${name}:\t${value}\n`)
    .join('')
}

describe('what is left to a process', () => {
  it.each(['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])('is found in %s, however little', (name) => {
    expect(powersLeft(statusOf({ [name]: '0000010000000000' }))).toEqual([`${name} is 0000010000000000`])
  })

  it('is what it could gain by another program', () => {
    expect(powersLeft(statusOf({ NoNewPrivs: '0' }))).toEqual(['NoNewPrivs is 0'])
  })

  it('counts as something where it is not known', () => {
    expect(powersLeft('')).toHaveLength(6)
    expect(powersLeft(statusOf().replace(/^CapBnd.*\n/m, ''))).toEqual(['CapBnd is not known'])
    // A process chooses its name.
    expect(powersLeft(statusOf({ Name: 'CapBnd: 0', CapBnd: 'f' }))).toEqual(['CapBnd is f'])
  })

  it('is nothing where there is nothing', () => {
    expect(powersLeft(statusOf())).toEqual([])
  })
})

describe('what a broker misses', () => {
  it('is named', () => {
    // Of 2^0 to 2^8, but 2 (CAP_DAC_READ_SEARCH), which it does not need.
    expect(missingPowers(statusOf({ CapEff: '00000000000001fb' }))).toEqual([])
    expect(missingPowers(statusOf({ CapEff: '00000000000000fb' }))).toEqual(['CAP_SETPCAP'])
    expect(missingPowers(statusOf({ CapEff: '000001ffffffff5f' }))).toEqual(['CAP_KILL', 'CAP_SETUID'])
  })

  it('is all where nothing is known', () => {
    for (const status of ['', statusOf(), 'CapEff:\tnonsense\n']) expect(missingPowers(status)).toHaveLength(8)
  })
})
