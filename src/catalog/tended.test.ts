import { beforeEach, describe, expect, it } from 'vitest'
import { catalogLocks } from './catalog-locks.js'
import type { Catalog } from './catalog.js'
import type { Locks } from './locks.js'
import { openMemoryCatalog } from './memory.js'
import { catalogProperties, type Properties } from './properties.js'
import { bound } from '../store/bound.js'
import { mendMoves } from './moves.js'
import { tended, type Records } from './tended.js'
import { ManualClock } from '../core/clock.js'
import { toPath, type StorePath } from '../core/path.js'
import { openMemoryStore } from '../store/memory.js'
import type { PartRooms } from '../store/part-rooms.js'
import type { Store } from '../store/store.js'

let clock: ManualClock
let catalog: Catalog
let medium: Store
let store: Store
let locks: Locks
let properties: Properties

beforeEach(() => {
  clock = new ManualClock()
  catalog = openMemoryCatalog({ clock })
  medium = openMemoryStore({ clock })
  ;({ store, locks, properties } = open(catalog))
})

function open(over: Catalog): Records & { readonly store: Store } {
  const records = { catalog: over, locks: catalogLocks(over, clock), properties: catalogProperties(over, clock), clock }
  return { ...records, store: tended(medium, records) }
}

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

async function file(path: string, marked = true): Promise<StorePath> {
  await store.write(toPath(path), text(path), { parents: true })
  if (marked) await mark(path)
  return toPath(path)
}

async function mark(path: string, as = path): Promise<void> {
  await properties.change(toPath(path), [{ kind: 'set', property: { namespace: '', name: 'at', xml: `<at>${as}</at>` } }])
} // prettier-ignore

async function markOf(path: string): Promise<string | undefined> {
  return (await properties.of(toPath(path)))[0]?.xml.replace(/<[^>]*>/g, '')
}

async function lock(path: string): Promise<void> {
  await locks.take({ path: toPath(path), scope: 'exclusive', depth: 0, principal: 'test:a', timeoutSeconds: 300 })
}

async function isLocked(path: string): Promise<boolean> {
  return (await locks.covering(toPath(path))).length > 0
}

async function recordsOf(group: string): Promise<number> {
  let count = 0
  for await (const items of catalog.list(group)) count += items.length
  return count
}

const overwrite = { overwrite: true }

describe('properties and locks', () => {
  it('stay with a file that gets new content', async () => {
    const path = await file('/a')
    await lock('/a')
    await store.write(path, text('new'))
    expect([await markOf('/a'), await isLocked('/a')]).toEqual(['/a', true])
  })

  it('are untouched by a write that fails', async () => {
    await mark('/a')
    await expect(store.write(toPath('/a'), text('x'), { length: 5 })).rejects.toMatchObject({ kind: 'incomplete' })
    await expect(store.write(toPath('/no/a'), text('x'))).rejects.toMatchObject({ kind: 'no-parent' })
    expect(await markOf('/a')).toBe('/a')
  })

  it.each([
    ['write', () => store.write(toPath('/a'), text('x'))],
    ['makeDirectory', () => store.makeDirectory(toPath('/a'))],
    ['assemble', () => store.assemble!(toPath('/a'), [{ body: text('x') }])],
    ['copy', async () => store.copy(await file('/from', false), toPath('/a'), overwrite)],
    ['move', async () => store.move(await file('/from', false), toPath('/a'), overwrite)],
    ['moveTree', async () => store.moveTree!(await file('/from', false), toPath('/a'))],
  ])('of what is gone are not inherited through %s', async (way, make) => {
    await mark('/a')
    await mark('/a/below')
    await make()
    expect(await markOf('/a')).toBeUndefined()
    if (way === 'makeDirectory' || way === 'moveTree') expect(await markOf('/a/below')).toBeUndefined()
  })

  it('of what once lay below a file that is now a directory are gone', async () => {
    await mark('/a/below')
    await store.remove(await file('/a'))
    await store.makeDirectory(toPath('/a'))
    expect(await markOf('/a/below')).toBeUndefined()
  })

  it('die with a file, an empty directory and a tree', async () => {
    for (const path of ['/f', '/d/a', '/d/b/c', '/d-e']) {
      await file(path)
      await lock(path)
    }
    await store.remove(toPath('/f'))
    await store.removeTree!(toPath('/d'))
    expect(await recordsOf('properties')).toBe(1)
    expect(await recordsOf('locks')).toBe(1)
    expect([await markOf('/d-e'), await isLocked('/d-e')]).toEqual(['/d-e', true])
  })

  it('are kept where nothing was removed', async () => {
    await file('/d/a')
    await mark('/d')
    await expect(store.remove(toPath('/d'))).rejects.toMatchObject({ kind: 'not-empty' })
    await expect(store.remove(toPath('/d/a'), { ifMatch: ['no'] })).rejects.toMatchObject({ kind: 'precondition' })
    expect([await markOf('/d'), await markOf('/d/a')]).toEqual(['/d', '/d/a'])
  })

  it('follow a copy, the locks do not', async () => {
    const from = await file('/a')
    await lock('/a')
    await file('/b')
    await store.copy(from, toPath('/b'), overwrite)
    expect([await markOf('/a'), await markOf('/b'), await isLocked('/b')]).toEqual(['/a', '/a', false])
    await store.copy(await file('/plain', false), toPath('/b'), overwrite)
    expect(await markOf('/b')).toBeUndefined()
    await lock('/b')
    await store.copy(from, toPath('/b'), overwrite)
    expect(await isLocked('/b')).toBe(true)
  })

  it('follow a move; the lock of the source ends, that of the target stays', async () => {
    const from = await file('/a')
    await file('/b')
    await lock('/a')
    await lock('/b')
    await store.move(from, toPath('/b'), overwrite)
    expect([await markOf('/a'), await markOf('/b')]).toEqual([undefined, '/a'])
    expect([await isLocked('/a'), await isLocked('/b')]).toEqual([false, true])
    expect(await recordsOf('moves')).toBe(0)
  })

  it('follow a tree that moves', async () => {
    await file('/d/a')
    await file('/d/b/c')
    await file('/d-e')
    await lock('/d/b/c')
    await store.moveTree!(toPath('/d'), toPath('/t'))
    expect([await markOf('/t/a'), await markOf('/t/b/c'), await markOf('/d-e')]).toEqual(['/d/a', '/d/b/c', '/d-e'])
    expect(await recordsOf('properties')).toBe(3)
    expect(await recordsOf('locks')).toBe(0)
  })

  it('follow a tree that is copied, the locks do not', async () => {
    await file('/d/a')
    await file('/d/b/c')
    await lock('/d/b/c')
    await mark('/t/b')
    await store.copyTree!(toPath('/d'), toPath('/t'))
    expect([await markOf('/t/a'), await markOf('/t/b/c'), await markOf('/d/a')]).toEqual(['/d/a', '/d/b/c', '/d/a'])
    expect(await markOf('/t/b')).toBeUndefined()
    expect([await isLocked('/t/b/c'), await isLocked('/d/b/c')]).toEqual([false, true])
    await expect(store.copyTree!(toPath('/d'), toPath('/t'))).rejects.toMatchObject({ kind: 'exists' })
  })

  it('stay where they are when a move fails', async () => {
    const from = await file('/a')
    await file('/b')
    await lock('/a')
    await expect(store.move(from, toPath('/b'), { overwrite: false })).rejects.toMatchObject({ kind: 'exists' })
    await expect(store.moveTree!(from, toPath('/b'))).rejects.toMatchObject({ kind: 'exists' })
    expect([await markOf('/a'), await markOf('/b'), await isLocked('/a')]).toEqual(['/a', '/b', true])
    expect(await recordsOf('moves')).toBe(0)
  })
})

describe('mendMoves', () => {
  /** What lies below /d and /t before each move. */
  async function stage(): Promise<void> {
    clock = new ManualClock()
    catalog = openMemoryCatalog({ clock })
    medium = openMemoryStore({ clock })
    ;({ store, locks, properties } = open(catalog))
    for (const path of ['/d/a', '/d/b/c', '/d/b/e', '/beside']) await file(path)
    await mark('/d')
    await lock('/d/a')
    // Left over from something that was there once.
    await mark('/t')
    await mark('/t/old')
    await mark('/t/a')
  }

  async function expectMoved(): Promise<void> {
    expect(await markOf('/t')).toBe('/d')
    expect(await markOf('/t/a')).toBe('/d/a')
    expect(await markOf('/t/b/c')).toBe('/d/b/c')
    expect(await markOf('/t/b/e')).toBe('/d/b/e')
    expect(await markOf('/t/old')).toBeUndefined()
    expect(await markOf('/beside')).toBe('/beside')
    expect(await properties.anyWithin(toPath('/d'))).toBe(false)
    expect(await recordsOf('properties')).toBe(5)
    expect(await recordsOf('moves')).toBe(0)
    expect(await isLocked('/d/a')).toBe(false)
  }

  it('finishes a move that died anywhere, even if the mending dies anywhere too', async () => {
    await stage()
    const counted = dyingAfter(catalog, Infinity)
    await open(counted).store.moveTree!(toPath('/d'), toPath('/t'))
    await expectMoved()
    expect(counted.writes).toBeGreaterThan(8)
    for (let first = 1; first < counted.writes; first++) {
      for (let second = 0; second <= counted.writes; second++) {
        await stage()
        await expect(open(dyingAfter(catalog, first)).store.moveTree!(toPath('/d'), toPath('/t'))).rejects.toThrow('died')
        expect(await medium.stat(toPath('/d'))).toBeUndefined()
        await mendMoves(medium, open(dyingAfter(catalog, second)), { alone: true }).catch((error: unknown) => {
          expect(error).toMatchObject({ message: 'died' })
        })
        await mendMoves(medium, open(catalog), { alone: true })
        await expectMoved()
      }
    }
  }, 60_000) // prettier-ignore

  it('changes nothing where the medium had not moved yet', async () => {
    await stage()
    const died: Store = { ...bound(medium), moveTree: async () => Promise.reject(new Error('died')) }
    const dying = dyingAfter(catalog, 1)
    const records = open(dying)
    await expect(tended(died, records).moveTree!(toPath('/d'), toPath('/t'))).rejects.toThrow('died')
    expect(await recordsOf('moves')).toBe(1)
    expect(await mendMoves(medium, open(catalog), { alone: true })).toBe(0)
    expect([await markOf('/d/a'), await markOf('/t/old'), await isLocked('/d/a')]).toEqual(['/d/a', '/t/old', true])
    expect(await recordsOf('moves')).toBe(0)
  })

  it('has nothing to do after moves that came to their end', async () => {
    await stage()
    await store.moveTree!(toPath('/d'), toPath('/t'))
    expect(await mendMoves(medium, open(catalog), { alone: true })).toBe(0)
    await expectMoved()
  })
})

describe('mendMoves among several instances', () => {
  /** A move of /a to /b whose process dies right after the medium has moved. */
  async function crash(): Promise<void> {
    await file('/a')
    await file('/b')
    await lock('/a')
    const dying = dyingAfter(catalog, 1)
    await expect(open(dying).store.move(toPath('/a'), toPath('/b'), overwrite)).rejects.toThrow('died')
  }

  it('leaves a move alone that may be made by a living one', async () => {
    await crash()
    expect(await mendMoves(medium, open(catalog))).toBe(0)
    expect(await recordsOf('moves')).toBe(1)
    clock.advanceSeconds(70)
    expect(await mendMoves(medium, open(catalog))).toBe(1)
    expect([await markOf('/a'), await markOf('/b'), await isLocked('/a')]).toEqual([undefined, '/a', false])
    expect(await recordsOf('moves')).toBe(0)
  })

  it('keeps what was set at the target since', async () => {
    await crash()
    await properties.change(toPath('/b'), [{ kind: 'set', property: { namespace: '', name: 'new', xml: 'x' } }])
    clock.advanceSeconds(70)
    expect(await mendMoves(medium, open(catalog))).toBe(1)
    expect((await properties.of(toPath('/b'))).map(({ xml }) => xml)).toEqual(expect.arrayContaining(['x']))
  })

  it('finds what was moved though another file has its place by now', async () => {
    await crash()
    await store.write(toPath('/a'), text('another'))
    await mark('/a', 'new')
    await locks.end(await locks.rooted(toPath('/a'), 'self'))
    await lock('/a')
    clock.advanceSeconds(70)
    expect(await mendMoves(medium, open(catalog))).toBe(1)
    expect([await markOf('/a'), await markOf('/b'), await isLocked('/a')]).toEqual(['new', '/a', true])
  })
})

describe('bound', () => {
  it('offers what the store offers and nothing more', () => {
    const { moveTree, removeTree, copyTree, assemble, space, settle, parts, digest, ...plain } = bound(medium)
    const abilities = [moveTree, removeTree, copyTree, assemble, space, settle, parts, digest]
    expect(abilities.every((each) => each !== undefined)).toBe(true)
    const wrapped = tended(plain, open(catalog))
    for (const name of [
      'moveTree',
      'removeTree',
      'copyTree',
      'assemble',
      'space',
      'settle',
      'parts',
      'digest',
      'presign',
    ] as const)
      expect(name in wrapped).toBe(false)
  })

  it('forgets for files of parts as well', async () => {
    await mark('/u')
    const parts = { become: async () => medium.write(toPath('/u'), text('x')) } as unknown as PartRooms
    await tended({ ...bound(medium), parts }, open(catalog)).parts!.become('room', toPath('/u'), [])
    expect(await markOf('/u')).toBeUndefined()
  })
})

/** A catalog whose process dies after so many writes: every later call fails. */
function dyingAfter(over: Catalog, most: number): Catalog & { readonly writes: number } {
  let writes = 0
  const alive = (): void => {
    if (writes >= most) throw new Error('died')
  }
  return {
    get writes() {
      return writes
    },
    async get(...args) {
      alive()
      return over.get(...args)
    },
    async getAll(...args) {
      alive()
      return over.getAll(...args)
    },
    async swap(...args) {
      alive()
      writes++
      return over.swap(...args)
    },
    async *list(...args) {
      alive()
      yield* over.list(...args)
    },
    add: (...args) => over.add(...args),
    close: () => over.close(),
  }
}
