import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  CreateMultipartUploadCommand,
  CompleteMultipartUploadCommand,
} from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { beforeAll, describe, expect, it } from 'vitest'
import { namesBelow } from '../harness.js'
import { sdkClient } from './s3-sdk.js'
import { withS3Site } from './s3-site.js'

describe('AWS SDK for JavaScript: signed links and forms', () => {
  const site = withS3Site({ config: 's3: { hosts: [localhost] }' })
  const Bucket = 'signed'

  beforeAll(async () => {
    await mkdir(join(site.server.root, Bucket))
  })

  async function onDisk(name: string): Promise<string> {
    return await readFile(join(site.server.root, Bucket, name), 'utf8')
  }

  async function names(): Promise<readonly string[]> {
    return await namesBelow(join(site.server.root, Bucket))
  }

  it('puts, reads and deletes by links', async () => {
    const client = sdkClient(site)
    const at = { Bucket, Key: 'by link/a+b ü.txt' }
    // The link carries the checksum of an empty body, for the SDK does not know what will be sent.
    const put = await getSignedUrl(client, new PutObjectCommand(at), { expiresIn: 60 })
    expect(put).toContain('x-amz-checksum-crc32=AAAAAA')
    expect((await fetch(put, { method: 'PUT', body: 'not empty at all' })).status).toBe(200)
    expect(await onDisk('by link/a+b ü.txt')).toBe('not empty at all')
    const type = { ResponseContentType: 'text/x-shown', ResponseContentDisposition: 'inline' }
    const got = await fetch(await getSignedUrl(client, new GetObjectCommand({ ...at, ...type })))
    expect([got.status, got.headers.get('content-type'), got.headers.get('content-disposition'), await got.text()]).toEqual([200, 'text/x-shown', 'inline', 'not empty at all']) // prettier-ignore
    const head = await fetch(await getSignedUrl(client, new HeadObjectCommand(at)), { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '16'])
    const removing = await getSignedUrl(client, new DeleteObjectCommand(at))
    expect((await fetch(removing, { method: 'DELETE' })).status).toBe(204)
    expect(await names()).toEqual([])
  })

  it('holds a link to its method, its key, its headers and its time', async () => {
    const client = sdkClient(site)
    await writeFile(join(site.server.root, Bucket, 'kept'), 'kept')
    const expectRefused = async (url: string, code: string, init: RequestInit = {}): Promise<void> => {
      const answer = await fetch(url, init)
      expect([answer.status, /<Code>(.*)<\/Code>/.exec(await answer.text())?.[1]]).toEqual([403, code])
    }
    const get = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: 'kept' }))
    await expectRefused(get, 'SignatureDoesNotMatch', { method: 'PUT', body: 'changed' })
    await expectRefused(get, 'SignatureDoesNotMatch', { method: 'DELETE' })
    await expectRefused(get.replace('/kept?', '/kepd?'), 'SignatureDoesNotMatch')
    await expectRefused(`${get}&response-content-type=text/html`, 'SignatureDoesNotMatch')
    const put = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: 'kept', ContentType: 'text/plain' }), {
      signableHeaders: new Set(['content-type']),
    })
    await expectRefused(put, 'SignatureDoesNotMatch', {
      method: 'PUT',
      body: 'changed',
      headers: { 'content-type': 'text/html' },
    })
    const signingDate = new Date(Date.now() - 120_000)
    const late = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: 'kept' }), { expiresIn: 60, signingDate }) // prettier-ignore
    await expectRefused(late, 'AccessDenied')
    expect(await onDisk('kept')).toBe('kept')
  })

  it('uploads parts by links', async () => {
    const client = sdkClient(site)
    const at = { Bucket, Key: 'in-parts' }
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at))
    const url = await getSignedUrl(client, new UploadPartCommand({ ...at, UploadId, PartNumber: 1 }))
    const sent = await fetch(url, { method: 'PUT', body: 'the only part' })
    expect(sent.status).toBe(200)
    const Parts = [{ PartNumber: 1, ETag: sent.headers.get('etag') ?? '' }]
    await client.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts } }))
    expect(await onDisk('in-parts')).toBe('the only part')
  })

  it('takes the form of a browser as its policy allows it, and nothing else', async () => {
    const client = sdkClient(site)
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- that package brings a client of its own
    const { url, fields } = await createPresignedPost(client, {
      Bucket,
      Key: 'forms/${filename}',
      Conditions: [
        ['content-length-range', 1, 100],
        ['starts-with', '$Content-Type', 'text/'],
      ],
      Fields: { success_action_status: '201' },
      Expires: 60,
    })
    const post = async (changes: Readonly<Record<string, string>>, content: string): Promise<readonly unknown[]> => {
      const form = new FormData()
      for (const [name, value] of Object.entries({ ...fields, 'Content-Type': 'text/plain', ...changes }))
        form.append(name, value)
      form.append('file', new Blob([content], { type: 'text/plain' }), 'a file ü.txt')
      // Nothing but the host says that it is for S3.
      const answer = await fetch(url.replace('127.0.0.1', 'localhost'), { method: 'POST', body: form })
      return [answer.status, /<(?:Code|Key)>(.*)<\/(?:Code|Key)>/.exec(await answer.text())?.[1]]
    }
    expect(await post({}, 'from a form')).toEqual([201, 'forms/a file ü.txt'])
    expect(await onDisk('forms/a file ü.txt')).toBe('from a form')
    expect(await post({ 'Content-Type': 'image/png' }, 'x')).toEqual([403, 'AccessDenied'])
    expect(await post({ key: 'elsewhere' }, 'x')).toEqual([403, 'AccessDenied'])
    expect(await post({ 'x-amz-meta-more': 'x' }, 'x')).toEqual([403, 'AccessDenied'])
    expect(await post({}, 'x'.repeat(101))).toEqual([400, 'EntityTooLarge'])
    expect(await post({}, '')).toEqual([400, 'EntityTooSmall'])
    const changed = Buffer.from(String(fields['Policy'])).reverse().toString()
    expect((await post({ Policy: changed }, 'x'))[0]).toBe(403)
    expect(await post({ 'X-Amz-Signature': '0'.repeat(64) }, 'x')).toEqual([403, 'SignatureDoesNotMatch'])
    expect((await names()).filter((name) => /^forms|elsewhere/.test(name))).toEqual(['forms', 'forms/a file ü.txt'])
  })
})
