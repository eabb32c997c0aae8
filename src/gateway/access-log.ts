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

/** Takes lines that are JSON already. */
export interface RequestLines {
  /** `members` of the object, as text, without what every line begins with. */
  write(level: 'info' | 'warn', members: string): void
}

/** One structured line per request. Queries and credentials stay out of it: they may be secrets. */
export class AccessLog {
  readonly #log: Logger
  readonly #lines: RequestLines

  /** @param lines without it, the logger makes the lines, which costs four times as much */
  constructor(log: Logger, lines: RequestLines = linesOf(log)) {
    this.#log = log
    this.#lines = lines
  }

  /** Writes the line. Requests that the gateway never saw (refused by the transport) have no notes. */
  write({ request, received, sent }: FinishedExchange, notes: RequestNotes | undefined): void {
    const level = sent.status >= 500 || sent.error !== undefined ? 'warn' : 'info'
    if (!this.#log.isLevelEnabled(level)) return
    const path = printable(pathOf(request.target))
    const { address } = request.peer
    const agent = header(request, 'user-agent')
    let line = notes === undefined ? '' : `"id":"${notes.id}",`
    line += `"method":${quoted(request.method)},"path":${quoted(path)},"status":${sent.status},"received":${received},"sent":${sent.bodyBytes}`
    if (notes !== undefined) line += `,"ms":${Math.round((performance.now() - notes.started) * 100) / 100}`
    if (notes?.user !== undefined) line += `,"user":${quoted(printable(notes.user))}`
    if (address !== undefined) line += `,"address":${quoted(address)}`
    if (agent !== undefined) line += `,"agent":${quoted(printable(agent.slice(0, 200)))}`
    if (notes !== undefined) line += `,"surface":"${notes.surface}"`
    line += `,"listener":${quoted(request.listener)}`
    if (notes?.failure !== undefined) line += `,"failure":"${notes.failure}"`
    if (!sent.complete) line += ',"incomplete":true'
    if (sent.error !== undefined) line += `,"err":${JSON.stringify(errorOf(sent.error))}`
    this.#lines.write(level, `${line},"msg":${quoted(`${request.method} ${path} ${sent.status}`)}`)
  }
}

function linesOf(log: Logger): RequestLines {
  return {
    write(level, members) {
      const { msg, ...facts } = JSON.parse(`{${members}}`) as { readonly msg: string }
      log[level](facts, msg)
    },
  }
}

/** As the logger shows errors. */
function errorOf(error: unknown): object | string {
  if (!(error instanceof Error)) return String(error)
  return { type: error.name, message: error.message, stack: error.stack }
}

/** Text as JSON. */
function quoted(text: string): string {
  return /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text) ? `"${text}"` : JSON.stringify(text)
}

/** Text from outside without anything that could drive a terminal or forge a line. */
export function printable(text: string): string {
  return /^[\x20-\x7e]*$/.test(text)
    ? text
    : text.replace(
        /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
        (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
}

function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return mark === -1 ? target : target.slice(0, mark)
}
