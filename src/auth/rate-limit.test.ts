import { describe, expect, it } from 'vitest'
import type { Catalog } from '../catalog/catalog.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { ManualClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { createRateLimit } from './rate-limit.js'
import type { Rate, RateLimit } from './rate-limit.js'

const start = Date.UTC(2030, 0, 1)
const window = start / 10_000

function setUp(rate: Partial<Rate>, processes = 1) {
  const clock = new ManualClock(start)
  const catalog = openMemoryCatalog({ clock })
  const limits = Array.from({ length: processes }, () => limit(rate, clock, catalog))
  return { clock, catalog, limits, limit: limits[0] as RateLimit }
}

function limit(rate: Partial<Rate>, clock: ManualClock, catalog: Catalog): RateLimit {
  return createRateLimit({
    rate: { requestsPerSecond: 0, bytesPerSecond: 0, ...rate },
    clock,
    catalog,
    name: 'address',
    seal: (subject) => subject,
  })
}

/** How many requests get in, and why the next one does not. */
function entered(
  limit: RateLimit,
  subject: string,
  tries: number,
): { readonly count: number; readonly failure?: Failure } {
  for (let count = 0; count < tries; count++)
    try {
      limit.enter(subject)
    } catch (error) {
      if (error instanceof Failure) return { count, failure: error }
      throw error
    }
  return { count: tries }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('requests', () => {
  it('get in up to the rate over ten seconds, and then wait', () => {
    const { limit } = setUp({ requestsPerSecond: 5 })
    const { count, failure } = entered(limit, 'a', 1000)
    expect(count).toBe(50)
    expect(failure?.kind).toBe('throttled')
    expect(failure?.retryAfterSeconds).toBeGreaterThanOrEqual(1)
    expect(failure?.retryAfterSeconds).toBeLessThanOrEqual(10)
    expect(entered(limit, 'b', 1000).count).toBe(50)
  })

  it('come again as time goes by, never twice as many on the border of two windows', () => {
    const { limit, clock } = setUp({ requestsPerSecond: 5 })
    clock.advanceSeconds(9)
    expect(entered(limit, 'a', 1000).count).toBe(50)
    clock.advanceSeconds(2)
    const afterTwo = entered(limit, 'a', 1000).count
    expect(afterTwo).toBeGreaterThan(0)
    expect(afterTwo).toBeLessThanOrEqual(10)
    clock.advanceSeconds(20)
    expect(entered(limit, 'a', 1000).count).toBe(50)
  })

  it('are without limit where there is none, and write nothing anywhere', async () => {
    const { limit, catalog } = setUp({})
    expect(entered(limit, 'a', 100_000).count).toBe(100_000)
    limit.add('a', 1e12)
    await settled()
    expect(await catalog.add('rates', `address:${window}:a:requests`, 0, new Date(start + 1e6))).toBe(0)
  })

  it('of who uses little write nothing into the catalog', async () => {
    const { limit, catalog } = setUp({ requestsPerSecond: 100 })
    entered(limit, 'a', 60)
    await settled()
    expect(await catalog.add('rates', `address:${window}:a:requests`, 0, new Date(start + 1e6))).toBe(0)
  })
})

describe('bytes', () => {
  it('are counted when they have gone, and refuse the next request', () => {
    const { limit, clock } = setUp({ bytesPerSecond: 100 })
    limit.enter('a')
    limit.add('a', 5000)
    expect(entered(limit, 'a', 1)).toMatchObject({ count: 0, failure: { kind: 'throttled' } })
    expect(entered(limit, 'b', 1).count).toBe(1)
    clock.advanceSeconds(20)
    expect(entered(limit, 'a', 1).count).toBe(1)
  })
})

describe('several processes', () => {
  it('count together, up to a sixteenth for each', async () => {
    const { limits } = setUp({ requestsPerSecond: 160 }, 4)
    let all = 0
    for (let round = 0; round < 200; round++) {
      for (const each of limits) all += entered(each, 'a', 20).count
      await settled()
    }
    expect(all).toBeGreaterThanOrEqual(1600)
    expect(all).toBeLessThanOrEqual(1600 + 4 * 121)
  })

  it('count each for itself where the catalog cannot be reached', async () => {
    const clock = new ManualClock(start)
    const down = {
      add: async () => {
        throw new Failure('unavailable', 'The catalog is gone.')
      },
    } as unknown as Catalog
    const alone = limit({ requestsPerSecond: 16 }, clock, down)
    let count = 0
    for (let round = 0; round < 20; round++) {
      count += entered(alone, 'a', 20).count
      await settled()
    }
    expect(count).toBe(160)
  })
})
