import { validateHeaderName, validateHeaderValue } from 'node:http'
import { constants } from 'node:http2'
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Carrier } from './carrier.js'

const { NGHTTP2_NO_ERROR } = constants

/** One stream of HTTP/2 (RFC 9113 §5.1): a request and the answer to it. */
export class Http2Carrier implements Carrier {
  readonly incoming: ServerHttp2Stream
  readonly outgoing: ServerHttp2Stream

  constructor(stream: ServerHttp2Stream) {
    this.incoming = stream
    this.outgoing = stream
    // Whatever goes wrong with a stream is seen by what waits for it; without a listener it would end the process.
    stream.on('error', () => undefined)
    // Later: destroying it while it is being closed makes Node loop for ever.
    stream.once('aborted', () => process.nextTick(() => stream.destroy()))
    // An answered request whose body nobody reads is over (§8.1); the connection is as good as before.
    stream.once('finish', () => {
      if (this.complete) return
      stream.close(NGHTTP2_NO_ERROR)
      stream.resume()
    })
  }

  get complete(): boolean {
    const { incoming } = this
    return !incoming.aborted && (incoming.endAfterHeaders || incoming.readableEnded)
  }

  get over(): boolean {
    return this.outgoing.closed || this.outgoing.destroyed
  }

  get delivered(): boolean {
    return this.outgoing.writableFinished && this.outgoing.rstCode === NGHTTP2_NO_ERROR
  }

  sendContinue(): void {
    if (!this.over) this.outgoing.additionalHeaders({ ':status': 100 })
  }

  writeHead(status: number, flat: string[], options: { readonly bare: boolean }): void {
    if (this.over) return
    const headers: OutgoingHttpHeaders = { ':status': status }
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const name = (flat[at] ?? '').toLowerCase()
      const value = flat[at + 1] ?? ''
      validateHeaderName(name)
      validateHeaderValue(name, value)
      const earlier = headers[name]
      headers[name] = earlier === undefined ? value : [earlier, value].flat().map(String)
    }
    this.outgoing.respond(headers, { endStream: options.bare })
  }

  flushHead(): void {
    // `respond` has sent them.
  }

  breakOff(): void {
    // `close` would end the stream before it resets it, and the client would take what it has for the whole.
    this.outgoing.destroy(new Error('the answer is broken off'))
  }
}
