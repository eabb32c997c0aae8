import { beforeEach, describe, expect, it } from 'vitest'
import { compileGrants, parseGrant } from './grant.js'
import { guard } from './guard.js'
import { createUploadLimits, type UploadRule } from './upload-limits.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import { catalogUploads } from '../catalog/catalog-uploads.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { catalogProperties } from '../catalog/properties.js'
import { systemClock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import { openMemoryStore } from '../store/memory.js'
import type { Store } from '../store/store.js'

let store: Store
beforeEach(() => {
  store = openMemoryStore()
})

function as(grants: readonly string[], rules: readonly UploadRule[] = []): Store {
  const catalog = openMemoryCatalog({ clock: systemClock })
  const records = {
    locks: catalogLocks(catalog, systemClock),
    properties: catalogProperties(catalog),
    uploads: catalogUploads({ catalog, clock: systemClock, store }),
  }
  const holder = { principal: 'test:alice', tokens: new Set<string>() }
  return guard({ store, ...records }, compileGrants(grants, 'test'), holder, createUploadLimits(rules)).store
}

async function* body(bytes: number, pulled: () => void = () => undefined): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes; at++) {
    pulled()
    yield Buffer.from('x')
  }
}

/** `ok`, the size that was allowed, or `denied`. */
async function outcome(work: Promise<unknown>): Promise<unknown> {
  try {
    await work
    return 'ok'
  } catch (error) {
    if (isFailure(error, 'too-large')) return error.size
    if (isFailure(error, 'denied')) return 'denied'
    throw error
  }
}

const put = (to: Store, path: string, bytes: number): Promise<unknown> =>
  outcome(to.write(toPath(path), body(bytes), { parents: true }))

describe('upload limits', () => {
  it('of a rule hold for everybody and below its pattern only', async () => {
    const files = as(['rw:/**'], [{ path: '/inbox/**', bytes: 5 }])
    expect(await put(files, '/inbox/a', 5)).toBe('ok')
    expect(await put(files, '/inbox/b', 6)).toBe(5)
    expect(await put(files, '/inbox/d/e', 6)).toBe(5)
    expect(await put(files, '/inbox-too', 6)).toBe('ok')
    expect(await store.stat(toPath('/inbox/b'))).toBeUndefined()
  })

  it('take the smallest of the rules that speak of a path', async () => {
    const files = as(['rw:/**'], [{ path: '/a/**', bytes: 9 }, { path: '/a/*.txt', bytes: 3 }, { path: '/**', bytes: 20 }]) // prettier-ignore
    expect(await put(files, '/a/x.txt', 4)).toBe(3)
    expect(await put(files, '/a/x', 9)).toBe('ok')
    expect(await put(files, '/a/x', 10)).toBe(9)
    expect(await put(files, '/x', 21)).toBe(20)
  })

  it('are known before the body where its length is', async () => {
    let pulled = 0
    const files = as(['rw:/**'], [{ path: '/**', bytes: 5 }])
    const sent = (length?: number): Promise<unknown> =>
      outcome(files.write(toPath('/f'), body(50, () => pulled++), length === undefined ? {} : { length })) // prettier-ignore
    expect(await sent(50)).toBe(5)
    expect(pulled).toBe(0)
    expect(await sent()).toBe(5)
    expect(pulled).toBeLessThan(10)
  })

  it('hold for what is put together out of pieces', async () => {
    const files = as(['rw:/**'], [{ path: '/f', bytes: 5 }])
    await store.write(toPath('/f'), body(3))
    await store.write(toPath('/g'), body(6))
    const old = { from: toPath('/f'), range: { start: 0, end: 3 } }
    const assemble = files.assemble?.bind(files)
    if (assemble === undefined) throw new Error('A memory store can do this.')
    expect(await outcome(assemble(toPath('/f'), [old, { body: body(3) }]))).toBe(5)
    expect(await outcome(assemble(toPath('/f'), [{ from: toPath('/g'), range: { start: 0, end: 6 } }]))).toBe(5)
    expect(await outcome(assemble(toPath('/f'), [old, { body: body(2) }]))).toBe('ok')
  })

  it('of grants are the largest of those that allow it', async () => {
    expect(await put(as(['create<=5:/**']), '/a', 6)).toBe(5)
    expect(await put(as(['create<=5:/**', 'create<=7:/*']), '/a', 6)).toBe('ok')
    expect(await put(as(['create<=5:/**', 'create:/big/**']), '/big/a', 60)).toBe('ok')
    expect(await put(as(['create<=5:/**', 'create:/big/**']), '/b', 60)).toBe(5)
    expect(await put(as(['create<=5:/**', 'r:/**']), '/c', 60)).toBe(5)
    expect(await put(as(['create<=5:/d/**', 'r:/**']), '/e', 2)).toBe('denied')
  })

  it('of creating and replacing bind both by the smaller', async () => {
    const files = as(['create<=5:/**', 'replace:/**'])
    expect(await put(files, '/a', 6)).toBe(5)
    expect(await put(files, '/a', 5)).toBe('ok')
    expect(await put(files, '/a', 6)).toBe(5)
  })

  it('of a rule and of a grant hold both', async () => {
    const files = as(['create<=5:/**'], [{ path: '/a', bytes: 3 }])
    expect([await put(files, '/a', 4), await put(files, '/b', 6)]).toEqual([3, 5])
  })

  it.each([
    'create<=:/x',
    'create<=0:/x',
    'create<=-1:/x',
    'create<=5MB:/x',
    'create<=5<=6:/x',
    'create<5:/x',
    'r<=5:/x',
    'delete<=5:/x',
    '<=5:/x',
  ])('cannot be written %s', (text) => {
    expect(() => parseGrant(text)).toThrow(/is not right/)
  })

  it('are written behind the actions', () => {
    expect(parseGrant('rw<=10M:/x/**')).toMatchObject({ text: 'rw<=10M:/x/**', mostBytes: 10 * 1024 * 1024 })
    expect(() => createUploadLimits([{ path: '/a/x**', bytes: 1 }])).toThrow(/whole segment/)
    expect(createUploadLimits([])).toBeUndefined()
  })
})
