/**
 * A request as a transport hands it over. Not the WHATWG `Request`: that one rewrites the path, which breaks signatures
 * and scopes.
 */
export interface HttpRequest {
  readonly method: string
  /** `path?query` exactly as sent. */
  readonly target: string
  /** Lower-case names; repeats keep their order. */
  readonly headers: ReadonlyMap<string, readonly string[]>
  /**
   * The body without its transfer coding. The first pull sends `100 Continue` where the client waits for it. Throws
   * `incomplete` when it ends early. May be read once.
   */
  readonly body: AsyncIterable<Uint8Array>
  /** The configured name of the listener that took it. */
  readonly listener: string
  /** What the client sees, as trusted proxies say. */
  readonly origin: { readonly scheme: 'http' | 'https'; readonly authority: string }
  readonly peer: {
    readonly address?: string
    /** The connection itself comes from a trusted proxy. */
    readonly trusted?: true
  }
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  readonly headers: readonly Header[]
  readonly body?: Uint8Array | FileRange | AsyncIterable<Uint8Array>
}

export type Header = readonly [name: string, value: string]

/**
 * Bytes `[start, end)` of an open file. Whoever is handed one owns the descriptor and must call `close` exactly once,
 * whatever happens; a transport may read it in the fastest way it knows.
 */
export interface FileRange {
  readonly fd: number
  readonly start: number
  readonly end: number
  close(): void
}

export function isFileRange(body: unknown): body is FileRange {
  return typeof body === 'object' && body !== null && 'fd' in body && 'start' in body
}

/** The value of a header, repeats joined by `, ` (RFC 9110 §5.3); undefined without one. */
export function header(request: { readonly headers: HttpRequest['headers'] }, name: string): string | undefined {
  const values = request.headers.get(name)
  if (values === undefined) return undefined
  return values.length === 1 ? values[0] : values.join(', ')
}

let lastSecond = -1
let lastDate = ''

/** An HTTP date (RFC 9110 §5.6.7), as of the whole second. */
export function httpDate(milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    lastDate = new Date(second * 1000).toUTCString()
  }
  return lastDate
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const fixedDate = /^[A-Z][a-z]{2}, (\d\d?) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/
const rfc850Date = /^[A-Z][a-z]{5,8}, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d):(\d\d):(\d\d) GMT$/
const asctimeDate = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/

/**
 * Milliseconds of an HTTP date in one of its three forms (RFC 9110 §5.6.7), whatever the time zone of the server;
 * undefined for anything else, which §13.1 wants ignored. Never throws.
 */
export function parseHttpDate(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const found = fixedDate.exec(text) ?? rfc850Date.exec(text)
  if (found !== null) {
    const [, day, month, year = '', ...time] = found
    // Two digits: no file is older than Unix.
    const century = year.length === 4 ? 0 : Number(year) < 70 ? 2000 : 1900
    return timeOf(century + Number(year), month, day, time)
  }
  const [, month, day, ...rest] = asctimeDate.exec(text) ?? []
  return month === undefined ? undefined : timeOf(Number(rest[3]), month, day, rest)
}

function timeOf(year: number, month = '', day: string | undefined, clock: readonly string[]): number | undefined {
  const [hours = 0, minutes = 0, seconds = 0] = clock.map(Number)
  if (hours > 23 || minutes > 59 || seconds > 60) return undefined
  const time = Date.UTC(year, months.indexOf(month), Number(day), hours, minutes, seconds)
  // A day that the month does not have would run over into the next one.
  return months.includes(month) && new Date(time - seconds * 1000).getUTCDate() === Number(day) ? time : undefined
}
