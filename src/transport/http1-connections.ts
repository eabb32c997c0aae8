import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Failure } from '../core/failure.js'
import type { HttpResponse } from '../core/http.js'
import type { Carrier } from './carrier.js'
import type { CloseWatch } from './close-watch.js'
import type { Exchanges } from './exchange.js'
import { headerMap } from './node-request.js'
import type { Via } from './node-request.js'
import type { RequestBody } from './request-body.js'
import type { RequestHead } from './request-check.js'
import { sendResponse } from './response-writer.js'
import type { Sent } from './response-writer.js'
import { TurnEnd } from './turn.js'

/** What `node:http` says of bytes that it cannot read. */
interface UnreadableError extends Error {
  readonly code?: string | undefined
  readonly rawPacket?: Buffer | undefined
}

/** An unread body up to this size is read and thrown away, so that the connection can go on, in bytes. */
const cheapRemainder = 64 * 1024
/** For how much and how long a client may go on sending a body that nobody wants, before it has read the answer. */
const lingerBytes = 8 * 1024 * 1024
const lingerMilliseconds = 2000
/** Requests that one connection may send ahead of their answers. */
const maximumAhead = 64

/** What is going on in one connection. */
interface Connection {
  /** Requests begun and not over, in order. */
  running: number
  /** Requests of it that somebody has looked at so far. */
  served: number
  tail: Promise<void>
  current: { readonly carrier: Http1Carrier; readonly body: RequestBody } | undefined
  /** No further request of it is to be answered. */
  closing: boolean
}

/** Runs the exchanges of the connections that speak HTTP/1.1: one at a time in each, in order. */
export class Http1Connections {
  readonly #exchanges: Exchanges
  readonly #maximumRequests: number
  readonly #turn = new TurnEnd()
  readonly #connections = new WeakMap<Duplex, Connection>()

  /** @param maximumRequests after how many a connection is closed */
  constructor(exchanges: Exchanges, maximumRequests: number) {
    this.#exchanges = exchanges
    this.#maximumRequests = maximumRequests
  }

  begin(incoming: IncomingMessage, response: ServerResponse, via: Via, awaitsContinue: boolean): void {
    const socket = incoming.socket
    let connection = this.#connections.get(socket)
    if (connection === undefined) {
      connection = newConnection()
      this.#connections.set(socket, connection)
    }
    if (connection.closing) return
    if (connection.running >= maximumAhead) {
      socket.destroy()
      return
    }
    // A request sent ahead must not overtake: it may depend on what the one before it changes (RFC 9112 §9.3.2).
    const previous = connection.running === 0 ? undefined : connection.tail
    connection.running += 1
    connection.tail = this.#run(connection, new Http1Carrier(incoming, response), via, awaitsContinue, previous)
  }

  /** Whether a request of this connection waits for its answer. */
  isBusy(socket: Duplex): boolean {
    return (this.#connections.get(socket)?.running ?? 0) > 0
  }

  /** What came in is no HTTP, ended midway or took too long: answers where that is possible, and closes. */
  unreadable(error: UnreadableError, socket: Duplex): void {
    const connection = this.#connections.get(socket)
    if (error.code === 'ECONNRESET' || error.code?.startsWith('ERR_SSL') === true || !socket.writable) {
      socket.destroy()
      return
    }
    if (connection !== undefined && connection.running > 0) {
      // What was asked before the bad bytes is still answered.
      connection.closing = true
      const { current } = connection
      if (current?.carrier.complete === false)
        current.body.fail(new Failure('incomplete', 'The request body is malformed or ended early.', { cause: error }))
      return
    }
    this.#connections.set(socket, { ...newConnection(), closing: true })
    if (connection?.closing === true) return
    socket.end(`HTTP/1.1 ${statusLineFor(error)}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
    // The client may still be sending; closing at once would reset the connection before it has read the answer.
    setTimeout(() => socket.destroy(), lingerMilliseconds).unref()
  }

  /** Nothing has moved on this connection for the idle time. */
  silent(socket: Duplex): void {
    const current = this.#connections.get(socket)?.current
    if (current === undefined) socket.destroy()
    else if (current.body.isWaiting)
      current.body.fail(new Failure('timeout', 'The client sent nothing more of its body for too long.'))
    // Bytes on their way mean a client that does not take them, not an answer that takes long to make.
    else if (current.carrier.outgoing.writableLength > 0 || socket.writableLength > 0) socket.destroy()
  }

  async #run(
    connection: Connection,
    carrier: Http1Carrier,
    via: Via,
    awaitsContinue: boolean,
    previous: Promise<void> | undefined,
  ): Promise<void> {
    const { incoming, outgoing } = carrier
    const { socket } = incoming
    try {
      if (previous !== undefined) await previous
      if (socket.destroyed || outgoing.socket === null || connection.served >= this.#maximumRequests) return
      connection.served += 1
      const body = this.#exchanges.bodyOf(carrier, awaitsContinue)
      connection.current = { carrier, body }
      const head = headOf(incoming)
      await this.#exchanges.run({ head, via, socket }, carrier, body, async (answer, refused, watch) => {
        // Whoever sends what can be understood in two ways may mean what follows in a third one.
        if (refused || asksForUpgrade(head)) connection.closing = true
        await this.#turn.wait()
        return this.#send(connection, carrier, watch, answer, body)
      })
    } finally {
      connection.current = undefined
      connection.running -= 1
    }
  }

  async #send(
    connection: Connection,
    carrier: Http1Carrier,
    watch: CloseWatch,
    answer: HttpResponse,
    body: RequestBody,
  ): Promise<Sent> {
    const { incoming } = carrier
    const unread = incoming.complete ? 0 : remainderOf(incoming, body)
    const linger = unread > cheapRemainder && !body.heldBack && !body.hasFailed
    if (unread > cheapRemainder || body.heldBack || this.#exchanges.finishing || body.hasFailed)
      connection.closing = true
    else body.discard()
    if (connection.served >= this.#maximumRequests) connection.closing = true
    const sent = await sendResponse(carrier, watch, answer, {
      headOnly: incoming.method === 'HEAD',
      close: connection.closing,
      beforeEnd: linger ? () => body.drain(lingerBytes, lingerMilliseconds).then(() => undefined) : undefined,
    })
    if (this.#exchanges.finishing) incoming.socket.destroySoon()
    else if (connection.closing) incoming.socket.end()
    return sent
  }
}

/** A message of HTTP/1.1 and the answer to it. */
class Http1Carrier implements Carrier {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse

  constructor(incoming: IncomingMessage, outgoing: ServerResponse) {
    this.incoming = incoming
    this.outgoing = outgoing
  }

  get complete(): boolean {
    return this.incoming.complete
  }

  get over(): boolean {
    return this.outgoing.closed || this.outgoing.destroyed
  }

  get delivered(): boolean {
    return this.outgoing.writableFinished && this.outgoing.socket === null
  }

  sendContinue(): void {
    this.outgoing.writeContinue()
  }

  writeHead(status: number, flat: string[], options: { readonly close: boolean }): void {
    if (options.close) flat.push('Connection', 'close')
    this.outgoing.writeHead(status, flat)
  }

  flushHead(): void {
    this.outgoing.flushHeaders()
  }

  breakOff(): void {
    this.outgoing.destroy()
  }
}

function newConnection(): Connection {
  return { running: 0, served: 0, tail: Promise.resolve(), current: undefined, closing: false }
}

function headOf(incoming: IncomingMessage): RequestHead {
  const { httpVersionMajor, httpVersionMinor, rawHeaders } = incoming
  return {
    method: incoming.method ?? 'GET',
    target: incoming.url ?? '/',
    version: httpVersionMajor !== 1 ? '0.9' : httpVersionMinor === 0 ? '1.0' : '1.1',
    headers: headerMap(rawHeaders),
    headerCount: rawHeaders.length / 2,
    headerBytes: 0,
  }
}

/** Bytes of the body that are still to come; more than can be counted where the length is not known. */
function remainderOf(incoming: IncomingMessage, body: RequestBody): number {
  const length = incoming.headers['content-length']
  if (length !== undefined) return Number(length) - body.received
  return incoming.headers['transfer-encoding'] === undefined ? 0 : Infinity
}

/** An upgrade is ignored here, but Node drops what has come with it: what comes next may be the middle of something. */
function asksForUpgrade({ headers }: RequestHead): boolean {
  return headers.has('upgrade') && /\bupgrade\b/i.test(headers.get('connection')?.join() ?? '')
}

function statusLineFor(error: UnreadableError): string {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return '431 Request Header Fields Too Large'
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return '413 Content Too Large'
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return '408 Request Timeout'
    case 'HPE_INVALID_METHOD':
      return beginsWithMethod(error) ? '501 Not Implemented' : '400 Bad Request'
    default:
      return '400 Bad Request'
  }
}

/** A word that could be a method; not the first line of the PROXY protocol, which nobody here believes. */
function beginsWithMethod(error: UnreadableError): boolean {
  return /^(?!PROXY )[A-Za-z0-9!#$%&'*+.^_`|~-]+ \S/.test(error.rawPacket?.toString('latin1', 0, 100) ?? '')
}
