import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import type { Forwarded, ProxyTrust } from './forwarded.js'
import { isAuthority, plainAddress, readForwarded } from './forwarded.js'
import type { RequestBody } from './request-body.js'

/** A request of `node:http` as the rest of Postern sees it. What is seldom asked for is worked out when it is. */
export class NodeRequest implements HttpRequest {
  readonly method: string
  readonly target: string
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly body: RequestBody
  readonly listener: string
  readonly #socket: Socket
  readonly #secure: boolean
  readonly #trust: ProxyTrust
  readonly #absoluteAuthority: string | undefined
  #forwarded: Forwarded | undefined
  #abort: AbortController | undefined
  #gone = false

  constructor(incoming: IncomingMessage, body: RequestBody, listener: string, secure: boolean, trust: ProxyTrust) {
    this.method = incoming.method ?? 'GET'
    this.headers = headerMap(incoming.rawHeaders)
    this.body = body
    this.listener = listener
    this.#socket = incoming.socket
    this.#secure = secure
    this.#trust = trust
    const { target, authority } = splitAbsolute(incoming.url ?? '/')
    this.target = target
    this.#absoluteAuthority = authority
  }

  /** Throws `invalid` for two hosts or an unusable one (RFC 9112 §3.2), `unsupported` for a transfer coding but chunked (§6.1). */
  check(): void {
    const codings = this.headers.get('transfer-encoding')
    if (codings !== undefined && codings.join(',').trim().toLowerCase() !== 'chunked')
      throw new Failure('unsupported', 'The only transfer coding here is chunked.')
    const hosts = this.headers.get('host')
    if (hosts === undefined) return
    if (hosts.length > 1 || (hosts[0] !== '' && !isAuthority(hosts[0] ?? '')))
      throw new Failure('invalid', 'The Host header must be one valid host.')
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
    const host = this.#absoluteAuthority ?? this.headers.get('host')?.[0]
    const direct: Forwarded = {
      scheme: this.#secure ? 'https' : 'http',
      authority: host === undefined || host === '' ? localAuthority(this.#socket) : host.toLowerCase(),
      ...(address === undefined ? {} : { address }),
    }
    this.#forwarded = readForwarded(this.headers, direct, this.#trust)
    return this.#forwarded
  }
}

function clientGone(): Failure {
  return new Failure('incomplete', 'The client went away.')
}

function headerMap(raw: readonly string[]): Map<string, readonly string[]> {
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
