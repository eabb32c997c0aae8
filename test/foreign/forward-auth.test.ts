import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toyService } from '../auth-service.js'
import type { Heard, ToyService } from '../auth-service.js'
import { basic, eventually, run, startServer } from '../harness.js'
import type { Server } from '../harness.js'
import { configuration, freePort } from './deploy-files.js'
import { describeForeign } from './tools.js'

interface Place {
  readonly home: string
  /** Of Postern. */
  readonly socket: string
  /** The same on TCP. */
  readonly postern: number
  /** Of the proxy. */
  readonly port: number
  /** Of the guarded service. */
  readonly service: number
}

/** What starts a proxy in the foreground, and where it can be asked. */
interface Proxy {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

async function nginxWith(site: string, { home }: Place): Promise<Proxy> {
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const temporary = folders.map((name) => `${name}_temp_path ${home}/${name};`).join('\n')
  await writeFile(join(home, 'site.conf'), site)
  await writeFile(
    join(home, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off; pid ${home}/pid; error_log stderr;\nevents {}\nhttp {\nunderscores_in_headers on;\naccess_log off;\n${temporary}\ninclude ${home}/site.conf;\n}\n`,
  )
  return { command: '/usr/sbin/nginx', args: ['-p', home, '-c', join(home, 'nginx.conf')] }
}

async function nginx(place: Place): Promise<Proxy> {
  const { home, socket, port, service } = place
  const site = await configuration('nginx/forward-auth.conf', {
    'unix:/run/postern/postern.sock': `unix:${socket}`,
    'listen 443 ssl': `listen 127.0.0.1:${port} ssl`,
    '/etc/ssl/postern/': `${home}/`,
    '127.0.0.1:3000': `127.0.0.1:${service}`,
  })
  return await nginxWith(site, place)
}

async function caddy({ home, socket, port, service }: Place): Promise<Proxy> {
  const site = await configuration('caddy/Caddyfile', {
    'unix//run/postern/postern.sock': `unix/${socket}`,
    'app.example.org {': `https://app.example.org:${port} {\n\tbind 127.0.0.1\n\ttls ${home}/cert.pem ${home}/key.pem`,
    '127.0.0.1:3000': `127.0.0.1:${service}`,
  })
  await writeFile(join(home, 'Caddyfile'), `{\n\tadmin off\n\tauto_https off\n}\n${site}`)
  return {
    command: 'caddy',
    args: ['run', '--config', join(home, 'Caddyfile'), '--adapter', 'caddyfile'],
    env: { HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home },
  }
}

async function apache({ home, postern, port, service }: Place): Promise<Proxy> {
  const script = await configuration('apache/forward-auth.lua', { '127.0.0.1:8080': `127.0.0.1:${postern}` })
  const site = await configuration('apache/forward-auth.conf', {
    '<VirtualHost *:443>': `<VirtualHost 127.0.0.1:${port}>`,
    '/etc/ssl/postern/': `${home}/`,
    '/etc/apache2/postern/': `${home}/`,
    '127.0.0.1:3000': `127.0.0.1:${service}`,
  })
  await writeFile(join(home, 'forward-auth.lua'), script)
  const modules = ['mpm_event', 'authz_core', 'headers', 'lua', 'proxy', 'proxy_http', 'ssl']
  const loaded = modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
  const user = process.getuid?.() === 0 ? 'User www-data\nGroup www-data\n' : ''
  await writeFile(
    join(home, 'apache.conf'),
    `${loaded.join('\n')}\nServerName localhost\nDefaultRuntimeDir ${home}\nPidFile ${home}/pid\nErrorLog ${home}/error.log\n${user}Listen 127.0.0.1:${port}\n${site}`,
  )
  if (process.getuid?.() === 0) await chmod(home, 0o755)
  return { command: '/usr/sbin/apache2', args: ['-D', 'FOREGROUND', '-f', join(home, 'apache.conf')] }
}

/** Postern, a proxy and a service behind both. */
class Guarded {
  readonly server: Server
  readonly service: ToyService
  readonly port: number
  readonly #home: string
  readonly #proxy: ChildProcess

  private constructor(server: Server, service: ToyService, port: number, home: string, proxy: ChildProcess) {
    this.server = server
    this.service = service
    this.port = port
    this.#home = home
    this.#proxy = proxy
  }

  static async open(name: string, start: (place: Place) => Promise<Proxy>, trusted = 'unix'): Promise<Guarded> {
    const home = await mkdtemp(join(tmpdir(), `postern-guard-${name}-`))
    const { cert, private: key } = await generate([{ name: 'commonName', value: 'app.example.org' }], {
      algorithm: 'sha256',
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'app.example.org' }] }],
    })
    await writeFile(join(home, 'cert.pem'), cert)
    await writeFile(join(home, 'key.pem'), key)
    const socket = join(home, 'postern.sock')
    // Whom the catalog does not know, the second source would have to judge, and nobody is there.
    const down = await freePort()
    const server = await startServer({
      config: `trustedProxies: ["${trusted}"]\nidentity:\n  - catalog\n  - forward: { url: "http://127.0.0.1:${down}/", grants: ["rw:/**"] }\n`,
      args: ['--listen', `unix:${socket}`],
    })
    const service = await toyService(
      (_, response) => void response.writeHead(200, { 'x-service': 'yes' }).end('served'),
    )
    const port = await freePort()
    const { command, args, env } = await start({ home, socket, postern: server.port, port, service: service.port })
    const proxy = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    let said = ''
    for (const stream of [proxy.stdout, proxy.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
    const guarded = new Guarded(server, service, port, home, proxy)
    try {
      await eventually(`${name} answers`, async () => {
        if (proxy.exitCode !== null) throw new Error(`${name} ended: ${said}`)
        return (await guarded.ask('/')).status !== 0
      })
    } catch (error) {
      await guarded[Symbol.asyncDispose]()
      throw error
    }
    return guarded
  }

  /** Asks the proxy by its public name, with the path as it is. */
  async ask(
    path: string,
    ...args: readonly string[]
  ): Promise<{ readonly status: number; readonly head: string; readonly heard: readonly Heard[] }> {
    this.service.heard.length = 0
    const where = [
      '--connect-to',
      `app.example.org:443:127.0.0.1:${this.port}`,
      '--connect-to',
      `app.example.org:${this.port}:127.0.0.1:${this.port}`,
    ]
    const url = `https://app.example.org:${this.port}${path}`
    const { stdout } = await run('curl', ['-sk', '-D', '-', '-o', '/dev/null', '--path-as-is', ...where, ...args, url])
    const head = stdout.trimEnd()
    return { status: Number(/^HTTP\/\S+ (\d+)/.exec(head)?.[1] ?? 0), head, heard: [...this.service.heard] }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#proxy.kill('SIGTERM')
    if (this.#proxy.exitCode === null) await new Promise((resolve) => this.#proxy.once('close', resolve))
    await this.server[Symbol.asyncDispose]()
    await this.service.stop()
    await rm(this.#home, { recursive: true, force: true })
  }
}

const identityHeaders = /^(?:remote|x-forwarded-user|x-auth-request)/i

function identityIn(heard: Heard | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(heard?.headers ?? {}).filter(([name, value]) => identityHeaders.test(name) && value !== ''),
  )
}

for (const [name, start, needs, trusted] of [
  ['nginx', nginx, ['program: nginx'], 'unix'],
  ['caddy', caddy, ['program: caddy'], 'unix'],
  ['apache', apache, ['program: apache2', 'file: /usr/share/lua/5.3/socket/http.lua'], '127.0.0.1'],
] as const)
  describeForeign(`a service behind ${name}`, [...needs, 'program: curl'], () => {
    let guarded: Guarded
    let alice: readonly string[]

    beforeAll(async () => {
      guarded = await Guarded.open(name, start, trusted)
      const [user, password] = await guarded.server.addUser(
        'alice',
        'r:/app/public/**',
        'rw:/app/alice/**',
        'rw:/files/**',
      )
      alice = ['-u', `${user}:${password}`]
    })
    afterAll(async () => guarded[Symbol.asyncDispose]())

    it('is not reached without a login, nor with a wrong one, and a login is asked for', async () => {
      for (const args of [[], ['-u', 'alice:wrong'], ['-H', 'Authorization: Nonsense'], ['-H', 'Remote-User: admin']]) {
        const { status, head, heard } = await guarded.ask('/public/a', ...args)
        expect([status, heard]).toEqual([401, []])
        expect(head).toMatch(/^www-authenticate: Basic realm="Postern"/im)
      }
    })

    it('is reached by whom a grant lets in, and told who that is', async () => {
      const { status, heard } = await guarded.ask('/public/a%20b?x=1', ...alice)
      expect([status, heard[0]?.method, heard[0]?.url]).toEqual([200, 'GET', '/public/a%20b?x=1'])
      expect(identityIn(heard[0])).toEqual({ 'remote-user': 'alice' })
      for (const secret of ['authorization', 'x-api-key', 'x-api-secret'])
        expect(heard[0]?.headers[secret] ?? '').toBe('')
    })

    it.each([
      ['PUT', '/alice/a', 200],
      ['DELETE', '/alice/a', 200],
      ['POST', '/alice/a', 200],
      ['PUT', '/public/a', 403],
      ['DELETE', '/public/a', 403],
      ['POST', '/public/a', 403],
      ['GET', '/', 403],
      ['GET', '/bob/a', 403],
      ['GET', '/files/a', 403],
      ['BREW', '/alice/a', 403],
    ])('%s %s: %i', async (method, path, status) => {
      const asked = await guarded.ask(path, ...alice, '-X', method, ...(method === 'GET' ? [] : ['-d', 'body']))
      expect([asked.status, asked.heard.length]).toEqual([status, status === 200 ? 1 : 0])
    })

    it.each([
      '/public/../bob/a',
      '/public/%2e%2e/bob/a',
      '/public/..%2fbob/a',
      '/public/%5c..%5cbob',
      '/public/..;/bob/a',
      '/public/%252e%252e/bob/a',
      '/public/%00',
      '//public/../bob',
      '/public-other/a',
      '/-/users',
    ])('no path leads out: %s', async (path) => {
      const { status, heard } = await guarded.ask(path, ...alice)
      expect([400, 403, 404]).toContain(status)
      expect(heard).toEqual([])
    })

    it('nobody says who they are by themselves', async () => {
      for (const header of [
        'Remote-User: admin',
        'remote-user: admin',
        'REMOTE-USER: admin',
        'Remote_User: admin',
        'REMOTE_USER: admin',
        'Remote-Groups: admins',
        'Remote_Groups: admins',
      ]) {
        const { status, heard } = await guarded.ask('/public/a', ...alice, '-H', header)
        expect([header, status, identityIn(heard[0])]).toEqual([header, 200, { 'remote-user': 'alice' }])
        const twice = await guarded.ask('/public/a', ...alice, '-H', header, '-H', header)
        expect([header, identityIn(twice.heard[0])]).toEqual([header, { 'remote-user': 'alice' }])
      }
    })

    it('nobody says by themselves what they ask for', async () => {
      for (const headers of [
        ['X-Original-URI: /public/a', 'X-Original-Method: GET'],
        ['X-Forwarded-Uri: /public/a', 'X-Forwarded-Method: GET'],
        ['X_Original_URI: /public/a', 'X_Forwarded_Uri: /public/a'],
        [
          'X-Original-URI: /public/a',
          'X-Forwarded-Uri: /public/a',
          'X-Original-Method: GET',
          'X-Forwarded-Method: GET',
        ],
        ['X-Rewrite-URL: /public/a', 'X-Original-URL: /public/a', 'X-HTTP-Method-Override: GET'],
      ]) {
        const { status, heard } = await guarded.ask(
          '/bob/a',
          ...alice,
          '-X',
          'PUT',
          ...headers.flatMap((line) => ['-H', line]),
        )
        expect([headers, status, heard]).toEqual([headers, 403, []])
      }
    })

    it('a source that is down is 503, and says when to come again', async () => {
      const { status, head, heard } = await guarded.ask('/public/a', '-u', 'carol:x')
      expect([status, heard]).toEqual([503, []])
      expect(head).toMatch(/^retry-after: \d+/im)
    })

    it('a key is as good as a password, until it is revoked', async () => {
      const issued = await guarded.server.cli(['key', 'issue', 'app', '--grant', 'r:/app/**', '--json'])
      const { id, secret } = JSON.parse(issued.stdout) as { readonly id: string; readonly secret: string }
      const key = ['-H', `X-Api-Key: ${id}`, '-H', `X-Api-Secret: ${secret}`]
      const { status, heard } = await guarded.ask('/bob/a', ...key)
      expect([status, heard[0]?.headers['x-api-secret'] ?? '']).toEqual([200, ''])
      expect((await guarded.ask('/bob/a', ...key, '-X', 'DELETE')).status).toBe(403)
      expect((await guarded.server.cli(['key', 'revoke', id])).code).toBe(0)
      expect((await guarded.ask('/bob/a', ...key)).status).not.toBe(200)
    })

    it('whoever guesses waits', async () => {
      const bob = await guarded.server.addUser('bob', 'rw:/app/**')
      const answers = new Set<number>()
      for (let at = 0; at < 12; at++) answers.add((await guarded.ask('/bob', '-u', `bob:guess ${at}`)).status)
      const { status, head, heard } = await guarded.ask('/bob', '-u', bob.join(':'))
      expect([...answers, status, heard]).toEqual([401, 429, 429, []])
      expect(head).toMatch(/^retry-after: \d+/im)
    })

    // Apache asks from the address that this test would come from.
    if (trusted === 'unix')
      it('only a trusted proxy is told anything', async () => {
        const dave = await guarded.server.addUser('dave', 'rw:/**')
        const answer = await fetch(`${guarded.server.url}/-/auth`, {
          headers: { authorization: basic(dave), 'x-original-uri': '/app/a', 'x-original-method': 'GET' },
        })
        expect([answer.status, answer.headers.get('remote-user')]).toEqual([403, null])
      })
  })

describeForeign('the nginx of a PutFS user', ['program: nginx', 'program: curl'], () => {
  // As its manual has it, but for whom /auth asks.
  const site = ({ home, socket, port, service }: Place): string => `
server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${home}/cert.pem;
    ssl_certificate_key ${home}/key.pem;
    location = /auth {
        internal;
        proxy_pass http://unix:${socket}:/-/auth;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header X-Original-URI $request_uri;
        proxy_set_header X-Original-Method $request_method;
    }
    location / {
        auth_request /auth;
        proxy_pass http://127.0.0.1:${service};
    }
}`
  let guarded: Guarded
  let key: readonly string[]

  beforeAll(async () => {
    guarded = await Guarded.open('putfs', (place) => nginxWith(site(place), place))
    const grants = ['--grant', 'r:/acme/**', '--grant', 'rw:/acme/invoices/**']
    const issued = await guarded.server.cli(['key', 'issue', 'acme', ...grants, '--json'])
    const { id, secret } = JSON.parse(issued.stdout) as { readonly id: string; readonly secret: string }
    key = ['-H', `X-Api-Key: ${id}`, '-H', `X-Api-Secret: ${secret}`]
  })
  afterAll(async () => guarded[Symbol.asyncDispose]())

  it.each([
    ['GET', '/acme/a', 200],
    ['GET', '/acme/', 200],
    ['PUT', '/acme/invoices/1.pdf', 200],
    ['DELETE', '/acme/invoices/1.pdf', 200],
    ['PUT', '/acme/a', 403],
    ['GET', '/other/a', 403],
    ['PUT', '/acme/invoices/../a', 403],
    ['PUT', '/acme/invoices/%2e%2e/a', 403],
    ['PUT', '/acme/invoices%2f..%2fa', 403],
    ['GET', '/acme-other/a', 403],
  ])('%s %s: %i', async (method, path, status) => {
    const asked = await guarded.ask(path, ...key, '-X', method, ...(method === 'PUT' ? ['-d', 'body'] : []))
    expect([asked.status, asked.heard.length]).toEqual([status, status === 200 ? 1 : 0])
  })

  it('a client that adds the headers of other proxies gains nothing', async () => {
    const forged = ['-H', 'X-Forwarded-Uri: /acme/invoices/1', '-H', 'X-Forwarded-Method: GET']
    expect((await guarded.ask('/other/a', ...key, ...forged)).heard).toEqual([])
  })

  it('no key, or half of one, is 401', async () => {
    expect((await guarded.ask('/acme/a')).status).toBe(401)
    expect((await guarded.ask('/acme/a', ...key.slice(0, 2))).status).toBe(401)
  })
})

describe('the recipe for Traefik', () => {
  it('names what Postern answers with, and nothing that a client could have sent', async () => {
    const text = await configuration('traefik/postern.yml', { 'http://127.0.0.1:8080/-/auth?prefix=/app': 'x' })
    for (const header of ['Remote-User', 'Remote-Groups']) expect(text).toContain(`- ${header}\n`)
    for (const header of ['Remote_User', 'Remote_Groups']) expect(text).toContain(`${header}: ''`)
    expect(text).toContain('trustForwardHeader: false')
  })
})
