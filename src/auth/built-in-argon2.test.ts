import * as crypto from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { loadArgon2 } from './argon2.js'
import { builtInArgon2 } from './built-in-argon2.js'

const cost = { memoryCost: 1024, timeCost: 2, parallelism: 1, outputLen: 32 }

describe('argon2id of Node itself', () => {
  it('reads hashes as the package does, and nothing else', async () => {
    const hash = await loadArgon2().hash('secret', cost)
    expect(builtInArgon2().parseOptions(hash)).toMatchObject({ ...cost, algorithm: 2, saltLen: 16 })
    expect(() => builtInArgon2().parseOptions(hash.replace('argon2id', 'argon2i'))).toThrow()
    expect(() => builtInArgon2().verifySync('$argon2id$', 'secret')).toThrow()
  })

  it.runIf('argon2' in crypto)('agrees with the package in both directions', async () => {
    const [one, other] = [builtInArgon2(), loadArgon2()]
    const [ours, theirs] = [await one.hash('gehéim', cost), await other.hash('gehéim', cost)]
    expect(await other.verify(ours, 'gehéim')).toBe(true)
    expect(await one.verify(theirs, 'gehéim')).toBe(true)
    expect(one.verifySync(theirs, 'gehéim')).toBe(true)
    expect(await one.verify(theirs, 'geheim')).toBe(false)
    expect(one.verifySync(theirs, '')).toBe(false)
  })

  it.runIf(!('argon2' in crypto))('says what is missing where this Node has none', async () => {
    await expect(builtInArgon2().hash('secret', cost)).rejects.toMatchObject({ kind: 'unavailable' })
  })
})
