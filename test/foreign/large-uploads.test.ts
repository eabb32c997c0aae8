import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { basic, eventually, run, startServer, type Server } from '../harness.js'
import { issueKey } from './s3-site.js'
import { describeForeign } from './tools.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const mebibyte = 2 ** 20
const config = {
  listen: [{ at: '127.0.0.1:0', surfaces: ['http'], tls: false }],
  transfers: { redirectOver: '1M' },
  uploads: [{ path: '/small/**', bytes: '10M' }],
}

interface Behind {
  /** `s3://…` */
  url(): Promise<string>
  stop(): Promise<void>
}

async function ceph(): Promise<Behind> {
  const started: Ceph = await startCeph()
  const bucket = await freshBucket(started)
  return { url: async () => started.url(bucket), stop: () => started.stop() }
}

/** Its own S3 surface verifies SHA-256 checksums, as Amazon's does and older services do not. */
async function postern(): Promise<Behind> {
  const server = await startServer()
  const key = await issueKey(server, 'behind', 'rw:/**')
  await server.request('MKCOL', '/bucket')
  const query = new URLSearchParams({ endpoint: server.url, region: 'us-east-1', access_key_id: key.accessKeyId, secret_access_key: key.secretAccessKey }) // prettier-ignore
  return { url: async () => `s3://bucket/?${query.toString()}`, stop: () => server[Symbol.asyncDispose]() }
}

interface Offered {
  readonly number: number
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly direct: boolean
}

for (const [name, start, needs, checksums] of [
  ['Postern', postern, [], true],
  ['Ceph', ceph, cephNeeds, undefined],
] as const)
  describeForeign(`large files past the server to ${name}`, needs, () => {
    let behind: Behind
    let server: Server
    let home: string

    beforeAll(async () => {
      behind = await start()
      home = mkdtempSync(join(tmpdir(), 'postern-large-'))
      server = await startServer({
        mounts: true,
        listensAsConfigured: true,
        config: JSON.stringify({ ...config, mounts: [{ path: '/', s3: await behind.url() }] }),
      })
    }, 120_000)

    afterAll(async () => {
      await server[Symbol.asyncDispose]()
      await behind.stop()
      rmSync(home, { recursive: true, force: true })
    })

    const environment = (): NodeJS.ProcessEnv => ({ ...process.env, HOME: home, XDG_STATE_HOME: join(home, 'state'), POSTERN_PASSWORD: server.adminPassword }) // prettier-ignore
    const login = (): Readonly<Record<string, string>> => ({ authorization: basic(['admin', server.adminPassword]) })
    const hash = (bytes: Uint8Array, algorithm = 'sha256', as: 'hex' | 'base64' = 'hex'): string =>
      createHash(algorithm).update(bytes).digest(as)

    async function post(
      path: string,
      value: object,
      as?: readonly [string, string],
    ): Promise<{ status: number; value: unknown }> {
      const answer = await server.request('POST', `/-/uploads${path}`, {
        body: JSON.stringify(value),
        ...(as && { as }),
      })
      return { status: answer.status, value: answer.text === '' ? undefined : JSON.parse(answer.text) }
    }

    async function begin(path: string, size: number): Promise<{ id: string; direct: boolean; partSize: number }> {
      const { value } = await post('', { path, size })
      return value as { id: string; direct: boolean; partSize: number }
    }

    function described(number: number, bytes: Uint8Array): object {
      return { number, size: bytes.length, sha256: hash(bytes), md5: hash(bytes, 'md5') }
    }

    async function offer(id: string, number: number, bytes: Uint8Array): Promise<Offered> {
      const { value } = await post(`/${id}/parts`, { parts: [described(number, bytes)] })
      const [part] = (value as { parts: Offered[] }).parts
      return part!
    }

    /** As a client without any login of this server. */
    async function send({ url, headers }: Offered, bytes: Uint8Array): Promise<number> {
      const others = Object.entries(headers).filter(([name]) => name !== 'content-length')
      const answer = await fetch(url, { method: 'PUT', headers: Object.fromEntries(others), body: Buffer.from(bytes) })
      await answer.arrayBuffer()
      return answer.status
    }

    async function download(path: string): Promise<{ readonly first: Response; readonly bytes: Buffer }> {
      const first = await fetch(`${server.url}${path}`, { headers: login(), redirect: 'manual' })
      const followed = await fetch(`${server.url}${path}`, { headers: login() })
      return { first, bytes: Buffer.from(await followed.arrayBuffer()) }
    }

    it('takes a file in parts that the service verifies, and gives it back past the server', async () => {
      const bytes = randomBytes(12 * mebibyte)
      const parts = [bytes.subarray(0, 8 * mebibyte), bytes.subarray(8 * mebibyte)] as const
      const { id, direct } = await begin('/d/large.html', bytes.length)
      expect(direct).toBe(true)
      const offers = await Promise.all(parts.map((part, index) => offer(id, index + 1, part)))
      expect(offers.every(({ direct: past, url }) => past && !url.startsWith(server.url))).toBe(true)
      // Other bytes of the same length, and more of them, are not what was signed.
      expect(await send(offers[0]!, randomBytes(8 * mebibyte))).toBeGreaterThanOrEqual(400)
      expect(await send(offers[0]!, bytes)).toBeGreaterThanOrEqual(400)
      for (const [index, part] of parts.entries()) expect(await send(offers[index]!, part)).toBe(200)
      // Neither can it be replaced afterwards.
      if (checksums === true) expect(await send(offers[0]!, parts[0])).toBe(412)
      const done = await post(`/${id}/complete`, { parts: parts.map((part, index) => described(index + 1, part)) })
      expect(done).toMatchObject({ status: 201, value: { size: bytes.length, verified: 'parts' } })
      const { first, bytes: got } = await download('/d/large.html')
      expect([first.status, first.headers.get('cache-control')]).toEqual([307, 'no-store'])
      expect(hash(got)).toBe(hash(bytes))
      const location = first.headers.get('location') ?? ''
      const answered = await fetch(location, { headers: { range: 'bytes=5-9' } })
      expect([answered.status, Buffer.from(await answered.arrayBuffer())]).toEqual([206, bytes.subarray(5, 10)])
      expect(answered.headers.get('content-type')).toMatch(/^text\/html/)
      expect(answered.headers.get('content-disposition')).toMatch(/^attachment/)
      const etag = first.headers.get('etag') ?? ''
      const kept = await fetch(`${server.url}/d/large.html`, { headers: { ...login(), 'if-none-match': etag }, redirect: 'manual' }) // prettier-ignore
      expect(kept.status).toBe(304)
      const little = await fetch(`${server.url}/d/large.html`, { headers: { ...login(), range: 'bytes=0-3' }, redirect: 'manual' }) // prettier-ignore
      expect([little.status, Buffer.from(await little.arrayBuffer())]).toEqual([206, bytes.subarray(0, 4)])
      expect((await post(`/${id}/complete`, { parts: [] })).status).toBe(201)
    })

    it('takes no file whose parts are missing, lied about, or of an upload of others', async () => {
      const bytes = randomBytes(9 * mebibyte)
      const parts = [bytes.subarray(0, 8 * mebibyte), bytes.subarray(8 * mebibyte)] as const
      const { id } = await begin('/lied', bytes.length)
      const first = await offer(id, 1, parts[0])
      expect(await send(first, parts[0])).toBe(200)
      const all = parts.map((part, index) => described(index + 1, part))
      expect(await post(`/${id}/complete`, { parts: all })).toMatchObject({ status: 409, value: { missing: [2] } })
      expect((await post(`/${id}/parts`, { parts: [{ ...described(2, parts[1]), size: 5 }] })).status).toBe(400)
      const other = await server.addUser('mallory', 'rw:/**')
      expect((await post(`/${id}/complete`, { parts: all }, other)).status).toBe(404)
      expect((await post(`/${id}/parts`, { parts: all }, other)).status).toBe(404)
      expect((await server.request('GET', `/-/uploads/${id}`, { as: other })).status).toBe(404)
      const second = await offer(id, 2, parts[1])
      const expired = new URL(second.url)
      expired.searchParams.set('X-Amz-Date', '20200101T000000Z')
      expect(await send({ ...second, url: expired.href }, parts[1])).toBeGreaterThanOrEqual(400)
      expect((await server.request('GET', '/lied')).status).toBe(404)
      expect((await server.request('DELETE', `/-/uploads/${id}`)).status).toBe(204)
      expect((await post('', { path: '/small/f', size: 11 * mebibyte })).status).toBe(413)
    })

    it('refuses what came in the place of another part, and takes the right one after it', async () => {
      const bytes = randomBytes(3 * mebibyte)
      const { id } = await begin('/mixed', bytes.length)
      const wrong = randomBytes(bytes.length)
      expect(await send(await offer(id, 1, wrong), wrong)).toBe(200)
      expect((await post(`/${id}/complete`, { parts: [described(1, bytes)] })).status).toBe(400)
      expect(await send(await offer(id, 1, bytes), bytes)).toBe(200)
      expect((await post(`/${id}/complete`, { parts: [described(1, bytes)] })).status).toBe(201)
      expect((await download('/mixed')).bytes.equals(bytes)).toBe(true)
    })

    it('counts parts that went past the server, before and after they are the file', async () => {
      const password = 'a long enough password'
      const added = await server.cli(['user', 'add', 'small', '--password-stdin', '--grant', 'rw:/q/**', '--home', '/q', '--quota', '10M'], password) // prettier-ignore
      expect(added.code, added.stderr).toBe(0)
      server.useSecret(password)
      const small = ['small', password] as const
      expect((await post('', { path: '/f', size: 11 * mebibyte }, small)).status).toBe(507)
      const bytes = randomBytes(6 * mebibyte)
      const [one, other] = [await post('', { path: '/one', size: bytes.length }, small), await post('', { path: '/other', size: bytes.length }, small)] // prettier-ignore
      const put = async ({ value }: { value: unknown }): Promise<number> => {
        const { id } = value as { id: string }
        const offered = await post(`/${id}/parts`, { parts: [described(1, bytes)] }, small)
        if (offered.status !== 200) return offered.status
        expect(await send((offered.value as { parts: Offered[] }).parts[0]!, bytes)).toBe(200)
        return (await post(`/${id}/complete`, { parts: [described(1, bytes)] }, small)).status
      }
      expect(await put(one)).toBe(201)
      expect(await put(other)).toBe(507)
      expect((await server.request('DELETE', '/one', { as: small })).status).toBe(204)
      expect(await put(other)).toBe(201)
    })

    it('puts 200 MB that were broken off midway, without any byte through the server', async () => {
      const bytes = randomBytes(200 * mebibyte)
      const file = join(home, 'large')
      writeFileSync(file, bytes)
      const args = [program, 'put', file, `${server.url}/put/large`, '--user', 'admin', '--parallel', '2']
      const child = spawn(process.execPath, args, { env: environment(), stdio: 'ignore' })
      const gone = once(child, 'exit')
      const state = join(home, 'state/postern/put')
      await eventually('it has begun', () => existsSync(state) && readdirSync(state).length > 0, 20_000)
      await eventually('parts go', () => (server.stdout() + server.stderr()).split('/parts').length > 6, 20_000)
      child.kill('SIGKILL')
      await gone
      expect((await server.request('GET', '/put/large')).status).toBe(404)
      const before = residentBytes(server.pid)
      const done = await run(process.execPath, [...args, '--json'], { env: environment() })
      expect([done.code, done.stderr]).toEqual([0, ''])
      expect(JSON.parse(done.stdout)).toMatchObject({ files: 1, bytes: bytes.length, failures: [] })
      expect(server.stdout() + server.stderr()).not.toMatch(/PUT[^\n]*\/-\/uploads/)
      expect(residentBytes(server.pid) - before).toBeLessThan(60 * mebibyte)
      expect(hash((await download('/put/large')).bytes)).toBe(hash(bytes))
    }, 120_000)
  })

function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kibibytes) * 1024
}
