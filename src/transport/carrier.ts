import type { Readable, Writable } from 'node:stream'

/** What carries one request and its answer: a message of HTTP/1.1 or a stream of HTTP/2. */
export interface Carrier {
  /** The request body, without its transfer coding. */
  readonly incoming: Readable
  /** Where the answer's body goes; its `close` says that the exchange is over, whether well or not. */
  readonly outgoing: Writable
  /** All of the request has come in as it was announced, read or not. */
  readonly complete: boolean
  /** The exchange is over already. */
  readonly over: boolean
  /** The client has all of the answer, as far as the kernel can tell. */
  readonly delivered: boolean
  /** Tells a client that waits for it to send its body. */
  sendContinue(): void
  /**
   * Writes status and headers. Throws where one of them cannot be written, and nothing is written then.
   * @param flat names and values in turn; the carrier may add its own
   * @param options.bare no body follows: HEAD, 204 and 304
   * @param options.close the connection goes with this exchange, where it carries no others
   */
  writeHead(status: number, flat: string[], options: { readonly bare: boolean; readonly close: boolean }): void
  /** Sends the headers even though nothing of the body is there yet. */
  flushHead(): void
  /** Ends the exchange so that no client takes what it has for the whole. */
  breakOff(): void
}
