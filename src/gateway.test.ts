import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { createAuthenticator } from './auth/authenticator.js'
import { createCredentialKey } from './auth/cached.js'
import type { Directory } from './auth/identity.js'
import { bytesBelow } from './auth/quota-store.js'
import { basicScheme } from './auth/scheme/basic.js'
import { sharedStore } from './auth/source.js'
import { createThrottle } from './auth/throttle.js'
import { catalogLocks } from './catalog/catalog-locks.js'
import { catalogUploads } from './catalog/catalog-uploads.js'
import { openMemoryCatalog } from './catalog/memory.js'
import { catalogProperties } from './catalog/properties.js'
import { createUsage } from './catalog/usage.js'
import { systemClock } from './core/clock.js'
import { Failure } from './core/failure.js'
import type { HttpRequest, HttpResponse } from './core/http.js'
import { rootPath } from './core/path.js'
import { createGateway } from './gateway.js'
import type { Gateway, GatewayOptions } from './gateway.js'
import { createGuardPage } from './protocol/admin/guard-page.js'
import { createOwnPages } from './protocol/admin/index.js'
import type { Protocol, Session } from './protocol/protocol.js'
import { openMemoryStore } from './store/memory.js'

const alice = `Basic ${Buffer.from('alice:a').toString('base64')}`

describe('which surface answers', () => {
  it.each([
    ['GET', {}, 'webdav'],
    ['PUT', {}, 'webdav'],
    ['PROPFIND', { 'x-api-key': 'k' }, 'webdav'],
    ['GET', { 'x-api-key': 'k' }, 'http'],
    ['PUT', { authorization: 'bearer t' }, 'http'],
    ['BREW', {}, 'webdav'],
    ['POST', {}, 'webdav'],
    ['POST', { 'content-type': 'application/x-www-form-urlencoded' }, 'webdav'],
  ])('%s with %j: %s', async (method, headers, surface) => {
    const asked: string[] = []
    const gateway = open({ asked })
    await gateway.handle(request(method, '/a', { authorization: alice, ...headers }))
    // Bearer tokens and API keys have no directory here: the refusal comes in the dialect that would have answered.
    const answered = await gateway.handle(request(method, '/a', headers))
    expect(new Map(answered.headers).get('X-Surface')).toBe(surface)
  })

  it('is S3 for the form of a browser only where a listener speaks nothing else', async () => {
    const form = { 'content-type': 'multipart/form-data; boundary=x' }
    for (const [spoken, surface] of [
      [['s3'], 's3'],
      [['webdav', 's3'], 'webdav'],
      [[], 'webdav'],
    ] as const) {
      const gateway = open({ spoken: new Map([['main', spoken]]) })
      const answered = await gateway.handle(request('POST', '/a', form))
      expect(new Map(answered.headers).get('X-Surface'), spoken.join()).toBe(surface)
    }
  })

  it('is the only one of its listener, where there is only one', async () => {
    const gateway = open({ spoken: new Map([['main', ['http']]]) })
    const answer = await gateway.handle(request('PROPFIND', '/a', { authorization: alice }))
    expect(new Map(answer.headers).get('X-Surface')).toBe('http')
  })
})

describe('who may enter', () => {
  it('asks for a login where there is none or a wrong one', async () => {
    const gateway = open({})
    for (const headers of [{}, { authorization: `Basic ${Buffer.from('alice:b').toString('base64')}` }]) {
      const answer = await gateway.handle(request('GET', '/a', headers))
      expect(answer.status).toBe(401)
      expect(new Map(answer.headers).get('WWW-Authenticate')).toMatch(/^Basic realm="Postern"/)
    }
  })

  it('asks anonymous callers for a login where their grants end, and tells others no', async () => {
    const gateway = open({ anonymous: { grants: ['r:/public/**'] } })
    expect((await gateway.handle(request('GET', '/public/a'))).status).toBe(200)
    expect((await gateway.handle(request('GET', '/denied'))).status).toBe(401)
    expect((await gateway.handle(request('GET', '/denied', { authorization: alice }))).status).toBe(403)
  })

  it('answers 403 without a challenge to all of them under uniform403', async () => {
    const gateway = open({ uniform403: true })
    const answer = await gateway.handle(request('GET', '/a'))
    expect([answer.status, new Map(answer.headers).has('WWW-Authenticate')]).toEqual([403, false])
  })

  it('reads no body and asks no protocol before that', async () => {
    const asked: string[] = []
    const gateway = open({ asked })
    let pulled = false
    const body = {
      async *[Symbol.asyncIterator]() {
        pulled = true
        yield Buffer.from('x')
      },
    }
    await gateway.handle({ ...request('PUT', '/a'), body })
    expect([asked, pulled]).toEqual([[], false])
  })
})

describe('own pages', () => {
  it.each([
    ['GET', '/-/health', 200],
    ['HEAD', '/-/health', 200],
    ['GET', '/%2D/health', 200],
    ['PUT', '/-/health', 405],
    ['GET', '/-/ready', 200],
    ['GET', '/-/nothing', 404],
    ['PUT', '/-/file', 404],
    ['GET', '/-', 404],
  ])('%s %s answers %i without a login, on every listener', async (method, target, status) => {
    for (const spoken of [new Map(), new Map([['main', ['http'] as const]])])
      expect((await open({ spoken }).handle(request(method, target))).status).toBe(status)
  })

  it('are not ready where the store is gone or fails', async () => {
    for (const ready of [async () => false, () => Promise.reject(new Error('gone'))])
      expect((await open({ ready }).handle(request('GET', '/-/ready'))).status).toBe(503)
  })
})

describe('bad requests', () => {
  it.each(['/a/../b', '/a/%2e%2e/b', '/a%2fb', '/a%00b', '/%ff', 'a', '/a#b', '*'])(
    'GET %s is 400 before any login',
    async (target) => {
      const asked: string[] = []
      expect((await open({ asked }).handle(request('GET', target))).status).toBe(400)
      expect(asked).toEqual([])
    },
  )

  it('OPTIONS * is about the root', async () => {
    const asked: string[] = []
    await open({ asked }).handle(request('OPTIONS', '*', { authorization: alice }))
    expect(asked).toEqual(['webdav OPTIONS /'])
  })

  it('a fault tells an id that the log explains, and nothing else', async () => {
    const lines: string[] = []
    const gateway = open({ lines })
    const answer = await gateway.handle(request('GET', '/fault', { authorization: alice }))
    const text = Buffer.from(answer.body as Uint8Array).toString()
    expect(answer.status).toBe(500)
    expect(text).not.toContain('secret detail')
    const id = /under (\S+)\./.exec(text)?.[1] ?? 'none'
    expect(lines.find((line) => line.includes(id))).toContain('secret detail')
  })
})

describe('requests that a browser makes for another page', () => {
  const rules = { publicOrigins: ['https://files.example'], cors: ['app://obsidian.md'] }

  it.each([
    ['PUT', { 'sec-fetch-site': 'cross-site' }, 403],
    ['PUT', { origin: 'https://evil.example' }, 403],
    ['PUT', { origin: 'null' }, 403],
    ['MOVE', { origin: 'https://evil.example', 'sec-fetch-site': 'same-site' }, 403],
    ['DELETE', { origin: 'https://inner.evil.example' }, 403],
    ['POST', { origin: 'not an origin' }, 403],
    ['PUT', { origin: 'http://inner' }, 200],
    ['PUT', { origin: 'https://inner' }, 200],
    ['PUT', { origin: 'https://FILES.example' }, 200],
    ['PUT', { origin: 'app://obsidian.md', 'sec-fetch-site': 'cross-site' }, 200],
    ['PUT', { 'sec-fetch-site': 'same-origin', origin: 'https://behind.a.proxy' }, 200],
    ['PUT', { 'sec-fetch-site': 'none' }, 200],
    ['PUT', {}, 200],
    ['GET', { 'sec-fetch-site': 'cross-site' }, 200],
    ['PROPFIND', { origin: 'https://evil.example' }, 200],
  ])('%s with %j: %i', async (method, headers, status) => {
    const answer = await open(rules).handle(request(method, '/a', { authorization: alice, ...headers }))
    expect(answer.status).toBe(status)
  })

  it('answers the preflight of allowed origins only, without a login', async () => {
    const gateway = open(rules)
    const ask = (origin: string) =>
      gateway.handle(
        request('OPTIONS', '/a', {
          origin,
          'access-control-request-method': 'PROPFIND',
          'access-control-request-headers': 'authorization, depth',
        }),
      )
    const allowed = new Map((await ask('app://obsidian.md')).headers)
    expect(allowed.get('Access-Control-Allow-Origin')).toBe('app://obsidian.md')
    expect(allowed.get('Access-Control-Allow-Headers')).toBe('authorization, depth')
    expect(allowed.get('Access-Control-Allow-Methods')).toContain('PROPFIND')
    const refused = await ask('https://evil.example')
    expect([refused.status, new Map(refused.headers).has('Access-Control-Allow-Origin')]).toEqual([401, false])
  })

  it('lets allowed pages read every answer, refusals too, and no others', async () => {
    const gateway = open(rules)
    const originOf = async (origin: string, headers: Readonly<Record<string, string>>) =>
      new Map((await gateway.handle(request('GET', '/a', { origin, ...headers }))).headers).get(
        'Access-Control-Allow-Origin',
      )
    expect(await originOf('app://obsidian.md', { authorization: alice })).toBe('app://obsidian.md')
    expect(await originOf('app://obsidian.md', {})).toBe('app://obsidian.md')
    expect(await originOf('https://evil.example', { authorization: alice })).toBeUndefined()
  })
})

interface Setting {
  readonly asked?: string[]
  readonly lines?: string[]
  readonly spoken?: GatewayOptions['spoken']
  readonly anonymous?: { readonly grants: readonly string[] }
  readonly uniform403?: boolean
  readonly publicOrigins?: readonly string[]
  readonly cors?: readonly string[]
  readonly ready?: () => Promise<boolean>
}

/** A gateway whose only user is alice; its dialects note what they are asked, and say who they are. */
function open(setting: Setting): Gateway {
  const catalog = openMemoryCatalog({ clock: systemClock })
  const store = openMemoryStore({ clock: systemClock })
  const directory: Directory = {
    name: 'test',
    accepts: new Set(['password']),
    check: async (credential) =>
      credential.kind === 'password' && credential.password === 'a'
        ? { kind: 'identity', identity: { name: credential.name, source: 'test', grants: ['rw:/a/**'] } }
        : { kind: 'unknown' },
  }
  const { publicOrigins = [], asked = [] } = setting
  const authenticator = createAuthenticator({
    schemes: [basicScheme({ realm: 'Postern' })],
    directories: [directory],
    throttle: createThrottle({ catalog, clock: systemClock, secret: Buffer.alloc(32) }),
    keyOf: createCredentialKey(),
    ...(setting.anonymous && { anonymous: setting.anonymous }),
    audit: () => undefined,
  })
  const usage = createUsage({ catalog, clock: systemClock, count: (tree) => bytesBelow(store, tree) })
  return createGateway({
    authenticator,
    stores: sharedStore(store),
    locks: catalogLocks(catalog, systemClock),
    properties: catalogProperties(catalog),
    uploadsTo: (of) => catalogUploads({ catalog, clock: systemClock, store: of }),
    usageOf: () => usage,
    signatures: { verify: async () => Promise.reject(new Failure('denied', 'Nobody signs here.')) },
    surfaces: { webdav: dialect('webdav', asked), http: dialect('http', asked), s3: dialect('s3', asked) },
    s3Hosts: [],
    ownPages: createOwnPages({
      ready: setting.ready ?? (async () => (await store.stat(rootPath)) !== undefined),
      guard: createGuardPage({ authenticate: (one) => authenticator.authenticate(one), basePath: '' }),
    }),
    spoken: setting.spoken ?? new Map(),
    basePath: '',
    publicOrigins,
    crossOrigin: { allowed: new Set(setting.cors), own: publicOrigins, maxAgeSeconds: 600 },
    uniform403: setting.uniform403 ?? false,
    log: pino({}, { write: (line: string) => void setting.lines?.push(line) }),
    logRequests: false,
  })
}

function dialect(name: string, asked: string[]): Protocol {
  return {
    handle: async ({ method }, { path }, session: Session): Promise<HttpResponse> => {
      asked.push(`${name} ${method} ${path}`)
      if (path === '/fault') throw new Error('secret detail')
      if (path === '/denied') await session.store.open(path)
      return { status: 200, headers: [['X-Surface', name]] }
    },
    refuse: (failure: Failure) => ({
      status: { invalid: 400, denied: 403, unauthenticated: 401, 'not-found': 404 }[failure.kind as 'denied'],
      headers: [['X-Surface', name]],
    }),
  }
}

function request(method: string, target: string, headers: Readonly<Record<string, string>> = {}): HttpRequest {
  return {
    method,
    target,
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
    body: { async *[Symbol.asyncIterator]() {} },
    listener: 'main',
    origin: { scheme: 'http', authority: 'inner' },
    peer: { address: '127.0.0.1' },
    signal: new AbortController().signal,
  }
}
