import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import { Digester } from '../../store/digester.js'
import type { DigestName } from '../../store/store.js'
import { hmacUnder } from '../hmac.js'
import { KeyedChunkSignatures } from './chunk-signatures.js'
import { declaredChecksum } from './declared-digests.js'
import { contentEncodingWithout, payloadHash, payloadOf } from './payload.js'
import type { Proof } from './proof.js'

const content = Buffer.from('some content')
const sha256 = hash('sha256', content)

const proofs: Readonly<Record<Proof['by'], Proof>> = {
  header: {
    by: 'header',
    chunks: () =>
      new KeyedChunkSignatures(
        { sign: hmacUnder(Buffer.alloc(32, 1)), date: '20260131T120000Z', scope: '20260131/us-east-1/s3/aws4_request' },
        '0'.repeat(64),
      ),
  },
  query: { by: 'query' },
  nobody: { by: 'nobody' },
}

interface Sent {
  readonly method?: string
  readonly target?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
}

function requestOf({ method = 'PUT', target = '/bucket/key', headers = {}, body = content }: Sent): HttpRequest {
  const all = { 'content-length': String(Buffer.byteLength(body)), ...headers }
  return {
    method,
    target,
    headers: new Map(Object.entries(all).map(([name, value]) => [name, typeof value === 'string' ? [value] : value])),
    body: (async function* () {
      await Promise.resolve()
      if (body.length > 0) yield Buffer.from(body)
    })(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
}

/** `read` where the body comes to its end, else the code of the failure. */
async function verdictOf(sent: Sent, by: Proof['by'] = 'header'): Promise<string> {
  try {
    const body = payloadOf(requestOf(sent), proofs[by])
    for await (const chunk of body) expect(chunk.length).toBeGreaterThan(0)
    return 'read'
  } catch (error) {
    if (error instanceof Failure) return error.reason ?? error.kind
    throw error
  }
}

function digestOf(name: DigestName, bytes: Uint8Array = content): string {
  const digester = new Digester([name])
  digester.update(bytes)
  return Buffer.from(digester.digests()[name] ?? []).toString('base64')
}

const chunked = { body: 'c\r\nsome content\r\n0\r\n\r\n', headers: { 'x-amz-decoded-content-length': '12' } }
const framed = (mode: string): Sent => ({ ...chunked, headers: { ...chunked.headers, 'x-amz-content-sha256': mode } })
const plain = (said: string): Sent => ({ headers: { 'x-amz-content-sha256': said } })

describe('the ways a payload is bound to its signature', () => {
  const ways: readonly (readonly [name: string, sent: Sent, header: string, query: string, nobody: string])[] = [
    ['nothing said', {}, 'InvalidRequest', 'read', 'read'],
    ['the right hash', plain(sha256), 'read', 'read', 'read'],
    ['the hash of something else', plain(hash('sha256', 'other')), ...three('XAmzContentSHA256Mismatch')],
    ['the hash of nothing', plain(hash('sha256', '')), ...three('XAmzContentSHA256Mismatch')],
    ['the hash in upper case', plain(sha256.toUpperCase()), ...three('InvalidArgument')],
    ['a hash too short', plain(sha256.slice(1)), ...three('InvalidArgument')],
    ['two hashes', { headers: { 'x-amz-content-sha256': [sha256, sha256] } }, ...three('InvalidArgument')],
    ['an empty header', plain(''), ...three('InvalidArgument')],
    ['UNSIGNED-PAYLOAD', plain('UNSIGNED-PAYLOAD'), 'read', 'read', 'read'],
    ['unsigned-payload', plain('unsigned-payload'), ...three('InvalidArgument')],
    [
      'signed chunks',
      framed('STREAMING-AWS4-HMAC-SHA256-PAYLOAD'),
      'IncompleteBody',
      'InvalidRequest',
      'InvalidRequest',
    ],
    [
      'signed chunks and trailer',
      withTrailer('STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'),
      'IncompleteBody',
      'InvalidRequest',
      'InvalidRequest',
    ],
    ['unsigned chunks', framed('STREAMING-UNSIGNED-PAYLOAD-TRAILER'), 'read', 'InvalidRequest', 'read'],
    [
      'unsigned chunks and trailer',
      withTrailer('STREAMING-UNSIGNED-PAYLOAD-TRAILER'),
      'read',
      'InvalidRequest',
      'read',
    ],
    ['chunks signed with ECDSA', framed('STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD'), ...three('NotImplemented')],
    [
      'chunks and trailer signed with ECDSA',
      framed('STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER'),
      ...three('NotImplemented'),
    ],
    ['unsigned chunks without a trailer', framed('STREAMING-UNSIGNED-PAYLOAD'), ...three('InvalidArgument')],
    ['a way of the future', framed('STREAMING-AWS5-HMAC-SHA512-PAYLOAD'), ...three('InvalidArgument')],
    ['a known way and more', framed('STREAMING-UNSIGNED-PAYLOAD-TRAILER '), ...three('InvalidArgument')],
    ['a name of every object', framed('toString'), ...three('InvalidArgument')],
  ]

  it.each(ways)('%s', async (_, sent, ...verdicts) => {
    expect([await verdictOf(sent), await verdictOf(sent, 'query'), await verdictOf(sent, 'nobody')]).toEqual(verdicts)
  })

  it('do not lose the framing of a body of chunks', async () => {
    const headers = { 'content-encoding': 'gzip, AWS-Chunked', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
    for (const by of ['header', 'query', 'nobody'] as const)
      expect(await verdictOf({ ...chunked, headers }, by)).toBe('InvalidRequest')
    expect(await verdictOf({ body: '', headers })).toBe('read')
    const silent = { ...chunked.headers, 'content-encoding': 'aws-chunked' }
    expect(await verdictOf({ ...chunked, headers: silent }, 'query')).toBe('InvalidRequest')
    // Libraries that sign nothing frame a body all the same, and say so only there.
    expect(await verdictOf({ ...chunked, headers: silent }, 'nobody')).toBe('read')
  })

  it('need no trailer where none was announced, and one where it was', async () => {
    const trailer = { ...chunked.headers, 'x-amz-trailer': 'x-amz-checksum-crc32' }
    for (const mode of [sha256, 'UNSIGNED-PAYLOAD', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'])
      expect(await verdictOf({ ...chunked, headers: { ...trailer, 'x-amz-content-sha256': mode } })).toBe(
        'InvalidRequest',
      )
    expect(await verdictOf(framed('STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'))).toBe('InvalidRequest')
    const headers = { ...trailer, 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' }
    expect(await verdictOf({ ...chunked, headers })).toBe('MalformedTrailerError')
  })

  it('need x-amz-decoded-content-length in chunks', async () => {
    for (const mode of ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'])
      expect(await verdictOf({ ...chunked, headers: { 'x-amz-content-sha256': mode } })).toBe('MissingContentLength')
  })

  it('end with the last chunk where no length at all is announced', async () => {
    const read = async (body: string): Promise<string> => {
      const request = requestOf({ body, headers: { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' } })
      const headers = new Map([...request.headers].filter(([name]) => name !== 'content-length'))
      try {
        let text = ''
        for await (const chunk of payloadOf({ ...request, headers }, proofs.header))
          text += Buffer.from(chunk).toString()
        return text
      } catch (error) {
        if (error instanceof Failure) return error.reason ?? error.kind
        throw error
      }
    }
    expect(await read(chunked.body)).toBe('some content')
    for (let end = 0; end < chunked.body.length; end++)
      expect(await read(chunked.body.slice(0, end)), String(end)).toBe('IncompleteBody')
  })

  it('are said in the query of a signed URL as well', async () => {
    const target = `/bucket/key?X-Amz-Content-Sha256=${sha256}&X-Amz-Expires=60`
    expect(payloadHash(requestOf({ target }), 'query')).toBe(sha256)
    expect(await verdictOf({ target }, 'query')).toBe('read')
    expect(await verdictOf({ target, body: 'other' }, 'query')).toBe('XAmzContentSHA256Mismatch')
    expect(
      await verdictOf({ target: '/bucket/key?X-Amz-Content-Sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER' }, 'query'),
    ).toBe('InvalidRequest')
    expect(await verdictOf({ target })).toBe('InvalidRequest')
  })

  it('hold for the length that was announced', async () => {
    const headers = { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
    for (const length of ['11', '13', '0'])
      expect(await verdictOf({ headers: { ...headers, 'content-length': length } })).toBe('IncompleteBody')
  })
})

function three<T>(verdict: T): [T, T, T] {
  return [verdict, verdict, verdict]
}

function withTrailer(mode: string): Sent {
  return {
    body: `c\r\nsome content\r\n0\r\nx-amz-checksum-crc32:${digestOf('crc32')}\r\n\r\n`,
    headers: { ...framed(mode).headers, 'x-amz-trailer': 'x-amz-checksum-crc32' },
  }
}

const names = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const

describe('what a request declares of its body', () => {
  const declared = (headers: Readonly<Record<string, string | readonly string[]>>, rest: Sent = {}): Sent => ({
    ...rest,
    headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', ...headers },
  })

  it.each(names)('is the %s that it has, well-formed, or it is refused', async (name) => {
    const header = `x-amz-checksum-${name}`
    const right = digestOf(name)
    expect(await verdictOf(declared({ [header]: right }))).toBe('read')
    expect(await verdictOf(declared({ [header]: digestOf(name, Buffer.from('other')) }))).toBe('BadDigest')
    for (const value of [
      '',
      'x',
      right.replace('=', ''),
      `${right}=`,
      ` ${right}!`,
      right.slice(4),
      `${right},${right}`,
      `${right}-1`,
      Buffer.from(right, 'base64').toString('hex'),
    ])
      expect(await verdictOf(declared({ [header]: value })), value).toBe('InvalidRequest')
    expect(await verdictOf(declared({ [header]: [right, right] }))).toBe('InvalidRequest')
  })

  it('is judged however the body is signed', async () => {
    const wrong = { 'x-amz-checksum-crc32': 'AAAAAA==' }
    for (const by of ['header', 'query', 'nobody'] as const)
      expect(await verdictOf(declared(wrong), by)).toBe('BadDigest')
    expect(await verdictOf(declared({ ...wrong, 'x-amz-content-sha256': sha256 }))).toBe('BadDigest')
    expect(
      await verdictOf({ ...chunked, headers: { ...framed('STREAMING-UNSIGNED-PAYLOAD-TRAILER').headers, ...wrong } }),
    ).toBe('BadDigest')
    for (const method of ['GET', 'DELETE', 'POST'])
      expect(await verdictOf(declared(wrong, { method }))).toBe('BadDigest')
  })

  it.each([
    ['an unknown algorithm', { 'x-amz-checksum-xxhash64': 'AAAAAAAAAAA=' }],
    ['an algorithm that S3 has and this server has not', { 'x-amz-checksum-sha512': digestOf('sha512') }],
    ['md5 as a checksum', { 'x-amz-checksum-md5': digestOf('md5') }],
    ['no algorithm', { 'x-amz-checksum-': 'AAAAAA==' }],
    ['two checksums', { 'x-amz-checksum-crc32': digestOf('crc32'), 'x-amz-checksum-sha1': digestOf('sha1') }],
    [
      'another checksum than it says',
      { 'x-amz-checksum-crc32': digestOf('crc32'), 'x-amz-sdk-checksum-algorithm': 'SHA256' },
    ],
    ['no checksum where it says so', { 'x-amz-sdk-checksum-algorithm': 'CRC32' }],
    [
      'an unknown algorithm that it says',
      { 'x-amz-checksum-crc32': digestOf('crc32'), 'x-amz-sdk-checksum-algorithm': 'CRC16' },
    ],
  ])('may not be: %s', async (_, headers) => {
    expect(await verdictOf(declared(headers))).toBe('InvalidRequest')
  })

  it.each([
    ['another trailer than a checksum', 'x-amz-meta-a'],
    ['a checksum of an unknown algorithm', 'x-amz-checksum-xxhash3'],
    ['no name', ''],
    ['the type of a checksum', 'x-amz-checksum-type'],
    ['two checksums', 'x-amz-checksum-crc32,x-amz-checksum-sha1'],
    ['a checksum twice', 'x-amz-checksum-crc32, x-amz-checksum-crc32'],
    ['a signature', 'x-amz-trailer-signature'],
  ])('may not be in a trailer: %s', async (_, trailer) => {
    const sent = withTrailer('STREAMING-UNSIGNED-PAYLOAD-TRAILER')
    expect(await verdictOf({ ...sent, headers: { ...sent.headers, 'x-amz-trailer': trailer } })).toBe('InvalidRequest')
  })

  it('may not be in both a header and a trailer', async () => {
    const sent = withTrailer('STREAMING-UNSIGNED-PAYLOAD-TRAILER')
    const headers = { ...sent.headers, 'x-amz-checksum-sha1': digestOf('sha1') }
    expect(await verdictOf({ ...sent, headers })).toBe('InvalidRequest')
  })

  it('is in the trailer that it says', async () => {
    const sent = withTrailer('STREAMING-UNSIGNED-PAYLOAD-TRAILER')
    const said = (algorithm: string): Sent => ({
      ...sent,
      headers: { ...sent.headers, 'x-amz-sdk-checksum-algorithm': algorithm },
    })
    expect(await verdictOf(said('CRC32'))).toBe('read')
    expect(await verdictOf(said('crc32'))).toBe('read')
    expect(await verdictOf(said('CRC32C'))).toBe('InvalidRequest')
  })

  it('is a Content-MD5 that it has, well-formed, or it is refused', async () => {
    expect(await verdictOf(declared({ 'content-md5': digestOf('md5') }))).toBe('read')
    expect(await verdictOf(declared({ 'content-md5': digestOf('md5', Buffer.from('other')) }))).toBe('BadDigest')
    for (const value of [
      '',
      'x',
      'AAAA',
      digestOf('md5').slice(0, -1),
      hash('md5', content),
      `${digestOf('md5')},${digestOf('md5')}`,
    ])
      expect(await verdictOf(declared({ 'content-md5': value }))).toBe('InvalidDigest')
  })

  it('is not what stands in the query of a signed URL', async () => {
    const target = '/bucket/key?x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32'
    expect(await verdictOf({ target }, 'query')).toBe('read')
  })

  it('is not the mode, type or algorithm of a checksum', async () => {
    const headers = {
      'x-amz-checksum-mode': 'ENABLED',
      'x-amz-checksum-type': 'FULL_OBJECT',
      'x-amz-checksum-algorithm': 'CRC32',
    }
    expect(await verdictOf(declared(headers))).toBe('read')
  })

  it('is the checksum of the object where an upload is completed', async () => {
    const complete = { method: 'POST', target: '/bucket/key?uploadId=abc' }
    expect(await verdictOf(declared({ 'x-amz-checksum-crc32': 'AAAAAA==' }, complete))).toBe('read')
    expect(await verdictOf(declared({ 'x-amz-checksum-crc32': 'AAAAAA==-3' }, complete))).toBe('read')
    expect(await verdictOf(declared({ 'x-amz-checksum-crc32': 'AAAA' }, complete))).toBe('InvalidRequest')
    expect(await verdictOf(declared({ 'content-md5': digestOf('md5', Buffer.from('other')) }, complete))).toBe(
      'BadDigest',
    )
    expect(await verdictOf({ ...complete, headers: { 'x-amz-content-sha256': hash('sha256', 'other') } })).toBe(
      'XAmzContentSHA256Mismatch',
    )
    for (const target of ['/bucket?delete&uploadId=abc', '/bucket?uploadId=abc&delete=', '/bucket/uploadId=abc'])
      expect(await verdictOf(declared({ 'x-amz-checksum-crc32': 'AAAAAA==' }, { method: 'POST', target }))).toBe(
        'BadDigest',
      )
    const { headers } = requestOf(declared({ 'x-amz-checksum-crc32': 'AAAAAA==-3' }))
    expect(declaredChecksum({ headers })).toEqual({ name: 'crc32', value: Buffer.alloc(4), parts: 3 })
  })

  it('is kept for whoever has read to the end', async () => {
    const body = payloadOf(requestOf(declared({ 'x-amz-checksum-crc32': digestOf('crc32') })), proofs.header)
    expect(() => body.digests()).toThrow(Failure)
    expect([body.length, body.declares('crc32'), body.declares('md5')]).toEqual([12, true, false])
    body.compute('md5')
    for await (const chunk of body) expect(chunk).toEqual(content)
    const found = Object.entries(body.digests()).map(([name, value]) => [name, Buffer.from(value).toString('base64')])
    expect(Object.fromEntries(found)).toEqual({ crc32: digestOf('crc32'), md5: digestOf('md5') })
  })
})

describe('a verified body', () => {
  it('never ends for one who left it and came back', async () => {
    const body = payloadOf(requestOf(plain(sha256)), proofs.header)
    const chunks = body[Symbol.asyncIterator]()
    await chunks.next()
    await chunks.return?.()
    await expect(chunks.next()).rejects.toThrow(Failure)
    expect(() => body.digests()).toThrow(Failure)
  })

  it('never ends after it has failed, however often it is asked', async () => {
    const chunks = payloadOf(requestOf({ ...plain(sha256), body: 'other' }), proofs.header)[Symbol.asyncIterator]()
    await chunks.next()
    for (let again = 0; again < 3; again++) await expect(chunks.next()).rejects.toThrow(Failure)
  })

  it('is not given a second time', async () => {
    const body = payloadOf(requestOf(plain(sha256)), proofs.header)
    for await (const chunk of body) expect(chunk).toEqual(content)
    expect(() => body[Symbol.asyncIterator]()).toThrow(Failure)
  })

  it('goes on being at its end', async () => {
    const chunks = payloadOf(requestOf(plain(sha256)), proofs.header)[Symbol.asyncIterator]()
    await chunks.next()
    for (let again = 0; again < 3; again++) expect((await chunks.next()).done).toBe(true)
  })
})

describe('Content-Encoding', () => {
  it.each([
    [undefined, undefined],
    ['', undefined],
    ['aws-chunked', undefined],
    ['AWS-Chunked', undefined],
    ['gzip', 'gzip'],
    ['aws-chunked,gzip', 'gzip'],
    ['aws-chunked, gzip', 'gzip'],
    ['gzip,aws-chunked', 'gzip'],
    ['br, aws-chunked ,gzip', 'br,gzip'],
    ['aws-chunked,', undefined],
  ])('of %s without the framing is %s', (value, left) => {
    expect(contentEncodingWithout(value)).toBe(left)
  })
})
