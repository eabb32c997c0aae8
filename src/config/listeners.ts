import { setTimeout as delay } from 'node:timers/promises'
import type { HttpRequest, HttpResponse } from '../core/http.js'
import type { Exchange } from '../transport/exchange.js'
import type { ProxyTrust } from '../transport/forwarded.js'
import { createNodeTransport } from '../transport/node-http.js'
import type { Listening, Transport } from '../transport/node-http.js'
import type { ListenSetting } from './load.js'
import type { Setup } from './setup.js'

export interface ListenersOptions {
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
  readonly onExchange: (exchange: Exchange) => void
  readonly trust: ProxyTrust
  /** A primary process holds the sockets, which its workers share. */
  readonly shared: boolean
  /** Told of a listener that could not be opened in the place of another; the other goes on. */
  readonly onLost: (name: string, error: unknown) => void
  /** Told of connections that were refused because there were too many: how many since the last time. */
  readonly onCrowd: (name: string, refused: number) => void
}

/** How long an address may still belong to the listener that it takes the place of. */
const patienceMilliseconds = 3000
const pauseMilliseconds = 10

interface OpenListener {
  readonly setting: ListenSetting
  readonly transport: Transport
}

/** The listeners of one process: each can be opened and closed by itself while the others go on. */
export class Listeners {
  readonly #options: ListenersOptions
  readonly #open = new Map<string, OpenListener>()
  /** Those that only finish what is running. */
  readonly #closing = new Set<Promise<void>>()
  #pair: Setup['pair']

  constructor(options: ListenersOptions) {
    this.#options = options
  }

  /** Opens all of them or none, with the system's error. */
  async start(setup: Setup): Promise<readonly Listening[]> {
    this.#pair = setup.pair
    return await this.#openAll(setup.config.listen, setup)
  }

  /**
   * Opens those that are new, and gives them; changes certificates. Where one of the new cannot be opened, rejects with the
   * system's error and nothing has changed. `commit` is called as soon as nothing can fail any more; those that are gone
   * take no more connections after it, and finish what is running.
   */
  async change(setup: Setup, commit: () => void): Promise<readonly Listening[]> {
    const wanted = setup.config.listen
    const gone = [...this.#open.values()].filter(({ setting }) => !wanted.some((other) => isSame(setting, other)))
    const fresh = wanted.filter((setting) => ![...this.#open.values()].some((open) => isSame(open.setting, setting)))
    const replacing = fresh.filter((setting) => gone.some((open) => collides(open.setting, setting)))
    const opened = await this.#openAll(
      fresh.filter((setting) => !replacing.includes(setting)),
      setup,
    )
    commit()
    this.#secure(setup)
    for (const open of gone) this.#close(open, setup.config.limits.stopSeconds)
    for (const setting of replacing) {
      try {
        opened.push(...(await this.#openOnceFree(setting, setup)))
      } catch (error) {
        this.#options.onLost(setting.name, error)
      }
    }
    return opened
  }

  /** Takes no more connections, lets running requests finish for so long, then breaks them off. */
  async stop(graceSeconds: number): Promise<void> {
    for (const open of [...this.#open.values()]) this.#close(open, graceSeconds)
    await Promise.all(this.#closing)
  }

  async #openAll(settings: readonly ListenSetting[], setup: Setup): Promise<Listening[]> {
    const found: Listening[] = []
    try {
      // One after the other: workers that share sockets tell two on port 0 apart by their order.
      for (const setting of settings) found.push(...(await this.#openOne(setting, setup)))
    } catch (error) {
      for (const { name } of found) {
        const open = this.#open.get(name)
        if (open !== undefined) this.#close(open, 0)
      }
      throw error
    }
    return found
  }

  /** Other workers that share the socket let go of the old one at about the same time, not at the same moment. */
  async #openOnceFree(setting: ListenSetting, setup: Setup): Promise<readonly Listening[]> {
    const until = performance.now() + patienceMilliseconds
    for (;;) {
      try {
        return await this.#openOne(setting, setup)
      } catch (error) {
        if (!isInUse(error) || performance.now() > until) throw error
      }
      await delay(pauseMilliseconds)
    }
  }

  async #openOne(setting: ListenSetting, { config, pair }: Setup): Promise<readonly Listening[]> {
    const { handle, onExchange, onCrowd, trust, shared } = this.#options
    const { name, at, tls, mode } = setting
    const transport = createNodeTransport({
      listeners: [{ name, at, ...(tls && pair && { tls: pair }), mode }],
      handle,
      limits: config.limits,
      trust,
      handed: config.handed,
      onExchange,
      onCrowd: (refused) => onCrowd(name, refused),
      shared,
    })
    const listening = await transport.start()
    this.#open.set(name, { setting, transport })
    return listening
  }

  #close({ setting, transport }: OpenListener, graceSeconds: number): void {
    this.#open.delete(setting.name)
    const closing: Promise<void> = transport.stop(graceSeconds).finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  #secure({ pair }: Setup): void {
    if (pair === undefined || (pair.cert === this.#pair?.cert && pair.key === this.#pair.key)) return
    this.#pair = pair
    for (const { setting, transport } of this.#open.values()) if (setting.tls) transport.secure(setting.name, pair)
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
}

/** Whether nothing about it needs another socket; which surfaces it speaks is not its business. */
function isSame(one: ListenSetting, other: ListenSetting): boolean {
  return one.name === other.name && one.tls === other.tls && one.mode === other.mode && placeOf(one) === placeOf(other)
}

function placeOf({ at }: ListenSetting): string {
  return JSON.stringify(at)
}

/** Whether both cannot listen at once. */
function collides(one: ListenSetting, other: ListenSetting): boolean {
  if (one.at.kind === 'tcp' && other.at.kind === 'tcp') return one.at.port === other.at.port
  return placeOf(one) === placeOf(other)
}
