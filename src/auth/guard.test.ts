import { beforeEach, describe, expect, it } from 'vitest'
import { allActions, compileGrants } from './grant.js'
import { guard, type GuardedSet } from './guard.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import type { Lock, LockHolder, Locks } from '../catalog/locks.js'
import { catalogUploads } from '../catalog/catalog-uploads.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { catalogProperties, type Properties } from '../catalog/properties.js'
import { bound } from '../store/bound.js'
import type { UploadPart, Uploads } from '../catalog/uploads.js'
import { ManualClock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import { toPath, type StorePath } from '../core/path.js'
import { openMemoryStore } from '../store/memory.js'
import type { Action, Store } from '../store/store.js'

let clock: ManualClock
let store: Store
let locks: Locks
let properties: Properties
let uploads: Uploads

const p = toPath
const alice = 'test:alice'
const bob = 'test:bob'

beforeEach(async () => {
  clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  locks = catalogLocks(catalog, clock)
  properties = catalogProperties(catalog)
  const memory = openMemoryStore({ clock })
  // Abilities that a memory store lacks are there to be guarded too.
  store = {
    ...bound(memory),
    presign: async ({ path }) => new URL(`memory:${path}`),
  }
  for (const path of ['/a/f', '/a/d/g', '/b/f', '/b/d/g', '/-/own', '/a-b/f'])
    await store.write(p(path), text(path), { parents: true })
  for (const path of ['/a/f', '/a/d', '/b/f', '/-/own', '/b/d/g']) await mark(path)
  uploads = catalogUploads({ catalog, clock, store })
})

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

async function mark(path: string): Promise<void> {
  await properties.change(p(path), [{ kind: 'set', property: { namespace: '', name: 'x', xml: '<x/>' } }])
}

function as(grants: readonly string[], holder: LockHolder = { principal: alice, tokens: new Set() }): GuardedSet {
  return guard({ store, locks, properties, uploads }, compileGrants(grants, 'test'), holder)
}

function holding(principal: string, ...held: readonly Lock[]): LockHolder {
  return { principal, tokens: new Set(held.map(({ token }) => token)) }
}

function take(path: string, depth: 0 | 'infinity' = 0, principal = bob): Promise<Lock> {
  return locks.take({ path: p(path), scope: 'exclusive', depth, principal, timeoutSeconds: 300 })
}

function share(path: string): Promise<Lock> {
  return locks.take({ path: p(path), scope: 'shared', depth: 0, principal: alice, timeoutSeconds: 300 })
}

/** What became of a call: `fine`, or the kind of its failure. */
async function outcome(run: () => unknown): Promise<string> {
  try {
    const result = run()
    if (typeof result === 'object' && result !== null && Symbol.asyncIterator in result)
      for await (const each of result as AsyncIterable<unknown>) expect(each).toBeDefined()
    else await result
    return 'fine'
  } catch (error) {
    if (isFailure(error)) return error.kind
    throw error
  }
}

async function pathsOf(list: AsyncIterable<readonly { readonly path: StorePath }[]>): Promise<readonly string[]> {
  const found: string[] = []
  for await (const batch of list) found.push(...batch.map(({ path }) => path))
  return found.sort()
}

const facts = { owner: bob, attributes: {} }

/** An upload of somebody else, with a part. */
async function begun(path = '/a/f'): Promise<{ readonly id: string; readonly parts: readonly UploadPart[] }> {
  const { id } = await uploads.begin(p(path), facts)
  return { id, parts: [await uploads.part(p(path), id, 1, text('part'))] }
}

const info = { scope: 'exclusive', depth: 0, principal: alice, timeoutSeconds: 300 } as const
const transfer = { overwrite: true }

interface Rule {
  readonly run: (set: GuardedSet) => unknown
  /** Each row is enough; within a row all are needed. */
  readonly needs: readonly (readonly (readonly [Action, string])[])[]
  /** Without the right it is one of these. */
  readonly refusal?: readonly string[]
  /** It is about a directory: any right at or below it leads there. */
  readonly way?: true
}

const seen = (path: string): Rule['needs'] => [[['list', path]], [['read', path]]]
const mayPut = (path: string): Rule['needs'] => [[['create', path]], [['replace', path]]]
const tree = (actions: readonly Action[], path: string): readonly (readonly [Action, string])[] => actions.map((action) => [action, `${path}/**`] as const) // prettier-ignore

const promised = { size: 1, sha256: Buffer.alloc(32) }

/** What every method needs. A method of a guarded set that is missing here fails the test below. */
const rules: Readonly<Record<string, readonly Rule[]>> = {
  'store.stat': [{ run: ({ store: on }) => on.stat(p('/a/f')), needs: seen('/a/f') }],
  'store.list': [{ run: ({ store: on }) => on.list(p('/a')), needs: seen('/a'), way: true }],
  'store.open': [{ run: ({ store: on }) => on.open(p('/a/f')), needs: [[['read', '/a/f']]] }],
  'store.write': [
    { run: ({ store: on }) => on.write(p('/a/new'), text('x')), needs: [[['create', '/a/new']]] },
    { run: ({ store: on }) => on.write(p('/a/f'), text('x')), needs: [[['replace', '/a/f']]] },
  ],
  'store.change': [{ run: ({ store: on }) => on.change(p('/a/f'), { modified: 0 }), needs: [[['replace', '/a/f']]] }],
  'store.makeDirectory': [{ run: ({ store: on }) => on.makeDirectory(p('/a/new')), needs: [[['create', '/a/new']]] }],
  'store.remove': [{ run: ({ store: on }) => on.remove(p('/a/f')), needs: [[['delete', '/a/f']]] }],
  'store.copy': [
    { run: ({ store: on }) => on.copy(p('/a/f'), p('/b/new'), transfer), needs: [[['read', '/a/f'], ['create', '/b/new']]] },
    { run: ({ store: on }) => on.copy(p('/a/f'), p('/b/f'), transfer), needs: [[['read', '/a/f'], ['replace', '/b/f']]] },
    { run: ({ store: on }) => on.copy(p('/a/d'), p('/b/new'), transfer), needs: [[['read', '/a/d'], ['create', '/b/new']], [['list', '/a/d'], ['create', '/b/new']]], way: true },
  ],
  'store.move': [
    { run: ({ store: on }) => on.move(p('/a/f'), p('/b/new'), transfer), needs: [[['read', '/a/f'], ['delete', '/a/f'], ['create', '/b/new']]] },
    { run: ({ store: on }) => on.move(p('/a/f'), p('/b/f'), transfer), needs: [[['read', '/a/f'], ['delete', '/a/f'], ['replace', '/b/f']]] },
  ],
  'store.removeTree': [
    { run: ({ store: on }) => on.removeTree?.(p('/a/d')), needs: [tree(['delete'], '/a/d')], refusal: ['denied', 'unsupported'] },
  ],
  'store.moveTree': [
    { run: ({ store: on }) => on.moveTree?.(p('/a/d'), p('/b/new')), needs: [[...tree(['read', 'delete'], '/a/d'), ...tree(['create'], '/b/new')]], refusal: ['denied', 'unsupported'] },
  ],
  'store.copyTree': [
    { run: ({ store: on }) => on.copyTree?.(p('/a/d'), p('/b/new')), needs: [[...tree(['read'], '/a/d'), ...tree(['create'], '/b/new')]], refusal: ['denied', 'unsupported'] },
  ],
  'store.assemble': [
    { run: ({ store: on }) => on.assemble?.(p('/a/new'), [{ body: text('x') }]), needs: [[['create', '/a/new']]] },
    { run: ({ store: on }) => on.assemble?.(p('/a/f'), [{ from: p('/a/f'), range: { start: 0, end: 1 } }]), needs: [[['replace', '/a/f']]] },
    { run: ({ store: on }) => on.assemble?.(p('/a/f'), [{ from: p('/b/f'), range: { start: 0, end: 1 } }]), needs: [[['replace', '/a/f'], ['read', '/b/f']]] },
  ],
  'store.space': [{ run: ({ store: on }) => on.space?.(p('/a')), needs: seen('/a'), way: true }],
  'store.presign': [
    { run: ({ store: on }) => on.presign?.({ method: 'GET', path: p('/a/f'), expiresSeconds: 1 }), needs: [[['read', '/a/f']]] },
    { run: ({ store: on }) => on.presign?.({ method: 'PUT', path: p('/a/f'), expiresSeconds: 1 }), needs: [[['create', '/a/f'], ['replace', '/a/f']]] },
    { run: ({ store: on }) => on.presign?.({ method: 'PUT', path: p('/a/f'), expiresSeconds: 1, headers: { 'if-none-match': '"x"' } }), needs: [[['create', '/a/f'], ['replace', '/a/f']]] },
    { run: ({ store: on }) => on.presign?.({ method: 'PUT', path: p('/a/f'), expiresSeconds: 1, headers: { 'if-none-match': '*' } }), needs: [[['create', '/a/f']]] },
  ],
  'locks.take': [
    { run: ({ locks: on }) => on.take({ ...info, path: p('/a/f') }), needs: [[['replace', '/a/f']]] },
    { run: ({ locks: on }) => on.take({ ...info, path: p('/a/new') }), needs: [[['create', '/a/new']]] },
    { run: ({ locks: on }) => on.take({ ...info, path: p('/a/d'), depth: 'infinity' }), needs: [tree(['replace'], '/a/d')] },
  ],
  'locks.refresh': [{ run: async ({ locks: on }) => on.refresh(p('/a/f'), holding(alice, await share('/a/f')), 300), needs: [[['replace', '/a/f']], [['create', '/a/f']]] }],
  'locks.release': [{ run: async ({ locks: on }) => on.release(p('/a/f'), (await share('/a/f')).token, alice), needs: [[['replace', '/a/f']], [['create', '/a/f']]] }],
  'locks.covering': [{ run: ({ locks: on }) => on.covering(p('/a/f')), needs: seen('/a/f') }],
  'locks.below': [{ run: ({ locks: on }) => on.below(p('/a')), needs: seen('/a'), way: true }],
  'locks.members': [{ run: ({ locks: on }) => on.members(p('/a')), needs: seen('/a'), way: true }],
  'properties.of': [{ run: ({ properties: on }) => on.of(p('/a/f')), needs: seen('/a/f') }],
  'properties.members': [{ run: ({ properties: on }) => on.members(p('/a')), needs: seen('/a'), way: true }],
  'uploads.begin': [
    { run: ({ uploads: on }) => on.begin(p('/a/f'), facts), needs: mayPut('/a/f') },
    { run: ({ uploads: on }) => on.begin(p('/a/new'), facts), needs: mayPut('/a/new') },
  ],
  'uploads.find': [{ run: async ({ uploads: on }) => on.find(p('/a/f'), (await begun()).id), needs: mayPut('/a/f') }],
  'uploads.part': [{ run: async ({ uploads: on }) => on.part(p('/a/f'), (await begun()).id, 1, text('x')), needs: mayPut('/a/f') }],
  'uploads.partFrom': [{ run: async ({ uploads: on }) => on.partFrom(p('/a/f'), (await begun()).id, 1, p('/b/f'), { start: 0, end: 1 }), needs: mayPut('/a/f').map((row) => [...row, ['read', '/b/f'] as const]) }],
  'uploads.offer': [{ run: async ({ uploads: on }) => on.offer(p('/a/f'), (await begun()).id, 1, promised, 60), needs: mayPut('/a/f') }],
  'uploads.adopt': [{ run: async ({ uploads: on }) => on.adopt(p('/a/f'), (await begun()).id, 1, promised), needs: mayPut('/a/f') }],
  'uploads.parts': [{ run: async function* ({ uploads: on }) { yield* on.parts(p('/a/f'), (await begun()).id) }, needs: mayPut('/a/f') }],
  'uploads.complete': [
    { run: async ({ uploads: on }) => { const { id, parts } = await begun('/a/new'); return on.complete(p('/a/new'), id, parts) }, needs: [[['create', '/a/new']]] },
    { run: async ({ uploads: on }) => { const { id, parts } = await begun(); return on.complete(p('/a/f'), id, parts) }, needs: [[['replace', '/a/f']]] },
  ],
  'uploads.abort': [{ run: async ({ uploads: on }) => on.abort(p('/a/f'), (await begun()).id), needs: mayPut('/a/f') }],
  'uploads.list': [{ run: ({ uploads: on }) => on.list(p('/a')), needs: [...seen('/a'), ...mayPut('/a')], way: true }],
  'properties.change': [{ run: ({ properties: on }) => on.change(p('/a/f'), []), needs: [[['replace', '/a/f']]] }],
} // prettier-ignore

/** What gives no access to anything. */
const harmless: ReadonlySet<string> = new Set(['store.close', 'store.settle', 'store.permits'])

describe('every method', () => {
  it('has a rule', () => {
    const set = as(['rw:/**'])
    const methods = Object.entries(set).flatMap(([part, methodsOf]) =>
      Object.getOwnPropertyNames(Object.getPrototypeOf(methodsOf))
        .filter((name) => name !== 'constructor')
        .map((name) => `${part}.${name}`),
    )
    expect(methods.filter((name) => !harmless.has(name) && rules[name] === undefined)).toEqual([])
    expect(Object.keys(rules).filter((name) => !methods.includes(name))).toEqual([])
    expect('parts' in set.store).toBe(false)
  })

  const rows = Object.entries(rules).flatMap(([name, each]) =>
    each.map((rule, at) => ({ name: `${name} ${at + 1}`, rule })),
  )

  it.each(rows)('$name is allowed with its rights', async ({ rule }) => {
    expect(await outcome(() => rule.run(as(['rw:/**'])))).toBe('fine')
  }) // prettier-ignore

  it.each(rows.flatMap(({ name, rule }) => rule.needs.map((needs) => ({ name, rule, needs, shown: needs.join(' ') }))))(
    '$name is allowed with no more than $shown',
    async ({ rule, needs }) => {
      expect(await outcome(() => rule.run(as(needs.map(([action, pattern]) => `${action}:${pattern}`))))).toBe('fine')
    },
  )

  it.each(rows)('$name is refused without any right, and with every right elsewhere', async ({ rule }) => {
    for (const grants of [[], ['rw:/a-b/**'], ['rw:/c/**'], ['rw:/A/**'], ['rw:/b/other/**']]) {
      const refused = await outcome(() => rule.run(as(grants)))
      expect(refused).toBe('denied')
    }
  })

  it.each(rows)('$name is refused where one of its rights is missing', async ({ rule }) => {
    for (const needs of rule.needs) {
      for (const missing of needs.keys()) {
        const rest = needs.filter((_, at) => at !== missing)
        const [action, pattern] = needs[missing]!
        // All the other rights there are, and all of them elsewhere.
        const others = rule.way === true ? [] : allActions.filter((each) => each !== action && !rule.needs.some((row) => row !== needs && row.some(([other]) => other === each)))
        const grants = [...rest.map(([each, where]) => `${each}:${where}`), ...others.map((each) => `${each}:${pattern}`)]
        if (isReplacedBy(rule, grants)) continue
        expect(rule.refusal ?? ['denied']).toContain(await outcome(() => rule.run(as(grants))))
      }
    }
  }) // prettier-ignore

  /** Another row is met as well. */
  function isReplacedBy(rule: Rule, grants: readonly string[]): boolean {
    return rule.needs.some((row) => row.every(([action, pattern]) => grants.includes(`${action}:${pattern}`)))
  }

  it.each(rows)('$name does nothing when it is refused', async ({ rule }) => {
    const before = await pathsOf(store.list(p('/'), { depth: 'infinity' }))
    await outcome(() => rule.run(as(['list:/**'])))
    await outcome(() => rule.run(as([])))
    expect(await pathsOf(store.list(p('/'), { depth: 'infinity' }))).toEqual(before)
  })
})

describe("what is Postern's own", () => {
  it.each(['/-', '/-/own', '/-/new'])('%s cannot be reached with every right there is', async (path) => {
    const { store: on, locks: held, properties: known, uploads: begunAt } = as(['rw:/**'])
    const id = '0'.repeat(31)
    const { id: open } = await begun()
    const at = p(path)
    expect(await on.stat(at)).toBeUndefined()
    for (const run of [
      () => on.list(at),
      () => on.open(at),
      () => on.write(at, text('x')),
      () => on.change(at, { modified: 0 }),
      () => on.makeDirectory(at),
      () => on.remove(at),
      () => on.removeTree!(at),
      () => on.copy(at, p('/x'), transfer),
      () => on.copy(p('/a/f'), at, transfer),
      () => on.move(at, p('/x'), transfer),
      () => on.move(p('/a/f'), at, transfer),
      () => on.moveTree!(at, p('/x')),
      () => on.moveTree!(p('/a'), at),
      () => on.copyTree!(at, p('/x')),
      () => on.copyTree!(p('/a'), at),
      () => on.assemble!(p('/x'), [{ from: at, range: { start: 0, end: 1 } }]),
      () => on.assemble!(at, [{ body: text('x') }]),
      () => on.space!(at),
      () => on.presign!({ method: 'GET', path: at, expiresSeconds: 1 }),
      () => held.take({ ...info, path: at }),
      () => held.covering(at),
      () => held.below(at),
      () => held.members(at),
      () => known.of(at),
      () => known.members(at),
      () => known.change(at, []),
      () => begunAt.begin(at, facts),
      () => begunAt.find(at, id),
      () => begunAt.part(at, id, 1, text('x')),
      () => begunAt.partFrom(p('/a/f'), open, 1, at, { start: 0, end: 1 }),
      () => begunAt.parts(at, id),
      () => begunAt.complete(at, id, []),
      () => begunAt.abort(at, id),
      () => begunAt.list(at),
    ])
      expect(await outcome(run)).toBe('denied')
    expect(await on.permits('read', at)).toBe(false)
  })

  it('is listed nowhere', async () => {
    const set = as(['rw:/**'])
    await take('/-/own')
    await take('/-')
    await mark('/-')
    expect(await pathsOf(set.store.list(p('/')))).toEqual(['/a', '/a-b', '/b'])
    expect((await pathsOf(set.store.list(p('/'), { depth: 'infinity' }))).filter((path) => path.startsWith('/-'))).toEqual([]) // prettier-ignore
    expect(await pathsOf(set.locks.below(p('/')))).toEqual([])
    expect([...(await set.locks.members(p('/'))).keys()]).toEqual([])
    expect([...(await set.properties.members(p('/'))).keys()]).toEqual([])
  })

  it('is not a name that merely begins so', async () => {
    await store.write(p('/-x'), text('x'))
    expect(await as(['rw:/**']).store.stat(p('/-x'))).toBeDefined()
    await store.write(p('/a/-'), text('x'))
    expect(await pathsOf(as(['rw:/**']).store.list(p('/a')))).toContain('/a/-')
  })
})

describe('what is seen', () => {
  it('is what leads to a grant, and nothing beside it', async () => {
    await store.write(p('/a/d/deep/x'), text('x'), { parents: true })
    const { store: on } = as(['r:/a/d/deep/**'])
    expect(await pathsOf(on.list(p('/')))).toEqual(['/a'])
    expect(await pathsOf(on.list(p('/a')))).toEqual(['/a/d'])
    expect(await pathsOf(on.list(p('/a/d')))).toEqual(['/a/d/deep'])
    expect(await pathsOf(on.list(p('/'), { depth: 'infinity' }))).toEqual(['/a', '/a/d', '/a/d/deep', '/a/d/deep/x'])
    expect(await outcome(() => on.list(p('/b')))).toBe('denied')
    expect(await outcome(() => on.stat(p('/a/f')))).toBe('denied')
    expect(await outcome(() => on.stat(p('/a/none')))).toBe('denied')
    expect(await on.stat(p('/a/d'))).toMatchObject({ kind: 'directory' })
  })

  it('does not tell apart what is there and what is not from who has no right at all', async () => {
    const set = as(['r:/c/**'])
    for (const run of [
      (path: StorePath) => set.store.stat(path),
      (path: StorePath) => set.locks.take({ ...info, path }),
      (path: StorePath) => set.store.write(path, text('x')),
      (path: StorePath) => set.store.copy(path, p('/c/x'), transfer),
      (path: StorePath) => set.properties.change(path, []),
    ]) {
      const messages = await Promise.all(
        ['/a/f', '/a/none', '/a/d'].map(async (path) => {
          try {
            await run(p(path))
          } catch (error) {
            return (error as Error).message
          }
          return 'fine'
        }),
      )
      expect(new Set(messages).size).toBe(1)
      expect(messages[0]).not.toBe('fine')
    }
  })

  it('keeps locks and properties of the invisible invisible', async () => {
    await take('/b/f')
    await take('/a/f')
    await take('/b/d')
    const set = as(['r:/a/**', 'r:/b/d/g'])
    expect(await pathsOf(set.locks.below(p('/')))).toEqual(['/a/f', '/b/d'])
    expect([...(await set.locks.members(p('/b'))).keys()]).toEqual(['/b/d'])
    expect([...(await set.properties.members(p('/b'))).keys()]).toEqual([])
    expect([...(await set.properties.members(p('/b/d'))).keys()]).toEqual(['/b/d/g'])
    expect(await outcome(() => set.properties.of(p('/b/f')))).toBe('denied')
  })

  it('shows a sender who may only create no file, nor what is known of one', async () => {
    await take('/a/f')
    const set = as(['create:/a/**'])
    expect((await pathsOf(set.store.list(p('/a')))).includes('/a/f')).toBe(false)
    for (const run of [
      () => set.store.stat(p('/a/f')),
      () => set.store.open(p('/a/f')),
      () => set.properties.of(p('/a/f')),
      () => set.locks.covering(p('/a/f')),
    ])
      expect(await outcome(run)).toBe('denied')
    expect([...(await set.properties.members(p('/a'))).keys()]).not.toContain('/a/f')
    expect([...(await set.locks.members(p('/a'))).keys()]).toEqual([])
    expect(await pathsOf(set.locks.below(p('/a')))).toEqual([])
  })
})

describe('who may only create', () => {
  it("makes new names and takes no other's place", async () => {
    const { store: on } = as(['create:/a/**', 'read:/a/**'])
    expect(await outcome(() => on.write(p('/a/new'), text('x')))).toBe('fine')
    expect(await outcome(() => on.write(p('/a/new'), text('y')))).toBe('denied')
    expect(await outcome(() => on.write(p('/a/f'), text('y'), { ifNoneMatch: '*' }))).toBe('precondition')
    expect(await outcome(() => on.write(p('/a/f'), text('y'), { ifMatch: '*' }))).toBe('denied')
    expect(await outcome(() => on.copy(p('/a/new'), p('/a/f'), transfer))).toBe('denied')
    expect(await outcome(() => on.copy(p('/a/new'), p('/a/f'), { overwrite: false }))).toBe('exists')
    expect(await outcome(() => on.copy(p('/a/new'), p('/a/copy'), transfer))).toBe('fine')
    expect(await outcome(() => on.assemble!(p('/a/f'), [{ body: text('y') }]))).toBe('denied')
    expect(await contentOf('/a/f')).toBe('/a/f')
  })

  it('loses the race against somebody who made the name meanwhile', async () => {
    const { store: on } = as(['create:/a/**'])
    async function* slow(): AsyncGenerator<Uint8Array> {
      await store.write(p('/a/new'), text('first'))
      yield Buffer.from('second')
    }
    expect(await outcome(() => on.write(p('/a/new'), slow()))).toBe('denied')
    expect(await contentOf('/a/new')).toBe('first')
  })
})

describe('who may only replace', () => {
  it('changes what is there and makes nothing', async () => {
    const { store: on } = as(['replace:/a/**', 'read:/a/**'])
    expect(await outcome(() => on.write(p('/a/f'), text('x')))).toBe('fine')
    expect(await outcome(() => on.write(p('/a/new'), text('x')))).toBe('denied')
    expect(await outcome(() => on.write(p('/a/new'), text('x'), { ifNoneMatch: '*' }))).toBe('denied')
    expect(await outcome(() => on.write(p('/a/new'), text('x'), { ifMatch: ['e'] }))).toBe('precondition')
    expect(await outcome(() => on.copy(p('/a/f'), p('/a/new'), transfer))).toBe('denied')
    expect(await outcome(() => on.makeDirectory(p('/a/new')))).toBe('denied')
    expect(await store.stat(p('/a/new'))).toBeUndefined()
  })

  it('is told of its own condition that failed, not of a right', async () => {
    const { store: on } = as(['replace:/a/**'])
    const { etag } = (await store.stat(p('/a/f')))!
    expect(await outcome(() => on.write(p('/a/f'), text('x'), { ifNoneMatch: [etag] }))).toBe('precondition')
    expect(await outcome(() => on.write(p('/a/f'), text('x'), { ifUnmodifiedSince: 0 }))).toBe('precondition')
  })

  it('does not bring back what was removed meanwhile', async () => {
    const { store: on } = as(['replace:/a/**'])
    async function* slow(): AsyncGenerator<Uint8Array> {
      await store.remove(p('/a/f'))
      yield Buffer.from('x')
    }
    expect(await outcome(() => on.write(p('/a/f'), slow()))).toBe('denied')
    expect(await store.stat(p('/a/f'))).toBeUndefined()
  })
})

describe('locks of others', () => {
  it('stop a write before its body is pulled', async () => {
    await take('/a/f')
    let pulled = false
    async function* body(): AsyncGenerator<Uint8Array> {
      pulled = true
      yield Buffer.from('x')
    }
    expect(await outcome(() => as(['rw:/**']).store.write(p('/a/f'), body()))).toBe('locked')
    expect(await outcome(() => as(['rw:/**']).store.assemble!(p('/a/f'), [{ body: body() }]))).toBe('locked')
    expect(pulled).toBe(false)
  })

  it('stop a write that they overtake', async () => {
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x')
      await take('/a', 'infinity')
    }
    expect(await outcome(() => as(['rw:/**']).store.write(p('/a/f'), body()))).toBe('locked')
    expect(await contentOf('/a/f')).toBe('/a/f')
  })

  it("let the caller's own last check go first", async () => {
    let checked = false
    await as(['rw:/**']).store.write(p('/a/f'), text('x'), { beforeCommit: async () => void (checked = true) })
    expect(checked).toBe(true)
  })

  it.each<[name: string, run: (set: GuardedSet) => unknown]>([
    ['change', ({ store: on }) => on.change(p('/a/f'), { modified: 0 })],
    ['remove', ({ store: on }) => on.remove(p('/a/f'))],
    ['copy over', ({ store: on }) => on.copy(p('/b/f'), p('/a/f'), transfer)],
    ['move from', ({ store: on }) => on.move(p('/a/f'), p('/b/new'), transfer)],
    ['move over', ({ store: on }) => on.move(p('/b/f'), p('/a/f'), transfer)],
    ['presign', ({ store: on }) => on.presign?.({ method: 'PUT', path: p('/a/f'), expiresSeconds: 1 })],
    ['set properties', ({ properties: on }) => on.change(p('/a/f'), [])],
    ['lock', ({ locks: on }) => on.take({ ...info, path: p('/a/f') })],
  ])('on a file refuse to %s', async (_, run) => {
    const lock = await take('/a/f')
    expect(await outcome(() => run(as(['rw:/**'])))).toBe('locked')
    expect(await outcome(() => run(as(['rw:/**'], holding(alice, lock))))).toBe('locked')
    expect(await contentOf('/a/f')).toBe('/a/f')
    if (_ !== 'lock') expect(await outcome(() => run(as(['rw:/**'], holding(bob, lock))))).toBe('fine')
  })

  it.each<[name: string, run: (set: GuardedSet) => unknown]>([
    ['write', ({ store: on }) => on.write(p('/a/new'), text('x'))],
    ['makeDirectory', ({ store: on }) => on.makeDirectory(p('/a/new'))],
    ['remove', ({ store: on }) => on.remove(p('/a/f'))],
    ['copy', ({ store: on }) => on.copy(p('/b/f'), p('/a/new'), transfer)],
    ['move in', ({ store: on }) => on.move(p('/b/f'), p('/a/new'), transfer)],
    ['move out', ({ store: on }) => on.move(p('/a/f'), p('/b/new'), transfer)],
    ['copyTree in', ({ store: on }) => on.copyTree?.(p('/b/d'), p('/a/new'))],
    ['moveTree in', ({ store: on }) => on.moveTree?.(p('/b/d'), p('/a/new'))],
    ['moveTree out', ({ store: on }) => on.moveTree?.(p('/a/d'), p('/b/new'))],
    ['removeTree', ({ store: on }) => on.removeTree?.(p('/a/d'))],
    ['make parents', ({ store: on }) => on.write(p('/a/new/deep/x'), text('x'), { parents: true })],
    ['assemble', ({ store: on }) => on.assemble?.(p('/a/new/x'), [{ body: text('x') }], { parents: true })],
  ])('on a collection keep its members as they are: %s', async (_, run) => {
    const lock = await take('/a')
    const before = await pathsOf(store.list(p('/'), { depth: 'infinity' }))
    expect(await outcome(() => run(as(['rw:/**'])))).toBe('locked')
    expect(await pathsOf(store.list(p('/'), { depth: 'infinity' }))).toEqual(before)
    expect(await outcome(() => run(as(['rw:/**'], holding(bob, lock))))).toBe('fine')
  })

  it('on a collection do not keep a member from being changed', async () => {
    await take('/a')
    const { store: on } = as(['rw:/**'])
    expect(await outcome(() => on.write(p('/a/f'), text('x')))).toBe('fine')
    expect(await outcome(() => on.write(p('/a/d/new/x'), text('x'), { parents: true }))).toBe('fine')
    expect(await outcome(() => on.change(p('/a/f'), { modified: 0 }))).toBe('fine')
  })

  it('that come while parents are to be made count too', async () => {
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x')
      await take('/a')
    }
    expect(await outcome(() => as(['rw:/**']).store.write(p('/a/new/x'), body(), { parents: true }))).toBe('locked')
    expect(await store.stat(p('/a/new'))).toBeUndefined()
  })
})

describe('trees', () => {
  it('go member by member where a member is locked or not granted', async () => {
    const lock = await take('/a/d/g')
    const { store: on } = as(['rw:/**'])
    expect(await outcome(() => on.removeTree!(p('/a')))).toBe('unsupported')
    expect(await outcome(() => on.moveTree!(p('/a'), p('/c')))).toBe('unsupported')
    await locks.release(lock.path, lock.token, bob)
    const partly = as(['rw:/a', 'rw:/a/f', 'rw:/c/**']).store
    expect(await outcome(() => partly.removeTree!(p('/a')))).toBe('unsupported')
    expect(await outcome(() => partly.moveTree!(p('/a'), p('/c')))).toBe('unsupported')
    const target = as(['rw:/a/**', 'rw:/c', 'r:/c/**']).store
    expect(await outcome(() => target.moveTree!(p('/a'), p('/c')))).toBe('unsupported')
    expect(await outcome(() => partly.copyTree!(p('/a'), p('/c')))).toBe('unsupported')
    expect(await outcome(() => target.copyTree!(p('/a'), p('/c')))).toBe('unsupported')
    await take('/c/locked')
    expect(await outcome(() => as(['rw:/**']).store.copyTree!(p('/a'), p('/c')))).toBe('unsupported')
    expect(await store.stat(p('/a/d/g'))).toBeDefined()
  })

  it('are locked as a whole where the tree itself or what is above it is', async () => {
    await take('/a', 'infinity')
    const { store: on } = as(['rw:/**'])
    expect(await outcome(() => on.removeTree!(p('/a')))).toBe('locked')
    expect(await outcome(() => on.moveTree!(p('/a/d'), p('/c')))).toBe('locked')
    expect(await outcome(() => on.moveTree!(p('/b'), p('/a/c')))).toBe('locked')
  })

  it('go at once for who may do all of it', async () => {
    const { store: on } = as(['rw:/a/**', 'rw:/c/**'])
    expect(await outcome(() => on.moveTree!(p('/a'), p('/c')))).toBe('fine')
    expect(await outcome(() => on.copyTree!(p('/c'), p('/a')))).toBe('fine')
    expect(await outcome(() => on.removeTree!(p('/a')))).toBe('fine')
    expect(await outcome(() => on.removeTree!(p('/c')))).toBe('fine')
    expect(await store.stat(p('/a'))).toBeUndefined()
  })

  it('cannot be locked deeply by who may not write everywhere in them', async () => {
    const deep = { ...info, path: p('/a'), depth: 'infinity' } as const
    expect(await outcome(() => as(['replace:/a', 'rw:/a/f']).locks.take(deep))).toBe('denied')
    expect(await outcome(() => as(['replace:/a', 'rw:/a/f']).locks.take({ ...deep, depth: 0 }))).toBe('fine')
  })
})

describe('permits', () => {
  it('allows what both the grants and the medium allow', async () => {
    const strict = guard({ store: { ...store, permits: async (action) => action === 'read' }, locks, properties, uploads }, compileGrants(['rw:/a/**'], 'test'), holding(alice)) // prettier-ignore
    expect(await strict.store.permits('read', p('/a/f'))).toBe(true)
    expect(await strict.store.permits('replace', p('/a/f'))).toBe(false)
    expect(await strict.store.permits('read', p('/b/f'))).toBe(false)
  })
})

async function contentOf(path: string): Promise<string> {
  const content = await store.open(p(path))
  const pieces: Uint8Array[] = []
  for await (const piece of content.bytes() as AsyncIterable<Uint8Array>) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}
