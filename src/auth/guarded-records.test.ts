import { beforeEach, describe, expect, it } from 'vitest'
import { compileGrants } from './grant.js'
import { guard, type GuardedSet } from './guard.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import { catalogUploads } from '../catalog/catalog-uploads.js'
import type { Lock, Locks } from '../catalog/locks.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { catalogProperties, type Properties } from '../catalog/properties.js'
import { ManualClock } from '../core/clock.js'
import { toPath, type StorePath } from '../core/path.js'
import { bound } from '../store/bound.js'
import { openMemoryStore } from '../store/memory.js'
import type { Action, Store } from '../store/store.js'

const p = toPath
const property = { namespace: 'urn:x', name: 'colour', xml: '<x:colour xmlns:x="urn:x">red</x:colour>' }

describe('where the medium refuses what is granted', () => {
  let locks: Locks
  let properties: Properties
  let set: GuardedSet
  /** `ACTION PATH` of what the medium refuses. */
  let refused: Set<string>
  let asked: number

  beforeEach(async () => {
    const clock = new ManualClock()
    const catalog = openMemoryCatalog({ clock })
    locks = catalogLocks(catalog, clock)
    properties = catalogProperties(catalog)
    refused = new Set()
    asked = 0
    const memory = openMemoryStore({ clock })
    const store: Store = {
      ...bound(memory),
      permits: async (action: Action, path: StorePath) => {
        asked += 1
        return !refused.has(`${action} ${path}`)
      },
    }
    for (const name of ['f', 'g', 'h']) await store.write(p(`/d/${name}`), one(name), { parents: true })
    const uploads = catalogUploads({ catalog, clock, store })
    const holder = { principal: 'test:alice', tokens: new Set<string>() }
    set = guard({ store, locks, properties, uploads }, compileGrants(['rw:/**'], 'test'), holder)
  })

  async function* one(text: string): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text)
  }

  const take = (path: string, depth: 0 | 'infinity' = 0): Promise<Lock> =>
    set.locks.take({ path: p(path), scope: 'exclusive', depth, principal: 'test:alice', timeoutSeconds: 60 })

  const lockedPaths = async (): Promise<readonly string[]> => {
    const found: string[] = []
    for await (const some of locks.below(p('/'))) found.push(...some.map(({ path }) => path))
    return found
  }

  it('a file that cannot be written cannot be locked', async () => {
    refused.add('replace /d/f')
    await expect(take('/d/f')).rejects.toMatchObject({ kind: 'denied', path: '/d/f' })
    expect(await lockedPaths()).toEqual([])
    await take('/d/g')
    expect(await lockedPaths()).toEqual(['/d/g'])
  })

  it('a folder that cannot be written cannot be locked, with or without all below', async () => {
    refused.add('replace /d')
    await expect(take('/d')).rejects.toMatchObject({ kind: 'denied' })
    await expect(take('/d', 'infinity')).rejects.toMatchObject({ kind: 'denied' })
    expect(await lockedPaths()).toEqual([])
  })

  it('a name cannot be reserved where nothing can be made', async () => {
    for (const action of ['create', 'replace']) refused.add(`${action} /d/new`)
    await expect(take('/d/new')).rejects.toMatchObject({ kind: 'denied' })
    // What can be made is not there to be changed yet.
    refused.delete('create /d/new')
    await take('/d/new')
    expect(await lockedPaths()).toEqual(['/d/new'])
  })

  it('a name in a folder that is not there is said to lack it', async () => {
    for (const action of ['create', 'replace']) refused.add(`${action} /no/new`)
    await expect(take('/no/new')).rejects.toMatchObject({ kind: 'no-parent' })
    expect(await lockedPaths()).toEqual([])
  })

  it('a lock that is there is told, kept and given back as ever', async () => {
    const { token } = await take('/d/f')
    refused.add('replace /d/f')
    expect((await set.locks.covering(p('/d/f'))).map((lock) => lock.token)).toEqual([token])
    const holder = { principal: 'test:alice', tokens: new Set([token]) }
    expect((await set.locks.refresh(p('/d/f'), holder, 30)).token).toBe(token)
    await set.locks.release(p('/d/f'), token, 'test:alice')
    expect(await lockedPaths()).toEqual([])
  })

  it('properties of what cannot be written stay as they are', async () => {
    refused.add('replace /d/f')
    const change = set.properties.change(p('/d/f'), [{ kind: 'set', property }])
    await expect(change).rejects.toMatchObject({ kind: 'denied', path: '/d/f' })
    expect(await properties.of(p('/d/f'))).toEqual([])
  })

  it('properties of what cannot be read are not shown, neither alone nor among others', async () => {
    for (const name of ['f', 'g', 'h']) await properties.change(p(`/d/${name}`), [{ kind: 'set', property }])
    refused.add('read /d/g')
    expect(await set.properties.of(p('/d/g'))).toEqual([])
    expect(await set.properties.of(p('/d/f'))).toHaveLength(1)
    expect([...(await set.properties.members(p('/d'))).keys()].sort()).toEqual(['/d/f', '/d/h'])
  })

  it('is not asked about what has no properties', async () => {
    await set.properties.of(p('/d/f'))
    await set.properties.members(p('/d'))
    expect(asked).toBe(0)
  })
})
