import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../core/clock.js'
import { StartPauses } from './start-pauses.js'

describe('whose processes die young', () => {
  it('waits twice as long each time, up to ten seconds, and nobody else does', () => {
    const clock = new ManualClock()
    const pauses = new StartPauses(clock, 10_000)
    const seen = Array.from({ length: 9 }, () => {
      pauses.died('alice', 50)
      return pauses.left('alice')
    })
    expect(seen).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
    expect(pauses.left('bob')).toBe(0)
    clock.advanceSeconds(10)
    expect(pauses.left('alice')).toBe(0)
  })

  it('begins anew after one that has lived', () => {
    const clock = new ManualClock()
    const pauses = new StartPauses(clock, 10_000)
    for (const lived of [1, 1, 1, 10_000, 1]) pauses.died('alice', lived)
    expect(pauses.left('alice')).toBe(100)
  })

  it('never waits for longer than that, even where the clock was set back', () => {
    const clock = new ManualClock()
    const pauses = new StartPauses(clock, 10_000)
    pauses.died('alice', 1)
    clock.advanceSeconds(-86_400)
    expect(pauses.left('alice')).toBe(10_000)
  })
})
