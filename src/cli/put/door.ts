import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders, RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure, isFailure, type FailureKind } from '../../core/failure.js'

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  /** Called for each attempt. */
  readonly body?: () => AsyncIterable<Uint8Array> | Uint8Array
  /** Bytes of the body. */
  readonly length?: number
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export interface DoorOptions {
  /** `https://files.example.org` */
  readonly origin: string
  /** Sent to that origin and to no other. */
  readonly login: Readonly<Record<string, string>>
  readonly tries: number
  readonly caFile?: string
  readonly signal: AbortSignal
  /** Milliseconds before the second try; doubled for each further one. */
  readonly patience?: number
}

const mostReplyBytes = 8 * 2 ** 20
const silenceMilliseconds = 60_000
const mostWaitMilliseconds = 30_000

/** Speaks to a server and to those that it names. Follows no redirect: whoever it led to would get what is meant for another. */
export class Door {
  readonly #options: DoorOptions
  readonly #http = new HttpAgent({ keepAlive: true })
  readonly #https: HttpsAgent

  /** Throws `invalid` where the file with certificates cannot be read. */
  constructor(options: DoorOptions) {
    this.#options = options
    this.#https = new HttpsAgent({
      keepAlive: true,
      ...(options.caFile !== undefined && { ca: textOf(options.caFile) }),
    })
  }

  /**
   * One answer: of its own origin with the login, of others without any. Tries again where the connection breaks and where
   * the answer is 408, 429 or 5xx that may pass. Throws `unavailable` in the end, `incomplete` where the signal aborts.
   */
  async send(method: string, target: string | URL, sent: Sent = {}): Promise<Reply> {
    const { tries, signal, patience = 500 } = this.#options
    for (let tried = 1; ; tried++) {
      throwIfStopped(signal)
      let failure: Failure
      let wait = Math.min(patience * 2 ** (tried - 1), mostWaitMilliseconds) * (0.5 + Math.random() / 2)
      try {
        const reply = await this.#once(method, new URL(target, this.#options.origin), sent)
        if (!mayPass(reply.status) || tried >= tries) return reply
        failure = new Failure('unavailable', `The server answered ${reply.status}.`)
        const after = Number(reply.headers['retry-after'])
        if (after > 0) wait = Math.max(wait, Math.min(after * 1000, mostWaitMilliseconds))
      } catch (error) {
        throwIfStopped(signal)
        // What cannot be read will not be read the next time.
        if (isFailure(error)) throw error
        failure = new Failure('unavailable', `${this.#options.origin} cannot be reached: ${reasonOf(error)}.`, {
          cause: error,
        })
      }
      if (tried >= tries) throw failure
      await delay(wait, undefined, { signal }).catch(() => undefined)
    }
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }

  async #once(method: string, url: URL, { headers = {}, body, length }: Sent): Promise<Reply> {
    const { origin, login, signal } = this.#options
    const isSecure = url.protocol === 'https:'
    const bytes = body?.()
    const size = length ?? (bytes instanceof Uint8Array ? bytes.length : undefined)
    const options: RequestOptions = {
      method,
      agent: isSecure ? this.#https : this.#http,
      headers: {
        'user-agent': 'postern-put',
        ...(url.origin === origin && login),
        ...headers,
        ...(size !== undefined && { 'content-length': String(size) }),
        ...(size === undefined && method !== 'GET' && { 'content-length': '0' }),
      },
      signal,
      timeout: silenceMilliseconds,
    }
    const plain = new URL(url)
    plain.username = ''
    plain.password = ''
    const request = (isSecure ? httpsRequest : httpRequest)(plain, options)
    const answered = new Promise<Reply>((resolve, reject) => {
      request.on('error', reject)
      // Long work at the end of an upload is quiet: only a connection that stands still while bytes flow is given up.
      request.on('timeout', () => bytes !== undefined && !request.writableFinished && request.destroy(new Error('timed out'))) // prettier-ignore
      request.on('response', (response) => {
        textOfReply(response).then(
          (text) => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
          reject,
        )
      })
    })
    if (bytes === undefined || bytes instanceof Uint8Array) {
      request.end(bytes)
      return await answered
    }
    // An answer that comes before the end of the body is the answer.
    const sending = pipeline(Readable.from(bytes, { objectMode: false }), request)
    const early = answered.then((reply) => {
      if (!request.writableFinished) request.destroy()
      return reply
    })
    const [reply, outcome] = await Promise.allSettled([early, sending])
    if (reply.status === 'fulfilled') return reply.value
    throw outcome.status === 'rejected' && isFailure(outcome.reason) ? outcome.reason : reply.reason
  }
}

/** What is told apart here. */
const kinds: Readonly<Partial<Record<number, FailureKind>>> = {
  404: 'not-found',
  405: 'method',
  412: 'precondition',
  501: 'unsupported',
}

/** What a refusal says (RFC 9457 `detail`), as one line. */
export function refusalOf({ status, text, headers }: Reply): Failure {
  let detail = ''
  if (/json/.test(headers['content-type'] ?? '')) {
    try {
      const value: unknown = JSON.parse(text)
      if (typeof value === 'object' && value !== null && 'detail' in value && typeof value.detail === 'string')
        detail = value.detail.replace(/[\x00-\x1f\x7f-\x9f]/g, ' ')
    } catch {
      detail = ''
    }
  }
  if (status >= 300 && status < 400)
    detail = `It sends elsewhere (${headers.location ?? 'nowhere'}): give that address, if it is yours.`
  return new Failure(
    kinds[status] ?? 'unavailable',
    `The server answered ${status}${detail === '' ? '.' : `: ${detail}`}`,
  )
}

function mayPass(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505 && status !== 507)
}

function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw new Failure('incomplete', 'Stopped.')
}

async function textOfReply(response: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of response) {
    size += piece.length
    if (size <= mostReplyBytes) pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new Failure('invalid', `--cacert: ${file} cannot be read`, { cause })
  }
}
