import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { contentOf, Died, noFaults, World, type Deed, type Effects, type Faults, type Instance } from './instances.js'
import type { Commits } from '../../src/catalog/commits.js'
import { concerns } from '../../src/catalog/commits.js'
import type { Lock, LockedWrite, LockRequest } from '../../src/catalog/locks.js'
import { isFailure } from '../../src/core/failure.js'
import { isWithin, parentOf, rebase, rootPath, toPath, type StorePath } from '../../src/core/path.js'
import { copyTree, moveTree, removeTree } from '../../src/store/tree.js'

// The pulse of what lives would beat by the clock of the test run, for longer than a world lasts.
beforeAll(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})
afterAll(() => {
  vi.useRealTimers()
})

type Command =
  | { readonly kind: 'lock'; readonly path: StorePath; readonly scope: Lock['scope']; readonly depth: Lock['depth']; readonly seconds: number } // prettier-ignore
  | { readonly kind: 'edit'; readonly path: StorePath; readonly at: StorePath; readonly seconds: number }
  | { readonly kind: 'unlock' | 'refresh'; readonly which: number }
  | { readonly kind: 'put' | 'putIfMatch' | 'delete'; readonly path: StorePath }
  | { readonly kind: 'patch'; readonly path: StorePath; readonly name: string }
  | { readonly kind: 'move' | 'copy'; readonly path: StorePath; readonly to: StorePath }
  | { readonly kind: 'wait'; readonly seconds: number }
  | { readonly kind: 'mend' }

const anywhere = fc.constantFrom('/d', '/d/a', '/d/b', '/e', '/e/a', '/f').map(toPath)
const file = fc.constantFrom('/d/a', '/d/b', '/e/a', '/f').map(toPath)
const scope = fc.constantFrom('exclusive' as const, 'exclusive' as const, 'shared' as const)
const depth = fc.constantFrom(0 as const, 'infinity' as const)
const seconds = fc.constantFrom(20, 300, 300)

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('lock' as const), path: anywhere, scope, depth, seconds }) },
  { weight: 4, arbitrary: file.chain((path) => fc.record({ kind: fc.constant('edit' as const), path: fc.constant(path), at: fc.constantFrom(path, path, parentOf(path), rootPath), seconds })) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('unlock' as const, 'refresh' as const), which: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('put' as const, 'putIfMatch' as const), path: file }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), path: anywhere }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('patch' as const), path: anywhere, name: fc.constantFrom('p', 'q') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('move' as const, 'copy' as const), path: anywhere, to: anywhere }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(1, 6, 19, 40, 120) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('mend' as const) }) },
) // prettier-ignore

const setting = fc.record({
  seed: fc.nat(),
  instances: fc.integer({ min: 2, max: 4 }),
  scripts: fc.array(fc.array(command, { minLength: 1, maxLength: 6 }), { minLength: 2, maxLength: 5 }),
})

/** A lock that a client was told of. */
interface Told {
  readonly client: number
  lock: Lock
  /** By the clock of the world. */
  expires: number
  /** Its client knows. */
  isTold: boolean
  isOver: boolean
}

/** A change of properties that was acknowledged. */
interface Patch {
  readonly path: StorePath
  readonly name: string
  readonly value: string
  readonly start: number
  readonly end: number
  readonly change: Change
}

/** What may take properties away, from its start to its end; without one if nobody knows whether it is over. */
interface Change {
  readonly kind: Command['kind']
  readonly paths: readonly StorePath[]
  readonly name?: string
  readonly start: number
  end: number
}

/** Runs the scripts, and says what should never have happened. */
class Trial implements Effects {
  readonly wrong: string[] = []
  readonly world: World
  readonly #told: Told[] = []
  readonly #patches: Patch[] = []
  readonly #changes: Change[] = []
  /** What the writer of a content had read before. */
  readonly #basedOn = new Map<string, { readonly read: string | undefined; readonly why: () => boolean }>()
  #contents = 0

  constructor({ seed, instances }: { seed: number; instances: number }, faults: Faults, plain: boolean, commits?: Commits) {
    this.world = new World({ seed, instances, faults, plain, effects: this, ...(commits && { commits }) })
  } // prettier-ignore

  async run(scripts: readonly (readonly Command[])[]): Promise<void> {
    const { steps, medium } = this.world
    for (const path of ['/d', '/e']) await medium.makeDirectory(toPath(path))
    for (const path of ['/d/a', '/d/b', '/f']) await medium.write(toPath(path), text('first'))
    await steps.until(Promise.all(scripts.map((script, client) => this.#client(client, script))))
    this.world.faults = noFaults
    this.#judgeLocksLeft(await this.#allLocks())
    steps.clock.advanceSeconds(600)
    const last = this.world.any()
    await steps.until(last.mend())
    await steps.until(this.#judgeProperties(last))
    vi.clearAllTimers()
  }

  wrote(deed: Deed | undefined, path: StorePath, created: boolean, content: string, before: string | undefined): void {
    // What copies and moves take the place of may go meanwhile: the store has no condition for that.
    const isNew = created && deed?.kind !== 'copy' && deed?.kind !== 'move'
    this.#judge(deed, { path, extent: 'self', membership: isNew })
    const based = this.#basedOn.get(content)
    if (based?.why() === true && based.read !== before && (deed?.kind === 'edit' || deed?.kind === 'putIfMatch'))
      this.wrong.push(`${deed.kind} of ${path}: lost ${before ?? 'nothing'}, had read ${based.read ?? 'nothing'}`)
  }

  removed(deed: Deed | undefined, path: StorePath): void {
    this.#judge(deed, { path, extent: 'tree', membership: true })
    for (const told of this.#told) if (isWithin(told.lock.path, path)) told.isOver = true
  }

  patched(deed: Deed | undefined, path: StorePath): void {
    this.#judge(deed, { path, extent: 'self', membership: false })
  }

  /** Nobody changes what a lock protects that somebody else was told to hold. */
  #judge(deed: Deed | undefined, write: LockedWrite): void {
    const near = this.#living().filter(({ lock }) => concerns(write, lock))
    const own = near.filter(({ client }) => client === deed?.client)
    for (const { lock, client, isTold } of near) {
      if (!isTold || client === deed?.client || (lock.scope === 'shared' && own.length > 0)) continue
      this.wrong.push(`${deed?.kind ?? 'nobody'} of ${write.path} by ${deed?.client} under the ${lock.scope} lock of ${client} on ${lock.path}`) // prettier-ignore
    }
  }

  #living(): readonly Told[] {
    return this.#told.filter(({ isOver, expires }) => !isOver && expires > this.world.steps.clock.now())
  }

  async #client(client: number, script: readonly Command[]): Promise<void> {
    for (const command of script) {
      const instance = this.world.any()
      const deed = { client, kind: command.kind }
      const change = this.#begun(command)
      try {
        await instance.run(deed, () => this.#do(client, command, instance, change))
        change.end = this.#now
      } catch (error) {
        if (error instanceof Died || isFailure(error, 'unavailable')) continue
        if (!isFailure(error)) throw error
        // Refused: part of a tree may have gone.
        change.end = this.#now
      }
    }
  }

  get #now(): number {
    return this.world.steps.taken
  }

  #begun(command: Command): Change {
    const paths = command.kind === 'move' ? [command.path, command.to] : command.kind === 'copy' ? [command.to] : command.kind === 'delete' || command.kind === 'patch' ? [command.path] : [] // prettier-ignore
    const name = command.kind === 'patch' ? { name: command.name } : {}
    const change = { kind: command.kind, paths, start: this.#now, end: Infinity, ...name }
    this.#changes.push(change)
    return change
  }

  async #do(client: number, command: Command, instance: Instance, change: Change): Promise<void> {
    const held = this.#living().filter((told) => told.isTold && told.client === client)
    const principal = `test:${client}`
    const holder = { principal, tokens: new Set(held.map(({ lock }) => lock.token)) }
    const { store, locks, properties } = instance.for(holder)
    const content = (): string => `${client}.${++this.#contents}`
    switch (command.kind) {
      case 'lock':
        await this.#lock(client, instance, command)
        return
      case 'edit': {
        const { path, at, seconds } = command
        const told = await this.#lock(client, instance, { path: at, scope: 'exclusive', depth: at === path ? 0 : 'infinity', seconds }) // prettier-ignore
        holder.tokens.add(told.lock.token)
        const read = await contentOf(store, path)
        const next = content()
        this.#basedOn.set(next, { read, why: () => this.#living().includes(told) })
        await store.write(path, text(next), { length: Buffer.byteLength(next) })
        await this.#unlock(instance, told)
        return
      }
      case 'unlock':
      case 'refresh': {
        const told = held[command.which % Math.max(1, held.length)]
        if (told === undefined) return
        if (command.kind === 'unlock') return this.#unlock(instance, told)
        const before = told.lock.token
        const lock = await locks.refresh(told.lock.path, { principal, tokens: new Set([before]) }, 300)
        told.expires = lock.expires - instance.ahead
        return
      }
      case 'put':
        await store.write(command.path, text(content()))
        return
      case 'putIfMatch': {
        const entry = await store.stat(command.path)
        if (entry?.kind !== 'file') return
        const read = await readAs(store, command.path, entry.etag)
        const next = content()
        this.#basedOn.set(next, { read, why: () => true })
        await store.write(command.path, text(next), { ifMatch: [entry.etag], length: Buffer.byteLength(next) })
        return
      }
      case 'delete':
        await removeTree(store, command.path)
        return
      case 'patch': {
        const { path, name } = command
        const start = this.#now
        if ((await store.stat(path)) === undefined) return
        const value = content()
        await properties.change(path, [{ kind: 'set', property: { namespace: '', name, xml: value } }])
        this.#patches.push({ path, name, value, start, end: this.#now, change })
        return
      }
      case 'move':
        await moveTree(store, command.path, command.to, { overwrite: true })
        return
      case 'copy':
        await copyTree(store, command.path, command.to, { overwrite: true })
        return
      case 'wait':
        await this.world.steps.turn(() => true, command.seconds)
        return
      case 'mend':
        await instance.mend()
    }
  }

  /** As the protocol does it: an empty file where nothing is. */
  async #lock(
    client: number,
    instance: Instance,
    { path, scope, depth, seconds }: Pick<LockRequest, 'path' | 'scope' | 'depth'> & { readonly seconds: number },
  ): Promise<Told> {
    const holder = { principal: `test:${client}`, tokens: new Set<string>() }
    const { store, locks } = instance.for(holder)
    const lock = await locks.take({ path, scope, depth, principal: holder.principal, timeoutSeconds: seconds })
    const told = { client, lock, expires: lock.expires - instance.ahead, isTold: false, isOver: false }
    this.#told.push(told)
    if ((await store.stat(path)) === undefined) {
      holder.tokens.add(lock.token)
      try {
        await store.write(path, text(''), { ifNoneMatch: '*', length: 0 })
      } catch (error) {
        if (!isFailure(error, 'precondition')) throw error
      }
    }
    if (told.expires <= this.world.steps.clock.now()) return told
    for (const other of this.#living()) {
      if (!other.isTold) continue
      if (other.lock.scope === 'shared' && lock.scope === 'shared') continue
      if (reaches(lock, other.lock.path) || reaches(other.lock, path))
        this.wrong.push(`${client} holds ${path} while ${other.client} holds ${other.lock.path}`)
    }
    told.isTold = true
    return told
  }

  async #unlock(instance: Instance, told: Told): Promise<void> {
    told.isOver = true
    const principal = `test:${told.client}`
    const { locks } = instance.for({ principal, tokens: new Set() })
    await locks.release(told.lock.path, told.lock.token, principal)
  }

  async #allLocks(): Promise<ReadonlySet<string>> {
    const tokens = new Set<string>()
    for await (const items of this.world.catalog.list('locks'))
      for (const { value } of items)
        for (const { token } of (JSON.parse(Buffer.from(value).toString()) as { locks: Lock[] }).locks)
          tokens.add(token)
    return tokens
  }

  #judgeLocksLeft(tokens: ReadonlySet<string>): void {
    // One that is shared ends with what another of its holders removes, even before it is told.
    for (const { lock, client, isTold } of this.#living())
      if (isTold && lock.scope === 'exclusive' && !tokens.has(lock.token))
        this.wrong.push(`the lock of ${client} on ${lock.path} is gone`)
  }

  /** What was acknowledged is there, unless something that came later, or at the same time, took it away. */
  async #judgeProperties({ records }: Instance): Promise<void> {
    const { medium } = this.world
    for (const { path, name, value, start, end, change: own } of this.#patches) {
      const after = this.#changes.filter((change) => {
        if (change === own || change.end <= start) return false
        if (change.kind === 'patch') return change.name === name && change.paths[0] === path
        return change.paths.some((each) => isWithin(path, each))
      })
      const [only, ...others] = after
      const target = only?.kind === 'move' && only.paths[0] !== undefined && only.paths[1] !== undefined && isWithin(path, only.paths[0]) ? rebase(path, only.paths[0], only.paths[1]) : path // prettier-ignore
      if (others.length > 0 || (only !== undefined && (target === path || only.start < end))) continue
      if (only !== undefined && this.#changes.some((change) => change !== only && change.end > only.start && change.paths.some((each) => isWithin(target, each) || isWithin(each, target)))) continue // prettier-ignore
      const places = target === path ? [path] : [path, target]
      const found: string[] = []
      for (const place of places)
        if ((await medium.stat(place)) !== undefined)
          found.push(...(await records.properties.of(place)).map((each) => `${each.name}=${each.xml}`))
      if (!found.includes(`${name}=${value}`))
        this.wrong.push(`${name}=${value} of ${path} is lost${only === undefined ? '' : `, moved to ${target}`}`)
    }
  }
}

function reaches(lock: Lock, path: StorePath): boolean {
  return lock.path === path || (lock.depth === 'infinity' && isWithin(path, lock.path))
}

/** The content of a version; undefined where that is no more. */
async function readAs(store: Parameters<typeof contentOf>[0], path: StorePath, etag: string): Promise<string | undefined> {
  const before = await contentOf(store, path)
  return (await store.stat(path))?.etag === etag ? before : undefined
} // prettier-ignore

async function* text(content: string): AsyncGenerator<Uint8Array> {
  if (content !== '') yield Buffer.from(content)
}

const someFaults: Faults = { before: 0.02, after: 0.02, death: 0.01 }
/** As many as take a second or two; `npm run fuzz` goes on for longer. */
const numRuns = fc.readConfigureGlobal().numRuns ?? 250

const unfenced: Commits = {
  of: () => ({ signal: undefined, prepare: () => undefined, begin: async () => undefined, end: () => undefined }),
  past: async () => false,
}

describe.each([
  ['with one step for many items', false],
  ['with swap alone', true],
])('several instances over a catalog %s', (_, plain) => {
  it.each([
    ['while all goes well', noFaults],
    ['while catalog calls fail and instances die', someFaults],
  ])('keep what they have told, %s', async (__, faults) => {
    await fc.assert(
      fc.asyncProperty(setting, async (chosen) => {
        const trial = new Trial(chosen, faults, plain)
        await trial.run(chosen.scripts)
        expect(trial.wrong).toEqual([])
      }),
      { numRuns },
    )
  })

  it('would lose it without the wait of LOCK for writes under way', async () => {
    const found = new Set<string>()
    await fc.assert(
      fc.asyncProperty(setting, async (chosen) => {
        const trial = new Trial(chosen, noFaults, plain, unfenced)
        await trial.run(chosen.scripts)
        for (const each of trial.wrong) found.add(each.includes('lost') ? 'lost update' : 'written under a lock')
      }),
      { numRuns: 300, interruptAfterTimeLimit: 10_000, markInterruptAsFailure: false },
    )
    expect([...found]).toContain('written under a lock')
  })
})
