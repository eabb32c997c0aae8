import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openS3Site, outcomeOf, type S3Site } from '../../../../test/s3-site.js'
import type { Answer, AskedAs } from '../../../../test/http-exchange.js'

let site: S3Site

beforeEach(async () => {
  site = await openS3Site()
})
afterEach(() => site.dispose())

function post(fields: Readonly<Record<string, string>>, asked: AskedAs = {}): Promise<Answer> {
  const form = { fields: new Map(Object.entries(fields)) }
  return site.ask('POST', '/b', { body: 'bytes', headers: { 'transfer-encoding': 'chunked' }, form, ...asked })
}

describe('forms of browsers', () => {
  it.each<[wanted: string, fields: Readonly<Record<string, string>>, asked?: AskedAs]>([
    ['400 InvalidArgument', {}],
    ['400 InvalidArgument', { key: '' }],
    ['400 InvalidArgument', { key: '../c/k' }],
    ['400 InvalidArgument', { key: 'up/..' }],
    ['400 KeyTooLongError', { key: 'k'.repeat(300) }],
    ['400 InvalidArgument', { key: 'k', 'x-amz-meta-a': 'a\r\nb' }],
    ['400 InvalidArgument', { key: 'k', 'content-type': 'a\0b' }],
    ['400 InvalidArgument', { key: 'k', 'x-amz-meta-a b': 'x' }],
    ['400 MetadataTooLarge', { key: 'k', 'x-amz-meta-a': 'é'.repeat(1025) }],
    [
      '400 InvalidTag',
      { key: 'k', tagging: '<Tagging><TagSet><Tag><Key>aws:x</Key><Value/></Tag></TagSet></Tagging>' },
    ],
    ['400 MalformedXML', { key: 'k', tagging: 'a=1' }],
    ['501 NotImplemented', { key: 'k', acl: 'public-read' }],
    ['501 NotImplemented', { key: 'k', 'x-amz-server-side-encryption': 'AES256' }],
    ['403 AccessDenied', { key: 'k' }, { grants: ['r:/**'] }],
    ['403 AccessDenied', { key: 'other/k' }, { grants: ['create:/b/up/**'] }],
    ['400 BadDigest', { key: 'k' }, { headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } }],
  ])('%s: %j', async (wanted, fields, asked) => {
    expect(outcomeOf(await post(fields, asked))).toBe(wanted)
    for await (const entries of site.store.list((await site.store.stat('/b' as never))!.path))
      expect(entries).toEqual([])
  })

  it('put an object under the key that the policy was judged for', async () => {
    const tagging = '<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>'
    const fields = { key: 'up/a$&b.png', acl: 'private', 'content-type': 'image/png', 'x-amz-meta-a': 'é', tagging }
    const put = await post(fields)
    expect([put.status, put.header('etag')]).toEqual([204, `"${hash('md5', 'bytes')}"`])
    expect(put.header('location')).toBe('http://localhost/b/up/a%24%26b.png')
    const got = await site.ask('GET', '/b/up/a$&b.png')
    expect([got.text, got.header('content-type'), got.header('x-amz-meta-a'), got.header('x-amz-tagging-count')]).toEqual(['bytes', 'image/png', '\xc3\xa9', '1']) // prettier-ignore
  })

  it('are answered as they ask', async () => {
    expect((await post({ key: 'k', success_action_status: '200' })).status).toBe(200)
    expect((await post({ key: 'k', success_action_status: '500' })).status).toBe(204)
    const { status, text } = await post({ key: 'k k', success_action_status: '201' })
    expect([status, text]).toEqual([201, expect.stringContaining('<Location>http://localhost/b/k%20k</Location><Bucket>b</Bucket><Key>k k</Key><ETag>')]) // prettier-ignore
    const to = { key: 'k', success_action_redirect: 'https://example.org/done?x=1' }
    const sent = await post(to)
    expect([sent.status, sent.header('location')]).toEqual([303, `https://example.org/done?x=1&bucket=b&key=k&etag=%22${hash('md5', 'bytes')}%22`]) // prettier-ignore
    // Nobody is sent anywhere by a form that nobody has signed, nor to what is no page.
    expect((await post(to, { signedBy: 'nobody' })).status).toBe(204)
    expect((await post({ key: 'k', success_action_redirect: 'javascript:alert(1)' })).status).toBe(204)
    expect((await post({ key: 'k', success_action_redirect: '/done' })).status).toBe(204)
  })
})
