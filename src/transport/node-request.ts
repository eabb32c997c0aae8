import type { Socket } from 'node:net'
import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import type { Forwarded, ProxyTrust } from './forwarded.js'
import { isAuthority, plainAddress, readForwarded } from './forwarded.js'
import type { RequestBody } from './request-body.js'
import type { RequestHead } from './request-check.js'

/** What all requests of a listener have in common. */
export interface Via {
  readonly listener: string
  readonly secure: boolean
  readonly trust: ProxyTrust
  /** Its connections have no addresses: a Unix socket. */
  unix: boolean
}

export interface RequestFacts {
  readonly head: RequestHead
  readonly via: Via
  readonly socket: Socket
}

/** A request of `node:http` or `node:http2` as the rest of Postern sees it. What is seldom asked for is worked out when it is. */
export class NodeRequest implements HttpRequest {
  readonly method: string
  readonly target: string
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly body: RequestBody
  readonly listener: string
  readonly #socket: Socket
  readonly #via: Via
  /** Named by the target or by HTTP/2, which counts more than a Host header. */
  readonly #authority: string | undefined
  #forwarded: Forwarded | undefined
  #abort: AbortController | undefined
  #gone = false

  constructor(facts: RequestFacts, body: RequestBody) {
    const { head, via } = facts
    this.method = head.method
    this.headers = head.headers
    this.body = body
    this.listener = via.listener
    this.#via = via
    this.#socket = facts.socket
    const { target, authority } = splitAbsolute(head.target)
    this.target = target
    this.#authority = head.authority ?? authority
  }

  get origin(): HttpRequest['origin'] {
    return this.#seen()
  }

  get peer(): HttpRequest['peer'] {
    return this.#seen()
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#gone) this.#abort.abort(clientGone())
    }
    return this.#abort.signal
  }

  /** The client went away before its answer was complete. */
  abandon(): void {
    this.#gone = true
    this.#abort?.abort(clientGone())
  }

  #seen(): Forwarded {
    if (this.#forwarded !== undefined) return this.#forwarded
    const address = plainAddress(this.#socket.remoteAddress)
    const host = this.#authority ?? this.headers.get('host')?.[0]
    const direct: Forwarded = {
      scheme: this.#via.secure ? 'https' : 'http',
      authority: host === undefined || host === '' ? localAuthority(this.#socket) : host.toLowerCase(),
      ...(address === undefined ? {} : { address }),
    }
    // The address of a TCP connection that is gone may be lost, which must not make a Unix socket of it.
    const isKnown = address !== undefined || this.#via.unix
    this.#forwarded = isKnown ? readForwarded(this.headers, direct, this.#via.trust) : direct
    return this.#forwarded
  }
}

function clientGone(): Failure {
  return new Failure('incomplete', 'The client went away.')
}

/** Header lines, names and values in turn, as a map of lower-case names. */
export function headerMap(raw: readonly string[]): Map<string, readonly string[]> {
  const map = new Map<string, readonly string[]>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase()
    const value = raw[at + 1] ?? ''
    const earlier = map.get(name)
    map.set(name, earlier === undefined ? [value] : [...earlier, value])
  }
  return map
}

/** RFC 9112 §3.2.2: an absolute form names the authority itself, and the Host header no longer counts. */
function splitAbsolute(target: string): { readonly target: string; readonly authority?: string } {
  if (target.startsWith('/')) return { target }
  const match = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target)
  const authority = match?.[1] ?? ''
  if (match === null || !isAuthority(authority)) return { target }
  const rest = match[2] ?? ''
  return { target: rest.startsWith('/') ? rest : `/${rest}`, authority }
}

function localAuthority(socket: Socket): string {
  const address = socket.localAddress
  if (address === undefined) return 'localhost'
  return `${address.includes(':') ? `[${address}]` : address}:${socket.localPort ?? 0}`
}
