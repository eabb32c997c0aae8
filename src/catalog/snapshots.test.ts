import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Catalog } from './catalog.js'
import { openMemoryCatalog } from './memory.js'
import { catalogSnapshots, type Listing, type Snapshots } from './snapshots.js'
import { ManualClock } from '../core/clock.js'

let clock: ManualClock
let catalog: Catalog
let snapshots: Snapshots

beforeEach(() => {
  clock = new ManualClock()
  catalog = openMemoryCatalog({ clock })
  snapshots = catalogSnapshots(catalog, clock)
})

const day = 24 * 3600
const listing: Listing = new Map([['b', '2'], ['a', '1'], ['sub/\u{1f4be}', '3']]) // prettier-ignore

async function count(): Promise<number> {
  let items = 0
  for await (const batch of catalog.list('snapshots')) items += batch.length
  return items
}

describe('snapshots', () => {
  it('come back by their id, to the subject they were kept for and to no other', async () => {
    const id = await snapshots.keep('alice /a', listing)
    expect(await snapshots.find('alice /a', id)).toEqual(new Map([...listing].sort()))
    expect(await snapshots.find('bob /a', id)).toBeUndefined()
    expect(await snapshots.find('alice /a/b', id)).toBeUndefined()
  })

  it.each(['', 'x', '0', '0'.repeat(40), `${'a'.repeat(39)}/0`, '../secrets', 'A'.repeat(40), 'a'.repeat(5000)])(
    'know nothing of the id %j',
    async (id) => {
      await snapshots.keep('s', listing)
      expect(await snapshots.find('s', id)).toBeUndefined()
    },
  )

  it('are kept once, whatever the order', async () => {
    const id = await snapshots.keep('s', listing)
    expect(await snapshots.keep('s', new Map([...listing].reverse()))).toBe(id)
    expect(await count()).toBe(1)
    expect(await snapshots.keep('s', new Map([...listing, ['c', '4']]))).not.toBe(id)
    expect(await snapshots.keep('t', listing)).not.toBe(id)
  })

  it('do not confuse subject and listing', async () => {
    const ids = [await snapshots.keep('', new Map()), await snapshots.keep('\0', new Map()), await snapshots.keep('[]', new Map())] // prettier-ignore
    expect(new Set(ids).size).toBe(3)
    expect(await snapshots.find('', ids[0]!)).toEqual(new Map())
  })

  it('last thirty days from the last time they were told', async () => {
    const id = await snapshots.keep('s', listing)
    clock.advanceSeconds(29 * day)
    expect(await snapshots.keep('s', listing)).toBe(id)
    clock.advanceSeconds(29 * day)
    expect(await snapshots.find('s', id)).toBeDefined()
    clock.advanceSeconds(day)
    expect(await snapshots.find('s', id)).toBeUndefined()
  })

  it('may be larger than a catalog value', async () => {
    const large: Listing = new Map(Array.from({ length: 30_000 }, (_, at) => [`member-${at}`, randomBytes(16).toString('hex')]))
    const id = await snapshots.keep('s', large)
    expect(await count()).toBeGreaterThan(1)
    expect((await snapshots.find('s', id))?.size).toBe(30_000)
    await catalog.swap('snapshots', `${id}/1`, undefined, 'any')
    expect(await snapshots.find('s', id)).toBeUndefined()
  }) // prettier-ignore
})
