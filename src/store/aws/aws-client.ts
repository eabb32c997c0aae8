import { setMaxListeners } from 'node:events'
import { Agent as HttpAgent } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { systemClock } from '../../core/clock.js'
import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import { parseHttpDate } from '../../core/http.js'
import { abortFailure, throwIfAborted } from '../aborted.js'
import type { AnswerBody } from './answer-body.js'
import type { Credentials } from './credentials.js'
import { exchange } from './exchange.js'
import type { Progress, RawAnswer } from './exchange.js'
import { isUndone, pauseBefore, retryAfterOf, verdictOf } from './retries.js'
import type { Verdict } from './retries.js'
import { Signer, canonicalQuery, payloadHash, unsignedPayload } from './sign.js'
import type { AwsCredentials } from './sign.js'

export interface AwsClientOptions {
  readonly endpoint: URL
  readonly region: string
  /** `s3`, `dynamodb`, … */
  readonly service: string
  readonly credentials: Credentials
  /** What messages call it: `The storage service`. */
  readonly title: string
  /** The error code in a body; undefined where it names none. */
  readonly codeOf: (bytes: Uint8Array, headers: IncomingHttpHeaders) => string | undefined
  readonly limits?: Partial<AwsClientLimits>
  readonly clock?: Clock
}

/** Times in milliseconds. */
export interface AwsClientLimits {
  readonly maxSockets: number
  readonly connect: number
  /** How long nothing may come or go, before the answer and within it. */
  readonly silence: number
  readonly attempts: number
  /** No further attempt begins later than so after the first. */
  readonly patience: number
  /** The most that is waited before the second attempt; it doubles with each. */
  readonly pause: number
}

export const defaultAwsLimits: AwsClientLimits = {
  maxSockets: 64,
  connect: 5_000,
  silence: 20_000,
  attempts: 4,
  patience: 45_000,
  pause: 100,
}

export interface AwsRequest {
  readonly method: string
  /** Encoded by `encodedPath`, with `/` in front. */
  readonly path: string
  /** Decoded. */
  readonly query?: Readonly<Record<string, string>>
  /** By names in lower case; `host` and `content-length` are added. */
  readonly headers?: Readonly<Record<string, string>>
  /** In place of the endpoint's, for buckets in the host name. */
  readonly hostname?: string
  /** In hand, so that it can be sent again. */
  readonly body?: readonly Uint8Array[]
  /** The hash of the body is left out of the signature. */
  readonly unsigned?: boolean
  readonly signal?: AbortSignal | undefined
  /** An answer of 200 may turn out to be an error. */
  readonly failsLate?: boolean
  /** In place of the client's `silence`, in milliseconds: for work that takes the service long. */
  readonly silence?: number
  /** Of an answer that is collected; 16 MiB without it. */
  readonly mostBytes?: number
}

/** An answer that no further attempt would better: a success, or an error that is the asker's. */
export interface AwsAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
  /** Of an error; empty where it names none. */
  readonly code: string | undefined
  readonly attempts: number
  /** An earlier attempt got no answer, so the service may have done it then. */
  readonly mayHaveBeenDone: boolean
}

/** The same, with the body of a success still to be read. */
export interface OpenAnswer extends Omit<AwsAnswer, 'bytes'> {
  readonly bytes: Buffer
  readonly body: AnswerBody | undefined
}

export interface AwsClient {
  /**
   * Sends a request, again where that makes sense. Throws `unavailable` with `retryAfterSeconds` where all attempts fail,
   * and what the signal says.
   */
  send(request: AwsRequest): Promise<AwsAnswer>
  /** The same, but gives a success as soon as its head is there; its body must be read to its end or closed. */
  open(request: AwsRequest): Promise<OpenAnswer>
  /** A URL that holds for so many seconds. */
  presign(request: AwsRequest, expiresSeconds: number): Promise<URL>
  /** Ends all connections. */
  close(): void
}

const defaultMostBytes = 16 * 1024 * 1024
const mostErrorBytes = 1024 * 1024
/** Who must wait longer is told to come back himself. */
const mostRetryAfterSeconds = 10
/** Whatever a service asks for: nobody sends his callers away for a day because of one answer. */
const mostToldSeconds = 300
/** Signatures hold for 15 minutes; a clock that is off by less is no reason for anything. */
const leastSkewMilliseconds = 60_000
const idleMilliseconds = 15_000

export function createAwsClient(options: AwsClientOptions): AwsClient {
  return new SignedClient(options)
}

interface Faults {
  attempts: number
  mayHaveBeenDone: boolean
  hasRenewed: boolean
  hasCorrected: boolean
  last: unknown
  retryAfterSeconds: number | undefined
}

class SignedClient implements AwsClient {
  readonly #options: AwsClientOptions
  readonly #limits: AwsClientLimits
  readonly #clock: Clock
  readonly #signer: Signer
  readonly #agent: HttpAgent
  readonly #endpoint: { readonly secure: boolean; readonly hostname: string; readonly port: number }
  readonly #portSuffix: string
  /** Of the service's clock, ahead of ours. */
  #skewMilliseconds = 0

  constructor(options: AwsClientOptions) {
    this.#options = options
    this.#limits = { ...defaultAwsLimits, ...options.limits }
    this.#clock = options.clock ?? systemClock
    this.#signer = new Signer(options)
    const { endpoint } = options
    const secure = endpoint.protocol === 'https:'
    const hostname = endpoint.hostname.replace(/^\[|\]$/g, '')
    this.#endpoint = { secure, hostname, port: endpoint.port === '' ? (secure ? 443 : 80) : Number(endpoint.port) }
    this.#portSuffix = endpoint.port === '' ? '' : `:${endpoint.port}`
    const agentOptions = {
      keepAlive: true,
      maxSockets: this.#limits.maxSockets,
      timeout: idleMilliseconds,
      scheduling: 'lifo' as const,
    }
    this.#agent = secure ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions)
  }

  async send(request: AwsRequest): Promise<AwsAnswer> {
    return this.#run(request, false)
  }

  async open(request: AwsRequest): Promise<OpenAnswer> {
    return this.#run(request, true)
  }

  async presign(request: AwsRequest, expiresSeconds: number): Promise<URL> {
    const credentials = await this.#options.credentials.current()
    const host = this.#host(request)
    const query = canonicalQuery(request.query ?? {})
    const { method, path } = request
    const signed =
      credentials === undefined
        ? query
        : this.#signer.query(
            { method, path, query, headers: { ...request.headers, host }, payload: unsignedPayload },
            credentials,
            this.#now(),
            expiresSeconds,
          )
    return new URL(`${this.#options.endpoint.protocol}//${host}${path}${signed === '' ? '' : `?${signed}`}`)
  }

  close(): void {
    this.#agent.destroy()
  }

  async #run(request: AwsRequest, isOpen: boolean): Promise<OpenAnswer> {
    const { signal, body = [] } = request
    // One signal may end as many requests at once as there are connections.
    if (signal !== undefined) setMaxListeners(0, signal)
    const started = performance.now()
    const query = canonicalQuery(request.query ?? {})
    const payload = request.unsigned === true && body.length > 0 ? unsignedPayload : payloadHash(body)
    const faults: Faults = {
      attempts: 0,
      mayHaveBeenDone: false,
      hasRenewed: false,
      hasCorrected: false,
      last: undefined,
      retryAfterSeconds: undefined,
    }
    for (;;) {
      throwIfAborted(signal)
      const credentials = await this.#options.credentials.current()
      faults.attempts += 1
      const progress: Progress = { sent: false, reused: false }
      let pause: number
      try {
        const answer = await this.#once(request, query, payload, credentials, progress, isOpen, faults)
        const verdict =
          answer.code === undefined && answer.status < 300 ? 'final' : this.#judged(answer, credentials, faults)
        if (verdict === 'final') return answer
        faults.mayHaveBeenDone ||= !isUndone(answer.status, answer.code)
        faults.retryAfterSeconds = retryAfterOf(answer.headers['retry-after'])
        faults.last = new Error(`${request.method} ${request.path}: ${answer.status} ${answer.code ?? ''}`.trimEnd())
        pause = this.#pauseFor(verdict, faults)
      } catch (error) {
        if (error instanceof Failure) throw error
        faults.mayHaveBeenDone ||= progress.sent
        faults.retryAfterSeconds = undefined
        faults.last = error
        pause = progress.reused && faults.attempts === 1 ? 0 : this.#pauseFor('again', faults)
      }
      const hasTime = performance.now() - started + pause < this.#limits.patience
      if (faults.attempts >= this.#limits.attempts || !hasTime || pause > mostRetryAfterSeconds * 1000)
        throw this.#unavailable(faults)
      if (pause > 0) await wait(pause, signal)
    }
  }

  async #once(
    request: AwsRequest,
    query: string,
    payload: string,
    credentials: AwsCredentials | undefined,
    progress: Progress,
    isOpen: boolean,
    faults: Faults,
  ): Promise<OpenAnswer> {
    const { method, path, body = [], signal, failsLate = false } = request
    const headers: Record<string, string> = { ...request.headers, host: this.#host(request) }
    const length = body.reduce((sum, piece) => sum + piece.length, 0)
    if (length > 0 || method === 'PUT' || method === 'POST') headers['content-length'] = String(length)
    const sent =
      credentials === undefined
        ? headers
        : this.#signer.headers({ method, path, query, headers, payload }, credentials, this.#now())
    const raw = await exchange(
      {
        endpoint: request.hostname === undefined ? this.#endpoint : { ...this.#endpoint, hostname: request.hostname },
        agent: this.#agent,
        method,
        target: query === '' ? path : `${path}?${query}`,
        headers: sent,
        body,
        signal,
        connectMilliseconds: this.#limits.connect,
        silenceMilliseconds: request.silence ?? this.#limits.silence,
      },
      progress,
    )
    const { attempts, mayHaveBeenDone } = faults
    const rest = { status: raw.status, headers: raw.headers, attempts, mayHaveBeenDone }
    if (isOpen && raw.status < 300) return { ...rest, bytes: noBytes, code: undefined, body: raw.body }
    const bytes = await raw.body.collect(raw.status < 300 ? (request.mostBytes ?? defaultMostBytes) : mostErrorBytes)
    const isError = raw.status >= 300 || failsLate
    return { ...rest, bytes, code: isError ? this.#codeOf(bytes, raw) : undefined, body: undefined }
  }

  #codeOf(bytes: Uint8Array, { headers, status }: RawAnswer): string | undefined {
    return this.#options.codeOf(bytes, headers) ?? (status < 300 ? undefined : '')
  }

  #judged(answer: OpenAnswer, credentials: AwsCredentials | undefined, faults: Faults): Verdict {
    const verdict = verdictOf(answer.status, answer.code)
    if (verdict === 'other-credentials') {
      if (faults.hasRenewed || credentials === undefined) return 'final'
      faults.hasRenewed = true
      this.#options.credentials.expired(credentials)
      return verdict
    }
    if (verdict !== 'other-clock') return verdict
    const theirs = parseHttpDate(answer.headers.date)
    if (theirs === undefined || faults.hasCorrected) return 'final'
    const skew = theirs - this.#clock.now()
    if (Math.abs(skew - this.#skewMilliseconds) < leastSkewMilliseconds) return 'final'
    faults.hasCorrected = true
    this.#skewMilliseconds = skew
    return verdict
  }

  /** Milliseconds. */
  #pauseFor(verdict: Verdict, { attempts, retryAfterSeconds = 0 }: Faults): number {
    if (verdict === 'other-clock' || verdict === 'other-credentials') return 0
    const base = verdict === 'slower' ? this.#limits.pause * 4 : this.#limits.pause
    return Math.max(pauseBefore(attempts, base), retryAfterSeconds * 1000)
  }

  #unavailable({ last, retryAfterSeconds, attempts }: Faults): Failure {
    const { title } = this.#options
    return new Failure('unavailable', `${title} cannot be reached or is too busy. Try again soon.`, {
      retryAfterSeconds: Math.min(Math.max(retryAfterSeconds ?? 0, 5), mostToldSeconds),
      cause: new Error(`${title}: ${attempts} attempts`, { cause: last }),
    })
  }

  #host({ hostname }: AwsRequest): string {
    return `${hostname ?? this.#options.endpoint.hostname}${this.#portSuffix}`
  }

  #now(): number {
    return this.#clock.now() + this.#skewMilliseconds
  }
}

const noBytes = Buffer.alloc(0)

function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer)
      if (signal !== undefined) reject(abortFailure(signal))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, milliseconds)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
