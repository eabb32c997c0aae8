import type { HttpResponse } from '../core/http.js'
import { isFileRange } from '../core/http.js'
import type { Carrier } from './carrier.js'
import type { CloseWatch } from './close-watch.js'
import { readWhole, sendPieces } from './file-sender.js'

/** How a response went out. */
export interface Sent {
  /** As written to the client; 500 where the given headers could not be written. */
  readonly status: number
  readonly bodyBytes: number
  /** The client has all of it, as far as the kernel can tell. */
  readonly complete: boolean
  /** Why it is not as it should be, where that is not the client's doing. */
  readonly error?: unknown
}

export interface SendOptions {
  /** HEAD: the headers alone. */
  readonly headOnly: boolean
  /** Say `Connection: close`, where that can be said. */
  readonly close: boolean
  /** Runs when all of the answer is written and before the response ends, which is when the connection may close. */
  readonly beforeEnd?: (() => Promise<void>) | undefined
}

/**
 * Writes a response and releases its body, whatever happens; never rejects. Fewer or more bytes than announced, or a
 * body that throws, break the connection off instead of ending it cleanly, so that no client takes a part for the whole.
 */
export async function sendResponse(
  carrier: Carrier,
  watch: CloseWatch,
  response: HttpResponse,
  options: SendOptions,
): Promise<Sent> {
  const { status } = response
  const out = carrier.outgoing
  const body = new Held(response.body)
  let bodyBytes = 0
  try {
    const bare = options.headOnly || status === 204 || status === 304
    const whole = bare ? undefined : body.whole()
    if (!writeHead(carrier, response, bare, options)) {
      carrier.writeHead(500, ['Content-Length', '0'], { bare: false, close: true })
      out.end()
      await watch.closed
      return { status: 500, bodyBytes, complete: false, error: new Error('a response header cannot be written') }
    }
    if (whole !== undefined) {
      bodyBytes = whole.length
      if (options.beforeEnd === undefined) out.end(whole)
      else if (whole.length > 0) out.write(whole)
    } else if (!bare && response.body !== undefined) {
      for await (const sent of streamed(body, watch, announcedLength(response))) bodyBytes = sent
    }
    if (options.beforeEnd !== undefined) {
      carrier.flushHead()
      await options.beforeEnd()
    }
    if (!out.writableEnded) out.end()
    await watch.closed
    return { status, bodyBytes, complete: carrier.delivered }
  } catch (error) {
    carrier.breakOff()
    return { status, bodyBytes, complete: false, error }
  } finally {
    await body.release()
  }
}

/** Sends a body too big for one write; yields the bytes sent so far. */
async function* streamed(body: Held, watch: CloseWatch, announced: number | undefined): AsyncGenerator<number> {
  const source = body.take()
  let sent = 0
  if (isFileRange(source)) {
    try {
      await sendPieces(source, async (piece) => {
        sent += piece.length
        return watch.flush(piece)
      })
    } finally {
      source.close()
    }
    yield sent
    return
  }
  if (source === undefined) return
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    sent += chunk.length
    if (announced !== undefined && sent > announced) throw new Error('a response body is longer than announced')
    const alive = await watch.write(chunk)
    yield sent
    if (!alive) return
  }
  if (announced !== undefined && sent < announced) throw new Error('a response body is shorter than announced')
}

/** A response body that is let go of exactly once. */
class Held {
  #body: HttpResponse['body']

  constructor(body: HttpResponse['body']) {
    this.#body = body
  }

  /** The bytes, where they fit in one write; a small file is read and closed here. */
  whole(): Uint8Array | undefined {
    const body = this.#body
    if (body instanceof Uint8Array) return body
    if (!isFileRange(body)) return undefined
    const bytes = readWhole(body)
    if (bytes !== undefined) {
      this.#body = undefined
      body.close()
    }
    return bytes
  }

  /** Hands the body over, with the duty to let go of it. */
  take(): HttpResponse['body'] {
    const body = this.#body
    this.#body = undefined
    return body
  }

  async release(): Promise<void> {
    const body = this.take()
    if (body === undefined || body instanceof Uint8Array) return
    if (isFileRange(body)) body.close()
    else await body[Symbol.asyncIterator]().return?.()
  }
}

/** Writes status and headers; false where one of them cannot be written, and nothing is written then. */
function writeHead(carrier: Carrier, response: HttpResponse, bare: boolean, options: SendOptions): boolean {
  const flat: string[] = []
  let hasLength = false
  for (const [name, value] of response.headers) {
    flat.push(name, value)
    if (name.length === 14 && name.toLowerCase() === 'content-length') hasLength = true
  }
  if (!hasLength && response.status !== 204 && response.status !== 304) {
    const { body } = response
    if (body instanceof Uint8Array) flat.push('Content-Length', String(body.length))
    else if (isFileRange(body)) flat.push('Content-Length', String(body.end - body.start))
    else if (body === undefined && !options.headOnly) flat.push('Content-Length', '0')
  }
  try {
    carrier.writeHead(response.status, flat, { bare, close: options.close })
    return true
  } catch {
    return false
  }
}

function announcedLength(response: HttpResponse): number | undefined {
  const found = response.headers.find(([name]) => name.toLowerCase() === 'content-length')
  return found === undefined ? undefined : Number(found[1])
}
