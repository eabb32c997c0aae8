import { afterEach, describe, expect, it } from 'vitest'
import { createPasswordHasher } from '../password-hash.js'
import { openPasswordChecks } from './password-checks.js'

const checks = openPasswordChecks(createPasswordHasher())
const sha1 = '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='
const rounds = 200_000
const cheapest = { standIn: sha1, dearest: undefined }
const dear = `$6$rounds=${rounds}$salt$${'z'.repeat(86)}`

const costs = { standIn: dear, dearest: dear }

afterEach(() => checks.close())

async function cost(work: () => Promise<unknown>): Promise<number> {
  const before = performance.now()
  await work()
  return performance.now() - before
}

describe('passwords of other sources', () => {
  it('costs as much for nobody, and for somebody with a cheap hash, as for somebody with a dear one', async () => {
    const wrong = await cost(async () => expect(await checks.verify(dear, 'wrong', costs)).toBe(false))
    const nobody = await cost(async () => expect(await checks.verify(undefined, 'wrong', costs)).toBe(false))
    const cheap = await cost(async () => expect(await checks.verify(sha1, 'wrong', costs)).toBe(false))
    const standIn = { standIn: sha1, dearest: dear }
    const other = await cost(async () => expect(await checks.verify(undefined, 'wrong', standIn)).toBe(false))
    const impossible = await cost(async () => expect(await checks.verify(dear, 'a\0b', costs)).toBe(false))
    for (const one of [nobody, cheap, other, impossible]) expect(one).toBeGreaterThan(wrong / 3)
    expect(await cost(async () => expect(await checks.verify(sha1, 'secret', costs)).toBe(true))).toBeLessThan(
      wrong / 3,
    )
  })

  it('never take what lies behind a NUL, nor what is endless', async () => {
    // bcrypt reads its key around and around: this one is the same key twice.
    const bcrypt = '$2y$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC'
    expect(await checks.verify(bcrypt, 'secret', cheapest)).toBe(true)
    expect(await checks.verify(bcrypt, 'secret\0secret', cheapest)).toBe(false)
    expect(await checks.verify(bcrypt, 'x'.repeat(1_000_000), cheapest)).toBe(false)
  })

  it('know argon2id as well', async () => {
    const stored = await createPasswordHasher().hash('secret')
    expect(await checks.verify(stored, 'secret', cheapest)).toBe(true)
    expect(await checks.verify(stored, 'Secret', cheapest)).toBe(false)
  })

  it('are checked one at a time, and so many wait and no more', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 80 }, () => checks.verify(sha1, 'wrong', cheapest)))
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    expect(refused).toHaveLength(80 - 65)
    for (const one of refused) expect(one).toMatchObject({ reason: { kind: 'throttled' } })
    expect(await checks.verify(sha1, 'secret', cheapest)).toBe(true)
  })
})
