import type { BrokerLog } from './options.js'
import type { Spawned } from './spawn.js'
import { dieMilliseconds, goneWithin } from './gone-within.js'

const firstPauseMilliseconds = 100
const longestPauseMilliseconds = 10_000
/** One that has lived for so long begins again at once. */
const soundMilliseconds = 60_000

/** One process that is started again when it ends, after pauses that grow while it dies young. */
export class Supervised {
  readonly #name: string
  readonly #spawn: () => Spawned
  readonly #log: BrokerLog
  #current: Spawned | undefined
  #pause: NodeJS.Timeout | undefined
  #failures = 0
  #isStopped = false

  /** `name` is what the log calls it. */
  constructor(name: string, spawn: () => Spawned, log: BrokerLog) {
    this.#name = name
    this.#spawn = spawn
    this.#log = log
  }

  get pid(): number | undefined {
    return this.#current?.isGone === false ? this.#current.pid : undefined
  }

  /** Throws where it cannot be started at all. */
  start(): Spawned {
    const began = performance.now()
    const process = this.#spawn()
    this.#current = process
    void process.gone.then(({ code, signal, error }) => {
      if (this.#isStopped) return
      if (performance.now() - began >= soundMilliseconds) this.#failures = 0
      const milliseconds = Math.min(
        firstPauseMilliseconds * 2 ** Math.min(this.#failures, 10),
        longestPauseMilliseconds,
      )
      this.#failures += 1
      const how = error?.message ?? signal ?? `exit code ${code ?? 'unknown'}`
      this.#log.error(
        { process: this.#name, pid: process.pid, how, milliseconds },
        'a process of the server ended and is started again',
      )
      this.#pause = setTimeout(() => this.#restart(), milliseconds)
    })
    return process
  }

  /** Asks it to end, by a signal. */
  terminate(): void {
    this.#current?.terminate()
  }

  /**
   * Not started again. Resolves when it is gone, which is seen to after `milliseconds`; and a little later where the kernel does
   * not let it go.
   */
  async stop(milliseconds: number): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#pause)
    const process = this.#current
    if (process === undefined || process.isGone) return
    const patience = setTimeout(() => process.kill(), milliseconds)
    await goneWithin(milliseconds + dieMilliseconds, process.gone)
    clearTimeout(patience)
  }

  #restart(): void {
    if (this.#isStopped) return
    try {
      this.start()
    } catch (error) {
      this.#log.error({ process: this.#name, err: error }, 'a process of the server cannot be started')
      this.#pause = setTimeout(() => this.#restart(), longestPauseMilliseconds)
    }
  }
}
