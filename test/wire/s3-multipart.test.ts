import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { format, namesBelow, startServer } from '../harness.js'
import type { Server } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { presignedRequest, signedChunks, signedRequest } from '../s3-signer.js'
import type { S3Key } from '../s3-signer.js'

const least = 5 * 1024 * 1024

async function keyOf(server: Server, name: string, ...grants: readonly string[]): Promise<S3Key> {
  const flags = grants.flatMap((grant) => ['--grant', grant])
  const done = await server.cli(['s3-key', 'issue', name, ...flags, '--json'])
  expect(done.code, done.stderr).toBe(0)
  const { accessKeyId, secretAccessKey } = JSON.parse(done.stdout) as Record<string, string>
  server.useSecret(secretAccessKey ?? '')
  return { id: accessKeyId ?? '', secret: secretAccessKey ?? '' }
}

/** A caller of S3. */
class Client {
  readonly server: Server
  readonly key: S3Key

  constructor(server: Server, key: S3Key) {
    this.server = server
    this.key = key
  }

  signed(
    method: string,
    path: string,
    query: Readonly<Record<string, string | number>>,
    body: string | Uint8Array = '',
    headers: Readonly<Record<string, string>> = {},
  ) {
    const host = `127.0.0.1:${this.server.port}`
    const pairs = Object.entries(query).map(([name, value]) => [name, String(value)] as const)
    return signedRequest({ key: this.key, method, path, host, query: pairs, body, headers })
  }

  ask(...asked: Parameters<Client['signed']>): Promise<Answer> {
    const { method, target, headers, body } = this.signed(...asked)
    return this.server.request(method, target, { headers, body, as: null })
  }

  async begin(path: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const answer = await this.ask('POST', path, { uploads: '' }, '', headers)
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('UploadId')])
    return texts(answer, 'UploadId')[0]!
  }

  put(path: string, uploadId: string, partNumber: number, body: string | Uint8Array): Promise<Answer> {
    return this.ask('PUT', path, { partNumber, uploadId }, body)
  }

  complete(
    path: string,
    uploadId: string,
    parts: readonly (string | Uint8Array)[],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const listed = parts.map((part, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>"${md5(part)}"</ETag></Part>`)
    const body = `<CompleteMultipartUpload>${listed.join('')}</CompleteMultipartUpload>`
    return this.ask('POST', path, { uploadId }, body, headers)
  }

  async uploads(bucket = '/b'): Promise<readonly string[]> {
    return texts(await this.ask('GET', bucket, { uploads: '' }), 'UploadId')
  }
}

async function clientOf(server: Server, name = 'backup', ...grants: readonly string[]): Promise<Client> {
  await mkdir(join(server.root, 'b'), { recursive: true })
  return new Client(server, await keyOf(server, name, ...(grants.length === 0 ? ['rw:/**'] : grants)))
}

const md5 = (bytes: string | Uint8Array): string => createHash('md5').update(bytes).digest('hex')

function texts({ text }: Answer, name: string): readonly string[] {
  return [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, found]) => found ?? '')
}

function outcome(answer: Answer): string {
  return [answer.status, ...texts(answer, 'Code')].join(' ')
}

describe('multipart uploads, by the real program', () => {
  it('are nothing to callers who may not write there, whatever ids they know', async () => {
    await using server = await startServer()
    const owner = await clientOf(server)
    const id = await owner.begin('/b/secret')
    await owner.put('/b/secret', id, 1, 'one')
    await writeFile(join(server.root, 'b', 'source'), 'not for all')
    const strangers = [
      await clientOf(server, 'reader', 'r:/**'),
      await clientOf(server, 'elsewhere', 'rw:/c/**'),
      await clientOf(server, 'beside', 'rw:/b/other/**'),
    ]
    for (const stranger of strangers) {
      const answers = [
        await stranger.put('/b/secret', id, 1, 'mine'),
        await stranger.complete('/b/secret', id, ['one']),
        await stranger.ask('GET', '/b/secret', { uploadId: id }),
        await stranger.ask('DELETE', '/b/secret', { uploadId: id }),
        await stranger.ask('POST', '/b/secret', { uploads: '' }),
      ]
      expect(answers.map(outcome)).toEqual(answers.map(() => '403 AccessDenied'))
      expect(await stranger.uploads()).toEqual([])
    }
    const [, , beside] = strangers
    expect(outcome(await beside!.put('/b/other/x', id, 1, 'mine'))).toBe('404 NoSuchUpload')
    const own = await beside!.begin('/b/other/x')
    const copied = await beside!.ask('PUT', '/b/other/x', { partNumber: 1, uploadId: own }, '', { 'x-amz-copy-source': '/b/source' }) // prettier-ignore
    expect(outcome(copied)).toBe('403 AccessDenied')
    expect(outcome(await owner.complete('/b/other/x', id, ['one']))).toBe('404 NoSuchUpload')
    expect(outcome(await owner.complete('/b/secret', id, ['one']))).toBe('200')
    expect(await readFile(join(server.root, 'b', 'secret'), 'utf8')).toBe('one')
  })

  it('end for a caller whose key is revoked meanwhile', async () => {
    await using server = await startServer()
    const client = await clientOf(server)
    const id = await client.begin('/b/f')
    await client.put('/b/f', id, 1, 'one')
    expect((await server.cli(['s3-key', 'revoke', client.key.id])).code).toBe(0)
    expect((await client.complete('/b/f', id, ['one'])).status).toBe(403)
    expect((await client.put('/b/f', id, 2, 'two')).status).toBe(403)
    expect((await server.request('GET', '/b/f')).status).toBe(404)
  })

  it('take no part whose bytes are others than those that were signed or declared', async () => {
    await using server = await startServer()
    const client = await clientOf(server)
    const id = await client.begin('/b/f')
    const other = client.signed('PUT', '/b/f', { partNumber: 1, uploadId: id }, 'what was signed')
    const send = { headers: other.headers, body: 'what was SIGNED', as: null } as const
    expect(outcome(await server.request('PUT', other.target, send))).toBe('400 XAmzContentSHA256Mismatch')
    const moved = other.target.replace('partNumber=1', 'partNumber=2')
    expect(outcome(await server.request('PUT', moved, { ...send, body: 'what was signed' }))).toBe('403 SignatureDoesNotMatch') // prettier-ignore
    const declared = await client.ask('PUT', '/b/f', { partNumber: 1, uploadId: id }, 'x', { 'x-amz-checksum-crc32': 'AAAAAA==' }) // prettier-ignore
    expect(outcome(declared)).toBe('400 BadDigest')
    const unsigned = `/b/f?partNumber=1&uploadId=${id}`
    expect((await server.request('PUT', unsigned, { body: 'x', as: null })).status).toBeGreaterThanOrEqual(400)
    expect(texts(await client.ask('GET', '/b/f', { uploadId: id }), 'PartNumber')).toEqual([])
    expect(outcome(await client.ask('DELETE', '/b/f', { uploadId: id }))).toBe('204')
    expect(await namesBelow(join(server.root, 'b'))).toEqual([])
  })

  it('take parts that come in signed chunks, and by signed URLs', async () => {
    await using server = await startServer()
    const client = await clientOf(server)
    const id = await client.begin('/b/f')
    const time = Date.now()
    const host = `127.0.0.1:${server.port}`
    const query = [['partNumber', '1'], ['uploadId', id]] as const // prettier-ignore
    const one = Buffer.alloc(least, 'chunk')
    const framed = signedRequest({
      key: client.key,
      method: 'PUT',
      path: '/b/f',
      host,
      query,
      time,
      payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      headers: { 'x-amz-decoded-content-length': String(one.length), 'content-encoding': 'aws-chunked' },
    })
    const chunks = [one.subarray(0, 3_000_000), one.subarray(3_000_000)]
    const body = signedChunks({ key: client.key, seed: framed.signature, time, chunks })
    const tampered = Buffer.from(body)
    tampered[3_500_000]! ^= 1
    const send = (bytes: Buffer): Promise<Answer> =>
      server.request('PUT', framed.target, { headers: framed.headers, body: bytes, as: null })
    expect(outcome(await send(tampered))).toBe('403 SignatureDoesNotMatch')
    const taken = await send(body)
    expect([outcome(taken), taken.header('etag')]).toEqual(['200', `"${md5(one)}"`])
    const url = presignedRequest({ key: client.key, method: 'PUT', path: '/b/f', host, query: [['partNumber', '2'], ['uploadId', id]] }) // prettier-ignore
    expect(outcome(await server.request('PUT', url.target, { headers: url.headers, body: 'two', as: null }))).toBe('200') // prettier-ignore
    expect(outcome(await client.complete('/b/f', id, [one, 'two']))).toBe('200')
    expect((await readFile(join(server.root, 'b', 'f'))).equals(Buffer.concat([one, Buffer.from('two')]))).toBe(true)
  })

  it('outlive a process that is killed between the parts and the end', async () => {
    await using server = await startServer({ args: ['--workers', '2'] })
    const client = await clientOf(server)
    const headers = { 'x-amz-meta-a': 'kept', 'x-amz-checksum-algorithm': 'CRC64NVME' }
    const id = await client.begin('/b/deep/f', headers)
    const one = Buffer.alloc(least, 'one')
    await client.put('/b/deep/f', id, 1, one)
    await client.put('/b/deep/f', id, 2, 'two')
    // One more is on its way when it happens.
    const late = client.signed('PUT', '/b/deep/f', { partNumber: 3, uploadId: id }, Buffer.alloc(100_000))
    const connection = await server.connect()
    const whole = format('PUT', late.target, { headers: late.headers, body: late.body, as: null }, server.port, true)
    await connection.send(whole.subarray(0, whole.length - 50_000))
    await server.kill9()
    connection.destroy()
    await server.restart()
    expect(await client.uploads()).toEqual([id])
    const listed = await client.ask('GET', '/b/deep/f', { uploadId: id })
    expect([texts(listed, 'PartNumber'), texts(listed, 'Size')]).toEqual([['1', '2'], [String(least), '3']]) // prettier-ignore
    expect((await server.request('PROPFIND', '/b/', { headers: { Depth: 'infinity' } })).text).not.toContain('deep')
    const done = await client.complete('/b/deep/f', id, [one, 'two'])
    expect(outcome(done)).toBe('200')
    const etag = `"${md5(Buffer.from(md5(one) + md5('two'), 'hex'))}-2"`
    await server.kill9()
    await server.restart()
    // The client has not heard the answer, perhaps.
    const again = await client.complete('/b/deep/f', id, [one, 'two'])
    expect([outcome(again), texts(again, 'ETag')]).toEqual(['200', [etag]])
    const got = await client.ask('GET', '/b/deep/f', {}, '', { 'x-amz-checksum-mode': 'ENABLED' })
    expect([got.header('etag'), got.header('x-amz-meta-a'), got.body.length]).toEqual([etag, 'kept', least + 3])
    expect(got.header('x-amz-checksum-crc64nvme')).toBe(texts(done, 'ChecksumCRC64NVME')[0])
    expect((await server.request('GET', '/b/deep/f')).body.equals(got.body)).toBe(true)
    expect(await client.uploads()).toEqual([])
    expect(await namesBelow(join(server.root, 'b'))).toEqual(['deep', 'deep/f'])
  })

  it('make one file where several are completed at the same time', async () => {
    await using server = await startServer({ args: ['--workers', '2'] })
    const client = await clientOf(server)
    const bodies = ['first', 'second', 'third', 'fourth']
    const ids = await Promise.all(bodies.map(() => client.begin('/b/f')))
    await Promise.all(bodies.map((body, at) => client.put('/b/f', ids[at]!, 1, body)))
    const answers = await Promise.all(
      bodies.map((body, at) => client.complete('/b/f', ids[at]!, [body], { 'if-none-match': '*' })),
    )
    const won = answers.findIndex(({ status }) => status === 200)
    expect(answers.map(outcome)).toEqual(bodies.map((_, at) => (at === won ? '200' : '412 PreconditionFailed')))
    expect(await readFile(join(server.root, 'b', 'f'), 'utf8')).toBe(bodies[won])
    // The others are still there, and one of them may replace it.
    const [next] = (await client.uploads()).map((id) => ids.indexOf(id))
    const same = await Promise.all([1, 2, 3, 4].map(() => client.complete('/b/f', ids[next!]!, [bodies[next!]!])))
    for (const answer of same) expect(['200', '409 OperationAborted']).toContain(outcome(answer))
    expect(same.some(({ status }) => status === 200)).toBe(true)
    expect(await readFile(join(server.root, 'b', 'f'), 'utf8')).toBe(bodies[next!])
  })

  it('leave nothing behind when they are given up while a part is coming', async () => {
    await using server = await startServer()
    const client = await clientOf(server)
    const id = await client.begin('/b/f')
    await client.put('/b/f', id, 1, 'one')
    const late = client.signed('PUT', '/b/f', { partNumber: 2, uploadId: id }, Buffer.alloc(300_000))
    const whole = format('PUT', late.target, { headers: late.headers, body: late.body, as: null }, server.port, true)
    const connection = await server.connect()
    await connection.send(whole.subarray(0, 200_000))
    expect(outcome(await client.ask('DELETE', '/b/f', { uploadId: id }))).toBe('204')
    await connection.trySend(whole.subarray(200_000))
    expect(outcome(await connection.answer())).toBe('404 NoSuchUpload')
    connection.destroy()
    expect(await client.uploads()).toEqual([])
    expect(await namesBelow(join(server.root, 'b'))).toEqual([])
  })

  it('of 10,001 parts or with a bomb for a list are refused, and the server goes on', async () => {
    await using server = await startServer()
    const client = await clientOf(server)
    const id = await client.begin('/b/f')
    await client.put('/b/f', id, 1, 'one')
    const many = Array.from({ length: 10_001 }, (_, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>x</ETag></Part>`) // prettier-ignore
    const bomb = `<!DOCTYPE b [<!ENTITY a "${'a'.repeat(1000)}">${Array.from({ length: 9 }, (_, at) => `<!ENTITY a${at} "${`&a${at === 0 ? '' : at - 1};`.repeat(10)}">`).join('')}]>` // prettier-ignore
    const lists = [
      `<CompleteMultipartUpload>${many.join('')}</CompleteMultipartUpload>`,
      `${bomb}<CompleteMultipartUpload>&a8;</CompleteMultipartUpload>`,
      '<CompleteMultipartUpload>'.repeat(10_000),
      '',
    ]
    for (const body of lists)
      expect(outcome(await client.ask('POST', '/b/f', { uploadId: id }, body))).toBe('400 MalformedXML')
    expect(outcome(await client.complete('/b/f', id, ['one']))).toBe('200')
  })
})

it('parts count against a quota until they go', async () => {
  const config = JSON.stringify({ identity: [{ catalog: { home: '/home/{user}', quota: '100K' } }] })
  await using server = await startServer({ config })
  const client = new Client(server, await keyOf(server, 'alice', 'rw:/home/alice/**'))
  await mkdir(join(server.root, 'home', 'alice', 'b'), { recursive: true })
  const id = await client.begin('/b/f')
  const part = Buffer.alloc(60 * 1024, 'x')
  expect(outcome(await client.put('/b/f', id, 1, part))).toBe('200')
  expect(outcome(await client.put('/b/f', id, 2, part))).toBe('507 QuotaExceeded')
  expect(outcome(await client.ask('PUT', '/b/g', {}, part))).toBe('507 QuotaExceeded')
  expect(outcome(await client.ask('DELETE', '/b/f', { uploadId: id }))).toBe('204')
  expect(outcome(await client.ask('PUT', '/b/g', {}, part))).toBe('200')
  const next = await client.begin('/b/g')
  expect(outcome(await client.put('/b/g', next, 1, part.subarray(0, 30_000)))).toBe('200')
  expect(outcome(await client.complete('/b/g', next, [part.subarray(0, 30_000)]))).toBe('200')
  expect(outcome(await client.ask('PUT', '/b/h', {}, part))).toBe('200')
  expect(await namesBelow(join(server.root, 'home', 'alice'))).toEqual(['b', 'b/g', 'b/h'])
})
