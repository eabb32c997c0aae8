import { describe, expect, it } from 'vitest'
import { body, failureOf, p, pathsBelow, put, textOf, watchedBody } from '../../test/contract/store/subject.js'
import { limited } from './limited.js'
import { openMemoryStore } from './memory.js'
import type { Store } from './store.js'
import { copyTree } from './tree.js'

/** A store with a file of 4 bytes and one of 10, and the same with a limit of 8 bytes. */
async function bounded(): Promise<{ whole: Store; store: Store }> {
  const whole = openMemoryStore()
  await put(whole, '/d/small', 'four')
  await put(whole, '/d/large', 'ten bytes!')
  return { whole, store: limited(whole, { maxFileBytes: 8 }) }
}

describe('a store without limits', () => {
  it('is the store itself', () => {
    const store = openMemoryStore()
    expect(limited(store, {})).toBe(store)
    expect(limited(store, { readOnly: false })).toBe(store)
  })
})

describe('a read-only store', () => {
  it('refuses every change, and says why', async () => {
    const whole = openMemoryStore()
    await put(whole, '/d/f')
    const room = await whole.parts!.open(p('/x'))
    const part = await whole.parts!.put(room, 1, body('part'))
    const store = limited(whole, { readOnly: true })
    const { body: never, pulled } = watchedBody('new')
    const from = { from: p('/d/f'), range: { start: 0, end: 1 } }
    const changes: readonly (() => Promise<unknown>)[] = [
      () => store.write(p('/new'), never),
      () => store.write(p('/d/f'), never),
      () => store.change(p('/d/f'), { modified: 0 }),
      () => store.makeDirectory(p('/new')),
      () => store.remove(p('/d/f')),
      () => store.copy(p('/d/f'), p('/new'), { overwrite: true }),
      () => store.move(p('/d/f'), p('/new'), { overwrite: true }),
      () => store.removeTree!(p('/d')),
      () => store.moveTree!(p('/d'), p('/new')),
      () => store.copyTree!(p('/d'), p('/new')),
      () => store.assemble!(p('/new'), [from, { body: never }]),
      () => store.parts!.open(p('/new')),
      () => store.parts!.put(room, 2, never),
      () => store.parts!.putFrom(room, 2, p('/d/f'), { start: 0, end: 1 }),
      () => store.parts!.become(room, p('/new'), [part]),
    ]
    for (const change of changes)
      await expect(change()).rejects.toMatchObject({
        kind: 'denied',
        message: 'This part of the tree is read-only.',
      })
    expect(pulled()).toBe(false)
    expect(await pathsBelow(whole, '/', { depth: 'infinity' })).toEqual(['/d', '/d/f'])
    expect(await textOf(store, '/d/f')).toBe('/d/f')
    for (const action of ['create', 'replace', 'delete'] as const)
      expect(await store.permits(action, p('/d/f'))).toBe(false)
    expect(await store.permits('read', p('/d/f'))).toBe(true)
    await store.parts!.close(room)
    expect(await failureOf(whole.parts!.become(room, p('/x'), [part]))).toBe('not-found')
  })
})

describe('a store for files of at most so many bytes', () => {
  it('refuses before the body where the length is known', async () => {
    const { store } = await bounded()
    const { body: never, pulled } = watchedBody('nine byte')
    const room = await store.parts!.open(p('/f'))
    await expect(store.write(p('/f'), never, { length: 9 })).rejects.toMatchObject({ kind: 'too-large', size: 8 })
    expect(await failureOf(store.parts!.put(room, 1, never, { length: 9 }))).toBe('too-large')
    expect(await failureOf(store.assemble!(p('/f'), [{ body: never }], { length: 9 }))).toBe('too-large')
    expect(pulled()).toBe(false)
    expect(await store.stat(p('/f'))).toBeUndefined()
    expect((await store.write(p('/f'), body('eight by'), { length: 8 })).entry.size).toBe(8)
  })

  it('stops a body that grows too large, and leaves nothing', async () => {
    const { store } = await bounded()
    const room = await store.parts!.open(p('/f'))
    expect(await failureOf(store.write(p('/f'), body('1234', '5678', '9')))).toBe('too-large')
    expect(await failureOf(store.parts!.put(room, 1, body('1234', '56789')))).toBe('too-large')
    const together = [{ body: body('12345') }, { body: body('6789') }]
    expect(await failureOf(store.assemble!(p('/f'), together))).toBe('too-large')
    const source = { from: p('/d/small'), range: { start: 0, end: 4 } }
    expect(await failureOf(store.assemble!(p('/f'), [source, source, { body: body('x') }]))).toBe('too-large')
    expect(await failureOf(store.assemble!(p('/f'), [source, source, source]))).toBe('too-large')
    expect(await store.stat(p('/f'))).toBeUndefined()
    expect((await store.assemble!(p('/f'), [source, source])).entry.size).toBe(8)
  })

  it('counts the parts of a file together', async () => {
    const { store } = await bounded()
    const rooms = store.parts!
    const room = await rooms.open(p('/f'))
    const stored = [await rooms.put(room, 1, body('12345')), await rooms.put(room, 2, body('6789'))]
    expect(await failureOf(rooms.become(room, p('/f'), stored))).toBe('too-large')
    expect(await failureOf(rooms.putFrom(room, 3, p('/d/large'), { start: 0, end: 9 }))).toBe('too-large')
    expect((await rooms.become(room, p('/f'), stored.slice(0, 1))).entry.size).toBe(5)
  })

  it('copies nothing that is too large, and moves what is there', async () => {
    const { store } = await bounded()
    expect(await failureOf(store.copy(p('/d/large'), p('/f'), { overwrite: false }))).toBe('too-large')
    expect(await failureOf(store.copyTree!(p('/d'), p('/e')))).toBe('unsupported')
    const { failures } = await copyTree(store, p('/d'), p('/e'), { overwrite: false })
    expect(failures.map(({ path, failure }) => [path, failure.kind])).toEqual([['/e/large', 'too-large']])
    expect(await pathsBelow(store, '/e')).toEqual(['/e/small'])
    await store.move(p('/d/large'), p('/large'), { overwrite: false })
    await store.copyTree!(p('/d'), p('/again'))
    expect(await pathsBelow(store, '/again')).toEqual(['/again/small'])
  })
})
