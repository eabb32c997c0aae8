import type { Header, HttpRequest } from '../../core/http.js'
import { hopAddress, readForwarded } from '../forwarded.js'
import type { Forwarded, ProxyTrust } from '../forwarded.js'
import type { EventHead } from './event.js'

/** What `HttpRequest.listener` says of requests that came as events. */
export const lambdaListener = 'lambda'

/** A request that came as an event: all of it is there, the body too. */
export class LambdaRequest implements HttpRequest {
  readonly method: string
  readonly target: string
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly body: AsyncIterable<Uint8Array>
  readonly listener = lambdaListener
  readonly origin: HttpRequest['origin']
  readonly peer: HttpRequest['peer']
  readonly signal: AbortSignal
  #received = 0

  /** @param trust the proxies before the front whose word counts; that of the front itself always does */
  constructor(head: EventHead, trust: ProxyTrust, signal: AbortSignal) {
    this.method = head.method
    this.target = head.target
    this.headers = head.headers
    this.signal = signal
    const direct = directOf(head)
    // Whom nobody knows is no Unix socket that could be trusted.
    const seen = direct.address === undefined ? direct : readForwarded(head.headers, direct, trust)
    this.origin = seen
    this.peer = seen
    this.body = this.#bodyOf(head.body)
  }

  /** Bytes of the body that have been read. */
  get received(): number {
    return this.#received
  }

  #bodyOf(bytes: Buffer | undefined): AsyncIterable<Uint8Array> {
    let isRead = false
    const read = async function* (count: (size: number) => void): AsyncGenerator<Uint8Array> {
      if (bytes === undefined || bytes.length === 0) return
      count(bytes.length)
      yield bytes
    }
    return {
      [Symbol.asyncIterator]: () => {
        if (isRead) throw new Error('a request body can be read only once')
        isRead = true
        return read((size) => (this.#received += size))
      },
    }
  }
}

/** What the front itself says: it alone is connected to the client, or to the first proxy. */
function directOf({ front, headers, address, domain }: EventHead): Forwarded {
  const host = headers.get('host')?.[0]
  const from = address === undefined ? undefined : hopAddress(address)
  return {
    // Function URLs speak nothing else; of a load balancer the last value is its own.
    scheme: front === 'url' || headers.get('x-forwarded-proto')?.at(-1)?.toLowerCase() === 'https' ? 'https' : 'http',
    authority: (host === undefined || host === '' ? (domain ?? 'localhost') : host).toLowerCase(),
    ...(from !== undefined && { address: from }),
  }
}

/** Bytes of the header lines, as a connection would have carried them. */
export function headerBytesOf(headers: HttpRequest['headers']): number {
  let bytes = 0
  for (const [name, values] of headers) for (const value of values) bytes += name.length + value.length + 4
  return bytes
}

/** Whether a header can be sent at all (RFC 9110 §5.5). */
export function isSendable([name, value]: Header): boolean {
  return /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) && !/[\0-\x08\n-\x1f\x7f]/.test(value)
}
