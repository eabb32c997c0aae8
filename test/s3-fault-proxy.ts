import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** What goes wrong with a request. */
export type Fault =
  /** Answered in place of the service, which hears nothing of it. */
  | { readonly kind: 'answer'; readonly status: number; readonly code: string; readonly retryAfter?: number }
  /** The line breaks before anything is read. */
  | { readonly kind: 'refuse' }
  /** Passed on, later. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
  /** Nothing ever comes back, and nothing is passed on. */
  | { readonly kind: 'stall' }
  /** The line breaks after so many bytes of the body. */
  | { readonly kind: 'cut-request'; readonly bytes: number }
  /** The service does it; the line breaks after so many bytes of its answer. */
  | { readonly kind: 'cut-answer'; readonly bytes: number }
  /** The service does it; nobody hears of it. */
  | { readonly kind: 'lose-answer' }
  /** Listings are answered as they were before, for so long, and do not show what was written since. */
  | { readonly kind: 'stale'; readonly milliseconds: number }
  /** The answer says that it is so much later there. */
  | { readonly kind: 'date'; readonly milliseconds: number }

export interface ProxiedRequest {
  readonly method: string
  /** `PUT`, `UploadPart`, `CopyPart`, `Complete`, `Copy`, `DeleteMany`, `List`, … */
  readonly verb: string
  /** Decoded, without the bucket. */
  readonly key: string
  /** It has a condition on what is under the key now. */
  readonly isConditional: boolean
}

/** Stands between a client and an S3 service, on a port of its own. */
export interface FaultProxy {
  readonly endpoint: string
  /** What goes wrong with a request; nothing by default. */
  fault: (request: ProxiedRequest) => Fault | undefined
  /** How many requests were made since the proxy began. */
  count(): number
  stop(): Promise<void>
}

/** A service that knows no conditions. */
export function unconditional({ isConditional }: ProxiedRequest): Fault | undefined {
  return isConditional ? { kind: 'answer', status: 501, code: 'NotImplemented' } : undefined
}

/** The same fault for so many requests of those that are chosen. */
export function times(
  count: number,
  fault: Fault,
  isChosen: (request: ProxiedRequest) => boolean,
): (request: ProxiedRequest) => Fault | undefined {
  let left = count
  return (each) => (isChosen(each) && left-- > 0 ? fault : undefined)
}

export async function startFaultProxy(service: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(service)
  let made = 0
  const history = new Listings()

  async function serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    made++
    const proxied = proxiedOf(incoming)
    const fault = proxy.fault(proxied)
    switch (fault?.kind) {
      case 'refuse':
        incoming.socket.resetAndDestroy()
        return
      case 'stall':
        incoming.resume()
        return
      case 'answer':
        await refuse(incoming, answer, fault)
        return
      case 'delay':
        await delay(fault.milliseconds)
        break
      case 'stale':
        if (proxied.verb === 'List' && history.answer(incoming.url ?? '', fault.milliseconds, answer)) return
        break
      default:
    }
    // The signature covers the name of the host: it stays that of the proxy.
    const onward = request({ hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers })
    const cut = (): void => {
      onward.destroy()
      answer.destroy()
      incoming.destroy()
    }
    onward.on('error', cut)
    answer.on('close', () => onward.destroy())
    onward.on('response', (response) => {
      pass(response, answer, proxied, incoming.url ?? '', fault).catch(cut)
    })
    if (fault?.kind !== 'cut-request') {
      incoming.pipe(onward)
      return
    }
    let left = fault.bytes
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      onward.write(chunk.subarray(0, left))
      left -= chunk.length
      if (left <= 0) break
    }
    cut()
  }

  async function pass(
    response: IncomingMessage,
    answer: ServerResponse,
    proxied: ProxiedRequest,
    url: string,
    fault: Fault | undefined,
  ): Promise<void> {
    const status = response.statusCode ?? 502
    const headers = { ...response.headers }
    if (status < 300 && ['PUT', 'Copy', 'Complete'].includes(proxied.verb)) history.written(proxied.key)
    if (fault?.kind === 'date') headers.date = new Date(Date.now() + fault.milliseconds).toUTCString()
    if (fault?.kind === 'lose-answer') {
      response.resume()
      await once(response, 'end')
      answer.destroy()
      return
    }
    if (fault?.kind === 'stale' && proxied.verb === 'List' && status === 200) {
      const chunks: Buffer[] = []
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
      history.keep(url, Buffer.concat(chunks).toString(), fault.milliseconds)
      history.answer(url, fault.milliseconds, answer)
      return
    }
    answer.writeHead(status, headers)
    if (fault?.kind === 'cut-answer') {
      let left = fault.bytes
      for await (const chunk of response as AsyncIterable<Buffer>) {
        answer.write(chunk.subarray(0, left))
        left -= chunk.length
        if (left <= 0) break
      }
      answer.destroy()
      return
    }
    response.pipe(answer)
  }

  const server = createServer((incoming, answer) => {
    incoming.on('error', () => undefined)
    serve(incoming, answer).catch(() => answer.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    fault: () => undefined,
    count: () => made,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return proxy
}

/** Answers of listings, as they were. */
class Listings {
  readonly #answers = new Map<string, { readonly text: string; readonly at: number }>()
  readonly #written = new Map<string, number>()

  written(key: string): void {
    if (!this.#written.has(key)) this.#written.set(key, Date.now())
  }

  keep(url: string, text: string, milliseconds: number): void {
    const seen = text.replace(/<Contents>.*?<\/Contents>/gs, (contents) => {
      const key = decodeURIComponent(/<Key>(.*?)<\/Key>/s.exec(contents)?.[1]?.replaceAll('+', ' ') ?? '')
      return Date.now() - (this.#written.get(key) ?? 0) < milliseconds ? '' : contents
    })
    this.#answers.set(url, { text: seen, at: Date.now() })
  }

  answer(url: string, milliseconds: number, answer: ServerResponse): boolean {
    const kept = this.#answers.get(url)
    if (kept === undefined || Date.now() - kept.at > milliseconds) return false
    answer.writeHead(200, { 'content-type': 'application/xml', 'content-length': Buffer.byteLength(kept.text) })
    answer.end(kept.text)
    return true
  }
}

async function refuse(
  incoming: IncomingMessage,
  answer: ServerResponse,
  { status, code, retryAfter }: Extract<Fault, { kind: 'answer' }>,
): Promise<void> {
  incoming.resume()
  await once(incoming, 'end')
  if (retryAfter !== undefined) answer.setHeader('retry-after', retryAfter)
  answer.writeHead(status, { 'content-type': 'application/xml' })
  answer.end(incoming.method === 'HEAD' ? '' : `<Error><Code>${code}</Code></Error>`)
}

function proxiedOf({ method = '', url = '', headers }: IncomingMessage): ProxiedRequest {
  const { pathname, searchParams: query } = new URL(url, 'http://proxy')
  const isCondition = 'if-match' in headers || 'if-none-match' in headers
  return {
    method,
    verb: verbOf(method, query, headers),
    key: decodeURIComponent(pathname.replace(/^\/[^/]*\/?/, '')),
    isConditional: isCondition && !['GET', 'HEAD'].includes(method),
  }
}

function verbOf(method: string, query: URLSearchParams, headers: IncomingMessage['headers']): string {
  const copies = 'x-amz-copy-source' in headers
  if (query.has('partNumber')) return copies ? 'CopyPart' : 'UploadPart'
  if (query.has('uploads')) return method === 'POST' ? 'Begin' : 'ListUploads'
  if (query.has('uploadId')) return method === 'POST' ? 'Complete' : 'Abort'
  if (query.has('delete')) return 'DeleteMany'
  if (query.has('list-type')) return 'List'
  return copies ? 'Copy' : method
}
