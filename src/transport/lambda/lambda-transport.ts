import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { Failure } from '../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../core/http.js'
import type { Exchange } from '../exchange.js'
import type { ProxyTrust } from '../forwarded.js'
import { refusalOf } from '../request-check.js'
import type { HeaderLimits } from '../request-check.js'
import type { Sent } from '../response-writer.js'
import { announcedBytes, headOf } from './answer-head.js'
import type { AnswerHead } from './answer-head.js'
import { AnswerBody } from './body-bytes.js'
import { bufferedResult, mostBytes } from './buffered-answer.js'
import type { BufferedResult } from './buffered-answer.js'
import { readEvent } from './event.js'
import type { EventHead, FrontKind, LambdaCall } from './event.js'
import { headerBytesOf, LambdaRequest } from './lambda-request.js'
import { streamedBytes } from './limits.js'
import type { BufferedHandler, JobResult, LambdaContext, ManagedRuntime, StreamingHandler } from './managed-runtime.js'
import { outOfTime, TimeLeft } from './time-left.js'

export interface LambdaTransportOptions {
  /** Answers a request. What it throws becomes a bare 500. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
  /** An answer in the words of the request's dialect, in place of the one that cannot be sent. Never throws. */
  readonly refuse: (failure: Failure, request: HttpRequest) => HttpResponse
  /** Told of every exchange when it is over. */
  readonly onExchange: (exchange: Exchange) => void
  /** Proxies before the front whose word on the client counts. */
  readonly trust: ProxyTrust
  readonly limits: HeaderLimits
  /** Runs one job, or `all` that are due, and gives what they did; absent: there are none. Throws what went wrong. */
  readonly runJobs?: (name: string, signal: AbortSignal) => Promise<unknown>
  /** Writes what waits to be written, before an invocation ends: the process stands still after it. Never rejects. */
  readonly settle?: () => Promise<void>
}

/** The two ways in which the managed runtime can call a function. Both take every event that `readEvent` knows, and throw what it throws. */
export interface LambdaTransport {
  readonly buffered: BufferedHandler
  readonly streaming: (runtime: ManagedRuntime) => StreamingHandler
}

/** An answer that is ready to go, and how it went. */
interface Outgoing {
  readonly head: AnswerHead
  readonly body: Uint8Array
  readonly sent: Sent
}

/** An answer whose body is still to come. */
interface Streamable {
  readonly head: AnswerHead
  readonly body: AnswerBody
  /** Of the body; ends with a failure where the time is over before. */
  readonly pieces: AsyncGenerator<Uint8Array>
  /** Its length, where that is known. */
  readonly announced?: number | undefined
  readonly error?: unknown
}

/** Requests and jobs that come as events of AWS Lambda. */
export function createLambdaTransport(options: LambdaTransportOptions): LambdaTransport {
  const transport = new EventTransport(options)
  return {
    buffered: (event, context) => transport.buffered(event, context),
    streaming: (runtime) => (event, stream, context) => transport.streaming(runtime, event, stream, context),
  }
}

class EventTransport {
  readonly #options: LambdaTransportOptions

  constructor(options: LambdaTransportOptions) {
    this.#options = options
  }

  async buffered(event: unknown, context: LambdaContext): Promise<BufferedResult | JobResult> {
    return await this.#inTime(context, (time) => this.#result(readEvent(event), time))
  }

  async streaming(runtime: ManagedRuntime, event: unknown, stream: Writable, context: LambdaContext): Promise<void> {
    await this.#inTime(context, async (time) => {
      const call = readEvent(event)
      if (call.kind === 'http' && call.head.front === 'url') await this.#stream(call.head, runtime, stream, time)
      else if (call.kind === 'refused' && call.front === 'url') {
        const { head, body } = plain(call.failure)
        begun(runtime, stream, head).end(body)
      }
      // Nobody but Function URLs takes a stream; for the others its bytes are the result.
      else stream.end(JSON.stringify(await this.#result(call, time)))
    })
  }

  async #inTime<T>(context: LambdaContext, work: (time: TimeLeft) => Promise<T>): Promise<T> {
    const time = new TimeLeft(context)
    try {
      return await work(time)
    } finally {
      time.end()
      await this.#options.settle?.()
    }
  }

  async #result(call: LambdaCall, time: TimeLeft): Promise<BufferedResult | JobResult> {
    if (call.kind === 'job') return { jobs: await this.#job(call.name, time) }
    if (call.kind === 'refused') {
      const { head, body } = plain(call.failure)
      return resultOf(call.front, head, body)
    }
    const { front } = call.head
    const request = this.#requestOf(call.head, time)
    const collected = await time.within(this.#collected(request, front))
    const { head, body, sent } = collected ?? this.#late(request)
    this.#options.onExchange({ request, sent, received: request.received })
    return resultOf(front, head, body)
  }

  async #job(name: string, time: TimeLeft): Promise<unknown> {
    const { runJobs } = this.#options
    if (runJobs === undefined) throw new Failure('unsupported', 'This function runs no jobs.')
    const ran = await time.within(runJobs(name, time.signal).then((report) => ({ report })))
    if (ran === undefined) throw outOfTime()
    return ran.report
  }

  #requestOf(head: EventHead, time: TimeLeft): LambdaRequest {
    return new LambdaRequest(head, this.#options.trust, time.signal)
  }

  async #answer(request: LambdaRequest): Promise<HttpResponse> {
    const { method, target, headers } = request
    const headerCount = [...headers.values()].reduce((count, values) => count + values.length, 0)
    const refusal = refusalOf(
      { method, target, version: '1.1', headers, headerCount, headerBytes: headerBytesOf(headers) },
      this.#options.limits,
    )
    if (refusal !== undefined) return { status: refusal, headers: [] }
    try {
      return await this.#options.handle(request)
    } catch {
      return { status: 500, headers: [] }
    }
  }

  /** The whole answer, or what is said in its place; never rejects. */
  async #collected(request: LambdaRequest, front: FrontKind): Promise<Outgoing> {
    const response = await this.#answer(request)
    const body = new AnswerBody(response.body)
    try {
      const head = headOf(response)
      if (head === undefined) return broken(new Error('a response header cannot be written'))
      if (isBare(request, response.status)) return outgoing(head, Buffer.alloc(0))
      if (isEndless(head)) return this.#instead(new Failure('unsupported', endless), request)
      const announced = announcedBytes(response)
      const most = mostBytes(front)
      if (announced !== undefined && announced > most) return this.#tooLarge(request, announced)
      const chunks: Uint8Array[] = []
      let size = 0
      for await (const chunk of body.pieces()) {
        size += chunk.length
        if (size > most) return this.#tooLarge(request, size)
        chunks.push(chunk)
      }
      if (announced !== undefined && announced !== size) return broken(wrongLength())
      const [only, ...others] = chunks
      const whole = only !== undefined && others.length === 0 ? only : Buffer.concat(chunks)
      return bufferedResult(front, head, whole) === undefined ? this.#tooLarge(request, size) : outgoing(head, whole)
    } catch (error) {
      // Nothing has gone out yet.
      return error instanceof Failure ? this.#instead(error, request, error) : broken(error)
    } finally {
      await body.drop().catch(() => undefined)
    }
  }

  async #stream(eventHead: EventHead, runtime: ManagedRuntime, stream: Writable, time: TimeLeft): Promise<void> {
    const request = this.#requestOf(eventHead, time)
    const { head, body, pieces, announced, error } = await this.#streamable(request, time)
    let sent: Sent = { status: head.status, bodyBytes: 0, complete: false, ...(error !== undefined && { error }) }
    let to: Writable | undefined
    try {
      to = begun(runtime, stream, head)
      for await (const chunk of pieces) {
        sent = { ...sent, bodyBytes: sent.bodyBytes + chunk.length }
        if (announced !== undefined && sent.bodyBytes > announced) throw wrongLength()
        if (sent.bodyBytes > streamedBytes) throw tooLarge(sent.bodyBytes)
        if (chunk.length > 0 && !to.write(chunk)) await time.within(once(to, 'drain'))
      }
      if (announced !== undefined && sent.bodyBytes < announced) throw wrongLength()
      to.end()
      sent = { ...sent, complete: true }
    } catch (cause) {
      // Whoever listens comes back, and goes on where they were.
      if (to !== undefined && isEndless(head) && time.signal.aborted) {
        to.end()
        return
      }
      sent = { ...sent, error: cause }
      // The platform breaks the answer off where its function fails: no client takes a part for the whole.
      throw cause
    } finally {
      await body.drop().catch(() => undefined)
      this.#options.onExchange({ request, sent, received: request.received })
    }
  }

  /** What is streamed, whose head can be sent. */
  async #streamable(request: LambdaRequest, time: TimeLeft): Promise<Streamable> {
    const answering = this.#answer(request)
    const response = await time.within(answering)
    if (response === undefined) {
      void answering.then(({ body }) => new AnswerBody(body).drop()).catch(() => undefined)
      return streamable(this.#late(request))
    }
    const body = new AnswerBody(response.body)
    const head = headOf(response)
    const bare = isBare(request, response.status)
    const announced = bare ? undefined : announcedBytes(response)
    const isTooLarge = announced !== undefined && announced > streamedBytes
    if (head !== undefined && !bare && !isTooLarge)
      return { head, body, pieces: timely(body.pieces(), time), announced }
    await body.drop().catch(() => undefined)
    if (head === undefined) return streamable(broken(new Error('a response header cannot be written')))
    return streamable(isTooLarge ? this.#tooLarge(request, announced) : outgoing(head, Buffer.alloc(0)))
  }

  #late(request: LambdaRequest): Outgoing {
    const failure = outOfTime()
    return this.#instead(failure, request, failure)
  }

  #tooLarge(request: LambdaRequest, bytes: number): Outgoing {
    return this.#instead(tooLarge(bytes), request)
  }

  #instead(failure: Failure, request: LambdaRequest, error?: unknown): Outgoing {
    const response = this.#options.refuse(failure, request)
    const head = headOf(response)
    const body =
      response.body instanceof Uint8Array && !isBare(request, response.status) ? response.body : Buffer.alloc(0)
    return head === undefined ? broken(error) : outgoing(head, body, error)
  }
}

function begun(runtime: ManagedRuntime, stream: Writable, { status, headers, cookies }: AnswerHead): Writable {
  const to = runtime.HttpResponseStream.from(stream, {
    statusCode: status,
    headers: Object.fromEntries(headers),
    ...(cookies.length > 0 && { cookies }),
  })
  // What ends without a write has no head.
  to.write('')
  return to
}

function streamable({ head, body: bytes, sent }: Outgoing): Streamable {
  const body = new AnswerBody(bytes)
  return { head, body, pieces: body.pieces(), error: sent.error }
}

/** What comes while there is time. Throws where there is none left. */
async function* timely(pieces: AsyncGenerator<Uint8Array>, time: TimeLeft): AsyncGenerator<Uint8Array> {
  for (;;) {
    const next = await time.within(pieces.next())
    if (next === undefined) throw outOfTime()
    if (next.done === true) return
    yield next.value
  }
}

/** Events, which go on until somebody ends them (HTML standard, server-sent events). */
function isEndless({ headers }: AnswerHead): boolean {
  return headers.some(([name, value]) => name.toLowerCase() === 'content-type' && /^text\/event-stream\b/i.test(value))
}

const endless =
  'This function gives answers whole, and this one has no end. Ask now and again instead, or stream answers.'

function isBare({ method }: HttpRequest, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}

/** Of an answer that is known to fit, as all that are made here do. */
function resultOf(front: FrontKind, head: AnswerHead, body: Uint8Array): BufferedResult {
  return bufferedResult(front, head, body) ?? { statusCode: 500, body: '', isBase64Encoded: false }
}

function outgoing(head: AnswerHead, body: Uint8Array, error?: unknown): Outgoing {
  return {
    head,
    body,
    sent: { status: head.status, bodyBytes: body.length, complete: true, ...(error !== undefined && { error }) },
  }
}

function broken(error: unknown): Outgoing {
  return outgoing({ status: 500, headers: [], cookies: [] }, Buffer.alloc(0), error)
}

/** What is said of a request that is none, before anything else has looked at it. */
function plain({ kind, message }: Failure): Pick<Outgoing, 'head' | 'body'> {
  const headers = [
    ['Content-Type', 'text/plain; charset=utf-8'],
    ['Cache-Control', 'no-store'],
  ] as const
  return {
    head: { status: kind === 'unsupported' ? 501 : 400, headers, cookies: [] },
    body: Buffer.from(`${message}\n`),
  }
}

function wrongLength(): Error {
  return new Error('a response body is not as long as announced')
}

function tooLarge(bytes: number): Failure {
  return new Failure(
    'unsupported',
    `This answer has at least ${bytes} bytes, more than this function can give at once. Ask for a range of it, or stream answers.`,
  )
}
