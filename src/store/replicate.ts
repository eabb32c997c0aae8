import { Failure, isFailure } from '../core/failure.js'
import { isWithin, parentOf, rebase, rootPath, type StorePath } from '../core/path.js'
import { notDirectory, notFound } from './refusals.js'
import { copyFile, isSame, type CopiedFile } from './replicate/copy-file.js'
import { sideBySide } from './replicate/side-by-side.js'
import type { TreeEnd } from './replicate/side-by-side.js'
import type { Entry, Store } from './store.js'
import { removeTree } from './tree.js'
import type { MemberFailure } from './tree-work.js'

export type { TreeEnd } from './replicate/side-by-side.js'

export interface ReplicateOptions {
  /** Files on their way at once. */
  readonly parallel: number
  /** Compare what came to lie in the target with what was read, by checksum. */
  readonly verify: boolean
  /** Only find out what would be done. */
  readonly dryRun: boolean
  /** Remove what the target has and the source has not. */
  readonly deletes: boolean
  /** Ends the work; what is under way leaves nothing behind. */
  readonly signal: AbortSignal
  /** Told of every step that is over, of dry runs too. */
  readonly onStep?: (step: Step) => void
  /** Told as bytes are read. */
  readonly onBytes?: (count: number) => void
}

export interface Step {
  readonly what: 'copied' | 'same' | 'made' | 'removed' | 'failed'
  /** Below the root of both trees. */
  readonly path: StorePath
  readonly isDirectory: boolean
  /** Of a file in the source. */
  readonly bytes: number
  /** Of a file that was copied: attributes went along. */
  readonly hasAttributes?: boolean
  /** Why it failed. */
  readonly failure?: Failure
}

/** What became of a tree. */
export interface Replicated {
  /** Files, and their bytes together. */
  readonly copied: number
  readonly bytes: number
  /** Files that the target had already, and their bytes together. */
  readonly same: number
  readonly sameBytes: number
  readonly directories: number
  /** Names that went from the target; a directory with all below is one. */
  readonly removed: number
  readonly failed: number
  /** The first thousand. */
  readonly failures: readonly MemberFailure[]
  /** It did not come to its end: it was stopped, or the target is full, or one of the stores could not be reached any more. */
  readonly ended: 'done' | 'stopped' | 'given up'
}

const maxFailures = 1000
/** Where one store cannot be reached so often in a row, the others would fare no better. */
const maxOutages = 10

/**
 * Makes a tree what another one is, as far as it can: files that the target has already are left alone, what fails is
 * reported, and the rest goes on. Each file is in place whole or not at all, so to do it again goes on where it was
 * stopped. Attributes go along; locks, dead properties and rights do not. Memory is flat. Throws where the source is not
 * a directory or one of the trees cannot be listed (nothing is removed then that was not compared).
 */
export async function replicate(source: TreeEnd, target: TreeEnd, options: ReplicateOptions): Promise<Replicated> {
  const root = await source.store.stat(source.path, options.signal)
  if (root === undefined) throw notFound(source.path)
  if (root.kind === 'file') throw notDirectory(source.path)
  return new Replication(source, target, options).run()
}

class Replication {
  readonly #source: TreeEnd
  readonly #target: TreeEnd
  readonly #options: ReplicateOptions
  readonly #running = new Set<Promise<void>>()
  /** Directories that are being made, and those that could not be. */
  readonly #making = new Map<StorePath, Promise<boolean>>()
  readonly #failures: MemberFailure[] = []
  readonly #counts = { copied: 0, bytes: 0, same: 0, sameBytes: 0, directories: 0, removed: 0, failed: 0 }
  #outages = 0
  #ended: Replicated['ended'] = 'done'
  #broken: { readonly error: unknown } | undefined

  constructor(source: TreeEnd, target: TreeEnd, options: ReplicateOptions) {
    this.#source = source
    this.#target = target
    this.#options = options
  }

  async run(): Promise<Replicated> {
    const { signal } = this.#options
    try {
      await this.#walk()
    } catch (error) {
      if (!signal.aborted || !isFailure(error, 'incomplete')) throw error
    } finally {
      await Promise.all(this.#running)
    }
    if (this.#broken !== undefined) throw this.#broken.error
    if (signal.aborted) this.#ended = 'stopped'
    return { ...this.#counts, failures: this.#failures, ended: this.#ended }
  }

  async #walk(): Promise<void> {
    const { deletes, signal, dryRun } = this.#options
    const [source, target] = [this.#source, this.#target]
    if (!dryRun && (await target.store.stat(target.path, signal)) === undefined)
      await target.store.makeDirectory(target.path, signal)
    const isEmpty = deletes && (await this.#isSourceEmpty())
    let removed: StorePath | undefined
    for await (const pair of sideBySide(source, target, signal)) {
      if (this.#isOver()) return
      if (pair.source !== undefined) {
        const path = rebase(pair.source.path, source.path, rootPath)
        if (pair.source.kind === 'file') await this.#start(path, () => this.#file(path, pair.source, pair.target))
        else if (pair.target === undefined) await this.#startDirectory(path, pair.source)
        continue
      }
      if (!deletes) continue
      // One slip of the pen in the name of the source would be enough to lose all.
      if (isEmpty) throw new Failure('invalid', 'The source is empty: all of the target would be removed.')
      const path = rebase(pair.target.path, target.path, rootPath)
      if (removed !== undefined && isWithin(path, removed)) continue
      if (pair.target.kind === 'directory') removed = path
      await this.#start(path, () => this.#remove(path, pair.target))
    }
  }

  async #isSourceEmpty(): Promise<boolean> {
    const { store, path } = this.#source
    for await (const batch of store.list(path, { signal: this.#options.signal })) return batch.length === 0
    return true
  }

  async #file(path: StorePath, source: Entry, target: Entry | undefined): Promise<void> {
    const { signal, dryRun, verify, onBytes = () => undefined } = this.#options
    if (!(await this.#hasParent(path))) return
    if (target !== undefined && (await isSame(this.#source, this.#target, { source, target }, signal))) {
      this.#counts.same += 1
      this.#counts.sameBytes += source.size
      this.#tell({ what: 'same', path, isDirectory: false, bytes: source.size })
      return
    }
    const to = rebase(path, rootPath, this.#target.path)
    const ends = { source: this.#source, target: this.#target, from: source.path, to }
    const copyOnce = (): Promise<CopiedFile> => copyFile({ ...ends, verify, signal, onBytes })
    const unread = { bytes: source.size, hasAttributes: false }
    const { bytes, hasAttributes } = dryRun ? unread : await this.#inPlaceOf('directory', to, copyOnce)
    this.#counts.copied += 1
    this.#counts.bytes += bytes
    this.#tell({ what: 'copied', path, isDirectory: false, bytes, hasAttributes })
  }

  async #startDirectory(path: StorePath, source: Entry): Promise<void> {
    let finish: (isMade: boolean) => void = () => undefined
    this.#making.set(path, new Promise((resolve) => (finish = resolve)))
    await this.#start(path, async () => {
      let isMade = false
      try {
        isMade = await this.#directory(path, source)
      } finally {
        finish(isMade)
        if (isMade) this.#making.delete(path)
      }
    })
  }

  /** Resolves to false where a directory above could not be made. */
  async #directory(path: StorePath, { path: from }: Entry): Promise<boolean> {
    const { dryRun, signal } = this.#options
    if (!(await this.#hasParent(path))) return false
    if (!dryRun) {
      const { store } = this.#target
      const to = rebase(path, rootPath, this.#target.path)
      await this.#inPlaceOf('file', to, () => makeUnlessThere(store, to, signal))
      const { attributes = {} } = (await this.#source.store.stat(from, signal)) ?? {}
      if (Object.keys(attributes).length > 0) await store.change(to, { attributes })
    }
    this.#counts.directories += 1
    this.#tell({ what: 'made', path, isDirectory: true, bytes: 0 })
    return true
  }

  /** Does work, once more where something of the other kind has the name and may go. */
  async #inPlaceOf<Result>(other: Entry['kind'], to: StorePath, work: () => Promise<Result>): Promise<Result> {
    const { deletes, signal } = this.#options
    const { store } = this.#target
    try {
      return await work()
    } catch (error) {
      if (!deletes || !isFailure(error, 'is-directory', 'exists')) throw error
      if ((await store.stat(to, signal))?.kind !== other) throw error
    }
    const { failures } = await removeTree(store, to, { signal })
    if (failures[0] !== undefined) throw failures[0].failure
    return await work()
  }

  async #remove(path: StorePath, { kind }: Entry): Promise<void> {
    const { dryRun, signal } = this.#options
    // A listing may have passed over it, or it is there as a file in place of a directory, which is then dealt with.
    if ((await this.#source.store.stat(rebase(path, rootPath, this.#source.path), signal)) !== undefined) return
    if (!dryRun) {
      const to = rebase(path, rootPath, this.#target.path)
      const { failures, omitted } = await removeTree(this.#target.store, to, { signal })
      for (const { path: at, failure } of failures) this.#failed(rebase(at, this.#target.path, rootPath), failure)
      this.#counts.failed += omitted
      if (failures.length > 0) return
    }
    this.#counts.removed += 1
    this.#tell({ what: 'removed', path, isDirectory: kind === 'directory', bytes: 0 })
  }

  /** Waits for the directory above; without it nothing below it can be. */
  async #hasParent(path: StorePath): Promise<boolean> {
    if ((await this.#making.get(parentOf(path))) !== false) return true
    this.#counts.failed += 1
    return false
  }

  /** Begins a task as soon as there is room for one more. */
  async #start(path: StorePath, task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#options.parallel) await Promise.race(this.#running)
    if (this.#isOver()) return
    const running: Promise<void> = this.#attempt(path, task).finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  async #attempt(path: StorePath, task: () => Promise<void>): Promise<void> {
    try {
      await task()
      this.#outages = 0
    } catch (error) {
      if (!isFailure(error)) this.#broken ??= { error }
      else if (!this.#options.signal.aborted) this.#failed(path, error)
    }
  }

  #failed(path: StorePath, failure: Failure): void {
    // What vanishes from the source meanwhile is not there to be copied.
    if (failure.kind === 'not-found' && failure.path === rebase(path, rootPath, this.#source.path)) return
    this.#outages = failure.kind === 'unavailable' ? this.#outages + 1 : 0
    if (failure.kind === 'no-space' || this.#outages === maxOutages) this.#ended = 'given up'
    this.#counts.failed += 1
    if (this.#failures.length < maxFailures) this.#failures.push({ path, failure })
    this.#tell({ what: 'failed', path, isDirectory: false, bytes: 0, failure })
  }

  #isOver(): boolean {
    return this.#ended !== 'done' || this.#broken !== undefined || this.#options.signal.aborted
  }

  #tell(step: Step): void {
    this.#options.onStep?.(step)
  }
}

async function makeUnlessThere(store: Store, path: StorePath, signal: AbortSignal): Promise<void> {
  try {
    await store.makeDirectory(path, signal)
  } catch (error) {
    if (!isFailure(error, 'exists') || (await store.stat(path, signal))?.kind !== 'directory') throw error
  }
}
