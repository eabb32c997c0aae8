import { hash } from '@node-rs/argon2'
import { describe, expect, it, vi } from 'vitest'
import { createPasswordHasher, Turns } from './password-hash.js'

const hasher = createPasswordHasher()

describe('verify', () => {
  it('says no without a hash and for every hash that is not one of ours', async () => {
    const good = await hasher.hash('secret')
    const bad = [
      undefined,
      '',
      'secret',
      '$2b$10$abcdefghijklmnopqrstuuMUKKgVHHT4n9S1JAmxq/kU5N5JQOZ7S',
      good.replace('argon2id', 'argon2i'),
      good.replace('argon2id', 'argon2d'),
      good.replace('v=19', 'v=16'),
      good.replace('m=19456', 'm=9999999'),
      good.replace('m=19456', 'm=65537'),
      good.replace('t=2', 't=11'),
      good.replace('t=2', 't=0'),
      good.replace('p=1', 'p=5'),
      good.replace('p=1', 'p=255'),
      good.slice(0, -1),
      good.slice(0, good.lastIndexOf('$') + 4),
      good + good,
      good + '\n',
      ' ' + good,
    ]
    for (const stored of bad) {
      expect(await hasher.verify(stored, 'secret'), stored).toBe(false)
      expect(await hasher.verify(stored, ''), stored).toBe(false)
    }
  })

  it('says no to every other password', async () => {
    const good = await hasher.hash('secret')
    for (const password of ['', 'Secret', 'secret ', 'secret\0', 'secre', 'x'.repeat(100_000)])
      expect(await hasher.verify(good, password), password.slice(0, 10)).toBe(false)
  })

  it('says yes to the right one, in both forms of Unicode', async () => {
    const good = await hasher.hash('p\u00e4ssword 😀')
    expect(good).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expect(await hasher.verify(good, 'p\u00e4ssword 😀')).toBe(true)
    expect(await hasher.verify(good, 'pa\u0308ssword 😀')).toBe(true)
    expect(await hasher.hash('p\u00e4ssword 😀')).not.toBe(good)
  })

  it('takes a hash of another acceptable cost', async () => {
    const other = await hash('x', { memoryCost: 1024, timeCost: 3, parallelism: 2 })
    expect(await hasher.verify(other, 'x')).toBe(true)
    expect(await hasher.verify(other, 'y')).toBe(false)
  })
})

describe('hash', () => {
  it('refuses an empty and an endless password', async () => {
    await expect(hasher.hash('')).rejects.toMatchObject({ kind: 'invalid' })
    await expect(hasher.hash('x'.repeat(1025))).rejects.toMatchObject({ kind: 'invalid' })
    await expect(hasher.hash('é'.repeat(513))).rejects.toMatchObject({ kind: 'invalid' })
  })
})

describe('a flood', () => {
  it('is throttled beyond the queue, and those in it are served', async () => {
    const narrow = createPasswordHasher({ waiting: 2 })
    const tries = await Promise.allSettled(Array.from({ length: 6 }, () => narrow.verify(undefined, 'x')))
    expect(tries.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ])
    expect(tries.at(-1)).toMatchObject({ reason: { kind: 'throttled', retryAfterSeconds: 1 } })
    expect(await narrow.verify(undefined, 'x')).toBe(false)
    const good = await narrow.hash('right')
    expect(await narrow.verify(good, 'right')).toBe(true)
  })
  it('is throttled too when its turn does not come, and holds nobody up who comes later', async () => {
    vi.useFakeTimers()
    try {
      const turns = new Turns(1, 8)
      let end: () => void = () => undefined
      const first = turns.run(() => new Promise<void>((resolve) => (end = resolve)))
      const second = turns.run(async () => 'second')
      const refused = expect(second).rejects.toMatchObject({ kind: 'throttled' })
      await vi.advanceTimersByTimeAsync(5000)
      await refused
      const third = turns.run(async () => 'third')
      end()
      await first
      expect(await third).toBe('third')
      expect(await turns.run(async () => 'fourth')).toBe('fourth')
    } finally {
      vi.useRealTimers()
    }
  })
})
