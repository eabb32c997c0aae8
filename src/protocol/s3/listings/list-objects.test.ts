import { describe, expect, it } from 'vitest'
import { openSite } from '../../../../test/http-exchange.js'
import type { Answer, AskedAs, Site } from '../../../../test/http-exchange.js'
import { systemClock } from '../../../core/clock.js'
import { toPath } from '../../../core/path.js'
import { childElements, parseXml, textOf } from '../../../core/xml.js'
import type { XmlElement } from '../../../core/xml.js'
import { createS3 } from '../index.js'

function siteOf(): Site {
  return openSite(createS3({ hosts: [], buckets: new Map(), basePath: '', region: 'us-east-1', clock: systemClock }))
}

async function filled(...keys: readonly string[]): Promise<Site> {
  const site = siteOf()
  await site.fill(Object.fromEntries(keys.map((key) => [`/b/${key}`, key])))
  return site
}

/** Texts of all elements at a path of names below the root. */
function texts(answer: Answer, ...names: readonly string[]): readonly string[] {
  let found: readonly XmlElement[] = [parseXml(answer.bytes)]
  for (const name of names) found = found.flatMap((each) => childElements(each).filter((child) => child.name === name))
  return found.map(textOf)
}

function one(answer: Answer, ...names: readonly string[]): string | undefined {
  const [first, ...more] = texts(answer, ...names)
  expect(more).toEqual([])
  return first
}

const keys = (answer: Answer): readonly string[] => texts(answer, 'Contents', 'Key')
const prefixes = (answer: Answer): readonly string[] => texts(answer, 'CommonPrefixes', 'Prefix')

async function list(site: Site, query: string, asked?: AskedAs): Promise<Answer> {
  const answer = await site.ask('GET', `/b?${query}`, asked)
  expect(answer.status, answer.text).toBe(200)
  return answer
}

describe('listings', () => {
  it.each([
    ['list-type=2&max-keys=-1', 'InvalidArgument'],
    ['list-type=2&max-keys=many', 'InvalidArgument'],
    ['list-type=2&max-keys=99999999999', 'InvalidArgument'],
    ['max-keys=1.5', 'InvalidArgument'],
    ['list-type=2&encoding-type=base64', 'InvalidArgument'],
    ['list-type=2&continuation-token=made-up', 'InvalidArgument'],
    ['list-type=2&continuation-token=%F0%9F%98%80', 'InvalidArgument'],
    ['versions&version-id-marker=null', 'InvalidArgument'],
    ['list-type=2&prefix=%ff', 'InvalidURI'],
  ])('refuse ?%s', async (query, code) => {
    const answer = await (await filled('a')).ask('GET', `/b?${query}`)
    expect(answer.status).toBe(400)
    expect(one(answer, 'Code')).toBe(code)
  })

  it.each(['list-type=2', '', 'versions', 'list-type=2&max-keys=0'])(
    'know no bucket that is missing: ?%s',
    async (query) => {
      const site = await filled('a')
      await site.fill({ '/file': 'no bucket' })
      for (const name of ['missing', 'file', '-']) {
        const answer = await site.ask('GET', `/${name}?${query}`)
        expect(answer.status).toBe(404)
        expect(one(answer, 'Code')).toBe('NoSuchBucket')
      }
      // Whether it is there is nobody's business who may see nothing of it.
      for (const name of ['b', 'missing']) {
        const answer = await site.ask('GET', `/${name}?${query}`, { grants: ['rw:/other/**'] })
        expect([answer.status, one(answer, 'Code')]).toEqual([403, 'AccessDenied'])
      }
    },
  )

  it('refuse a token that was given for another question', async () => {
    const site = await filled('a/1', 'a/2', 'b/1')
    const token = one(await list(site, 'list-type=2&max-keys=1&prefix=a/'), 'NextContinuationToken') ?? ''
    expect(keys(await list(site, `list-type=2&prefix=a/&continuation-token=${token}`))).toEqual(['a/2'])
    for (const other of ['prefix=b/', 'prefix=a/&delimiter=/', '']) {
      const answer = await site.ask('GET', `/b?list-type=2&${other}&continuation-token=${token}`)
      expect([answer.status, one(answer, 'Code')]).toEqual([400, 'InvalidArgument'])
    }
  })

  it('go on with a token that another process has given', async () => {
    const names = Array.from({ length: 25 }, (_, at) => `k${String(at).padStart(2, '0')}`)
    const found: string[] = []
    let token: string | undefined
    do {
      const site = await filled(...names)
      const more = token === undefined ? '' : `&continuation-token=${token}`
      const answer = await list(site, `list-type=2&max-keys=4${more}`)
      found.push(...keys(answer))
      expect(one(answer, 'KeyCount')).toBe(String(keys(answer).length))
      expect(one(answer, 'ContinuationToken')).toBe(token)
      token = one(answer, 'NextContinuationToken')
      expect(one(answer, 'IsTruncated')).toBe(String(token !== undefined))
    } while (token !== undefined)
    expect(found).toEqual(names)
  })

  it('take a token rather than start-after, and an empty one as none', async () => {
    const site = await filled('a', 'b', 'c')
    const token = one(await list(site, 'list-type=2&max-keys=1'), 'NextContinuationToken') ?? ''
    const both = await list(site, `list-type=2&start-after=b&continuation-token=${token}`)
    expect(keys(both)).toEqual(['b', 'c'])
    expect(one(both, 'StartAfter')).toBe('b')
    const empty = await list(site, 'list-type=2&continuation-token=')
    expect(keys(empty)).toEqual(['a', 'b', 'c'])
    expect(one(empty, 'ContinuationToken')).toBe('')
  })

  it('answer nothing at all to max-keys=0, and no more than a thousand to anybody', async () => {
    const site = await filled(...Array.from({ length: 1001 }, (_, at) => `k${at}`))
    for (const query of ['list-type=2&max-keys=0', 'max-keys=0', 'versions&max-keys=0']) {
      const answer = await list(site, query)
      expect([keys(answer), one(answer, 'IsTruncated'), one(answer, 'MaxKeys')]).toEqual([[], 'false', '0'])
    }
    const answer = await list(site, 'list-type=2&max-keys=5000')
    expect([keys(answer).length, one(answer, 'MaxKeys'), one(answer, 'IsTruncated')]).toEqual([1000, '1000', 'true'])
  })

  it('count common prefixes like keys', async () => {
    const site = await filled('a/1', 'a/2', 'b', 'c/1')
    const answer = await list(site, 'list-type=2&delimiter=/&max-keys=2')
    expect([keys(answer), prefixes(answer), one(answer, 'KeyCount')]).toEqual([['b'], ['a/'], '2'])
    expect(one(answer, 'Delimiter')).toBe('/')
    const token = one(answer, 'NextContinuationToken') ?? ''
    const rest = await list(site, `list-type=2&delimiter=/&max-keys=2&continuation-token=${token}`)
    expect([keys(rest), prefixes(rest), one(rest, 'IsTruncated')]).toEqual([[], ['c/'], 'false'])
  })

  it('give NextMarker in version 1 with a delimiter only', async () => {
    const site = await filled('a/1', 'b', 'c')
    const grouped = await list(site, 'delimiter=/&max-keys=1')
    expect([prefixes(grouped), one(grouped, 'NextMarker'), one(grouped, 'Marker')]).toEqual([['a/'], 'a/', ''])
    const next = await list(site, 'delimiter=/&max-keys=1&marker=a/')
    expect([keys(next), one(next, 'NextMarker'), one(next, 'Marker')]).toEqual([['b'], 'b', 'a/'])
    const plain = await list(site, 'max-keys=1')
    expect([keys(plain), one(plain, 'IsTruncated'), one(plain, 'NextMarker')]).toEqual([['a/1'], 'true', undefined])
    expect(keys(await list(site, 'marker=a/1'))).toEqual(['b', 'c'])
  })

  it('encode keys, prefixes, delimiters and markers where that is asked for', async () => {
    const odd = 'a b+c/é&<😀>\u0001%'
    const site = await filled(odd)
    const decoded = (texts: readonly string[]): readonly string[] => texts.map(decodeURIComponent)
    const v2 = await list(site, `list-type=2&encoding-type=url&prefix=a%20b&start-after=a%20`)
    expect(keys(v2)).toEqual(['a%20b%2Bc/%C3%A9%26%3C%F0%9F%98%80%3E%01%25'])
    expect(decoded(keys(v2))).toEqual([odd])
    expect([one(v2, 'Prefix'), one(v2, 'StartAfter'), one(v2, 'EncodingType')]).toEqual(['a%20b', 'a%20', 'url'])
    const v1 = await list(site, 'encoding-type=url&delimiter=%2Bc&marker=%26')
    expect([prefixes(v1), one(v1, 'Delimiter'), one(v1, 'Marker')]).toEqual([['a%20b%2Bc'], '%2Bc', '%26'])
    const versions = await list(site, 'versions&encoding-type=url&key-marker=%26')
    expect([decoded(texts(versions, 'Version', 'Key')), one(versions, 'KeyMarker')]).toEqual([[odd], '%26'])
    // XML cannot hold U+0001.
    const bare = await list(site, 'list-type=2')
    expect(keys(bare)).toEqual([odd.replace('\u0001', '\uFFFD')])
    expect(one(bare, 'EncodingType')).toBeUndefined()
  })

  it('tell of an object what HEAD tells', async () => {
    const site = siteOf()
    await site.store.makeDirectory(toPath('/b'))
    const md5 = Buffer.from('0123456789abcdef0123456789abcdef', 'hex')
    const crc32 = Buffer.from([1, 2, 3, 4])
    await site.store.write(toPath('/b/plain'), bytes('12345'), {
      modified: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
      knownDigests: () => ({ md5, crc32 }),
    })
    await site.store.write(toPath('/b/several'), bytes(''), {
      attributes: { 's3-etag': 'd41d8cd98f00b204e9800998ecf8427e-3', 's3-checksum': 'sha256=AAAA-3' },
    })
    await site.fill({ '/b/unknown': 'x' })
    const answer = await list(site, 'list-type=2')
    expect(texts(answer, 'Contents', 'ETag')).toEqual([
      '"0123456789abcdef0123456789abcdef"',
      '"d41d8cd98f00b204e9800998ecf8427e-3"',
      expect.stringMatching(/^"[0-9a-f]{32}-1"$/),
    ])
    expect(texts(answer, 'Contents', 'LastModified')[0]).toBe('2026-01-02T03:04:05.678Z')
    expect(texts(answer, 'Contents', 'Size')).toEqual(['5', '0', '1'])
    expect(texts(answer, 'Contents', 'StorageClass')).toEqual(['STANDARD', 'STANDARD', 'STANDARD'])
    expect(texts(answer, 'Contents', 'ChecksumAlgorithm')).toEqual(['CRC32', 'SHA256'])
    expect(texts(answer, 'Contents', 'ChecksumType')).toEqual(['FULL_OBJECT', 'COMPOSITE'])
  })

  it('have files hashed whose MD5 is not known', async () => {
    const told: string[] = []
    const site = openSite(
      createS3({
        hosts: [],
        buckets: new Map(),
        basePath: '',
        region: 'us-east-1',
        clock: systemClock,
        hashLater: ({ path }) => void told.push(path),
      }),
    )
    await site.store.makeDirectory(toPath('/b'))
    const md5 = Buffer.alloc(16)
    await site.store.write(toPath('/b/known'), bytes('1'), { knownDigests: () => ({ md5 }) })
    await site.store.write(toPath('/b/of-parts'), bytes('2'), { attributes: { 's3-etag': `${md5.toString('hex')}-2` } })
    await site.fill({ '/b/d/below': '3', '/b/unknown': '4', '/b/z': '5' })
    await list(site, 'list-type=2&delimiter=/&max-keys=4')
    expect(told).toEqual(['/b/unknown'])
  })

  it('name the owner in version 1, in version 2 where that is asked for', async () => {
    const site = await filled('a')
    expect(texts(await list(site, ''), 'Contents', 'Owner', 'DisplayName')).toEqual(['alice'])
    expect(texts(await list(site, 'list-type=2'), 'Contents', 'Owner', 'ID')).toEqual([])
    const fetched = await list(site, 'list-type=2&fetch-owner=true')
    expect(texts(fetched, 'Contents', 'Owner', 'ID')).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)])
  })

  it('know each key as its one version', async () => {
    const site = await filled('a', 'b/1', 'c')
    const first = await list(site, 'versions&max-keys=1')
    expect(texts(first, 'Version', 'Key')).toEqual(['a'])
    expect([one(first, 'Version', 'VersionId'), one(first, 'Version', 'IsLatest')]).toEqual(['null', 'true'])
    expect([one(first, 'NextKeyMarker'), one(first, 'NextVersionIdMarker')]).toEqual(['a', 'null'])
    const next = await list(site, 'versions&max-keys=1&delimiter=/&key-marker=a&version-id-marker=null')
    expect([texts(next, 'Version', 'Key'), prefixes(next)]).toEqual([[], ['b/']])
    expect([one(next, 'NextKeyMarker'), one(next, 'NextVersionIdMarker')]).toEqual(['b/', undefined])
    expect(texts(await list(site, 'versions&delimiter=/&key-marker=b/'), 'Version', 'Key')).toEqual(['c'])
  })

  it('list a bucket by the grants of its caller', async () => {
    const site = await filled('x/1', 'y/1', 'z')
    const asked = { grants: ['r:/b/x/**'] }
    expect(prefixes(await list(site, 'list-type=2&delimiter=/', asked))).toEqual(['x/'])
    expect(keys(await list(site, 'list-type=2', asked))).toEqual(['x/1'])
    const one = await list(site, 'list-type=2&max-keys=1&start-after=x/1', asked)
    expect([keys(one), texts(one, 'IsTruncated')]).toEqual([[], ['false']])
  })
})

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}
