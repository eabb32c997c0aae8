import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openS3Site, outcomeOf, s3Media, type S3Site } from '../../../../test/s3-site.js'
import type { Answer, AskedAs } from '../../../../test/http-exchange.js'
import { toPath } from '../../../core/path.js'
import { Digester } from '../../../store/digester.js'
import type { DigestName } from '../../../store/store.js'

const mebibyte = 1024 * 1024
const least = 5 * mebibyte

let site: S3Site

const md5 = (...chunks: readonly Uint8Array[]): string =>
  chunks.reduce((hash, chunk) => hash.update(chunk), createHash('md5')).digest('hex')

function digest(name: DigestName, ...chunks: readonly (Uint8Array | string)[]): Buffer {
  const digester = new Digester([name])
  for (const chunk of chunks) digester.update(Buffer.from(chunk))
  return Buffer.from(digester.digests()[name]!)
}

async function outcome(...asked: Parameters<S3Site['ask']>): Promise<string> {
  return outcomeOf(await site.ask(...asked))
}

/** The text of the first element of that name. */
function told(answer: Answer, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(answer.text)?.[1]?.replaceAll('&quot;', '"')
}

function allTold(answer: Answer, name: string): readonly string[] {
  return [...answer.text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, text]) => text ?? '')
}

async function create(key = 'k', headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const answer = await site.ask('POST', `/b/${key}?uploads`, { headers })
  expect(outcomeOf(answer)).toBe('200')
  return told(answer, 'UploadId')!
}

function part(
  id: string,
  number: number | string,
  body: string | Uint8Array,
  { key = 'k', ...more }: Pick<AskedAs, 'headers' | 'grants'> & { readonly key?: string } = {},
): Promise<Answer> {
  const headers = { 'content-length': String(Buffer.byteLength(body)), ...more.headers }
  return site.ask('PUT', `/b/${key}?partNumber=${number}&uploadId=${id}`, { ...more, body, headers })
}

type Named = readonly [number: number | string, etag: string, more?: string]

const list = (parts: readonly Named[]): string =>
  `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts
    .map(
      ([number, etag, more = '']) =>
        `<Part><ETag>&quot;${etag}&quot;</ETag><PartNumber>${number}</PartNumber>${more}</Part>`,
    )
    .join('')}</CompleteMultipartUpload>`

function complete(
  id: string,
  parts: readonly Named[] | string,
  { key = 'k', ...more }: Pick<AskedAs, 'headers' | 'grants'> & { readonly key?: string } = {},
): Promise<Answer> {
  return site.ask('POST', `/b/${key}?uploadId=${id}`, {
    ...more,
    body: typeof parts === 'string' ? parts : list(parts),
  })
}

/** Paths in the store, and ids of uploads that are still there. */
async function left(): Promise<{ readonly paths: readonly string[]; readonly uploads: readonly string[] }> {
  const paths: string[] = []
  for await (const entries of site.store.list(toPath('/'), { depth: 'infinity' }))
    paths.push(...entries.map((entry) => entry.path))
  return { paths: paths.sort(), uploads: allTold(await site.ask('GET', '/b?uploads'), 'UploadId') }
}

describe.each(s3Media)('multipart uploads to a %s store', (medium) => {
  beforeEach(async () => {
    site = await openS3Site(medium)
  })
  afterEach(() => site.dispose())

  describe('an upload that cannot be begun', () => {
    it.each([
      ['404 NoSuchBucket', '/none/k?uploads', {}],
      ['400 DirectoryObjectContainsData', '/b/d/?uploads', {}],
      ['400 InvalidRequest', '/b/k?uploads', { 'x-amz-checksum-algorithm': 'XXHASH64' }],
      ['400 InvalidRequest', '/b/k?uploads', { 'x-amz-checksum-algorithm': 'MD5' }],
      ['400 InvalidRequest', '/b/k?uploads', { 'x-amz-checksum-type': 'FULL_OBJECT' }],
      ['400 InvalidRequest', '/b/k?uploads', { 'x-amz-checksum-algorithm': 'SHA256', 'x-amz-checksum-type': 'FULL_OBJECT' }],
      ['400 InvalidRequest', '/b/k?uploads', { 'x-amz-checksum-algorithm': 'SHA1', 'x-amz-checksum-type': 'FULL_OBJECT' }],
      ['400 InvalidRequest', '/b/k?uploads', { 'x-amz-checksum-algorithm': 'CRC64NVME', 'x-amz-checksum-type': 'COMPOSITE' }],
      ['400 InvalidRequest', '/b/k?uploads', { 'x-amz-checksum-algorithm': 'CRC32', 'x-amz-checksum-type': 'OTHER' }],
      ['400 MetadataTooLarge', '/b/k?uploads', { 'x-amz-meta-a': 'v'.repeat(2048) }],
      ['400 InvalidTag', '/b/k?uploads', { 'x-amz-tagging': 'a=1&a=2' }],
      ['501 NotImplemented', '/b/k?uploads', { 'x-amz-server-side-encryption': 'AES256' }],
    ])('%s: POST %s %j', async (wanted, target, headers) => {
      expect(await outcome('POST', target, { headers })).toBe(wanted)
      expect(await left()).toEqual({ paths: ['/b'], uploads: [] })
    }) // prettier-ignore

    it('for what is there, unless the caller may not see it', async () => {
      await site.fill({ '/b/file': 'x', '/b/folder/x': 'x' })
      expect(await outcome('POST', '/b/file/below?uploads')).toBe('409 ObjectParentIsFile')
      expect(await outcome('POST', '/b/file/a/b?uploads')).toBe('409 ObjectParentIsFile')
      expect(await outcome('POST', '/b/folder?uploads')).toBe('409 ObjectIsDirectory')
      expect((await left()).uploads).toEqual([])
      expect(await outcome('POST', '/b/file?uploads')).toBe('200')
      expect(await outcome('POST', '/b/file/below?uploads', { grants: ['create:/b/file/**'] })).toBe('200')
    })

    it('for want of a right, or for a lock', async () => {
      expect(await outcome('POST', '/b/k?uploads', { grants: ['r:/**', 'delete:/**'] })).toBe('403 AccessDenied')
      expect(await outcome('POST', '/b/k?uploads', { grants: ['rw:/c/**'] })).toBe('403 AccessDenied')
      await site.fill({ '/b/k': 'x' })
      await site.locks.take({ path: toPath('/b/k'), scope: 'exclusive', depth: 0, principal: 'test:bob', timeoutSeconds: 9 })
      expect(await outcome('POST', '/b/k?uploads')).toBe('423 ObjectLocked')
    }) // prettier-ignore
  })

  describe('a part that is refused', () => {
    it.each(['0', '-1', '10001', '1.5', 'x', '', '00000000001', '1e3'])('for its number %j', async (number) => {
      expect(outcomeOf(await part(await create(), number, 'x'))).toBe('400 InvalidArgument')
    })

    it('for its upload, before the body is pulled', async () => {
      const id = await create()
      const other = await create('other')
      async function* neverPulled(): AsyncGenerator<Uint8Array> {
        expect.fail('the body was pulled')
        yield Buffer.alloc(0)
      }
      const send = (key: string, asked: string, grants = ['rw:/**']): Promise<string> =>
        outcome('PUT', `/b/${key}?partNumber=1&uploadId=${asked}`, { body: neverPulled(), headers: { 'content-length': '5' }, grants }) // prettier-ignore
      for (const asked of [other, '', 'x', id.toUpperCase(), `${id}%00`, '../' + id, 'x'.repeat(4000)])
        expect(await send('k', asked)).toBe('404 NoSuchUpload')
      expect(await send('K', id)).toBe('404 NoSuchUpload')
      expect(await send('k/', id)).toBe('404 NoSuchUpload')
      expect(await send('k', id, ['r:/**'])).toBe('403 AccessDenied')
      expect(await send('k', id, ['rw:/b/other'])).toBe('403 AccessDenied')
      expect(await outcome('PUT', `/none/k?partNumber=1&uploadId=${id}`, { body: neverPulled(), headers: { 'content-length': '5' } })).toBe('404 NoSuchBucket') // prettier-ignore
      expect(await outcome('PUT', `/b/k?partNumber=1&uploadId=${id}`, { body: neverPulled(), headers: { 'transfer-encoding': 'chunked' } })).toBe('411 MissingContentLength') // prettier-ignore
      expect(await outcome('PUT', `/b/k?partNumber=1&uploadId=${id}`, { body: neverPulled(), headers: { 'content-length': String(5 * 1024 ** 3 + 1) } })).toBe('400 EntityTooLarge') // prettier-ignore
    })

    it('for its body, keeping what was there', async () => {
      const id = await create('k', { 'x-amz-checksum-algorithm': 'CRC32' })
      const kept = await part(id, 1, 'kept')
      const wrong: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
        ['400 BadDigest', { 'content-md5': Buffer.alloc(16).toString('base64') }],
        ['400 BadDigest', { 'x-amz-checksum-crc32': 'AAAAAA==' }],
        ['400 InvalidRequest', { 'x-amz-checksum-sha1': digest('sha1', 'new').toString('base64') }],
        ['400 IncompleteBody', { 'content-length': '2' }],
        ['400 IncompleteBody', { 'content-length': '4' }],
      ]
      for (const [wanted, headers] of wrong) expect(outcomeOf(await part(id, 1, 'new', { headers }))).toBe(wanted)
      const listed = await site.ask('GET', `/b/k?uploadId=${id}`)
      expect(allTold(listed, 'ETag')).toEqual([`"${md5(Buffer.from('kept'))}"`])
      expect(kept.header('etag')).toBe(`"${md5(Buffer.from('kept'))}"`)
    })
  })

  describe('an upload that cannot be completed', () => {
    it('for its list', async () => {
      const id = await create()
      const etag = md5(Buffer.from('one'))
      await part(id, 1, 'one')
      await part(id, 2, 'two')
      const two = md5(Buffer.from('two'))
      const many = Array.from({ length: 10_001 }, (_, at): Named => [at + 1, etag])
      const refusals: readonly (readonly [string, readonly Named[] | string])[] = [
        ['400 MalformedXML', ''],
        ['400 MalformedXML', []],
        ['400 MalformedXML', many],
        ['400 MalformedXML', 'no XML'],
        ['400 MalformedXML', '<CompleteMultipartUpload><Part>'],
        ['400 MalformedXML', list([[1, etag]]).replaceAll('CompleteMultipartUpload', 'Complete')],
        ['400 MalformedXML', list([[1, etag]]).replaceAll('Part>', 'Piece>')],
        ['400 MalformedXML', '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>'],
        ['400 MalformedXML', `<CompleteMultipartUpload><Part><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`],
        ['400 MalformedXML', `<!DOCTYPE x [<!ENTITY e "${etag}">]>${list([[1, '&e;']])}`],
        ['400 MalformedXML', list([[1, etag]]).replace('<Part>', `${'<a>'.repeat(100)}${'</a>'.repeat(100)}<Part>`)],
        ['400 MalformedXML', list([[1, etag]]) + ' '.repeat(4 * mebibyte)],
        ['400 InvalidArgument', [[0, etag]]],
        ['400 InvalidArgument', [['10001', etag]]],
        ['400 InvalidArgument', [['1.0', etag]]],
        ['400 InvalidPartOrder', [[2, two], [1, etag]]],
        ['400 InvalidPartOrder', [[1, etag], [1, etag]]],
        ['400 InvalidPart', [[1, two]]],
        ['400 InvalidPart', [[3, etag]]],
        ['400 InvalidPart', [[1, '*']]],
        ['400 InvalidPart', [[1, '']]],
        ['400 InvalidPart', [[1, `${etag}-1`]]],
        ['400 InvalidRequest', [[1, etag, '<ChecksumCRC32>AAAAAA==</ChecksumCRC32>']]],
        ['400 EntityTooSmall', [[1, etag], [2, two]]],
      ]
      for (const [wanted, parts] of refusals) expect([wanted, parts, outcomeOf(await complete(id, parts))]).toEqual([wanted, parts, wanted])
      expect(await left()).toEqual({ paths: ['/b'], uploads: [id] })
    }) // prettier-ignore

    it('for its headers', async () => {
      const id = await create('k', { 'x-amz-checksum-algorithm': 'CRC32' })
      await part(id, 1, 'one')
      const parts: readonly Named[] = [[1, md5(Buffer.from('one'))]]
      const crc = digest('crc32', digest('crc32', 'one')).toString('base64')
      const refusals: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
        ['400 BadDigest', { 'x-amz-checksum-crc32': 'AAAAAA==' }],
        ['400 BadDigest', { 'x-amz-checksum-crc32': `${crc}-2` }],
        ['400 InvalidRequest', { 'x-amz-checksum-crc32': 'AAAA' }],
        ['400 InvalidRequest', { 'x-amz-checksum-sha1': digest('sha1', 'one').toString('base64') }],
        ['400 InvalidRequest', { 'x-amz-checksum-type': 'FULL_OBJECT' }],
        ['400 InvalidRequest', { 'x-amz-mp-object-size': '4' }],
        ['400 InvalidArgument', { 'x-amz-mp-object-size': 'three' }],
        ['404 NoSuchKey', { 'if-match': '"x"' }],
        ['501 NotImplemented', { 'if-none-match': '"x"' }],
      ]
      for (const [wanted, headers] of refusals)
        expect([headers, outcomeOf(await complete(id, parts, { headers }))]).toEqual([headers, wanted])
      expect(outcomeOf(await complete(id, [[1, parts[0]![1], '<ChecksumCRC32>AAAAAA==</ChecksumCRC32>']]))).toBe('400 InvalidPart') // prettier-ignore
      await site.fill({ '/b/k': 'there' })
      expect(outcomeOf(await complete(id, parts, { headers: { 'if-none-match': '*' } }))).toBe('412 PreconditionFailed')
      expect(outcomeOf(await complete(id, parts, { headers: { 'if-match': '"x"' } }))).toBe('412 PreconditionFailed')
      expect((await site.ask('GET', '/b/k')).text).toBe('there')
      const etag = (await site.ask('HEAD', '/b/k')).header('etag')!
      const headers = {
        'if-match': etag,
        'x-amz-checksum-crc32': `${crc}-1`,
        'x-amz-checksum-type': 'COMPOSITE',
        'x-amz-mp-object-size': '3',
      }
      expect(outcomeOf(await complete(id, parts, { headers }))).toBe('200')
      expect((await site.ask('GET', '/b/k')).text).toBe('one')
    })

    it('for its id, its key or its caller', async () => {
      const id = await create()
      await part(id, 1, 'one')
      const parts: readonly Named[] = [[1, md5(Buffer.from('one'))]]
      expect(outcomeOf(await complete('x', parts))).toBe('404 NoSuchUpload')
      expect(outcomeOf(await complete(id, parts, { key: 'other' }))).toBe('404 NoSuchUpload')
      expect(outcomeOf(await complete(id, parts, { grants: ['r:/**'] }))).toBe('403 AccessDenied')
      await site.fill({ '/b/k': 'there' })
      expect(outcomeOf(await complete(id, parts, { grants: ['r:/**', 'create:/**'] }))).toBe('403 AccessDenied')
      expect((await site.ask('GET', '/b/k')).text).toBe('there')
    })

    it('for what has come there meanwhile', async () => {
      const wanted = {
        'file/below': '409 ObjectParentIsFile',
        'file/a/b': '409 ObjectParentIsFile',
        folder: '409 ObjectIsDirectory',
      }
      const ids = new Map<string, string>()
      for (const key of Object.keys(wanted)) ids.set(key, await create(key))
      await site.fill({ '/b/file': 'x', '/b/folder/x': 'x' })
      for (const [key, outcome] of Object.entries(wanted)) {
        const id = ids.get(key)!
        await part(id, 1, 'one', { key })
        expect(outcomeOf(await complete(id, [[1, md5(Buffer.from('one'))]], { key }))).toBe(outcome)
      }
      expect((await left()).paths).toEqual(['/b', '/b/file', '/b/folder', '/b/folder/x'])
    })
  })

  describe('a copied part that is refused', () => {
    it.each([
      ['404 NoSuchKey', { 'x-amz-copy-source': '/b/none' }],
      ['404 NoSuchKey', { 'x-amz-copy-source': '/none/none' }],
      ['404 NoSuchKey', { 'x-amz-copy-source': '/b/d' }],
      ['404 NoSuchKey', { 'x-amz-copy-source': '/b/source/' }],
      ['400 InvalidArgument', { 'x-amz-copy-source': 'b' }],
      ['400 InvalidArgument', { 'x-amz-copy-source': '/b/../b/source' }],
      ['400 InvalidArgument', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-range': 'bytes=0-10' }],
      ['400 InvalidArgument', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-range': 'bytes=5-4' }],
      ['400 InvalidArgument', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-range': 'bytes=5-' }],
      ['400 InvalidArgument', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-range': 'bytes=-5' }],
      ['400 InvalidArgument', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-range': 'bytes=0-1,3-4' }],
      ['412 PreconditionFailed', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-if-match': '"x"' }],
      ['412 PreconditionFailed', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-if-none-match': '*' }],
      ['412 PreconditionFailed', { 'x-amz-copy-source': '/b/source', 'x-amz-copy-source-if-unmodified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' }],
      ['404 NoSuchVersion', { 'x-amz-copy-source': '/b/source?versionId=1' }],
    ])('%s: %j', async (wanted, headers) => {
      await site.fill({ '/b/source': '0123456789', '/b/d/x': 'x' })
      const id = await create()
      expect(await outcome('PUT', `/b/k?partNumber=1&uploadId=${id}`, { headers })).toBe(wanted)
      expect(allTold(await site.ask('GET', `/b/k?uploadId=${id}`), 'ETag')).toEqual([])
    }) // prettier-ignore

    it('for want of the right to read the source, in another bucket too', async () => {
      await site.fill({ '/b/source': 'secret', '/c/source': 'secret' })
      const id = await create()
      const copy = (source: string, grants: readonly string[]): Promise<string> =>
        outcome('PUT', `/b/k?partNumber=1&uploadId=${id}`, { headers: { 'x-amz-copy-source': source }, grants })
      expect(await copy('/c/source', ['rw:/b/**'])).toBe('403 AccessDenied')
      expect(await copy('/c/source', ['rw:/b/**', 'list:/c/**'])).toBe('403 AccessDenied')
      expect(await copy('/b/source', ['create:/b/**'])).toBe('403 AccessDenied')
      expect(await copy('/-/source', ['rw:/**'])).toMatch(/^40[34]/)
      expect(await copy('/c/source', ['r:/c/**'])).toBe('403 AccessDenied')
      expect(await copy('/c/source', ['r:/c/**', 'create:/b/**'])).toBe('200')
    })
  })

  it('becomes an object of its parts, in order, with all that it was begun with', async () => {
    const headers = {
      'content-type': 'text/x-test',
      'cache-control': 'no-cache',
      'x-amz-meta-Mtime': '123.4',
      'x-amz-tagging': 'a=1',
      'x-amz-storage-class': 'STANDARD',
    }
    const id = await create('deep/er/k', headers)
    const [one, two] = [Buffer.alloc(least, 'a'), Buffer.from('tail')]
    const key = 'deep/er/k'
    expect((await part(id, 7, two, { key })).header('etag')).toBe(`"${md5(two)}"`)
    expect((await part(id, 1, 'replaced', { key })).status).toBe(200)
    expect((await part(id, 1, one, { key, headers: { 'content-md5': Buffer.from(md5(one), 'hex').toString('base64') } })).status).toBe(200) // prettier-ignore
    const etag = `${md5(Buffer.from(md5(one) + md5(two), 'hex'))}-2`
    const answer = await complete(id, [[1, md5(one)], [7, md5(two).toUpperCase()]], { key, headers: { 'if-none-match': '*' } }) // prettier-ignore
    expect([outcomeOf(answer), told(answer, 'ETag'), told(answer, 'Bucket'), told(answer, 'Key')]).toEqual(['200', `"${etag}"`, 'b', key]) // prettier-ignore
    expect(told(answer, 'Location')).toBe('http://localhost/b/deep/er/k')
    const got = await site.ask('GET', `/b/${key}`)
    expect(got.bytes.equals(Buffer.concat([one, two]))).toBe(true)
    expect(got.header('etag')).toBe(`"${etag}"`)
    expect(got.header('content-type')).toBe('text/x-test')
    expect(got.header('x-amz-meta-mtime')).toBe('123.4')
    expect(got.header('x-amz-tagging-count')).toBe('1')
    const second = await site.ask('GET', `/b/${key}?partNumber=2`)
    expect([second.status, second.text, second.header('x-amz-mp-parts-count')]).toEqual([206, 'tail', '2'])
    expect(await left()).toEqual({ paths: ['/b', '/b/deep', '/b/deep/er', '/b/deep/er/k'], uploads: [] })
    const again = await complete(id, [[1, md5(one)], [7, md5(two)]], { key }) // prettier-ignore
    expect([again.status, again.text]).toEqual([answer.status, answer.text])
    expect(outcomeOf(await part(id, 1, 'late', { key }))).toBe('404 NoSuchUpload')
    expect(await outcome('DELETE', `/b/${key}?uploadId=${id}`)).toBe('404 NoSuchUpload')
  })

  it('knows the content of an object of one part like that of any other', async () => {
    const id = await create()
    await part(id, 1, 'one')
    await complete(id, [[1, md5(Buffer.from('one'))]])
    const entry = await site.store.stat(toPath('/b/k'))
    expect(Buffer.from(entry!.digests!.md5!).toString('hex')).toBe(md5(Buffer.from('one')))
    expect((await site.ask('HEAD', '/b/k')).header('etag')).toMatch(/^"[0-9a-f]{32}-1"$/)
  })

  it('may be of an empty part', async () => {
    const id = await create()
    await part(id, 1, '')
    expect(outcomeOf(await complete(id, [[1, md5(Buffer.alloc(0))]]))).toBe('200')
    expect((await site.ask('GET', '/b/k')).header('content-length')).toBe('0')
  })

  describe('checksums', () => {
    const one = Buffer.alloc(least, 'one')
    const two = Buffer.from('the other one')

    it.each([
      ['CRC32', 'COMPOSITE'],
      ['CRC32C', 'COMPOSITE'],
      ['SHA1', 'COMPOSITE'],
      ['SHA256', 'COMPOSITE'],
      ['CRC32', 'FULL_OBJECT'],
      ['CRC32C', 'FULL_OBJECT'],
      ['CRC64NVME', 'FULL_OBJECT'],
    ])('%s %s come back of parts and object', async (algorithm, type) => {
      const name = algorithm.toLowerCase() as DigestName
      const header = `x-amz-checksum-${name}`
      const begun = await site.ask('POST', '/b/k?uploads', { headers: { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': type } }) // prettier-ignore
      expect([begun.header('x-amz-checksum-algorithm'), begun.header('x-amz-checksum-type')]).toEqual([algorithm, type])
      const id = told(begun, 'UploadId')!
      const sums = [digest(name, one), digest(name, two)]
      const [first, second] = sums.map((sum) => sum.toString('base64'))
      // One that the client has made, and one that it has not.
      expect((await part(id, 1, one, { headers: { [header]: first! } })).header(header)).toBe(first)
      expect((await part(id, 2, two)).header(header)).toBe(second)
      const listed = await site.ask('GET', `/b/k?uploadId=${id}`)
      expect(allTold(listed, `Checksum${algorithm}`)).toEqual([first, second])
      expect([told(listed, 'ChecksumAlgorithm'), told(listed, 'ChecksumType')]).toEqual([algorithm, type])
      expect(listed.text.match(/<ChecksumType>/g)).toHaveLength(1)
      const whole = type === 'COMPOSITE' ? `${digest(name, ...sums).toString('base64')}-2` : digest(name, one, two).toString('base64') // prettier-ignore
      const tag = (sum: string | undefined): string => `<Checksum${algorithm}>${sum ?? ''}</Checksum${algorithm}>`
      const parts: readonly Named[] = [[1, md5(one), tag(first)], [2, md5(two), tag(second)]] // prettier-ignore
      expect(outcomeOf(await complete(id, parts, { headers: { [header]: first! } }))).toBe('400 BadDigest')
      const answer = await complete(id, parts, { headers: { [header]: whole, 'x-amz-checksum-type': type } })
      expect([told(answer, `Checksum${algorithm}`), told(answer, 'ChecksumType')]).toEqual([whole, type])
      const head = await site.ask('HEAD', '/b/k', { headers: { 'x-amz-checksum-mode': 'ENABLED' } })
      expect([head.header(header), head.header('x-amz-checksum-type')]).toEqual([whole, type])
    })

    it('that an upload was not begun with are taken of parts, and compared where that can be', async () => {
      const id = await create()
      const crc = digest('crc32', one).toString('base64')
      expect((await part(id, 1, one, { headers: { 'x-amz-checksum-crc32': crc } })).header('x-amz-checksum-crc32')).toBe(crc) // prettier-ignore
      await part(id, 2, two, { headers: { 'x-amz-checksum-crc32': digest('crc32', two).toString('base64') } })
      const parts: readonly Named[] = [[1, md5(one)], [2, md5(two)]] // prettier-ignore
      const wrong = (headers: Readonly<Record<string, string>>) => complete(id, parts, { headers })
      expect(outcomeOf(await wrong({ 'x-amz-checksum-crc32': crc }))).toBe('400 BadDigest')
      expect(outcomeOf(await wrong({ 'x-amz-checksum-crc32c': crc }))).toBe('400 InvalidRequest')
      expect(outcomeOf(await wrong({ 'x-amz-checksum-crc32': digest('crc32', one, two).toString('base64') }))).toBe('200') // prettier-ignore
    })
  })

  it('takes parts out of objects', async () => {
    const source = Buffer.from(Array.from({ length: least + 10 }, (_, at) => at % 251))
    expect(await outcome('PUT', '/b/s%20%C3%A9', { body: source })).toBe('200')
    const id = await create('k', { 'x-amz-checksum-algorithm': 'SHA256' })
    const copy = (number: number, headers: Readonly<Record<string, string>>): Promise<Answer> =>
      site.ask('PUT', `/b/k?partNumber=${number}&uploadId=${id}`, { headers: { 'x-amz-copy-source': 'b/s%20%C3%A9', ...headers } }) // prettier-ignore
    const whole = await copy(1, { 'x-amz-copy-source-if-match': `"${md5(source)}"` })
    const slice = source.subarray(3, 8)
    const some = await copy(2, { 'x-amz-copy-source-range': 'bytes=3-7' })
    expect([told(whole, 'ETag'), told(some, 'ETag')]).toEqual([`"${md5(source)}"`, `"${md5(slice)}"`])
    expect(told(some, 'ChecksumSHA256')).toBe(digest('sha256', slice).toString('base64'))
    expect(some.text).not.toContain('ChecksumType')
    expect(outcomeOf(await complete(id, [[1, md5(source)], [2, md5(slice)]]))).toBe('200') // prettier-ignore
    expect((await site.ask('GET', '/b/k')).bytes.equals(Buffer.concat([source, slice]))).toBe(true)
  })

  it('is given up with all its parts', async () => {
    const id = await create()
    await part(id, 1, 'one')
    expect(await outcome('DELETE', `/b/k?uploadId=${id}`, { grants: ['r:/**', 'delete:/**'] })).toBe('403 AccessDenied')
    expect(await outcome('DELETE', `/b/other?uploadId=${id}`)).toBe('404 NoSuchUpload')
    expect(await outcome('DELETE', `/b/k?uploadId=${id}`)).toBe('204')
    for (const [method, target] of [['DELETE', ''], ['GET', ''], ['PUT', '&partNumber=1']] as const) // prettier-ignore
      expect(await outcome(method, `/b/k?uploadId=${id}${target}`, { headers: { 'content-length': '0' } })).toBe('404 NoSuchUpload') // prettier-ignore
    expect(outcomeOf(await complete(id, [[1, md5(Buffer.from('one'))]]))).toBe('404 NoSuchUpload')
    expect(await left()).toEqual({ paths: ['/b'], uploads: [] })
  })

  it('lists its parts page by page', async () => {
    const id = await create()
    for (const number of [1, 2, 5, 10_000]) await part(id, number, String(number))
    const page = async (query: string): Promise<readonly (string | undefined)[]> => {
      const answer = await site.ask('GET', `/b/k?uploadId=${id}${query}`)
      return [allTold(answer, 'PartNumber').join(), told(answer, 'IsTruncated'), told(answer, 'NextPartNumberMarker')]
    }
    expect(await page('')).toEqual(['1,2,5,10000', 'false', '10000'])
    expect(await page('&max-parts=2')).toEqual(['1,2', 'true', '2'])
    expect(await page('&max-parts=2&part-number-marker=2')).toEqual(['5,10000', 'false', '10000'])
    expect(await page('&part-number-marker=10000')).toEqual(['', 'false', '0'])
    expect(await page('&max-parts=0')).toEqual(['', 'false', '0'])
    expect(await outcome('GET', `/b/k?uploadId=${id}&max-parts=-1`)).toBe('400 InvalidArgument')
    expect(await outcome('GET', `/b/k?uploadId=${id}`, { grants: ['r:/**'] })).toBe('403 AccessDenied')
    expect(await outcome('GET', '/b/k?uploadId=x')).toBe('404 NoSuchUpload')
    expect(await outcome('GET', '/none/k?uploadId=x')).toBe('404 NoSuchBucket')
  })

  describe('a list of uploads', () => {
    const keys = ['a', 'd/1', 'd/2', 'd/e/3', 'd-', 'é', 'z z']
    let ids: Map<string, string>

    beforeEach(async () => {
      ids = new Map()
      for (const key of [...keys, 'a']) {
        const id = await create(encodeURIComponent(key).replaceAll('%2F', '/'))
        ids.set(ids.has(key) ? `${key}+` : key, id)
      }
    })

    async function page(query: string, grants = ['rw:/**']): Promise<Answer> {
      const answer = await site.ask('GET', `/b?uploads${query}`, { grants })
      expect(outcomeOf(answer)).toBe('200')
      return answer
    }

    const shown = (answer: Answer): string => [...allTold(answer, 'Key'), ...allTold(answer, 'Prefix').slice(1)].join()

    it('is in the order of keys, with prefix and delimiter', async () => {
      expect(shown(await page(''))).toBe('a,a,d-,d/1,d/2,d/e/3,z z,é')
      expect(shown(await page('&prefix=d'))).toBe('d-,d/1,d/2,d/e/3')
      expect(shown(await page('&delimiter=/'))).toBe('a,a,d-,z z,é,d/')
      expect(shown(await page('&delimiter=/&prefix=d/'))).toBe('d/1,d/2,d/e/')
      expect(shown(await page('&prefix=e%CC%81&encoding-type=url'))).toBe('%C3%A9')
      expect(shown(await page('&prefix=none/'))).toBe('')
      expect(await outcome('GET', '/b?uploads&encoding-type=x')).toBe('400 InvalidArgument')
      expect(await outcome('GET', '/none?uploads')).toBe('404 NoSuchBucket')
    })

    it.each(['', '&delimiter=/', '&delimiter=/&prefix=d', '&delimiter=d'])('comes page by page with %j', async (query) => {
      const whole = await page(query)
      const found: string[] = []
      const common: string[] = []
      let marker = ''
      for (let pages = 0; pages < 20; pages++) {
        const answer = await page(`${query}&max-uploads=1${marker}`)
        found.push(...allTold(answer, 'UploadId'))
        common.push(...allTold(answer, 'Prefix').slice(1))
        if (told(answer, 'IsTruncated') === 'false') break
        marker = `&key-marker=${encodeURIComponent(told(answer, 'NextKeyMarker')!)}&upload-id-marker=${told(answer, 'NextUploadIdMarker')!}`
      }
      expect(found).toEqual(allTold(whole, 'UploadId'))
      expect(common).toEqual(allTold(whole, 'Prefix').slice(1))
    }) // prettier-ignore

    it('passes over a marked key, and over its uploads up to a marked one', async () => {
      const [one, two] = [ids.get('a')!, ids.get('a+')!].sort()
      expect(shown(await page('&key-marker=a'))).toBe('d-,d/1,d/2,d/e/3,z z,é')
      expect(allTold(await page(`&prefix=a&key-marker=a&upload-id-marker=${one!}`), 'UploadId')).toEqual([two])
      expect(allTold(await page(`&prefix=a&upload-id-marker=${two!}`), 'UploadId')).toEqual([one, two])
    })

    it('shows what the caller could go on with', async () => {
      expect(shown(await page('', ['r:/**', 'rw:/b/d/**']))).toBe('d/1,d/2,d/e/3')
      expect(shown(await page('', ['r:/**']))).toBe('')
      expect(await outcome('GET', '/b?uploads', { grants: ['rw:/c/**'] })).toBe('403 AccessDenied')
    })

    it('passes over thousands below one common prefix', async () => {
      for (let at = 0; at < 1100; at++) await create(`many/${at}`)
      expect(shown(await page('&delimiter=/'))).toBe('a,a,d-,z z,é,d/,many/')
      expect(allTold(await page('&prefix=many/'), 'Key')).toHaveLength(1000)
    }, 30_000)
  })
})
