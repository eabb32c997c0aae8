import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Failure, isFailure } from '../core/failure.js'
import type { HttpRequest, HttpResponse } from '../core/http.js'
import type { ProxyTrust } from './forwarded.js'
import { NodeRequest } from './node-request.js'
import { RequestBody } from './request-body.js'
import { sendResponse } from './response-writer.js'
import type { Sent } from './response-writer.js'

/** A request and its answer, when both are over. */
export interface Exchange {
  readonly request: HttpRequest
  readonly sent: Sent
  /** Bytes of the request body that came in. */
  readonly received: number
}

export interface ExchangesOptions {
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
  readonly trust: ProxyTrust
  readonly idleSeconds: number
  readonly onExchange: ((exchange: Exchange) => void) | undefined
}

/** What a listener adds to each of its requests. */
export interface ExchangeOptions {
  readonly listener: string
  readonly secure: boolean
}

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
  tail: Promise<void>
  current:
    { readonly incoming: IncomingMessage; readonly body: RequestBody; readonly response: ServerResponse } | undefined
  /** No further request of it is to be answered. */
  closing: boolean
}

/** Runs the exchanges of all connections: one at a time in each, in order. */
export class Exchanges {
  readonly #options: ExchangesOptions
  readonly #connections = new WeakMap<Duplex, Connection>()
  #running = 0
  #finishing = false
  #onSettled: (() => void) | undefined

  constructor(options: ExchangesOptions) {
    this.#options = options
  }

  begin(incoming: IncomingMessage, response: ServerResponse, facts: ExchangeOptions, awaitsContinue: boolean): void {
    const socket = incoming.socket
    let connection = this.#connections.get(socket)
    if (connection === undefined) {
      connection = { running: 0, tail: Promise.resolve(), current: undefined, closing: false }
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
    this.#running += 1
    connection.tail = this.#run(connection, incoming, response, facts, awaitsContinue, previous)
  }

  /** From now on every answer closes its connection. */
  finishUp(): void {
    this.#finishing = true
  }

  /** Resolves when no exchange is running, or after so long. */
  async settled(milliseconds: number): Promise<void> {
    if (this.#running === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#onSettled = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Whether a request of this connection waits for its answer. */
  isBusy(socket: Duplex): boolean {
    return (this.#connections.get(socket)?.running ?? 0) > 0
  }

  /** What came in is no HTTP, ended midway or took too long: answers where that is possible, and closes. */
  unreadable(error: UnreadableError, socket: Duplex): void {
    const connection = this.#connections.get(socket)
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    if (connection !== undefined && connection.running > 0) {
      // What was asked before the bad bytes is still answered.
      connection.closing = true
      const { current } = connection
      if (current?.incoming.complete === false)
        current.body.fail(new Failure('incomplete', 'The request body is malformed or ended early.', { cause: error }))
      return
    }
    this.#connections.set(socket, { running: 0, tail: Promise.resolve(), current: undefined, closing: true })
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
    else if (current.response.writableLength > 0 || socket.writableLength > 0) socket.destroy()
  }

  async #run(
    connection: Connection,
    incoming: IncomingMessage,
    response: ServerResponse,
    facts: ExchangeOptions,
    awaitsContinue: boolean,
    previous: Promise<void> | undefined,
  ): Promise<void> {
    try {
      if (previous !== undefined) await previous
      if (incoming.socket.destroyed || response.socket === null) return
      const body = new RequestBody(incoming, response, awaitsContinue)
      const request = new NodeRequest(incoming, body, facts.listener, facts.secure, this.#options.trust)
      connection.current = { incoming, body, response }
      response.once('close', () => {
        if (!response.writableFinished) request.abandon()
      })
      const answer = await this.#answer(request)
      const sent = await this.#send(connection, incoming, response, answer, body)
      if (this.#finishing) incoming.socket.destroySoon()
      else if (connection.closing) incoming.socket.end()
      this.#options.onExchange?.({ request, sent, received: body.received })
    } finally {
      connection.current = undefined
      connection.running -= 1
      this.#running -= 1
      if (this.#running === 0) this.#onSettled?.()
    }
  }

  async #answer(request: NodeRequest): Promise<HttpResponse> {
    try {
      request.check()
      return await this.#options.handle(request)
    } catch (error) {
      return { status: isFailure(error, 'invalid') ? 400 : isFailure(error, 'unsupported') ? 501 : 500, headers: [] }
    }
  }

  #send(
    connection: Connection,
    incoming: IncomingMessage,
    response: ServerResponse,
    answer: HttpResponse,
    body: RequestBody,
  ): Promise<Sent> {
    const unread = incoming.complete ? 0 : remainderOf(incoming, body)
    const linger = unread > cheapRemainder && !body.heldBack && !body.hasFailed
    if (unread > cheapRemainder || body.heldBack || this.#finishing || body.hasFailed) connection.closing = true
    else body.discard()
    return sendResponse(response, answer, {
      headOnly: incoming.method === 'HEAD',
      close: connection.closing,
      beforeEnd: linger ? () => body.drain(lingerBytes, lingerMilliseconds).then(() => undefined) : undefined,
    })
  }
}

/** Bytes of the body that are still to come; more than can be counted where the length is not known. */
function remainderOf(incoming: IncomingMessage, body: RequestBody): number {
  const length = incoming.headers['content-length']
  if (length !== undefined) return Number(length) - body.received
  return incoming.headers['transfer-encoding'] === undefined ? 0 : Infinity
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

function beginsWithMethod(error: UnreadableError): boolean {
  return /^[A-Za-z0-9!#$%&'*+.^_`|~-]+ \S/.test(error.rawPacket?.toString('latin1', 0, 100) ?? '')
}
