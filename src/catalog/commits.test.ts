import { beforeEach, describe, expect, it } from 'vitest'
import { catalogLocks } from './catalog-locks.js'
import type { Catalog } from './catalog.js'
import { commitGroup, decodeNotice } from './commit-notice.js'
import { concerns, LocalCommits, patienceMilliseconds, type Commit, type Commits } from './commits.js'
import type { LockedWrite } from './locks.js'
import { openMemoryCatalog } from './memory.js'
import { SharedCommits } from './shared-commits.js'
import { ManualClock } from '../core/clock.js'
import { toPath } from '../core/path.js'

let clock: ManualClock
let catalog: Catalog
let pauses: number

beforeEach(() => {
  clock = new ManualClock()
  catalog = openMemoryCatalog({ clock })
  pauses = 0
})

const write = (path: string, more: Partial<LockedWrite> = {}): LockedWrite => ({
  path: toPath(path),
  extent: 'self',
  membership: false,
  ...more,
})

/** Nobody waits: time passes by itself, and perhaps something happens. */
const options = (
  happens: (pause: number) => void = () => undefined,
): ConstructorParameters<typeof LocalCommits>[0] => ({
  clock,
  pause: async (milliseconds) => {
    clock.advanceSeconds(milliseconds / 1000)
    happens(++pauses)
    await new Promise((resolve) => setImmediate(resolve))
  },
})

const lockOn = (path: string, depth: 0 | 'infinity' = 0): Parameters<Commits['past']>[0] => ({
  path: toPath(path),
  depth,
})

async function begun(commits: Commits, ...writes: readonly LockedWrite[]): Promise<Commit> {
  const commit = commits.of(writes)
  await commit.begin()
  return commit
}

describe('concerns', () => {
  it.each([
    ['the resource itself', write('/a/b'), lockOn('/a/b'), true],
    ['a sibling', write('/a/b', { membership: true }), lockOn('/a/c'), false],
    ['a member, under a deep lock', write('/a/b/c'), lockOn('/a', 'infinity'), true],
    ['a member, under a flat lock', write('/a/b'), lockOn('/a'), false],
    ['a name that comes or goes, under a flat lock', write('/a/b', { membership: true }), lockOn('/a'), true],
    ['a name further down', write('/a/b/c', { membership: true }), lockOn('/a'), false],
    ['a tree above', write('/a', { extent: 'tree' }), lockOn('/a/b/c'), true],
    ['the directory above', write('/a'), lockOn('/a/b'), false],
    ['the root', write('/', { membership: true }), lockOn('/', 'infinity'), true],
  ])('%s', (_, each, lock, expected) => {
    expect(concerns(each, lock)).toBe(expected)
  })
})

describe.each([
  [
    'of one process',
    (): readonly Commits[] => {
      const commits = new LocalCommits(options(() => ends?.()))
      return [commits, commits]
    },
  ],
  [
    'of processes that share a catalog',
    (): readonly Commits[] =>
      [0, 1].map(
        () =>
          new SharedCommits(
            catalog,
            options(() => ends?.()),
          ),
      ),
  ],
])('commits %s', (_, open) => {
  it('are waited for by a lock that they concern, and by no other', async () => {
    const [writer, locker] = open()
    const commit = await begun(writer!, write('/a'))
    expect(await locker!.past(lockOn('/b'))).toBe(false)
    ends = () => {
      if (pauses === 3) commit.end()
    }
    expect(await locker!.past(lockOn('/a'))).toBe(true)
    expect(pauses).toBeGreaterThanOrEqual(3)
    expect(await locker!.past(lockOn('/a'))).toBe(false)
  })

  it('that begin later are not waited for', async () => {
    const [writer, locker] = open()
    const first = await begun(writer!, write('/a'))
    ends = () => {
      if (pauses === 1) void begun(writer!, write('/a'))
      if (pauses === 3) first.end()
    }
    expect(await locker!.past(lockOn('/a'))).toBe(true)
    expect(await locker!.past(lockOn('/b'))).toBe(false)
  })

  it('are waited for no longer than is of use', async () => {
    const [writer, locker] = open()
    await begun(writer!, write('/a'))
    if (writer === locker) await expect(locker!.past(lockOn('/a'))).rejects.toMatchObject({ kind: 'unavailable' })
    // A record that nobody renews ends before.
    else expect(await locker!.past(lockOn('/a'))).toBe(true)
    expect(clock.now() - Date.UTC(2030, 0, 1)).toBeLessThan(patienceMilliseconds + 1000)
  })

  it('keep a lock from being told, which is gone where they do not end', async () => {
    const [writer, locker] = open()
    const table = catalogLocks(catalog, clock, { commits: locker!, shared: true })
    const request = {
      path: toPath('/a'),
      scope: 'exclusive',
      depth: 0,
      principal: 'test:a',
      timeoutSeconds: 100,
    } as const
    const commit = await begun(writer!, write('/a'))
    if (writer === locker) {
      await expect(table.take(request)).rejects.toMatchObject({ kind: 'unavailable' })
      expect(await table.covering(toPath('/a'))).toEqual([])
      commit.end()
      await table.take(request)
    } else {
      const lock = await table.take(request)
      // Its time begins when it is told.
      expect(lock.expires).toBe(clock.now() + 100_000)
    }
  })
})

describe('the record of a process', () => {
  it('holds those that begin together in one step, and is gone after the last', async () => {
    let swaps = 0
    const counting: Catalog = {
      ...plain(catalog),
      swap: async (...args) => {
        swaps++
        await new Promise((resolve) => setImmediate(resolve))
        return catalog.swap(...args)
      },
    }
    const commits = new SharedCommits(counting, options())
    const all = await Promise.all(Array.from({ length: 100 }, (_, index) => begun(commits, write(`/${index}`))))
    expect(swaps).toBe(2)
    expect(await announced()).toHaveLength(100)
    for (const commit of all) commit.end()
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(await announced()).toEqual([])
    expect(swaps).toBeLessThan(6)
  })

  it('says nothing of a short step where only trees are told', async () => {
    const commits = new SharedCommits(catalog, { ...options(), onlyTrees: true })
    const short = await begun(commits, write('/a'))
    expect(await announced()).toEqual([])
    await begun(commits, write('/b', { extent: 'tree' }))
    expect(await announced()).toEqual([write('/b', { extent: 'tree' })])
    short.end()
  })

  it('tells long paths as the tree they are in', async () => {
    const commits = new SharedCommits(catalog, options())
    const long = `/a/${'x'.repeat(150)}/${'y'.repeat(150)}`
    await begun(commits, write(long))
    const [only] = await announced()
    expect(concerns(only!, lockOn(long))).toBe(true)
    expect(concerns(only!, lockOn('/a', 'infinity'))).toBe(true)
    expect(concerns(only!, lockOn('/b'))).toBe(false)
  })

  it('lets no write begin that nobody could see', async () => {
    let isDown = true
    const failing: Catalog = {
      ...plain(catalog),
      swap: async (...args) => (isDown ? Promise.reject(new Error('down')) : catalog.swap(...args)),
    }
    const commits = new SharedCommits(failing, options())
    const commit = commits.of([write('/a')])
    commit.prepare()
    await expect(commit.begin()).rejects.toThrow('down')
    isDown = false
    await commit.begin()
    expect(await announced()).toEqual([write('/a')])
    commit.end()
  })

  it('is written anew where a change of it came through though it seemed lost', async () => {
    let loses = true
    const losing: Catalog = {
      ...plain(catalog),
      swap: async (...args) => {
        const version = await catalog.swap(...args)
        if (loses) throw new Error('lost')
        return version
      },
    }
    const commits = new SharedCommits(losing, options())
    await expect(begun(commits, write('/a'))).rejects.toThrow('lost')
    loses = false
    await begun(commits, write('/b'))
    expect(await announced()).toEqual([write('/b')])
  })
})

let ends: (() => void) | undefined

beforeEach(() => {
  ends = undefined
})

function plain(of: Catalog): Catalog {
  return {
    get: (...args) => of.get(...args),
    getAll: (...args) => of.getAll(...args),
    swap: (...args) => of.swap(...args),
    list: (...args) => of.list(...args),
    add: (...args) => of.add(...args),
    close: () => of.close(),
  }
}

async function announced(): Promise<readonly LockedWrite[]> {
  const found: LockedWrite[] = []
  for await (const items of catalog.list(commitGroup))
    for (const item of items) found.push(...decodeNotice(item).map((each) => each.write))
  return found
}
