import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openS3Site, outcomeOf, s3Media, type S3Site } from '../../../../test/s3-site.js'
import { toPath } from '../../../core/path.js'

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
    const kept = {
      'content-type': 'text/x-odd; charset=latin1',
      'cache-control': 'max-age=1',
      'content-disposition': 'attachment; filename="a"',
      'content-encoding': 'aws-chunked,br',
      'content-language': 'de',
      expires: 'whenever',
      'x-amz-meta-a': '=?UTF-8?Q?=C3=A9?=',
      'x-amz-meta-b': '\xc3\xa9',
      'x-amz-meta-empty': '',
    }
    const headers = {
      ...kept,
      'x-amz-tagging': 'a=1&b=x%20y',
      'x-amz-storage-class': 'GLACIER',
      'x-amz-acl': 'private',
    }
    const put = await site.ask('PUT', '/b/new/k', { body: 'bytes', headers })
    const etag = `"${hash('md5', 'bytes')}"`
    expect([put.status, put.header('etag'), put.bytes.length]).toEqual([200, etag, 0])
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

  it('say what checksums they were put with, of all their bytes only', async () => {
    const sent = { 'x-amz-checksum-crc32': crcOf('bytes'), 'x-amz-checksum-sha1': hash('sha1', 'bytes', 'base64') }
    const put = await site.ask('PUT', '/b/k', { body: 'bytes', headers: sent })
    expect([put.status, put.header('x-amz-checksum-crc32'), put.header('x-amz-checksum-type')]).toEqual([200, crcOf('bytes'), 'FULL_OBJECT']) // prettier-ignore
    const mode = { 'x-amz-checksum-mode': 'ENABLED' }
    const whole = await site.ask('GET', '/b/k', { headers: mode })
    expect([whole.header('x-amz-checksum-crc32'), whole.header('x-amz-checksum-sha1')]).toEqual([crcOf('bytes'), sent['x-amz-checksum-sha1']]) // prettier-ignore
    expect(whole.header('x-amz-checksum-sha256')).toBeUndefined()
    expect((await site.ask('GET', '/b/k')).header('x-amz-checksum-crc32')).toBeUndefined()
    const part = await site.ask('GET', '/b/k', { headers: { ...mode, range: 'bytes=0-1' } })
    expect([part.status, part.header('x-amz-checksum-crc32')]).toEqual([206, undefined])
  })

  it.each<[range: string, status: number, text: string, contentRange?: string]>([
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=0-1,4-5', 200, '0123456789'],
    ['bytes=5-2', 200, '0123456789'],
    ['lines=1-2', 200, '0123456789'],
  ])('come in parts: %s', async (range, status, text, contentRange) => {
    await site.fill({ '/b/k': '0123456789' })
    const got = await site.ask('GET', '/b/k', { headers: { range } })
    expect([got.status, got.text, got.header('content-range')]).toEqual([status, text, contentRange])
    const head = await site.ask('HEAD', '/b/k', { headers: { range } })
    expect([head.status, head.header('content-length')]).toEqual([status, String(text.length)])
  })

  it('have the parts that they were put together of', async () => {
    await site.fill({ '/b/whole': '0123456789' })
    const attributes = { 's3-etag': 'abc-3', 's3-parts': '2x4,2' }
    await site.store.change(toPath('/b/whole'), { attributes })
    const second = await site.ask('GET', '/b/whole?partNumber=2')
    expect([second.status, second.text, second.header('x-amz-mp-parts-count'), second.header('etag')]).toEqual([206, '4567', '3', '"abc-3"']) // prettier-ignore
    expect((await site.ask('GET', '/b/whole?partNumber=3')).text).toBe('89')
    expect(await outcome('GET', '/b/whole?partNumber=4')).toBe('416 InvalidPartNumber')
    expect(await outcome('GET', '/b/whole?partNumber=1', { headers: { range: 'bytes=0-1' } })).toBe('400 InvalidRequest') // prettier-ignore
    expect(await outcome('GET', '/b/whole', { headers: { range: 'bytes=10-' } })).toBe('416 InvalidRange')
    await site.fill({ '/b/plain': 'abc', '/b/empty': '' })
    const plain = await site.ask('GET', '/b/plain?partNumber=1')
    expect([plain.status, plain.text, plain.header('x-amz-mp-parts-count')]).toEqual([206, 'abc', undefined])
    expect(await outcome('GET', '/b/empty?partNumber=1')).toBe('200')
    expect(await outcome('GET', '/b/empty', { headers: { range: 'bytes=0-' } })).toBe('416 InvalidRange')
  })

  it('are read and written under conditions, by the ETag of S3 or of the store', async () => {
    const put = await site.ask('PUT', '/b/k', { body: 'bytes' })
    const mine = put.header('etag') ?? ''
    const stores = `"${(await site.store.stat(toPath('/b/k')))?.etag ?? ''}"`
    const past = 'Mon, 01 Jan 2001 00:00:00 GMT'
    const future = 'Mon, 01 Jan 2096 00:00:00 GMT'
    const rows: readonly (readonly [number, Readonly<Record<string, string>>])[] = [
      [200, { 'if-match': mine }],
      [200, { 'if-match': mine.slice(1, -1) }],
      [200, { 'if-match': stores }],
      [200, { 'if-match': `"x", ${mine}` }],
      [200, { 'if-match': '*' }],
      [412, { 'if-match': '"x"' }],
      [412, { 'if-match': '<junk>' }],
      [304, { 'if-none-match': mine }],
      [304, { 'if-none-match': stores }],
      [304, { 'if-none-match': '*' }],
      [200, { 'if-none-match': '"x"' }],
      [304, { 'if-modified-since': future }],
      [200, { 'if-modified-since': past }],
      [412, { 'if-unmodified-since': past }],
      [200, { 'if-unmodified-since': future }],
      [200, { 'if-match': mine, 'if-unmodified-since': past }],
      [304, { 'if-none-match': mine, 'if-modified-since': past }],
      [200, { 'if-none-match': '"x"', 'if-modified-since': future }],
    ]
    for (const [wanted, headers] of rows)
      for (const method of ['GET', 'HEAD'])
        expect([headers, (await site.ask(method, '/b/k', { headers })).status]).toEqual([headers, wanted])
    expect(await outcome('PUT', '/b/k', { body: 'one', headers: { 'if-match': mine } })).toBe('200')
    expect(await outcome('PUT', '/b/k', { body: 'two', headers: { 'if-match': mine } })).toBe('412 PreconditionFailed')
    expect(await outcome('DELETE', '/b/k', { headers: { 'if-match': mine } })).toBe('412 PreconditionFailed')
    expect(await outcome('DELETE', '/b/k', { headers: { 'if-match': `"${hash('md5', 'one')}"` } })).toBe('204')
    expect(await outcome('DELETE', '/b/k', { headers: { 'if-match': mine } })).toBe('404 NoSuchKey')
  })

  it.each(['none', 'etag'])('are put by one of many who race (%s)', async (kind) => {
    if (kind === 'etag') await site.ask('PUT', '/b/d/k', { body: 'first' })
    const headers = kind === 'none' ? { 'if-none-match': '*' } : { 'if-match': hash('md5', 'first') }
    const puts = await Promise.all(
      Array.from({ length: 10 }, (_, at) => outcome('PUT', '/b/d/k', { body: `body ${at}`, headers })),
    )
    expect(puts.filter((each) => each === '200')).toHaveLength(1)
    expect(puts.filter((each) => each === '412 PreconditionFailed')).toHaveLength(9)
    expect((await site.ask('GET', '/b/d/k')).text).toBe(`body ${puts.indexOf('200')}`)
  })

  it('are folders as well, where they are marked', async () => {
    const put = await site.ask('PUT', '/b/x/d/', { headers: { 'content-length': '0', 'x-amz-meta-a': '1' } })
    expect([put.status, put.header('etag')]).toEqual([200, `"${hash('md5', '')}"`])
    const got = await site.ask('GET', '/b/x/d/')
    expect([got.status, got.text, got.header('content-type'), got.header('x-amz-meta-a'), got.header('content-length')]).toEqual([200, '', 'application/x-directory', '1', '0']) // prettier-ignore
    expect(await outcome('HEAD', '/b/x/d/')).toBe('200')
    expect(await outcome('GET', '/b/x/d')).toBe('404 NoSuchKey')
    expect(await outcome('GET', '/b/x/')).toBe('404 NoSuchKey')
    expect(await outcome('PUT', '/b/x/d/', { headers: { ...empty.headers, 'if-none-match': '*' } })).toBe('412 PreconditionFailed') // prettier-ignore
    expect(await outcome('PUT', '/b/x/', empty)).toBe('200')
    // The mark goes, the folder stays for what is in it.
    expect(await outcome('DELETE', '/b/x/')).toBe('204')
    expect(await outcome('GET', '/b/x/')).toBe('404 NoSuchKey')
    expect(await outcome('DELETE', '/b/x/d')).toBe('204')
    expect(await outcome('GET', '/b/x/d/')).toBe('200')
    expect(await outcome('DELETE', '/b/x/d/')).toBe('204')
    expect(await pathsBelow('/')).toEqual(['/b'])
  })

  it('cannot be run by a browser at our origin', async () => {
    for (const [type, policy] of [
      ['text/html', 'sandbox'],
      ['image/svg+xml', 'sandbox'],
      ['image/png', undefined],
    ] as const) {
      // prettier-ignore
      await site.ask('PUT', '/b/k', { body: 'x', headers: { 'content-type': type } })
      const got = await site.ask('GET', '/b/k')
      expect([got.header('content-security-policy'), got.header('x-content-type-options')]).toEqual([policy, 'nosniff'])
    }
  })

  it('are put where nothing else is to be seen', async () => {
    const grants = ['create:/b/in/**']
    expect(await outcome('PUT', '/b/in/2026/k', { body: 'x', grants })).toBe('200')
    expect(await outcome('PUT', '/b/in/2026/k', { body: 'y', grants })).toBe('403 AccessDenied')
    expect(await outcome('GET', '/b/in/2026/k', { grants })).toBe('403 AccessDenied')
    expect(await outcome('DELETE', '/b/in/2026/k', { grants })).toBe('403 AccessDenied')
    expect(await outcome('DELETE', '/b/in/2026/k', { grants: ['delete:/b/in/**'] })).toBe('204')
  })

  it('go, and the empty folders above them, but for those that somebody needs', async () => {
    await site.fill({ '/b/x/y/z/k': '1', '/b/x/other': '2', '/b/marked/d/k': '3', '/b/noted/k': '4', '/b/kept/d/k': '5' }) // prettier-ignore
    expect(await outcome('DELETE', '/b/x/y/z/k')).toBe('204')
    expect(await pathsBelow('/b/x')).toEqual(['/b/x/other'])
    expect(await outcome('DELETE', '/b/x/other')).toBe('204')
    expect(await outcome('DELETE', '/b/x/other')).toBe('204')
    await site.ask('PUT', '/b/marked/', empty)
    expect(await outcome('DELETE', '/b/marked/d/k')).toBe('204')
    const property = { namespace: '', name: 'x', xml: '<x/>' }
    await site.properties.change(toPath('/b/noted'), [{ kind: 'set', property }])
    expect(await outcome('DELETE', '/b/noted/k')).toBe('204')
    expect(await outcome('DELETE', '/b/kept/d/k', { grants: ['r:/**', 'delete:/b/kept/d/*'] })).toBe('204')
    expect(await pathsBelow('/')).toEqual(['/b', '/b/kept', '/b/kept/d', '/b/marked', '/b/noted'])
    expect(await outcome('DELETE', '/b/kept/d')).toBe('204')
    expect(await outcome('DELETE', '/none/k')).toBe('404 NoSuchBucket')
    expect(await outcome('DELETE', '/b/kept/d?versionId=1')).toBe('404 NoSuchVersion')
  })
})

function crcOf(text: string): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(text))
  return bytes.toString('base64')
}
