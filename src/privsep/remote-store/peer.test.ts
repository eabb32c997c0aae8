import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Failure } from '../../core/failure.js'
import { Patience } from './peer.js'

const distrusted: string[] = []
const peer = {
  distrust: (why: string) => {
    distrusted.push(why)
    return new Failure('unavailable', why)
  },
}

beforeEach(() => vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
  distrusted.length = 0
})

describe('a process that is told that nobody waits any more', () => {
  it('is ended where it goes on for long, were it told before or in the middle', () => {
    const giving = new AbortController()
    const middle = new Patience(peer, giving.signal)
    vi.advanceTimersByTime(3600_000)
    expect(distrusted).toEqual([])
    giving.abort()
    const before = new Patience(peer, giving.signal)
    vi.advanceTimersByTime(59_000)
    expect(distrusted).toEqual([])
    vi.advanceTimersByTime(2000)
    expect(distrusted).toHaveLength(2)
    for (const each of [middle, before]) each.end()
  })

  it('is left alone where it is done by then, or nobody has told it anything', () => {
    const giving = new AbortController()
    const patience = new Patience(peer, giving.signal)
    giving.abort()
    vi.advanceTimersByTime(59_000)
    patience.end()
    const later = new AbortController()
    new Patience(peer, later.signal).end()
    later.abort()
    new Patience(peer, undefined).end()
    vi.advanceTimersByTime(3600_000)
    expect(distrusted).toEqual([])
  })
})
