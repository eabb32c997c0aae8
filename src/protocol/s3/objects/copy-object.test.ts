import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openS3Site, outcomeOf, s3Media, type S3Site } from '../../../../test/s3-site.js'
import { toPath } from '../../../core/path.js'
import { readCopySource } from './copy-source.js'

let site: S3Site

/** Copies, and gives the outcome. */
async function copy(
  source: string,
  target: string,
  headers: Readonly<Record<string, string>> = {},
  grants: readonly string[] = ['rw:/**'],
): Promise<string> {
  return outcomeOf(await site.ask('PUT', target, { headers: { 'x-amz-copy-source': source, ...headers }, grants }))
}

describe('the source of a copy', () => {
  const read = (sent: string): string => {
    const { bucket, key, path, slash } = readCopySource(
      { headers: new Map([['x-amz-copy-source', [sent]]]) },
      { buckets: new Map([['far', toPath('/over/there')]]) },
    )
    return `${bucket} ${key} ${path} ${String(slash)}`
  }

  it.each(['', '/', 'b', '/b', '/b/', 'b//k', '/b/../k', '//k', 'b/%zz', 'b/k?x=y', 'b/%00', 'b/%2e%2e/k', '/../k'])(
    'is not %j',
    (sent) => expect(() => read(sent)).toThrow(expect.objectContaining({ kind: 'invalid' })),
  )

  it('is no version of which there is none', () => {
    expect(() => read('b/k?versionId=3')).toThrow(expect.objectContaining({ reason: 'NoSuchVersion' }))
  })

  it.each([
    ['b/k', 'b k /b/k false'],
    ['/b/d/k?versionId=null', 'b d/k /b/d/k false'],
    ['b/d/', 'b d/ /b/d true'],
    ['b/a%2Fb%3Fc+d', 'b a/b?c+d /b/a/b?c+d false'],
    ['%2Fb%2F%C3%A9', 'b é /b/é false'],
    ['b/\xc3\xa9', 'b é /b/é false'],
    ['far/k', 'far k /over/there/k false'],
  ])('%j', (sent, wanted) => expect(read(sent)).toBe(wanted))
})

describe.each(s3Media)('copies on a %s store', (medium) => {
  beforeEach(async () => {
    site = await openS3Site(medium)
    const headers = {
      'content-type': 'text/odd',
      'x-amz-meta-a': '1',
      'x-amz-tagging': 't=1',
      'x-amz-checksum-sha1': hash('sha1', 'bytes', 'base64'),
    }
    await site.ask('PUT', '/b/k', { body: 'bytes', headers })
    await site.fill({ '/c/other': 'other', '/b/d/f': 'x' })
  })
  afterEach(() => site.dispose())

  it('are refused, and nothing is there', async () => {
    const refusals: readonly (readonly [string, Parameters<typeof copy>])[] = [
      ['404 NoSuchKey', ['b/none', '/b/new']],
      ['404 NoSuchKey', ['b/d', '/b/new']],
      ['404 NoSuchKey', ['b/d/', '/b/new/']],
      ['404 NoSuchBucket', ['none/k', '/b/new']],
      ['404 NoSuchBucket', ['b/k', '/none/new']],
      ['404 NoSuchBucket', ['b/k', '/none/d/new']],
      ['400 InvalidArgument', ['b/../c/other', '/b/new']],
      ['400 InvalidRequest', ['b/k', '/b/k']],
      ['400 InvalidArgument', ['b/k', '/b/new', { 'x-amz-metadata-directive': 'MOVE' }]],
      ['400 InvalidArgument', ['b/k', '/b/new', { 'x-amz-tagging-directive': 'MOVE' }]],
      ['400 InvalidRequest', ['b/k', '/b/new', { 'x-amz-checksum-algorithm': 'CRC99' }]],
      ['400 DirectoryObjectContainsData', ['b/k', '/b/new/']],
      ['409 ObjectIsDirectory', ['b/k', '/b/d']],
      ['409 ObjectParentIsFile', ['b/d/f', '/b/k/below']],
      ['412 PreconditionFailed', ['b/k', '/b/new', { 'x-amz-copy-source-if-match': '"x"' }]],
      ['412 PreconditionFailed', ['b/k', '/b/new', { 'x-amz-copy-source-if-none-match': `"${hash('md5', 'bytes')}"` }]],
      ['412 PreconditionFailed', ['b/k', '/b/new', { 'x-amz-copy-source-if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' }]],
      ['412 PreconditionFailed', ['b/k', '/b/new', { 'x-amz-copy-source-if-modified-since': 'Mon, 01 Jan 2096 00:00:00 GMT' }]],
      ['412 PreconditionFailed', ['c/other', '/b/k', { 'if-none-match': '*' }]],
      ['412 PreconditionFailed', ['c/other', '/b/k', { 'if-match': '"x"' }]],
      ['404 NoSuchKey', ['b/k', '/b/new', { 'if-match': '"x"' }]],
      ['501 NotImplemented', ['b/k', '/b/new', { 'x-amz-copy-source-server-side-encryption-customer-key': 'k' }]],
      ['501 NotImplemented', ['b/k', '/b/new', { 'x-amz-server-side-encryption': 'aws:kms' }]],
      ['403 AccessDenied', ['c/other', '/b/new', {}, ['rw:/b/**']]],
      ['403 AccessDenied', ['c/none', '/b/new', {}, ['rw:/b/**']]],
      ['403 AccessDenied', ['c/other', '/b/new', {}, ['rw:/b/**', 'list:/c/**']]],
      ['403 AccessDenied', ['c/other', '/b/new', {}, ['r:/**']]],
      ['403 AccessDenied', ['c/other', '/b/k', {}, ['r:/**', 'create:/**']]],
    ] // prettier-ignore
    for (const [wanted, asked] of refusals) expect([asked, await copy(...asked)]).toEqual([asked, wanted])
    expect(await site.store.stat(toPath('/b/new'))).toBeUndefined()
    expect(await site.store.stat(toPath('/none'))).toBeUndefined()
    expect((await site.ask('GET', '/b/k')).text).toBe('bytes')
  })

  it('have what is known of the source, or what the request says', async () => {
    const shown = async (key: string): Promise<unknown> => {
      const got = await site.ask('GET', key, { headers: { 'x-amz-checksum-mode': 'ENABLED' } })
      const names = ['etag', 'content-type', 'x-amz-meta-a', 'x-amz-meta-b', 'x-amz-tagging-count', 'x-amz-checksum-sha1'] // prettier-ignore
      return [got.text, ...names.map((name) => got.header(name))]
    }
    const etag = `"${hash('md5', 'bytes')}"`
    const sha1 = hash('sha1', 'bytes', 'base64')
    const sent = { 'content-type': 'text/new', 'x-amz-meta-b': '2', 'x-amz-tagging': 'a=1&b=2' }
    const plain = ['bytes', etag, 'text/odd', '1', undefined, '1', sha1]
    expect(await copy('b/k', '/c/new/d/k', sent)).toBe('200')
    expect(await shown('/c/new/d/k')).toEqual(plain)
    expect(await copy('/b/k', '/c/replaced', { ...sent, 'x-amz-metadata-directive': 'REPLACE' })).toBe('200')
    expect(await shown('/c/replaced')).toEqual(['bytes', etag, 'text/new', undefined, '2', '1', sha1])
    expect(await copy('/b/k', '/c/tagged', { ...sent, 'x-amz-tagging-directive': 'REPLACE' })).toBe('200')
    expect(await shown('/c/tagged')).toEqual(['bytes', etag, 'text/odd', '1', undefined, '2', sha1])
    const both = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-tagging-directive': 'REPLACE' }
    const before = await site.store.stat(toPath('/b/k'))
    expect(await copy('/b/k', '/b/k', { ...sent, ...both, 'if-match': etag })).toBe('200')
    expect(await shown('/b/k')).toEqual(['bytes', etag, 'text/new', undefined, '2', '2', sha1])
    expect((await site.store.stat(toPath('/b/k')))?.modified).toBeGreaterThanOrEqual(before?.modified ?? Infinity)
    expect(await copy('/b/k', '/b/k', { ...both, 'if-none-match': '*' })).toBe('412 PreconditionFailed')
    const told = await site.ask('PUT', '/c/other', { headers: { 'x-amz-copy-source': 'b/k' } })
    expect(told.text).toMatch(/<CopyObjectResult xmlns.*<LastModified>.*Z<\/LastModified><ETag>"4b3a.*"<\/ETag><ChecksumSHA1>/)
  }) // prettier-ignore

  it('compute a checksum that is asked for', async () => {
    const { text } = await site.ask('PUT', '/b/new', {
      headers: { 'x-amz-copy-source': 'c/other', 'x-amz-checksum-algorithm': 'SHA256' },
    })
    expect(text).toContain(`<ChecksumSHA256>${hash('sha256', 'other', 'base64')}</ChecksumSHA256>`)
  })

  it('are made of folders that are objects, too', async () => {
    await site.ask('PUT', '/b/m/', { headers: { 'content-length': '0', 'x-amz-meta-a': '1' } })
    expect(await copy('b/m/', '/c/m/')).toBe('200')
    expect((await site.ask('HEAD', '/c/m/')).header('x-amz-meta-a')).toBe('1')
    expect(await copy('b/m/', '/c/file')).toBe('200')
    expect(await site.store.stat(toPath('/c/file'))).toMatchObject({ kind: 'file', size: 0, attributes: { 'x-amz-meta-a': '1' } }) // prettier-ignore
    expect(await copy('b/m/', '/b/m/', { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-b': '2' })).toBe('200')
    const { attributes } = (await site.store.stat(toPath('/b/m'))) ?? {}
    expect(attributes).toMatchObject({ 's3-marker': '1', 'x-amz-meta-b': '2' })
    expect(attributes).not.toHaveProperty('x-amz-meta-a')
  })
})
