import { describe, expect, it } from 'vitest'
import type { Failure } from '../core/failure.js'
import { BodyPace } from './body-pace.js'

function bodyOf(isWaiting: boolean) {
  const body = {
    received: 0,
    isWaiting,
    failure: undefined as Failure | undefined,
    fail: (failure: Failure) => {
      body.failure = failure
    },
  }
  return body
}

/** The second in which the body is ended, at most 1,000. */
function endOf(pace: BodyPace, body: ReturnType<typeof bodyOf>, bytesIn: (second: number) => number): number {
  pace.begin(body)
  for (let second = 1; second <= 1000; second += 1) {
    body.received += bytesIn(second)
    pace.look(1)
    if (body.failure !== undefined) return second
  }
  pace.end(body)
  return Infinity
}

describe('the pace of a body', () => {
  const options = { bytesPerSecond: 100, graceSeconds: 60 }

  it.each([
    ['sends nothing', () => 0, 60],
    ['sends half of what is asked', () => 50, 120],
    ['sends a byte now and then', (second: number) => (second % 30 === 0 ? 1 : 0), 61],
    ['sends just enough', () => 100, Infinity],
    ['rests for 50 seconds and makes up for it', (second: number) => (second % 51 === 0 ? 5100 : 0), Infinity],
    ['begins with a gigabyte and then stands still', (second: number) => (second === 1 ? 1 << 30 : 0), 61],
  ] as const)('is lost by a client that %s', (_name, bytesIn, second) => {
    const body = bodyOf(true)
    expect(endOf(new BodyPace(options), body, bytesIn)).toBe(second)
    expect(body.failure?.kind).toBe(second === Infinity ? undefined : 'timeout')
  })

  it('is not held against a client whose bytes wait for a slow reader', () => {
    expect(endOf(new BodyPace(options), bodyOf(false), () => 0)).toBe(Infinity)
  })

  it('is not asked for where the limit is 0, nor of a body that is over', () => {
    expect(endOf(new BodyPace({ ...options, bytesPerSecond: 0 }), bodyOf(true), () => 0)).toBe(Infinity)
    const pace = new BodyPace(options)
    const body = bodyOf(true)
    pace.begin(body)
    pace.end(body)
    pace.look(1000)
    expect(body.failure).toBeUndefined()
  })
})
