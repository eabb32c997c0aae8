import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toyService } from '../auth-service.js'
import type { ToyService } from '../auth-service.js'
import { startServer } from '../harness.js'
import type { Server } from '../harness.js'
import { makeKey, toyIssuer } from '../issuer.js'
import type { IssuerKey, ToyIssuer } from '../issuer.js'
import type { Answer } from '../raw-http.js'

const docs = readFileSync(fileURLToPath(new URL('../../docs/identity.md', import.meta.url)), 'utf8')

/** The configuration that a section of the documentation shows, with what is true in this test. */
function recipe(section: string, values: Readonly<Record<string, string>>): string {
  let text = docs.slice(docs.indexOf(`\n## ${section}`))
  text = /```yaml\n(.*?)```/s.exec(text)?.[1] ?? ''
  for (const [placeholder, value] of Object.entries(values)) {
    expect(text, section).toContain(placeholder)
    text = text.replaceAll(placeholder, value)
  }
  return text
}

async function withFiles(server: Server): Promise<Server> {
  for (const folder of ['home/alice', 'home/bob', 'shared', 'public']) {
    await mkdir(join(server.root, folder), { recursive: true })
    await writeFile(join(server.root, folder, 'a'), folder)
  }
  return server
}

const headerOf = (answer: Answer, name: string): string | undefined => answer.headers.get(name)?.[0]

describe('forward, as documented', () => {
  let service: ToyService
  let server: Server
  const right = `Basic ${Buffer.from('alice:right').toString('base64')}`

  beforeAll(async () => {
    service = await toyService((heard, response) => {
      const { authorization, 'x-original-uri': uri = '', 'x-original-method': method } = heard.headers
      if (authorization !== right) response.writeHead(401, { 'www-authenticate': 'Basic realm="theirs"' }).end()
      else if (uri === '/home/alice/stall') return
      else if (uri.startsWith('/home/alice/closed') || method === 'DELETE') response.writeHead(403).end()
      else response.writeHead(200, { 'remote-user': 'alice', 'remote-groups': 'staff,editors' }).end()
    })
    const config = recipe('forward:', { 'http://127.0.0.1:9000/auth': service.url })
    server = await withFiles(await startServer({ config: config.replace('url:', 'timeoutSeconds: 1\n      url:') }))
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await service.stop()
  })

  const ask = (method: string, target: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
    server.request(method, target, { as: null, headers: { authorization: right, ...headers } })

  it('lets in whom service and grants allow', async () => {
    expect((await ask('GET', '/home/alice/a')).body.toString()).toBe('home/alice')
    expect((await ask('PUT', '/shared/b')).status).toBe(201)
    expect((await ask('GET', '/home/bob/a')).status).toBe(403)
    expect((await ask('DELETE', '/home/alice/a')).status).toBe(403)
  })

  it('asks for a login as the service does', async () => {
    const answer = await ask('GET', '/home/alice/a', { authorization: 'Bearer x' })
    expect([answer.status, headerOf(answer, 'www-authenticate')]).toEqual([401, 'Basic realm="theirs"'])
    expect((await server.request('GET', '/home/alice/a', { as: null })).status).toBe(401)
  })

  it('moves nothing to where the service says no', async () => {
    for (const destination of ['/home/alice/closed/a', '/home/alice//clos%65d/a'])
      expect(
        (await ask('MOVE', '/home/alice/a', { destination: `http://127.0.0.1:${server.port}${destination}` })).status,
      ).toBe(403)
    expect((await ask('GET', '/home/alice/a')).status).toBe(200)
  })

  it('is 503 where the service does not answer, and others know nothing of it', async () => {
    const stalled = await ask('GET', '/home/alice/stall')
    expect([stalled.status, headerOf(stalled, 'retry-after')]).toEqual([503, '5'])
    expect((await server.request('GET', '/home/alice/a')).status).toBe(200)
  })

  it('logs no secret', () => {
    for (const secret of ['right', right.slice(6)]) expect(server.stderr()).not.toContain(secret)
  })
})

describe('oidc, as documented', () => {
  let issuer: ToyIssuer
  let key: IssuerKey
  let server: Server
  const tokens: string[] = []

  beforeAll(async () => {
    issuer = await toyIssuer(() => Math.floor(Date.now() / 1000))
    key = await makeKey('RS256', 'one')
    issuer.keys = [key.publicJwk]
    server = await withFiles(
      await startServer({ config: recipe('oidc:', { 'https://id.example.org/realm': issuer.issuer }) }),
    )
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await issuer.stop()
  })

  async function ask(method: string, target: string, claims: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    const token = await issuer.sign(key, { preferred_username: 'alice', ...claims })
    tokens.push(token)
    return await server.request(method, target, { as: null, headers: { authorization: `Bearer ${token}` } })
  }

  it('lets in the bearers of good tokens, by their groups', async () => {
    expect((await ask('GET', '/public/a')).status).toBe(200)
    expect((await ask('PUT', '/shared/b')).status).toBe(403)
    expect((await ask('PUT', '/shared/b', { realm_access: { roles: ['editors'] } })).status).toBe(201)
  })

  it.each([{ exp: 1 }, { aud: 'other' }, { iss: 'https://id.example.org' }, { preferred_username: undefined }])(
    'refuses one with %j, and asks for another',
    async (claims) => {
      const answer = await ask('GET', '/public/a', claims)
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toContain('Bearer realm="Postern"')
    },
  )

  it('logs no token', () => {
    expect(tokens.length).toBeGreaterThan(5)
    for (const token of tokens) expect(server.stderr()).not.toContain(token.split('.')[2])
  })
})

describe('/-/auth', () => {
  let server: Server
  let alice: readonly [string, string]

  beforeAll(async () => {
    server = await startServer({ config: 'trustedProxies: ["127.0.0.1"]\nbasePath: /files\n' })
    alice = await server.addUser('alice', 'r:/app/**', 'rw:/app/alice/**')
  })
  afterAll(async () => server[Symbol.asyncDispose]())

  /** As each of them asks, read in its source. */
  const shapes = {
    traefik: (method: string, uri: string) => ({
      'X-Forwarded-Method': method,
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'app.example.org',
      'X-Forwarded-Uri': uri,
      'X-Forwarded-For': '192.0.2.7',
      'X-Forwarded-Port': '443',
      'X-Forwarded-Server': 'host',
      'X-Real-Ip': '192.0.2.7',
    }),
    caddy: (method: string, uri: string) => ({
      'X-Forwarded-Method': method,
      'X-Forwarded-Uri': uri,
      'X-Forwarded-For': '192.0.2.7',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'app.example.org',
    }),
    nginx: (method: string, uri: string) => ({
      'X-Original-URI': uri,
      'X-Original-Method': method,
      'Content-Length': '0',
    }),
  }

  it.each(Object.entries(shapes))('answers as %s asks', async (_, shape) => {
    for (const page of ['/-/auth', '/files/-/auth']) {
      const ask = (method: string, uri: string, as: readonly [string, string] | null = alice): Promise<Answer> =>
        server.request('GET', `${page}?prefix=/app`, { as, headers: shape(method, uri) })
      const yes = await ask('GET', '/a?x=1')
      expect([yes.status, headerOf(yes, 'remote-user'), headerOf(yes, 'remote-groups')]).toEqual([200, 'alice', ''])
      expect((await ask('PUT', '/a')).status).toBe(403)
      expect((await ask('PUT', '/alice/a')).status).toBe(200)
      expect((await ask('PUT', '/alice/../a')).status).toBe(403)
      const stranger = await ask('GET', '/a', null)
      expect([stranger.status, headerOf(stranger, 'remote-user')]).toEqual([401, undefined])
      expect(headerOf(stranger, 'www-authenticate')).toMatch(/^Basic /)
    }
  })

  it('says nothing to a client that comes through a proxy of its own', async () => {
    const untrusted = await startServer()
    const answer = await untrusted.request('GET', '/-/auth', { headers: shapes.traefik('GET', '/a') })
    expect([answer.status, headerOf(answer, 'remote-user')]).toEqual([403, undefined])
    await untrusted[Symbol.asyncDispose]()
  })
})
