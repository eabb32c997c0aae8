import { randomBytes } from 'node:crypto'
import { isFileRange } from '../../core/http.js'
import type { FileRange, Header, HttpResponse } from '../../core/http.js'
import { contentBytes, descriptorBytes } from '../../store/content-bytes.js'
import type { ByteRange, Content } from '../../store/store.js'
import type { FileContext } from './file-context.js'
import { contentRange } from './ranges.js'

/**
 * A 206 of several ranges as `multipart/byteranges` (RFC 9110 §14.6), streamed, with its length known beforehand. Takes
 * over the content. `headers` are those of the file; its type moves into the parts.
 */
export async function multipart(
  context: FileContext,
  content: Content,
  headers: readonly Header[],
  ranges: readonly ByteRange[],
): Promise<HttpResponse> {
  const { size } = content.entry
  const boundary = randomBytes(18).toString('hex')
  const type = headers.find(([name]) => name === 'Content-Type')?.[1] ?? 'application/octet-stream'
  const heads = ranges.map((range) =>
    Buffer.from(
      `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`,
      'latin1',
    ),
  )
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const length = ranges.reduce((sum, range, index) => sum + range.end - range.start + (heads[index]?.length ?? 0), 0)
  const bytes = content.bytes()
  const source =
    bytes instanceof Uint8Array
      ? fromBytes(bytes)
      : isFileRange(bytes)
        ? fromDescriptor(bytes)
        : await reopened(context, content)
  return {
    status: 206,
    headers: [
      ...headers.filter(([name]) => name !== 'Content-Type'),
      ['Content-Type', `multipart/byteranges; boundary=${boundary}`],
      ['Content-Length', String(length + tail.length)],
    ],
    body: assembled(ranges, heads, tail, source),
  }
}

/** Where the parts come from. */
interface PartSource {
  part(range: ByteRange): AsyncIterable<Uint8Array>
  close(): void
}

function fromBytes(bytes: Uint8Array): PartSource {
  return {
    part: async function* ({ start, end }) {
      yield bytes.subarray(start, end)
    },
    close: () => undefined,
  }
}

function fromDescriptor(file: FileRange): PartSource {
  return {
    part: (range) => descriptorBytes(file.fd, { start: file.start + range.start, end: file.start + range.end }),
    close: () => file.close(),
  }
}

/** A content gives bytes once only, so each part opens the same version again. */
async function reopened({ request, session }: FileContext, content: Content): Promise<PartSource> {
  await content.close()
  const { path, etag } = content.entry
  return {
    part: async function* (range) {
      yield* contentBytes(
        await session.store.open(path, { ifMatch: [etag], part: range, signal: request.signal }),
        range,
      )
    },
    close: () => undefined,
  }
}

/** Not a generator at the outer level: the source must be closed even if nobody ever pulls. */
function assembled(
  ranges: readonly ByteRange[],
  heads: readonly Uint8Array[],
  tail: Uint8Array,
  source: PartSource,
): AsyncIterable<Uint8Array> {
  let closed = false
  const close = (): void => {
    if (!closed) source.close()
    closed = true
  }
  const pieces = (async function* () {
    try {
      for (const [index, range] of ranges.entries()) {
        const head = heads[index]
        if (head !== undefined) yield head
        yield* source.part(range)
      }
      yield tail
    } finally {
      close()
    }
  })()
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => pieces.next(),
      return: async () => {
        close()
        return pieces.return(undefined)
      },
    }),
  }
}
