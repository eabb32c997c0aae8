import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openS3Site, outcomeOf, s3Media, type S3Site } from '../../../test/s3-site.js'
import { toPath } from '../../core/path.js'

let site: S3Site

async function outcome(...asked: Parameters<S3Site['ask']>): Promise<string> {
  return outcomeOf(await site.ask(...asked))
}

async function pathsBelow(path: string): Promise<readonly string[]> {
  const found: string[] = []
  for await (const entries of site.store.list(toPath(path), { depth: 'infinity' }))
    found.push(...entries.map((entry) => entry.path))
  return found.sort()
}

const empty = { headers: { 'content-length': '0' } }

describe.each(s3Media)('objects on a %s store', (medium) => {
  beforeEach(async () => {
    site = await openS3Site(medium)
  })
  afterEach(() => site.dispose())

  describe('what must not be put', () => {
    it('leaves nothing behind', async () => {
      const refusals: readonly (readonly [string, Parameters<S3Site['ask']>])[] = [
        ['411 MissingContentLength', ['PUT', '/b/k', { headers: { 'transfer-encoding': 'chunked' }, body: 'x' }]],
        ['400 BadDigest', ['PUT', '/b/k', { body: 'x', headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } }]],
        ['400 BadDigest', ['PUT', '/b/d/k', { body: 'x', headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }]],
        ['400 IncompleteBody', ['PUT', '/b/d/k', { body: 'x', headers: { 'content-length': '2' } }]],
        ['400 IncompleteBody', ['PUT', '/b/d/k', { body: 'xyz', headers: { 'content-length': '2' } }]],
        ['404 NoSuchBucket', ['PUT', '/none/k', { body: 'x' }]],
        ['404 NoSuchBucket', ['PUT', '/none/d/k', { body: 'x' }]],
        ['404 NoSuchBucket', ['PUT', '/none/d/', empty]],
        ['404 NoSuchBucket', ['PUT', '/file/k', { body: 'x' }]],
        ['400 DirectoryObjectContainsData', ['PUT', '/b/d/', { body: 'x' }]],
        ['403 AccessDenied', ['PUT', '/b/k', { body: 'x', grants: ['r:/**'] }]],
        ['403 AccessDenied', ['PUT', '/b/d/', { ...empty, grants: ['r:/**', 'create:/**'] }]],
        ['403 AccessDenied', ['PUT', '/none/k', { body: 'x', grants: ['rw:/b/**'] }]],
        ['400 InvalidArgument', ['PUT', '/b/../k', { body: 'x' }]],
        ['400 InvalidArgument', ['PUT', '/b/d//k', { body: 'x' }]],
        ['400 KeyTooLongError', ['PUT', `/b/${'k'.repeat(256)}`, { body: 'x' }]],
        ['400 KeyTooLongError', ['PUT', `/b/${'k/'.repeat(520)}k`, { body: 'x' }]],
        ['400 MetadataTooLarge', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-meta-a': 'v'.repeat(2048) } }]],
        ['400 InvalidStorageClass', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-storage-class': 'CHEAP' } }]],
        ['400 InvalidTag', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-tagging': 'a=1&a=2' } }]],
        ['400 InvalidTag', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-tagging': 'aws:a=1' } }]],
        ['400 InvalidTag', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-tagging': 'a=%3C' } }]],
        ['400 InvalidTag', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-tagging': `a=${'v'.repeat(257)}` } }]],
        ['400 InvalidTag', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-tagging': `${'k'.repeat(129)}=` } }]],
        ['400 InvalidTag', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-tagging': 'abcdefghijk'.split('').join('&') } }]],
        ['400 InvalidArgument', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-tagging': 'a=%zz' } }]],
        ['400 InvalidArgument', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-acl': 'mine' } }]],
        ['501 NotImplemented', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-acl': 'public-read' } }]],
        ['501 NotImplemented', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-grant-read': 'id=1' } }]],
        ['501 NotImplemented', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-server-side-encryption': 'AES256' } }]],
        ['501 NotImplemented', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-server-side-encryption-customer-key': 'k' } }]],
        ['501 NotImplemented', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-object-lock-mode': 'GOVERNANCE' } }]],
        ['501 NotImplemented', ['PUT', '/b/k', { body: 'x', headers: { 'x-amz-website-redirect-location': '/x' } }]],
        ['501 NotImplemented', ['PUT', '/b/k', { body: 'x', headers: { 'if-none-match': '"e"' } }]],
        ['404 NoSuchKey', ['PUT', '/b/k', { body: 'x', headers: { 'if-match': '"e"' } }]],
        ['404 NoSuchKey', ['PUT', '/b/k', { body: 'x', headers: { 'if-match': '*' } }]],
      ]
      await site.fill({ '/file': 'f' })
      for (const [wanted, asked] of refusals)
        expect([asked, await outcome(...asked)]).toEqual([asked, wanted])
      expect(await pathsBelow('/')).toEqual(['/b', '/file'])
    }) // prettier-ignore

    it('keeps what is there', async () => {
      await site.fill({ '/b/k': 'old', '/b/d/k': 'old' })
      expect(await outcome('PUT', '/b/k', { body: 'new', headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } })).toBe('400 BadDigest') // prettier-ignore
      expect(await outcome('PUT', '/b/k', { body: 'new', headers: { 'if-none-match': '*' } })).toBe('412 PreconditionFailed') // prettier-ignore
      expect(await outcome('PUT', '/b/k', { body: 'new', headers: { 'if-match': 'other' } })).toBe('412 PreconditionFailed') // prettier-ignore
      expect(await outcome('PUT', '/b/k/below', { body: 'new' })).toBe('409 ObjectParentIsFile')
      expect(await outcome('PUT', '/b/k/deep/below', { body: 'new' })).toBe('409 ObjectParentIsFile')
      expect(await outcome('PUT', '/b/k/', empty)).toBe('409 ObjectParentIsFile')
      expect(await outcome('PUT', '/b/k/d/', empty)).toBe('409 ObjectParentIsFile')
      expect(await outcome('PUT', '/b/d', { body: 'new' })).toBe('409 ObjectIsDirectory')
      expect(await outcome('PUT', '/b/k', { body: 'new', grants: ['create:/**'] })).toBe('403 AccessDenied')
      expect((await site.ask('GET', '/b/k')).text).toBe('old')
      expect(await pathsBelow('/')).toEqual(['/b', '/b/d', '/b/d/k', '/b/k'])
    })

    it('is not put against a lock of somebody else', async () => {
      await site.fill({ '/b/k': 'old' })
      await site.locks.take({ path: toPath('/b/k'), scope: 'exclusive', depth: 0, principal: 'bob', timeoutSeconds: 60 })
      expect(await outcome('PUT', '/b/k', { body: 'new' })).toBe('423 ObjectLocked')
      expect(await outcome('DELETE', '/b/k')).toBe('423 ObjectLocked')
      expect((await site.ask('GET', '/b/k')).text).toBe('old')
    }) // prettier-ignore
  })

  describe('what cannot be read', () => {
    it.each([
      ['404 NoSuchKey', '/b/none'],
      ['404 NoSuchKey', '/b/none/below'],
      ['404 NoSuchKey', '/b/k/below'],
      ['404 NoSuchBucket', '/none/k'],
      ['404 NoSuchKey', '/b/d'],
      ['404 NoSuchKey', '/b/d/'],
      ['404 NoSuchKey', '/b/k/'],
      ['404 NoSuchVersion', '/b/k?versionId=3'],
      ['400 InvalidArgument', '/b/%2e%2e/k'],
      ['400 InvalidURI', '/b/%zz'],
      ['416 InvalidPartNumber', '/b/k?partNumber=2'],
      ['416 InvalidPartNumber', '/b/k?partNumber=0'],
      ['400 InvalidArgument', '/b/k?partNumber=x'],
      ['400 InvalidArgument', '/b/k?response-content-type=%0d%0aa%3ab'],
      ['400 InvalidArgument', '/b/k?response-content-type=%E2%82%AC'],
    ])('%s: %s', async (wanted, target) => {
      await site.fill({ '/b/k': 'bytes', '/b/d/f': 'x' })
      expect(await outcome('GET', target)).toBe(wanted)
      const head = await site.ask('HEAD', target)
      expect([head.status, head.bytes.length]).toEqual([Number(wanted.slice(0, 3)), 0])
    })

    it('is what the caller may not read', async () => {
      await site.fill({ '/b/k': 'bytes' })
      for (const method of ['GET', 'HEAD'])
        for (const grants of [[], ['rw:/c/**'], ['list:/b/**'], ['create:/b/**']])
          for (const key of ['k', 'none', ...(grants[0] === 'list:/b/**' ? [] : ['d/'])]) {
            const { status } = await site.ask(method, `/b/${key}`, { grants })
            // Whoever sees the names is told which there are, and nothing of what is in them.
            const told = grants[0] === 'list:/b/**' && key === 'none' && method === 'HEAD'
            expect([method, grants, key, status]).toEqual([method, grants, key, told ? 404 : 403])
          }
    })

    it('is no header of choice for those who have not signed', async () => {
      await site.fill({ '/b/k': 'bytes' })
      const target = '/b/k?response-content-type=text/html'
      expect(await outcome('GET', target, { signedBy: 'nobody' })).toBe('400 InvalidRequest')
      expect((await site.ask('GET', target)).header('content-type')).toBe('text/html')
    })
  })

  it('come back as they were put', async () => {
    const headers = {
      'content-type': 'text/x-odd; charset=latin1',
      'cache-control': 'max-age=1',
      'content-disposition': 'attachment; filename="a"',
      'content-encoding': 'aws-chunked,br',
      'content-language': 'de',
      expires: 'whenever',
      'x-amz-meta-a': '=?UTF-8?Q?=C3=A9?=',
      'x-amz-meta-b': '\xc3\xa9',
      'x-amz-meta-empty': '',
      'x-amz-tagging': 'a=1&b=x%20y',
      'x-amz-storage-class': 'GLACIER',
      'x-amz-acl': 'private',
    }
    const put = await site.ask('PUT', '/b/new/k', { body: 'bytes', headers })
    const etag = `"${hash('md5', 'bytes')}"`
    expect([put.status, put.header('etag'), put.bytes.length]).toEqual([200, etag, 0])
    const { 'x-amz-tagging': _, 'x-amz-storage-class': __, 'x-amz-acl': ___, ...kept } = headers
    const wanted = {
      ...kept,
      'content-encoding': 'br',
      etag,
      'content-length': '5',
      'accept-ranges': 'bytes',
      'x-amz-tagging-count': '2',
      'x-amz-request-id': 'test',
    }
    for (const method of ['GET', 'HEAD']) {
      const got = await site.ask(method, '/b/new/k')
      expect(Object.fromEntries(Object.keys(wanted).map((name) => [name, got.header(name)]))).toEqual(wanted)
      expect(got.header('last-modified')).toMatch(/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/)
      expect(got.text).toBe(method === 'GET' ? 'bytes' : '')
    }
  })

  it('go, and the empty folders above them', async () => {
    await site.fill({ '/b/x/y/z/k': '1', '/b/x/other': '2' })
    expect(await outcome('DELETE', '/b/x/y/z/k')).toBe('204')
    expect(await pathsBelow('/')).toEqual(['/b', '/b/x', '/b/x/other'])
    expect(await outcome('DELETE', '/b/x/other')).toBe('204')
    expect(await outcome('DELETE', '/b/x/other')).toBe('204')
    expect(await outcome('DELETE', '/none/k')).toBe('404 NoSuchBucket')
    expect(await pathsBelow('/')).toEqual(['/b'])
  })
})
