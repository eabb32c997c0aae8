import { Failure } from '../../core/failure.js'
import { listenOnce } from '../wire/one-time.js'
import type { OneTimeSocket } from '../wire/one-time.js'
import type { AuditLine } from './options.js'
import { spawnAsRoot } from './spawn.js'
import type { ProcessUser, Spawned } from './spawn.js'
import { dieMilliseconds, goneWithin } from './gone-within.js'

export interface PamHelpersOptions {
  /** The program, with its arguments, that runs `servePam`. */
  readonly command: readonly string[]
  /** At most so many at a time. */
  readonly most: number
  /** Where the process of identities fetches its socket, and whose it is. */
  readonly folder: string
  readonly owner: ProcessUser
  readonly audit: (line: AuditLine) => void
}

interface Helper {
  readonly gone: Promise<void>
  readonly leave: () => void
  sockets: OneTimeSocket | undefined
  process: Spawned | undefined
  isEnding: boolean
}

/** Processes that ask PAM, as root, for the process of identities: each talks to it over a socket of its own. */
export class PamHelpers {
  readonly #options: PamHelpersOptions
  readonly #helpers = new Map<number, Helper>()
  #last = 0

  constructor(options: PamHelpersOptions) {
    this.#options = options
  }

  /** A place where the socket of a new one is fetched, within two seconds. Throws `unavailable` where there are too many. */
  async start(): Promise<{ readonly path: string; readonly helper: number }> {
    const { most, folder, owner, audit } = this.#options
    if (this.#helpers.size >= most) {
      audit({ what: 'pam-helper', result: 'refused', why: 'too-many' })
      throw new Failure('unavailable', 'Too many processes ask PAM.', { retryAfterSeconds: 1 })
    }
    const number = (this.#last += 1)
    let leave = (): void => undefined
    const gone = new Promise<void>((resolve) => (leave = resolve))
    const helper: Helper = { gone, leave, sockets: undefined, process: undefined, isEnding: false }
    this.#helpers.set(number, helper)
    try {
      helper.sockets = await listenOnce(folder, { count: 1, owner })
    } catch (error) {
      this.#bury(number, helper)
      throw error
    }
    void this.#bring(number, helper, helper.sockets)
    return { path: helper.sockets.path, helper: number }
  }

  /** At once. False where there is none of that number. */
  end(number: number): boolean {
    const helper = this.#helpers.get(number)
    if (helper === undefined) return false
    helper.isEnding = true
    helper.sockets?.close()
    helper.process?.kill()
    return true
  }

  /** Resolves when all are gone, as far as the kernel lets them go. */
  async endAll(): Promise<void> {
    const all = [...this.#helpers]
    for (const [number] of all) this.end(number)
    await goneWithin(dieMilliseconds, ...all.map(([, { gone }]) => gone))
  }

  async #bring(number: number, helper: Helper, { sockets }: OneTimeSocket): Promise<void> {
    const { command, audit } = this.#options
    try {
      const [socket] = await sockets
      if (socket === undefined) throw new Failure('unavailable', 'Nobody has connected.')
      try {
        if (helper.isEnding) throw new Failure('unavailable', 'It is not wanted any more.')
        const process = spawnAsRoot({ command, descriptors: [socket, socket], complain: () => undefined })
        helper.process = process
        audit({
          what: 'pam-helper',
          result: 'done',
          helper: number,
          ...(process.pid !== undefined && { pid: process.pid }),
        })
        void process.gone.then(() => this.#bury(number, helper))
      } finally {
        // The helper has its own.
        socket.destroy()
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      audit({ what: 'pam-helper', result: 'failed', helper: number, why })
      this.#bury(number, helper)
    }
  }

  #bury(number: number, helper: Helper): void {
    this.#helpers.delete(number)
    helper.leave()
  }
}
