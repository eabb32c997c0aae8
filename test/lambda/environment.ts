import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

/** What a function is told, and what takes its answer. */
export interface Invocation {
  readonly event: unknown
  /** Where a streamed answer goes as it comes; without it, it is collected. */
  readonly stream?: (answer: IncomingMessage) => Promise<void>
}

/** How an invocation ended. */
export type Outcome =
  /** The text that a handler's result is as JSON. */
  | { readonly kind: 'result'; readonly text: string }
  | { readonly kind: 'streamed' }
  | { readonly kind: 'error'; readonly error: FunctionError }
  | { readonly kind: 'timeout' }
  /** The process ended in the middle. */
  | { readonly kind: 'exit' }

export interface FunctionError {
  readonly errorType: string
  readonly errorMessage: string
}

export interface EnvironmentOptions {
  /** The folder of the unpacked bundle. */
  readonly root: string
  /** `index.handler`. */
  readonly handler: string
  readonly variables: Readonly<Record<string, string>>
  readonly timeoutSeconds: number
  /** Takes what the process writes, line by line. */
  readonly onLine: (line: string) => void
  /** Whether the process stands still between invocations, as on Lambda. */
  readonly freezes: boolean
  /** The node to run; that of the test without it. */
  readonly node?: string
}

const runtime = fileURLToPath(new URL('./runtime.mjs', import.meta.url))

/** One execution environment: a process with a Runtime API of its own, which answers one invocation at a time. */
export class Environment {
  readonly #options: EnvironmentOptions
  readonly #server: Server
  readonly #child: ChildProcess
  #waiting: ServerResponse | undefined
  #current:
    { readonly id: string; readonly invocation: Invocation; readonly settle: (outcome: Outcome) => void } | undefined
  #initError: FunctionError | undefined
  #over = false

  private constructor(options: EnvironmentOptions, server: Server, child: ChildProcess) {
    this.#options = options
    this.#server = server
    this.#child = child
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
    child.once('exit', () => {
      this.#over = true
      const error = this.#initError
      this.#settle(error === undefined ? { kind: 'exit' } : { kind: 'error', error })
    })
  }

  /** A cold start. */
  static async start(options: EnvironmentOptions): Promise<Environment> {
    const server = createServer()
    server.keepAliveTimeout = 0
    server.requestTimeout = 0
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const child = spawn(options.node ?? process.execPath, [runtime], {
      cwd: options.root,
      env: {
        TZ: ':UTC',
        AWS_LAMBDA_FUNCTION_NAME: 'postern',
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '1769',
        AWS_REGION: 'eu-west-1',
        ...options.variables,
        AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`,
        LAMBDA_TASK_ROOT: options.root,
        _HANDLER: options.handler,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      let rest = ''
      stream.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) options.onLine(line)
      })
    }
    return new Environment(options, server, child)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** It will answer nothing any more. */
  get isOver(): boolean {
    return this.#over
  }

  /** Hands it one event; never rejects. Not to be called again before the outcome is there. */
  async invoke(invocation: Invocation): Promise<Outcome> {
    const { timeoutSeconds } = this.#options
    let timer: NodeJS.Timeout | undefined
    const outcome = await new Promise<Outcome>((resolve) => {
      if (this.#over) {
        resolve({ kind: 'exit' })
        return
      }
      this.#current = { id: randomUUID(), invocation, settle: resolve }
      timer = setTimeout(() => resolve({ kind: 'timeout' }), timeoutSeconds * 1000)
      this.#deliver()
    })
    clearTimeout(timer)
    this.#current = undefined
    // The platform throws away what has not come back in time.
    if (outcome.kind === 'timeout') await this.close()
    return outcome
  }

  async close(): Promise<void> {
    this.#over = true
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await gone
    }
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #settle(outcome: Outcome): void {
    this.#current?.settle(outcome)
  }

  #deliver(): void {
    const response = this.#waiting
    const current = this.#current
    if (response === undefined || current === undefined) return
    this.#waiting = undefined
    if (this.#options.freezes) this.#child.kill('SIGCONT')
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Lambda-Runtime-Aws-Request-Id': current.id,
      'Lambda-Runtime-Deadline-Ms': String(Date.now() + this.#options.timeoutSeconds * 1000),
      'Lambda-Runtime-Invoked-Function-Arn': 'arn:aws:lambda:eu-west-1:123456789012:function:postern',
      'Lambda-Runtime-Trace-Id': 'Root=1-00000000-000000000000000000000000;Sampled=0',
    })
    response.end(JSON.stringify(current.invocation.event))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').replace('/2018-06-01/runtime/', '')
    if (path === 'invocation/next') {
      this.#waiting = response
      if (this.#current === undefined && this.#options.freezes) this.#child.kill('SIGSTOP')
      this.#deliver()
      return
    }
    const [, id, what] = /^invocation\/([^/]+)\/(response|error)$/.exec(path) ?? []
    if (path === 'init/error') this.#initError = JSON.parse(await textOf(request)) as FunctionError
    else if (id === undefined || id !== this.#current?.id) request.resume()
    else if (what === 'error')
      this.#settle({ kind: 'error', error: JSON.parse(await textOf(request)) as FunctionError })
    else if (request.headers['lambda-runtime-function-response-mode'] === 'streaming') {
      const { stream } = this.#current.invocation
      if (stream === undefined) this.#settle({ kind: 'result', text: await textOf(request) })
      else {
        await stream(request)
        this.#settle({ kind: 'streamed' })
      }
    } else this.#settle({ kind: 'result', text: await textOf(request) })
    response.writeHead(202).end()
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
