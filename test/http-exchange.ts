import { gunzipSync } from 'node:zlib'
import { Failure } from '../src/core/failure.js'
import { isFileRange } from '../src/core/http.js'
import type { HttpRequest, HttpResponse } from '../src/core/http.js'
import type { Protocol, Session } from '../src/protocol/protocol.js'

/** What a test says of a request; the rest is as a transport would have it. */
export interface Asked {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>
}

/** A request as a transport hands it over. */
export function requestOf(method: string, target: string, { headers = {}, body = '' }: Asked = {}): HttpRequest {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const fields = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value]]))
  if (bytes instanceof Uint8Array && bytes.length > 0 && !fields.has('transfer-encoding'))
    if (!fields.has('content-length')) fields.set('content-length', [String(bytes.length)])
  return {
    method,
    target,
    headers: fields,
    body: bytes instanceof Uint8Array ? once(bytes) : bytes,
    listener: 'test',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
}

/** An answer read to its end. */
export interface Answer {
  readonly status: number
  readonly bytes: Buffer
  readonly text: string
  header(name: string): string | undefined
}

/** Reads an answer to its end, as a transport would; gzip is undone. */
export async function read(response: HttpResponse): Promise<Answer> {
  const { body } = response
  const pieces: Uint8Array[] = []
  if (body instanceof Uint8Array) pieces.push(body)
  else if (isFileRange(body)) throw new Error('a memory store gives no descriptors')
  else if (body !== undefined) for await (const piece of body) pieces.push(piece)
  const header = (name: string): string | undefined => {
    const found = response.headers.filter(([other]) => other.toLowerCase() === name.toLowerCase())
    if (found.length > 1) throw new Error(`${name} comes twice`)
    return found[0]?.[1]
  }
  const raw = Buffer.concat(pieces)
  const bytes = header('content-encoding') === 'gzip' && body !== undefined ? gunzipSync(raw) : raw
  return { status: response.status, bytes, text: bytes.toString(), header }
}

/** Sends a request through a protocol as the gateway does: a Failure comes back as its refusal. */
export async function exchange(
  protocol: Protocol,
  session: Session,
  request: HttpRequest,
  target: Parameters<Protocol['handle']>[1],
): Promise<Answer> {
  try {
    return await read(await protocol.handle(request, target, session))
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return read(protocol.refuse(error, request))
  }
}
