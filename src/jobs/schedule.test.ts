import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Catalog } from '../catalog/catalog.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { Failure } from '../core/failure.js'
import { JobRunner } from './runner.js'
import { schedule } from './schedule.js'

const clock = { now: () => Date.now() }
const log = { info: () => undefined, warn: () => undefined }

beforeEach(() => void vi.useFakeTimers({ now: 1_800_000_000_000 }))
afterEach(() => void vi.useRealTimers())

function rig(isAway: () => boolean) {
  const kept = openMemoryCatalog({ clock })
  const runs: number[] = []
  const troubles: unknown[] = []
  const ask = async (): Promise<void> => {
    if (isAway()) throw new Failure('unavailable', 'The database is away.')
  }
  const catalog: Catalog = {
    get: (...args) => ask().then(() => kept.get(...args)),
    getAll: (...args) => ask().then(() => kept.getAll(...args)),
    swap: (...args) => ask().then(() => kept.swap(...args)),
    async *list(...args) {
      await ask()
      yield* kept.list(...args)
    },
    add: (...args) => ask().then(() => kept.add(...args)),
    close: () => kept.close(),
  }
  const work = {
    name: 'work',
    everySeconds: 60,
    run: async () => {
      runs.push(clock.now())
      return { counts: {} }
    },
  }
  const runner = new JobRunner({ catalog, clock, log, host: 'one', jobs: [work] })
  const options = { first: 10_000, onTrouble: (error: unknown) => troubles.push(error), random: () => 0 }
  return { runs, troubles, schedule: schedule(runner, options) }
}

it('begins a job again and again, not before its time, until it is closed', async () => {
  const begun = clock.now()
  const { runs, schedule: open } = rig(() => false)
  await vi.advanceTimersByTimeAsync(9999)
  expect(runs).toEqual([])
  await vi.advanceTimersByTimeAsync(10 * 60_000)
  expect(runs.length).toBeGreaterThanOrEqual(9)
  expect(runs.length).toBeLessThanOrEqual(10)
  expect(runs[0]).toBe(begun + 10_000)
  await open.close()
  const before = runs.length
  await vi.advanceTimersByTimeAsync(10 * 60_000)
  expect(runs).toHaveLength(before)
})

it('says once that the catalog is away, and goes on when it is back', async () => {
  let isAway = true
  const { runs, troubles, schedule: open } = rig(() => isAway)
  await vi.advanceTimersByTimeAsync(5 * 60_000)
  expect(troubles).toHaveLength(1)
  expect(runs).toEqual([])
  isAway = false
  await vi.advanceTimersByTimeAsync(60_000)
  expect(runs).toHaveLength(1)
  isAway = true
  await vi.advanceTimersByTimeAsync(5 * 60_000)
  expect(troubles).toHaveLength(2)
  await open.close()
})
