import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { contractCases, contractVariables, dropKey, expectedOf, headersOf } from '../drop-contract.js'
import type { ContractCase } from '../drop-contract.js'
import { startFakeBucket } from '../fake-bucket.js'
import type { FakeBucket } from '../fake-bucket.js'
import { format } from '../harness.js'
import { RawConnection } from '../raw-http.js'
import type { Answer } from '../raw-http.js'
import { cleanUp, temporaryFolder } from '../serving.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))

interface Running {
  readonly port: number
  readonly folder: string
  readonly process: ChildProcess
  stderr(): string
}

let bucket: FakeBucket
let server: Running

/** `postern serve` with nothing but an environment, in an empty folder. */
async function serve(variables: Readonly<Record<string, string>>): Promise<Running> {
  const folder = temporaryFolder()
  const env = { PATH: process.env['PATH'], HOME: folder, ...variables }
  const child = spawn(process.execPath, [program, 'serve', '--listen', '127.0.0.1:0'], { cwd: folder, env })
  let [stdout, stderr] = ['', '']
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString()
      const found = /^listening http:\/\/127\.0\.0\.1:(\d+)/m.exec(stdout)?.[1]
      if (found !== undefined) resolve(Number(found))
    })
    child.on('close', (code) => reject(new Error(`ended with ${String(code)}: ${stderr}`)))
  })
  return { port, folder, process: child, stderr: () => stderr }
}

async function stop({ process: child }: Running): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  await closed
}

async function ask(path: string, one: Partial<ContractCase>): Promise<Answer> {
  const { method = 'POST', body, chunked } = one
  const given = chunked === true ? { chunks: [body ?? ''] } : body === undefined ? {} : { body }
  const connection = await RawConnection.open(server.port)
  try {
    const sending = connection.trySend(
      format(method, path, { as: null, headers: headersOf(one), ...given }, server.port, true),
    )
    const answer = await connection.answer({ method })
    await sending
    return answer
  } finally {
    connection.destroy()
  }
}

beforeAll(async () => {
  bucket = await startFakeBucket('letters')
  server = await serve({
    ...contractVariables,
    BUCKET: 'letters',
    S3_ENDPOINT_URL: bucket.endpoint,
    AWS_REGION: 'eu-west-2',
    AWS_ACCESS_KEY_ID: 'id',
    AWS_SECRET_ACCESS_KEY: 'a-secret-of-the-bucket',
  })
})

afterEach(() => {
  bucket.fail(undefined)
})

afterAll(async () => {
  await stop(server)
  await bucket.close()
  await cleanUp()
})

describe('the environment of s3-dropbox alone', () => {
  it.each(contractCases)('$status: $title', async (one) => {
    const [before, asked] = [bucket.objects.size, bucket.asked.length]
    const answer = await ask('/any/path', one)
    expect({ status: answer.status, text: answer.text, contentType: answer.headers.get('content-type')?.[0] }).toEqual(
      expectedOf(one),
    )
    for (const name of ['www-authenticate', 'allow', 'dav']) expect(answer.headers.has(name)).toBe(false)
    expect(bucket.objects.size - before).toBe(one.status === 202 ? 1 : 0)
    // One PutObject, and nothing else ever.
    expect(bucket.asked.length - asked).toBe(one.status === 202 ? 1 : 0)
    for (const key of bucket.objects.keys()) expect(key).toMatch(dropKey)
  })

  it('answers the same at every path, and has no other surface', async () => {
    for (const path of ['/', '/v1/drop', '/-/uploads', '/-/health', '/a/../b', '/%2e%2e', '/?uploads'])
      expect([path, (await ask(path, { body: 'a' })).status]).toEqual([path, 202])
    for (const method of ['GET', 'PROPFIND', 'PUT', 'OPTIONS', 'LOCK'])
      expect([method, (await ask('/', { method })).text]).toEqual([method, 'Only POST is supported'])
    expect(readdirSync(server.folder)).toEqual([])
  })

  it('says when to come again where the bucket is gone, forbidden or busy, and not why', async () => {
    for (const [status, code] of [
      [404, 'NoSuchBucket'],
      [403, 'AccessDenied'],
      [301, 'PermanentRedirect'],
      [409, 'ConditionalRequestConflict'],
      [503, 'SlowDown'],
    ] as const) {
      bucket.fail({ status, code })
      const answer = await ask('/', { body: 'a' })
      expect([code, answer.status, answer.text]).toEqual([code, 503, 'The drop could not be stored. Try again soon.'])
      expect(Number(answer.header('retry-after'))).toBeGreaterThan(0)
    }
    expect(server.stderr()).toContain('NoSuchBucket')
    expect(server.stderr()).not.toContain('a-secret-of-the-bucket')
  }, 120_000)

  it('makes one object of a repeated drop with an idempotency key', async () => {
    const headers = { 'idempotency-key': 'order-1', accept: 'application/json' }
    const before = bucket.objects.size
    const first = await ask('/', { headers, body: 'one' })
    const again = await ask('/', { headers, body: 'two' })
    expect([first.status, again.status, bucket.objects.size - before]).toEqual([202, 202, 1])
    expect(again.header('idempotency-replayed')).toBe('true')
    const { key } = JSON.parse(again.text) as { key: string }
    expect(bucket.objects.get(key)?.bytes.toString()).toBe('one')
  })
})

it('half of it is refused at the start', async () => {
  const whole = { ...contractVariables, BUCKET: 'letters', AWS_REGION: 'eu-west-2', S3_ENDPOINT_URL: bucket.endpoint }
  const without = (...names: readonly string[]): Record<string, string> =>
    Object.fromEntries(Object.entries(whole).filter(([name]) => !names.includes(name)))
  await expect(serve(without('CDN_TOKEN', 'CDN_TOKEN_HTTP_HEADER_NAME'))).rejects.toThrow(/POSTERN_CDN=off/)
  for (const name of ['CDN_TOKEN', 'CDN_TOKEN_HTTP_HEADER_NAME'])
    await expect(serve(without(name))).rejects.toThrow(/CDN/)
  await expect(serve({ ...whole, AUTH_TOKEN: 'plain-token' })).rejects.toThrow(/AUTH_TOKEN is not the hash of a token/)
  await expect(serve({ ...whole, POSTERN_CDN: 'off' })).rejects.toThrow(/says that no CDN is in front/)
  await expect(serve({ ...whole, POSTERN_WORKERS: '2', POSTERN_TLS: 'self-signed' })).rejects.toThrow(
    /POSTERN_WORKERS, POSTERN_TLS: not for the one drop/,
  )
  await expect(serve({ ...whole, BUCKET: 'a/b?c' })).rejects.toThrow(/BUCKET/)
  await expect(serve({ ...whole, S3_ENDPOINT_URL: 'nowhere' })).rejects.toThrow(/endpoint/)
})
