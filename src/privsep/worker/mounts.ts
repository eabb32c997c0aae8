import { rootPath, type StorePath, toPath } from '../../core/path.js'
import { type LocalStore, openLocalStore } from '../../store/local.js'
import type { WorkerSettings } from '../settings.js'
import { countIn, malformed } from '../write-head.js'
import { type AskFront, WorkerNotes } from './notes.js'

/** The stores of a user, opened when they are first asked for: one directory that is missing is no matter to the others. */
export class WorkerMounts {
  /** Those that are open, by the number of their mount. */
  readonly stores: LocalStore[] = []
  readonly #settings: WorkerSettings
  readonly #ask: AskFront
  readonly #opening = new Map<number, Promise<void>>()

  constructor(settings: WorkerSettings, ask: AskFront) {
    this.#settings = settings
    this.#ask = ask
  }

  /** Undefined where it is open. Throws `invalid` where there is no such mount, and rejects where it cannot be opened. */
  readonly ready = (mount: unknown): Promise<void> | undefined => {
    if (mount === undefined || (typeof mount === 'number' && this.stores[mount] !== undefined)) return undefined
    const index = countIn({ mount }, 'mount')
    const opening = this.#opening.get(index) ?? this.#open(index).finally(() => this.#opening.delete(index))
    this.#opening.set(index, opening)
    return opening
  }

  async close(): Promise<void> {
    await Promise.all([...this.#opening.values()].map((opening) => opening.catch(() => undefined)))
    await Promise.all(this.stores.map((store) => store.close()))
  }

  async #open(mount: number): Promise<void> {
    const { mounts, uid, home, sweeps } = this.#settings
    const described = mounts[mount]
    if (described === undefined) throw malformed()
    const { directory: root, durability, symlinks } = described
    this.stores[mount] = await openLocalStore({
      root,
      durability,
      symlinks,
      sweeps,
      asksKernel: true,
      owner: { uid, home: home === undefined ? undefined : pathWithin(root, home) },
      // Notes of two mounts are told apart by the number.
      keeping: (device) => new WorkerNotes((name, head) => this.#ask(name, { ...head, mount }), device),
    })
  }
}

/** Where a directory lies in a tree; undefined where it lies elsewhere. */
function pathWithin(root: string, directory: string): StorePath | undefined {
  if (directory === root) return rootPath
  const base = root === '/' ? root : root + '/'
  if (!directory.startsWith(base)) return undefined
  try {
    return toPath('/' + directory.slice(base.length))
  } catch {
    return undefined
  }
}
