import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openS3Site, outcomeOf, s3Media, type S3Site } from '../../../../test/s3-site.js'
import type { Answer } from '../../../../test/http-exchange.js'
import { toPath } from '../../../core/path.js'

let site: S3Site

function remove(body: string, options: { readonly grants?: readonly string[] } = {}): Promise<Answer> {
  return site.ask('POST', '/b?delete', { body, headers: { 'content-md5': hash('md5', body, 'base64') }, ...options })
}

const listOf = (...keys: readonly string[]): string =>
  `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`

async function pathsBelow(path: string): Promise<readonly string[]> {
  const found: string[] = []
  for await (const entries of site.store.list(toPath(path), { depth: 'infinity' }))
    found.push(...entries.map((entry) => entry.path))
  return found.sort()
}

describe.each(s3Media)('many deletions at once on a %s store', (medium) => {
  beforeEach(async () => {
    site = await openS3Site(medium)
    await site.fill({ '/b/k': '1', '/b/d/e/f': '2', '/c/k': '3' })
  })
  afterEach(() => site.dispose())

  it('are refused as a whole', async () => {
    const bomb = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
    for (const body of [
      '',
      '<Delete/>',
      '<Other/>',
      '<Delete><Object/></Delete>',
      listOf('k').slice(0, -1),
      bomb,
      listOf(...Array.from({ length: 1001 }, (_, at) => `k${at}`)),
      `<Delete>${'<a>'.repeat(70)}`,
    ])
      // prettier-ignore
      expect([body, outcomeOf(await remove(body))]).toEqual([body, '400 MalformedXML'])
    const body = listOf('k')
    expect(outcomeOf(await site.ask('POST', '/b?delete', { body }))).toBe('400 InvalidRequest')
    const headers = { 'x-amz-checksum-crc32': 'AAAAAA==' }
    expect(outcomeOf(await site.ask('POST', '/b?delete', { body, headers }))).toBe('400 BadDigest')
    const md5 = { 'content-md5': hash('md5', body, 'base64') }
    expect(outcomeOf(await site.ask('POST', '/none?delete', { body, headers: md5 }))).toBe('404 NoSuchBucket')
    expect(await pathsBelow('/')).toEqual(['/b', '/b/d', '/b/d/e', '/b/d/e/f', '/b/k', '/c', '/c/k'])
  })

  it('tell of each what became of it', async () => {
    await site.fill({ '/b/locked': 'x', '/b/kept': 'x', '/b/a&amp;b': 'x', '/b/ spaced ': 'x' })
    await site.locks.take({ path: toPath('/b/locked'), scope: 'exclusive', depth: 0, principal: 'bob', timeoutSeconds: 60 }) // prettier-ignore
    const body = `<Delete>
      <Object><Key>k</Key></Object><Object><Key>none</Key></Object><Object><Key>../c/k</Key></Object>
      <Object><Key>locked</Key></Object><Object><Key>kept</Key></Object><Object><Key>a&amp;amp;b</Key></Object>
      <Object><Key> spaced </Key><VersionId>null</VersionId></Object><Object><Key>d/e/f</Key><VersionId>7</VersionId></Object>
      <Object><Key>d/e/f</Key><ETag>"x"</ETag></Object><Object><Key>d/e/f</Key><Size>1</Size></Object>
    </Delete>`
    const { status, text } = await remove(body, { grants: ['r:/**', 'delete:/b/k', 'delete:/b/none', 'delete:/b/locked', 'delete:/b/a*', 'delete:/b/ *', 'delete:/b/d/**'] }) // prettier-ignore
    const lines = [...text.matchAll(/<(Deleted|Error)><Key>([^<]*)<\/Key>(?:<VersionId>\w+<\/VersionId>)?(?:<Code>(\w+)<\/Code>)?/g)] // prettier-ignore
    expect([status, ...lines.map(([, what, key, code]) => [what, key, code])]).toEqual([
      200,
      ['Deleted', 'k', undefined],
      ['Deleted', 'none', undefined],
      ['Error', '../c/k', 'InvalidArgument'],
      ['Error', 'locked', 'ObjectLocked'],
      ['Error', 'kept', 'AccessDenied'],
      ['Deleted', 'a&amp;amp;b', undefined],
      ['Deleted', ' spaced ', undefined],
      ['Error', 'd/e/f', 'NoSuchVersion'],
      ['Error', 'd/e/f', 'PreconditionFailed'],
      ['Error', 'd/e/f', 'NotImplemented'],
    ])
    expect(await pathsBelow('/')).toEqual(['/b', '/b/d', '/b/d/e', '/b/d/e/f', '/b/kept', '/b/locked', '/c', '/c/k'])
  })

  it('take empty folders with them, and say nothing where they are to be quiet', async () => {
    await site.ask('PUT', '/b/m/', { headers: { 'content-length': '0' } })
    await site.fill({ '/b/m/x/y': '1', '/b/m/x/z': '2' })
    const body = listOf('m/', 'm/x/y', 'm/x/z', 'd/e/f', 'k').replace('<Object>', '<Quiet>true</Quiet><Object>')
    const { text } = await remove(body)
    expect(text).toMatch(/<DeleteResult xmlns="[^"]*"><\/DeleteResult>$/)
    expect(await pathsBelow('/')).toEqual(['/b', '/c', '/c/k'])
  })

  it('are a thousand at most', async () => {
    const keys = Array.from({ length: 1000 }, (_, at) => `many/${at % 10}/${at}`)
    await site.fill(Object.fromEntries(keys.map((key) => [`/b/${key}`, 'x'])))
    const { text } = await remove(listOf(...keys))
    expect(text.match(/<Deleted>/g)).toHaveLength(1000)
    expect(await pathsBelow('/b')).toEqual(['/b/d', '/b/d/e', '/b/d/e/f', '/b/k'])
  })
})
