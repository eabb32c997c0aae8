import type { Socket } from 'node:net'
import { Failure } from '../../core/failure.js'
import type { Clock } from '../../core/clock.js'
import type { WorkerMount, WorkerLimits } from '../settings.js'
import { listenOnce } from '../wire/one-time.js'
import type { OneTimeSocket } from '../wire/one-time.js'
import type { AuditLine, BrokerLog } from './options.js'
import { memoryOf, openFilesOf, workedTicksOf } from './process-facts.js'
import { spawnAs } from './spawn.js'
import type { ProcessEnd, ProcessUser, Spawned } from './spawn.js'
import { StartPauses } from './start-pauses.js'
import type { ActiveUser, UserBook } from './user-book.js'
import { dieMilliseconds } from './gone-within.js'
import { workerSettings } from './worker-settings.js'

/** A process of the front, as far as its workers matter. */
export interface FrontEnd {
  readonly id: number
  readonly isClosed: boolean
}

export interface WorkersOptions {
  readonly limits: WorkerLimits
  readonly umask: number
  readonly mounts: readonly WorkerMount[]
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** Where fronts fetch their sockets, and whose these are. */
  readonly folder: string
  readonly owner: ProcessUser
  readonly users: Pick<UserBook, 'find' | 'void'>
  readonly clock: Clock
  /** Asks all fronts to let go of workers that they do not need now. */
  readonly shed: () => void
  readonly log: BrokerLog
  readonly audit: (line: AuditLine) => void
}

/** A worker, as root is told of it. */
export interface WorkerFacts {
  readonly worker: number
  readonly user: string
  readonly uid: number
  readonly pid: number
  readonly front: number
  /** Milliseconds since the epoch. */
  readonly since: number
  /** Since it has last done anything, to the second. */
  readonly idleSeconds: number
  readonly openFiles: number
  readonly memoryBytes: number
}

interface Worker {
  readonly id: number
  readonly user: ActiveUser
  readonly front: FrontEnd
  readonly since: number
  readonly gone: Promise<void>
  readonly leave: () => void
  sockets: OneTimeSocket | undefined
  process: Spawned | undefined
  /** Why it was told to end. */
  ending: string | undefined
  /** Since when it should be gone. */
  readonly overdue: Promise<void>
  readonly isDue: () => void
  workedTicks: number
  workedAt: number
}

const fetchMilliseconds = 2000
/** For one that was left to end by itself. */
const leaveMilliseconds = 2000
const roomMilliseconds = 1000
const watchMilliseconds = 1000
/** One that dies sooner has died young. */
const youngMilliseconds = 10_000
/** A worker that was ended for these may have lost its mind: what it knew is void. */
const faults: ReadonlySet<string> = new Set(['hung', 'too-much-memory'])

/** All processes of users: one for each user and process of the front, started when it is asked for. */
export class WorkerTable {
  readonly #options: WorkersOptions
  readonly #workers = new Map<number, Worker>()
  readonly #pauses: StartPauses
  /** Whose last worker has ended in order: nothing of theirs is left half done. */
  readonly #tidy = new Set<string>()
  readonly #waitForRoom = new Set<() => void>()
  readonly #watch: NodeJS.Timeout
  #last = 0
  #isClosed = false

  constructor(options: WorkersOptions) {
    this.#options = options
    this.#pauses = new StartPauses(options.clock, youngMilliseconds)
    this.#watch = setInterval(() => this.#look(), watchMilliseconds).unref()
  }

  /**
   * A place where the front fetches the two connections of a new worker, within two seconds; then the worker starts. One
   * that the user had for this front before ends. Throws `unavailable` where there is no room, theirs die young, or do not
   * die at all.
   */
  async start(front: FrontEnd, user: ActiveUser): Promise<{ readonly path: string; readonly worker: number }> {
    const pause = this.#pauses.left(user.name)
    if (pause > 0) throw unavailable('The process of this user has ended just now.', Math.ceil(pause / 1000))
    if (!(await this.#replace(front, user))) throw unavailable('The last process of this user does not end.', 10)
    await this.#room(front)
    if (this.#isClosed || front.isClosed || this.#options.users.find(user.name) !== user)
      throw unavailable('The process of this user cannot be started now.', 1)
    const worker = this.#enter(front, user)
    try {
      const { folder, owner } = this.#options
      worker.sockets = await listenOnce(folder, { count: 2, timeoutMilliseconds: fetchMilliseconds, owner })
    } catch (error) {
      this.#bury(worker)
      throw error
    }
    void this.#bring(worker, worker.sockets)
    return { path: worker.sockets.path, worker: worker.id }
  }

  /** A front says that its worker does not answer. False where it has no such worker. */
  hung(front: FrontEnd, id: number): boolean {
    const worker = this.#workers.get(id)
    if (worker === undefined || worker.front !== front) return false
    this.#end(worker, 'hung')
    return true
  }

  /** Ends all of a user, at once; resolves to how many they were when these are gone, or killed without being gone. */
  async endUser(name: string, why: string): Promise<number> {
    const theirs = [...this.#workers.values()].filter(({ user }) => user.name === name)
    for (const worker of theirs) this.#end(worker, why)
    await Promise.all(theirs.map(({ gone, overdue }) => Promise.race([gone, overdue])))
    return theirs.length
  }

  /** Sees to it that the workers of a front that is gone end, which they do by themselves. */
  endFront(front: FrontEnd): void {
    const theirs = [...this.#workers.values()].filter((worker) => worker.front === front)
    for (const worker of theirs) void this.#leave(worker, 'front-gone')
  }

  list(): readonly WorkerFacts[] {
    return [...this.#workers.values()].flatMap((worker) => {
      const { id, user, front, since, process } = worker
      if (process?.pid === undefined) return []
      this.#note(worker, process.pid)
      const memoryBytes = memoryOf(process.pid)
      const openFiles = openFilesOf(process.pid)
      if (memoryBytes === undefined || openFiles === undefined) return []
      const idleSeconds = Math.max(0, Math.round((this.#options.clock.now() - worker.workedAt) / 1000))
      const facts = {
        worker: id,
        user: user.name,
        uid: user.uid,
        pid: process.pid,
        front: front.id,
        since,
        idleSeconds,
      }
      return [{ ...facts, openFiles, memoryBytes }]
    })
  }

  /** Ends all, as far as the kernel lets them go; nothing is started any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#watch)
    for (const go of this.#waitForRoom) go()
    await Promise.all([...this.#workers.values()].map((worker) => this.#leave(worker, 'stop')))
  }

  /** False where one that the user had does not go. */
  async #replace(front: FrontEnd, user: ActiveUser): Promise<boolean> {
    for (const worker of this.#workers.values())
      if (worker.front === front && worker.user.name === user.name) {
        await this.#leave(worker, 'replaced')
        if (this.#workers.has(worker.id)) return false
      }
    return true
  }

  async #room(front: FrontEnd): Promise<void> {
    const until = performance.now() + roomMilliseconds
    while (this.#workers.size >= this.#options.limits.max && !this.#isClosed && !front.isClosed) {
      const left = until - performance.now()
      if (left <= 0) throw unavailable('Too many users are at work now.', 2)
      this.#options.shed()
      await new Promise<void>((resolve) => {
        const go = (): void => {
          clearTimeout(timer)
          this.#waitForRoom.delete(go)
          resolve()
        }
        const timer = setTimeout(go, left)
        this.#waitForRoom.add(go)
      })
    }
  }

  #enter(front: FrontEnd, user: ActiveUser): Worker {
    const since = this.#options.clock.now()
    let leave = (): void => undefined
    let isDue = (): void => undefined
    const gone = new Promise<void>((resolve) => (leave = resolve))
    const overdue = new Promise<void>((resolve) => (isDue = resolve))
    const id = (this.#last += 1)
    const unset = { sockets: undefined, process: undefined, ending: undefined }
    const worker: Worker = {
      id,
      user,
      front,
      since,
      gone,
      leave,
      overdue,
      isDue,
      ...unset,
      workedTicks: 0,
      workedAt: since,
    }
    this.#workers.set(id, worker)
    return worker
  }

  async #bring(worker: Worker, sockets: OneTimeSocket): Promise<void> {
    let taken: readonly Socket[] = []
    try {
      taken = await sockets.sockets
      if (worker.ending === undefined && !worker.front.isClosed && !this.#isClosed) this.#spawn(worker, taken)
      else this.#bury(worker)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#options.audit({ ...aboutOf(worker), what: 'worker', result: 'failed', why: worker.ending ?? why })
      this.#bury(worker)
    } finally {
      // The worker has its own.
      for (const socket of taken) socket.destroy()
    }
  }

  #spawn(worker: Worker, descriptors: readonly Socket[]): void {
    const { command, environment, mounts, umask, log, audit } = this.#options
    const { user } = worker
    const sweeps = !this.#tidy.delete(user.name)
    const process = spawnAs(user, {
      command,
      environment,
      input: `${JSON.stringify(workerSettings(user, mounts, umask, sweeps))}\n`,
      descriptors,
      complain: (line) => log.warn({ user: user.name, pid: process.pid, line }, 'a process of a user complains'),
    })
    worker.process = process
    audit({ ...aboutOf(worker), what: 'worker', result: 'done' })
    void process.gone.then((end) => this.#ended(worker, end))
  }

  #ended(worker: Worker, end: ProcessEnd): void {
    const { user, ending, since } = worker
    const { clock, audit, users } = this.#options
    const isFault = ending === undefined ? end.code !== 0 : faults.has(ending)
    if (end.code === 0) this.#tidy.add(user.name)
    const why =
      ending ?? end.error?.message ?? end.signal ?? (end.code === 0 ? 'idle' : `exit code ${end.code ?? 'unknown'}`)
    audit({ ...aboutOf(worker), what: 'worker-end', result: isFault ? 'failed' : 'done', why })
    if (ending === undefined || isFault) this.#pauses.died(user.name, isFault ? clock.now() - since : youngMilliseconds)
    this.#bury(worker)
    // What it knew may be known to others, unless that was void before.
    if (isFault && users.find(user.name) === user) users.void(user.name, 'worker-failed')
  }

  #bury(worker: Worker): void {
    worker.sockets?.close()
    this.#workers.delete(worker.id)
    worker.leave()
    for (const go of this.#waitForRoom) go()
  }

  #end(worker: Worker, why: string): void {
    if (worker.ending === undefined) setTimeout(worker.isDue, dieMilliseconds).unref()
    worker.ending ??= why
    if (worker.process === undefined) worker.sockets?.close()
    worker.process?.kill()
  }

  /** Its link is closed, or about to be: it ends by itself, if it is well. */
  async #leave(worker: Worker, why: string): Promise<void> {
    if (worker.process === undefined) this.#end(worker, why)
    const patience = setTimeout(() => this.#end(worker, why), leaveMilliseconds)
    await Promise.race([worker.gone, worker.overdue])
    clearTimeout(patience)
  }

  #look(): void {
    for (const worker of this.#workers.values()) {
      const pid = worker.process?.pid
      if (pid === undefined) continue
      this.#note(worker, pid)
      if ((memoryOf(pid) ?? 0) > this.#options.limits.memoryBytes) this.#end(worker, 'too-much-memory')
    }
  }

  #note(worker: Worker, pid: number): void {
    const ticks = workedTicksOf(pid)
    if (ticks === undefined || ticks === worker.workedTicks) return
    worker.workedTicks = ticks
    worker.workedAt = this.#options.clock.now()
  }
}

function aboutOf({ id, user, front, process }: Worker): Pick<AuditLine, 'user' | 'uid' | 'front' | 'pid' | 'worker'> {
  const pid = process?.pid
  return { user: user.name, uid: user.uid, front: front.id, worker: id, ...(pid !== undefined && { pid }) }
}

function unavailable(message: string, retryAfterSeconds: number): Failure {
  return new Failure('unavailable', message, { retryAfterSeconds })
}
