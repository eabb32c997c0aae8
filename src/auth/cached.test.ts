import { describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { cached, createCredentialKey } from './cached.js'
import type { Credential, Directory, Identity, Verdict } from './identity.js'

const facts = { method: 'GET', target: '/' }
const password = (name: string, secret = 'right'): Credential => ({ kind: 'password', name, password: secret })

/** What every request over the network comes after. */
const nextTurn = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve))

/** A source whose one password is `right`, which counts what it is asked. */
function source(options: { readonly withCurrent?: boolean } = {}) {
  const state = {
    checks: 0,
    currents: 0,
    stamp: 'v1',
    until: Infinity,
    down: false,
    right: 'right',
    gate: Promise.resolve(),
  }
  const directory: Directory = {
    name: 'test',
    accepts: new Set(['password'] as const),
    async check(credential): Promise<Verdict> {
      state.checks++
      const { right, stamp } = state
      await state.gate
      if (state.down) throw new Failure('unavailable', 'down')
      if (credential.kind !== 'password' || credential.password !== right)
        return { kind: 'refused', why: 'wrong-password' }
      const identity: Identity = { name: credential.name, source: 'test', grants: [] }
      return { kind: 'identity', identity, stamp, until: state.until }
    },
    ...(options.withCurrent !== false && {
      async current(_identity: Identity, stamp: string): Promise<boolean> {
        state.currents++
        if (state.down) throw new Failure('unavailable', 'down')
        return stamp === state.stamp
      },
    }),
  }
  return { state, directory }
}

function setUp(options: { readonly withCurrent?: boolean; readonly maxEntries?: number } = {}) {
  const clock = new ManualClock()
  const { state, directory } = source(options)
  const { maxEntries } = options
  const cache = cached(directory, {
    clock,
    keyOf,
    ...(maxEntries !== undefined && { maxEntries }),
  })
  return { clock, state, cache }
}

const keyOf = createCredentialKey()

function asked(credential: Credential) {
  return { credential, key: keyOf(credential), facts }
}

describe('what is not remembered', () => {
  it('a failure', async () => {
    const { state, cache } = setUp()
    for (let at = 0; at < 3; at++)
      expect(await cache.check(password('a', 'wrong'), facts)).toEqual({ kind: 'refused', why: 'wrong-password' })
    expect(state.checks).toBe(3)
    expect(await cache.remembered(asked(password('a', 'wrong')))).toBeUndefined()
  })

  it('a success for any other credential', async () => {
    const { cache } = setUp()
    await cache.check(password('a'), facts)
    for (const other of [
      password('a', 'right '),
      password('b'),
      password('ar', 'ight'),
      password('a","right'),
      { kind: 'api-key', id: 'a', secret: 'right' },
      { kind: 'bearer', token: 'right' },
    ] satisfies Credential[])
      expect(await cache.remembered(asked(other))).toBeUndefined()
  })

  it('a success whose time is over, or whose account has changed', async () => {
    const { clock, state, cache } = setUp()
    await cache.check(password('a'), facts)
    clock.advanceSeconds(119)
    expect(await cache.remembered(asked(password('a')))).toBeDefined()
    clock.advanceSeconds(1)
    expect(await cache.remembered(asked(password('a')))).toBeUndefined()
    await cache.check(password('a'), facts)
    await nextTurn()
    state.stamp = 'v2'
    state.right = 'new'
    expect(await cache.remembered(asked(password('a')))).toBeUndefined()
    expect(await cache.check(password('a'), facts)).toMatchObject({ kind: 'refused' })
    state.stamp = 'v1'
    expect(await cache.remembered(asked(password('a')))).toBeUndefined()
  })

  it('more than so many', async () => {
    const { cache } = setUp({ maxEntries: 3 })
    for (const name of ['a', 'b', 'c']) await cache.check(password(name), facts)
    await cache.remembered(asked(password('a')))
    await cache.check(password('d'), facts)
    expect(await cache.remembered(asked(password('b')))).toBeUndefined()
    for (const name of ['a', 'c', 'd']) expect(await cache.remembered(asked(password(name)))).toBeDefined()
  })
})

describe('what is remembered', () => {
  it('is known at once for the rest of a turn in which it was found good, and for no other credential', async () => {
    const { clock, cache } = setUp()
    const first = await cache.check(password('a'), facts)
    expect(cache.rememberedThisTurn?.(keyOf(password('a')))).toBeUndefined()
    await cache.remembered(asked(password('a')))
    expect(cache.rememberedThisTurn?.(keyOf(password('a')))).toBe(first)
    expect(cache.rememberedThisTurn?.(keyOf(password('b')))).toBeUndefined()
    clock.advanceSeconds(120)
    expect(cache.rememberedThisTurn?.(keyOf(password('a')))).toBeUndefined()
    clock.advanceSeconds(-120)
    await nextTurn()
    expect(cache.rememberedThisTurn?.(keyOf(password('a')))).toBeUndefined()
  })

  it('asks the source once, and is the same identity', async () => {
    const { state, cache } = setUp()
    const first = await cache.check(password('a'), facts)
    expect(await cache.check(password('a'), facts)).toBe(first)
    expect(await cache.remembered(asked(password('a')))).toBe(first)
    expect(state.checks).toBe(1)
    expect(state.currents).toBe(1)
    for (let turn = 2; turn < 5; turn++) {
      await nextTurn()
      for (let at = 0; at < 20; at++) await cache.remembered(asked(password('a')))
    }
    expect(state.checks).toBe(1)
    expect(state.currents).toBe(4)
  })

  it('goes on until its time is over while the source is down, and then is unavailable', async () => {
    const { clock, state, cache } = setUp()
    await cache.check(password('a'), facts)
    state.down = true
    expect(await cache.check(password('a'), facts)).toMatchObject({ kind: 'identity' })
    await expect(cache.check(password('b'), facts)).rejects.toMatchObject({ kind: 'unavailable' })
    clock.advanceSeconds(120)
    await expect(cache.check(password('a'), facts)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('ends when the source says that it will not be true any longer', async () => {
    const { clock, state, cache } = setUp()
    state.until = clock.now() + 10_000
    await cache.check(password('a'), facts)
    clock.advanceSeconds(9)
    expect(await cache.remembered(asked(password('a')))).toBeDefined()
    clock.advanceSeconds(1)
    expect(await cache.remembered(asked(password('a')))).toBeUndefined()
  })

  it('says until when it is remembered, the first time and later', async () => {
    const { clock, state, cache } = setUp()
    const until = clock.now() + 120_000
    expect(await cache.check(password('alice'), facts)).toMatchObject({ until })
    clock.advanceSeconds(1)
    expect(await cache.check(password('alice'), facts)).toMatchObject({ until })
    state.until = until - 60_000
    expect(await cache.check(password('bob'), facts)).toMatchObject({ until: until - 60_000 })
  })

  it('lives by time alone where the source cannot tell', async () => {
    const { state, cache } = setUp({ withCurrent: false })
    await cache.check(password('a'), facts)
    state.stamp = 'v2'
    expect(await cache.remembered(asked(password('a')))).toBeDefined()
    expect(cache).not.toHaveProperty('current')
  })
})

describe('concurrent checks', () => {
  it('of one credential are one, right or wrong', async () => {
    const { state, cache } = setUp()
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => cache.check(password('a'), facts)))
    expect(verdicts.every(({ kind }) => kind === 'identity')).toBe(true)
    expect(state.checks).toBe(1)
    await Promise.all(Array.from({ length: 20 }, () => cache.check(password('a', 'wrong'), facts)))
    expect(state.checks).toBe(2)
    await Promise.all(['b', 'c'].map((name) => cache.check(password(name), facts)))
    expect(state.checks).toBe(4)
  })

  it('that fail with the source, fail alike and are tried again', async () => {
    const { state, cache } = setUp()
    state.down = true
    const tries = await Promise.allSettled([1, 2, 3].map(() => cache.check(password('a'), facts)))
    expect(tries.every(({ status }) => status === 'rejected')).toBe(true)
    expect(state.checks).toBe(1)
    state.down = false
    expect(await cache.check(password('a'), facts)).toMatchObject({ kind: 'identity' })
  })

  it('do not lend a success that is over at once', async () => {
    const { state, cache } = setUp()
    state.until = 0
    const verdicts = await Promise.all([1, 2, 3].map(() => cache.check(password('alice'), facts)))
    expect(verdicts.map(({ kind }) => kind)).toEqual(['identity', 'identity', 'identity'])
    expect(state.checks).toBe(3)
  })

  it('do not lend a success that was revoked before they came', async () => {
    const { state, cache } = setUp()
    let open = (): void => undefined
    state.gate = new Promise((resolve) => (open = resolve))
    const before = cache.check(password('a'), facts)
    // The old password is already judged right when the account changes.
    await Promise.resolve()
    state.stamp = 'v2'
    state.right = 'new'
    const after = cache.check(password('a'), facts)
    open()
    expect(await before).toMatchObject({ kind: 'identity' })
    expect(await after).toMatchObject({ kind: 'refused' })
  })
})

describe('the key of a credential', () => {
  it('says nothing of it, and differs in every process', () => {
    const credential = password('alice', 'hunter2')
    const key = createCredentialKey()(credential)
    expect(key).toMatch(/^[A-Za-z0-9+/]{43}=$/)
    expect(createCredentialKey()(credential)).not.toBe(key)
    const keyOf = createCredentialKey()
    expect(keyOf(password('alice', 'hunter2'))).toBe(keyOf(credential))
    expect(keyOf(password('alice', 'hunter3'))).not.toBe(keyOf(credential))
  })
})
