import { describe, expect, it } from 'vitest'
import { openSite, requestOf } from '../../../../test/http-exchange.js'
import type { Answer, AskedAs, Site } from '../../../../test/http-exchange.js'
import { systemClock } from '../../../core/clock.js'
import type { Header, HttpRequest } from '../../../core/http.js'
import { toPath } from '../../../core/path.js'
import { openMemoryStore } from '../../../store/memory.js'
import type { Store } from '../../../store/store.js'
import { readTarget } from '../address.js'
import { createBucketCors } from './cors-answers.js'
import type { BucketCors } from './cors-answers.js'
import { writeCorsRules } from './cors-rules.js'
import type { CorsRule } from './cors-rules.js'
import { createS3 } from '../index.js'

async function siteOf(): Promise<Site> {
  const site = openSite(
    createS3({ hosts: [], buckets: new Map(), basePath: '', region: 'us-east-1', clock: systemClock }),
  )
  await site.store.makeDirectory(toPath('/b'))
  return site
}

const put = (site: Site, body: string, asked: AskedAs = {}): Promise<Answer> =>
  site.ask('PUT', '/b?cors', { ...asked, body })

const whole = (...rules: readonly string[]): string =>
  `<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${rules.join('')}</CORSConfiguration>`

const ruleXml = (origin: string, more = ''): string =>
  `<CORSRule><AllowedOrigin>${origin}</AllowedOrigin><AllowedMethod>GET</AllowedMethod>${more}</CORSRule>`

describe('the rules for pages of other origins', () => {
  it.each([
    ['', 'MalformedXML'],
    ['<CORSConfiguration', 'MalformedXML'],
    ['<Other/>', 'MalformedXML'],
    [whole(), 'MalformedXML'],
    [whole('<Rule/>'), 'MalformedXML'],
    [whole('<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>'), 'MalformedXML'],
    [whole('<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>'), 'MalformedXML'],
    [whole(ruleXml('*', '<MaxAgeSeconds>soon</MaxAgeSeconds>')), 'MalformedXML'],
    [whole(ruleXml('*', '<AllowedHeader>a</AllowedHeader>'.repeat(101))), 'MalformedXML'],
    [whole(...Array.from({ length: 101 }, () => ruleXml('*'))), 'MalformedXML'],
    [`<!DOCTYPE a [<!ENTITY e "x">]>${whole(ruleXml('&e;'))}`, 'MalformedXML'],
    [whole(ruleXml('x'.repeat(70_000))), 'MalformedXML'],
    [whole(ruleXml('x'.repeat(30_000))), 'InvalidRequest'],
    [whole(ruleXml('https://*.*.example')), 'InvalidRequest'],
    [whole(ruleXml('*', '<AllowedMethod>PATCH</AllowedMethod>')), 'InvalidRequest'],
    [whole(ruleXml('*', '<AllowedHeader>x-*-*</AllowedHeader>')), 'InvalidRequest'],
    [whole(ruleXml('*', '<ExposeHeader>x-*</ExposeHeader>')), 'InvalidRequest'],
    [whole(ruleXml('*', '<ExposeHeader>x&#13;&#10;Set-Cookie: a</ExposeHeader>')), 'InvalidRequest'],
  ])('are refused: %.70s', async (body, code) => {
    const site = await siteOf()
    const answer = await put(site, body)
    expect([answer.status, /<Code>(\w+)/.exec(answer.text)?.[1]]).toEqual([400, code])
    expect((await site.ask('GET', '/b?cors')).status).toBe(404)
  })

  it('are changed by whoever may change the folder, and by nobody else', async () => {
    const site = await siteOf()
    expect((await put(site, whole(ruleXml('*')))).status).toBe(200)
    const before = (await site.ask('GET', '/b?cors')).text
    for (const grants of [['r:/**'], ['rw:/b/below/**'], ['create,delete:/b/**', 'r:/b/**'], ['rw:/other/**']]) {
      expect((await put(site, whole(ruleXml('https://evil.example')), { grants })).status).toBe(403)
      expect((await site.ask('DELETE', '/b?cors', { grants })).status).toBe(403)
    }
    expect((await site.ask('GET', '/b?cors')).text).toBe(before)
    expect((await site.ask('PUT', '/missing?cors', { body: whole(ruleXml('*')) })).status).toBe(404)
  })

  it('come back as they were put, beside what else is known of the folder', async () => {
    const site = await siteOf()
    await site.store.change(toPath('/b'), { attributes: { other: 'kept' } })
    const more =
      '<ID>a &amp; b</ID><AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>30</MaxAgeSeconds>'
    expect((await put(site, whole(ruleXml('https://*.example', more), ruleXml('*')))).status).toBe(200)
    expect((await site.ask('GET', '/b?cors')).text).toContain(
      '<CORSRule><ID>a &amp; b</ID><AllowedHeader>x-amz-*</AllowedHeader><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>https://*.example</AllowedOrigin><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>30</MaxAgeSeconds></CORSRule><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>',
    )
    expect((await site.ask('DELETE', '/b?cors')).status).toBe(204)
    expect((await site.ask('GET', '/b?cors')).status).toBe(404)
    expect((await site.ask('DELETE', '/b?cors')).status).toBe(204)
    expect((await site.store.stat(toPath('/b')))?.attributes).toEqual({ other: 'kept' })
  })
})

const rule: CorsRule = {
  origins: ['https://app.example', 'https://*.example.org'],
  methods: ['GET', 'PUT'],
  headers: ['content-type', 'x-amz-*'],
  exposed: ['ETag', 'x-amz-request-id'],
  maxAgeSeconds: 60,
}

interface Rig {
  readonly cors: BucketCors
  readonly store: Store
  now: number
}

async function rigOf(...rules: readonly CorsRule[]): Promise<Rig> {
  const store = openMemoryStore()
  await store.makeDirectory(toPath('/b'))
  await store.change(toPath('/b'), { attributes: { 's3-cors': writeCorsRules(rules) } })
  const rig = { store, now: 0 }
  return Object.assign(rig, { cors: createBucketCors({ store, clock: { now: () => rig.now } }) })
}

const rules = { hosts: [], buckets: new Map(), basePath: '' }

function ask(rig: Rig, request: HttpRequest): Promise<readonly Header[]> {
  return rig.cors.headers(request, readTarget(request, rules))
}

function from(origin: string, method = 'GET', target = '/b/k'): HttpRequest {
  return requestOf(method, target, { headers: { origin } })
}

function preflightOf(origin: string, method: string, headers?: string, target = '/b/k'): HttpRequest {
  return requestOf('OPTIONS', target, {
    headers: {
      origin,
      'access-control-request-method': method,
      ...(headers !== undefined && { 'access-control-request-headers': headers }),
    },
  })
}

const allowed = (headers: readonly Header[]): string | undefined =>
  headers.find(([name]) => name === 'Access-Control-Allow-Origin')?.[1]

describe('what the rules of a bucket make of a request', () => {
  it.each([
    ['https://evil.example', 'GET', ''],
    ['https://app.example.evil', 'GET', ''],
    ['http://app.example', 'GET', ''],
    ['https://example.org', 'GET', ''],
    ['https://.example.or', 'GET', ''],
    ['null', 'GET', ''],
    ['https://app.example', 'DELETE', ''],
    ['https://app.example', 'get', ''],
    ['https://app.example', 'PUT', 'authorization'],
    ['https://app.example', 'PUT', 'x-amz-date, x-other'],
    ['https://app.example', 'PUT', Array.from({ length: 101 }, (_, at) => `x-amz-${at}`).join()],
  ])('refuses a preflight of %s for %s with %.40s', async (origin, method, headers) => {
    const rig = await rigOf(rule)
    const request = preflightOf(origin, method, headers)
    await expect(rig.cors.preflight(request, readTarget(request, rules))).rejects.toMatchObject({ kind: 'denied' })
    expect(allowed(await ask(rig, request))).toBeUndefined()
  })

  it('says the same of a bucket without rules, a missing one and none', async () => {
    const rig = await rigOf(rule)
    await rig.store.makeDirectory(toPath('/bare'))
    for (const target of ['/bare/k', '/missing/k', '/-/k', '/']) {
      const request = preflightOf('https://app.example', 'GET', undefined, target)
      await expect(rig.cors.preflight(request, readTarget(request, rules))).rejects.toMatchObject({ kind: 'denied' })
      expect(await ask(rig, from('https://app.example', 'GET', target))).toEqual([])
    }
    const bare = requestOf('OPTIONS', '/b/k')
    await expect(rig.cors.preflight(bare, readTarget(bare, rules))).rejects.toMatchObject({ kind: 'invalid' })
  })

  it('lets in what the first rule that fits allows', async () => {
    const rig = await rigOf(rule, { ...rule, origins: ['*'], methods: ['GET'], exposed: [], maxAgeSeconds: undefined })
    const request = preflightOf('https://a.b.example.org', 'PUT', 'Content-Type,X-Amz-Date')
    expect((await rig.cors.preflight(request, readTarget(request, rules))).headers).toEqual([
      ['Access-Control-Allow-Methods', 'GET, PUT'],
      ['Access-Control-Allow-Headers', 'content-type, x-amz-date'],
      ['Access-Control-Max-Age', '60'],
      ['Content-Length', '0'],
    ])
    expect(await ask(rig, from('https://app.example'))).toEqual([
      ['Access-Control-Allow-Origin', 'https://app.example'],
      ['Access-Control-Allow-Credentials', 'true'],
      ['Access-Control-Expose-Headers', 'ETag, x-amz-request-id'],
      ['Vary', 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method'],
    ])
    expect(await ask(rig, from('https://elsewhere.example'))).toEqual([
      ['Access-Control-Allow-Origin', '*'],
      ['Vary', 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method'],
    ])
    expect(allowed(await ask(rig, from('https://elsewhere.example', 'PUT')))).toBeUndefined()
    expect((await ask(rig, requestOf('GET', '/b/k'))).map(([name]) => name)).toEqual(['Vary'])
  })

  it('is that of the bucket in the home of a caller who has one', async () => {
    const rig = await rigOf(rule)
    const request = from('https://app.example')
    const target = readTarget(request, rules)
    expect(await rig.cors.headers(request, target, toPath('/home/ann'))).toEqual([])
    await rig.store.makeDirectory(toPath('/home'))
    await rig.store.makeDirectory(toPath('/home/b'))
    await rig.store.change(toPath('/home/b'), {
      attributes: { 's3-cors': writeCorsRules([{ ...rule, origins: ['https://app.example'] }]) },
    })
    expect(allowed(await rig.cors.headers(request, target, toPath('/home')))).toBe('https://app.example')
  })

  it('changes within a second, and does not fail where the files cannot be reached or are not ours', async () => {
    const rig = await rigOf(rule)
    expect(allowed(await ask(rig, from('https://app.example')))).toBe('https://app.example')
    await rig.store.change(toPath('/b'), { attributes: {} })
    rig.now += 1000
    expect(await ask(rig, from('https://app.example'))).toEqual([])
    await rig.store.change(toPath('/b'), { attributes: { 's3-cors': 'not ours' } })
    rig.now += 1000
    expect(await ask(rig, from('https://app.example'))).toEqual([])
  })
})
