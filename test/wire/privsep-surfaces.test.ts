import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { issueKey } from '../foreign/s3-site.js'
import { makeFile, openPrivsepSite } from '../foreign/privsep-site.js'
import type { PrivsepSite } from '../foreign/privsep-site.js'
import { canStartAsOthers } from '../other-users.js'
import type { Answer } from '../raw-http.js'
import { presignedRequest, sha256, signedRequest } from '../s3-signer.js'
import type { S3Key, S3Request, SentRequest } from '../s3-signer.js'
import type { UnixUser } from '../unix-users.js'

/** `status` with the code of S3. */
const outcomeOf = ({ status, text }: Answer): string => `${status} ${/<Code>([^<]*)</.exec(text)?.[1] ?? ''}`

const lockInfo = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>' // prettier-ignore
const property = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x:colour xmlns:x="urn:x">COLOUR</x:colour></D:prop></D:set></D:propertyupdate>' // prettier-ignore

describe.skipIf(!canStartAsOthers())('two Unix users of one server (for root only)', () => {
  let site: PrivsepSite
  let alice: UnixUser
  let bob: UnixUser
  const keys = new Map<string, S3Key>()

  beforeAll(async () => {
    // What is logged at this level is looked through for secrets at the end.
    site = await openPrivsepSite({ config: { log: { level: 'debug' } } })
    ;({ alice, bob } = site)
    for (const { name } of [alice, bob]) {
      const { accessKeyId, secretAccessKey } = await issueKey(site.server, name, 'rw:/**')
      keys.set(name, { id: accessKeyId, secret: secretAccessKey })
    }
  })

  afterAll(() => site.dispose())

  const onDisk = (path: string): string => join(site.root, path)

  /** `MODE` and whose it is. */
  function ownerOf(path: string): string {
    const { mode, uid, gid } = statSync(onDisk(path))
    const user = [alice, bob].find((each) => each.uid === uid)?.name ?? String(uid)
    const group = gid === site.team ? 'team' : ([alice, bob].find((each) => each.gid === gid)?.name ?? String(gid))
    return `${(mode & 0o7777).toString(8)} ${user}:${group}`
  }

  describe('over WebDAV', () => {
    const to = (path: string, more: Record<string, string> = {}): { headers: Record<string, string> } => ({
      headers: { Destination: `${site.server.url}${path}`, ...more },
    })

    it('what is made belongs to whoever made it, in the group of a shared folder', async () => {
      expect((await site.ask(alice, 'MKCOL', '/team/d')).status).toBe(201)
      expect((await site.ask(alice, 'PUT', '/team/d/f', { body: 'x' })).status).toBe(201)
      expect((await site.ask(bob, 'PUT', `/home/${bob.name}/f`, { body: 'x' })).status).toBe(201)
      expect([ownerOf('team/d'), ownerOf('team/d/f'), ownerOf(`home/${bob.name}/f`)]).toEqual([
        `2755 ${alice.name}:team`,
        `644 ${alice.name}:team`,
        `644 ${bob.name}:${bob.name}`,
      ])
    })

    it('a copy of the file of another belongs to whoever has copied it', async () => {
      const copied = `home/${alice.name}/copied.txt`
      expect((await site.ask(alice, 'COPY', '/bobs/open.txt', to(`/${copied}`))).status).toBe(201)
      expect([ownerOf(copied), readFileSync(onDisk(copied), 'utf8')]).toEqual([`644 ${alice.name}:${alice.name}`, 'open of bob']) // prettier-ignore
      expect((await site.ask(alice, 'COPY', '/bobs/private.txt', to(`/home/${alice.name}/stolen`))).status).toBe(403)
      expect(existsSync(onDisk(`home/${alice.name}/stolen`))).toBe(false)
    })

    it('nobody moves or removes the file of another in a sticky folder, nor puts one in its place', async () => {
      expect((await site.ask(bob, 'PUT', '/all/of-bob', { body: 'of bob' })).status).toBe(201)
      expect((await site.ask(alice, 'PUT', '/all/of-alice', { body: 'of alice' })).status).toBe(201)
      expect((await site.ask(alice, 'MOVE', '/all/of-bob', to('/all/taken'))).status).toBe(403)
      expect((await site.ask(alice, 'MOVE', '/all/of-alice', to('/all/of-bob', { Overwrite: 'T' }))).status).toBe(403)
      expect((await site.ask(alice, 'COPY', '/all/of-alice', to('/all/of-bob', { Overwrite: 'T' }))).status).toBe(403)
      expect((await site.ask(alice, 'DELETE', '/all/of-bob')).status).toBe(403)
      expect([readFileSync(onDisk('all/of-bob'), 'utf8'), ownerOf('all/of-bob')]).toEqual(['of bob', `644 ${bob.name}:${bob.name}`]) // prettier-ignore
      expect(readFileSync(onDisk('all/of-alice'), 'utf8')).toBe('of alice')
    })

    it('a tree with a folder that is shut to its mover arrives whole or not at all', async () => {
      expect((await site.ask(bob, 'MKCOL', '/team/tree')).status).toBe(201)
      expect((await site.ask(bob, 'PUT', '/team/tree/f', { body: 'f' })).status).toBe(201)
      expect((await site.ask(alice, 'MOVE', '/team/tree', to('/team/moved'))).status).toBe(201)
      expect([existsSync(onDisk('team/tree')), ownerOf('team/moved/f')]).toEqual([false, `644 ${bob.name}:team`])
      // Out of the shared folder she would have to empty it, which is bob's.
      const out = await site.ask(alice, 'MOVE', '/team/moved', to(`/home/${alice.name}/moved`))
      expect([201, 207, 403]).toContain(out.status)
      const [there, here] = [onDisk('team/moved/f'), onDisk(`home/${alice.name}/moved/f`)].map(existsSync)
      expect([there, here].filter(Boolean).length, `${out.status} ${out.text}`).toBeGreaterThan(0)
    })

    it('a lock on a free name makes the file of its owner, and keeps the name for them', async () => {
      const lock = await site.ask(alice, 'LOCK', '/team/reserved', { body: lockInfo })
      expect([lock.status, ownerOf('team/reserved')]).toEqual([201, `644 ${alice.name}:team`])
      expect((await site.ask(bob, 'PUT', '/team/reserved', { body: 'x' })).status).toBe(423)
      expect((await site.ask(bob, 'DELETE', '/team/reserved')).status).toBe(423)
      const own = await site.ask(alice, 'PUT', '/team/reserved', { body: 'hers', headers: { If: `(${lock.header('lock-token')})` } }) // prettier-ignore
      expect([204, 201]).toContain(own.status)
    })

    it('a property goes along with the file, and is shown and set by those who may read and write it', async () => {
      expect((await site.ask(alice, 'PUT', '/team/p', { body: 'p' })).status).toBe(201)
      expect((await site.ask(alice, 'PROPPATCH', '/team/p', { body: property })).status).toBe(207)
      expect((await site.ask(bob, 'MOVE', '/team/p', to('/team/q'))).status).toBe(201)
      const shown = async (user: UnixUser): Promise<string> =>
        (await site.ask(user, 'PROPFIND', '/team/q', { headers: { Depth: '0' } })).text
      expect(await shown(bob)).toContain('COLOUR')
      const changed = property.replace('COLOUR', 'OTHER')
      // Whoever may replace the file may say what it is like.
      expect((await site.ask(bob, 'PROPPATCH', '/team/q', { body: changed })).status).toBe(207)
      expect(await shown(alice)).toContain('OTHER')
    })
  })

  describe('over HTTP', () => {
    it('a range of the own file, large or small, and none of that of another', async () => {
      const large = Buffer.alloc(300_000, 'abcdefghij')
      makeFile(onDisk(`home/${bob.name}/large`), bob, 0o600, large.toString())
      makeFile(onDisk('bobs/large'), bob, 0o600, large.toString())
      const headers = { Range: 'bytes=200003-200006' }
      const own = await site.ask(bob, 'GET', `/home/${bob.name}/large`, { headers })
      expect([own.status, own.text, own.header('content-range')]).toEqual([206, 'defg', 'bytes 200003-200006/300000'])
      expect((await site.ask(bob, 'GET', '/bobs/private.txt', { headers: { Range: 'bytes=-3' } })).text).toBe('bob')
      for (const path of [`/home/${bob.name}/large`, '/bobs/large', '/bobs/private.txt']) {
        for (const method of ['GET', 'HEAD']) {
          const other = await site.ask(alice, method, path, { headers })
          // The kernel shows size and time of a file in a folder that may be walked.
          const isShown = method === 'HEAD' && path.startsWith('/bobs/')
          expect(isShown ? [200] : [403, 404], `${method} ${path}`).toContain(other.status)
          expect(other.text).not.toContain('defg')
        }
      }
    })

    it('a condition is judged by the file, and says nothing to whoever may not read it', async () => {
      const path = `/home/${bob.name}/versioned`
      const first = (await site.ask(bob, 'PUT', path, { body: 'one' })).header('etag')
      expect((await site.ask(bob, 'PUT', path, { body: 'two', headers: { 'If-Match': first } })).status).toBe(204)
      expect((await site.ask(bob, 'PUT', path, { body: 'three', headers: { 'If-Match': first } })).status).toBe(412)
      expect((await site.ask(bob, 'PUT', path, { body: 'three', headers: { 'If-None-Match': '*' } })).status).toBe(412)
      const right = (await site.ask(bob, 'HEAD', path)).header('etag')
      const answers = await Promise.all([right, first].map((etag) => site.ask(alice, 'PUT', path, { body: 'hers', headers: { 'If-Match': etag } }))) // prettier-ignore
      const [a, b] = answers.map(({ status, text }) => `${status} ${text}`)
      expect([403, 404, 409, 412]).toContain(answers[0]?.status)
      expect(a).toBe(b)
      expect(readFileSync(onDisk(path), 'utf8')).toBe('two')
    })

    it.each(['application/json', 'text/html'])(
      'a listing as %s shows what the kernel lets its reader see',
      async (accept) => {
        const list = (user: UnixUser, path: string): Promise<Answer> => site.ask(user, 'GET', path, { headers: { Accept: accept } }) // prettier-ignore
        const own = await list(bob, `/home/${bob.name}/`)
        expect([own.status, own.header('content-type').split(';')[0]]).toEqual([200, accept])
        expect(own.text).toContain('secret.txt')
        for (const path of [`/home/${bob.name}/`, '/bobs/']) {
          const other = await list(alice, path)
          expect([403, 404]).toContain(other.status)
          expect(other.text).not.toMatch(/secret\.txt|private\.txt/)
        }
        expect((await list(alice, '/bobs/open.txt')).status).toBe(200)
        expect((await list(bob, '/alices/')).status).toBe(403)
      },
    )
  })

  describe('over S3', () => {
    const keyOf = ({ name }: UnixUser): S3Key => keys.get(name) ?? { id: '', secret: '' }

    const send = ({ method, target, headers, body }: SentRequest): Promise<Answer> =>
      site.server.request(method, target, { as: null, headers, ...(body.length > 0 && { body }) })

    const s3 = (user: UnixUser, method: string, path: string, more: Partial<S3Request> = {}): Promise<Answer> =>
      send(signedRequest({ key: keyOf(user), method, path, host: `127.0.0.1:${site.server.port}`, ...more }))

    it('a signed request reads, writes and lists as the user of its key', async () => {
      const path = `/home/${alice.name}/object`
      expect((await s3(alice, 'PUT', path, { body: 'object of alice' })).status).toBe(200)
      expect([ownerOf(path.slice(1)), (await s3(alice, 'GET', path)).text]).toEqual([`644 ${alice.name}:${alice.name}`, 'object of alice']) // prettier-ignore
      const listing = await s3(alice, 'GET', '/home', { query: [['list-type', '2']] })
      expect(listing.text).toContain(`<Key>${alice.name}/object</Key>`)
      expect(listing.text).not.toContain('secret.txt')
      expect((await s3(alice, 'DELETE', path)).status).toBe(204)
      expect(existsSync(onDisk(path.slice(1)))).toBe(false)
    })

    it('a key reaches nothing of another user: AccessDenied', async () => {
      const denied = /^403 AccessDenied$/
      expect(outcomeOf(await s3(alice, 'GET', '/bobs/private.txt'))).toMatch(denied)
      expect(outcomeOf(await s3(alice, 'PUT', '/bobs/private.txt', { body: 'x' }))).toMatch(denied)
      expect(outcomeOf(await s3(alice, 'DELETE', '/bobs/private.txt'))).toMatch(denied)
      expect(outcomeOf(await s3(alice, 'PUT', `/home/${bob.name}/new`, { body: 'x' }))).toMatch(denied)
      expect(outcomeOf(await s3(alice, 'GET', `/home/${bob.name}/secret.txt`))).toMatch(/^(?:403 AccessDenied|404 NoSuchKey)$/) // prettier-ignore
      const copy = await s3(alice, 'PUT', `/home/${alice.name}/stolen`, { headers: { 'x-amz-copy-source': '/bobs/private.txt' } }) // prettier-ignore
      expect(outcomeOf(copy)).toMatch(denied)
      expect(existsSync(onDisk(`home/${alice.name}/stolen`))).toBe(false)
      expect(readFileSync(onDisk('bobs/private.txt'), 'utf8')).toBe('private of bob')
    })

    it('a presigned URL shows what its signer may read', async () => {
      const url = (path: string): SentRequest => presignedRequest({ key: keyOf(alice), path, host: `127.0.0.1:${site.server.port}` }) // prettier-ignore
      expect((await send(url(`/home/${alice.name}/own.txt`))).text).toBe('of alice')
      expect(outcomeOf(await send(url('/bobs/private.txt')))).toBe('403 AccessDenied')
    })

    it('parts become one file of the user; another neither adds to it nor sees it', async () => {
      const path = '/team/parts.bin'
      const begun = await s3(alice, 'POST', path, { query: [['uploads', '']] })
      const id = /<UploadId>([^<]+)</.exec(begun.text)?.[1] ?? ''
      const part = (user: UnixUser, number: number, body: Buffer): Promise<Answer> =>
        s3(user, 'PUT', path, { query: [['partNumber', String(number)], ['uploadId', id]], body }) // prettier-ignore
      const pieces = [Buffer.alloc(5 * 1024 * 1024, 'a'), Buffer.from('the end')]
      expect([403, 404]).toContain((await part(bob, 1, Buffer.from('of bob'))).status)
      expect([403, 404]).toContain((await s3(bob, 'DELETE', path, { query: [['uploadId', id]] })).status)
      expect((await s3(bob, 'GET', '/team', { query: [['uploads', '']] })).text).not.toContain(id)
      const etags = [(await part(alice, 1, pieces[0] ?? Buffer.alloc(0))).header('etag'), (await part(alice, 2, pieces[1] ?? Buffer.alloc(0))).header('etag')] // prettier-ignore
      const listed = etags.map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`) // prettier-ignore
      const whole = `<CompleteMultipartUpload>${listed.join('')}</CompleteMultipartUpload>`
      const done = await s3(alice, 'POST', path, { query: [['uploadId', id]], body: whole })
      expect(done.status, done.text).toBe(200)
      expect(ownerOf('team/parts.bin')).toBe(`644 ${alice.name}:team`)
      expect(sha256(readFileSync(onDisk('team/parts.bin')))).toBe(sha256(Buffer.concat(pieces)))
    })
  })

  describe('on the pages below /-/', () => {
    const json = { 'Content-Type': 'application/json', Accept: 'application/json' }

    it('a large upload is put in place by its user, and is nothing to another', async () => {
      const begin = (user: UnixUser, path: string): Promise<Answer> =>
        site.ask(user, 'POST', '/-/uploads', { headers: json, body: JSON.stringify({ path, size: 7 }) })
      expect((await begin(alice, `/home/${bob.name}/up`)).status).toBe(403)
      expect((await begin(alice, '/bobs/private.txt')).status).toBe(403)
      const begun = await begin(alice, '/team/up')
      expect(begun.status, begun.text).toBe(201)
      const { url } = JSON.parse(begun.text) as { url: string }
      for (const [method, target, body] of [
        ['GET', url],
        ['PUT', `${url}/parts/1`, 'of bob!'],
        ['DELETE', url],
      ] as const)
        // prettier-ignore
        expect([403, 404]).toContain((await site.ask(bob, method, target, body === undefined ? {} : { body })).status)
      expect((await site.ask(alice, 'PUT', `${url}/parts/1`, { body: 'content' })).status).toBeLessThan(300)
      const parts = [{ number: 1, size: 7, sha256: sha256('content') }]
      const done = await site.ask(alice, 'POST', `${url}/complete`, { headers: json, body: JSON.stringify({ parts }) })
      expect(done.status, done.text).toBe(201)
      expect([ownerOf('team/up'), readFileSync(onDisk('team/up'), 'utf8')]).toEqual([`644 ${alice.name}:team`, 'content']) // prettier-ignore
    })

    it('changes are told to whoever may see the file, and to nobody else', async () => {
      const events = async (user: UnixUser, since?: string): Promise<{ readonly paths: readonly string[]; readonly last: string }> => {
        const query = since === undefined ? '?wait=0' : `?wait=0&since=${since}`
        const answer = await site.ask(user, 'GET', `/-/events${query}`, { headers: { Accept: 'application/json' } })
        const told = JSON.parse(answer.text) as { events: readonly { path: string }[]; last: string }
        return { paths: told.events.map(({ path }) => path), last: told.last }
      } // prettier-ignore
      const [ofAlice, ofBob] = [(await events(alice)).last, (await events(bob)).last]
      const path = `/home/${alice.name}/told`
      for (const each of [path, '/alices/told', '/team/told'])
        expect((await site.ask(alice, 'PUT', each, { body: 'x' })).status).toBe(201)
      await expect.poll(async () => (await events(alice, ofAlice)).paths).toEqual([path, '/alices/told', '/team/told'])
      expect((await events(bob, ofBob)).paths).toEqual(['/team/told'])
    })

    it('grants to the files reach no user administration', async () => {
      expect([403, 404]).toContain((await site.ask(alice, 'GET', '/-/users/api/realm')).status)
      expect((await site.ask(null, 'GET', '/-/ready')).status).toBe(200)
    })
  })
})
