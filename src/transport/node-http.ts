import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { HttpRequest, HttpResponse } from '../core/http.js'
import type { Endpoint } from './endpoint.js'
import { endpointUrl } from './endpoint.js'
import { Exchanges } from './exchange.js'
import type { Exchange, ExchangeOptions } from './exchange.js'
import type { ProxyTrust } from './forwarded.js'
import type { KeyPair } from './key-pair.js'
import { freeSocketPath } from './unix-socket.js'

export interface Listener {
  /** What `HttpRequest.listener` says. */
  readonly name: string
  readonly at: Endpoint
  /** PEM texts; plain HTTP without. */
  readonly tls?: KeyPair
}

export interface TransportLimits {
  /** All headers of a request together, in bytes. */
  readonly headerBytes: number
  /** How long a client may take to send its headers. */
  readonly headerSeconds: number
  /** How long a client may send nothing of a body that is waited for, or take nothing of an answer. */
  readonly idleSeconds: number
  /** How long a connection stays open between requests. */
  readonly keepAliveSeconds: number
  /** Connections at a time on each listener; more are closed at once. */
  readonly connections: number
}

export interface NodeTransportOptions {
  readonly listeners: readonly Listener[]
  /** Answers a request. What it throws becomes a bare 500. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
  readonly limits: TransportLimits
  readonly trust: ProxyTrust
  /** In a worker of `node:cluster`: its primary holds the sockets, and has made room for those with a path. */
  readonly shared?: boolean
  /** Told of every exchange when it is over. */
  readonly onExchange?: (exchange: Exchange) => void
}

/** Where a listener can be reached. */
export interface Listening {
  readonly name: string
  /** `http://127.0.0.1:8080`, with the port that was picked; `unix:PATH`. */
  readonly url: string
}

export interface Transport {
  /** Opens every listener, or none. Rejects with the system's error (`EADDRINUSE`, `EACCES` …), or `exists` for a Unix socket in use. */
  start(): Promise<readonly Listening[]>
  /** Takes no more connections, lets running requests finish for so long, then breaks them off. */
  stop(graceSeconds: number): Promise<void>
  /**
   * Changes the certificate of a listener that speaks TLS, by its name: connections that come from now on see the new
   * one, those that are open stay as they are. Throws what `tls.createSecureContext` throws where the pair is none, and
   * the old one stays; `readPair` finds that out beforehand.
   */
  secure(listener: string, pair: KeyPair): void
}

const minVersion = 'TLSv1.2'
/** How long `stop` still waits for handlers whose connections are gone. */
const settleMilliseconds = 2000

/** HTTP/1.1 over TCP, TLS and Unix sockets. */
export function createNodeTransport(options: NodeTransportOptions): Transport {
  return new NodeTransport(options)
}

class NodeTransport implements Transport {
  readonly #options: NodeTransportOptions
  readonly #servers: Server[] = []
  readonly #secured = new Map<string, TlsServer>()
  /** Every accepted connection. */
  readonly #sockets = new Set<Socket>()
  /** Those that carry HTTP: the same ones, or with TLS what runs inside them once hands are shaken. */
  readonly #carriers = new Set<Socket>()
  readonly #exchanges: Exchanges

  constructor(options: NodeTransportOptions) {
    this.#options = options
    const { handle, onExchange, trust, limits } = options
    this.#exchanges = new Exchanges({ handle, trust, idleSeconds: limits.idleSeconds, onExchange })
  }

  async start(): Promise<readonly Listening[]> {
    const found: Listening[] = []
    try {
      for (const listener of this.#options.listeners) found.push(await this.#open(listener))
    } catch (error) {
      await this.stop(0)
      throw error
    }
    return found
  }

  async stop(graceSeconds: number): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    this.#exchanges.finishUp()
    for (const socket of this.#carriers) if (!this.#exchanges.isBusy(socket)) socket.destroy()
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, graceSeconds * 1000)
    await Promise.all(closed)
    clearTimeout(timer)
    await this.#exchanges.settled(settleMilliseconds)
  }

  secure(listener: string, pair: KeyPair): void {
    this.#secured.get(listener)?.setSecureContext({ cert: pair.cert, key: pair.key, minVersion })
  }

  async #open(listener: Listener): Promise<Listening> {
    const server = this.#serverFor(listener)
    const { at } = listener
    if (at.kind === 'unix' && this.#options.shared !== true) await freeSocketPath(at.path)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      const ready = (): void => {
        server.off('error', reject)
        resolve()
      }
      if (at.kind === 'unix') server.listen(at.path, ready)
      else server.listen(at.port, at.host === '' ? undefined : at.host, ready)
    })
    this.#servers.push(server)
    const endpoint = at.kind === 'unix' ? at : { ...at, port: (server.address() as AddressInfo).port }
    return { name: listener.name, url: endpointUrl(endpoint, listener.tls !== undefined) }
  }

  #serverFor(listener: Listener): Server {
    const { limits } = this.#options
    const settings = {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headerSeconds * 1000,
      // A big upload takes as long as it takes; one that stands still is ended by the idle time below.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(5000, limits.headerSeconds * 500),
      keepAliveTimeout: limits.keepAliveSeconds * 1000,
      handshakeTimeout: limits.headerSeconds * 1000,
      insecureHTTPParser: false,
      noDelay: true,
    }
    const server =
      listener.tls === undefined ? createServer(settings) : this.#tlsServerFor(listener.name, listener.tls, settings)
    // Node would silently drop headers over the count; their size is limited instead.
    server.maxHeadersCount = 0
    server.maxConnections = limits.connections
    server.timeout = limits.idleSeconds * 1000
    const exchanges = this.#exchanges
    const facts: ExchangeOptions = { listener: listener.name, secure: listener.tls !== undefined }
    server.on('request', (request, response) => exchanges.begin(request, response, facts, false))
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      exchanges.begin(request, response, facts, true)
    })
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => exchanges.unreadable(error, socket))
    server.on('timeout', (socket: Socket) => exchanges.silent(socket))
    server.on('connection', (socket: Socket) => track(this.#sockets, socket))
    server.on(listener.tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      track(this.#carriers, socket)
    })
    server.on('connect', (_request, socket) => {
      socket.end('HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    })
    return server
  }

  #tlsServerFor(name: string, pair: KeyPair, settings: ServerOptions): TlsServer {
    const server = createTlsServer({ ...settings, cert: pair.cert, key: pair.key, minVersion })
    this.#secured.set(name, server)
    return server
  }
}

function track(set: Set<Socket>, socket: Socket): void {
  set.add(socket)
  socket.once('close', () => set.delete(socket))
}
