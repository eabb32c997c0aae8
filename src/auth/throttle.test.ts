import { describe, expect, it } from 'vitest'
import { openMemoryCatalog } from '../catalog/memory.js'
import { ManualClock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import { createThrottle } from './throttle.js'

const secret = new Uint8Array(32).fill(7)

function fresh() {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  const throttle = createThrottle({ catalog, clock, secret })
  let keys = 0
  const fail = async (name: string, address?: string): Promise<void> => {
    const attempt = await throttle.enter({ name, key: String(keys++), ...(address !== undefined && { address }) })
    await attempt.failed()
  }
  /** Seconds to wait, 0 for none. */
  const wait = async (name: string, address?: string): Promise<number> => {
    try {
      const attempt = await throttle.enter({ name, key: 'probe', ...(address !== undefined && { address }) })
      attempt.passed()
      return 0
    } catch (error) {
      if (!isFailure(error, 'throttled')) throw error
      return error.retryAfterSeconds ?? -1
    }
  }
  return { clock, catalog, throttle, fail, wait }
}

describe('a name', () => {
  it('is slowed from its 10th failure, twice as long after each', async () => {
    const { clock, fail, wait } = fresh()
    for (let at = 0; at < 9; at++) await fail('alice')
    expect(await wait('alice')).toBe(0)
    for (const seconds of [1, 2, 4, 8, 16]) {
      await fail('alice')
      expect(await wait('alice')).toBe(seconds)
      expect(await wait('bob')).toBe(0)
      clock.advanceSeconds(seconds - 0.5)
      expect(await wait('alice')).toBe(1)
      clock.advanceSeconds(0.5)
      expect(await wait('alice')).toBe(0)
    }
  })

  it('never waits longer than five minutes', async () => {
    const { clock, fail, wait } = fresh()
    for (let at = 0; at < 18; at++) {
      await fail('alice')
      clock.advanceSeconds(await wait('alice'))
    }
    for (let at = 0; at < 3; at++) {
      await fail('alice')
      expect(await wait('alice')).toBe(300)
      clock.advanceSeconds(300)
    }
  })

  it('begins anew five minutes after its last wait', async () => {
    const { clock, fail, wait } = fresh()
    for (let at = 0; at < 10; at++) await fail('alice')
    expect(await wait('alice')).toBe(1)
    clock.advanceSeconds(301)
    for (let at = 0; at < 9; at++) await fail('alice')
    expect(await wait('alice')).toBe(0)
    await fail('alice')
    expect(await wait('alice')).toBe(1)
  })

  it('is one in both forms of Unicode', async () => {
    const { fail, wait } = fresh()
    for (let at = 0; at < 10; at++) await fail(at % 2 ? 'jos\u00e9' : 'jose\u0301')
    expect(await wait('jos\u00e9')).toBe(1)
  })

  it('is not kept as it is, nor bounded by the catalog in its length', async () => {
    const { catalog, fail, wait } = fresh()
    const name = 'my password, typed in the wrong field '.repeat(100)
    for (let at = 0; at < 10; at++) await fail(name, '192.0.2.1')
    expect(await wait(name)).toBe(1)
    for await (const items of catalog.list('login-waits'))
      for (const item of items) expect(item.name).toMatch(/^[A-Za-z0-9_-]{43}$/)
  })
})

describe('an address', () => {
  it('is slowed from its 50th failure, whatever the names', async () => {
    const { fail, wait } = fresh()
    for (let at = 0; at < 49; at++) await fail(`user${at}`, '192.0.2.1')
    expect(await wait('other', '192.0.2.1')).toBe(0)
    await fail('user49', '192.0.2.1')
    expect(await wait('other', '192.0.2.1')).toBe(1)
    expect(await wait('other', '192.0.2.2')).toBe(0)
    expect(await wait('other')).toBe(0)
  })

  it('is the /64 for IPv6', async () => {
    const { fail, wait } = fresh()
    for (let at = 0; at < 50; at++) await fail(`user${at}`, `2001:db8:1:2:${at.toString(16)}::1`)
    expect(await wait('other', '2001:db8:1:2::ffff')).toBe(1)
    expect(await wait('other', '2001:db8:1:3::1')).toBe(0)
  })
})

describe('many at once', () => {
  it('do not get past the limit before the first is counted', async () => {
    const { throttle } = fresh()
    const tries = await Promise.allSettled(
      Array.from({ length: 30 }, (_, at) => throttle.enter({ name: 'alice', key: String(at) })),
    )
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    expect(tries.at(-1)).toMatchObject({ reason: { kind: 'throttled', retryAfterSeconds: 1 } })
  })

  it('count as one with one credential, and none is refused', async () => {
    const { throttle, fail, wait } = fresh()
    const attempts = await Promise.all(Array.from({ length: 40 }, () => throttle.enter({ name: 'alice', key: 'same' })))
    await Promise.all(attempts.map((attempt) => attempt.failed()))
    for (let at = 0; at < 8; at++) await fail('alice')
    expect(await wait('alice')).toBe(0)
    await fail('alice')
    expect(await wait('alice')).toBe(1)
  })

  it('leave room again when they have passed', async () => {
    const { throttle, wait } = fresh()
    const attempts = await Promise.all(
      Array.from({ length: 10 }, (_, at) => throttle.enter({ name: 'alice', key: String(at) })),
    )
    expect(await wait('alice')).toBe(1)
    for (const attempt of attempts) attempt.passed()
    expect(await wait('alice')).toBe(0)
  })
})

it('is shared by all who share the catalog', async () => {
  const { catalog, clock, fail } = fresh()
  for (let at = 0; at < 10; at++) await fail('alice')
  const other = createThrottle({ catalog, clock, secret })
  await expect(other.enter({ name: 'alice', key: 'k' })).rejects.toMatchObject({ kind: 'throttled' })
})
