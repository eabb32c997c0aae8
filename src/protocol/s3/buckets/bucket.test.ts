import { describe, expect, it } from 'vitest'
import { openSite } from '../../../../test/http-exchange.js'
import type { Answer, Site } from '../../../../test/http-exchange.js'
import { systemClock } from '../../../core/clock.js'
import { toPath } from '../../../core/path.js'
import { childElements, parseXml, textOf } from '../../../core/xml.js'
import type { XmlElement } from '../../../core/xml.js'
import type { S3Settings } from '../context.js'
import { createS3 } from '../index.js'

const settings: S3Settings = { hosts: [], buckets: new Map(), basePath: '', region: 'us-east-1', clock: systemClock }

function siteOf(more: Partial<S3Settings> = {}): Site {
  return openSite(createS3({ ...settings, ...more }))
}

function texts(answer: Answer, ...names: readonly string[]): readonly string[] {
  let found: readonly XmlElement[] = [parseXml(answer.bytes)]
  for (const name of names) found = found.flatMap((each) => childElements(each).filter((child) => child.name === name))
  return found.map(textOf)
}

function codeOf(answer: Answer): readonly [number, string | undefined] {
  return [answer.status, answer.text === '' ? undefined : texts(answer, 'Code')[0]]
}

const bucketNames = (answer: Answer): readonly string[] => texts(answer, 'Buckets', 'Bucket', 'Name')

describe('CreateBucket', () => {
  it.each([
    'ab',
    'n'.repeat(64),
    'Photos',
    'my_bucket',
    'a..b',
    '-ab',
    'ab-',
    '.ab',
    'ab.',
    '192.168.1.1',
    'xn--abc',
    'abc-s3alias',
    'abc--ol-s3',
    'abc--x-s3',
    'caf%C3%A9',
    'a%20b',
  ])('refuses the name %s', async (name) => {
    const site = siteOf()
    expect(codeOf(await site.ask('PUT', `/${name}`))).toEqual([400, 'InvalidBucketName'])
    expect(await names(site)).toEqual([])
  })

  it.each([
    ['x-amz-acl', 'public-read'],
    ['x-amz-grant-read', 'id=1'],
    ['x-amz-bucket-object-lock-enabled', 'true'],
  ])('refuses what it cannot keep: %s: %s', async (name, value) => {
    const site = siteOf()
    expect(codeOf(await site.ask('PUT', '/photos', { headers: { [name]: value } }))).toEqual([501, 'NotImplemented'])
    expect(await names(site)).toEqual([])
  })

  it.each([
    ['nonsense', 'MalformedXML', 400],
    ['<Other/>', 'MalformedXML', 400],
    ['<CreateBucketConfiguration>', 'MalformedXML', 400],
    [`<!DOCTYPE a [<!ENTITY e "x">]><CreateBucketConfiguration>&e;</CreateBucketConfiguration>`, 'MalformedXML', 400],
    [`<CreateBucketConfiguration>${' '.repeat(70_000)}</CreateBucketConfiguration>`, 'MalformedXML', 400],
    [constraint('eu-west-1'), 'IllegalLocationConstraintException', 400],
    [
      '<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>',
      'NotImplemented',
      501,
    ],
  ])('refuses the body %.60s', async (body, code, status) => {
    const site = siteOf({ region: 'eu-central-1' })
    expect(codeOf(await site.ask('PUT', '/photos', { body }))).toEqual([status, code])
    expect(await names(site)).toEqual([])
  })

  it('refuses callers who may not create there, and tells them nothing of what is', async () => {
    const site = siteOf()
    await site.ask('PUT', '/taken')
    for (const name of ['taken', 'free']) {
      const answer = await site.ask('PUT', `/${name}`, { grants: ['r:/**'] })
      expect(codeOf(answer)).toEqual([403, 'AccessDenied'])
    }
    expect(codeOf(await site.ask('PUT', '/free', { grants: ['rw:/other/**'] }))).toEqual([403, 'AccessDenied'])
    expect(await names(site)).toEqual(['taken'])
  })

  it('makes a folder, once', async () => {
    const site = siteOf()
    const made = await site.ask('PUT', '/photos', { headers: { 'x-amz-acl': 'private' } })
    expect([made.status, made.header('location')]).toEqual([200, '/photos'])
    expect((await site.store.stat(toPath('/photos')))?.kind).toBe('directory')
    expect(codeOf(await site.ask('PUT', '/photos'))).toEqual([409, 'BucketAlreadyOwnedByYou'])
  })

  it('says that a name is taken where a file has it, or what its caller may not see', async () => {
    const site = siteOf()
    await site.fill({ '/file': 'x' })
    await site.ask('PUT', '/hidden')
    expect(codeOf(await site.ask('PUT', '/file'))).toEqual([409, 'BucketAlreadyExists'])
    expect(codeOf(await site.ask('PUT', '/hidden', { grants: ['create:/*'] }))).toEqual([409, 'BucketAlreadyExists'])
  })

  it('takes the region that it is in, and any where it is in the first of all', async () => {
    const central = siteOf({ region: 'eu-central-1' })
    expect((await central.ask('PUT', '/one', { body: constraint('eu-central-1') })).status).toBe(200)
    expect((await central.ask('PUT', '/two')).status).toBe(200)
    expect((await siteOf().ask('PUT', '/one', { body: constraint('eu-west-1') })).status).toBe(200)
  })

  it('makes the folder of a bucket that lies elsewhere, with what is above it', async () => {
    const site = siteOf({ buckets: new Map([['photos', toPath('/home/ann/photos')]]) })
    expect((await site.ask('PUT', '/photos')).status).toBe(200)
    expect((await site.store.stat(toPath('/home/ann/photos')))?.kind).toBe('directory')
    expect(await site.store.stat(toPath('/photos'))).toBeUndefined()
    expect(codeOf(await site.ask('PUT', '/photos'))).toEqual([409, 'BucketAlreadyOwnedByYou'])
  })
})

describe('HeadBucket', () => {
  it('tells a missing bucket from one that is not granted, without a body', async () => {
    const site = siteOf()
    await site.ask('PUT', '/photos')
    const here = await site.ask('HEAD', '/photos')
    expect([here.status, here.header('x-amz-bucket-region')]).toEqual([200, 'us-east-1'])
    const missing = await site.ask('HEAD', '/missing')
    expect([missing.status, missing.text]).toEqual([404, ''])
    for (const name of ['photos', 'missing']) {
      const hidden = await site.ask('HEAD', `/${name}`, { grants: ['rw:/other/**'] })
      expect([hidden.status, hidden.text]).toEqual([403, ''])
    }
  })
})

describe('DeleteBucket', () => {
  it('keeps what holds an object, seen or not', async () => {
    const site = siteOf()
    await site.fill({ '/b/deep/er/file': 'x' })
    expect(codeOf(await site.ask('DELETE', '/b'))).toEqual([409, 'BucketNotEmpty'])
    const blind = { grants: ['delete:/b/**', 'list:/b'] }
    expect(codeOf(await site.ask('DELETE', '/b', blind))).toEqual([409, 'BucketNotEmpty'])
    expect((await site.store.stat(toPath('/b/deep/er/file')))?.kind).toBe('file')
    await site.store.makeDirectory(toPath('/marked'))
    await site.store.makeDirectory(toPath('/marked/d'))
    await site.store.change(toPath('/marked/d'), { attributes: { 's3-marker': '1' } })
    expect(codeOf(await site.ask('DELETE', '/marked'))).toEqual([409, 'BucketNotEmpty'])
  })

  it('refuses callers without the right, what is no bucket, and the whole tree', async () => {
    const site = siteOf({ buckets: new Map([['everything', toPath('/')]]) })
    await site.ask('PUT', '/photos')
    await site.fill({ '/file': 'x' })
    expect(codeOf(await site.ask('DELETE', '/photos', { grants: ['r:/**'] }))).toEqual([403, 'AccessDenied'])
    expect(codeOf(await site.ask('DELETE', '/missing'))).toEqual([404, 'NoSuchBucket'])
    expect(codeOf(await site.ask('DELETE', '/file'))).toEqual([404, 'NoSuchBucket'])
    expect(codeOf(await site.ask('DELETE', '/everything'))).toEqual([403, 'AccessDenied'])
    expect(await names(site)).toEqual(['file', 'photos'])
  })

  it('removes folders that hold nothing but folders', async () => {
    const site = siteOf()
    for (const path of ['/b', '/b/a', '/b/a/b', '/b/c']) await site.store.makeDirectory(toPath(path))
    const gone = await site.ask('DELETE', '/b')
    expect([gone.status, gone.text]).toEqual([204, ''])
    expect(await names(site)).toEqual([])
    expect(codeOf(await site.ask('DELETE', '/b'))).toEqual([404, 'NoSuchBucket'])
  })
})

describe('ListBuckets', () => {
  it('shows folders only, and only those that lead to a grant', async () => {
    const site = siteOf()
    await site.fill({ '/a/x': '', '/b/x/y': '', '/c/x': '', '/file': '' })
    const answer = await site.ask('GET', '/')
    expect(bucketNames(answer)).toEqual(['a', 'b', 'c'])
    expect(texts(answer, 'Owner', 'DisplayName')).toEqual(['alice'])
    expect(texts(answer, 'Buckets', 'Bucket', 'CreationDate')[0]).toMatch(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(bucketNames(await site.ask('GET', '/', { grants: ['r:/b/x/**', 'create:/c/**'] }))).toEqual(['b', 'c'])
    expect(codeOf(await site.ask('GET', '/', { grants: [] }))).toEqual([403, 'AccessDenied'])
  })

  it('has the buckets of the configuration where they are and may be seen; they win', async () => {
    const buckets = new Map([
      ['photos', toPath('/home/ann/photos')],
      ['docs', toPath('/home/bob/docs')],
      ['later', toPath('/home/ann/later')],
      ['afile', toPath('/home/ann/file')],
    ])
    const site = siteOf({ buckets })
    await site.fill({ '/home/ann/photos/1': '', '/home/bob/docs/1': '', '/later/1': '', '/home/ann/file': '' })
    expect(bucketNames(await site.ask('GET', '/'))).toEqual(['docs', 'home', 'photos'])
    expect(bucketNames(await site.ask('GET', '/', { grants: ['r:/home/ann/**', 'r:/later/**'] }))).toEqual([
      'home',
      'photos',
    ])
    expect(texts(await site.ask('GET', '/photos'), 'Contents', 'Key')).toEqual(['1'])
  })

  it('comes in pages, in the order of names, by prefix and region', async () => {
    const site = siteOf()
    const all = ['a', 'photos', 'photos-2025', 'photos.old', 'photos0', 'z']
    for (const name of all) await site.store.makeDirectory(toPath(`/${name}`))
    const found: string[] = []
    let token = ''
    do {
      const answer = await site.ask('GET', `/?max-buckets=2&continuation-token=${token}`)
      expect(bucketNames(answer).length).toBeLessThanOrEqual(2)
      expect(new Set(texts(answer, 'Buckets', 'Bucket', 'BucketRegion'))).toEqual(new Set(['us-east-1']))
      found.push(...bucketNames(answer))
      token = texts(answer, 'ContinuationToken')[0] ?? ''
    } while (token !== '')
    expect(found).toEqual(all)
    expect(bucketNames(await site.ask('GET', '/?prefix=photos-'))).toEqual(['photos-2025'])
    expect(bucketNames(await site.ask('GET', '/?prefix=../'))).toEqual([])
    expect(bucketNames(await site.ask('GET', '/?bucket-region=eu-west-1'))).toEqual([])
    expect(bucketNames(await site.ask('GET', '/?bucket-region=us-east-1'))).toEqual(all)
    for (const query of ['max-buckets=0', 'max-buckets=-1', 'continuation-token=x'])
      expect(codeOf(await site.ask('GET', `/?${query}`))).toEqual([400, 'InvalidArgument'])
  })
})

function constraint(region: string): string {
  return `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`
}

async function names(site: Site): Promise<readonly string[]> {
  const found: string[] = []
  for await (const entries of site.store.list(toPath('/'), { order: 'key' }))
    found.push(...entries.map(({ path }) => path.slice(1)))
  return found
}
