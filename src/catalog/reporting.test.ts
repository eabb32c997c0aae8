import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Change } from '../core/events.js'
import { toPath } from '../core/path.js'
import { openMemoryStore } from '../store/memory.js'
import type { Store } from '../store/store.js'
import { reporting } from './reporting.js'

const p = toPath
let changes: Change[]
let store: Store

async function* body(text: string) {
  yield Buffer.from(text)
}

beforeEach(() => {
  changes = []
  const report = (change: Change): void => void changes.push(change)
  store = reporting(openMemoryStore(), { by: 'catalog:ann', report, clock: { now: () => 5 } })
})

afterEach(() => store.close())

const told = (): readonly unknown[] =>
  changes.map(({ kind, path, from, type }) => [kind, path, from, type].filter((fact) => fact !== undefined))

describe('a store that reports', () => {
  it('says what was written, with size and etag, and by whom', async () => {
    const { entry } = await store.write(p('/a'), body('abc'))
    expect(changes).toEqual([
      { kind: 'created', path: '/a', type: 'file', size: 3, etag: entry.etag, by: 'catalog:ann', at: 5 },
    ])
    await store.write(p('/a'), body('d'))
    expect(changes[1]).toMatchObject({ kind: 'changed', path: '/a', size: 1 })
  })

  it('says what was made, copied, moved, changed and removed', async () => {
    await store.makeDirectory(p('/d'))
    await store.write(p('/d/a'), body('abc'))
    await store.copy(p('/d/a'), p('/d/b'), { overwrite: false })
    await store.move(p('/d/b'), p('/d/c'), { overwrite: false })
    await store.change(p('/d/c'), { modified: 7 })
    await store.remove(p('/d/c'))
    expect(told()).toEqual([
      ['created', '/d', 'directory'],
      ['created', '/d/a', 'file'],
      ['created', '/d/b', 'file'],
      ['moved', '/d/c', '/d/b', 'file'],
      ['changed', '/d/c', 'file'],
      ['removed', '/d/c'],
    ])
  })

  it('says of trees what was done to their top', async () => {
    await store.makeDirectory(p('/d'))
    await store.write(p('/d/a'), body('abc'))
    changes.length = 0
    await store.copyTree?.(p('/d'), p('/e'))
    await store.moveTree?.(p('/e'), p('/f'))
    await store.removeTree?.(p('/d'))
    expect(told()).toEqual([
      ...(store.copyTree === undefined ? [] : [['created', '/e', 'directory']]),
      ...(store.moveTree === undefined ? [] : [['moved', '/f', '/e', 'directory']]),
      ...(store.removeTree === undefined ? [] : [['removed', '/d']]),
    ])
  })

  it('says it once of what came in parts or pieces', async () => {
    const { parts } = store
    const room = (await parts?.open(p('/a'))) ?? ''
    const part = await parts?.put(room, 1, body('abc'))
    if (part !== undefined) await parts?.become(room, p('/a'), [part])
    await store.assemble?.(p('/b'), [{ body: body('x') }])
    expect(told()).toEqual([
      ['created', '/a', 'file'],
      ['created', '/b', 'file'],
    ])
  })

  it('says nothing of what did not come about', async () => {
    await expect(store.remove(p('/none'))).rejects.toMatchObject({ kind: 'not-found' })
    await expect(store.write(p('/none/a'), body('abc'))).rejects.toMatchObject({ kind: 'no-parent' })
    await expect(store.makeDirectory(p('/none/a'))).rejects.toMatchObject({ kind: 'no-parent' })
    await expect(
      store.write(p('/a'), body('abc'), { beforeCommit: () => Promise.reject(new Error('no')) }),
    ).rejects.toThrow('no')
    expect(changes).toEqual([])
  })
})
