import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { HttpRequest, HttpResponse } from '../core/http.js'
import { BodyPace } from './body-pace.js'
import { ConnectionCount } from './connection-count.js'
import type { Endpoint } from './endpoint.js'
import { Exchanges } from './exchange.js'
import type { Exchange } from './exchange.js'
import type { ProxyTrust } from './forwarded.js'
import { plainAddress } from './forwarded.js'
import { Http1Connections } from './http1-connections.js'
import { Http2Sessions } from './http2-sessions.js'
import type { KeyPair } from './key-pair.js'
import type { Via } from './node-request.js'
import { openEndpoint, socketsFor } from './open-endpoint.js'
import type { HandedSocket } from './open-endpoint.js'

export interface Listener {
  /** What `HttpRequest.listener` says. */
  readonly name: string
  readonly at: Endpoint
  /** PEM texts; plain HTTP without. */
  readonly tls?: KeyPair
  /** Permissions of a Unix socket, whatever the umask; by default the umask decides. */
  readonly mode?: number | undefined
}

export interface TransportLimits {
  /** All headers of a request together, in bytes. */
  readonly headerBytes: number
  /** Header lines of a request. */
  readonly headers: number
  /** How long a client may take to send its headers. */
  readonly headerSeconds: number
  /** How long a client may send nothing of a body that is waited for, or take nothing of an answer. */
  readonly idleSeconds: number
  /** What a client must send of a body that is waited for, on average over `idleSeconds`; 0 asks for nothing. */
  readonly bodyBytesPerSecond: number
  /** How long a connection stays open between requests. */
  readonly keepAliveSeconds: number
  /** After how many requests a connection is closed. */
  readonly requestsPerConnection: number
  /** Connections at a time on each listener; more are closed at once. */
  readonly connections: number
  /** Connections at a time of one address, or one IPv6 network of 64 bits, that is no trusted proxy. */
  readonly connectionsPerAddress: number
}

export interface NodeTransportOptions {
  readonly listeners: readonly Listener[]
  /** Answers a request. What it throws becomes a bare 500. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
  readonly limits: TransportLimits
  readonly trust: ProxyTrust
  /** What systemd endpoints listen on. */
  readonly handed?: readonly HandedSocket[]
  /** A primary process holds the sockets for its workers and has made room for them. */
  readonly shared?: boolean
  /** Told of every exchange when it is over. */
  readonly onExchange?: (exchange: Exchange) => void
  /** Told of connections that were refused because there were too many, at most once a second: how many since the last time. */
  readonly onCrowd?: (refused: number) => void
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

/** Older ones are broken (RFC 8996). */
const minVersion = 'TLSv1.2'
/** How long `stop` still waits for handlers whose connections are gone. */
const settleMilliseconds = 2000
/** How often slow and idle clients are looked at. */
const lookSeconds = 1

/** HTTP/1.1 over TCP, TLS and Unix sockets, and HTTP/2 over TLS where the client prefers it. */
export function createNodeTransport(options: NodeTransportOptions): Transport {
  return new NodeTransport(options)
}

class NodeTransport implements Transport {
  readonly #options: NodeTransportOptions
  readonly #servers: Server[] = []
  readonly #secured: { readonly listener: string; readonly server: TlsServer }[] = []
  /** Every accepted connection. */
  readonly #sockets = new Set<Socket>()
  /** Those of TLS that have not shaken hands yet, by where they come from. */
  readonly #shaking = new Map<string, Socket>()
  /** Those that carry HTTP/1.1: the same ones, or with TLS what runs inside them. */
  readonly #carriers = new Set<Socket>()
  readonly #count: ConnectionCount
  readonly #exchanges: Exchanges
  readonly #connections: Http1Connections
  readonly #sessions: Http2Sessions
  readonly #pace: BodyPace
  #looking: NodeJS.Timeout | undefined
  #refused = 0

  constructor(options: NodeTransportOptions) {
    this.#options = options
    const { handle, onExchange, limits } = options
    this.#pace = new BodyPace({ bytesPerSecond: limits.bodyBytesPerSecond, graceSeconds: limits.idleSeconds })
    this.#exchanges = new Exchanges({ handle, onExchange, most: limits, pace: this.#pace })
    this.#connections = new Http1Connections(this.#exchanges, limits.requestsPerConnection)
    this.#sessions = new Http2Sessions(this.#exchanges, limits)
    this.#count = new ConnectionCount(limits.connectionsPerAddress)
  }

  async start(): Promise<readonly Listening[]> {
    const found: Listening[] = []
    try {
      for (const listener of this.#options.listeners) found.push(...(await this.#open(listener)))
    } catch (error) {
      await this.stop(0)
      throw error
    }
    this.#looking = setInterval(() => this.#look(), lookSeconds * 1000).unref()
    return found
  }

  async stop(graceSeconds: number): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    this.#exchanges.finishUp()
    this.#sessions.finishUp()
    for (const socket of this.#carriers) if (!this.#connections.isBusy(socket)) socket.destroy()
    for (const socket of this.#shaking.values()) socket.destroy()
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, graceSeconds * 1000)
    await Promise.all(closed)
    clearTimeout(timer)
    await this.#exchanges.settled(settleMilliseconds)
    clearInterval(this.#looking)
  }

  secure(listener: string, pair: KeyPair): void {
    for (const secured of this.#secured)
      if (secured.listener === listener) secured.server.setSecureContext({ cert: pair.cert, key: pair.key, minVersion })
  }

  async #open(listener: Listener): Promise<readonly Listening[]> {
    const { handed = [], shared = false, trust } = this.#options
    const { at, name, mode } = listener
    const found: Listening[] = []
    for (const socket of socketsFor(listener, handed)) {
      const via = { listener: name, secure: listener.tls !== undefined, trust, unix: false }
      const server = this.#serverFor(listener, via)
      const { url, unix } = await openEndpoint(server, at, socket, { secure: via.secure, shared, mode })
      via.unix = unix
      this.#servers.push(server)
      found.push({ name, url })
    }
    return found
  }

  #serverFor(listener: Listener, via: Via): Server {
    const { limits } = this.#options
    const settings = {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headerSeconds * 1000,
      // A big upload takes as long as it takes; one that stands still or drags on is ended by idle time and pace.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(5000, limits.headerSeconds * 500),
      keepAliveTimeout: limits.keepAliveSeconds * 1000,
      insecureHTTPParser: false,
      noDelay: true,
    }
    const server = listener.tls === undefined ? createServer(settings) : this.#tlsServer(listener.tls, settings, via)
    // Node would silently drop headers over the count; more than allowed are refused instead.
    server.maxHeadersCount = 0
    server.maxConnections = limits.connections
    server.timeout = limits.idleSeconds * 1000
    const connections = this.#connections
    server.on('request', (request, response) => connections.begin(request, response, via, false))
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      connections.begin(request, response, via, true)
    })
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => connections.unreadable(error, socket))
    server.on('timeout', (socket: Socket) => connections.silent(socket))
    server.on('drop', () => (this.#refused += 1))
    server.on('connection', (socket: Socket) => this.#admit(socket, via))
    if (!via.secure) server.on('connection', (socket: Socket) => track(this.#carriers, socket))
    server.on('connect', (_request, socket) => {
      socket.end('HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    })
    return server
  }

  /** A server for both versions on one port: ALPN tells which one a connection speaks (RFC 9113 §3.2). */
  #tlsServer(pair: KeyPair, settings: ServerOptions, via: Via): TlsServer {
    const server = createTlsServer({
      ...settings,
      cert: pair.cert,
      key: pair.key,
      minVersion,
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: this.#options.limits.headerSeconds * 1000,
    })
    this.#secured.push({ listener: via.listener, server })
    // What node:https itself does with a connection that has shaken hands, which is to speak HTTP/1.1.
    const speakHttp1 = server.listeners('secureConnection')
    server.removeAllListeners('secureConnection')
    server.on('secureConnection', (socket: TLSSocket) => {
      this.#shaking.delete(farEnd(socket))
      if (socket.alpnProtocol === 'h2') {
        this.#sessions.take(socket, via)
        return
      }
      track(this.#carriers, socket)
      for (const speak of speakHttp1) Reflect.apply(speak, server, [socket])
    })
    server.on('connection', (socket: Socket) => {
      const key = farEnd(socket)
      this.#shaking.set(key, socket)
      socket.once('close', () => this.#shaking.delete(key))
    })
    return server
  }

  #admit(socket: Socket, via: Via): void {
    track(this.#sockets, socket)
    const address = plainAddress(socket.remoteAddress)
    if (via.unix || address === undefined || this.#options.trust.covers(address)) return
    const leave = this.#count.enter(address)
    if (leave !== undefined) {
      socket.once('close', leave)
      return
    }
    this.#refused += 1
    socket.destroy()
  }

  #look(): void {
    this.#pace.look(lookSeconds)
    this.#sessions.look(lookSeconds)
    if (this.#refused === 0) return
    this.#options.onCrowd?.(this.#refused)
    this.#refused = 0
  }
}

function track(set: Set<Socket>, socket: Socket): void {
  set.add(socket)
  socket.once('close', () => set.delete(socket))
}

/** Tells the connections of a server apart. */
function farEnd(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? 0} ${socket.localPort ?? 0}`
}
