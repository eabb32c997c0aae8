import { denied, type Rights } from './rights.js'
import type { Lock, LockHolder, LockRequest, Locks } from '../catalog/locks.js'
import type { Properties, Property, PropertyChange } from '../catalog/properties.js'
import type { StorePath } from '../core/path.js'
import type { Store } from '../store/store.js'

/** What a protocol may do with locks. */
export type LocksForCallers = Pick<Locks, 'take' | 'refresh' | 'release' | 'covering' | 'below' | 'members'>

/** What a protocol may do with dead properties. */
export type PropertiesForCallers = Pick<Properties, 'of' | 'members' | 'change'>

/** Locks with one caller's rights around them. */
export class GuardedLocks implements LocksForCallers {
  readonly #locks: Locks
  readonly #store: Store
  readonly #rights: Rights

  constructor(locks: Locks, store: Store, rights: Rights) {
    this.#locks = locks
    this.#store = store
    this.#rights = rights
  }

  async take(request: LockRequest): Promise<Lock> {
    const { path, depth } = request
    const rights = this.#rights
    this.#demandWrite(path)
    const below = depth === 0 || rights.permit.allowsAllBelow('replace', path)
    // Whoever may do all of it need not be told from others by what is there.
    if (below && rights.allows('create', path) && rights.allows('replace', path)) return this.#locks.take(request)
    const entry = await this.#store.stat(path)
    rights.demand(entry === undefined ? 'create' : 'replace', path)
    // A deep lock keeps others out of everything below, so it needs the right to write there.
    if (entry?.kind === 'directory' && !below) throw denied('replace', path)
    return this.#locks.take(request)
  }

  async refresh(path: StorePath, by: LockHolder, timeoutSeconds: number): Promise<Lock> {
    this.#demandWrite(path)
    return this.#locks.refresh(path, by, timeoutSeconds)
  }

  async release(path: StorePath, token: string, principal: string): Promise<void> {
    this.#demandWrite(path)
    await this.#locks.release(path, token, principal)
  }

  async covering(path: StorePath): Promise<readonly Lock[]> {
    await this.#rights.demandKnowable(path)
    return this.#locks.covering(path)
  }

  async *below(path: StorePath): AsyncGenerator<readonly Lock[]> {
    this.#rights.demandVisible(path)
    for await (const found of this.#locks.below(path)) {
      const shown: Lock[] = []
      for (const lock of found) if (await this.#rights.mayKnow(lock.path)) shown.push(lock)
      if (shown.length > 0) yield shown
    }
  }

  async members(directory: StorePath): Promise<ReadonlyMap<StorePath, readonly Lock[]>> {
    this.#rights.demandVisible(directory)
    return this.#rights.onlyKnowable(await this.#locks.members(directory))
  }

  #demandWrite(path: StorePath): void {
    if (!this.#rights.allows('replace', path)) this.#rights.demand('create', path)
  }
}

/** Dead properties with one caller's rights around them. */
export class GuardedProperties implements PropertiesForCallers {
  readonly #properties: Properties
  readonly #rights: Rights

  constructor(properties: Properties, rights: Rights) {
    this.#properties = properties
    this.#rights = rights
  }

  async of(path: StorePath): Promise<readonly Property[]> {
    await this.#rights.demandKnowable(path)
    return this.#properties.of(path)
  }

  async members(directory: StorePath): Promise<ReadonlyMap<StorePath, readonly Property[]>> {
    this.#rights.demandVisible(directory)
    return this.#rights.onlyKnowable(await this.#properties.members(directory))
  }

  async change(path: StorePath, changes: readonly PropertyChange[]): Promise<void> {
    this.#rights.demand('replace', path)
    return this.#rights.during(
      [{ path, extent: 'self', membership: false }],
      () => this.#rights.checkLocks(path, 'self', false),
      () => this.#properties.change(path, changes),
    )
  }
}
