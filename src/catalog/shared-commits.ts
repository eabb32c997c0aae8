import type { Catalog } from './catalog.js'
import { commitGroup, decodeNotice, Notice } from './commit-notice.js'
import { concerns, LocalCommits, outwait, type Commit, type Commits, type CommitsOptions } from './commits.js'
import type { Lock, LockedWrite } from './locks.js'

export interface SharedCommitsOptions extends CommitsOptions {
  /** Tells the others only of whole trees and of what has no short last step; of the rest this process alone knows. */
  readonly onlyTrees?: boolean
}

/**
 * For processes that share a catalog: each keeps one record there that says what it is about to write. Those who begin
 * at the same time are written down in one step, so that a busy process costs no more steps than an idle one has.
 */
export class SharedCommits implements Commits {
  readonly #catalog: Catalog
  readonly #options: SharedCommitsOptions
  readonly #own: LocalCommits
  readonly #notice: Notice

  constructor(catalog: Catalog, options: SharedCommitsOptions) {
    this.#catalog = catalog
    this.#options = options
    this.#own = new LocalCommits(options)
    this.#notice = new Notice(catalog, options.clock)
  }

  of(writes: readonly LockedWrite[]): Commit {
    const own = this.#own.of(writes)
    if (this.#options.onlyTrees === true && writes.every(({ extent }) => extent === 'self')) return own
    return new SharedCommit(own, this.#notice, writes)
  }

  async past(lock: Pick<Lock, 'path' | 'depth'>): Promise<boolean> {
    const [waited, waitedForOthers] = await Promise.all([this.#own.past(lock), this.#pastOthers(lock)])
    return waited || waitedForOthers
  }

  async #pastOthers(lock: Pick<Lock, 'path' | 'depth'>): Promise<boolean> {
    const before = new Map<string, ReadonlySet<number>>()
    const known = this.#catalog.glanceList?.(commitGroup, '')
    for await (const items of known === undefined ? this.#catalog.list(commitGroup) : [known]) {
      for (const item of items) {
        if (item.name === this.#notice.name) continue
        const ids = decodeNotice(item).flatMap(({ id, write }) => (concerns(write, lock) ? [id] : []))
        if (ids.length > 0) before.set(item.name, new Set(ids))
      }
    }
    if (before.size === 0) return false
    let first = true
    await outwait(async () => {
      // What was just seen need not be looked at again at once.
      if (first) return !(first = false)
      const names = [...before.keys()]
      const items = await this.#catalog.getAll(commitGroup, names)
      for (const [at, name] of names.entries()) {
        const item = items[at]
        const ids = before.get(name)
        if (item === undefined || !decodeNotice(item).some(({ id }) => ids?.has(id))) before.delete(name)
      }
      return before.size > 0
    }, this.#options)
    return true
  }
}

/** How long a commit may stand that was begun in advance. */
const preparedMilliseconds = 1000

class SharedCommit implements Commit {
  readonly #own: Commit
  readonly #notice: Notice
  readonly #writes: readonly LockedWrite[]
  readonly #lost = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #posted: Promise<number> | undefined

  constructor(own: Commit, notice: Notice, writes: readonly LockedWrite[]) {
    this.#own = own
    this.#notice = notice
    this.#writes = writes
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  prepare(): void {
    this.#post().catch(() => undefined)
    this.#timer = setTimeout(() => this.end(), preparedMilliseconds)
    this.#timer.unref()
  }

  async begin(): Promise<void> {
    clearTimeout(this.#timer)
    const isPrepared = this.#posted !== undefined
    try {
      await this.#post()
    } catch (error) {
      // What failed in advance may go now.
      if (!isPrepared) throw error
      await this.#post()
    }
  }

  end(): void {
    clearTimeout(this.#timer)
    const posted = this.#posted
    this.#posted = undefined
    this.#own.end()
    posted?.then(
      (id) => this.#notice.remove(id),
      () => undefined,
    )
  }

  #post(): Promise<number> {
    if (this.#posted !== undefined) return this.#posted
    void this.#own.begin()
    const posted = this.#notice.add(this.#writes, (reason) => this.#lost.abort(reason))
    this.#posted = posted
    posted.catch(() => {
      if (this.#posted === posted) this.#posted = undefined
    })
    return posted
  }
}
