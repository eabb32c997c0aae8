import { lookup } from 'node:dns/promises'
import { closeSync } from 'node:fs'
import type { Config } from '../../config/load.js'
import { Failure } from '../../core/failure.js'
import { loadNative } from '../../store/native.js'
import type { NativeCalls } from '../../store/native.js'
import { listenFailure } from './listen-failure.js'

/** The first port that needs no privilege. */
const firstOpenPort = 1024

/** Sockets that listen, each for the listener of that name. */
export interface LowSockets {
  readonly sockets: readonly { readonly listener: string; readonly fd: number }[]
  /** They are those of another process now. */
  close(): void
}

/** A listener whose port the process on the network could not open itself, or not again. */
interface LowListener {
  readonly listener: string
  readonly at: { readonly host: string; readonly port: number }
  readonly address: string
}

/**
 * The ports below 1024, which only root may open, for a process that is not root's: opened anew each time that one begins,
 * and never accepted from here. A port that the system picks (0) is one of them, so that it stays the same.
 */
export class LowPorts {
  readonly #native: NativeCalls
  readonly #listeners: readonly LowListener[]
  readonly #picked = new Map<string, number>()

  private constructor(native: NativeCalls, listeners: readonly LowListener[]) {
    this.#native = native
    this.#listeners = listeners
  }

  /** Looks up the hosts. Undefined where no listener needs this, or the addon is not there to open one. Throws `unavailable` for a host that is not known. */
  static async of(config: Config): Promise<LowPorts | undefined> {
    const native = loadNative()
    const low: LowListener[] = []
    for (const { name, at } of config.listen) {
      if (at.kind !== 'tcp' || at.port >= firstOpenPort) continue
      low.push({ listener: name, at, address: at.host === '' ? '::' : await addressOf(at.host, config) })
    }
    return native === undefined || low.length === 0 ? undefined : new LowPorts(native, low)
  }

  /** For those listeners that the configuration still has: all or none. Throws `unavailable` with what to do. */
  open(config: Config): LowSockets {
    const sockets: { listener: string; fd: number }[] = []
    const close = (): void => {
      for (const { fd } of sockets) closeSync(fd)
    }
    try {
      const served = new Set(config.listen.map(({ name }) => name))
      for (const low of this.#listeners)
        if (served.has(low.listener)) sockets.push({ listener: low.listener, fd: this.#openOne(low, config) })
    } catch (error) {
      close()
      throw error
    }
    return { sockets, close }
  }

  #openOne({ listener, at, address }: LowListener, config: Config): number {
    const port = this.#picked.get(listener) ?? at.port
    let fd = this.#native.listenTcp(address, port)
    // A machine without IPv6.
    if (fd < 0 && at.host === '') fd = this.#native.listenTcp('0.0.0.0', port)
    if (fd < 0) throw listenFailure(systemError(-fd, at.host, port), config)
    this.#picked.set(listener, this.#native.portOf(fd))
    return fd
  }
}

async function addressOf(host: string, config: Config): Promise<string> {
  try {
    return (await lookup(host)).address
  } catch (error) {
    throw listenFailure(error, config)
  }
}

function systemError(errno: number, address: string, port: number): Error {
  const codes: Readonly<Record<number, string>> = { 13: 'EACCES', 98: 'EADDRINUSE', 99: 'EADDRNOTAVAIL' }
  const code = codes[errno]
  if (code === undefined)
    return new Failure('unavailable', `The port ${port} of ${address} cannot be opened (error ${errno}).`)
  return Object.assign(new Error(code), { code, address, port })
}
