import { denied, type Rights } from './rights.js'
import type { Lock, LockHolder, LockRequest, Locks } from '../catalog/locks.js'
import type { Properties, Property, PropertyChange } from '../catalog/properties.js'
import { Failure } from '../core/failure.js'
import { parentOf, type StorePath } from '../core/path.js'
import type { Entry, Store } from '../store/store.js'

/** Members whose medium is asked at once. */
const atOnce = 256

/** What a protocol may do with locks. */
export type LocksForCallers = Pick<Locks, 'take' | 'refresh' | 'release' | 'covering' | 'below' | 'members'>

/** What a protocol may do with dead properties. */
export type PropertiesForCallers = Pick<Properties, 'of' | 'members' | 'change'>

/** Locks with one caller's rights around them. A lock keeps others from writing, so who takes one must be able to write. */
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
    const all = below && rights.allows('create', path) && rights.allows('replace', path)
    if (all && (await this.#store.permits('replace', path))) return this.#locks.take(request)
    const entry = await this.#store.stat(path)
    rights.demand(entry === undefined ? 'create' : 'replace', path)
    // A deep lock keeps others out of everything below, so it needs the right to write there.
    if (entry?.kind === 'directory' && !below) throw denied('replace', path)
    await this.#demandOfMedium(path, entry)
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

  /** Throws `denied` where the medium would refuse what the lock is for; `no-parent` where it could not be there. */
  async #demandOfMedium(path: StorePath, entry: Entry | undefined): Promise<void> {
    const action = entry === undefined ? 'create' : 'replace'
    if (await this.#store.permits(action, path)) return
    if (entry === undefined && (await this.#store.stat(parentOf(path))) === undefined)
      throw new Failure('no-parent', 'The parent of this path does not exist.', { path })
    throw denied(action, path)
  }

  #demandWrite(path: StorePath): void {
    if (!this.#rights.allows('replace', path)) this.#rights.demand('create', path)
  }
}

/** Dead properties with one caller's rights around them: who cannot read a file cannot read them, nor who cannot write it change them. */
export class GuardedProperties implements PropertiesForCallers {
  readonly #properties: Properties
  readonly #store: Store
  readonly #rights: Rights

  constructor(properties: Properties, store: Store, rights: Rights) {
    this.#properties = properties
    this.#store = store
    this.#rights = rights
  }

  async of(path: StorePath): Promise<readonly Property[]> {
    await this.#rights.demandKnowable(path)
    const found = await this.#properties.of(path)
    return found.length === 0 || (await this.#store.permits('read', path)) ? found : []
  }

  async members(directory: StorePath): Promise<ReadonlyMap<StorePath, readonly Property[]>> {
    this.#rights.demandVisible(directory)
    const known = await this.#rights.onlyKnowable(await this.#properties.members(directory))
    return known.size === 0 ? known : this.#onlyReadable(known)
  }

  async change(path: StorePath, changes: readonly PropertyChange[]): Promise<void> {
    this.#rights.demand('replace', path)
    if (!(await this.#store.permits('replace', path))) throw denied('replace', path)
    return this.#rights.during(
      [{ path, extent: 'self', membership: false }],
      () => this.#rights.checkLocks(path, 'self', false),
      () => this.#properties.change(path, changes),
    )
  }

  async #onlyReadable<Value>(members: ReadonlyMap<StorePath, Value>): Promise<ReadonlyMap<StorePath, Value>> {
    const paths = [...members.keys()]
    const refused: StorePath[] = []
    for (let at = 0; at < paths.length; at += atOnce) {
      const some = paths.slice(at, at + atOnce)
      const verdicts = await Promise.all(some.map((path) => this.#store.permits('read', path)))
      for (const [n, path] of some.entries()) if (verdicts[n] !== true) refused.push(path)
    }
    if (refused.length === 0) return members
    const shown = new Map(members)
    for (const path of refused) shown.delete(path)
    return shown
  }
}
