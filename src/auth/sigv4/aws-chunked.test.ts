import { createHmac, hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { waysNow } from '../../../test/s3-verification.js'
import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import { Digester } from '../../store/digester.js'
import { payloadOf } from './payload.js'
import type { Proof } from './proof.js'

/** The examples of the Amazon S3 API Reference: "Transferring Payload in Multiple Chunks", "Including Trailing Headers". */
const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const date = '20130524T000000Z'
const scope = '20130524/us-east-1/s3/aws4_request'
const signingKey = scope.split('/').reduce<Uint8Array>((key, part) => hmac(key, part), Buffer.from(`AWS4${secret}`))
const seed = '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9'
const documented = [
  'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
  '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
  'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
]
const trailerSeed = '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e'
const documentedWithTrailer = [
  'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
  '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
  '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
]
const documentedTrailerSignature = 'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435'
const documentedChunks = [Buffer.alloc(65536, 'a'), Buffer.alloc(1024, 'a')]

const signed = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
const signedTrailer = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
const unsignedTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

interface Sent {
  readonly mode: string
  readonly chunks: readonly Uint8Array[]
  readonly seed?: string
  /** What comes after the last chunk, without its signature. */
  readonly trailer?: string
  readonly headers?: Readonly<Record<string, string>>
}

interface Message {
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly proof: Proof
  /** Head, data and line end of each chunk, then the trailers. */
  readonly pieces: readonly Buffer[]
}

/** What a client sends, signed independently of the code under test. */
function messageOf({ mode, chunks, seed: first = seed, trailer, headers = {} }: Sent): Message {
  const isSigned = mode !== unsignedTrailer
  let previous = first
  const sign = (kind: string, ...rest: readonly string[]): string =>
    (previous = hmac(signingKey, [kind, date, scope, previous, ...rest].join('\n')).toString('hex'))
  const pieces: Buffer[] = []
  for (const chunk of [...chunks, Buffer.alloc(0)]) {
    const signature = isSigned
      ? `;chunk-signature=${sign('AWS4-HMAC-SHA256-PAYLOAD', hash('sha256', ''), hash('sha256', chunk))}`
      : ''
    pieces.push(Buffer.from(`${chunk.length.toString(16)}${signature}\r\n`))
    if (chunk.length > 0) pieces.push(Buffer.from(chunk), Buffer.from('\r\n'))
  }
  const signature = mode === signedTrailer ? sign('AWS4-HMAC-SHA256-TRAILER', hash('sha256', `${trailer ?? ''}\n`)) : ''
  const lines = [
    ...(trailer === undefined ? [] : [trailer]),
    ...(signature === '' ? [] : [`x-amz-trailer-signature:${signature}`]),
    '',
  ]
  pieces.push(Buffer.from(lines.map((line) => `${line}\r\n`).join('')))
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const all = {
    'x-amz-content-sha256': mode,
    'x-amz-decoded-content-length': String(length),
    'content-encoding': 'aws-chunked',
    ...(trailer === undefined ? {} : { 'x-amz-trailer': trailer.split(':')[0] ?? '' }),
    ...headers,
  }
  return {
    headers: new Map(Object.entries(all).map(([name, value]) => [name, [value]])),
    proof: {
      by: 'header',
      chunks: () => waysNow().chunks({ date, scope, seed: first }),
    },
    pieces,
  }
}

/** A body that comes in these pieces. */
async function* inPieces(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    await Promise.resolve()
    yield piece
  }
}

function splitAt(bytes: Buffer, cuts: readonly number[]): readonly Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

function requestOf(headers: HttpRequest['headers'], pieces: readonly Uint8Array[]): HttpRequest {
  return {
    method: 'PUT',
    target: '/bucket/key',
    headers,
    body: inPieces(pieces),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
}

/** The content, where the body comes to its end; else the failure. Nothing but a Failure may be thrown, and again and again. */
async function outcome({ headers, proof }: Message, pieces: readonly Uint8Array[]): Promise<Buffer | Failure> {
  const content: Uint8Array[] = []
  let chunks: AsyncIterator<Uint8Array> | undefined
  try {
    chunks = payloadOf(requestOf(headers, pieces), proof)[Symbol.asyncIterator]()
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) content.push(next.value)
    return Buffer.concat(content)
  } catch (error) {
    if (chunks !== undefined) await expect(chunks.next()).rejects.toBe(error)
    if (error instanceof Failure) return error
    throw error
  }
}

async function codeOf(message: Message, pieces: readonly Uint8Array[]): Promise<string> {
  const found = await outcome(message, pieces)
  return found instanceof Failure ? (found.reason ?? found.kind) : `accepted ${found.length} bytes`
}

function crc32cOf(...chunks: readonly Uint8Array[]): string {
  const digester = new Digester(['crc32c'])
  for (const chunk of chunks) digester.update(chunk)
  return Buffer.from(digester.digests().crc32c ?? []).toString('base64')
}

const small = [Buffer.from('first chunk'), Buffer.from('2nd'), Buffer.from('the third one')]
const smallTrailer = `x-amz-checksum-crc32c:${crc32cOf(...small)}`
const modes = [
  { name: 'signed chunks', message: messageOf({ mode: signed, chunks: small }) },
  {
    name: 'signed chunks and trailer',
    message: messageOf({ mode: signedTrailer, chunks: small, trailer: smallTrailer }),
  },
  {
    name: 'unsigned chunks and trailer',
    message: messageOf({ mode: unsignedTrailer, chunks: small, trailer: smallTrailer }),
  },
]

describe('a tampered body of chunks', () => {
  it.each(modes)('never ends when cut off at any byte: $name', async ({ message }) => {
    const bytes = Buffer.concat(message.pieces)
    for (let end = 0; end < bytes.length; end++)
      expect(await codeOf(message, [bytes.subarray(0, end)]), `after ${end} bytes`).toBe('IncompleteBody')
  })

  it.each(modes)('never ends with other content when any one byte is another: $name', async ({ message }) => {
    const bytes = Buffer.concat(message.pieces)
    const content = Buffer.concat(small)
    for (let at = 0; at < bytes.length; at++)
      for (const flip of [1, 0x20, 0x80]) {
        const other = Buffer.from(bytes)
        other[at] = (other[at] ?? 0) ^ flip
        const found = await outcome(message, [other])
        // A letter of a size or of a trailer's name may be in the other case: nothing else.
        if (found instanceof Failure) continue
        expect(flip, `byte ${at}`).toBe(0x20)
        expect(found).toEqual(content)
      }
  })

  it.each(modes)('never ends when anything follows: $name', async ({ message }) => {
    for (const more of ['\r', '\r\n', '0', '0\r\n\r\n', 'a'])
      for (const pieces of [
        [Buffer.concat([...message.pieces, Buffer.from(more)])],
        [...message.pieces, Buffer.from(more)],
      ])
        expect(await codeOf(message, pieces)).toBe('IncompleteBody')
  })

  const [, { message: withTrailer }] = modes as [unknown, (typeof modes)[number]]
  const { pieces } = withTrailer
  const text = Buffer.concat(pieces).toString('latin1')
  const ofText = (changed: string): readonly Buffer[] => {
    expect(changed).not.toBe(text)
    return [Buffer.from(changed, 'latin1')]
  }
  const chunk = (index: number): readonly Buffer[] => pieces.slice(index * 3, index * 3 + 3)
  const last = pieces.slice(9)

  it.each([
    ['chunks in another order', [...chunk(1), ...chunk(0), ...chunk(2), ...last], 'SignatureDoesNotMatch'],
    ['a chunk left out', [...chunk(0), ...chunk(2), ...last], 'SignatureDoesNotMatch'],
    ['a chunk sent twice', [...chunk(0), ...chunk(1), ...chunk(1), ...chunk(2), ...last], 'SignatureDoesNotMatch'],
    ['no last chunk', [...chunk(0), ...chunk(1), ...chunk(2)], 'IncompleteBody'],
    ['the last chunk at once', last, 'IncompleteBody'],
    ['the last chunk twice', [...pieces.slice(0, 10), ...last], 'MalformedTrailerError'],
    ['nothing', [], 'IncompleteBody'],
    ['other data of the same length', ofText(text.replace('2nd', '3rd')), 'SignatureDoesNotMatch'],
    [
      'data with a checksum made to fit it, but no new signature',
      ofText(
        text
          .replace('2nd', '3rd')
          .replace(smallTrailer, `x-amz-checksum-crc32c:${crc32cOf(Buffer.from('first chunk3rdthe third one'))}`),
      ),
      'SignatureDoesNotMatch',
    ],
    ['another checksum', ofText(text.replace(smallTrailer, 'x-amz-checksum-crc32c:AAAAAA==')), 'SignatureDoesNotMatch'],
    ['no trailer', ofText(text.replace(`${smallTrailer}\r\n`, '')), 'MalformedTrailerError'],
    [
      'the trailer twice',
      ofText(text.replace(smallTrailer, `${smallTrailer}\r\n${smallTrailer}`)),
      'MalformedTrailerError',
    ],
    [
      'one more trailer',
      ofText(text.replace(smallTrailer, `${smallTrailer}\r\nx-amz-meta-a:b`)),
      'MalformedTrailerError',
    ],
    ['another trailer', ofText(text.replace('crc32c:', 'crc32:')), 'MalformedTrailerError'],
    ['a trailer without a colon', ofText(text.replace('crc32c:', 'crc32c ')), 'MalformedTrailerError'],
    [
      'no signature of the trailer',
      ofText(text.replace(/x-amz-trailer-signature:.*\r\n/, '')),
      'MalformedTrailerError',
    ],
    [
      'an empty signature of the trailer',
      ofText(text.replace(/(x-amz-trailer-signature:).*\r\n/, '$1\r\n')),
      'SignatureDoesNotMatch',
    ],
    [
      'a trailer after the signature',
      ofText(text.replace(/\r\n(x-amz-checksum.*)\r\n(x-amz-trailer.*)\r\n/, '\r\n$2\r\n$1\r\n')),
      'MalformedTrailerError',
    ],
    ['an endless trailer', [...pieces.slice(0, 10), Buffer.alloc(1 << 20, 'x')], 'IncompleteBody'],
    ['no signature of a chunk', ofText(text.replace(/;chunk-signature=[0-9a-f]{64}/, '')), 'IncompleteBody'],
    [
      'a signature in upper case',
      ofText(text.replace(/=([0-9a-f]{64})/, (found) => found.toUpperCase())),
      'IncompleteBody',
    ],
    ['one more extension', ofText(text.replace('\r\n', ';a=b\r\n')), 'IncompleteBody'],
    ['an endless head', [Buffer.alloc(1 << 20, '0')], 'IncompleteBody'],
    ['an endless head byte by byte', Array.from({ length: 500 }, () => Buffer.from('0')), 'IncompleteBody'],
    ['a size of 13 digits', ofText(text.replace('b;', '000000000000b;')), 'IncompleteBody'],
    ['a negative size', ofText(text.replace('b;', '-b;')), 'IncompleteBody'],
    ['a size with 0x', ofText(text.replace('b;', '0xb;')), 'IncompleteBody'],
    ['a size beyond what was announced', ofText(text.replace('b;', 'ffffffff;')), 'IncompleteBody'],
    ['a size with white space', ofText(text.replace('b;', 'b ;')), 'IncompleteBody'],
    ['LF for CRLF after a head', ofText(text.replace('\r\n', '\n')), 'IncompleteBody'],
    ['no line end after data', ofText(text.replace('first chunk\r\n', 'first chunk')), 'IncompleteBody'],
    ['LF after data', ofText(text.replace('first chunk\r\n', 'first chunk\n')), 'IncompleteBody'],
    ['a chunk one byte longer than its size', ofText(text.replace('first chunk', 'first chunk!')), 'IncompleteBody'],
  ])('is refused: %s', async (_, sent, code) => {
    expect(await codeOf(withTrailer, sent)).toBe(code)
    const bytes = Buffer.concat(sent)
    if (bytes.length < 1000) expect(await codeOf(withTrailer, splitAt(bytes, [...bytes.keys()]))).toBe(code)
  })

  it('is refused when its chunks were signed on from another request', async () => {
    const other = messageOf({ mode: signed, chunks: small, seed: trailerSeed })
    expect(await codeOf(messageOf({ mode: signed, chunks: small }), other.pieces)).toBe('SignatureDoesNotMatch')
  })

  it.each([
    ['25', 'IncompleteBody'],
    ['26', 'IncompleteBody'],
    ['28', 'IncompleteBody'],
    ['0', 'IncompleteBody'],
    ['-27', 'MissingContentLength'],
    ['27, 27', 'MissingContentLength'],
    ['1b', 'MissingContentLength'],
    ['', 'MissingContentLength'],
    ['9999999999999999', 'MissingContentLength'],
  ])('is refused when announced as %s bytes', async (length, code) => {
    for (const mode of [signed, signedTrailer, unsignedTrailer]) {
      const trailer = mode === signed ? {} : { trailer: smallTrailer }
      const message = messageOf({
        mode,
        chunks: small,
        ...trailer,
        headers: { 'x-amz-decoded-content-length': length },
      })
      expect(await codeOf(message, message.pieces)).toBe(code)
    }
  })

  it('is refused with a trailer that does not fit, where nothing is signed', async () => {
    const message = messageOf({ mode: unsignedTrailer, chunks: small, trailer: 'x-amz-checksum-crc32c:AAAAAA==' })
    expect(await codeOf(message, message.pieces)).toBe('BadDigest')
    for (const value of ['', 'AAAAAA', 'AAAAAB==', 'AAAAAAAA', '!!!!!!=='])
      expect(
        await codeOf(message, [...message.pieces.slice(0, -1), Buffer.from(`x-amz-checksum-crc32c:${value}\r\n\r\n`)]),
      ).toBe('InvalidRequest')
  })

  it('is refused with the signature of a trailer where nothing is signed', async () => {
    const message = messageOf({ mode: unsignedTrailer, chunks: small, trailer: smallTrailer })
    const tail = Buffer.from(`${smallTrailer}\r\nx-amz-trailer-signature:${seed}\r\n\r\n`)
    expect(await codeOf(message, [...message.pieces.slice(0, -1), tail])).toBe('MalformedTrailerError')
  })

  it('is refused with a trailer where none is announced', async () => {
    for (const mode of [signed, unsignedTrailer]) {
      const message = messageOf({ mode, chunks: small })
      const tail = Buffer.from(`${smallTrailer}\r\n\r\n`)
      expect(await codeOf(message, [...message.pieces.slice(0, -1), tail])).toBe('MalformedTrailerError')
    }
  })
})

describe('a body of chunks', () => {
  it('is that of the documented example', async () => {
    const message = messageOf({ mode: signed, chunks: documentedChunks })
    const bytes = Buffer.concat(message.pieces)
    expect(bytes.length).toBe(66824)
    for (const signature of documented) expect(bytes.includes(signature)).toBe(true)
    expect(await codeOf(message, [bytes])).toBe('accepted 66560 bytes')
  })

  it('is that of the documented example with a trailer', async () => {
    const message = messageOf({
      mode: signedTrailer,
      chunks: documentedChunks,
      seed: trailerSeed,
      trailer: 'x-amz-checksum-crc32c:sOO8/Q==',
    })
    const bytes = Buffer.concat(message.pieces)
    expect(bytes.length).toBe(66946)
    for (const signature of [...documentedWithTrailer, documentedTrailerSignature])
      expect(bytes.includes(signature)).toBe(true)
    expect(await codeOf(message, [bytes])).toBe('accepted 66560 bytes')
  })

  it('may end its trailers as some clients sign them, with a line feed of their own', async () => {
    const message = messageOf({ mode: signedTrailer, chunks: small, trailer: smallTrailer })
    const bytes = Buffer.concat(message.pieces).toString('latin1').replace(smallTrailer, `${smallTrailer}\n`)
    expect(await codeOf(message, [Buffer.from(bytes, 'latin1')])).toBe('accepted 27 bytes')
  })

  it('may be empty', async () => {
    for (const mode of [signed, unsignedTrailer]) {
      const message = messageOf({ mode, chunks: [] })
      expect(await codeOf(message, message.pieces)).toBe('accepted 0 bytes')
    }
  })

  it('gives on what comes without a copy', async () => {
    const message = messageOf({ mode: signed, chunks: documentedChunks })
    const bytes = Buffer.concat(message.pieces)
    for await (const chunk of payloadOf(requestOf(message.headers, [bytes]), message.proof))
      expect(chunk.buffer).toBe(bytes.buffer)
  })

  it('decodes to its content however it is cut, and wherever its pieces are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(signed, signedTrailer, unsignedTrailer),
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 6 }),
        fc.array(fc.nat(4000), { maxLength: 20 }),
        async (mode, chunks, cuts) => {
          const trailer = mode === signed ? {} : { trailer: `x-amz-checksum-crc32c:${crc32cOf(...chunks)}` }
          const message = messageOf({ mode, chunks, ...trailer })
          const found = await outcome(message, splitAt(Buffer.concat(message.pieces), cuts))
          expect(found).toEqual(Buffer.concat(chunks))
        },
      ),
    )
  })

  it('never ends with other content after any change', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...modes),
        fc.nat(),
        fc.nat(8),
        fc.uint8Array({ maxLength: 8 }),
        fc.array(fc.nat(1000), { maxLength: 4 }),
        async ({ message }, where, removed, added, cuts) => {
          const bytes = Buffer.concat(message.pieces)
          const at = where % bytes.length
          const other = Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)])
          const found = await outcome(message, splitAt(other, cuts))
          if (!(found instanceof Failure)) expect(found).toEqual(Buffer.concat(small))
        },
      ),
    )
  })
})
