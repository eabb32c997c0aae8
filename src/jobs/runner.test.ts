import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Catalog } from '../catalog/catalog.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { Failure } from '../core/failure.js'
import type { Job } from './job.js'
import { JobRunner } from './runner.js'
import type { RunnerOptions } from './runner.js'

const clock = { now: () => Date.now() }
const seconds = 1000

beforeEach(() => void vi.useFakeTimers({ now: 1_800_000_000_000 }))
afterEach(() => void vi.useRealTimers())

interface Line {
  readonly level: string
  readonly facts: object
  readonly message: string
}

function rig(catalog: Catalog, jobs: readonly Job[], options: Partial<RunnerOptions> = {}) {
  const lines: Line[] = []
  const log = {
    info: (facts: object, message: string) => void lines.push({ level: 'info', facts, message }),
    warn: (facts: object, message: string) => void lines.push({ level: 'warn', facts, message }),
  }
  return { lines, runner: new JobRunner({ catalog, clock, jobs, host: 'one', log, ...options }) }
}

function job(run: Job['run'], others: Partial<Job> = {}): Job {
  return { name: 'work', everySeconds: 3600, run, ...others }
}

const done = async () => ({ counts: { things: 1 } })

/** Lets everything that is ready go on. */
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

describe('a job', () => {
  it('is not run by a second runner while one is at it', async () => {
    const catalog = openMemoryCatalog({ clock })
    let end: (() => void) | undefined
    let runs = 0
    const slow = job(async () => {
      runs += 1
      await new Promise<void>((resolve) => (end = resolve))
      return { counts: {} }
    })
    const first = rig(catalog, [slow]).runner
    const second = rig(catalog, [slow], { host: 'two' }).runner
    const running = first.run('work')
    await settle()
    expect(await second.run('work')).toEqual({ running: { by: `one:${process.pid}`, since: clock.now() } })
    // However long it takes: the lease is renewed.
    for (let minute = 0; minute < 10; minute++) {
      await vi.advanceTimersByTimeAsync(60 * seconds)
      expect(await second.run('work')).toMatchObject({ running: {} })
    }
    end?.()
    expect(await running).toMatchObject({ ran: { result: 'done' } })
    expect(runs).toBe(1)
    expect(await second.run('work', { onlyDue: true })).toMatchObject({ due: clock.now() + 3600 * seconds })
  })

  it('is taken over from a runner that gives no sign of life, but not before half a minute', async () => {
    const catalog = openMemoryCatalog({ clock })
    const dying = mortal(catalog)
    void rig(dying.catalog, [job(() => new Promise(() => undefined))]).runner.run('work')
    await settle()
    dying.die()
    const { runner, lines } = rig(catalog, [job(done)], { host: 'two' })
    expect(await runner.run('work')).toMatchObject({ running: { by: `one:${process.pid}` } })
    await vi.advanceTimersByTimeAsync(29 * seconds)
    expect(await runner.run('work')).toMatchObject({ running: {} })
    await vi.advanceTimersByTimeAsync(2 * seconds)
    expect(await runner.run('work')).toMatchObject({ ran: { result: 'done', by: `two:${process.pid}` } })
    expect(lines[0]).toMatchObject({ level: 'warn', facts: { from: `one:${process.pid}` } })
  })

  it('is run by who waits patiently for a dead runner', async () => {
    const catalog = openMemoryCatalog({ clock })
    const dying = mortal(catalog)
    void rig(dying.catalog, [job(() => new Promise(() => undefined))]).runner.run('work')
    await settle()
    dying.die()
    const answer = rig(catalog, [job(done)]).runner.run('work', { patient: true })
    await vi.advanceTimersByTimeAsync(40 * seconds)
    expect(await answer).toMatchObject({ ran: { result: 'done' } })
  })

  it('is not run again by who has waited for the run of another', async () => {
    const catalog = openMemoryCatalog({ clock })
    let runs = 0
    const short = job(async () => {
      runs += 1
      await new Promise((resolve) => setTimeout(resolve, 5 * seconds))
      return { counts: {} }
    })
    const first = rig(catalog, [short]).runner.run('work')
    await settle()
    const second = rig(catalog, [short], { host: 'two' }).runner.run('work', { patient: true })
    await vi.advanceTimersByTimeAsync(10 * seconds)
    expect(await second).toEqual(await first)
    expect(runs).toBe(1)
  })

  it('is taken over however wrong the clocks are, and never early', async () => {
    const catalog = openMemoryCatalog({ clock })
    const late = { now: () => clock.now() - 24 * 3600 * seconds }
    const early = { now: () => clock.now() + 12 * 3600 * seconds }
    let end: (() => void) | undefined
    const slow = job(async () => {
      await new Promise<void>((resolve) => (end = resolve))
      return { counts: {} }
    })
    const running = rig(catalog, [slow], { clock: late }).runner.run('work')
    await settle()
    const { runner } = rig(catalog, [slow], { clock: early })
    for (let time = 0; time < 20; time++) {
      await vi.advanceTimersByTimeAsync(10 * seconds)
      expect(await runner.run('work')).toMatchObject({ running: {} })
    }
    end?.()
    await running
    // What was remembered by a clock that is a day late or early does not keep the job away for a day.
    const again = runner.run('work', { onlyDue: true })
    await settle()
    end?.()
    expect(await again).toMatchObject({ ran: { result: 'done' } })
  })

  it('is told to end by its limit, and given up where it does not', async () => {
    const catalog = openMemoryCatalog({ clock })
    let told = false
    const hanging = job(
      (signal) =>
        new Promise(() => {
          signal.addEventListener('abort', () => (told = true))
        }),
      { limitSeconds: 60 },
    )
    const { runner, lines } = rig(catalog, [hanging])
    const answer = runner.run('work')
    await vi.advanceTimersByTimeAsync(60 * seconds)
    expect(told).toBe(true)
    await vi.advanceTimersByTimeAsync(6 * seconds)
    expect(await answer).toMatchObject({
      ran: { result: 'failed', why: 'it took longer than 60 s, and it does not end' },
    })
    expect(lines.at(-1)).toMatchObject({ level: 'warn', message: 'a job failed and is tried again' })
    // Another process may try; this one has it still.
    await expect(runner.run('work')).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await rig(catalog, [job(done)]).runner.run('work')).toMatchObject({ ran: { result: 'done' } })
  })

  it('comes again soon after it failed, and ever later while it fails', async () => {
    const catalog = openMemoryCatalog({ clock })
    const { runner } = rig(catalog, [
      job(async () => {
        throw new Failure('unavailable', 'The bucket is gone.')
      }),
    ])
    const pauses: number[] = []
    for (let time = 0; time < 9; time++) {
      expect(await runner.run('work')).toMatchObject({ ran: { result: 'failed', why: 'The bucket is gone.' } })
      pauses.push(((await runner.list())[0]?.next ?? 0) - clock.now())
    }
    expect(pauses.map((pause) => pause / seconds)).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600])
  })

  it('comes again soon where something was left, which is logged', async () => {
    const catalog = openMemoryCatalog({ clock })
    const { runner, lines } = rig(catalog, [job(async () => ({ counts: { things: 2 }, left: ['/a stays'] }))])
    expect(await runner.run('work')).toMatchObject({ ran: { result: 'partly', left: ['/a stays'] } })
    expect(lines).toMatchObject([{ level: 'warn', facts: { things: 2, left: ['/a stays'] } }])
    expect((await runner.list())[0]?.next).toBe(clock.now() + 30 * seconds)
  })

  it('of each host runs on every host', async () => {
    const catalog = openMemoryCatalog({ clock })
    const own = job(done, { perHost: true })
    expect(await rig(catalog, [own]).runner.run('work', { onlyDue: true })).toMatchObject({ ran: {} })
    expect(await rig(catalog, [own]).runner.run('work', { onlyDue: true })).toHaveProperty('due')
    const two = rig(catalog, [own], { host: 'two' }).runner
    expect(await two.run('work', { onlyDue: true })).toMatchObject({ ran: {} })
  })

  it('that nobody has is refused', async () => {
    const { runner } = rig(openMemoryCatalog({ clock }), [job(done)])
    await expect(runner.run('other')).rejects.toThrow('There is no job other. There are: work.')
  })

  it('is not run while the catalog cannot be asked, and is afterwards', async () => {
    const catalog = openMemoryCatalog({ clock })
    const broken = mortal(catalog)
    let runs = 0
    const { runner } = rig(broken.catalog, [
      job(async () => {
        runs += 1
        return { counts: {} }
      }),
    ])
    broken.die()
    await expect(runner.run('work')).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(runner.begin(() => undefined)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(runs).toBe(0)
    broken.live()
    expect(await runner.run('work')).toMatchObject({ ran: { result: 'done' } })
  })

  it('is ended where its lease cannot be renewed, before anybody else may take it', async () => {
    const catalog = openMemoryCatalog({ clock })
    const broken = mortal(catalog)
    const { runner } = rig(broken.catalog, [
      job(
        (signal) =>
          new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('ended')))),
      ),
    ])
    const answer = runner.run('work')
    await settle()
    broken.die()
    await vi.advanceTimersByTimeAsync(21 * seconds)
    expect(await answer).toMatchObject({ ran: { result: 'failed', why: 'ended' } })
  })

  it('that is disabled does not begin by itself, but when asked for', async () => {
    const { runner } = rig(openMemoryCatalog({ clock }), [job(done)], { disabled: ['work'] })
    const begun: unknown[] = []
    await runner.begin((answer) => begun.push(answer))
    expect(begun).toEqual([])
    expect(await runner.list()).toEqual([{ name: 'work', everySeconds: 3600, disabled: true }])
    expect(await runner.run('work')).toMatchObject({ ran: { result: 'done' } })
  })

  it('that a closing process breaks off is begun anew by the next', async () => {
    const catalog = openMemoryCatalog({ clock })
    const { runner } = rig(catalog, [
      job(
        (signal) =>
          new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('ended')))),
      ),
    ])
    const answer = runner.run('work')
    await settle()
    await runner.close()
    expect(await answer).toMatchObject({ ran: { result: 'failed' } })
    expect(await rig(catalog, [job(done)]).runner.run('work', { onlyDue: true })).toMatchObject({
      ran: { result: 'done' },
    })
  })
})

it('is never at work in two processes, whatever dies, hangs or is lost, and in the end is done', async () => {
  const step = fc.record({
    runner: fc.nat(2),
    fault: fc.constantFrom<Fault[]>('none', 'none', 'none', 'before', 'after', 'slow', 'die'),
    pause: fc.integer({ min: 0, max: 25 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const catalog = openMemoryCatalog({ clock })
      const faults: Fault[] = ['none', 'none', 'none']
      const atWork = new Set<number>()
      const dead = new Set<number>()
      let most = 0
      let finished = 0
      const runnerOf = (number: number) =>
        rig(
          faulty(catalog, () => faults[number] ?? 'none'),
          [
            job(async (signal) => {
              atWork.add(number)
              most = Math.max(most, atWork.size)
              signal.addEventListener('abort', () => atWork.delete(number))
              await new Promise((resolve) => setTimeout(resolve, 45 * seconds))
              if (!signal.aborted && !dead.has(number)) finished += 1
              atWork.delete(number)
              signal.throwIfAborted()
              return { counts: {} }
            }),
          ],
        ).runner
      const runners = [0, 1, 2].map(runnerOf)
      for (const { runner, fault, pause } of steps) {
        if (fault === 'die') {
          dead.add(runner)
          atWork.delete(runner)
        }
        if (dead.has(runner)) faults[runner] = 'die'
        else {
          faults[runner] = fault
          runners[runner]?.run('work').catch(() => undefined)
        }
        await vi.advanceTimersByTimeAsync(pause * seconds)
      }
      expect(most).toBeLessThanOrEqual(1)
      // Whoever comes when all others are dead gets it done.
      const last = runnerOf(3)
      const before = finished
      for (let time = 0; time < 40 && finished === before; time++) {
        last.run('work').catch(() => undefined)
        await vi.advanceTimersByTimeAsync(10 * seconds)
      }
      expect(finished).toBeGreaterThan(before)
      expect(most).toBeLessThanOrEqual(1)
    }),
    { numRuns: 60 },
  )
}, 60_000)

type Fault = 'none' | 'before' | 'after' | 'slow' | 'die'

/** A catalog whose calls fail before or after they have done their work, take long, or are never answered. */
function faulty(catalog: Catalog, faultOf: () => Fault): Catalog {
  const meet = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    const fault = faultOf()
    if (fault === 'die') return new Promise(() => undefined)
    if (fault === 'before') throw new Failure('unavailable', 'It did not arrive.')
    if (fault === 'slow') await new Promise((resolve) => setTimeout(resolve, 7 * seconds))
    const result = await work()
    if (fault === 'after') throw new Failure('unavailable', 'The answer was lost.')
    return result
  }
  return {
    get: (...args) => meet(() => catalog.get(...args)),
    getAll: (...args) => meet(() => catalog.getAll(...args)),
    swap: (...args) => meet(() => catalog.swap(...args)),
    list: (...args) => catalog.list(...args),
    add: (...args) => meet(() => catalog.add(...args)),
    close: () => catalog.close(),
  }
}

/** A catalog of a process that can be cut off. */
function mortal(catalog: Catalog): { readonly catalog: Catalog; die(): void; live(): void } {
  let fault: Fault = 'none'
  const cut = faulty(catalog, () => fault)
  return {
    catalog: {
      ...cut,
      async *list(...args) {
        if (fault !== 'none') throw new Failure('unavailable', 'It did not arrive.')
        yield* catalog.list(...args)
      },
    },
    die: () => void (fault = 'before'),
    live: () => void (fault = 'none'),
  }
}
