import { AsyncLocalStorage } from 'node:async_hooks'
import { compileGrants } from '../../src/auth/grant.js'
import { guard, type GuardedSet } from '../../src/auth/guard.js'
import { catalogLocks } from '../../src/catalog/catalog-locks.js'
import { catalogUploads } from '../../src/catalog/catalog-uploads.js'
import type { Catalog } from '../../src/catalog/catalog.js'
import type { Commits } from '../../src/catalog/commits.js'
import type { LockHolder } from '../../src/catalog/locks.js'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { mendMoves } from '../../src/catalog/moves.js'
import { catalogProperties } from '../../src/catalog/properties.js'
import { tended, type Records } from '../../src/catalog/tended.js'
import { ManualClock, type Clock } from '../../src/core/clock.js'
import { Failure } from '../../src/core/failure.js'
import type { StorePath } from '../../src/core/path.js'
import { bound } from '../../src/store/bound.js'
import { openMemoryStore } from '../../src/store/memory.js'
import type { Store } from '../../src/store/store.js'

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

interface Waiting {
  readonly seconds: number
  readonly isAlive: () => boolean
  readonly resume: () => void
}

/** Lets one step after another go on, in an order that only the seed knows. Time passes where everybody waits for it. */
export class Steps {
  readonly clock = new ManualClock()
  readonly random: () => number
  taken = 0
  #waiting: Waiting[] = []

  constructor(seed: number) {
    this.random = randomFrom(seed)
  }

  /** Resolves when it is this one's turn; never where it is dead by then. With seconds: at some time, or after these. */
  turn(isAlive: () => boolean = () => true, seconds = 0): Promise<void> {
    return new Promise((resume) => this.#waiting.push({ isAlive, resume, seconds }))
  }

  /** Goes on until the work is done; throws where it cannot come to an end. */
  async until(work: Promise<unknown>): Promise<void> {
    const progress = { isDone: false }
    const settled = work.finally(() => (progress.isDone = true))
    settled.catch(() => undefined)
    for (let idle = 0; !progress.isDone;) {
      await new Promise((resolve) => setImmediate(resolve))
      this.#waiting = this.#waiting.filter(({ isAlive }) => isAlive())
      if (this.#waiting.length === 0) {
        if (++idle > 50) throw new Error('stuck: nobody waits for a turn')
        continue
      }
      idle = 0
      if (++this.taken > 60_000) throw new Error('stuck: it does not end')
      const at = Math.floor(this.random() * this.#waiting.length)
      const onlyTime = this.#waiting.every(({ seconds }) => seconds > 0)
      const [next] = this.#waiting.splice(at, 1)
      if (next === undefined) continue
      if (onlyTime) this.clock.advanceSeconds(next.seconds)
      next.resume()
    }
    await settled
  }
}

/** What goes wrong at a call of the catalog, each with its probability. */
export interface Faults {
  readonly before: number
  readonly after: number
  readonly death: number
}

export const noFaults: Faults = { before: 0, after: 0, death: 0 }

/** What somebody does, for those who judge what comes of it. */
export interface Deed {
  readonly client: number
  readonly kind: string
}

/** What is told of every change of the files and of properties, in the step in which it happens. */
export interface Effects {
  wrote(deed: Deed | undefined, path: StorePath, created: boolean, content: string, before: string | undefined): void
  removed(deed: Deed | undefined, path: StorePath): void
  patched(deed: Deed | undefined, path: StorePath): void
}

export interface WorldOptions {
  readonly seed: number
  readonly instances: number
  readonly faults: Faults
  /** Like an engine that has nothing but `swap`. */
  readonly plain: boolean
  readonly effects: Effects
  /** For the proof that the model can fail. */
  readonly commits?: Commits
}

/** Whose deed a step belongs to. One for all worlds: each costs every promise of the process. */
const deeds = new AsyncLocalStorage<Deed>()

/** Several instances over one catalog and one store, each call of which is a step. */
export class World {
  readonly steps: Steps
  readonly medium: Store
  readonly catalog: Catalog
  readonly instances: readonly Instance[]
  faults: Faults

  constructor(options: WorldOptions) {
    this.steps = new Steps(options.seed)
    this.faults = options.faults
    this.medium = openMemoryStore({ clock: this.steps.clock })
    this.catalog = openMemoryCatalog({ clock: this.steps.clock })
    this.instances = Array.from({ length: options.instances }, () => new Instance(this, options))
  }

  /** One of those that live. */
  any(): Instance {
    const living = this.instances.filter(({ isAlive }) => isAlive)
    const instance = living[Math.floor(this.steps.random() * living.length)]
    if (instance === undefined) throw new Error('nobody lives')
    return instance
  }

  mayDie(): boolean {
    return this.instances.filter(({ isAlive }) => isAlive).length > 1
  }
}

const everything = compileGrants(['rw:/**'], 'test')

export class Died extends Error {}

/** One server, with a clock of its own that is up to a second wrong. */
export class Instance {
  isAlive = true
  readonly records: Records
  /** Milliseconds by which its clock is ahead. */
  readonly ahead: number
  readonly #world: World
  readonly #store: Store
  readonly #effects: Effects
  #died: () => void = () => undefined
  readonly #death: Promise<never>

  constructor(world: World, { plain, effects, commits }: WorldOptions) {
    this.#world = world
    this.#effects = effects
    const { steps } = world
    this.ahead = Math.round((steps.random() * 2 - 1) * 1000)
    const clock: Clock = { now: () => steps.clock.now() + this.ahead }
    const catalog = this.#catalog(plain)
    // Time passes faster than they think, so that fewer steps are needed.
    const pause = (milliseconds: number): Promise<void> => this.#turn(milliseconds / 100)
    const locks = catalogLocks(catalog, clock, { shared: true, pause, ...(commits && { commits }) })
    this.records = { catalog, locks, properties: catalogProperties(catalog, clock), clock }
    this.#store = this.#medium()
    this.#death = new Promise((_, reject) => (this.#died = () => reject(new Died())))
    this.#death.catch(() => undefined)
  }

  /** What a request of somebody holds. */
  for(holder: LockHolder): GuardedSet {
    const { locks, properties, catalog, clock } = this.records
    const store = tended(this.#store, this.records)
    const uploads = catalogUploads({ catalog, clock: clock ?? this.#world.steps.clock, store })
    return guard({ store, locks, properties, uploads }, everything, holder)
  }

  mend(): Promise<number> {
    return mendMoves(this.#store, this.records)
  }

  /** Does something for somebody; throws `Died` where the instance dies before it answers. */
  async run<Result>(deed: Deed, work: () => Promise<Result>): Promise<Result> {
    return deeds.run(deed, () => Promise.race([work(), this.#death]))
  }

  #turn(seconds = 0): Promise<void> {
    return this.#world.steps.turn(() => this.isAlive, seconds)
  }

  /** A step of the catalog, with all that may go wrong before and after it. */
  async #call<Result>(work: () => Promise<Result>): Promise<Result> {
    const { steps } = this.#world
    await this.#turn()
    const luck = steps.random()
    const { before, after, death } = this.#world.faults
    if (luck < before) throw new Failure('unavailable', 'refused')
    if (luck < before + death && this.#world.mayDie()) return this.#die(steps.random() < 0.5 ? work : undefined)
    const result = await work()
    if (luck > 1 - after) throw new Failure('unavailable', 'lost the answer')
    return result
  }

  async #die(last?: () => Promise<unknown>): Promise<never> {
    await last?.()
    this.isAlive = false
    this.#died()
    return new Promise(() => undefined)
  }

  #catalog(plain: boolean): Catalog {
    const { catalog } = this.#world
    const call = this.#call.bind(this)
    const effects = this.#effects
    return {
      get: (...args) => call(() => catalog.get(...args)),
      getAll: (...args) => call(() => catalog.getAll(...args)),
      swap: (group, name, next, ...args) =>
        call(async () => {
          const version = await catalog.swap(group, name, next, ...args)
          const deed = deeds.getStore()
          if (group === 'properties' && version !== false && deed?.kind === 'patch' && next !== undefined)
            effects.patched(deed, (JSON.parse(Buffer.from(next).toString()) as { path: StorePath }).path)
          return version
        }),
      async *list(...args) {
        await call(async () => undefined)
        yield* catalog.list(...args)
      },
      add: (...args) => call(() => catalog.add(...args)),
      ...(!plain && {
        transaction: (changes) => call(async () => (await catalog.transaction?.(changes)) === true),
        claim: (...args) => call(async () => (await catalog.claim?.(...args)) ?? false),
      }),
      close: async () => undefined,
    }
  }

  /** The medium as this instance reaches it: what it does takes a while after it was last judged. */
  #medium(): Store {
    const { medium } = this.#world
    const effects = this.#effects
    const store = bound(medium)
    const turn = this.#turn.bind(this)
    const stepped =
      <Args extends readonly unknown[], Result>(work: (...args: Args) => Promise<Result>) =>
      async (...args: Args): Promise<Result> => {
        await turn()
        return work(...args)
      }
    const removing =
      <Args extends readonly unknown[], Result>(work: (path: StorePath, ...args: Args) => Promise<Result>) =>
      async (path: StorePath, ...args: Args): Promise<Result> => {
        await turn()
        const result = await work(path, ...args)
        effects.removed(deeds.getStore(), path)
        return result
      }
    const taking =
      <Args extends readonly unknown[], Result>(
        work: (from: StorePath, to: StorePath, ...args: Args) => Promise<Result>,
        moves: boolean,
      ) =>
      async (from: StorePath, to: StorePath, ...args: Args): Promise<Result> => {
        await turn()
        const before = await contentOf(medium, to)
        const result = await work(from, to, ...args)
        if (moves) effects.removed(deeds.getStore(), from)
        effects.wrote(deeds.getStore(), to, before === undefined, (await contentOf(medium, to)) ?? '', before)
        return result
      }
    return {
      ...store,
      stat: stepped(store.stat),
      open: stepped(store.open),
      async *list(...args) {
        await turn()
        yield* store.list(...args)
      },
      async write(path, body, options = {}) {
        await turn()
        let before: string | undefined
        const beforeCommit: typeof options.beforeCommit = async (staged) => {
          await options.beforeCommit?.(staged)
          await turn()
          before = await contentOf(medium, path)
        }
        const written = await store.write(path, body, { ...options, beforeCommit })
        const content = (await contentOf(medium, path)) ?? ''
        effects.wrote(deeds.getStore(), path, written.created, content, before)
        return written
      },
      makeDirectory: stepped(store.makeDirectory),
      change: stepped(store.change),
      remove: removing(store.remove),
      copy: taking(store.copy, false),
      move: taking(store.move, true),
      ...(store.removeTree && { removeTree: removing(store.removeTree) }),
      ...(store.moveTree && { moveTree: taking(store.moveTree, true) }),
      ...(store.copyTree && { copyTree: taking(store.copyTree, false) }),
    }
  }
}

/** What a file holds; undefined where there is none. */
export async function contentOf(store: Store, path: StorePath): Promise<string | undefined> {
  if ((await store.stat(path))?.kind !== 'file') return undefined
  const content = await store.open(path)
  const bytes = content.bytes()
  const chunks: Uint8Array[] = []
  if (bytes instanceof Uint8Array) chunks.push(bytes)
  else if (Symbol.asyncIterator in bytes) for await (const chunk of bytes) chunks.push(chunk)
  await content.close()
  return Buffer.concat(chunks).toString()
}
