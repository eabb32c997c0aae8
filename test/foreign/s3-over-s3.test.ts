import { createHash, randomBytes } from 'node:crypto'
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
  GetObjectTaggingCommand,
  UploadPartCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { refusal, sdkClientOf } from './s3-sdk.js'
import { issueKey } from './s3-site.js'
import { describeForeign } from './tools.js'

/** The S3 API in front of a store that is S3 itself: what one request is told, every other must be told, too. */
describeForeign('the S3 API over a bucket', cephNeeds, () => {
  let ceph: Ceph
  let server: Server
  let s3: S3Client
  /** The service behind. */
  let behind: S3Client
  let bucket = ''
  const Bucket = 'photos'

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
    server = await startServer({
      mounts: true,
      config: JSON.stringify({ mounts: [{ path: '/', s3: ceph.url(bucket) }] }),
    })
    s3 = sdkClientOf(server.url, await issueKey(server, 'tester', 'rw:/**'))
    behind = sdkClientOf(ceph.endpoint, ceph)
    await s3.send(new CreateBucketCommand({ Bucket }))
  })

  afterAll(async () => {
    s3.destroy()
    behind.destroy()
    await server[Symbol.asyncDispose]()
    await ceph.stop()
  })

  async function etags(Key: string): Promise<readonly (string | undefined)[]> {
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key }))
    const got = await s3.send(new GetObjectCommand({ Bucket, Key }))
    await got.Body?.transformToByteArray()
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: Key }))
    const real = await behind.send(new HeadObjectCommand({ Bucket: bucket, Key: `${Bucket}/${Key}` }))
    return [head.ETag, got.ETag, Contents?.find((one) => one.Key === Key)?.ETag, real.ETag]
  }

  it('keeps bytes, type and metadata as any client of the service behind sees them', async () => {
    const Body = 'hello'
    const put = await s3.send(
      new PutObjectCommand({ Bucket, Key: 'd/f.txt', Body, ContentType: 'text/x-own', Metadata: { color: 'blue' } }),
    )
    expect(put.ETag).toBe(`"${createHash('md5').update(Body).digest('hex')}"`)
    expect(new Set(await etags('d/f.txt'))).toEqual(new Set([put.ETag]))
    const real = await behind.send(new GetObjectCommand({ Bucket: bucket, Key: `${Bucket}/d/f.txt` }))
    expect(await real.Body?.transformToString()).toBe(Body)
    expect([real.ContentType, real.Metadata?.['color']]).toEqual(['text/x-own', 'blue'])
  })

  it('tells one ETag of an object that came in parts', async () => {
    const Key = 'large.bin'
    const parts = [randomBytes(6 * 2 ** 20), randomBytes(5 * 2 ** 20), randomBytes(1000)]
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key, Metadata: { of: 'parts' } }))
    const Parts = await Promise.all(
      parts.map(async (Body, index) => {
        const PartNumber = index + 1
        const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }))
        return { PartNumber, ETag }
      }),
    )
    const done = await s3.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    )
    expect(done.ETag).toBeDefined()
    expect(new Set(await etags(Key))).toEqual(new Set([done.ETag]))
    const got = await s3.send(new GetObjectCommand({ Bucket, Key, IfMatch: done.ETag }))
    expect(Buffer.concat(parts).equals((await got.Body?.transformToByteArray()) ?? new Uint8Array())).toBe(true)
    expect(got.Metadata).toEqual({ of: 'parts' })
    const part = await s3.send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=6291450-6291465' }))
    expect(
      Buffer.concat(parts)
        .subarray(6291450, 6291466)
        .equals((await part.Body?.transformToByteArray())!),
    ).toBe(true)
  })

  it('replaces metadata and tags of an object where it lies', async () => {
    const Key = 'meta'
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'x', Metadata: { a: '1' } }))
    const CopySource = `${Bucket}/${Key}`
    await s3.send(
      new CopyObjectCommand({ Bucket, Key, CopySource, MetadataDirective: 'REPLACE', Metadata: { b: '2' } }),
    )
    expect((await s3.send(new HeadObjectCommand({ Bucket, Key }))).Metadata).toEqual({ b: '2' })
    const TagSet = [{ Key: '\u00e4', Value: '\u00f6' }]
    await s3.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: { TagSet } }))
    expect((await s3.send(new GetObjectTaggingCommand({ Bucket, Key }))).TagSet).toEqual(TagSet)
    expect((await s3.send(new HeadObjectCommand({ Bucket, Key }))).Metadata).toEqual({ b: '2' })
  })

  it('knows folders as objects only where a client has put them', async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key: 'made/', Body: '', Metadata: { own: 'yes' } }))
    await s3.send(new PutObjectCommand({ Bucket, Key: 'implied/f', Body: 'x' }))
    const keys = async (): Promise<readonly (string | undefined)[]> =>
      ((await s3.send(new ListObjectsV2Command({ Bucket }))).Contents ?? []).map(({ Key }) => Key)
    const found = await keys()
    expect([found.includes('made/'), found.includes('implied/'), found.includes('implied/f')]).toEqual([
      true,
      false,
      true,
    ])
    expect((await s3.send(new HeadObjectCommand({ Bucket, Key: 'made/' }))).Metadata).toEqual({ own: 'yes' })
    expect(await refusal(s3.send(new HeadObjectCommand({ Bucket, Key: 'implied/' })))).toEqual(['NotFound', 404])
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'implied/f' }))
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'made/' }))
    expect((await keys()).filter((key) => /^(?:made|implied)/.test(key ?? ''))).toEqual([])
  })

  it('judges conditions', async () => {
    const Key = 'conditional'
    const { ETag } = await s3.send(new PutObjectCommand({ Bucket, Key, Body: '1', IfNoneMatch: '*' }))
    const failed = ['PreconditionFailed', 412]
    expect(await refusal(s3.send(new PutObjectCommand({ Bucket, Key, Body: '2', IfNoneMatch: '*' })))).toEqual(failed)
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: '2', IfMatch: ETag }))
    expect(await refusal(s3.send(new PutObjectCommand({ Bucket, Key, Body: '3', IfMatch: ETag })))).toEqual(failed)
    expect(await refusal(s3.send(new DeleteObjectCommand({ Bucket, Key, IfMatch: ETag })))).toEqual(failed)
    expect(await refusal(s3.send(new GetObjectCommand({ Bucket, Key, IfMatch: ETag })))).toEqual(failed)
  })
})
