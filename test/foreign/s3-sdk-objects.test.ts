import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
  paginateListObjectsV2,
} from '@aws-sdk/client-s3'
import type { PutObjectCommandInput } from '@aws-sdk/client-s3'
import { describe, expect, it } from 'vitest'
import { namesBelow } from '../harness.js'
import { refusal, sdkClient } from './s3-sdk.js'
import { md5, withS3Site } from './s3-site.js'

/** Keys that are awkward in URLs, in XML and in signatures. */
const oddKeys = [
  'a b',
  'a+b',
  'a%20b',
  'a%2Fb',
  'quote\'s "both"',
  '(1)!*~',
  '<tag>&amp;',
  'semi;colon:at@=,$',
  '#hash?mark',
  'back\\slash',
  'ünïcödé/日本/😀.txt',
]

describe('AWS SDK for JavaScript: objects', () => {
  const site = withS3Site({ config: 's3: { hosts: [s3.test] }' })

  async function freshBucket(name: string): Promise<string> {
    await mkdir(join(site.server.root, name))
    return name
  }

  async function onDisk(...names: readonly string[]): Promise<Buffer> {
    return await readFile(join(site.server.root, ...names))
  }

  it('is told which key is unknown, which secret wrong, and what it may not do', async () => {
    const Bucket = await freshBucket('closed')
    await writeFile(join(site.server.root, Bucket, 'file'), 'secret')
    const read = (key: typeof site.key): ReturnType<typeof refusal> =>
      refusal(sdkClient(site, 'http', { key }).send(new GetObjectCommand({ Bucket, Key: 'file' })))
    expect(await read({ ...site.key, secretAccessKey: 'w'.repeat(40) })).toEqual(['SignatureDoesNotMatch', 403])
    expect(await read({ ...site.key, accessKeyId: 'PSTNNOSUCHKEY0000000' })).toEqual(['InvalidAccessKeyId', 403])
    const reader = await site.issue('reader', 'r:/closed/**')
    const client = sdkClient(site, 'http', { key: reader })
    expect(await (await client.send(new GetObjectCommand({ Bucket, Key: 'file' }))).Body?.transformToString()).toBe('secret') // prettier-ignore
    const put = client.send(new PutObjectCommand({ Bucket, Key: 'new', Body: 'x' }))
    expect(await refusal(put)).toEqual(['AccessDenied', 403])
    expect(await refusal(client.send(new DeleteObjectCommand({ Bucket, Key: 'file' })))).toEqual(['AccessDenied', 403])
    const hidden = new CopyObjectCommand({ Bucket: 'odd', Key: 'x', CopySource: 'closed/file' })
    const writer = await site.issue('writer', 'rw:/odd/**')
    expect(await refusal(sdkClient(site, 'http', { key: writer }).send(hidden))).toEqual(['AccessDenied', 403])
    expect(await namesBelow(join(site.server.root, Bucket))).toEqual(['file'])
  })

  describe.each(['http', 'https'] as const)('over %s', (scheme) => {
    it('puts buffers, strings and streams, and gets them with their checksums', async () => {
      const Bucket = await freshBucket(`put-${scheme}`)
      const client = sdkClient(site, scheme)
      const bytes = randomBytes(300_000)
      const pieces = [bytes.subarray(0, 1), bytes.subarray(1, 70_000), bytes.subarray(70_000)]
      const bodies = {
        buffer: bytes,
        string: 'plain text',
        empty: '',
        stream: Readable.from(pieces),
        'empty-stream': Readable.from([]),
      }
      for (const [Key, Body] of Object.entries(bodies)) {
        // The SDK wants to know how long a stream is, and sends it in chunks all the same.
        const length = Key === 'stream' ? { ContentLength: bytes.length } : Key === 'empty-stream' ? { ContentLength: 0 } : {} // prettier-ignore
        const put = await client.send(new PutObjectCommand({ Bucket, Key, Body, ...length }))
        const expected = Key === 'stream' ? bytes : Buffer.from(Key === 'empty-stream' ? '' : (Body as string))
        expect(put.ETag, Key).toBe(`"${md5(expected)}"`)
        expect(put.ChecksumCRC32, Key).toMatch(/^[\w+/]{6}==$/)
        expect((await onDisk(Bucket, Key)).equals(expected), Key).toBe(true)
        const got = await client.send(new GetObjectCommand({ Bucket, Key }))
        expect(got.ChecksumCRC32, 'what the SDK compares the bytes with').toBe(put.ChecksumCRC32)
        expect(got.ContentEncoding, 'the chunks are no part of the object').toBeUndefined()
        expect(Buffer.from(await got.Body!.transformToByteArray()).equals(expected), Key).toBe(true)
      }
      client.destroy()
    })

    it('puts and gets odd keys, and lists them in the order of their bytes', async () => {
      const Bucket = await freshBucket(`odd-${scheme}`)
      const client = sdkClient(site, scheme)
      for (const Key of oddKeys) await client.send(new PutObjectCommand({ Bucket, Key, Body: Key }))
      const sorted = [...oddKeys].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
      const pages: string[][] = []
      for await (const page of paginateListObjectsV2({ client, pageSize: 3 }, { Bucket }))
        pages.push((page.Contents ?? []).map(({ Key = '' }) => Key))
      expect(pages.flat()).toEqual(sorted)
      expect(pages.map((page) => page.length)).toEqual([3, 3, 3, 2])
      const encoded = await client.send(new ListObjectsV2Command({ Bucket, EncodingType: 'url' }))
      const decoded = encoded.Contents?.map(({ Key = '' }) => decodeURIComponent(Key.replaceAll('+', ' ')))
      expect(decoded).toEqual(sorted)
      for (const Key of oddKeys) {
        const got = await client.send(new GetObjectCommand({ Bucket, Key }))
        expect(await got.Body?.transformToString()).toBe(Key)
      }
      const removed = await client.send(
        new DeleteObjectsCommand({ Bucket, Delete: { Objects: [...oddKeys, 'never there'].map((Key) => ({ Key })) } }),
      )
      expect(removed.Errors).toBeUndefined()
      expect(removed.Deleted).toHaveLength(oddKeys.length + 1)
      expect(await namesBelow(join(site.server.root, Bucket))).toEqual([])
      client.destroy()
    })
  })

  it('checks, keeps and returns each kind of checksum, of buffers and of streams', async () => {
    const Bucket = await freshBucket('sums')
    const client = sdkClient(site)
    const text = '123456789'
    // The check values of the CRC catalogue, and the digests, of these nine digits.
    const sums = {
      CRC32: 'y/Q5Jg==',
      CRC32C: '4waSgw==',
      CRC64NVME: 'rosUhgp5mIg=',
      SHA1: '98O8HYCOBHMq32eZZczDTKeuNEE=',
      SHA256: 'FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=',
    } as const
    for (const [name, sum] of Object.entries(sums) as [keyof typeof sums, string][]) {
      const member = `Checksum${name}` as const
      for (const Key of [`${name}-buffer`, `${name}-stream`]) {
        const Body = Key.endsWith('stream') ? Readable.from([Buffer.from(text)]) : text
        const put = await client.send(
          new PutObjectCommand({ Bucket, Key, Body, ContentLength: text.length, ChecksumAlgorithm: name }),
        )
        expect(put[member], Key).toBe(sum)
        const head = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
        expect(head[member], Key).toBe(sum)
        const got = await client.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
        expect(got[member], Key).toBe(sum)
        expect(await got.Body?.transformToString()).toBe(text)
        const ObjectAttributes = ['Checksum', 'ETag', 'ObjectSize'] as const
        const asked = new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: [...ObjectAttributes] })
        const attributes = await client.send(asked)
        expect(attributes).toMatchObject({ Checksum: { [member]: sum }, ETag: md5(text), ObjectSize: 9 })
      }
      const wrong = { [member]: Buffer.alloc(Buffer.from(sum, 'base64').length, 1).toString('base64') }
      const put: PutObjectCommandInput = { Bucket, Key: `${name}-wrong`, Body: text, ...wrong }
      expect(await refusal(client.send(new PutObjectCommand(put)))).toEqual(['BadDigest', 400])
    }
    const md5Wrong = new PutObjectCommand({ Bucket, Key: 'md5', Body: text, ContentMD5: 'AAAAAAAAAAAAAAAAAAAAAA==' })
    expect(await refusal(client.send(md5Wrong))).toEqual(['BadDigest', 400])
    expect((await namesBelow(join(site.server.root, Bucket))).filter((name) => !/-(?:buffer|stream)$/.test(name))).toEqual([]) // prettier-ignore
  })

  it('keeps metadata and headers, copies them or replaces them, and keeps tags', async () => {
    const Bucket = await freshBucket('meta')
    const client = sdkClient(site)
    const kept = {
      ContentType: 'text/x-odd',
      CacheControl: 'max-age=60',
      ContentDisposition: 'attachment; filename="a.txt"',
      ContentLanguage: 'en',
      ContentEncoding: 'identity-ish',
      Metadata: { colour: 'blue', spaced: 'a  b' },
    }
    await client.send(new PutObjectCommand({ Bucket, Key: 'one', Body: 'text', ...kept, Tagging: 'a=1&b=x%20y' }))
    const head = async (Key: string): Promise<object> => client.send(new HeadObjectCommand({ Bucket, Key }))
    expect(await head('one')).toMatchObject({ ...kept, ContentLength: 4 })
    const copied = await client.send(new CopyObjectCommand({ Bucket, Key: 'folder/two', CopySource: `${Bucket}/one` }))
    expect(copied.CopyObjectResult?.ETag).toBe(`"${md5('text')}"`)
    expect(await head('folder/two')).toMatchObject(kept)
    await client.send(
      new CopyObjectCommand({
        Bucket,
        Key: 'one',
        CopySource: `${Bucket}/one`,
        MetadataDirective: 'REPLACE',
        ContentType: 'text/y',
        Metadata: { colour: 'red' },
      }),
    )
    const replaced = await client.send(new HeadObjectCommand({ Bucket, Key: 'one' }))
    expect(replaced).toMatchObject({ ContentType: 'text/y', Metadata: { colour: 'red' }, ETag: `"${md5('text')}"` })
    expect(replaced.CacheControl).toBeUndefined()
    const itself = new CopyObjectCommand({ Bucket, Key: 'one', CopySource: `${Bucket}/one` })
    expect(await refusal(client.send(itself))).toEqual(['InvalidRequest', 400])
    const tags = async (Key: string): Promise<unknown> =>
      (await client.send(new GetObjectTaggingCommand({ Bucket, Key }))).TagSet
    expect(await tags('folder/two')).toEqual([
      { Key: 'a', Value: '1' },
      { Key: 'b', Value: 'x y' },
    ])
    const set = { TagSet: [{ Key: 'ü', Value: 'a+b = @' }] }
    await client.send(new PutObjectTaggingCommand({ Bucket, Key: 'one', Tagging: set }))
    expect(await tags('one')).toEqual(set.TagSet)
  })

  it('writes on conditions: of twenty at once one makes the object, and one replaces it', async () => {
    const Bucket = await freshBucket('race')
    const client = sdkClient(site)
    const race = async (round: string, condition: object): Promise<readonly string[]> =>
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const put = new PutObjectCommand({ Bucket, Key: 'contested', Body: `${round} ${index}`, ...condition })
          return await client.send(put).then(
            () => `${round} ${index}`,
            (error: unknown) => (error as Error).name,
          )
        }),
      )
    const lost = ['PreconditionFailed', 'ConditionalRequestConflict']
    let winners = (await race('maker', { IfNoneMatch: '*' })).filter((result) => !lost.includes(result))
    expect(winners).toHaveLength(1)
    expect((await onDisk(Bucket, 'contested')).toString()).toBe(winners[0])
    const IfMatch = `"${md5(winners[0] ?? '')}"`
    winners = (await race('changer', { IfMatch })).filter((result) => !lost.includes(result))
    expect(winners).toHaveLength(1)
    expect((await onDisk(Bucket, 'contested')).toString()).toBe(winners[0])
    const stale = new PutObjectCommand({ Bucket, Key: 'contested', Body: 'late', IfMatch })
    expect(await refusal(client.send(stale))).toEqual(['PreconditionFailed', 412])
    const none = new PutObjectCommand({ Bucket, Key: 'none', Body: 'x', IfMatch })
    expect(await refusal(client.send(none))).toEqual(['NoSuchKey', 404])
    const read = new GetObjectCommand({ Bucket, Key: 'contested', IfNoneMatch: `"${md5(winners[0] ?? '')}"` })
    expect((await refusal(client.send(read)))[1]).toBe(304)
  })

  it('lists versions, of which each key has one, and folders by a delimiter', async () => {
    const Bucket = await freshBucket('listed')
    const client = sdkClient(site)
    for (const Key of ['a', 'a-b', 'dir/x', 'dir/y', 'dir.z', 'marked/'])
      await client.send(new PutObjectCommand({ Bucket, Key, Body: '' }))
    const versions = await client.send(new ListObjectVersionsCommand({ Bucket }))
    expect(versions.Versions?.map(({ Key, VersionId, IsLatest }) => [Key, VersionId, IsLatest])).toEqual(
      ['a', 'a-b', 'dir.z', 'dir/x', 'dir/y', 'marked/'].map((Key) => [Key, 'null', true]),
    )
    const top = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: '/', FetchOwner: true }))
    expect(top.Contents?.map(({ Key }) => Key)).toEqual(['a', 'a-b', 'dir.z'])
    expect(top.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['dir/', 'marked/'])
    expect(top.Contents?.[0]?.Owner?.ID).toMatch(/./)
    const after = await client.send(new ListObjectsV2Command({ Bucket, StartAfter: 'dir/x', MaxKeys: 1 }))
    expect(after).toMatchObject({ KeyCount: 1, IsTruncated: true, Contents: [{ Key: 'dir/y' }] })
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'a', VersionId: 'null' }))
    const other = new DeleteObjectCommand({ Bucket, Key: 'a-b', VersionId: '3sL4kqtJlcpXroDTDmJ' })
    expect((await refusal(client.send(other)))[1]).toBeGreaterThanOrEqual(400)
    expect(await namesBelow(join(site.server.root, Bucket))).not.toContain('a')
    expect(await namesBelow(join(site.server.root, Bucket))).toContain('a-b')
  })

  it('finds the bucket in the name of the host', async () => {
    const Bucket = await freshBucket('hosted')
    const client = sdkClient(site, 'http', {
      endpoint: `http://s3.test:${site.server.port}`,
      forcePathStyle: false,
      requestHandler: {
        httpAgent: new Agent({
          lookup: (name, options, done) => {
            expect(name).toBe('hosted.s3.test')
            if (options.all === true) done(null, [{ address: '127.0.0.1', family: 4 }])
            else done(null, '127.0.0.1', 4)
          },
        }),
      },
    })
    await client.send(new PutObjectCommand({ Bucket, Key: 'hosted/a b', Body: 'by its host' }))
    expect((await onDisk(Bucket, 'hosted/a b')).toString()).toBe('by its host')
    const got = await client.send(new GetObjectCommand({ Bucket, Key: 'hosted/a b' }))
    expect(await got.Body?.transformToString()).toBe('by its host')
    const listed = await client.send(new ListObjectsV2Command({ Bucket }))
    expect(listed.Contents?.map(({ Key }) => Key)).toEqual(['hosted/a b'])
  })
})
