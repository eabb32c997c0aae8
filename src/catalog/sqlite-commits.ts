import type { Failure } from '../core/failure.js'
import type { Database, Statement } from './sqlite-engine.js'
import { patiently, sqliteFailure } from './sqlite-engine.js'

/** A write that waits for the next commit. */
interface Job {
  /** Inside the transaction; again, if the transaction has to be tried again. */
  readonly run: () => void
  /** Whether the answer waits until a power cut cannot undo it. */
  readonly durable: boolean
  /** After the transaction. */
  readonly settle: (failure: Failure | undefined) => void
}

/** What is to be done at certain moments of every transaction. */
export interface TransactionHooks {
  /** Nobody else can write from here on. */
  begun(): void
  /** Inside the transaction, after every 64 writes or so. */
  tidy(): void
  committed(): void
  /** Nothing was written, as far as anybody can tell. */
  failed(): void
}

const jobsPerCommit = 64
const writesBetweenTidying = 64

/**
 * Writes that arrive in one turn of the event loop share one commit, so that many of them cost one sync of the disk.
 * Each sees those before it, and none is answered before it is committed.
 */
export class Commits {
  readonly #begin: Statement
  readonly #commit: Statement
  readonly #rollback: Statement
  readonly #hooks: TransactionHooks
  readonly #sync: (() => Promise<void>) | undefined
  readonly #syncing = new Set<Promise<void>>()
  #jobs: Job[] = []
  #flushing: Promise<void> | undefined
  #writesSinceTidying = 0

  /** `sync` makes durable what is committed; without it nothing more is done for that than SQLite does. */
  constructor(database: Database, hooks: TransactionHooks, sync?: () => Promise<void>) {
    this.#sync = sync
    this.#begin = database.prepare('BEGIN IMMEDIATE')
    this.#commit = database.prepare('COMMIT')
    this.#rollback = database.prepare('ROLLBACK')
    this.#hooks = hooks
  }

  /**
   * Resolves to what `write` returned once that is committed and, if it is `durable`, synced. Throws as `sqliteFailure`
   * says; then nothing was written, except where the disk fails to sync.
   */
  add<T>(write: () => T, durable = true): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let result: T
      const run = (): void => {
        result = write()
      }
      const settle = (failure: Failure | undefined): void => (failure ? reject(failure) : resolve(result))
      this.#jobs.push({ run, durable, settle })
      this.#flushing ??= this.#flush()
    })
  }

  /** Resolves when no write waits. */
  async settled(): Promise<void> {
    await this.#flushing
    await Promise.all(this.#syncing)
  }

  async #flush(): Promise<void> {
    while (this.#jobs.length > 0) {
      await new Promise((resolve) => setImmediate(resolve))
      const jobs = this.#jobs.splice(0, jobsPerCommit)
      let failure: Failure | undefined
      try {
        await patiently(() => this.#runAll(jobs))
      } catch (error) {
        failure = sqliteFailure(error)
      }
      this.#settle(jobs, failure)
    }
    this.#flushing = undefined
  }

  /** The next commit does not wait for the disk, only the answers do. */
  #settle(jobs: readonly Job[], failure: Failure | undefined): void {
    const waiting: Job[] = []
    for (const job of jobs) {
      if (failure === undefined && this.#sync !== undefined && job.durable) waiting.push(job)
      else job.settle(failure)
    }
    if (waiting.length === 0 || this.#sync === undefined) return
    const syncing = this.#sync()
      .then(
        () => undefined,
        (error: unknown) => sqliteFailure(error),
      )
      .then((failed) => {
        this.#syncing.delete(syncing)
        for (const job of waiting) job.settle(failed)
      })
    this.#syncing.add(syncing)
  }

  #runAll(jobs: readonly Job[]): void {
    this.#begin.run()
    try {
      this.#hooks.begun()
      for (const job of jobs) job.run()
      this.#writesSinceTidying += jobs.length
      if (this.#writesSinceTidying >= writesBetweenTidying) {
        this.#writesSinceTidying = 0
        this.#hooks.tidy()
      }
      this.#commit.run()
    } catch (error) {
      this.#rollBack()
      this.#hooks.failed()
      throw error
    }
    this.#hooks.committed()
  }

  #rollBack(): void {
    try {
      this.#rollback.run()
    } catch {
      // SQLite has already rolled back by itself, as it does when the disk is full.
    }
  }
}
