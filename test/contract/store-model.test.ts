import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openLocalStore } from '../../src/store/local.js'
import { openMemoryStore } from '../../src/store/memory.js'
import { loadNative } from '../../src/store/native.js'
import { openS3Store } from '../../src/store/s3.js'
import type { Store } from '../../src/store/store.js'
import { copyTree, moveTree, removeTree } from '../../src/store/tree.js'
import { openMemoryS3 } from '../memory-s3.js'
import { inDirectory } from './store/directory.js'
import { body, failureOf, listed, p, textOf, type Subject } from './store/subject.js'

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

/** Memory is the model of all others. */
async function expectTheSame(open: () => Promise<Pick<Subject, 'store' | 'dispose'>>, numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
      const memory = openMemoryStore()
      const { store, dispose } = await open()
      try {
        for (const one of steps) {
          const expected = await outcome(memory, one)
          expect({ one, outcome: await outcome(store, one) }).toEqual({ one, outcome: expected })
        }
        expect(await everything(store)).toEqual(await everything(memory))
      } finally {
        await store.close()
        await dispose()
      }
    }),
    { numRuns },
  )
}

describe('memory, local disk and S3 do the same', () => {
  for (const native of loadNative() === undefined ? [false] : [true, false]) {
    it(`for any steps, ${native ? 'with' : 'without'} the addon`, async () => {
      const open = (root: string): Promise<Store> =>
        openLocalStore({ root, durability: 'fast', symlinks: 'absent', native })
      await expectTheSame(() => inDirectory(open, []), 150)
    })
  }

  for (const judges of [true, false]) {
    it(`for any steps, a service of S3 that judges ${judges ? 'all' : 'no'} conditions`, async () => {
      const abilities = { conditionalPut: judges, conditionalComplete: judges, conditionalCopy: judges, conditionalRemove: judges } // prettier-ignore
      const open = (): Promise<Store> => openS3Store({ service: openMemoryS3(abilities) })
      await expectTheSame(async () => ({ store: await open(), dispose: async () => undefined }), 100)
    })
  }
})
