import { setTimeout as delay } from 'node:timers/promises'
import type { Catalog } from '../catalog/catalog.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { Job, JobOutcome, JobReport } from './job.js'
import { Leases, takeoverMilliseconds } from './lease.js'
import type { Holder, Lease } from './lease.js'
import { isDue, readRecord, readRecords, recordAfter, writeRecord } from './records.js'
import type { JobRecord } from './records.js'

/** What became of a wish to run a job. */
export type RunAnswer =
  | { readonly ran: JobOutcome }
  /** Another process is at it. */
  | { readonly running: Holder }
  /** Its time has not come, or has been used by another process. */
  | { readonly due: number }

export interface RunOptions {
  /** Ends the job. */
  readonly signal?: AbortSignal
  /** Not before its time has come. */
  readonly onlyDue?: boolean
  /** Where a process is at it, waits until it is done, known to be alive, or taken over from: some 35 s at most. */
  readonly patient?: boolean
}

/** A job as it stands. */
export interface JobState {
  readonly name: string
  readonly everySeconds: number
  /** Run only when somebody asks for it. */
  readonly disabled: boolean
  readonly last?: JobOutcome
  /** When it is to run again; undefined before its first time. */
  readonly next?: number
  readonly running?: Holder
}

export interface RunnerOptions {
  readonly catalog: Catalog
  /** That of the catalog. */
  readonly clock: Clock
  readonly jobs: readonly Job[]
  /** By the name of this host and the number of this process they are told apart, for people; jobs per host by the host alone. */
  readonly host: string
  /** Jobs that are not begun by themselves. */
  readonly disabled?: readonly string[]
  readonly log: JobLog
}

export interface JobLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
}

const defaultLimitSeconds = 3600
/** How long a job that was told to end may take for it. */
const graceMilliseconds = 5000

/** How often somebody patient looks whether a job is free. */
const askPauseMilliseconds = 2000

/** Runs jobs, each in one process of all that share the catalog at a time. */
export class JobRunner {
  readonly jobs: readonly Job[]
  readonly #options: RunnerOptions
  readonly #by: string
  readonly #leases: Leases
  /** Jobs of this process that do not end though they were told to. */
  readonly #stuck = new Set<string>()
  readonly #running = new Map<string, Promise<RunAnswer>>()
  readonly #closing = new AbortController()

  constructor(options: RunnerOptions) {
    this.#options = options
    this.jobs = options.jobs
    this.#by = `${options.host}:${process.pid}`
    this.#leases = new Leases(options.catalog, options.clock, this.#by)
  }

  /**
   * Runs a job, unless another process is at it. What it throws becomes its outcome. Throws `not-found` for a name that no
   * job has, and `unavailable` where the catalog cannot be asked: then nothing was done.
   */
  async run(name: string, options: RunOptions = {}): Promise<RunAnswer> {
    const job = this.jobs.find((each) => each.name === name)
    if (job === undefined)
      throw new Failure(
        'not-found',
        `There is no job ${name}. There are: ${this.jobs.map((each) => each.name).join(', ')}.`,
      )
    const mine = this.#running.get(name)
    if (mine !== undefined) return mine
    const running = this.#attempt(job, options).finally(() => this.#running.delete(name))
    this.#running.set(name, running)
    return running
  }

  /** Begins the jobs whose time has come, and resolves to the milliseconds until the next one is due. Throws `unavailable`. */
  async begin(onBegun: (answer: Promise<RunAnswer>) => void): Promise<number> {
    const records = await readRecords(this.#options.catalog)
    const now = this.#options.clock.now()
    let next = Infinity
    for (const job of this.jobs) {
      const { name, everySeconds } = job
      if (this.#isDisabled(name)) continue
      const record = records.get(this.#key(job))
      if (!isDue(record, everySeconds, now)) {
        next = Math.min(next, record?.next ?? now)
        continue
      }
      if (!this.#running.has(name) && !this.#stuck.has(name)) onBegun(this.run(name, { onlyDue: true }))
      next = Math.min(next, now + everySeconds * 1000)
    }
    return Math.max(next - now, 0)
  }

  /** All jobs as they stand. Throws `unavailable`. */
  async list(): Promise<readonly JobState[]> {
    const records = await readRecords(this.#options.catalog)
    return Promise.all(
      this.jobs.map(async (job) => {
        const { name, everySeconds } = job
        const record = records.get(this.#key(job))
        const running = await this.#leases.holder(this.#key(job))
        return {
          ...{ name, everySeconds, disabled: this.#isDisabled(name) },
          ...(record && { last: record.last, next: record.next }),
          ...(running && { running: { by: running.by, since: running.since } }),
        }
      }),
    )
  }

  /** Tells all jobs to end, and waits for them, but not for those that do not. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the server ends'))
    await Promise.allSettled(this.#running.values())
  }

  #isDisabled(name: string): boolean {
    return this.#options.disabled?.includes(name) === true
  }

  #key({ name, perHost }: Job): string {
    return perHost === true ? `${name}@${this.#options.host}` : name
  }

  async #attempt(job: Job, { signal, onlyDue = false, patient = false }: RunOptions): Promise<RunAnswer> {
    const { catalog, clock, log } = this.#options
    if (this.#stuck.has(job.name)) throw new Failure('unavailable', `The last run of ${job.name} has not ended yet.`)
    if (onlyDue && (await job.wanted?.()) === false) return { due: clock.now() + job.everySeconds * 1000 }
    const asked = clock.now()
    const { lease, waited } = await this.#lease(this.#key(job), patient, signal)
    if (!('release' in lease)) return { running: { by: lease.by, since: lease.since } }
    try {
      const before = await readRecord(catalog, this.#key(job))
      // Whoever was waited for has done what was wanted.
      if (waited && before !== undefined && before.last.ended >= asked) return { ran: before.last }
      if (onlyDue && before !== undefined && !isDue(before, job.everySeconds, clock.now())) return { due: before.next }
      if (lease.from !== undefined) log.warn({ job: job.name, from: lease.from }, 'a job was taken over from a process that gives no sign of life') // prettier-ignore
      const outcome = await this.#outcomeOf(job, lease, signal)
      // The next process begins it anew.
      if (this.#closing.signal.aborted && outcome.result === 'failed') return { ran: outcome }
      this.#tell(job.name, outcome)
      await this.#remember(job, outcome, before, lease)
      return { ran: outcome }
    } finally {
      await lease.release()
    }
  }

  async #lease(
    name: string,
    patient: boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly lease: Lease | Holder; readonly waited: boolean }> {
    const until = performance.now() + takeoverMilliseconds + 2 * askPauseMilliseconds
    for (let waited = false; ; waited = true) {
      const lease = await this.#leases.take(name)
      const isOver = 'release' in lease || lease.alive === true || performance.now() > until
      if (!patient || isOver) return { lease, waited }
      await delay(askPauseMilliseconds, undefined, { ...(signal && { signal }) })
    }
  }

  async #outcomeOf(job: Job, lease: Lease, signal: AbortSignal | undefined): Promise<JobOutcome> {
    const { clock } = this.#options
    const by = this.#by
    const began = clock.now()
    const limitSeconds = job.limitSeconds ?? defaultLimitSeconds
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(new Error(`it took longer than ${limitSeconds} s`)), limitSeconds * 1000)
    const end = AbortSignal.any([limit.signal, lease.lost, this.#closing.signal, ...(signal ? [signal] : [])])
    try {
      const { counts, left = [] } = await this.#endedBy(job, end)
      return { result: left.length === 0 ? 'done' : 'partly', counts, left: left.slice(0, mostLeft), began, ended: clock.now(), by } // prettier-ignore
    } catch (error) {
      return { result: 'failed', counts: {}, left: [], why: reasonOf(error), began, ended: clock.now(), by }
    } finally {
      clearTimeout(timer)
    }
  }

  /** The report of a job; throws soon after the signal even where the job does not end. */
  async #endedBy(job: Job, end: AbortSignal): Promise<JobReport> {
    end.throwIfAborted()
    const work = job.run(end)
    let timer: NodeJS.Timeout | undefined
    const givenUp = new Promise<never>((_resolve, reject) => {
      const told = (): void => {
        timer = setTimeout(() => {
          this.#stuck.add(job.name)
          void work.catch(() => undefined).finally(() => this.#stuck.delete(job.name))
          reject(new Error(`${reasonOf(end.reason)}, and it does not end`))
        }, graceMilliseconds)
      }
      end.addEventListener('abort', told, { once: true })
    })
    try {
      return await Promise.race([work, givenUp])
    } finally {
      clearTimeout(timer)
    }
  }

  #tell(job: string, { result, counts, left, why, began, ended }: JobOutcome): void {
    const { log } = this.#options
    const facts = { job, ...counts, milliseconds: Math.round(ended - began) }
    if (result === 'failed') log.warn({ ...facts, why }, 'a job failed and is tried again')
    else if (result === 'partly') log.warn({ ...facts, left }, 'a job left something, which is tried again')
    else if (Object.values(counts).some((count) => count > 0)) log.info(facts, 'a job is done')
  }

  /** Without its record, a job that is done is done again. */
  async #remember(job: Job, outcome: JobOutcome, before: JobRecord | undefined, lease: Lease): Promise<void> {
    const { catalog, clock, log } = this.#options
    if (lease.lost.aborted) return
    try {
      await writeRecord(
        catalog,
        this.#key(job),
        recordAfter(outcome, before, { everySeconds: job.everySeconds, now: clock.now() }),
      )
    } catch (err) {
      log.warn({ job: job.name, err }, 'a job is done again, for it could not be remembered')
    }
  }
}

/** So many sentences are remembered and logged of what was left. */
const mostLeft = 20

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
