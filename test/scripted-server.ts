import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** A request as the server has taken it. */
export interface Taken {
  readonly method: string
  readonly target: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  /** Which connection it came over, counted from 0. */
  readonly connection: number
}

/** What is done with a request. */
export type Act = (response: ServerResponse, taken: Taken) => void

/** A server that does with each request what comes next in a script; at its end, the last again and again. */
export interface ScriptedServer {
  readonly url: URL
  readonly taken: readonly Taken[]
  /** Connections so far. */
  readonly connections: number
  /** Begins a new script. */
  play(...acts: readonly Act[]): void
  /** Ends all connections that wait for nothing. */
  closeIdle(): void
  close(): Promise<void>
}

export async function openScriptedServer(...script: readonly Act[]): Promise<ScriptedServer> {
  const taken: Taken[] = []
  let acts = [...script]
  let connections = 0
  const numbers = new WeakMap<object, number>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('error', () => undefined)
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const one = {
        method,
        target: url,
        headers,
        body: Buffer.concat(chunks),
        connection: numbers.get(request.socket) ?? -1,
      }
      taken.push(one)
      const act = acts.length > 1 ? acts.shift() : acts[0]
      act?.(response, one)
    })
  })
  server.on('connection', (socket) => numbers.set(socket, connections++))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    taken,
    get connections() {
      return connections
    },
    play(...next) {
      acts = [...next]
      taken.length = 0
    },
    closeIdle: () => server.closeIdleConnections(),
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** An answer with headers and a body. */
export function answer(
  status: number,
  body: string | Uint8Array = '',
  headers: Readonly<Record<string, string>> = {},
): Act {
  return (response) => {
    response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers })
    response.end(body)
  }
}

/** An error of S3. */
export function s3Error(status: number, code: string, headers: Readonly<Record<string, string>> = {}): Act {
  return answer(status, `<?xml version="1.0"?><Error><Code>${code}</Code><Message>so</Message></Error>`, headers)
}

/** The connection ends without an answer. */
export const cut: Act = (response) => response.socket?.destroy()

/** Nothing ever comes. */
export const hang: Act = () => undefined

/** So many bytes are announced, some come, and then the connection ends; or stays, and nothing more comes. */
export function cutAfter(
  body: Uint8Array | string,
  announced: number,
  {
    status = 200,
    headers = {},
    stays = false,
  }: {
    readonly status?: number
    readonly headers?: Readonly<Record<string, string>>
    readonly stays?: boolean
  } = {},
): Act {
  return (response) => {
    response.writeHead(status, { 'content-length': announced, ...headers })
    response.write(body, () => {
      if (!stays) response.socket?.destroy()
    })
  }
}
