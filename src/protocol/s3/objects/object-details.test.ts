import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openS3Site, outcomeOf, s3Media, type S3Site } from '../../../../test/s3-site.js'
import { toPath } from '../../../core/path.js'
import { createHttpFiles } from '../../http/index.js'
import { openSite } from '../../../../test/http-exchange.js'
import { readPartSizes, writePartSizes } from '../uploads/part-sizes.js'

let site: S3Site

async function outcome(...asked: Parameters<S3Site['ask']>): Promise<string> {
  return outcomeOf(await site.ask(...asked))
}

const tagging = (...tags: readonly string[]): string =>
  `<Tagging><TagSet>${tags.map((tag) => `<Tag><Key>${tag}</Key><Value>v</Value></Tag>`).join('')}</TagSet></Tagging>`

describe.each(s3Media)('what is known of objects on a %s store', (medium) => {
  beforeEach(async () => {
    site = await openS3Site(medium)
    await site.ask('PUT', '/b/k', { body: 'bytes', headers: { 'x-amz-tagging': 'a=1', 'x-amz-meta-m': '1' } })
  })
  afterEach(() => site.dispose())

  it('is kept from those who may not know or change it', async () => {
    const attributes = { 'x-amz-object-attributes': 'ETag' }
    const reads = ['/b/k?tagging', '/b/k?acl', '/b/k?attributes', '/b/k?retention', '/b/k?legal-hold']
    for (const target of reads)
      for (const grants of [[], ['list:/**'], ['create:/**'], ['rw:/c/**']])
        expect(await outcome('GET', target, { headers: attributes, grants })).toBe('403 AccessDenied')
    const grants = ['r:/**', 'create:/**']
    expect(await outcome('PUT', '/b/k?tagging', { body: tagging('x'), grants })).toBe('403 AccessDenied')
    expect(await outcome('DELETE', '/b/k?tagging', { grants })).toBe('403 AccessDenied')
    expect(await outcome('PUT', '/b/k?acl', { headers: { 'x-amz-acl': 'private' }, grants })).toBe('403 AccessDenied')
    expect((await site.ask('HEAD', '/b/k')).header('x-amz-tagging-count')).toBe('1')
  })

  it.each([
    ['404 NoSuchKey', 'GET', '/b/none?tagging', ''],
    ['404 NoSuchKey', 'PUT', '/b/none?tagging', tagging('a')],
    ['404 NoSuchBucket', 'GET', '/none/k?tagging', ''],
    ['404 NoSuchVersion', 'GET', '/b/k?tagging&versionId=x', ''],
    ['400 MalformedXML', 'PUT', '/b/k?tagging', ''],
    ['400 MalformedXML', 'PUT', '/b/k?tagging', '<Tagging/>'],
    ['400 MalformedXML', 'PUT', '/b/k?tagging', '<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>'],
    ['400 MalformedXML', 'PUT', '/b/k?tagging', '<!DOCTYPE x><Tagging><TagSet/></Tagging>'],
    ['400 InvalidTag', 'PUT', '/b/k?tagging', tagging('a', 'a')],
    ['400 InvalidTag', 'PUT', '/b/k?tagging', tagging('aws:x')],
    ['400 InvalidTag', 'PUT', '/b/k?tagging', tagging(...'abcdefghijk'.split(''))],
    ['400 MalformedXML', 'PUT', '/b/k?acl', ''],
    ['404 NoSuchKey', 'GET', '/b/none?acl', ''],
    ['404 NoSuchObjectLockConfiguration', 'GET', '/b/k?retention', ''],
    ['404 NoSuchObjectLockConfiguration', 'GET', '/b/k?legal-hold', ''],
    ['501 NotImplemented', 'GET', '/b/k?torrent', ''],
    ['400 InvalidArgument', 'GET', '/b/k?attributes', ''],
  ])('%s: %s %s', async (wanted, method, target, body) => {
    expect(await outcome(method, target, { body })).toBe(wanted)
    expect((await site.ask('GET', '/b/k?tagging')).text).toContain('<Key>a</Key><Value>1</Value>')
  })

  it('are tags that are set and taken away, and nothing else with them', async () => {
    const etag = (await site.ask('HEAD', '/b/k')).header('etag')
    expect(await outcome('PUT', '/b/k?tagging', { body: tagging('é', 'x y') })).toBe('200')
    const { text } = await site.ask('GET', '/b/k?tagging')
    expect(text).toContain('<TagSet><Tag><Key>é</Key><Value>v</Value></Tag><Tag><Key>x y</Key>')
    expect(await outcome('DELETE', '/b/k?tagging')).toBe('204')
    expect((await site.ask('GET', '/b/k?tagging')).text).toContain('<TagSet></TagSet>')
    const head = await site.ask('HEAD', '/b/k')
    expect([head.header('etag'), head.header('x-amz-meta-m'), head.header('x-amz-tagging-count')]).toEqual([etag, '1', undefined]) // prettier-ignore
  })

  it('is a list of one owner', async () => {
    expect((await site.ask('GET', '/b/k?acl')).text).toContain('<Permission>FULL_CONTROL</Permission>')
    expect(await outcome('PUT', '/b/k?acl', { headers: { 'x-amz-acl': 'bucket-owner-full-control' } })).toBe('200')
    expect(await outcome('PUT', '/b/k?acl', { headers: { 'x-amz-acl': 'public-read' } })).toBe('501 NotImplemented')
  })

  it('is told in one document', async () => {
    const ask = async (names: string, more: Readonly<Record<string, string>> = {}): Promise<string> =>
      (await site.ask('GET', '/b/k?attributes', { headers: { 'x-amz-object-attributes': names, ...more } })).text
    expect(await outcome('GET', '/b/k?attributes', { headers: { 'x-amz-object-attributes': 'ETag,Owner' } })).toBe('400 InvalidArgument') // prettier-ignore
    expect(await ask('ETag,ObjectSize, StorageClass,Checksum,ObjectParts')).toMatch(
      new RegExp(
        `<ETag>${hash('md5', 'bytes')}</ETag><StorageClass>STANDARD</StorageClass><ObjectSize>5</ObjectSize></G`,
      ),
    )
    const attributes = { 's3-etag': 'e-5', 's3-parts': '5x1', 's3-checksum': 'crc32=AAAAAA==-5' }
    await site.store.change(toPath('/b/k'), { attributes })
    expect(await ask('Checksum')).toContain('<Checksum><ChecksumCRC32>AAAAAA==-5</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType>') // prettier-ignore
    expect(await ask('ObjectParts', { 'x-amz-max-parts': '2', 'x-amz-part-number-marker': '1' })).toContain(
      '<ObjectParts><PartsCount>5</PartsCount><PartNumberMarker>1</PartNumberMarker><NextPartNumberMarker>3</NextPartNumberMarker><MaxParts>2</MaxParts><IsTruncated>true</IsTruncated><Part><PartNumber>2</PartNumber><Size>1</Size></Part><Part><PartNumber>3</PartNumber><Size>1</Size></Part></ObjectParts>',
    )
  })

  it('is forgotten where another surface changes the bytes', async () => {
    const etag = hash('md5', 'Bytes')
    await site.store.change(toPath('/b/k'), { attributes: { 's3-etag': 'e-5', 'x-amz-meta-m': '1' } })
    const files = openSite(createHttpFiles(), { store: site.store })
    const headers = { 'content-type': 'application/x-sabredav-partialupdate', 'x-update-range': 'bytes=0-0' }
    expect((await files.ask('PATCH', '/b/k', { body: 'B', headers })).status).toBe(204)
    const got = await site.ask('GET', '/b/k')
    expect([got.text, got.header('x-amz-meta-m')]).toEqual(['Bytes', '1'])
    expect(got.header('etag')).toMatch(new RegExp(`^"(?:${etag}|[0-9a-f]{32}-1)"$`))
  })
})

describe('sizes of parts', () => {
  it('are kept in few characters, or not at all', () => {
    const sizes = [...Array.from({ length: 9_999 }, () => 8_388_608), 17]
    const size = sizes.reduce((sum, each) => sum + each, 0)
    const text = writePartSizes(sizes) ?? ''
    expect(text).toBe('9999x8388608,17')
    expect(readPartSizes({ attributes: { 's3-parts': text }, size })).toEqual(sizes)
    expect(writePartSizes(Array.from({ length: 10_000 }, (_, at) => at))).toBeUndefined()
  })

  it.each(['', 'x', '1x', '-1', '99999x1', '3', '1,1', '2x2,'])('are none in %j of 2 bytes', (text) => {
    expect(readPartSizes({ attributes: { 's3-parts': text }, size: text === '1,1' ? 3 : 2 })).toBeUndefined()
  })
})
