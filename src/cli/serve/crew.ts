import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import type { Logger } from 'pino'
import type { Setup } from '../../config/setup.js'
import { Failure } from '../../core/failure.js'
import type { Listening } from '../../transport/node-http.js'
import type { Order, Problem, Report } from './messages.js'

export interface CrewOptions {
  readonly size: number
  readonly setup: Setup
  readonly log: Logger
  /** Told of each worker that died in the middle of its work. */
  readonly onDeath: () => void
}

/** A worker that lived so long has not died of its start. */
const soundMilliseconds = 10_000
const firstPauseMilliseconds = 100
const longestPauseMilliseconds = 10_000
/** Beyond the time that running requests have. */
const patienceMilliseconds = 10_000

interface Member {
  /** From 1; one that takes its place has the same. */
  readonly number: number
  readonly process: Worker
  /** Of `performance.now()`. */
  readonly born: number
  /** It was told what to serve. */
  briefed: boolean
  readonly ended: Promise<string>
  /** Resolves when it listens; rejects where it ends before. */
  readonly listening: Promise<readonly Listening[]>
}

/** The worker processes of a primary: as many as there should be, for as long as it serves. */
export class Crew {
  readonly #options: CrewOptions
  readonly #members = new Map<number, Member>()
  readonly #pauses = new Set<NodeJS.Timeout>()
  readonly #answers = new Map<string, (report: Report | undefined) => void>()
  #setup: Setup
  #changes = 0
  #stopping = false

  constructor(options: CrewOptions) {
    this.#options = options
    this.#setup = options.setup
    // Each worker takes connections by itself when it is free: none is lost in the hands of one that dies.
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({ args: ['worker'] })
  }

  /** Starts all, and gives their listeners when all listen. Throws what keeps one of them from it. */
  async start(): Promise<readonly Listening[]> {
    const members = Array.from({ length: this.#options.size }, (_, index) => this.#launch(index + 1))
    const [listening = []] = await Promise.all(members.map((member) => member.listening))
    for (const member of members) {
      tell(member, { kind: 'ready' })
      this.#keep(member, 0)
    }
    return listening
  }

  /** Has all serve by another setup; gives the listeners that are new. Throws where none of them can. */
  async apply(setup: Setup): Promise<readonly Listening[]> {
    const before = this.#setup
    this.#setup = setup
    this.#changes += 1
    const change = this.#changes
    const reports = await Promise.all(
      [...this.#members.values()].filter(({ briefed }) => briefed).map((member) => this.#change(member, change, setup)),
    )
    const kept = reports.flatMap((report) => (report.kind === 'kept' ? [report] : []))
    const applied = reports.flatMap((report) => (report.kind === 'applied' ? [report] : []))
    if (applied.length === 0 && kept[0] !== undefined) {
      this.#setup = before
      throw failureOf(kept[0].problem)
    }
    for (const { number, problem } of kept)
      this.#options.log.error({ worker: number }, `worker ${number} goes on as before: ${problem.message}`)
    return applied[0]?.listening ?? []
  }

  /** Has all finish what is running; resolves when they are gone. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const pause of this.#pauses) clearTimeout(pause)
    const members = [...this.#members.values()]
    const patience = setTimeout(
      () => members.forEach(({ process }) => process.process.kill('SIGKILL')),
      this.#setup.config.limits.stopSeconds * 1000 + patienceMilliseconds,
    )
    for (const member of members) tell(member, { kind: 'stop' })
    await Promise.all(members.map(({ ended }) => ended))
    clearTimeout(patience)
  }

  #launch(number: number): Member {
    const worker = cluster.fork()
    const ended = new Promise<string>((resolve) => {
      worker.once('exit', (code, signal) => resolve(signal ? `ended by ${signal}` : `ended with code ${code}`))
    })
    const listening = new Promise<readonly Listening[]>((resolve, reject) => {
      worker.on('message', (message: Report) => {
        if (message.kind === 'listening') resolve(message.listening)
        else if (message.kind === 'failed') reject(failureOf(message.problem))
      })
      void ended.then((how) => reject(new Failure('unavailable', `Worker ${number} could not start: it ${how}.`)))
    })
    // Whoever launches it looks at this; a crew that stops does not.
    listening.catch(() => undefined)
    const member: Member = { number, process: worker, born: performance.now(), briefed: false, ended, listening }
    worker.on('message', (message: Report) => this.#take(member, message))
    void ended.then(() => {
      if (this.#members.get(number) === member) this.#members.delete(number)
    })
    this.#members.set(number, member)
    return member
  }

  #take(member: Member, report: Report): void {
    if (report.kind === 'hello') {
      // One that was not ready to listen when all were told to stop.
      member.briefed = !this.#stopping
      tell(member, this.#stopping ? { kind: 'stop' } : { kind: 'serve', number: member.number, setup: this.#setup })
    } else if (report.kind === 'applied' || report.kind === 'kept')
      this.#answers.get(answerKey(member, report.change))?.(report)
  }

  async #change(
    member: Member,
    change: number,
    setup: Setup,
  ): Promise<
    | { readonly kind: 'applied'; readonly listening: readonly Listening[] }
    | { readonly kind: 'kept'; readonly number: number; readonly problem: Problem }
    | { readonly kind: 'gone' }
  > {
    const key = answerKey(member, change)
    const answer = new Promise<Report | undefined>((resolve) => this.#answers.set(key, resolve))
    tell(member, { kind: 'apply', change, setup })
    const report = await Promise.race([answer, member.ended.then(() => undefined)])
    this.#answers.delete(key)
    if (report?.kind === 'applied') return { kind: 'applied', listening: report.listening }
    if (report?.kind === 'kept') return { kind: 'kept', number: member.number, problem: report.problem }
    // Whoever takes its place gets the new setup anyway.
    return { kind: 'gone' }
  }

  /** Puts another in its place when it dies, after a pause that grows with every one that does not get far. */
  #keep(member: Member, earlierFailures: number): void {
    void member.ended.then((how) => {
      if (this.#stopping) return
      const sound = performance.now() - member.born > soundMilliseconds
      this.#options.log.error({ worker: member.number }, `worker ${member.number} ${how}; another takes its place`)
      this.#options.onDeath()
      this.#replace(member.number, sound ? 0 : earlierFailures)
    })
  }

  #replace(number: number, failures: number): void {
    const pauseMilliseconds =
      failures === 0 ? 0 : Math.min(firstPauseMilliseconds * 2 ** (failures - 1), longestPauseMilliseconds)
    const pause = setTimeout(() => {
      this.#pauses.delete(pause)
      void this.#relaunch(number, failures)
    }, pauseMilliseconds)
    this.#pauses.add(pause)
  }

  async #relaunch(number: number, failures: number): Promise<void> {
    const member = this.#launch(number)
    const { log } = this.#options
    try {
      await member.listening
    } catch (error) {
      if (this.#stopping) return
      log.error({ worker: number, err: error }, `worker ${number} cannot be replaced yet`)
      void member.ended.then(() => {
        if (!this.#stopping) this.#replace(number, failures + 1)
      })
      return
    }
    tell(member, { kind: 'ready' })
    this.#keep(member, failures + 1)
    log.info({ worker: number }, `worker ${number} serves again`)
  }
}

function answerKey(member: Member, change: number): string {
  return `${member.process.id}:${change}`
}

/** What cannot be delivered was meant for a worker that is gone; its end is seen elsewhere. */
function tell(member: Member, order: Order): void {
  if (member.process.isConnected()) member.process.send(order, undefined, () => undefined)
}

function failureOf({ message, failure }: Problem): Failure {
  return new Failure(failure ?? 'unavailable', message)
}
