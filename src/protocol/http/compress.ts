import { Readable, pipeline } from 'node:stream'
import { brotliCompressSync, constants, createBrotliCompress, createGzip, gzipSync } from 'node:zlib'
import { header, isFileRange } from '../../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../../core/http.js'
import { preferredCoding } from './accept.js'

/** Bodies below this many bytes are not worth it. */
export const leastCompressedBytes = 1024

/** A first piece of fewer bytes is taken to be the only one; writers of listings make pieces of at least this size. */
export const pieceBytes = 64 * 1024

const gzipOptions = { level: 4 }
const brotliOptions = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }

/**
 * Compresses the body of an answer that Postern itself wrote (a listing, a multistatus) where `Accept-Encoding` allows;
 * never for file bytes. Pulls the first piece before it resolves, so that a body that cannot begin fails as a Failure and
 * not as a broken answer; a body of one piece becomes a `Uint8Array` with a `Content-Length`.
 */
export async function compressed(request: Pick<HttpRequest, 'headers'>, response: HttpResponse): Promise<HttpResponse> {
  const { body } = response
  if (body === undefined || isFileRange(body)) return response
  const coding = preferredCoding(header(request, 'accept-encoding'))
  const headers = withVary(response.headers, 'Accept-Encoding')
  const started = body instanceof Uint8Array ? body : await start(body)
  if (started instanceof Uint8Array) {
    if (coding === undefined || started.length < leastCompressedBytes) return whole(response.status, headers, started)
    const packed = coding === 'br' ? brotliCompressSync(started, brotliOptions) : gzipSync(started, gzipOptions)
    return whole(response.status, [...headers, ['Content-Encoding', coding]], packed)
  }
  if (coding === undefined) return { status: response.status, headers, body: started }
  return { status: response.status, headers: [...headers, ['Content-Encoding', coding]], body: packed(started, coding) }
}

function whole(status: number, headers: readonly Header[], body: Uint8Array): HttpResponse {
  const others = headers.filter(([name]) => name.toLowerCase() !== 'content-length')
  return { status, headers: [...others, ['Content-Length', String(body.length)]], body }
}

async function start(body: AsyncIterable<Uint8Array>): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
  const rest = body[Symbol.asyncIterator]()
  const first = await rest.next()
  if (first.done === true) return new Uint8Array(0)
  if (first.value.length >= pieceBytes) return resumed([first.value], rest)
  const second = await rest.next()
  return second.done === true ? first.value : resumed([first.value, second.value], rest)
}

function resumed(pulled: Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncIterable<Uint8Array> {
  const iterator: AsyncIterator<Uint8Array> = {
    next: async () => {
      const value = pulled.shift()
      return value === undefined ? rest.next() : { value, done: false }
    },
    // Whoever stops early, or never starts, must still end the source.
    return: async () => {
      await rest.return?.()
      return { value: undefined, done: true }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}

async function* packed(body: AsyncIterable<Uint8Array>, coding: 'br' | 'gzip'): AsyncGenerator<Uint8Array> {
  const packer = coding === 'br' ? createBrotliCompress(brotliOptions) : createGzip(gzipOptions)
  // An error of the source destroys the packer, whose iteration below then throws it.
  pipeline(Readable.from(body, { objectMode: true, highWaterMark: 1 }), packer, () => undefined)
  for await (const piece of packer as AsyncIterable<Uint8Array>) yield piece
}

function withVary(headers: readonly Header[], name: string): readonly Header[] {
  const vary = headers.find(([other]) => other.toLowerCase() === 'vary')
  if (vary === undefined) return [...headers, ['Vary', name]]
  return headers.map((entry) => (entry === vary ? (['Vary', `${vary[1]}, ${name}`] as const) : entry))
}
