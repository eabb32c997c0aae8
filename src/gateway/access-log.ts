import type { Logger } from 'pino'
import { header } from '../core/http.js'
import type { HttpRequest } from '../core/http.js'

/** What the gateway finds out about a request on its way. */
export interface RequestNotes {
  /** Unique among the requests of this installation, for all practical purposes. */
  readonly id: string
  /** Of `performance.now()`. */
  readonly started: number
  surface: string
  /** The identity, as `source:name`. */
  user: string | undefined
  /** Why it was refused, as a failure kind. */
  failure: string | undefined
}

/** How a request ended, as its transport saw it. */
export interface FinishedExchange {
  readonly request: HttpRequest
  /** Bytes of the request body that came in. */
  readonly received: number
  readonly sent: {
    readonly status: number
    readonly bodyBytes: number
    readonly complete: boolean
    readonly error?: unknown
  }
}

/** One structured line per request. Queries and credentials stay out of it: they may be secrets. */
export class AccessLog {
  readonly #log: Logger
  readonly #notes = new WeakMap<HttpRequest, RequestNotes>()

  constructor(log: Logger) {
    this.#log = log
  }

  begin(request: HttpRequest, notes: RequestNotes): void {
    this.#notes.set(request, notes)
  }

  /** Writes the line. Requests that the gateway never saw (refused by the transport) have fewer facts. */
  write({ request, received, sent }: FinishedExchange): void {
    const level = sent.status >= 500 || sent.error !== undefined ? 'warn' : 'info'
    if (!this.#log.isLevelEnabled(level)) return
    const notes = this.#notes.get(request)
    const path = printable(pathOf(request.target))
    const userAgent = header(request, 'user-agent')
    this.#log[level](
      {
        id: notes?.id,
        method: request.method,
        path,
        status: sent.status,
        received,
        sent: sent.bodyBytes,
        ms: notes === undefined ? undefined : Math.round((performance.now() - notes.started) * 100) / 100,
        user: notes?.user === undefined ? undefined : printable(notes.user),
        address: request.peer.address,
        agent: userAgent === undefined ? undefined : printable(userAgent.slice(0, 200)),
        surface: notes?.surface,
        listener: request.listener,
        failure: notes?.failure,
        ...(sent.complete ? {} : { incomplete: true }),
        ...(sent.error === undefined ? {} : { err: sent.error }),
      },
      `${request.method} ${path} ${sent.status}`,
    )
  }
}

/** Text from outside without anything that could drive a terminal or forge a line. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return mark === -1 ? target : target.slice(0, mark)
}
