import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { catalogLocks } from './catalog-locks.js'
import type { Catalog, Item, NamedItem } from './catalog.js'
import { group } from './lock-records.js'
import type { Lock, LockHolder, LockRequest, Locks } from './locks.js'
import { openMemoryCatalog } from './memory.js'
import { openSqliteCatalog } from './sqlite.js'
import { ManualClock, type Clock } from '../core/clock.js'
import { isFailure, type FailureKind } from '../core/failure.js'
import { isWithin, parentOf, toPath, type StorePath } from '../core/path.js'

let clock: ManualClock
let catalog: Catalog
let locks: Locks

beforeEach(() => {
  clock = new ManualClock()
  catalog = openMemoryCatalog({ clock })
  locks = catalogLocks(catalog, clock)
})
afterEach(() => catalog.close())

const alice = 'test:alice'
const bob = 'test:bob'
const exclusive = { scope: 'exclusive', depth: 0 } as const
const deep = { scope: 'exclusive', depth: 'infinity' } as const
const shared = { scope: 'shared', depth: 0 } as const
const deepShared = { scope: 'shared', depth: 'infinity' } as const

function take(path: string, kind: Pick<LockRequest, 'scope' | 'depth'> = exclusive, principal = alice, timeoutSeconds = 600): Promise<Lock> {
  return locks.take({ path: toPath(path), ...kind, principal, timeoutSeconds })
} // prettier-ignore

function holding(principal: string, ...held: readonly Lock[]): LockHolder {
  return { principal, tokens: new Set(held.map(({ token }) => token)) }
}

const nobody = holding(bob)

function check(path: string, holder: LockHolder, write: { membership?: boolean; tree?: boolean } = {}): Promise<void> {
  const { membership = false, tree = false } = write
  return locks.check({ path: toPath(path), extent: tree ? 'tree' : 'self', membership }, holder)
}

async function kindOf(result: Promise<unknown>): Promise<FailureKind | 'fine'> {
  try {
    await result
    return 'fine'
  } catch (error) {
    if (isFailure(error)) return error.kind
    throw error
  }
}

async function roots(source: AsyncIterable<readonly Lock[]>): Promise<readonly string[]> {
  const found: string[] = []
  for await (const batch of source) found.push(...batch.map(({ path }) => path))
  return found.sort()
}

describe('conflicts', () => {
  const places: readonly (readonly [name: string, first: string, second: string])[] = [
    ['the same resource', '/a/b', '/a/b'],
    ['a descendant', '/a', '/a/b/c'],
    ['an ancestor', '/a/b/c', '/a'],
    ['everything', '/a/b', '/'],
    ['something below the root', '/', '/a/b'],
    ['a sibling', '/a/b', '/a/c'],
    ['a name that begins alike', '/a', '/a-b'],
    ['a name that goes on', '/a/b', '/a/bc/d'],
    ['a name before a slash in order', '/a', '/a!/b'],
    ['another case', '/a', '/A/b'],
    ['a descendant by a long path', '/a', `/a/${'x'.repeat(250)}/${'y'.repeat(250)}/${'z'.repeat(250)}`],
    ['an ancestor of a long path', `/a/${'\u20ac'.repeat(80)}/${'y'.repeat(250)}/${'z'.repeat(250)}`, '/a'],
    ['a long ancestor', `/${'x'.repeat(250)}/${'y'.repeat(250)}`, `/${'x'.repeat(250)}/${'y'.repeat(250)}/z`],
    ['a long sibling', `/${'x'.repeat(250)}/${'y'.repeat(250)}`, `/${'x'.repeat(250)}/${'y'.repeat(249)}z`],
    ['an emoji where names are cut', `/${'x'.repeat(64)}\u{1f4be}/${'y'.repeat(250)}`, `/${'x'.repeat(64)}\u{1f4be}/${'y'.repeat(250)}/z`],
    ['an emoji behind the cut', `/${'x'.repeat(63)}\u{1f4be}\u{1f4bf}`, `/${'x'.repeat(63)}\u{1f4be}\u{1f4bf}/${'y'.repeat(250)}/z/z`],
  ] // prettier-ignore
  const kinds = [exclusive, deep, shared, deepShared]

  it.each(places)('are judged with %s', async (_, firstText, secondText) => {
    const [first, second] = [toPath(firstText), toPath(secondText)]
    for (const one of kinds) {
      for (const other of kinds) {
        const held = await take(firstText, one)
        const meets =
          first === second ||
          (one.depth === 'infinity' && isWithin(second, first)) ||
          (other.depth === 'infinity' && isWithin(first, second))
        const conflicting = meets && (one.scope === 'exclusive' || other.scope === 'exclusive')
        // Who asks makes no difference: RFC 4918 §6.1 knows no second exclusive lock of one's own either.
        for (const principal of [alice, bob]) {
          const result = await take(secondText, other, principal).catch((error: unknown) => error)
          if (conflicting) expect(result).toMatchObject({ kind: 'locked', reason: 'no-conflicting-lock', path: first })
          else {
            const { token } = result as Lock
            await locks.release(second, token, principal)
          }
        }
        await locks.release(first, held.token, alice)
      }
    }
    expect(await everything()).toEqual([])
  })

  it('end with the lock', async () => {
    await take('/a', deep, alice, 200)
    clock.advanceSeconds(199.999)
    expect(await kindOf(take('/a/b', exclusive, bob))).toBe('locked')
    clock.advanceSeconds(0.001)
    expect(await kindOf(take('/a/b', exclusive, bob))).toBe('fine')
  })

  it('leave nothing behind when they refuse', async () => {
    await take('/a/b')
    expect(await kindOf(take('/a', deep, bob))).toBe('locked')
    expect(await kindOf(take('/', deepShared, bob))).toBe('locked')
    expect((await everything()).map(({ path }) => path)).toEqual(['/a/b'])
  })
})

describe('a lock', () => {
  it('has an unguessable URI for a token and keeps what it was taken with', async () => {
    const owner = '<D:owner xmlns:D="DAV:"><D:href>mailto:a@example.org</D:href></D:owner>'
    const request: LockRequest = { path: toPath('/a'), ...deepShared, principal: alice, timeoutSeconds: 300, owner }
    const lock = await locks.take(request)
    expect(lock.token).toMatch(/^opaquelocktoken:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(lock).toEqual({
      path: '/a',
      scope: 'shared',
      depth: 'infinity',
      principal: alice,
      owner,
      token: lock.token,
      expires: clock.now() + 300_000,
    })
    expect(await locks.covering(toPath('/a/b/c'))).toEqual([lock])
  })

  it('is kept where the catalog is kept', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'locks-'))
    const open = (): Promise<Catalog> => openSqliteCatalog({ file: join(directory, 'c'), clock, durability: 'fast' })
    const [one, other] = [await open(), await open()]
    try {
      const request = { path: toPath('/a'), ...deep, principal: alice, timeoutSeconds: 300 }
      const lock = await catalogLocks(one, clock).take(request)
      expect(await catalogLocks(other, clock).covering(toPath('/a/b'))).toEqual([lock])
      expect(await kindOf(catalogLocks(other, clock).take({ ...request, path: toPath('/a/b') }))).toBe('locked')
    } finally {
      await one.close()
      await other.close()
      await rm(directory, { recursive: true })
    }
  })
})

describe('covering, below and members', () => {
  it('tell locks by where they reach', async () => {
    await take('/', shared)
    await take('/a', deepShared)
    await take('/a/b', shared)
    await take('/a/b/c', deepShared, bob)
    await take('/a-b', exclusive)
    expect((await locks.covering(toPath('/a/b/c'))).map(({ path }) => path)).toEqual(['/a/b/c', '/a'])
    expect((await locks.covering(toPath('/a/b/x'))).map(({ path }) => path)).toEqual(['/a'])
    expect((await locks.covering(toPath('/'))).map(({ path }) => path)).toEqual(['/'])
    expect(await roots(locks.below(toPath('/a')))).toEqual(['/a/b', '/a/b/c'])
    expect(await roots(locks.below(toPath('/')))).toEqual(['/a', '/a-b', '/a/b', '/a/b/c'])
    expect([...(await locks.members(toPath('/'))).keys()].sort()).toEqual(['/a', '/a-b'])
    expect([...(await locks.members(toPath('/a'))).keys()]).toEqual(['/a/b'])
    expect((await locks.members(toPath('/a/b/c'))).size).toBe(0)
  })

  it('forget what has expired', async () => {
    await take('/a/b', exclusive, alice, 200)
    clock.advanceSeconds(200)
    expect(await locks.covering(toPath('/a/b'))).toEqual([])
    expect(await roots(locks.below(toPath('/')))).toEqual([])
    expect((await locks.members(toPath('/a'))).size).toBe(0)
  })

  it('show one shared lock where another has expired', async () => {
    await take('/a', shared, alice, 200)
    const stays = await take('/a', shared, bob, 400)
    clock.advanceSeconds(300)
    expect(await locks.covering(toPath('/a'))).toEqual([stays])
    expect((await locks.members(toPath('/'))).get(toPath('/a'))).toEqual([stays])
  })
})

describe('refresh', () => {
  it('prolongs from now, for its owner, from anywhere the lock reaches', async () => {
    const lock = await take('/a', deep, alice, 200)
    clock.advanceSeconds(150)
    const renewed = await locks.refresh(toPath('/a/b'), holding(alice, lock), 300)
    expect(renewed).toEqual({ ...lock, expires: clock.now() + 300_000 })
    clock.advanceSeconds(299)
    expect(await locks.covering(toPath('/a'))).toEqual([renewed])
    clock.advanceSeconds(1)
    expect(await locks.covering(toPath('/a'))).toEqual([])
  })

  it('refuses another principal, another place, another token and what is over', async () => {
    const lock = await take('/a', exclusive, alice, 200)
    const refused = { kind: 'precondition', reason: 'lock-token-matches-request-uri' }
    await expect(locks.refresh(toPath('/a'), holding(bob, lock), 300)).rejects.toMatchObject(refused)
    await expect(locks.refresh(toPath('/a/b'), holding(alice, lock), 300)).rejects.toMatchObject(refused)
    await expect(locks.refresh(toPath('/'), holding(alice, lock), 300)).rejects.toMatchObject(refused)
    await expect(locks.refresh(toPath('/a'), holding(alice), 300)).rejects.toMatchObject(refused)
    clock.advanceSeconds(200)
    await expect(locks.refresh(toPath('/a'), holding(alice, lock), 300)).rejects.toMatchObject(refused)
    expect(await everything()).toEqual([])
  })

  it('touches only one of several shared locks', async () => {
    const one = await take('/a', shared, alice, 200)
    const other = await take('/a', shared, bob, 200)
    await locks.refresh(toPath('/a'), holding(bob, other), 500)
    expect((await locks.covering(toPath('/a'))).map(({ expires }) => expires - clock.now())).toEqual([200_000, 500_000])
    clock.advanceSeconds(200)
    expect((await locks.covering(toPath('/a'))).map(({ token }) => token)).toEqual([other.token])
    expect(one.token).not.toBe(other.token)
  })

  it('does not say that a lock goes on which was released meanwhile', async () => {
    const lock = await take('/a')
    const between = intercepted(catalog, async () => locks.release(lock.path, lock.token, alice))
    await expect(catalogLocks(between, clock).refresh(lock.path, holding(alice, lock), 300)).rejects.toMatchObject({
      kind: 'precondition',
    })
    expect(await everything()).toEqual([])
  })
})

describe('release', () => {
  it('works from anywhere the lock reaches and from nowhere else', async () => {
    const flat = await take('/a')
    await expect(locks.release(toPath('/b'), flat.token, alice)).rejects.toMatchObject({
      kind: 'conflict',
      reason: 'lock-token-matches-request-uri',
    })
    expect(await kindOf(locks.release(toPath('/a/b'), flat.token, alice))).toBe('conflict')
    expect(await kindOf(locks.release(toPath('/'), flat.token, alice))).toBe('conflict')
    expect(await kindOf(locks.release(toPath('/a'), 'opaquelocktoken:no', alice))).toBe('conflict')
    expect(await kindOf(locks.release(toPath('/a'), '', alice))).toBe('conflict')
    expect(await everything()).toHaveLength(1)
    await locks.release(toPath('/a'), flat.token, alice)
    expect(await kindOf(locks.release(toPath('/a'), flat.token, alice))).toBe('conflict')
    const tree = await take('/a', deep)
    await locks.release(toPath('/a/b/c'), tree.token, alice)
    expect(await everything()).toEqual([])
  })

  it("is its principal's alone", async () => {
    const lock = await take('/a')
    expect(await kindOf(locks.release(toPath('/a'), lock.token, bob))).toBe('denied')
    expect(await kindOf(check('/a', nobody))).toBe('locked')
  })

  it('takes one shared lock and leaves the others', async () => {
    const one = await take('/a', shared, alice)
    const other = await take('/a', shared, bob)
    await locks.release(toPath('/a'), one.token, alice)
    expect((await locks.covering(toPath('/a'))).map(({ token }) => token)).toEqual([other.token])
    expect(await kindOf(take('/a', exclusive, alice))).toBe('locked')
  })

  it('is over with the lock', async () => {
    const lock = await take('/a', exclusive, alice, 200)
    clock.advanceSeconds(200)
    expect(await kindOf(locks.release(toPath('/a'), lock.token, alice))).toBe('conflict')
  })
})

describe('check', () => {
  it('lets nobody write without the token, whoever he is, and names the lock root', async () => {
    const lock = await take('/a/b', deep)
    for (const holder of [nobody, holding(alice), holding(bob, lock)])
      await expect(check('/a/b/c', holder)).rejects.toMatchObject({
        kind: 'locked',
        reason: 'lock-token-submitted',
        path: '/a/b',
      })
    expect(await kindOf(check('/a/b/c', holding(alice, lock)))).toBe('fine')
    expect(await kindOf(check('/a/bc', nobody))).toBe('fine')
    expect(await kindOf(check('/a', nobody))).toBe('fine')
  })

  it.each([
    // On /d: what may be done by somebody without the token (RFC 4918 §7.4, §7.5).
    ['changing the collection itself', exclusive, '/d', false, false, 'locked'],
    ['changing a member', exclusive, '/d/f', false, false, 'fine'],
    ['making or removing a member', exclusive, '/d/f', true, false, 'locked'],
    ['making or removing further down', exclusive, '/d/e/f', true, false, 'fine'],
    ['removing the collection', exclusive, '/d', true, true, 'locked'],
    ['removing what holds the collection', exclusive, '/', false, true, 'locked'],
    ['changing a member under a deep lock', deep, '/d/f', false, false, 'locked'],
    ['making further down under a deep lock', deep, '/d/e/f', true, false, 'locked'],
    ['making a sibling', deep, '/e', true, false, 'fine'],
    ['a name that begins alike', deep, '/d-e', true, true, 'fine'],
  ] as const)('%s under a lock of %j: %s', async (_, kind, path, membership, tree, outcome) => {
    const lock = await take('/d', kind)
    expect(await kindOf(check(path, nobody, { membership, tree }))).toBe(outcome)
    expect(await kindOf(check(path, holding(alice, lock), { membership, tree }))).toBe('fine')
    const sharedLock = await locks.release(lock.path, lock.token, alice).then(() => take('/d', { ...kind, scope: 'shared' }))
    expect(await kindOf(check(path, nobody, { membership, tree }))).toBe(outcome)
    expect(await kindOf(check(path, holding(alice, sharedLock), { membership, tree }))).toBe('fine')
  }) // prettier-ignore

  it('protects the members of the root', async () => {
    const lock = await take('/')
    expect(await kindOf(check('/a', nobody, { membership: true }))).toBe('locked')
    expect(await kindOf(check('/a', nobody))).toBe('fine')
    expect(await kindOf(check('/', nobody, { membership: true }))).toBe('locked')
    expect(await kindOf(check('/a', holding(alice, lock), { membership: true }))).toBe('fine')
  })

  it("takes any one of the shared locks, but one of one's own", async () => {
    const one = await take('/a', shared, alice)
    const other = await take('/a', shared, bob)
    expect(await kindOf(check('/a', holding(alice, one)))).toBe('fine')
    expect(await kindOf(check('/a', holding(bob, other)))).toBe('fine')
    expect(await kindOf(check('/a', holding(bob, one)))).toBe('locked')
    expect(await kindOf(check('/a', nobody))).toBe('locked')
    expect(await kindOf(check('/a', holding('test:carol', one, other)))).toBe('locked')
  })

  it('takes a shared lock from above for a member that others share', async () => {
    const above = await take('/a', deepShared, alice)
    await take('/a/b', shared, bob)
    expect(await kindOf(check('/a/b', holding(alice, above)))).toBe('fine')
    expect(await kindOf(check('/a', holding(alice, above), { tree: true, membership: true }))).toBe('fine')
  })

  it('wants every token for a tree', async () => {
    const one = await take('/a/b')
    const other = await take('/a/c/d', deep, alice)
    const foreign = await take('/a/e', exclusive, bob)
    expect(await kindOf(check('/a', holding(alice, one), { tree: true }))).toBe('locked')
    await expect(check('/a', holding(alice, one, other), { tree: true })).rejects.toMatchObject({ path: '/a/e' })
    expect(await kindOf(check('/a', holding(alice, one, other, foreign), { tree: true }))).toBe('locked')
    await locks.release(foreign.path, foreign.token, bob)
    expect(await kindOf(check('/a', holding(alice, one, other), { tree: true }))).toBe('fine')
    expect(await kindOf(check('/a', nobody))).toBe('fine')
  })

  it("wants the token of the parent as well as the resource's own", async () => {
    const parent = await take('/a')
    const own = await take('/a/b')
    expect(await kindOf(check('/a/b', holding(alice, own), { membership: true }))).toBe('locked')
    expect(await kindOf(check('/a/b', holding(alice, parent), { membership: true }))).toBe('locked')
    expect(await kindOf(check('/a/b', holding(alice, parent, own), { membership: true }))).toBe('fine')
  })

  it('is over with the lock', async () => {
    await take('/a', deep, alice, 200)
    clock.advanceSeconds(200)
    expect(await kindOf(check('/a/b', nobody, { tree: true, membership: true }))).toBe('fine')
  })

  it('finds locks on long paths', async () => {
    const long = `/${'\u20ac'.repeat(80)}/${'\u{1f4be}'.repeat(60)}/${'x'.repeat(255)}`
    await take(long, deep)
    expect(await kindOf(check(`${long}/y`, nobody))).toBe('locked')
    expect(await kindOf(check(parentOf(toPath(long)), nobody, { tree: true }))).toBe('locked')
    expect(await kindOf(check('/', nobody, { tree: true }))).toBe('locked')
    expect(await kindOf(check(`${long.slice(0, -1)}y`, nobody))).toBe('fine')
  })
})

describe('rooted and end', () => {
  const end = async (path: string, extent: 'self' | 'tree'): Promise<void> =>
    locks.end(await locks.rooted(toPath(path), extent))

  it('drop what is at and below a path, and nothing beside it', async () => {
    const long = `/a/${'x'.repeat(250)}/${'y'.repeat(250)}`
    for (const path of ['/a', '/a/b', '/a/b/c', long, '/a-b', '/ab', '/b']) await take(path)
    await end('/a/b', 'self')
    expect((await everything()).map(({ path }) => path)).toHaveLength(6)
    await end('/a', 'tree')
    expect((await everything()).map(({ path }) => path).sort()).toEqual(['/a-b', '/ab', '/b'])
    await end('/nothing', 'tree')
    await end('/', 'tree')
    expect(await everything()).toEqual([])
  })

  it('leave what has come since', async () => {
    await take('/a', shared, alice)
    const over = await locks.rooted(toPath('/a'), 'self')
    const later = await take('/a', shared, bob)
    await locks.end(over)
    expect((await everything()).map(({ token }) => token)).toEqual([later.token])
  })
})

describe('machines that share a catalog', () => {
  it('do not take over a lock before its time is up, though their clock is ahead', async () => {
    const ahead: Clock = { now: () => clock.now() + 2000 }
    const [slow, fast] = [clock, ahead].map((each) => catalogLocks(catalog, each, { shared: true }))
    const wanted = { path: toPath('/a'), ...exclusive, timeoutSeconds: 100 }
    const held = await slow!.take({ ...wanted, principal: alice })
    expect(held.expires).toBe(clock.now() + 100_000)
    const write = { path: toPath('/a'), extent: 'self', membership: false } as const
    clock.advanceSeconds(99.9)
    expect(await kindOf(fast!.take({ ...wanted, principal: bob }))).toBe('locked')
    expect(await kindOf(fast!.check(write, nobody))).toBe('locked')
    // Its owner may go on with it in the last moment, at either machine.
    expect(await kindOf(fast!.refresh(toPath('/a'), holding(alice, held), 100))).toBe('fine')
    clock.advanceSeconds(107)
    expect(await kindOf(fast!.take({ ...wanted, principal: bob }))).toBe('fine')
  })

  it('keep a lock whose time was prolonged at the one that is behind', async () => {
    const behind: Clock = { now: () => clock.now() - 2000 }
    const [slow, fast] = [behind, clock].map((each) => catalogLocks(catalog, each, { shared: true }))
    const wanted = { path: toPath('/a'), ...exclusive, timeoutSeconds: 100 }
    const held = await fast!.take({ ...wanted, principal: alice })
    clock.advanceSeconds(90)
    // Its client counts a hundred seconds from here.
    await slow!.refresh(toPath('/a'), holding(alice, held), 100)
    clock.advanceSeconds(99.9)
    expect(await kindOf(fast!.take({ ...wanted, principal: bob }))).toBe('locked')
  })
})

describe('bounds', () => {
  it('keeps one principal from holding more than its share, and others from noticing', async () => {
    locks = catalogLocks(catalog, clock, { maxPerPrincipal: 3 })
    const held = [await take('/1'), await take('/2'), await take('/3')]
    await expect(take('/4')).rejects.toMatchObject({ kind: 'throttled', retryAfterSeconds: 10 })
    expect(await kindOf(take('/4', exclusive, bob))).toBe('fine')
    await locks.release(held[0]!.path, held[0]!.token, alice)
    clock.advanceSeconds(10)
    expect(await kindOf(take('/5'))).toBe('fine')
    expect(await kindOf(take('/6'))).toBe('throttled')
  })

  it('does not count what is over', async () => {
    locks = catalogLocks(catalog, clock, { maxPerPrincipal: 2 })
    for (let round = 0; round < 5; round++) {
      await take(`/${round}a`, exclusive, alice, 200)
      await take(`/${round}b`, exclusive, alice, 200)
      clock.advanceSeconds(200)
    }
    for (let at = 0; at < 20; at++) {
      const lock = await take('/x')
      await locks.release(lock.path, lock.token, alice)
      clock.advanceSeconds(10)
    }
  })

  it('bounds the shared locks on one resource', async () => {
    for (let at = 0; at < 100; at++) await take('/a', shared, `test:${at}`)
    expect(await kindOf(take('/a', shared, alice))).toBe('locked')
    expect(await kindOf(take('/b', shared, alice))).toBe('fine')
  })
})

describe('several tables over one catalog', () => {
  it('let one of many win', async () => {
    const requests = Array.from({ length: 12 }, (_, at) => ({
      path: toPath(['/a', '/a/b', '/a/b/c', '/'][at % 4]!),
      ...deep,
      principal: `test:${at}`,
      timeoutSeconds: 300,
    }))
    const results = await Promise.allSettled(requests.map((request) => catalogLocks(catalog, clock).take(request)))
    const won = results.filter(({ status }) => status === 'fulfilled')
    expect(won.length).toBeLessThanOrEqual(1)
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ kind: 'locked' })
    expect(await everything()).toHaveLength(won.length)
  })

  it('do not bring a lock back that is over, however late the write of its owner comes', async () => {
    await take('/a', shared, 'test:carol', 3000)
    const lock = await take('/a', deepShared, alice, 200)
    let other: Lock | undefined
    const slow = intercepted(catalog, async () => {
      clock.advanceSeconds(200)
      other = await take('/a/b', exclusive, bob)
    })
    const refreshed = catalogLocks(slow, clock).refresh(toPath('/a/b'), holding(alice, lock), 300)
    expect(await kindOf(refreshed)).toBe('precondition')
    expect(await locks.covering(toPath('/a/b'))).toEqual([other])
  })

  it('do not confirm a lock whose time to be taken is over', async () => {
    await take('/a', shared, 'test:carol', 3000)
    let swaps = 0
    const slow = stepwise(catalog, async (label) => {
      // The first one finds another record there, the second one announces the lock, the third one confirms it.
      if (label !== 'swap' || ++swaps !== 3) return
      clock.advanceSeconds(60)
      await take('/a/b', exclusive, bob)
    })
    const request = { path: toPath('/a'), ...deepShared, principal: alice, timeoutSeconds: 300 }
    expect(await kindOf(catalogLocks(slow, clock).take(request))).toBe('unavailable')
    expect((await locks.covering(toPath('/a/b'))).map(({ principal }) => principal)).toEqual([bob])
  })

  it('are not kept out for long by one that has died while it took a lock', async () => {
    const dying = intercepted(catalog, async () => Promise.reject(new Error('died')), 'after-first-swap')
    const request = { path: toPath('/a'), ...deep, principal: alice, timeoutSeconds: 300 }
    await expect(catalogLocks(dying, clock).take(request)).rejects.toThrow('died')
    expect(await kindOf(check('/a/b', nobody))).toBe('fine')
    expect(await roots(locks.below(toPath('/')))).toEqual([])
    clock.advanceSeconds(30)
    expect(await kindOf(take('/a/b', exclusive, bob))).toBe('fine')
  })

  /** Any order of steps of 2 to 4 tables: never two locks in conflict, none lost, none left half taken. */
  it('never grant two locks in conflict, whatever the order of their steps', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(script, { minLength: 2, maxLength: 4 }), async (scheduler, scripts) => {
        const time = new ManualClock()
        const medium = openMemoryCatalog({ clock: time })
        const wrong: string[] = []
        const judge = async (): Promise<void> => {
          const granted = (await stored(medium, time)).filter((lock) => lock.provisional !== true)
          for (const [at, one] of granted.entries())
            for (const other of granted.slice(at + 1))
              if (conflicting(one, other)) wrong.push(`${JSON.stringify(one)} and ${JSON.stringify(other)}`)
        }
        const stepped = stepwise(medium, async (label) => {
          await scheduler.schedule(Promise.resolve(), label)
          await judge()
        })
        const claiming: Catalog = {
          ...stepped,
          async claim(...args) {
            await scheduler.schedule(Promise.resolve(), 'claim')
            const claimed = (await medium.claim?.(...args)) ?? false
            await judge()
            return claimed
          },
        }
        const released = new Set<string>()
        const acknowledged = new Map<string, Lock>()
        const actors = scripts.map(async (commands, at) => {
          // Half of them over an engine that can take a lock in one step.
          const table = catalogLocks(at % 2 === 0 ? stepped : claiming, time)
          const principal = `test:${at}`
          const own: Lock[] = []
          for (const command of commands) {
            if (command.kind === 'advance') {
              await scheduler.schedule(Promise.resolve(), 'advance')
              time.advanceSeconds(command.seconds)
              continue
            }
            try {
              if (command.kind === 'take') {
                const lock = await table.take({ ...command.lock, principal, timeoutSeconds: 200 })
                own.push(lock)
                acknowledged.set(lock.token, lock)
              } else if (command.kind === 'check') {
                await table.check({ path: command.path, extent: 'tree', membership: true }, holding(principal, ...own))
              } else {
                const lock = own[command.which % Math.max(1, own.length)]
                if (lock === undefined) continue
                if (command.kind === 'release') {
                  released.add(lock.token)
                  await table.release(lock.path, lock.token, principal)
                } else {
                  acknowledged.set(lock.token, await table.refresh(lock.path, holding(principal, lock), 400))
                }
              }
            } catch (error) {
              if (!isFailure(error, 'locked', 'unavailable', 'conflict', 'precondition')) throw error
            }
          }
        })
        await scheduler.waitFor(Promise.all(actors))
        await judge()
        expect(wrong).toEqual([])
        const left = await stored(medium, time)
        expect(left.filter((lock) => lock.provisional === true)).toEqual([])
        const tokens = new Set(left.map(({ token }) => token))
        for (const lock of acknowledged.values())
          if (lock.expires > time.now() && !released.has(lock.token)) expect(tokens).toContain(lock.token)
        for (const token of tokens) expect(released.has(token)).toBe(false)
      }),
    )
  }, 60_000)
})

const tree = fc.constantFrom('/a', '/a/b', '/a/b/c', '/a/d', '/').map(toPath)
const command = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('take' as const), lock: fc.record({ path: tree, scope: fc.constantFrom('exclusive' as const, 'shared' as const), depth: fc.constantFrom(0 as const, 'infinity' as const) }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('release' as const, 'refresh' as const), which: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('check' as const), path: tree }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('advance' as const), seconds: fc.constantFrom(1, 6, 11, 190, 201) }) },
) // prettier-ignore
const script = fc.array(command, { minLength: 1, maxLength: 5 })

interface StoredLock extends Lock {
  readonly provisional?: true
}

async function stored(source: Catalog, time: ManualClock): Promise<readonly StoredLock[]> {
  const found: StoredLock[] = []
  for await (const items of source.list(group))
    for (const { value } of items)
      found.push(...(JSON.parse(Buffer.from(value).toString()) as { locks: StoredLock[] }).locks)
  return found.filter((lock) => lock.expires > time.now())
}

async function everything(): Promise<readonly StoredLock[]> {
  return stored(catalog, clock)
}

function conflicting(one: Lock, other: Lock): boolean {
  if (one.scope === 'shared' && other.scope === 'shared') return false
  const reaches = (from: Lock, path: StorePath): boolean =>
    from.path === path || (from.depth === 'infinity' && isWithin(path, from.path))
  return reaches(one, other.path) || reaches(other, one.path)
}

/** A catalog of which every single step waits for its turn; a list is read item by item, and so are many names. */
function stepwise(medium: Catalog, turn: (label: string) => Promise<void>): Catalog {
  return {
    async get(...args) {
      await turn('get')
      return medium.get(...args)
    },
    async getAll(of, names) {
      const found: (Item | undefined)[] = []
      for (const name of names) {
        await turn('get')
        found.push(await medium.get(of, name))
      }
      return found
    },
    async swap(...args) {
      await turn('swap')
      return medium.swap(...args)
    },
    async *list(name, options = {}) {
      let { after } = options
      for (;;) {
        await turn('list')
        let next: NamedItem | undefined
        for await (const items of medium.list(name, after === undefined ? options : { ...options, after })) {
          next = items[0]
          break
        }
        if (next === undefined) return
        after = next.name
        yield [next]
      }
    },
    add: (...args) => medium.add(...args),
    close: () => medium.close(),
  }
}

/** A catalog in which something happens once: right before the first swap, or in place of all that follows it. */
function intercepted(medium: Catalog, happens: () => Promise<void>, when: 'before-swap' | 'after-first-swap' = 'before-swap'): Catalog {
  let done = false
  return {
    ...stepwise(medium, async (label) => {
      if (when === 'after-first-swap') {
        if (done) await happens()
        if (label === 'swap') done = true
      } else if (label === 'swap' && !done) {
        done = true
        await happens()
      }
    }),
  }
} // prettier-ignore
