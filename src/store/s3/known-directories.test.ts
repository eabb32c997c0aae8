import { describe, expect, it } from 'vitest'
import { toPath } from '../../core/path.js'
import { KnownDirectories, localChanges } from './known-directories.js'

const path = toPath('/d')

function counted<Answer>(answer: () => Answer): { ask: () => Promise<Answer>; times: () => number } {
  let times = 0
  return {
    ask: async () => {
      times++
      return answer()
    },
    times: () => times,
  }
}

describe('known directories', () => {
  it('are looked for again once any of those who share the bucket has changed one', async () => {
    const changes = localChanges()
    const [one, other] = [new KnownDirectories(changes), new KnownDirectories(changes)]
    let isThere = true
    const { ask, times } = counted(() => isThere)
    expect(await one.has(path, ask)).toBe(true)
    expect(await one.has(path, ask)).toBe(true)
    expect(times()).toBe(1)
    isThere = false
    await other.changed()
    expect(await one.has(path, ask)).toBe(false)
  })

  it('are looked for again after a second, for others may change them', async () => {
    let now = 0
    const known = new KnownDirectories(localChanges(), () => now)
    let isThere = true
    const { ask } = counted(() => isThere)
    expect(await known.has(path, ask)).toBe(true)
    isThere = false
    now = 999
    expect(await known.has(path, ask)).toBe(true)
    now = 1000
    expect(await known.has(path, ask)).toBe(false)
  })

  it('are not known that are not there', async () => {
    const known = new KnownDirectories(localChanges())
    const { ask, times } = counted(() => false)
    expect(await known.has(path, ask)).toBe(false)
    expect(await known.has(path, ask)).toBe(false)
    expect(times()).toBe(2)
  })

  it('are not remembered on the word of a look that a change has overtaken', async () => {
    const known = new KnownDirectories(localChanges())
    const late = async (): Promise<boolean> => {
      await known.changed()
      await known.has(toPath('/other'), async () => true)
      return true
    }
    await known.has(path, late)
    expect(await known.has(path, async () => false)).toBe(false)
  })
})

describe('the names in a known directory', () => {
  const names = new Set(['sub'])

  it('are listed once for many who ask, and not for few', async () => {
    const known = new KnownDirectories(localChanges())
    const { ask, times } = counted(() => names)
    await known.has(path, async () => true)
    for (let time = 0; time < 3; time++) expect(await known.names(path, ask)).toBeUndefined()
    expect(times()).toBe(0)
    const found = await Promise.all(Array.from({ length: 5 }, () => known.names(path, ask)))
    expect(found).toEqual(Array.from({ length: 5 }, () => names))
    expect(times()).toBe(1)
  })

  it('are not told of a directory that nobody has seen, but of the root', async () => {
    const known = new KnownDirectories(localChanges())
    for (let time = 0; time < 5; time++) expect(await known.names(path, async () => names)).toBeUndefined()
    for (let time = 0; time < 5; time++) await known.names(toPath('/'), async () => names)
    expect(await known.names(toPath('/'), async () => new Set())).toBe(names)
  })

  it('are forgotten when a directory was made, also while they were being listed', async () => {
    const changes = localChanges()
    const [known, other] = [new KnownDirectories(changes), new KnownDirectories(changes)]
    const often = async (list: () => Promise<ReadonlySet<string> | undefined>): Promise<unknown> => {
      await known.has(path, async () => true)
      for (let time = 0; time < 3; time++) await known.names(path, list)
      return known.names(path, list)
    }
    const overtaken = async (): Promise<ReadonlySet<string>> => {
      await other.changed()
      return new Set()
    }
    expect(await often(overtaken)).toBeUndefined()
    expect(await often(async () => names)).toBe(names)
    await other.changed()
    expect(await known.names(path, async () => names)).toBeUndefined()
  })

  it('are not told where they cannot be listed or are too many, and are asked for once', async () => {
    for (const answer of [() => undefined, () => Promise.reject(new Error('gone'))]) {
      const known = new KnownDirectories(localChanges())
      const { ask, times } = counted(answer)
      await known.has(path, async () => true)
      for (let time = 0; time < 6; time++) expect(await known.names(path, async () => await ask())).toBeUndefined()
      expect(times()).toBe(1)
    }
  })
})
