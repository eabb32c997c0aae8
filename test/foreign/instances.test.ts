import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { request as send } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { cephNeeds, freshBucket, startCeph } from '../ceph.js'
import type { Ceph } from '../ceph.js'
import { startDynamodb } from '../dynalite-server.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { basic, startServer } from '../harness.js'
import type { Server } from '../harness.js'
import { TestPostgres } from '../postgres.js'
import { openRoundRobin } from '../round-robin.js'
import type { RoundRobin } from '../round-robin.js'
import { expectLitmusFindsNothing } from './litmus-run.js'
import { describeForeign } from './tools.js'

const secret = randomBytes(32).toString('base64')

describeForeign('instances over radosgw', ['program: litmus', ...cephNeeds], () => {
  let ceph: Ceph
  let postgres: TestPostgres
  let dynamodb: LocalDynamodb
  let folder: string

  beforeAll(async () => {
    ceph = await startCeph()
    postgres = await TestPostgres.start()
    dynamodb = await startDynamodb()
    folder = await mkdtemp(join(tmpdir(), 'postern-instances-'))
  })

  afterAll(async () => {
    await dynamodb.stop()
    await postgres.stop()
    await ceph.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const catalogs = {
    PostgreSQL: async () => `{ postgres: "${postgres.url(await postgres.newDatabase())}" }`,
    DynamoDB: async () => {
      const table = `postern-${randomBytes(4).toString('hex')}`
      await dynamodb.prepare(table)
      return `{ dynamodb: { table: ${table}, region: eu-west-1, endpoint: "${dynamodb.endpoint}" } }`
    },
  }

  describe.each(['PostgreSQL', 'DynamoDB'] as const)('and %s', (kind) => {
    let servers: Server[] = []
    let proxy: RoundRobin

    beforeAll(async () => {
      const url = ceph.url(await freshBucket(ceph), 'some/prefix')
      const options = {
        mounts: true as const,
        config: `mounts: [{ path: /, s3: "${url}" }]\ncatalog: ${await catalogs[kind]()}\nsecret: { env: FILES_SECRET }\n`,
        env: { FILES_SECRET: secret, AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'a key for tests' },
      }
      servers = [await startServer(options), await startServer(options)]
      proxy = await openRoundRobin(servers.map(({ port }) => port))
    })

    afterAll(async () => {
      await proxy.close()
      for (const server of servers) await server[Symbol.asyncDispose]()
    })

    it('litmus finds nothing, each request to the other instance', async () => {
      await expectLitmusFindsNothing(`${proxy.url}/`, ['admin', servers[0]!.adminPassword], folder)
      expect(Math.min(...proxy.given)).toBeGreaterThan(100)
    })

    it('many clients at once make no If-None-Match: * true twice, and lose no counted update', async () => {
      const [one, other] = [servers[0]!, servers[1]!]
      const made = await Promise.all(
        Array.from({ length: 8 }, (_, at) =>
          (at % 2 === 0 ? one : other).request('PUT', '/once', { body: `${at}`, headers: { 'If-None-Match': '*' } }),
        ),
      )
      expect(made.filter(({ status }) => status === 201)).toHaveLength(1)
      expect(made.filter(({ status }) => status === 412)).toHaveLength(7)
      expect((await one.request('PUT', '/count', { body: '0' })).status).toBe(201)
      await Promise.all(
        [one, other].map(async (server) => {
          for (let done = 0; done < 5;) {
            const seen = await server.request('GET', '/count')
            const headers = { 'If-Match': seen.header('etag') }
            const { status } = await server.request('PUT', '/count', { body: `${Number(seen.text) + 1}`, headers })
            expect([204, 412]).toContain(status)
            if (status === 204) done++
          }
        }),
      )
      expect((await other.request('GET', '/count')).text).toBe('10')
    })

    it('an instance killed in the middle of uploads loses nothing that was acknowledged', async () => {
      const [one, other] = [servers[0]!, servers[1]!]
      expect((await one.request('MKCOL', '/uploads/')).status).toBe(201)
      const acknowledged = new Map<string, string>()
      const before = 'the content of before'
      for (let n = 0; n < 6; n++) expect((await one.request('PUT', `/uploads/${n}`, { body: before })).status).toBe(201)
      const uploads = Array.from({ length: 6 }, async (_, n) => {
        const bytes = randomBytes(n % 2 === 0 ? 100_000 : 20 * 2 ** 20)
        const status = await slowPut(one, `/uploads/${n}`, bytes, n)
        if (status === 204) acknowledged.set(`${n}`, sum(bytes))
        return { n, status, hash: sum(bytes) }
      })
      await expect.poll(() => acknowledged.size, { timeout: 60_000, interval: 5 }).toBeGreaterThan(0)
      await one.kill9()
      const ended = await Promise.all(uploads)
      expect(ended.some(({ status }) => status === 0)).toBe(true)
      for (const { n, status, hash } of ended) {
        const found = await other.request('GET', `/uploads/${n}`)
        expect(found.status).toBe(200)
        if (status === 204) expect(sum(found.body)).toBe(hash)
        else expect([sum(Buffer.from(before)), hash]).toContain(sum(found.body))
      }
      await one.restart()
      expect((await one.request('PROPFIND', '/uploads/', { headers: { Depth: '1' } })).status).toBe(207)
    })
  })

  describe('a tree', () => {
    const open: Server[] = []
    afterEach(async () => {
      for (const server of open.splice(0)) await server[Symbol.asyncDispose]()
    })

    it('moves from disk to S3 and back between two mounts, with the same bytes', async () => {
      const url = ceph.url(await freshBucket(ceph))
      const disk = await mkdtemp(join(tmpdir(), 'postern-disk-'))
      const server = await startServer({
        mounts: true,
        config: `mounts: [{ path: /, local: "${disk}" }, { path: /bucket, s3: "${url}" }]\n`,
      })
      open.push(server)
      const sums = new Map<string, string>()
      const names = ['plain', 'späce ü', '%41', 'a+b&c', 'deep/er/file', 'deep/empty']
      expect((await server.request('MKCOL', '/tree/')).status).toBe(201)
      for (const [at, name] of names.entries()) {
        const bytes = name.endsWith('empty') ? Buffer.alloc(0) : randomBytes(at === 0 ? 12 * 2 ** 20 : 5000 + at)
        const path = `/tree/${name.split('/').map(encodeURIComponent).join('/')}?parents=1`
        expect((await server.request('PUT', path, { body: bytes })).status).toBe(201)
        sums.set(name, sum(bytes))
      }
      expect((await server.request('MKCOL', '/tree/hollow/')).status).toBe(201)
      const move = async (from: string, to: string): Promise<void> => {
        const headers = { Destination: `${server.url}${to}`, Overwrite: 'F' }
        expect((await server.request('MOVE', from, { headers })).status).toBe(201)
      }
      const check = async (at: string): Promise<void> => {
        for (const [name, hash] of sums)
          expect([name, sum((await server.request('GET', `${at}/${name.split('/').map(encodeURIComponent).join('/')}`)).body)]).toEqual([name, hash]) // prettier-ignore
        expect((await server.request('PROPFIND', `${at}/hollow/`, { headers: { Depth: '0' } })).status).toBe(207)
      }
      await move('/tree', '/bucket/tree')
      await check('/bucket/tree')
      expect((await server.request('GET', '/tree/plain')).status).toBe(404)
      await move('/bucket/tree', '/back')
      await check('/back')
      expect((await server.request('GET', '/bucket/tree/plain')).status).toBe(404)
    })
  })
})

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** The status; 0 where the server has gone. The first ones go at once, the others in pieces. */
async function slowPut(server: Server, path: string, bytes: Buffer, turn: number): Promise<number> {
  return new Promise((resolve) => {
    const sent = send({
      host: '127.0.0.1',
      port: server.port,
      method: 'PUT',
      path,
      headers: { Authorization: basic(['admin', server.adminPassword]), 'Content-Length': bytes.length },
    })
    sent.on('response', (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode ?? 0))
      answer.on('error', () => resolve(0))
    })
    sent.on('error', () => resolve(0))
    if (turn === 0) {
      sent.end(bytes)
      return
    }
    let at = 0
    const piece = Math.ceil(bytes.length / 40)
    const next = (): void => {
      if (sent.destroyed) return
      if (at >= bytes.length) {
        sent.end()
        return
      }
      sent.write(bytes.subarray(at, at + piece), () => setTimeout(next, 20 + turn * 5))
      at += piece
    }
    next()
  })
}
