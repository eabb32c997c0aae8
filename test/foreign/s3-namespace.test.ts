import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, namesBelow, run, startServer } from '../harness.js'
import { lockInfo } from '../wire/dav.js'
import { refusal, sdkClient, sdkClientOf } from './s3-sdk.js'
import { clientEnvironment, expectFile, issueKey, md5, multipartEtag, randomFile, withS3Site } from './s3-site.js'
import { describeForeign } from './tools.js'

describeForeign('curl signs by itself', ['program: curl'], () => {
  const site = withS3Site()

  async function curl(at: 'http' | 'https', target: string, ...args: readonly string[]): Promise<string> {
    const { accessKeyId, secretAccessKey } = site.key
    // Older ones do not say by themselves what the signature holds for.
    const payload = ['-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD']
    const signing = ['--aws-sigv4', 'aws:amz:us-east-1:s3', '-u', `${accessKeyId}:${secretAccessKey}`, ...payload]
    return await site.ok('curl', ['-sS', '-w', '\n%{http_code}', ...signing, ...args, `${site[at]}/${target}`])
  }

  it('makes a bucket, puts, gets, lists and deletes', async () => {
    expect(await curl('http', 'signed', '-X', 'PUT')).toBe('\n200')
    await writeFile(join(site.home, 'file'), 'by curl\n')
    expect(await curl('http', 'signed/folder/file', '-X', 'PUT', '--data-binary', '@file')).toBe('\n200')
    expect(await readFile(join(site.server.root, 'signed/folder/file'), 'utf8')).toBe('by curl\n')
    expect(await curl('http', 'signed/uploaded', '-T', 'file')).toBe('\n200')
    expect(await curl('http', 'signed/folder/file')).toBe('by curl\n\n200')
    expect(await curl('http', 'signed/folder/file', '-r', '3-6')).toBe('curl\n206')
    expect(await curl('http', 'signed')).toMatch(/<Key>folder\/file<\/Key>[^]*<Key>uploaded<\/Key>[^]*\n200$/)
    expect(await curl('http', 'signed/none')).toMatch(/<Code>NoSuchKey<\/Code>[^]*\n404$/)
    expect(await curl('http', 'signed/uploaded', '-X', 'DELETE')).toBe('\n204')
    expect(await curl('http', 'signed/uploaded', '-X', 'DELETE')).toBe('\n204')
    expect(await namesBelow(join(site.server.root, 'signed'))).toEqual(['folder', 'folder/file'])
  })

  it('does so over HTTP/2 as well', async () => {
    await mkdir(join(site.server.root, 'second'))
    await writeFile(join(site.home, 'two'), 'by HTTP/2')
    const secure = ['--http2', '--cacert', site.certificate, '-w', ' %{http_version} %{http_code}']
    expect(await curl('https', 'second/file', ...secure, '-T', 'two')).toBe(' 2 200')
    expect(await curl('https', 'second/file', ...secure)).toBe('by HTTP/2 2 200')
    expect(await readFile(join(site.server.root, 'second/file'), 'utf8')).toBe('by HTTP/2')
  })
})

describe('one namespace for WebDAV and S3', () => {
  const site = withS3Site()
  const Bucket = 'shared'

  beforeAll(async () => {
    await mkdir(join(site.server.root, Bucket))
  })

  it('shows what WebDAV has written, with an ETag that is opaque until its bytes are hashed', async () => {
    const client = sdkClient(site)
    const put = await site.server.request('PUT', '/shared/by-dav.txt', {
      body: 'written by WebDAV',
      headers: { 'Content-Type': 'text/plain' },
    })
    expect(put.status).toBe(201)
    const head = async (): Promise<string | undefined> =>
      (await client.send(new HeadObjectCommand({ Bucket, Key: 'by-dav.txt' }))).ETag
    expect(await head()).toMatch(/^"[0-9a-f]{32}-1"$/)
    await eventually('the bytes are hashed', async () => (await head()) === `"${md5('written by WebDAV')}"`)
    const listed = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'by-dav' }))
    expect(listed.Contents).toMatchObject([{ Key: 'by-dav.txt', ETag: `"${md5('written by WebDAV')}"`, Size: 17 }])
    const got = await client.send(new GetObjectCommand({ Bucket, Key: 'by-dav.txt' }))
    expect(got.ContentType).toBe('text/plain; charset=utf-8')
    expect(await got.Body?.transformToString()).toBe('written by WebDAV')
  })

  it('shows WebDAV what S3 has written, and forgets of a file what no longer holds', async () => {
    const client = sdkClient(site)
    const bytes = Buffer.alloc(6 << 20, 'parts ')
    const Metadata = { colour: 'blue' }
    await new Upload({
      client,
      params: { Bucket, Key: 'folder/ü b.bin', Body: bytes, Metadata, ContentType: 'x/y' },
    }).done()
    const found = await site.server.request('PROPFIND', '/shared/folder/', { headers: { Depth: '1' } })
    expect(found.status).toBe(207)
    expect(found.text).toContain('/shared/folder/%C3%BC%20b.bin')
    expect(found.text).toContain(`getcontentlength>${bytes.length}<`)

    const to = { Destination: `${site.http}/shared/moved.bin` }
    expect((await site.server.request('MOVE', '/shared/folder/%C3%BC%20b.bin', { headers: to })).status).toBe(201)
    const moved = await client.send(new HeadObjectCommand({ Bucket, Key: 'moved.bin' }))
    expect(moved).toMatchObject({ Metadata, ContentType: 'x/y', ETag: `"${multipartEtag(bytes, 5 << 20)}"` })

    expect((await site.server.request('PUT', '/shared/moved.bin', { body: 'shorter' })).status).toBe(204)
    const replaced = await client.send(new HeadObjectCommand({ Bucket, Key: 'moved.bin' }))
    expect(replaced.ETag).not.toBe(moved.ETag)
    expect(replaced.ContentLength).toBe(7)
    expect(replaced.Metadata).toEqual({})

    await writeFile(join(site.server.root, Bucket, 'moved.bin'), 'changed beside the server')
    const beside = await client.send(new HeadObjectCommand({ Bucket, Key: 'moved.bin' }))
    expect(beside.ETag).not.toBe(replaced.ETag)
    expect((await site.server.request('DELETE', '/shared/moved.bin')).status).toBe(204)
    const gone = new HeadObjectCommand({ Bucket, Key: 'moved.bin' })
    expect(await refusal(client.send(gone))).toEqual(['NotFound', 404])
  })

  it('keeps to the locks of others', async () => {
    const client = sdkClient(site)
    const at = { Bucket, Key: 'locked.txt' }
    await client.send(new PutObjectCommand({ ...at, Body: 'first' }))
    const lock = await site.server.request('LOCK', '/shared/locked.txt', { body: lockInfo() })
    expect(lock.status).toBe(200)
    expect(await refusal(client.send(new PutObjectCommand({ ...at, Body: 'other' })))).toEqual(['ObjectLocked', 423])
    expect(await refusal(client.send(new DeleteObjectCommand(at)))).toEqual(['ObjectLocked', 423])
    const got = await client.send(new GetObjectCommand(at))
    expect(await got.Body?.transformToString()).toBe('first')
    const token = { 'Lock-Token': lock.headers.get('lock-token') ?? '' }
    expect((await site.server.request('UNLOCK', '/shared/locked.txt', { headers: token })).status).toBe(204)
    await client.send(new PutObjectCommand({ ...at, Body: 'second' }))
    expect(await readFile(join(site.server.root, 'shared/locked.txt'), 'utf8')).toBe('second')
  })
})

describeForeign('a server that dies in the middle of an upload of the aws cli', ['program: aws'], () => {
  it('shows nothing of it afterwards, lists what is unfinished and lets it be given up', async () => {
    const home = await mkdtemp(join(tmpdir(), 'postern-s3-crash-'))
    await using server = await startServer()
    const key = await issueKey(server, 'tester', 'rw:/**')
    const client = sdkClientOf(server.url, key)
    const Bucket = 'crash'
    await mkdir(join(server.root, Bucket))
    const bytes = await randomFile(join(home, 'big'), 32 << 20)
    // Slow enough to be caught in the middle.
    await writeFile(join(home, 'config'), '[default]\ns3 =\n  max_bandwidth = 8MB/s\n  max_concurrent_requests = 1\n')
    const env = { ...clientEnvironment(home, key), AWS_CONFIG_FILE: join(home, 'config'), AWS_MAX_ATTEMPTS: '1' }
    const upload = ['--endpoint-url', server.url, 's3', 'cp', 'big', 's3://crash/big']
    const child = spawn('aws', upload, { cwd: home, env, stdio: 'ignore' })
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))

    const parts = async (): Promise<readonly number[]> => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
      const [one] = Uploads
      if (one === undefined) return []
      const listed = await client.send(new ListPartsCommand({ Bucket, Key: one.Key, UploadId: one.UploadId }))
      return (listed.Parts ?? []).map(({ Size = 0 }) => Size)
    }
    await eventually('a part has arrived', async () => (await parts()).length >= 1, 30_000)
    await server.kill9()
    expect(await ended).not.toBe(0)
    await server.restart()

    expect((await client.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(0)
    expect(await refusal(client.send(new HeadObjectCommand({ Bucket, Key: 'big' })))).toEqual(['NotFound', 404])
    const seen = await server.request('PROPFIND', '/crash/', { headers: { Depth: '1' } })
    expect(seen.text.match(/<[^/>]*:?response>/g)).toHaveLength(1)
    const kept = await parts()
    expect(kept.length).toBeGreaterThanOrEqual(1)
    expect(new Set(kept), 'whole parts only').toEqual(new Set([8 << 20]))
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
    expect(Uploads).toMatchObject([{ Key: 'big' }])
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key: 'big', UploadId: Uploads[0]?.UploadId }))
    expect(await parts()).toEqual([])
    await eventually('no bytes of it are left', async () => (await largeFiles(server)).length === 0)

    const again = spawn('aws', upload, { cwd: home, env: { ...env, AWS_CONFIG_FILE: '' }, stdio: 'ignore' })
    expect(await new Promise((resolve) => again.on('close', resolve))).toBe(0)
    await expectFile(join(server.root, 'crash/big'), bytes)
    await rm(home, { recursive: true, force: true })
  })
})

/** What lies on the disk of the server, in the tree or beside it, that could be a part. */
async function largeFiles(server: Server): Promise<readonly string[]> {
  const found = await run('find', [server.root, server.state, '-type', 'f', '-size', '+1M'])
  return found.stdout.split('\n').filter((line) => line !== '')
}
