import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cephNeeds, freshBucket, startCeph } from '../ceph.js'
import type { Ceph } from '../ceph.js'
import { startDynamodb } from '../dynalite-server.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { unpackBundle } from '../lambda/bundle.js'
import { startLambda } from '../lambda/emulator.js'
import type { Lambda } from '../lambda/emulator.js'
import { describeForeign } from './tools.js'

const token = 'a-token-of-the-build-that-nobody-guesses'
const size = 2 ** 30
const key = randomBytes(16)

/** So much of the file, which is too large to be kept here: the same bytes each time. */
function piece(start: number, length: number): Buffer {
  const counter = Buffer.alloc(16)
  counter.writeBigUInt64BE(BigInt(start / 16), 8)
  return createCipheriv('aes-128-ctr', key, counter).update(Buffer.alloc(length))
}

interface Answered {
  readonly status: number | undefined
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

describeForeign('1 GiB by way of a function', cephNeeds, () => {
  const root = unpackBundle('postern')
  let ceph: Ceph
  let dynamodb: LocalDynamodb
  let lambda: Lambda

  beforeAll(async () => {
    ceph = await startCeph()
    dynamodb = await startDynamodb()
    await dynamodb.prepare('postern')
    const catalog = { dynamodb: { table: 'postern', region: 'eu-west-1', endpoint: dynamodb.endpoint } }
    const tokens = [{ name: 'ci', sha256: createHash('sha256').update(token).digest('base64'), grants: ['rw:/**'] }]
    lambda = await startLambda({
      root,
      variables: {
        POSTERN_MOUNTS: JSON.stringify([{ path: '/', s3: ceph.url(await freshBucket(ceph)) }]),
        POSTERN_CATALOG: JSON.stringify(catalog),
        POSTERN_SECRET: '{ env: FILES_SECRET }',
        FILES_SECRET: randomBytes(32).toString('hex'),
        POSTERN_IDENTITY: JSON.stringify([{ tokens }]),
        AWS_ACCESS_KEY_ID: 'local',
        AWS_SECRET_ACCESS_KEY: 'local',
      },
    })
  })

  afterAll(async () => {
    await lambda.close()
    await dynamodb.stop()
    await ceph.stop()
    rmSync(root, { recursive: true })
  })

  /** One request, to the function or past it, with the caller's token only for the function. */
  async function ask(method: string, url: string, body?: Uint8Array | object, headers = {}): Promise<Answered> {
    const bytes = body === undefined || body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body))
    const isOurs = url.startsWith(lambda.url)
    return await new Promise((resolve, reject) => {
      const sent = request(url, {
        method,
        headers: {
          ...(isOurs && { authorization: `Bearer ${token}` }),
          ...(bytes !== undefined && { 'content-length': bytes.length }),
          ...headers,
        },
      })
      sent.on('error', reject)
      sent.on('response', (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text }))
      })
      sent.end(bytes)
    })
  }

  it('goes up in parts that the service verifies, and down from there, and the function stays small', async () => {
    const begun = await ask('POST', `${lambda.url}/-/uploads`, { path: '/films/large.bin', size })
    expect(begun).toMatchObject({ status: 201 })
    const { id, partSize, direct } = JSON.parse(begun.text) as { id: string; partSize: number; direct: boolean }
    expect(direct).toBe(true)
    const parts: { readonly number: number; readonly size: number; readonly sha256: string; readonly md5: string }[] =
      []
    for (let start = 0; start < size; start += partSize) {
      const bytes = piece(start, Math.min(partSize, size - start))
      const digest = (name: string): string => createHash(name).update(bytes).digest('hex')
      const part = { number: parts.length + 1, size: bytes.length, sha256: digest('sha256'), md5: digest('md5') }
      const offer = await ask('POST', `${lambda.url}/-/uploads/${id}/parts`, { parts: [part] })
      const [offered] = (
        JSON.parse(offer.text) as { parts: readonly { url: string; method: string; headers: object }[] }
      ).parts
      expect(offered?.url.startsWith(ceph.endpoint)).toBe(true)
      if (parts.length === 0) {
        // Whoever holds the URL can bring nothing else than what was said.
        const other = await ask(offered?.method ?? '', offered?.url ?? '', Buffer.alloc(bytes.length), offered?.headers)
        expect(other.status).toBeGreaterThanOrEqual(400)
      }
      const put = await ask(offered?.method ?? '', offered?.url ?? '', bytes, offered?.headers)
      expect(put).toMatchObject({ status: 200 })
      parts.push(part)
    }
    expect((await ask('GET', `${lambda.url}/films/large.bin`)).status).toBe(404)
    const done = await ask('POST', `${lambda.url}/-/uploads/${id}/complete`, { parts })
    expect(done).toMatchObject({ status: 201 })

    const got = await ask('GET', `${lambda.url}/films/large.bin`)
    expect([got.status, got.headers['location']?.startsWith(ceph.endpoint)]).toEqual([307, true])
    expect(await isTheSame(got.headers['location'] ?? '')).toBe(true)
    const part = await ask('GET', `${lambda.url}/films/large.bin`, undefined, { range: 'bytes=16-31' })
    expect([part.status, part.headers['content-range']]).toEqual([206, `bytes 16-31/${size}`])

    expect(lambda.coldStarts).toBe(1)
    expect(
      lambda
        .pids()
        .map(mostMemory)
        .every((bytes) => bytes < 160 * 2 ** 20),
    ).toBe(true)
  })
})

/** Whether what comes from there is the whole file. */
async function isTheSame(url: string): Promise<boolean> {
  const [answer] = await new Promise<[IncomingMessage]>((resolve, reject) => {
    request(url, (found) => resolve([found]))
      .on('error', reject)
      .end()
  })
  const found = createHash('sha256')
  for await (const chunk of answer) found.update(chunk as Buffer)
  const wanted = createHash('sha256')
  for (let start = 0; start < size; start += 2 ** 24) wanted.update(piece(start, 2 ** 24))
  return answer.statusCode === 200 && found.digest('hex') === wanted.digest('hex')
}

/** The largest resident size that a process has had, in bytes. */
function mostMemory(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Infinity) * 1024
}
