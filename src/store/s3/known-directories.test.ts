import { describe, expect, it } from 'vitest'
import { toPath } from '../../core/path.js'
import { KnownDirectories, localRemovals } from './known-directories.js'

const path = toPath('/d')

function looking(answer: () => boolean): { look: () => Promise<boolean>; looks: () => number } {
  let looks = 0
  return {
    look: async () => {
      looks++
      return answer()
    },
    looks: () => looks,
  }
}

describe('known directories', () => {
  it('are looked for again once any of those who share the bucket has removed one', async () => {
    const removals = localRemovals()
    const [one, other] = [new KnownDirectories(removals), new KnownDirectories(removals)]
    let isThere = true
    const { look, looks } = looking(() => isThere)
    expect(await one.has(path, look)).toBe(true)
    expect(await one.has(path, look)).toBe(true)
    expect(looks()).toBe(1)
    isThere = false
    await other.removed()
    expect(await one.has(path, look)).toBe(false)
  })

  it('are looked for again after a second, for others may remove them', async () => {
    let now = 0
    const known = new KnownDirectories(localRemovals(), () => now)
    let isThere = true
    const { look } = looking(() => isThere)
    expect(await known.has(path, look)).toBe(true)
    isThere = false
    now = 999
    expect(await known.has(path, look)).toBe(true)
    now = 1000
    expect(await known.has(path, look)).toBe(false)
  })

  it('are not known that are not there', async () => {
    const known = new KnownDirectories(localRemovals())
    const { look, looks } = looking(() => false)
    expect(await known.has(path, look)).toBe(false)
    expect(await known.has(path, look)).toBe(false)
    expect(looks()).toBe(2)
  })

  it('are not remembered on the word of a look that a removal has overtaken', async () => {
    const removals = localRemovals()
    const known = new KnownDirectories(removals)
    const late = async (): Promise<boolean> => {
      await known.removed()
      await known.has(toPath('/other'), async () => true)
      return true
    }
    await known.has(path, late)
    expect(await known.has(path, async () => false)).toBe(false)
  })
})
