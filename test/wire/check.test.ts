import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'
import type { Server } from '../harness.js'

let folder = ''
let server: Server

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-check-'))
  const sha1 = createHash('sha1').update('a password').digest('base64')
  writeFileSync(join(folder, 'htpasswd'), `alice:{SHA}${sha1}\nbob:{SHA}${sha1}\nold:not a hash\n`, { mode: 0o600 })
  const keys = `
map "$http_x_api_key:$http_x_api_secret" $key_ok { default 0; "PUTFS_a:0123456789abcdef" 1; }
map "$http_x_api_key:$request_method:$request_uri" $auth_ok { default 0; "~^PUTFS_a:(GET|HEAD):/acme/" 1; }
`
  writeFileSync(join(folder, 'keys.conf'), keys, { mode: 0o600 })
  mkdirSync(join(folder, 's3'), { mode: 0o700 })
  writeFileSync(join(folder, 's3', 'AKIATEST'), 'fedcba9876543210:/backup/**\n', { mode: 0o600 })
  const hash = createHash('sha256').update('of a sensor').digest('base64')
  const config = `
identity:
  - catalog
  - htpasswd: { file: ${folder}/htpasswd, home: "/home/{user}", grants: ["rw:/home/{user}/**"] }
  - putfs-keys: { file: ${folder}/keys.conf }
  - s3-keys: { directory: ${folder}/s3 }
  - tokens:
      - { name: sensor, sha256: "${hash}", grants: ["create:/inbox/**"], expires: "2020-01-01" }
      - { name: sensor, sha256: "${hash.replace(/^../, 'AA')}", grants: ["create:/inbox/**"] }
  - forward: { url: "http://127.0.0.1:1/auth", grants: ["r:/**"] }
`
  server = await startServer({ config })
  await server.addUser('alice', 'r:/acme/**')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

interface Shown {
  readonly allowed: boolean
  readonly callers: readonly Readonly<Record<string, unknown>>[]
  readonly silent: readonly string[]
  readonly down: Readonly<Record<string, string>>
}

const check = (...args: readonly string[]) => server.cli(['check', ...args, '--config', server.configFile])

async function shown(...args: readonly string[]): Promise<Shown> {
  const { stdout, stderr } = await check('--json', '--as', ...args)
  expect(stderr).toBe('')
  return JSON.parse(stdout) as Shown
}

describe('postern check --as', () => {
  it('asks every source, and says which of them decides', async () => {
    const done = await check('--as', 'alice', 'GET', '/acme/x')
    expect(done.stdout.split('\n')).toEqual([
      'catalog: alice',
      '  read (GET of a file): by r:/acme/** of catalog',
      '  list (GET of a collection): by r:/acme/** of catalog',
      'GET /acme/x as alice: allowed',
      'htpasswd: alice',
      '  at home in /home/alice: /acme/x is /home/alice/acme/x',
      '  read (GET of a file): by rw:/home/alice/** of htpasswd',
      '  list (GET of a collection): by rw:/home/alice/** of htpasswd',
      'GET /acme/x as alice: allowed',
      'Several sources know alice: with a password it is the first, catalog.',
      '',
    ])
    expect(done.code).toBe(0)
  })

  it('tells of homes, of names that can have none, and of hashes that let nobody in', async () => {
    expect(await shown('bob', 'PUT', '/notes')).toMatchObject({
      allowed: true,
      silent: ['forward'],
      callers: [{ source: 'htpasswd', what: 'user', home: '/home/bob', path: '/home/bob/notes' }],
    })
    const old = await shown('old', 'GET', '/')
    expect(old).toMatchObject({ allowed: false, callers: [{ refused: 'its hash is not understood', rights: [] }] })
  })

  it('explains keys and tokens by id or name', async () => {
    const made = await server.cli(['key', 'issue', 'reports', '--grant', 'r:/acme/**', '--json'])
    const { id } = JSON.parse(made.stdout) as { id: string }
    for (const name of [id, 'reports'])
      expect(await shown(name, 'GET', '/acme/x')).toMatchObject({ allowed: true, callers: [{ source: 'catalog', what: 'key', id }] }) // prettier-ignore
    await server.cli(['token', 'create', 'alice', '--grant', 'r:/other/**'])
    await server.cli(['user', 'disable', 'alice'])
    const { callers } = await shown('alice', 'GET', '/other/x')
    expect(callers.map(({ source, what, refused }) => [source, what, refused])).toEqual([
      ['catalog', 'user', 'it is disabled; "postern user enable alice" lets it in'],
      ['catalog', 'token', 'alice is disabled'],
      ['htpasswd', 'user', undefined],
    ])
    await server.cli(['user', 'enable', 'alice'])
    expect(await shown('PUTFS_a', 'GET', '/acme/x')).toMatchObject({ allowed: true, callers: [{ what: 'key' }] })
    expect(await shown('PUTFS_a', 'PUT', '/acme/x')).toMatchObject({ allowed: false })
    expect(await shown('AKIATEST', 'GET', '/backup/x')).toMatchObject({ allowed: true, callers: [{ what: 'S3 key' }] })
    expect(await shown('sensor', 'PUT', '/inbox/x')).toMatchObject({
      callers: [
        { what: 'token', refused: 'it has expired (2020-01-01)' },
        { what: 'token', allowed: true },
      ],
    })
  })

  it('says who might still know a name that nobody knows, and which source is down', async () => {
    const nobody = await check('--as', 'nobody', 'GET', '/')
    expect(nobody).toMatchObject({ code: 1, stdout: expect.stringMatching(/No source knows "nobody"\..*\nforward: what a caller may do shows only with/s) as string }) // prettier-ignore
    writeFileSync(join(folder, 'gone.yaml'), `identity: [{ htpasswd: { file: ${folder}/gone, grants: ["r:/**"] } }]\n`)
    const gone = await server.cli(['check', '--as', 'x', 'GET', '/', '--config', join(folder, 'gone.yaml')])
    expect(gone).toMatchObject({ code: 1, stdout: expect.stringContaining('htpasswd cannot be asked, so its callers get a 503: ENOENT') as string }) // prettier-ignore
  })
})

it('postern check tries each source and says in words what is wrong', async () => {
  const { code, stdout } = await check()
  expect(code).toBe(0)
  expect(stdout).toMatch(/htpasswd: .* has 3 users, 1 of them with a hash that is not understood: give them a new password/) // prettier-ignore
  expect(stdout).toMatch(/putfs-keys: .* has 1 keys/)
  expect(stdout).toMatch(/s3-keys: .* has 1 files/)
  expect(stdout).toMatch(/tokens: 2 tokens; refused because their time is over: sensor/)
  expect(stdout).toMatch(/forward: the service does not answer, so callers get a 503: .*ECONNREFUSED/)
  writeFileSync(join(folder, 'pam.yaml'), 'identity: [{ pam: { service: no-such-service, grants: ["r:/**"] } }]\n')
  const pam = await server.cli(['check', '--config', join(folder, 'pam.yaml')])
  expect(pam).toMatchObject({ code: 2, stderr: expect.stringMatching(/^identity\.pam/) as string })
  writeFileSync(
    join(folder, 'oidc.yaml'),
    'identity: [{ oidc: { issuer: "http://127.0.0.1:1", audience: postern } }]\n',
  )
  const oidc = await server.cli(['check', '--config', join(folder, 'oidc.yaml')])
  expect(oidc.stdout).toMatch(/oidc: the issuer does not tell its keys, so its tokens get a 503: .*Look at issuer/)
})
