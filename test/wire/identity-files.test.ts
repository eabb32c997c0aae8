import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Caller, Server } from '../harness.js'
import { startServer } from '../harness.js'

const docs = readFileSync(new URL('../../docs/identity.md', import.meta.url), 'utf8')

/** The configuration that docs/identity.md gives under a heading, with its files in a folder. */
function recipe(heading: string, folder: string): string {
  const [, section = ''] = docs.split(`\n## ${heading}: `)
  const found = /```yaml\n([^]*?)```/.exec(section.split('\n## ')[0] ?? '')?.[1]
  if (found === undefined) throw new Error(`docs/identity.md has no recipe under ${heading}`)
  return found.replaceAll('./', `${folder}/`)
}

const folders: string[] = []

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-identity-'))
  folders.push(folder)
  return folder
}

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const sha1 = (password: string): string => `{SHA}${createHash('sha1').update(password).digest('base64')}`
const made = (...options: readonly string[]): string =>
  execFileSync('openssl', ['passwd', ...options, 'right'], { encoding: 'utf8' }).trim()

describe('an htpasswd file under a running server', () => {
  const bcrypt = '$2y$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC'
  let server: Server
  let file: string

  beforeAll(async () => {
    const folder = newFolder()
    file = join(folder, 'htpasswd')
    const lines = [
      '# all kinds',
      `apr1:${made('-apr1')}`,
      `md5:${made('-1')}`,
      `sha256:${made('-5')}`,
      `sha512:${made('-6')}`,
      `sha1:${sha1('right')}\r`,
      `bcrypt:${bcrypt}`,
      `o'neill & söhne:${sha1('right')}`,
      `../up:${sha1('right')}`,
      `*:${sha1('right')}`,
      'plain:right',
      'absurd:$2y$31$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC',
      'rounds:$6$rounds=999999999$salt$' + 'z'.repeat(86),
    ]
    writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o640 })
    server = await startServer({ config: recipe('htpasswd', folder) })
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
  })

  const put = async (as: Caller, path: string): Promise<number> =>
    (await server.request('PUT', path, { as, body: 'x' })).status
  const get = async (as: Caller, path = '/shared/'): Promise<number> =>
    (await server.request('GET', path, { as })).status

  it.each([
    ['plain', 'right'],
    ['plain', ''],
    ['absurd', 'right'],
    ['rounds', 'right'],
    ['apr1', 'wrong'],
    ['sha512', ''],
    ['bcrypt', 'secret\0secret'],
    ['APR1', 'right'],
    ['apr1 ', 'right'],
    ['nobody', 'right'],
    ['../up', 'right'],
    ['*', 'right'],
    ['# all kinds', ''],
  ])('refuses %j with %j', async (name, password) => {
    expect(await get([name, password])).toBe(401)
  })

  it('names the lines that count for nothing, and no hash', async () => {
    expect(server.stderr()).toMatch(/counts for nothing/)
    expect(server.stderr()).not.toContain('Kj.WjD888ag3yxB')
    expect(server.stderr()).not.toMatch(/"[^"]*right[^"]*"/)
  })

  it('lets in every kind, each to its own home', async () => {
    for (const name of ['apr1', 'md5', 'sha256', 'sha512', 'sha1', "o'neill & söhne"]) {
      const home = `/home/${encodeURIComponent(name)}`
      mkdirSync(join(server.root, 'home', name), { recursive: true })
      expect([name, await put([name, 'right'], `${home}/f`)]).toEqual([name, 201])
      expect([name, await put([name, 'right'], '/home/f')]).toEqual([name, 403])
      expect([name, await put([name, 'right'], '/shared/f')]).toEqual([name, 403])
    }
    expect(await get(['bcrypt', 'secret'], '/home/')).toBe(200)
    expect(await get(['admin', server.adminPassword], '/')).toBe(200)
  })

  it('holds every edit to the very next request', async () => {
    mkdirSync(join(server.root, 'shared'), { recursive: true })
    for (const name of ['anna', 'bert', 'carl', 'dora', 'emil', 'fred']) {
      const save = (password: string): void => writeFileSync(file, `${name}:${sha1(password)}\n`)
      save('one')
      expect(await get([name, 'one'])).toBe(200)
      expect(await get([name, 'one'])).toBe(200)
      save('two')
      expect(await get([name, 'one'])).toBe(401)
      expect(await get([name, 'two'])).toBe(200)
    }
  })

  it.skipIf(spawnSync('htpasswd').error !== undefined)('is managed by Apache’s own program', async () => {
    execFileSync('htpasswd', ['-cbB', file, 'bob', 'one'], { stdio: 'pipe' })
    expect(await get(['bob', 'one'])).toBe(200)
    execFileSync('htpasswd', ['-b5', file, 'bob', 'two'], { stdio: 'pipe' })
    expect(await get(['bob', 'one'])).toBe(401)
    expect(await get(['bob', 'two'])).toBe(200)
    execFileSync('htpasswd', ['-D', file, 'bob'], { stdio: 'pipe' })
    expect(await get(['bob', 'two'])).toBe(401)
  })

  it('lets nobody in without the file, but asks the other sources, and again with it', async () => {
    writeFileSync(file, `alice:${sha1('right')}\n`)
    expect(await get(['alice', 'right'])).toBe(200)
    unlinkSync(file)
    const answer = await server.request('GET', '/shared/', { as: ['alice', 'right'] })
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBeDefined()
    expect(await get(['admin', server.adminPassword])).toBe(200)
    writeFileSync(file, `alice:${sha1('right')}\n`)
    expect(await get(['alice', 'right'])).toBe(200)
    truncateSync(file)
    expect(await get(['alice', 'right'])).toBe(401)
  })
})

describe('the keys.conf of PutFS under a running server', () => {
  let server: Server
  let file: string

  const older = (secret: string, scopes = '"~^PUTFS_abc123:[^:]+:/acme/" 1;'): string => `# keys.conf
map "$http_x_api_key:$http_x_api_secret" $key_ok {
    default                  0;
    "PUTFS_abc123:${secret}"   1;
    "PUTFS_xyz789:secret2"   1;
}
map "$http_x_api_key:$request_method:$request_uri" $auth_ok {
    default                                       0;
    ${scopes}
    "~^PUTFS_xyz789:(GET|HEAD):/acme/invoices/"   1;   # read-only, invoices
}
`
  const links = `
map "$uri:$key_ok:$auth_ok" $deny { default 1; "~^/_/dl/" 0; "~:1:1$" 0; }
map $arg_key $key_secret { default ""; "PUTFS_xyz789" "secret2"; }
`

  beforeAll(async () => {
    const folder = newFolder()
    file = join(folder, 'keys.conf')
    writeFileSync(file, older('secret1') + links, { mode: 0o600 })
    server = await startServer({ config: recipe('putfs-keys', folder) })
    mkdirSync(join(server.root, 'acme', 'invoices'), { recursive: true })
    writeFileSync(join(server.root, 'acme', 'invoices', '1.pdf'), 'one')
    writeFileSync(join(server.root, 'acme', 'plan'), 'plan')
    writeFileSync(join(server.root, 'other'), 'other')
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
  })

  async function by(key: string, secret: string, method: string, target: string): Promise<number> {
    const headers = { 'X-Api-Key': key, 'X-Api-Secret': secret }
    return (await server.request(method, target, { as: null, headers, body: method === 'PUT' ? 'x' : '' })).status
  }

  it.each([
    ['PUTFS_abc123', 'secret2', '/acme/plan'],
    ['PUTFS_abc123', 'SECRET1', '/acme/plan'],
    ['putfs_abc123', 'secret1', '/acme/plan'],
    ['PUTFS_abc123:', 'x', '/acme/plan'],
    ['PUTFS_abc123:GET:/', 'secret1', '/acme/plan'],
    ['nobody', 'secret1', '/acme/plan'],
  ])('does not know %s with %s', async (key, secret, target) => {
    expect(await by(key, secret, 'GET', target)).toBe(401)
  })

  it.each([
    ['PUTFS_abc123', 'secret1', 'GET', '/other', 403],
    ['PUTFS_abc123', 'secret1', 'GET', '/acme/../other', 400],
    ['PUTFS_abc123', 'secret1', 'GET', '/acme/%2e%2e/other', 400],
    ['PUTFS_abc123', 'secret1', 'GET', '/acme/..%2fother', 400],
    ['PUTFS_abc123', 'secret1', 'GET', '/acme%2f..%2fother', 400],
    ['PUTFS_abc123', 'secret1', 'GET', '//other?x=/acme/', 403],
    ['PUTFS_abc123', 'secret1', 'PUT', '/acme-other', 403],
    ['PUTFS_abc123', 'secret1', 'DELETE', '/acme', 403],
    ['PUTFS_xyz789', 'secret2', 'GET', '/acme/plan', 403],
    ['PUTFS_xyz789', 'secret2', 'PUT', '/acme/invoices/2.pdf', 403],
    ['PUTFS_xyz789', 'secret2', 'DELETE', '/acme/invoices/1.pdf', 403],
    ['PUTFS_xyz789', 'secret2', 'MKCOL', '/acme/invoices/new', 403],
  ])('keeps %s to its scope: %s %s %s is %s', async (key, secret, method, target, status) => {
    expect(await by(key, secret, method, target)).toBe(status)
  })

  it('serves what a key may do', async () => {
    expect(await by('PUTFS_abc123', 'secret1', 'PUT', '/acme/new/deep/file')).toBe(201)
    expect(await by('PUTFS_abc123', 'secret1', 'DELETE', '/acme/new/deep/file')).toBe(204)
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/')).toBe(200)
    expect(await by('PUTFS_abc123', 'secret1', 'PROPFIND', '/acme/')).toBe(207)
    expect(await by('PUTFS_xyz789', 'secret2', 'GET', '/acme/invoices/1.pdf')).toBe(200)
    expect(await by('PUTFS_xyz789', 'secret2', 'HEAD', '/acme/invoices/1.pdf')).toBe(200)
  })

  it('holds every edit to the very next request, and a save that is half done to none', async () => {
    const whole = older('secret3') + links
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/plan')).toBe(200)
    writeFileSync(file, whole.slice(0, whole.indexOf('"PUTFS_xyz789')))
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/plan')).toBe(200)
    writeFileSync(file, whole)
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/plan')).toBe(401)
    expect(await by('PUTFS_abc123', 'secret3', 'GET', '/acme/plan')).toBe(200)
    writeFileSync(file, older('secret1', '"~^PUTFS_abc123:GET:/else/" 1;') + links)
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/plan')).toBe(403)
    writeFileSync(file, older('secret1') + links)
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/plan')).toBe(200)
    unlinkSync(file)
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/plan')).toBe(503)
    writeFileSync(file, older('secret1') + links, { mode: 0o600 })
    expect(await by('PUTFS_abc123', 'secret1', 'GET', '/acme/plan')).toBe(200)
  })

  it('opens signed links, and says when one is over', async () => {
    const link = (path: string, secret: string, seconds = 60, method = 'GET'): string => {
      const expires = Math.floor(Date.now() / 1000) + seconds
      const signed = `${expires}${method}${path}127.0.0.1 ${secret}`
      const token = createHash('md5').update(signed).digest('base64url')
      return `${path}?token=${token}&expires=${expires}&key=PUTFS_xyz789`
    }
    const get = async (target: string): Promise<number> => (await server.request('GET', target, { as: null })).status
    const answer = await server.request('GET', link('/_/dl/acme/invoices/1.pdf', 'secret2'), { as: null })
    expect([answer.status, answer.body.toString()]).toEqual([200, 'one'])
    expect(await get(link('/_/dl/acme/invoices/1.pdf', 'secret2', -1))).toBe(410)
    expect(await get(link('/_/dl/acme/invoices/1.pdf', 'wrong', -1))).toBe(403)
    expect(await get(link('/_/dl/acme/invoices/1.pdf', ''))).toBe(403)
    expect(await get(link('/_/dl/acme/plan', 'secret2'))).toBe(403)
    expect(await get(link('/_/dl/acme/invoices/1.pdf', 'secret2', 60, 'PUT'))).toBe(403)
    expect(await get('/_/dl/acme/invoices/1.pdf')).toBe(403)
    expect(await get(link('/_/dl/acme/invoices/1.pdf', 'secret2').replace('PUTFS_xyz789', 'nobody'))).toBe(403)
    expect(server.stderr()).not.toMatch(/secret[123]|token=/)
  })
})

describe('a directory of S3 keys', () => {
  it('is taken as it is, and refused where everybody may write it', async () => {
    const folder = newFolder()
    mkdirSync(join(folder, 's3-keys'))
    writeFileSync(join(folder, 's3-keys', 'AKIAEXAMPLE'), 'secret:bucket/*\n', { mode: 0o600 })
    const server = await startServer({ config: recipe('s3-keys', folder) })
    const status = (await server.request('GET', '/')).status
    const stranger = (await server.request('GET', '/', { as: ['AKIAEXAMPLE', 'secret'] })).status
    await server[Symbol.asyncDispose]()
    expect([status, stranger]).toEqual([200, 401])
    mkdirSync(join(folder, 'open', 's3-keys'), { recursive: true })
    execFileSync('chmod', ['777', join(folder, 'open', 's3-keys')])
    await expect(startServer({ config: recipe('s3-keys', join(folder, 'open')) })).rejects.toThrow(
      /identity\.s3-keys\.directory: .*everybody on this host may write to it/,
    )
  })

  it.each([
    ['htpasswd', 'file'],
    ['putfs-keys', 'file'],
    ['s3-keys', 'directory'],
  ])('a source that is not there ends the start: %s', async (heading, key) => {
    await expect(startServer({ config: recipe(heading, join(newFolder(), 'nowhere')) })).rejects.toThrow(
      new RegExp(`identity\\.${heading}\\.${key}: `),
    )
  })
})
