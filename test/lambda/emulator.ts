import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Environment } from './environment.js'
import type { Invocation, Outcome } from './environment.js'
import { addHeader, fronts } from './fronts.js'
import type { FrontName } from './fronts.js'

export interface LambdaOptions {
  /** The folder of the unpacked bundle, such as dist/lambda/postern. */
  readonly root: string
  /** `index.handler` by default; `index.streaming` goes with `streams`. */
  readonly handler?: string
  /** What stands before it; a Function URL by default. */
  readonly front?: FrontName
  /** InvokeMode RESPONSE_STREAM of a Function URL. */
  readonly streams?: boolean
  readonly variables?: Readonly<Record<string, string>>
  /** 30 by default. */
  readonly timeoutSeconds?: number
  /** Environments at a time, 10 by default: more requests are throttled (429). */
  readonly concurrency?: number
  /** Whether environments stand still (SIGSTOP) between invocations; they do by default. */
  readonly freezes?: boolean
  /** Which request bodies are base64: those that are no text by their type (default), or all of them. */
  readonly base64?: 'binary' | 'always'
  /** Most bytes of a streamed answer: 200 MiB by default, as Function URLs have it. */
  readonly streamBytes?: number
  /** The node to run; that of the test without it. */
  readonly node?: string
}

/** A function on an emulated Lambda: environments that start when they are needed, one request at a time in each. */
export interface Lambda {
  /** Where its front answers: http://127.0.0.1:PORT, without a slash at the end. */
  readonly url: string
  /** What the function has written, line by line. */
  readonly lines: readonly string[]
  /** How the last HTTP invocations ended, the newest last: what a front hides behind its 502. */
  readonly outcomes: readonly Outcome[]
  /** Environments that have been started so far. */
  readonly coldStarts: number
  /** Processes that live. */
  pids(): readonly number[]
  /** Invokes it directly, as EventBridge and the API do. */
  invoke(event: unknown): Promise<Outcome>
  /** Ends all idle environments: the next request is a cold start. */
  recycle(): Promise<void>
  close(): Promise<void>
}

const streamedType = 'application/vnd.awslambda.http-integration-response'

export async function startLambda(options: LambdaOptions): Promise<Lambda> {
  const server = createServer()
  // What a client sends too slowly is no business of these tests.
  server.requestTimeout = 0
  const lambda = new EmulatedLambda(options, server)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    lambda.serve(request, response).catch(() => response.destroy())
  })
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    response.writeContinue()
    server.emit('request', request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return lambda
}

class EmulatedLambda implements Lambda {
  readonly lines: string[] = []
  readonly outcomes: Outcome[] = []
  readonly #options: LambdaOptions
  readonly #server: Server
  readonly #idle: Environment[] = []
  readonly #busy = new Set<Environment>()
  #coldStarts = 0

  constructor(options: LambdaOptions, server: Server) {
    this.#options = options
    this.#server = server
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get coldStarts(): number {
    return this.#coldStarts
  }

  pids(): readonly number[] {
    return [...this.#idle, ...this.#busy].map(({ pid }) => pid)
  }

  async invoke(event: unknown): Promise<Outcome> {
    return (await this.#run({ event })) ?? { kind: 'exit' }
  }

  async recycle(): Promise<void> {
    for (const environment of this.#idle.splice(0)) await environment.close()
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    for (const environment of [...this.#idle.splice(0), ...this.#busy]) await environment.close()
  }

  /** One request, as the front takes it. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const front = fronts[this.#options.front ?? 'url']
    const body = await bodyOf(request, front.requestBytes)
    if (body === undefined) {
      tell(response, 413, 'Request Entity Too Large')
      return
    }
    const event = front.event(request, body, { base64: this.#options.base64 ?? 'binary' })
    if (Buffer.byteLength(JSON.stringify(event)) > front.requestBytes) {
      tell(response, 413, 'Request Entity Too Large')
      return
    }
    const stream = (answer: IncomingMessage): Promise<void> => this.#pass(answer, request, response)
    const outcome = await this.#run(this.#options.streams === true ? { event, stream } : { event })
    if (outcome === undefined) {
      tell(response, 429, 'Rate Exceeded.')
      return
    }
    this.outcomes.push(outcome)
    if (outcome.kind === 'streamed') return
    const isSound =
      outcome.kind === 'result' &&
      Buffer.byteLength(outcome.text) <= front.responseBytes &&
      front.answer(JSON.parse(outcome.text), request, response)
    if (!isSound) tell(response, 502, 'Internal Server Error')
  }

  /** Undefined where there are too many already. */
  async #run(invocation: Invocation): Promise<Outcome | undefined> {
    const environment = this.#idle.pop() ?? (await this.#start())
    if (environment === undefined) return undefined
    this.#busy.add(environment)
    const outcome = await environment.invoke(invocation)
    this.#busy.delete(environment)
    if (environment.isOver) await environment.close()
    else this.#idle.push(environment)
    return outcome
  }

  async #start(): Promise<Environment | undefined> {
    const {
      concurrency = 10,
      root,
      handler = 'index.handler',
      variables = {},
      timeoutSeconds = 30,
      node,
    } = this.#options
    if (this.#busy.size >= concurrency) return undefined
    this.#coldStarts += 1
    return await Environment.start({
      root,
      handler,
      variables,
      timeoutSeconds,
      freezes: this.#options.freezes ?? true,
      onLine: (line) => this.lines.push(line),
      ...(node !== undefined && { node }),
    })
  }

  /** A streamed answer: JSON, eight NULs, then the body (RESPONSE_STREAM); or bytes alone, which mean 200. */
  async #pass(answer: IncomingMessage, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isHttp = answer.headers['content-type'] === streamedType
    const most = this.#options.streamBytes ?? 200 * 1024 * 1024
    let head: Buffer | undefined = Buffer.alloc(0)
    let sent = 0
    if (!isHttp) {
      head = undefined
      response.writeHead(200, ['Content-Type', 'application/octet-stream'])
    }
    for await (const piece of answer) {
      let chunk = piece as Buffer
      if (head !== undefined) {
        head = Buffer.concat([head, chunk])
        const end = head.indexOf(Buffer.alloc(8))
        if (end === -1) continue
        writePrelude(JSON.parse(head.subarray(0, end).toString()) as Prelude, request, response)
        chunk = head.subarray(end + 8)
        head = undefined
      }
      sent += chunk.length
      if (sent > most) {
        response.destroy()
        continue
      }
      if (chunk.length > 0 && !response.destroyed && !response.write(chunk)) await drained(response)
    }
    const failed = answer.trailers['lambda-runtime-function-error-type'] !== undefined || !answer.complete
    if (head !== undefined) tell(response, 502, 'Internal Server Error')
    else if (failed) response.destroy()
    else response.end()
  }
}

/** Resolves when more can be written, or nobody reads any more. */
async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const go = (): void => {
      response.off('drain', go).off('close', go)
      resolve()
    }
    response.on('drain', go).on('close', go)
  })
}

interface Prelude {
  readonly statusCode?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly cookies?: readonly string[]
}

function writePrelude(prelude: Prelude, request: IncomingMessage, response: ServerResponse): void {
  const flat: string[] = []
  for (const [name, value] of Object.entries(prelude.headers ?? {}))
    if (!addHeader(flat, name, value)) throw new Error(`a header cannot be sent: ${name}`)
  for (const cookie of prelude.cookies ?? []) addHeader(flat, 'Set-Cookie', cookie)
  const length = Object.entries(prelude.headers ?? {}).find(([name]) => name.toLowerCase() === 'content-length')
  if (request.method === 'HEAD' && length !== undefined) flat.push(...length)
  response.writeHead(prelude.statusCode ?? 200, flat)
}

async function bodyOf(request: IncomingMessage, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += (chunk as Buffer).length
    if (size <= most) chunks.push(chunk as Buffer)
  }
  return size > most ? undefined : Buffer.concat(chunks)
}

function tell(response: ServerResponse, status: number, message: string): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const text = JSON.stringify({ Message: message })
  response.writeHead(status, ['Content-Type', 'application/json', 'Content-Length', String(text.length)])
  response.end(text)
}
