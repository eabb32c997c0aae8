import { createHash } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeFile, openPrivsepSite } from '../foreign/privsep-site.js'
import type { PrivsepSite } from '../foreign/privsep-site.js'
import type { Caller, RequestOptions } from '../harness.js'
import { canStartAsOthers } from '../other-users.js'
import { signedRequest } from '../s3-signer.js'
import { idsOf } from '../unix-users.js'

const token = 'a-token-of-the-configuration'
const sha = (name: string, text: string, form: 'base64' | 'hex' = 'base64'): string =>
  createHash(name).update(text).digest(form)

/** The keys of PutFS with one that may do all below /all, and the way of its links. */
const keysConf = `
map "$http_x_api_key:$http_x_api_secret" $key_ok { default 0; "PUTFS_key:secret-of-the-key" 1; }
map "$http_x_api_key:$request_method:$request_uri" $auth_ok { default 0; "~^PUTFS_key:[^:]+:/all/" 1; }
map "$uri:$key_ok:$auth_ok" $deny { default 1; "~^/_/dl/" 0; "~:1:1$" 0; }
map $arg_key $key_secret { default ""; "PUTFS_key" "secret-of-the-key"; }
`

const shownBy = ({ stdout }: { readonly stdout: string }) => JSON.parse(stdout) as { id: string; secret: string; token: string } // prettier-ignore

describe.skipIf(!canStartAsOthers())('whom a caller acts as (for root only)', () => {
  let site: PrivsepSite
  /** Of the system; whom nobody logs in as. */
  let visitor: string
  let front: number

  beforeAll(async () => {
    const config: Record<string, unknown> = {
      anonymous: { grants: ['rw:/all/**', 'r:/**'], unixUser: '' },
      log: { level: 'debug' },
      privsep: { umask: '027' },
    }
    site = await openPrivsepSite({
      config,
      prepare: ({ users, alice, bob, root, folder, service }) => {
        visitor = users.addWithHome(folder, 'visitor', 'is never shown').name
        const [frontUser, authUser] = [users.add('front', 'no login'), users.add('auth', 'no login')]
        front = idsOf(frontUser).uid
        // What it reads is not for all.
        const ofAuth = idsOf(authUser)
        makeFile(join(folder, 'htpasswd'), ofAuth, 0o600, `${bob.name}:{SHA}${sha('sha1', 'password of the file')}\n`)
        makeFile(join(folder, 'keys.conf'), ofAuth, 0o600, keysConf)
        mkdirSync(join(folder, 's3-keys'), { mode: 0o700 })
        makeFile(join(folder, 's3-keys/AKIAOFAFILE'), ofAuth, 0o600, 'secret of the S3 key:all/*\n')
        chownSync(join(folder, 's3-keys'), ofAuth.uid, ofAuth.gid)
        mkdirSync(join(folder, 'plain'))
        chownSync(join(folder, 'plain'), front, idsOf(frontUser).gid)
        const all = { grants: ['rw:/**'] }
        Object.assign(config, {
          anonymous: { grants: ['rw:/all/**', 'r:/**'], unixUser: visitor },
          mounts: [
            { path: '/', local: root },
            { path: '/plain', local: join(folder, 'plain'), privsep: false },
          ],
          identity: [
            'catalog',
            { htpasswd: { file: join(folder, 'htpasswd'), ...all, unixUser: '{user}' } },
            { tokens: [{ name: 'sensor', sha256: sha('sha256', token), ...all, unixUser: alice.name }] },
            { 's3-keys': { directory: join(folder, 's3-keys'), unixUser: bob.name } },
            { 'putfs-keys': { file: join(folder, 'keys.conf'), unixUser: alice.name } },
            { pam: { service, ...all } },
          ],
          privsep: { umask: '027', user: frontUser, authUser },
        })
      },
    })
    const { server, alice } = site
    const made = await server.cli(['user', 'add', 'own', '--grant', 'rw:/**', '--unix-user', alice.name, '--password-stdin'], 'password of own\n') // prettier-ignore
    expect(made.code, made.stderr).toBe(0)
    await server.addUser('unnamed', 'rw:/**')
    server.useSecret(token)
    server.useSecret('secret-of-the-key')
    server.useSecret('secret of the S3 key')
  })

  afterAll(() => site.dispose())

  /** Puts a file of that name and gives whose it is. */
  async function owned(name: string, options: RequestOptions): Promise<string> {
    const { status, text } = await site.server.request('PUT', `/all/${name}`, { body: 'x', ...options })
    expect([200, 201], text).toContain(status)
    const { mode, uid, gid } = statSync(join(site.root, 'all', name))
    const { alice, bob } = site
    const who = [alice, bob, { name: visitor, ...idsOf(visitor) }].find((each) => each.uid === uid)
    return `${(mode & 0o7777).toString(8)} ${who?.name ?? uid} ${gid === who?.gid}`
  }

  const mode = '640'

  it('is the user named for an account of the catalog, also by its keys and tokens', async () => {
    const { server, alice } = site
    const of = `${mode} ${alice.name} true`
    expect(await owned('catalog', { as: ['own', 'password of own'] })).toBe(of)
    const key = shownBy(await server.cli(['key', 'issue', 'own', '--grant', 'rw:/all/**', '--json'])) // prettier-ignore
    expect(await owned('key', { as: null, headers: { 'X-Api-Key': key.id, 'X-Api-Secret': key.secret } })).toBe(of)
    const bearer = shownBy(await server.cli(['token', 'create', 'own', '--grant', 'rw:/all/**', '--json'])) // prettier-ignore
    expect(await owned('bearer', { as: null, headers: { Authorization: `Bearer ${bearer.token}` } })).toBe(of)
    // Another user from the next login on; who is remembered is the old one until then.
    const { bob } = site
    expect((await server.cli(['user', 'unix-user', 'own', bob.name])).code).toBe(0)
    expect((await server.cli(['sessions', 'close', alice.name])).code).toBe(0)
    expect(await owned('another', { as: ['own', 'password of own'] })).toBe(`${mode} ${bob.name} true`)
  })

  it('is nobody once the account is disabled and its session closed', async () => {
    const { server, bob } = site
    expect((await server.cli(['user', 'add', 'brief', '--grant', 'rw:/**', '--unix-user', bob.name, '--password-stdin'], 'password of brief\n')).code).toBe(0) // prettier-ignore
    const as: Caller = ['brief', 'password of brief']
    expect((await server.request('GET', '/all/', { as })).status).toBe(200)
    expect((await server.cli(['user', 'disable', 'brief'])).code).toBe(0)
    expect((await server.cli(['sessions', 'close', bob.name])).code).toBe(0)
    expect((await server.request('GET', '/all/', { as })).status).toBe(401)
  })

  it('is the user of the same name for a file of passwords with "{user}"', async () => {
    const { bob } = site
    expect(await owned('htpasswd', { as: [bob.name, 'password of the file'] })).toBe(`${mode} ${bob.name} true`)
  })

  it('is the user of PAM', async () => {
    const { alice } = site
    expect(await owned('pam', { as: [alice.name, alice.password] })).toBe(`${mode} ${alice.name} true`)
  })

  it('is the user named for tokens, for S3 keys and for keys of PutFS', async () => {
    const { server, alice, bob } = site
    expect(await owned('token', { as: null, headers: { Authorization: `Bearer ${token}` } })).toBe(`${mode} ${alice.name} true`) // prettier-ignore
    expect(await owned('putfs', { as: null, headers: { 'X-Api-Key': 'PUTFS_key', 'X-Api-Secret': 'secret-of-the-key' } })).toBe(`${mode} ${alice.name} true`) // prettier-ignore
    const key = { id: 'AKIAOFAFILE', secret: 'secret of the S3 key' }
    const { headers } = signedRequest({ key, method: 'PUT', path: '/all/s3', host: `127.0.0.1:${server.port}`, body: 'x' }) // prettier-ignore
    expect(await owned('s3', { as: null, headers })).toBe(`${mode} ${bob.name} true`)
    // No way into what is another's.
    const read = signedRequest({ key, path: '/all/token', host: `127.0.0.1:${server.port}` })
    expect((await server.request('GET', '/all/token', { as: null, headers: read.headers })).status).toBe(403)
  })

  it('is, for a signed link, the user of the key that signed it', async () => {
    const { server, root, alice, bob } = site
    makeFile(join(root, 'all/linked'), alice, 0o600, 'linked')
    makeFile(join(root, 'all/shut'), bob, 0o600, 'shut')
    const link = (path: string): string => {
      const expires = Math.floor(Date.now() / 1000) + 60
      const signed = createHash('md5').update(`${expires}GET${path}127.0.0.1 secret-of-the-key`).digest('base64url')
      return `${path}?token=${signed}&expires=${expires}&key=PUTFS_key`
    }
    const get = (path: string) => server.request('GET', link(path), { as: null })
    expect((await get('/_/dl/all/linked')).text).toBe('linked')
    expect((await get('/_/dl/all/shut')).status).toBe(403)
  })

  it('is, for anybody, the user named for those without a login', async () => {
    const { server, root, alice } = site
    expect(await owned('anonymous', { as: null })).toBe(`${mode} ${visitor} true`)
    makeFile(join(root, 'all/open'), alice, 0o644, 'open')
    makeFile(join(root, 'all/group'), alice, 0o640, 'group')
    expect((await server.request('GET', '/all/open', { as: null })).text).toBe('open')
    // Refused by the kernel after the grants have let it in: a login may help.
    expect([401, 403]).toContain((await server.request('GET', '/all/group', { as: null })).status)
  })

  it('is nobody without a name: 403 with the reason, but for what is not separated', async () => {
    const { server, root, folder } = site
    const as: Caller = ['unnamed', 'password of unnamed']
    for (const [method, body] of [['GET'], ['PUT', 'x'], ['DELETE'], ['PROPFIND'], ['MKCOL']] as const) {
      const answer = await server.request(method, '/all/unnamed', { as, ...(body !== undefined && { body }) })
      expect(answer.status, method).toBe(403)
      expect(answer.text, method).toMatch(/acts as no Unix user/)
    }
    expect(existsSync(join(root, 'all/unnamed'))).toBe(false)
    expect((await server.request('PUT', '/plain/f', { as, body: 'plain' })).status).toBe(201)
    expect((await server.request('GET', '/plain/f', { as })).text).toBe('plain')
    expect(statSync(join(folder, 'plain/f')).uid).toBe(front)
    expect(readFileSync(join(folder, 'plain/f'), 'utf8')).toBe('plain')
    // From there no way leads to where it is nobody.
    const to = { Destination: `${server.url}/all/unnamed` }
    expect((await server.request('COPY', '/plain/f', { as, headers: to })).status).toBe(403)
    expect((await server.request('MOVE', '/plain/f', { as, headers: to })).status).toBe(403)
    expect((await server.request('GET', '/plain/f', { as })).status).toBe(200)
  })

  it('takes along what it may between what is separated and what is not', async () => {
    const { server, root, alice } = site
    const as: Caller = [alice.name, alice.password]
    makeFile(join(root, 'all/across'), alice, 0o600, 'across')
    const to = (path: string) => ({ as, headers: { Destination: `${server.url}${path}` } })
    expect((await server.request('COPY', '/all/across', to('/plain/across'))).status).toBe(201)
    expect((await server.request('MOVE', '/plain/across', to('/all/back'))).status).toBe(201)
    expect([statSync(join(root, 'all/back')).uid, readFileSync(join(root, 'all/back'), 'utf8')]).toEqual([alice.uid, 'across']) // prettier-ignore
  })
})

describe.skipIf(!canStartAsOthers())('a mount with a directory for each Unix user (for root only)', () => {
  let site: PrivsepSite

  beforeAll(async () => {
    const config: Record<string, unknown> = { mounts: [], anonymous: { grants: ['r:/**'] } }
    site = await openPrivsepSite({
      config,
      catalog: 'catalog',
      prepare: ({ folder, alice, bob }) => {
        for (const user of [alice, bob]) {
          for (const path of [join(folder, 'spool', user.name), join(user.home, 'files')]) {
            mkdirSync(path, { recursive: true })
            chownSync(path, user.uid, user.gid)
          }
          makeFile(join(user.home, 'files/f'), user, 0o600, `home of ${user.name}`)
          // Everybody on the machine may read it; over the server nobody sees it but its user.
          makeFile(join(folder, 'spool', user.name, 'f'), user, 0o644, `spool of ${user.name}`)
        }
        writeFileSync(join(folder, 'spool/loose'), 'loose')
        mkdirSync(join(folder, 'plain'))
        writeFileSync(join(folder, 'plain/f'), 'plain')
        config.mounts = [
          { path: '/homes', local: '{home}/files' },
          { path: '/spool', local: join(folder, 'spool/{user}') },
          { path: '/plain', local: join(folder, 'plain'), privsep: false },
        ]
      },
    })
  })

  afterAll(() => site.dispose())

  it('has them where the pattern says, the first as the home that its user sees as the root', async () => {
    const { alice, ask } = site
    expect((await ask(alice, 'GET', '/f')).text).toBe(`home of ${alice.name}`)
    expect((await ask(alice, 'PUT', '/new', { body: 'new' })).status).toBe(201)
    expect(statSync(join(alice.home, 'files/new')).uid).toBe(alice.uid)
    const listing = await ask(alice, 'GET', '/', { headers: { Accept: 'application/json' } })
    expect(listing.text).toContain('"new"')
    expect(listing.text).not.toMatch(/homes|spool|plain/)
  })

  it('has those of others nowhere, readable as they may be', async () => {
    const { alice, bob, users, ask, server } = site
    const made = await server.cli(['user', 'add', 'everywhere', '--grant', 'rw:/**', '--home', '/', '--unix-user', alice.name, '--password-stdin'], 'password of everywhere\n') // prettier-ignore
    expect(made.code, made.stderr).toBe(0)
    const as: Caller = ['everywhere', 'password of everywhere']
    const get = (path: string) => server.request('GET', path, { as })
    expect((await get(`/spool/${alice.name}/f`)).text).toBe(`spool of ${alice.name}`)
    expect((await get(`/homes/${alice.name}/f`)).text).toBe(`home of ${alice.name}`)
    expect((await get('/plain/f')).text).toBe('plain')
    for (const path of [`/spool/${bob.name}/f`, `/spool/${bob.name}/`, `/homes/${bob.name}/f`, '/spool/loose', '/spool/../plain/f'])
      expect([400, 403, 404], path).toContain((await get(path)).status)
    const depth = { headers: { Depth: 'infinity' } }
    const seen = (await server.request('PROPFIND', '/', { as, ...depth })).text
    expect(seen).toContain(`/spool/${alice.name}/f`)
    for (const hidden of [bob.name, 'loose']) expect(seen).not.toContain(hidden)
    // Nor does a name of another come to be by writing there.
    for (const path of [`/spool/${bob.name}/put`, `/spool/${users.nameOf('nobody')}/put`, '/spool/put'])
      expect([403, 404, 405, 409], path).toContain((await server.request('PUT', path, { as, body: 'x' })).status)
    expect((await ask(bob, 'GET', '/f')).text).toBe(`home of ${bob.name}`)
  }) // prettier-ignore

  it('has none for whoever acts as nobody, with a login or without', async () => {
    const { server, alice } = site
    const unnamed = await server.addUser('unnamed', 'rw:/**')
    for (const as of [unnamed, null]) {
      for (const path of [`/homes/${alice.name}/f`, `/spool/${alice.name}/f`])
        expect([401, 403, 404], path).toContain((await server.request('GET', path, { as })).status)
      expect((await server.request('GET', '/plain/f', { as })).text).toBe('plain')
    }
  })
})
