import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openLocalStore } from '../../src/store/local.js'
import { openMemoryStore } from '../../src/store/memory.js'
import { loadNative } from '../../src/store/native.js'
import type { Store } from '../../src/store/store.js'
import { copyTree, moveTree, removeTree } from '../../src/store/tree.js'
import { inDirectory } from './store/directory.js'
import { body, failureOf, listed, p, textOf } from './store/subject.js'

const names = ['/a', '/b', '/a/a', '/a/b', '/b/a', '/a/a/a', '/a/a/b', '/b/a/b'] as const
const path = fc.constantFrom('/', ...names)
/** Never the root: what of its many faults is said first is nobody's business. */
const name = fc.constantFrom(...names)
const flag = fc.boolean()

const step = fc.oneof(
  fc.record({ kind: fc.constant('write'), path, parents: flag, free: flag, text: fc.string({ maxLength: 3 }) }),
  fc.record({ kind: fc.constantFrom('makeDirectory', 'remove', 'removeTree', 'emptyTree'), path }),
  fc.record({ kind: fc.constantFrom('copy', 'move'), from: path, to: name, overwrite: flag }),
  fc.record({ kind: fc.constantFrom('copyTree', 'moveTree'), from: path, to: path, overwrite: flag }),
  fc.record({ kind: fc.constant('moveWhole'), from: path, to: name }),
)

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

async function take(store: Store, one: Step): Promise<unknown> {
  if ('text' in one) {
    const options = { parents: one.parents, ...(one.free ? { ifNoneMatch: '*' as const } : {}) }
    return (await store.write(p(one.path), body(one.text), options)).created
  }
  if ('overwrite' in one) {
    const { overwrite } = one
    const [from, to] = [p(one.from), p(one.to)]
    if (one.kind === 'copy' || one.kind === 'move') return (await store[one.kind](from, to, { overwrite })).created
    const result = await (one.kind === 'copyTree' ? copyTree : moveTree)(store, from, to, { overwrite })
    return [result.created, result.failures.length]
  }
  if ('from' in one) return (await store.moveTree?.(p(one.from), p(one.to)))?.created
  if (one.kind === 'makeDirectory') return (await store.makeDirectory(p(one.path))).kind
  if (one.kind === 'remove') return store.remove(p(one.path))
  if (one.kind === 'removeTree') return store.removeTree?.(p(one.path))
  return (await removeTree(store, p(one.path))).failures.length
}

/** What a step gives, or how it fails. */
async function outcome(store: Store, one: Step): Promise<unknown> {
  let value: unknown
  const kind = await failureOf(
    take(store, one).then((result) => {
      value = result
    }),
  )
  return kind === 'none' ? (value ?? 'done') : kind
}

async function everything(store: Store): Promise<readonly string[]> {
  const all: string[] = []
  for (const entry of await listed(store, '/', { depth: 'infinity', order: 'key' }))
    all.push(entry.kind === 'file' ? `${entry.path}=${await textOf(store, entry.path)}` : entry.path + '/')
  return all
}

describe('memory and local disk do the same', () => {
  for (const native of loadNative() === undefined ? [false] : [true, false]) {
    it(`for any steps, ${native ? 'with' : 'without'} the addon`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
          const memory = openMemoryStore()
          const local = await inDirectory(
            (root) => openLocalStore({ root, durability: 'fast', symlinks: 'absent', native }),
            [],
          )
          try {
            for (const one of steps) {
              const expected = await outcome(memory, one)
              expect({ one, outcome: await outcome(local.store, one) }).toEqual({ one, outcome: expected })
            }
            expect(await everything(local.store)).toEqual(await everything(memory))
          } finally {
            await local.store.close()
            await local.dispose()
          }
        }),
        { numRuns: 150 },
      )
    })
  }
})
