import type { Logger } from 'pino'
import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import { rootPath } from '../core/path.js'
import type { Gateway } from '../gateway.js'
import type { Exchange } from '../transport/exchange.js'
import { proxyTrust } from '../transport/forwarded.js'
import type { ProxyTrust } from '../transport/forwarded.js'
import type { Listening } from '../transport/node-http.js'
import { gatewayOf } from './gateway-of.js'
import { openGround, sameGround } from './ground.js'
import type { Ground } from './ground.js'
import { Listeners } from './listeners.js'
import type { Setup } from './setup.js'

/** A server in one process. */
export interface Server {
  /** Opens all listeners or none, with the system's error. */
  listen(): Promise<readonly Listening[]>
  /** From now on `/-/ready` says so, as long as files and catalog can be reached. */
  ready(): void
  /**
   * Serves by another setup from now on; requests that are running finish by the old one. Gives the listeners that are
   * new. Where it throws, nothing has changed. One call at a time.
   */
  apply(setup: Setup): Promise<readonly Listening[]>
  /** Lets running requests finish for as long as the configuration says, then closes everything. */
  stop(): Promise<void>
}

export interface ServerOptions {
  readonly setup: Setup
  readonly log: Logger
  /** What it stands on, as the setup wants it; closed by `stop`. */
  readonly ground: Ground
  /** A primary process holds the sockets, which this worker shares with others. */
  readonly shared: boolean
}

/** Puts a server together: with what `openGround` makes, the only place that names concrete parts. */
export function createServer(options: ServerOptions): Server {
  return new OneServer(options)
}

/** One configuration as it is served, and the requests that began under it. */
interface Generation {
  readonly setup: Setup
  readonly ground: Ground
  readonly gateway: Gateway
  readonly trust: ProxyTrust
  running: number
}

class OneServer implements Server {
  readonly #log: Logger
  readonly #listeners: Listeners
  readonly #generations = new Set<Generation>()
  readonly #begunUnder = new WeakMap<HttpRequest, Generation>()
  #current: Generation
  #isReady = false

  constructor({ setup, log, ground, shared }: ServerOptions) {
    this.#log = log
    this.#current = this.#generationOf(setup, ground)
    this.#generations.add(this.#current)
    const current = (): Generation => this.#current
    this.#listeners = new Listeners({
      handle: (request) => {
        const generation = this.#current
        generation.running += 1
        this.#begunUnder.set(request, generation)
        return generation.gateway.handle(request)
      },
      onExchange: (exchange) => this.#finished(exchange),
      trust: {
        covers: (address) => current().trust.covers(address),
        get headers() {
          return current().trust.headers
        },
      },
      shared,
      onCrowd: (listener, refused) => log.warn({ listener, refused }, 'connections were refused: there are too many'),
      onLost: (name, error) => log.error({ err: error, listener: name }, 'a listener could not be opened'),
    })
  }

  listen(): Promise<readonly Listening[]> {
    return this.#listeners.start(this.#current.setup)
  }

  ready(): void {
    this.#isReady = true
  }

  async apply(setup: Setup): Promise<readonly Listening[]> {
    const before = this.#current
    const kept = sameGround(before.setup.config, setup.config)
    const ground = kept
      ? before.ground
      : await openGround(setup.config, { log: this.#log, sweeps: false, keepsUp: before.ground.keepsUp })
    try {
      const next = this.#generationOf(setup, ground)
      return await this.#listeners.change(setup, () => {
        this.#current = next
        this.#generations.add(next)
        // Whoever follows what happens comes again, and meets the new settings.
        before.ground.changes.dismiss()
        this.#log.level = setup.config.log.level
        void this.#retire(before)
      })
    } catch (error) {
      if (!kept) await ground.close()
      throw error
    }
  }

  async stop(): Promise<void> {
    this.#isReady = false
    for (const { ground } of this.#generations) ground.changes.dismiss()
    await this.#listeners.stop(this.#current.setup.config.limits.stopSeconds)
    for (const ground of new Set([...this.#generations].map((generation) => generation.ground))) await ground.close()
  }

  #finished(exchange: Exchange): void {
    const generation = this.#begunUnder.get(exchange.request)
    ;(generation ?? this.#current).gateway.finished(exchange)
    if (generation === undefined) return
    generation.running -= 1
    if (generation !== this.#current) void this.#retire(generation)
  }

  /** Closes what nothing stands on any more. */
  async #retire(generation: Generation): Promise<void> {
    if (generation.running > 0 || !this.#generations.delete(generation)) return
    const isUsed = [...this.#generations].some(({ ground }) => ground === generation.ground)
    if (isUsed) return
    try {
      await generation.ground.close()
    } catch (error) {
      this.#log.error({ err: error }, 'what an old configuration had opened could not be closed')
    }
  }

  #generationOf(setup: Setup, ground: Ground): Generation {
    const trust = proxyTrust(setup.config.trustedProxies, setup.config.proxyHeaders)
    if (trust === undefined) throw new Failure('invalid', 'trustedProxies: must be addresses and networks')
    const isReady = async (): Promise<boolean> => {
      await ground.catalog.get('users', 'admin')
      return this.#isReady && (await ground.files.stat(rootPath)) !== undefined
    }
    return { setup, ground, trust, gateway: gatewayOf(setup.config, ground, this.#log, isReady), running: 0 }
  }
}
