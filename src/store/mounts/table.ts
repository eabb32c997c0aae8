import { Failure } from '../../core/failure.js'
import { ancestorsOf, isOwnPath, isWithin, rootPath, type StorePath } from '../../core/path.js'
import { isReserved } from '../reserved.js'
import type { Store } from '../store.js'
import { shifted } from './shifted.js'

/** A store and the path of its root in the whole tree. */
export interface Mount {
  readonly path: StorePath
  readonly store: Store
}

/** Which store has which path. The stores that it gives are asked for whole paths. */
export class MountTable {
  /** Longest paths first, so that the first that fits is the right one. */
  readonly #mounts: readonly Mount[]
  readonly #points: ReadonlyMap<StorePath, Mount>
  readonly #ways: ReadonlySet<StorePath>

  /** Takes stores that know nothing of where they are mounted. Throws `invalid` for mounts that make no tree. */
  constructor(mounts: readonly Mount[]) {
    check(mounts)
    this.#mounts = mounts
      .map(({ path, store }) => ({ path, store: shifted(store, path) }))
      .sort((a, b) => b.path.length - a.path.length)
    this.#points = new Map(this.#mounts.map((mount) => [mount.path, mount]))
    this.#ways = new Set(mounts.flatMap(({ path }) => ancestorsOf(path)).filter((path) => !this.#points.has(path)))
  }

  get all(): readonly Mount[] {
    return this.#mounts
  }

  /** The mount that has a path: the one with the longest path of those at or above it. */
  of(path: StorePath): Mount {
    const found = this.#mounts.find((mount) => isWithin(path, mount.path))
    if (found === undefined) throw new Failure('not-found', 'No store is mounted there.', { path })
    return found
  }

  /** The mount with exactly that path. */
  at(path: StorePath): Mount | undefined {
    return this.#points.get(path)
  }

  /** A directory above a mount point, which is there for that reason even where its own store has none. */
  isWay(path: StorePath): boolean {
    return this.#ways.has(path)
  }

  /** A mount point (the root is one) or on the way to one: it can neither go nor be replaced. Below all others no store begins. */
  isHeld(path: StorePath): boolean {
    return this.#points.has(path) || this.#ways.has(path)
  }

  /**
   * What is held strictly below a directory and belongs to the same mount as it: the ways, and the mount points where
   * other stores begin.
   */
  heldBelow(directory: StorePath): readonly StorePath[] {
    if (!this.isHeld(directory)) return []
    const points = [...this.#points.keys()]
    const own = points.filter((point) => point !== directory && isWithin(point, directory))
    const isNested = (path: StorePath): boolean => own.some((point) => point !== path && isWithin(path, point))
    const ways = [...this.#ways].filter((way) => way !== directory && isWithin(way, directory))
    return [...own, ...ways].filter((path) => !isNested(path))
  }
}

function check(mounts: readonly Mount[]): void {
  const stores = new Set<Store>()
  const paths = new Set<StorePath>()
  for (const { path, store } of mounts) {
    if (paths.has(path)) throw new Failure('invalid', `Two stores are mounted at ${path}.`)
    if (stores.has(store)) throw new Failure('invalid', `The store at ${path} is mounted at another path too.`)
    if (isOwnPath(path) || isReserved(path))
      throw new Failure('invalid', `Nothing can be mounted at ${path}: that name is kept by the server for itself.`)
    paths.add(path)
    stores.add(store)
  }
  if (!paths.has(rootPath)) throw new Failure('invalid', 'One of the stores must be mounted at /.')
}
