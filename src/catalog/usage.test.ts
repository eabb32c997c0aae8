import { beforeEach, describe, expect, it } from 'vitest'
import type { Catalog } from './catalog.js'
import { openMemoryCatalog } from './memory.js'
import { createUsage, type Usage } from './usage.js'
import { ManualClock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import { toPath } from '../core/path.js'

const tree = toPath('/home/alice')
const quota = 100

let clock: ManualClock
let catalog: Catalog
/** What really lies there. */
let real: number
let counts: number
/** Happens in the middle of a count, before its result is known. */
let meanwhile: () => Promise<void>

beforeEach(() => {
  clock = new ManualClock()
  catalog = openMemoryCatalog({ clock })
  real = 0
  counts = 0
  meanwhile = async () => undefined
})

function worker(): Usage {
  return createUsage({
    catalog,
    clock,
    count: async () => {
      counts++
      const seen = real
      await meanwhile()
      return seen
    },
  })
}

const refused = async (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => false,
    (error: unknown) => isFailure(error, 'no-space') && error.reason === 'quota-not-exceeded',
  )

describe('usage', () => {
  it('is counted once, and then kept by all workers together', async () => {
    real = 40
    const [one, two] = [worker(), worker()]
    await one.reserve(tree, quota, 30)
    expect(await two.room(tree, quota, 0)).toBe(30)
    expect(await refused(two.reserve(tree, quota, 31))).toBe(true)
    await two.reserve(tree, quota, 30)
    expect(await refused(one.reserve(tree, quota, 1))).toBe(true)
    expect(counts).toBe(1)
  })

  it('never gives the same bytes to two, however many ask at once', async () => {
    const workers = [worker(), worker(), worker()]
    const asked = Array.from({ length: 60 }, (_, at) => workers[at % 3]!.reserve(tree, quota, 3))
    const granted = (await Promise.allSettled(asked)).filter(({ status }) => status === 'fulfilled')
    expect(granted).toHaveLength(33)
  })

  it('gets back what was not used, and what has gone', async () => {
    const usage = worker()
    const reserved = await usage.reserve(tree, quota, 100)
    await usage.cancel(tree, reserved)
    const again = await usage.reserve(tree, quota, 100)
    await usage.free(tree, again, 60)
    real = 40
    expect(await usage.room(tree, quota, 0)).toBe(60)
  })

  it('is counted again before it refuses, but not for each refusal', async () => {
    const usage = worker()
    real = 100
    expect(await refused(usage.reserve(tree, quota, 10))).toBe(true)
    real = 0
    expect(await refused(usage.reserve(tree, quota, 10))).toBe(true)
    clock.advanceSeconds(11)
    await usage.reserve(tree, quota, 10)
    expect(counts).toBe(2)
  })

  it('believes no more than an eighth of the quota to have gone until it has looked', async () => {
    const usage = worker()
    const large = 100 * 1024 * 1024
    real = large
    for (let lie = 0; lie < 40; lie++) {
      const since = await usage.reserve(tree, large, 0)
      await usage.free(tree, since, large / 20)
    }
    expect(counts).toBeGreaterThan(1)
    expect(await usage.room(tree, large, 0)).toBeLessThanOrEqual(large / 8 + large / 20)
  })

  it('counts what comes while it counts, and does not take back what it has not seen', async () => {
    const usage = worker()
    real = 10
    const before = await usage.reserve(tree, quota, 20)
    meanwhile = async () => {
      meanwhile = async () => undefined
      await usage.reserve(tree, quota, 30)
    }
    clock.advanceSeconds(11)
    expect(await usage.room(tree, quota, 1000)).toBe(60)
    // Of an older count: they were not among those that it found.
    await usage.cancel(tree, before)
    await usage.free(tree, before, 20)
    expect(await usage.room(tree, quota, 0)).toBe(60)
  })

  it('is made again beside the work when it is old, and waited for when it is very old', async () => {
    const usage = worker()
    real = 10
    await usage.room(tree, quota, 0)
    real = 50
    clock.advanceSeconds(2 * 3600)
    expect(await usage.room(tree, quota, 0)).toBe(90)
    await expect.poll(() => usage.room(tree, quota, 0)).toBe(50)
    real = 70
    clock.advanceSeconds(25 * 3600)
    expect(await usage.room(tree, quota, 0)).toBe(30)
  })

  it('of one home is nothing to another, the longest ones too', async () => {
    const usage = worker()
    const long = '/' + Array.from({ length: 10 }, () => 'x'.repeat(200)).join('/')
    await usage.reserve(toPath(`${long}/a`), quota, 100)
    await usage.reserve(toPath(`${long}/b`), quota, 100)
    expect(await refused(usage.reserve(toPath(`${long}/a`), quota, 1))).toBe(true)
  })

  it('keeps what cannot be told as used, and fails nobody who has written', async () => {
    const usage = worker()
    const reserved = await usage.reserve(tree, quota, 100)
    await catalog.close()
    await usage.cancel(tree, reserved)
    await usage.free(tree, reserved, 100)
    await expect(usage.reserve(tree, quota, 1)).rejects.toMatchObject({ kind: 'unavailable' })
  })
})
