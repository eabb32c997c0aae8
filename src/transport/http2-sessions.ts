import { constants, performServerHandshake } from 'node:http2'
import type { ServerHttp2Session, ServerHttp2Stream, ServerOptions } from 'node:http2'
import type { Socket } from 'node:net'
import { Failure } from '../core/failure.js'
import type { Exchanges } from './exchange.js'
import { Http2Carrier } from './http2-carrier.js'
import { headerMap } from './node-request.js'
import type { Via } from './node-request.js'
import type { RequestBody } from './request-body.js'
import { isContinue } from './request-check.js'
import type { RequestHead } from './request-check.js'
import { sendResponse } from './response-writer.js'

export interface Http2Limits {
  readonly headerBytes: number
  readonly headers: number
  readonly headerSeconds: number
  readonly idleSeconds: number
  readonly keepAliveSeconds: number
  readonly requestsPerConnection: number
}

/** Requests that one connection may have under way. */
const maximumStreams = 100
/** The same with those that were reset and whose work has not come to its end: asking and resetting must not get more. */
const maximumRunning = 2 * maximumStreams
/** What a client may send of one body before it is read, in bytes: enough for a fast upload, little enough times all streams. */
const streamWindow = 256 * 1024
/** Resets, pings and settings: a client that means well needs few (CVE-2023-44487, CVE-2019-9512, CVE-2019-9515). */
const nuisanceBurst = 1000
const nuisancesPerSecond = 33

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants

/** What is going on in one connection. */
interface Session {
  readonly session: ServerHttp2Session
  /** Requests begun whose work is not over. */
  running: number
  served: number
  /** Since when nothing has been under way, of `performance.now()`. */
  idleSince: number
  /** Nuisances that it may still cause. */
  patience: number
}

/** Runs the exchanges of the connections that speak HTTP/2 (RFC 9113). */
export class Http2Sessions {
  readonly #exchanges: Exchanges
  readonly #limits: Http2Limits
  readonly #sessions = new Set<Session>()

  constructor(exchanges: Exchanges, limits: Http2Limits) {
    this.#exchanges = exchanges
    this.#limits = limits
  }

  /** Takes over a connection on which HTTP/2 was agreed (ALPN `h2`). */
  take(socket: Socket, via: Via): void {
    const session = performServerHandshake(socket, this.#options())
    const state: Session = {
      session,
      running: 0,
      served: 0,
      idleSince: performance.now(),
      patience: nuisanceBurst,
    }
    this.#sessions.add(state)
    session.on('close', () => this.#sessions.delete(state))
    // A client that breaks the protocol or goes away; the session has ended itself.
    session.on('error', () => undefined)
    session.on('ping', () => this.#disturb(state))
    session.on('remoteSettings', () => this.#disturb(state))
    session.on(
      'stream',
      (stream: ServerHttp2Stream, _headers: unknown, _flags: number, rawHeaders: readonly string[]) => {
        this.#begin(state, stream, headOf(rawHeaders), socket, via)
      },
    )
  }

  /** Takes no more requests; closes each connection when what it has under way is over. */
  finishUp(): void {
    for (const { session } of this.#sessions) session.close()
  }

  /** Closes what has been idle for too long and forgives old nuisances; to be called regularly. */
  look(seconds: number): void {
    const now = performance.now()
    for (const state of this.#sessions) {
      state.patience = Math.min(state.patience + nuisancesPerSecond * seconds, nuisanceBurst)
      const allowed = state.served === 0 ? this.#limits.headerSeconds : this.#limits.keepAliveSeconds
      if (state.running > 0 || now - state.idleSince < allowed * 1000) continue
      // The second time around it did not even take the farewell.
      if (state.session.closed) state.session.destroy()
      else state.session.close()
    }
  }

  #options(): ServerOptions {
    const { headerBytes, headers } = this.#limits
    const own = {
      // Node's names for the limit that nghttp2 itself keeps.
      streamResetBurst: nuisanceBurst,
      streamResetRate: nuisancesPerSecond,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
    }
    return {
      ...own,
      // With the pseudo-headers.
      maxHeaderListPairs: headers + 4,
      maxSessionMemory: 32,
      settings: {
        enablePush: false,
        maxConcurrentStreams: maximumStreams,
        initialWindowSize: streamWindow,
        maxHeaderListSize: headerBytes,
      },
    }
  }

  /** Counts something that costs the client nothing and us a little. */
  #disturb(state: Session): void {
    state.patience -= 1
    if (state.patience < 0) state.session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM)
  }

  #begin(state: Session, stream: ServerHttp2Stream, head: RequestHead, socket: Socket, via: Via): void {
    const carrier = new Http2Carrier(stream)
    stream.once('close', () => {
      if (stream.rstCode !== NGHTTP2_NO_ERROR) this.#disturb(state)
    })
    if (state.running >= maximumRunning) {
      stream.close(NGHTTP2_REFUSED_STREAM)
      return
    }
    state.running += 1
    state.served += 1
    if (state.served >= this.#limits.requestsPerConnection) state.session.close()
    void this.#run(carrier, head, socket, via).finally(() => {
      state.running -= 1
      state.idleSince = performance.now()
    })
  }

  async #run(carrier: Http2Carrier, head: RequestHead, socket: Socket, via: Via): Promise<void> {
    const body = this.#exchanges.bodyOf(carrier, isContinue(head.headers.get('expect')))
    carrier.outgoing.setTimeout(this.#limits.idleSeconds * 1000, () => silent(carrier, body))
    await this.#exchanges.run({ head, via, socket }, carrier, body, (answer, _refused, watch) =>
      sendResponse(carrier, watch, answer, { headOnly: head.method === 'HEAD', close: false }),
    )
  }
}

function headOf(rawHeaders: readonly string[]): RequestHead {
  const plain: string[] = []
  let method = ''
  let target = ''
  let authority: string | undefined
  const cookies: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    const value = rawHeaders[at + 1] ?? ''
    if (name === ':method') method = value
    else if (name === ':path') target = value
    else if (name === ':authority') authority = value
    else if (name === 'cookie') cookies.push(value)
    else if (!name.startsWith(':')) plain.push(name, value)
  }
  const headerCount = plain.length / 2 + cookies.length
  // Node keeps its own limit only for those who have confirmed the settings that name it.
  const headerBytes = rawHeaders.reduce((sum, text) => sum + text.length, 0)
  // A client may send a cookie in pieces, which are one header (§8.2.3).
  if (cookies.length > 0) plain.push('cookie', cookies.join('; '))
  return { method, target, version: '2.0', headers: headerMap(plain), headerCount, headerBytes, authority }
}

/** Nothing has moved on this stream for the idle time. */
function silent(carrier: Http2Carrier, body: RequestBody): void {
  if (body.isWaiting) body.fail(new Failure('timeout', 'The client sent nothing more of its body for too long.'))
  // Bytes on their way mean a client that does not take them, not an answer that takes long to make.
  else if (carrier.outgoing.writableLength > 0) carrier.breakOff()
}
