import { describe, expect, it } from 'vitest'
import { openSite, type Site } from '../../../test/http-exchange.js'
import { systemClock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { bound } from '../../store/bound.js'
import { openMemoryStore } from '../../store/memory.js'
import type { PresignRequest, Store } from '../../store/store.js'
import { createS3 } from '../s3/index.js'
import { createHttpFiles } from './index.js'

const redirectOver = 10

/** Files whose medium has URLs, but for those below `/disk`. */
function storeWithUrls(): Store {
  const presign = async ({ method, path, responses = {} }: PresignRequest): Promise<URL> => {
    if (path.startsWith('/disk')) throw new Failure('unsupported', 'There are no URLs here.')
    return new URL(`https://bucket.example${path}?${new URLSearchParams({ method, ...responses }).toString()}`)
  }
  return { ...bound(openMemoryStore()), presign }
}

async function httpSite(store = storeWithUrls()): Promise<Site> {
  const site = openSite(createHttpFiles({ redirectOver }), { store })
  await site.fill({ '/large.html': '<script>0</script>', '/small': '0123456789', '/disk/large': '0123456789a' })
  return site
}

describe('a GET of more than may go through the server', () => {
  it('is never answered with a URL to who may not read the file', async () => {
    const site = await httpSite()
    expect((await site.ask('GET', '/large.html', { grants: ['create:/**'] })).status).toBe(403)
    expect((await site.ask('GET', '/large.html', { grants: ['list:/**'] })).status).toBe(403)
  })

  it('is sent to the storage service, with type and disposition, and is not kept by caches', async () => {
    const answer = await (await httpSite()).ask('GET', '/large.html')
    const url = new URL(answer.header('location') ?? '')
    expect([answer.status, answer.header('cache-control'), answer.text, url.host]).toEqual([307, 'no-store', '', 'bucket.example']) // prettier-ignore
    expect(Object.fromEntries(url.searchParams)).toEqual({
      method: 'GET',
      'response-content-type': 'text/html; charset=utf-8',
      'response-content-disposition': 'attachment; filename="large.html"',
    })
  })

  it('is answered here where it is small, a range, not modified, without URLs, or asks for nothing', async () => {
    const site = await httpSite()
    const status = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<number> =>
      (await site.ask('GET', path, { headers })).status
    const etag = (await site.ask('GET', '/large.html')).header('etag') ?? ''
    expect(await status('/small')).toBe(200)
    expect(await status('/disk/large')).toBe(200)
    expect(await status('/large.html', { range: 'bytes=0-3' })).toBe(206)
    expect(await status('/large.html', { range: 'bytes=0-12' })).toBe(307)
    expect(await status('/large.html', { range: 'bytes=90-' })).toBe(416)
    expect(await status('/large.html', { 'if-none-match': etag })).toBe(304)
    expect(await status('/large.html', { 'if-match': '"other"' })).toBe(412)
    expect((await site.ask('HEAD', '/large.html')).header('content-length')).toBe('18')
    const plain = openSite(createHttpFiles(), { store: site.store })
    expect((await plain.ask('GET', '/large.html')).status).toBe(200)
  })

  it('goes there over S3 for presigned URLs and for nobody, not for SDKs', async () => {
    const store = storeWithUrls()
    const settings = { hosts: [], buckets: new Map(), basePath: '', region: 'us-east-1', clock: systemClock, redirectOver } // prettier-ignore
    const site = openSite(createS3(settings), { store })
    await store.makeDirectory(toPath('/b'))
    await site.fill({ '/b/large': '0123456789abc', '/b/small': '0' })
    const status = async (key: string, signedBy: 'header' | 'query' | 'nobody', headers = {}): Promise<number> =>
      (await site.ask('GET', `/b/${key}`, { signedBy, headers })).status
    expect(await status('large', 'query')).toBe(307)
    expect(await status('large', 'nobody')).toBe(307)
    expect(await status('large', 'header')).toBe(200)
    expect(await status('small', 'query')).toBe(200)
    expect(await status('large', 'query', { range: 'bytes=0-1' })).toBe(206)
    expect(await status('large', 'query', { 'if-match': '"other"' })).toBe(412)
  })
})
