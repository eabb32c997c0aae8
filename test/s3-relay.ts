import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What a relay does with a request. */
export type Fate =
  /** Passes it on. */
  | 'pass'
  /** Passes it on, and breaks the line where its answer should be. */
  | 'lose-answer'
  /** Answers AccessDenied and passes nothing on. */
  | 'deny'
  /** Answers NotImplemented and passes nothing on. */
  | 'refuse'

export interface Relayed {
  readonly method: string
  /** Encoded, without the bucket. */
  readonly target: string
  /** `PUT`, `UploadPart`, `Complete`, … */
  readonly verb: string
  /** A change that names a condition on its target. */
  readonly isConditional: boolean
}

/** Stands between a client and an S3 service, on a port of its own: counts what is asked, and makes some of it fail. */
export interface Relay {
  readonly endpoint: string
  /** All since `forget`. */
  readonly seen: readonly Relayed[]
  verbs(): readonly string[]
  forget(): void
  /** Decides about each request, before it is passed on; `pass` by default. */
  decide: (request: Relayed) => Fate | Promise<Fate>
  stop(): Promise<void>
}

export async function startRelay(service: string): Promise<Relay> {
  const seen: Relayed[] = []
  const { hostname, port } = new URL(service)
  const relay = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const relayed = relayedOf(incoming)
    seen.push(relayed)
    const fate = await handle.decide(relayed)
    if (fate === 'deny' || fate === 'refuse') {
      incoming.resume()
      await once(incoming, 'end')
      const [status, code] = fate === 'deny' ? [403, 'AccessDenied'] : [501, 'NotImplemented']
      answer.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`)
      return
    }
    // The signature covers the name of the host: it stays that of the relay.
    const onward = request({ hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers })
    onward.on('error', () => answer.destroy())
    answer.on('close', () => onward.destroy())
    onward.on('response', (response) => {
      if (fate === 'lose-answer') {
        response.resume()
        response.on('end', () => answer.destroy())
        return
      }
      answer.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(answer)
    })
    incoming.pipe(onward)
  }
  const server = createServer((incoming, answer) => {
    relay(incoming, answer).catch(() => answer.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const handle: Relay = {
    endpoint: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    seen,
    verbs: () => seen.map(({ verb }) => verb),
    forget: () => {
      seen.length = 0
    },
    decide: () => 'pass',
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return handle
}

function relayedOf({ method = '', url = '', headers }: IncomingMessage): Relayed {
  const { pathname, searchParams: query } = new URL(url, 'http://relay')
  const isConditional = !['GET', 'HEAD'].includes(method) && ('if-match' in headers || 'if-none-match' in headers)
  return { method, target: pathname.replace(/^\/[^/]*\/?/, ''), verb: verbOf(method, query, headers), isConditional }
}

function verbOf(method: string, query: URLSearchParams, headers: IncomingMessage['headers']): string {
  const copies = 'x-amz-copy-source' in headers
  if (query.has('partNumber')) return copies ? 'CopyPart' : 'PutPart'
  if (query.has('uploads')) return method === 'POST' ? 'Begin' : 'ListUploads'
  if (query.has('uploadId')) return method === 'POST' ? 'Complete' : 'Abort'
  if (query.has('delete')) return 'DeleteMany'
  if (query.has('list-type')) return 'List'
  if (copies) return 'Copy'
  return method
}
