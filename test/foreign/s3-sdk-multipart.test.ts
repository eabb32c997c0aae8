import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { CompletedPart, S3Client } from '@aws-sdk/client-s3'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { beforeAll, describe, expect, it } from 'vitest'
import { namesBelow } from '../harness.js'
import { refusal, sdkClient } from './s3-sdk.js'
import { md5, multipartEtag, withS3Site } from './s3-site.js'

const partBytes = 5 << 20

describe('AWS SDK for JavaScript: uploads in parts', () => {
  // Parts of one upload come to different processes.
  const site = withS3Site({ config: 'workers: 2' })
  /** Two whole parts and a short one. */
  const bytes = randomBytes(2 * partBytes + 1000)
  const parts = [0, 1, 2].map((index) => bytes.subarray(index * partBytes, (index + 1) * partBytes))
  const Bucket = 'parts'

  beforeAll(async () => {
    await mkdir(join(site.server.root, Bucket))
  })

  async function begin(client: S3Client, Key: string, more: object = {}): Promise<string> {
    const created = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }))
    expect(created).toMatchObject({ Bucket, Key })
    expect(created.UploadId).toMatch(/./)
    return created.UploadId ?? ''
  }

  /** Sends one part; gives what Complete wants to hear of it. */
  async function send(
    client: S3Client,
    Key: string,
    UploadId: string,
    PartNumber: number,
    Body: Uint8Array,
    more: object = {},
  ): Promise<CompletedPart> {
    const part = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ...more })
    const { ETag = '', ...sent } = await client.send(part)
    expect(ETag).toBe(`"${md5(Body)}"`)
    const sums = Object.entries(sent).filter(([name]) => /^Checksum(?!Type)/.test(name))
    return { PartNumber, ETag, ...Object.fromEntries(sums) }
  }

  async function sendAll(client: S3Client, Key: string, UploadId: string, more: object = {}): Promise<CompletedPart[]> {
    return await Promise.all(parts.map((Body, index) => send(client, Key, UploadId, index + 1, Body, more)))
  }

  async function onDisk(name: string): Promise<Buffer> {
    return await readFile(join(site.server.root, Bucket, name))
  }

  it.each(['http', 'https'] as const)('lib-storage uploads a buffer and a stream of 20 MiB over %s', async (scheme) => {
    const client = sdkClient(site, scheme)
    const big = randomBytes(20 << 20)
    const pieces = Array.from({ length: 20 }, (_, index) => big.subarray(index << 20, (index + 1) << 20))
    for (const [kind, Body] of [
      ['buffer', big],
      ['stream', Readable.from(pieces)],
    ] as const) {
      const Key = `${scheme}/${kind}`
      const done = await new Upload({ client, params: { Bucket, Key, Body, Metadata: { kind } }, partSize: partBytes }).done() // prettier-ignore
      expect(done.ETag).toBe(`"${multipartEtag(big, partBytes)}"`)
      expect((await onDisk(Key)).equals(big), Key).toBe(true)
      const got = await client.send(new GetObjectCommand({ Bucket, Key }))
      expect(got.Metadata).toEqual({ kind })
      expect(Buffer.from(await got.Body!.transformToByteArray()).equals(big), Key).toBe(true)
    }
    client.destroy()
  })

  it('shows parts and uploads while they go on, and nothing of them among the objects', async () => {
    const client = sdkClient(site)
    const Key = 'shown/a b.bin'
    const UploadId = await begin(client, Key)
    for (const number of [3, 1]) await send(client, Key, UploadId, number, parts[number - 1] ?? new Uint8Array())
    // Sent again: the later one counts.
    await send(client, Key, UploadId, 1, Buffer.alloc(partBytes, 'again'))
    const listed = await client.send(new ListPartsCommand({ Bucket, Key, UploadId }))
    expect(listed.Parts?.map(({ PartNumber, Size, ETag }) => [PartNumber, Size, ETag])).toEqual([
      [1, partBytes, `"${md5(Buffer.alloc(partBytes, 'again'))}"`],
      [3, 1000, `"${md5(parts[2] ?? '')}"`],
    ])
    const page = await client.send(new ListPartsCommand({ Bucket, Key, UploadId, MaxParts: 1 }))
    expect(page).toMatchObject({ IsTruncated: true, NextPartNumberMarker: '1' })
    const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'shown/' }))
    expect(uploads.Uploads).toMatchObject([{ Key, UploadId }])
    const objects = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'shown/' }))
    expect(objects.KeyCount).toBe(0)
    expect((await namesBelow(join(site.server.root, Bucket))).filter((name) => name.startsWith('shown'))).toEqual([])
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
    expect(await refusal(client.send(new ListPartsCommand({ Bucket, Key, UploadId })))).toEqual(['NoSuchUpload', 404])
    const after = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'shown/' }))
    expect(after.Uploads).toBeUndefined()
  })

  it('puts parts together with a composite checksum, and reads them by their numbers', async () => {
    const client = sdkClient(site)
    const Key = 'composite'
    const algorithm = { ChecksumAlgorithm: 'SHA256' } as const
    const UploadId = await begin(client, Key, algorithm)
    const sent = await sendAll(client, Key, UploadId, algorithm)
    const done = await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: sent } })) // prettier-ignore
    const sha256 = (...of: readonly Uint8Array[]): Buffer => {
      const hash = createHash('sha256')
      for (const piece of of) hash.update(piece)
      return hash.digest()
    }
    const composite = `${sha256(...parts.map((part) => sha256(part))).toString('base64')}-3`
    expect(done).toMatchObject({
      ETag: `"${multipartEtag(bytes, partBytes)}"`,
      ChecksumSHA256: composite,
      ChecksumType: 'COMPOSITE',
    })
    const head = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
    expect(head).toMatchObject({ ChecksumSHA256: composite, ChecksumType: 'COMPOSITE', ContentLength: bytes.length })
    const second = await client.send(new GetObjectCommand({ Bucket, Key, PartNumber: 2 }))
    expect(second).toMatchObject({ PartsCount: 3, ContentLength: partBytes })
    expect(second.ContentRange).toBe(`bytes ${partBytes}-${2 * partBytes - 1}/${bytes.length}`)
    expect(Buffer.from(await second.Body!.transformToByteArray()).equals(parts[1] ?? Buffer.of())).toBe(true)
    const fourth = new GetObjectCommand({ Bucket, Key, PartNumber: 4 })
    expect(await refusal(client.send(fourth))).toEqual(['InvalidPartNumber', 416])
    const asked = new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ['ObjectParts', 'Checksum'] })
    expect(await client.send(asked)).toMatchObject({ ObjectParts: { TotalPartsCount: 3 } })
  })

  it('puts parts together with a checksum of the whole', async () => {
    const client = sdkClient(site)
    const Key = 'full-object'
    const UploadId = await begin(client, Key, { ChecksumAlgorithm: 'CRC64NVME', ChecksumType: 'FULL_OBJECT' })
    const Parts = await sendAll(client, Key, UploadId, { ChecksumAlgorithm: 'CRC64NVME' })
    const whole = await client.send(new PutObjectCommand({ Bucket, Key: 'whole', Body: bytes, ChecksumAlgorithm: 'CRC64NVME' })) // prettier-ignore
    const complete = (ChecksumCRC64NVME?: string): Promise<unknown> =>
      client.send(
        new CompleteMultipartUploadCommand({
          Bucket,
          Key,
          UploadId,
          ChecksumType: 'FULL_OBJECT',
          ChecksumCRC64NVME,
          MultipartUpload: { Parts },
        }),
      )
    expect(await refusal(complete('AAAAAAAAAAA='))).toEqual(['BadDigest', 400])
    expect(await complete(whole.ChecksumCRC64NVME)).toMatchObject({
      ChecksumCRC64NVME: whole.ChecksumCRC64NVME,
      ChecksumType: 'FULL_OBJECT',
      ETag: `"${multipartEtag(bytes, partBytes)}"`,
    })
    expect((await onDisk(Key)).equals(bytes)).toBe(true)
  })

  it('refuses wrong parts, a wrong order and parts that are too small, and can still be completed', async () => {
    const client = sdkClient(site)
    const Key = 'mended'
    const UploadId = await begin(client, Key)
    const right = await sendAll(client, Key, UploadId)
    const complete = (Parts: CompletedPart[], more: object = {}): Promise<unknown> =>
      client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts }, ...more }))
    expect(await refusal(complete([...right].reverse()))).toEqual(['InvalidPartOrder', 400])
    const wrong = right.map((part, index) => (index === 1 ? { ...part, ETag: `"${'0'.repeat(32)}"` } : part))
    expect(await refusal(complete(wrong))).toEqual(['InvalidPart', 400])
    expect(await refusal(complete([...right, { PartNumber: 9, ETag: right[0]?.ETag }]))).toEqual(['InvalidPart', 400])
    const small = await send(client, Key, UploadId, 1, Buffer.from('too small'))
    expect(await refusal(complete([small, ...right.slice(1)]))).toEqual(['EntityTooSmall', 400])
    const first = await send(client, Key, UploadId, 1, parts[0] ?? Buffer.of())
    await complete([first, ...right.slice(1)], { IfNoneMatch: '*' })
    expect((await onDisk(Key)).equals(bytes)).toBe(true)
  })

  it('completes on conditions: not where an object has come meanwhile', async () => {
    const client = sdkClient(site)
    const Key = 'conditional'
    const UploadId = await begin(client, Key)
    const part = await send(client, Key, UploadId, 1, Buffer.from('late'))
    await client.send(new PutObjectCommand({ Bucket, Key, Body: 'first' }))
    const complete = (condition: object): Promise<unknown> =>
      client.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: [part] }, ...condition }),
      )
    expect(await refusal(complete({ IfNoneMatch: '*' }))).toEqual(['PreconditionFailed', 412])
    expect((await onDisk(Key)).toString()).toBe('first')
    await complete({ IfMatch: `"${md5('first')}"` })
    expect((await onDisk(Key)).toString()).toBe('late')
  })

  it('copies parts of other objects', async () => {
    const client = sdkClient(site)
    await client.send(new PutObjectCommand({ Bucket, Key: 'source', Body: bytes }))
    const Key = 'copied'
    const UploadId = await begin(client, Key)
    const Parts: CompletedPart[] = []
    for (const [index, range] of [`0-${partBytes - 1}`, `${partBytes}-${bytes.length - 1}`].entries()) {
      const copied = await client.send(
        new UploadPartCopyCommand({
          Bucket,
          Key,
          UploadId,
          PartNumber: index + 1,
          CopySource: `${Bucket}/source`,
          CopySourceRange: `bytes=${range}`,
        }),
      )
      Parts.push({ PartNumber: index + 1, ETag: copied.CopyPartResult?.ETag })
    }
    await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
    expect((await onDisk(Key)).equals(bytes)).toBe(true)
  })

  it('hides uploads from other keys that may not write there', async () => {
    const client = sdkClient(site)
    const Key = 'mine'
    const UploadId = await begin(client, Key)
    const part = await send(client, Key, UploadId, 1, Buffer.from('mine'))
    const other = sdkClient(site, 'http', { key: await site.issue('reader', 'r:/parts/**') })
    const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts: [part] } }
    const attempts = [
      other.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'yours' })),
      other.send(new CompleteMultipartUploadCommand(complete)),
      other.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })),
    ]
    for (const [code] of await Promise.all(attempts.map(refusal)))
      expect(code).toMatch(/^(?:AccessDenied|NoSuchUpload)$/)
    await client.send(new CompleteMultipartUploadCommand(complete))
    expect((await onDisk(Key)).toString()).toBe('mine')
  })
})
