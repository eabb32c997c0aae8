import { hash } from 'node:crypto'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventually, startServer } from '../harness.js'
import type { Server } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { signedRequest } from '../s3-signer.js'
import type { S3Key } from '../s3-signer.js'

async function keyOf(server: Server, name: string, ...grants: readonly string[]): Promise<S3Key> {
  const flags = grants.flatMap((grant) => ['--grant', grant])
  const done = await server.cli(['s3-key', 'issue', name, ...flags, '--json'])
  expect(done.code, done.stderr).toBe(0)
  const { accessKeyId = '', secretAccessKey = '' } = JSON.parse(done.stdout) as Record<string, string>
  server.useSecret(secretAccessKey)
  return { id: accessKeyId, secret: secretAccessKey }
}

interface Asked {
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly body?: string
  /** What goes out in place of the body that is signed. */
  readonly sent?: string
}

function ask(server: Server, key: S3Key, method: string, path: string, asked: Asked = {}): Promise<Answer> {
  const { query = {}, sent, ...more } = asked
  const host = `127.0.0.1:${server.port}`
  const signed = signedRequest({ key, method, path, host, query: Object.entries(query), ...more })
  return server.request(signed.method, signed.target, { headers: signed.headers, body: sent ?? signed.body, as: null })
}

const outcome = ({ status, body }: Answer): string => {
  const code = /<Code>(\w+)<\/Code>/.exec(body.toString())?.[1]
  return code === undefined ? String(status) : `${status} ${code}`
}

describe('objects, by the real program', () => {
  it('are refused before anything is there', async () => {
    await using server = await startServer()
    await mkdir(join(server.root, 'b'))
    const key = await keyOf(server, 'backup', 'rw:/**')
    const reader = await keyOf(server, 'reader', 'r:/b/**')
    expect(outcome(await ask(server, key, 'PUT', '/b/d/k', { body: 'right', sent: 'wrong' }))).toBe('400 XAmzContentSHA256Mismatch') // prettier-ignore
    const crc = { 'x-amz-checksum-crc32': 'AAAAAA==' }
    expect(outcome(await ask(server, key, 'PUT', '/b/d/k', { body: 'x', headers: crc }))).toBe('400 BadDigest')
    expect(outcome(await ask(server, reader, 'PUT', '/b/d/k', { body: 'x' }))).toBe('403 AccessDenied')
    expect(outcome(await ask(server, key, 'PUT', '/none/d/k', { body: 'x' }))).toBe('404 NoSuchBucket')
    const copy = { 'x-amz-copy-source': '/c/secret' }
    await mkdir(join(server.root, 'c'))
    await writeFile(join(server.root, 'c', 'secret'), 'secret')
    const inB = await keyOf(server, 'in-b', 'rw:/b/**')
    expect(outcome(await ask(server, inB, 'PUT', '/b/d/k', { headers: copy }))).toBe('403 AccessDenied')
    await expect(stat(join(server.root, 'b', 'd'))).rejects.toThrow('ENOENT')
    const missing = await ask(server, key, 'HEAD', '/b/none')
    expect([missing.status, missing.body.length]).toEqual([404, 0])
  })

  it('are the files that other surfaces have', async () => {
    await using server = await startServer()
    await mkdir(join(server.root, 'b'))
    const key = await keyOf(server, 'backup', 'rw:/**')
    const put = await ask(server, key, 'PUT', '/b/d/a k.txt', { body: 'bytes', headers: { 'x-amz-meta-a': '1' } })
    const etag = `"${hash('md5', 'bytes')}"`
    expect([put.status, put.header('etag')]).toEqual([200, etag])
    expect(await readFile(join(server.root, 'b', 'd', 'a k.txt'), 'utf8')).toBe('bytes')
    const got = await ask(server, key, 'GET', '/b/d/a k.txt', { headers: { range: 'bytes=1-2' } })
    expect([got.status, got.body.toString(), got.header('etag'), got.header('x-amz-meta-a'), got.header('content-range')]).toEqual([206, 'yt', etag, '1', 'bytes 1-2/5']) // prettier-ignore
    await writeFile(join(server.root, 'b', 'd', 'a k.txt'), 'others')
    // Nobody has hashed it when it is first shown, and somebody has soon after.
    const hashed = `"${hash('md5', 'others')}"`
    await eventually(
      'the MD5 is shown',
      async () => (await ask(server, key, 'HEAD', '/b/d/a k.txt')).header('etag') === hashed,
    )
    const big = 'x'.repeat(3_000_000)
    expect((await ask(server, key, 'PUT', '/b/big', { body: big })).status).toBe(200)
    expect((await ask(server, key, 'GET', '/b/big')).body.equals(Buffer.from(big))).toBe(true)
    const copied = await ask(server, key, 'PUT', '/b/copies/big', { headers: { 'x-amz-copy-source': 'b/big' } })
    expect([copied.status, copied.body.toString().includes(hash('md5', big))]).toEqual([200, true])
    const body = '<Delete><Object><Key>copies/big</Key></Object><Object><Key>d/a k.txt</Key></Object></Delete>'
    const gone = await ask(server, key, 'POST', '/b', { query: { delete: '' }, body })
    expect(gone.body.toString().match(/<Deleted>/g)).toHaveLength(2)
    await expect(stat(join(server.root, 'b', 'd'))).rejects.toThrow('ENOENT')
    expect((await stat(join(server.root, 'b'))).isDirectory()).toBe(true)
  })

  it('are put by one of many who race, over workers', async () => {
    await using server = await startServer({ config: 'workers: 2\n' })
    await mkdir(join(server.root, 'b'))
    const key = await keyOf(server, 'backup', 'rw:/**')
    const headers = { 'if-none-match': '*' }
    const puts = await Promise.all(
      Array.from({ length: 12 }, (_, at) => ask(server, key, 'PUT', '/b/lock', { body: `owner ${at}`, headers })),
    )
    const outcomes = puts.map(outcome)
    expect(outcomes.filter((each) => each === '200')).toHaveLength(1)
    expect(new Set(outcomes)).toEqual(new Set(['200', '412 PreconditionFailed']))
    expect(await readFile(join(server.root, 'b', 'lock'), 'utf8')).toBe(`owner ${outcomes.indexOf('200')}`)
  })
})
