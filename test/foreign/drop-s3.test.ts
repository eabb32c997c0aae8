import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { cdnToken, clientToken, dropKey } from '../drop-contract.js'
import { run } from '../harness.js'
import { signedRequest } from '../s3-signer.js'
import { describeForeign } from './tools.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const example = readFileSync(new URL('../../examples/s3-dropbox.env', import.meta.url), 'utf8')

describeForeign('a drop by the environment alone, curl and radosgw', [...cephNeeds, 'program: curl'], () => {
  let ceph: Ceph | undefined
  let bucket = ''
  let folder = ''
  let server: ChildProcess | undefined
  let url = ''

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
    folder = mkdtempSync(join(tmpdir(), 'postern-drop-s3-'))
    ;({ server, url } = await serve(bucket))
  })

  afterAll(async () => {
    await stop(server)
    rmSync(folder, { recursive: true, force: true })
    await ceph?.stop()
  })

  /** The program with the variables of the example and those of this service, in an empty folder. */
  async function serve(into: string): Promise<{ readonly server: ChildProcess; readonly url: string }> {
    const env = {
      PATH: process.env['PATH'],
      HOME: folder,
      ...parseEnv(example),
      BUCKET: into,
      S3_ENDPOINT_URL: ceph?.endpoint,
      AWS_ACCESS_KEY_ID: ceph?.accessKeyId,
      AWS_SECRET_ACCESS_KEY: ceph?.secretAccessKey,
    }
    const child = spawn(process.execPath, [program, 'serve', '--listen', '127.0.0.1:0'], { cwd: folder, env })
    let [stdout, stderr] = ['', '']
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
    const at = await new Promise<string>((resolve, reject) => {
      child.stdout.on('data', (bytes: Buffer) => {
        stdout += bytes.toString()
        const found = /^listening (http:\/\/127\.0\.0\.1:\d+)/m.exec(stdout)?.[1]
        if (found !== undefined) resolve(found)
      })
      child.on('close', (code) => reject(new Error(`ended with ${String(code)}: ${stderr}`)))
    })
    return { server: child, url: at }
  }

  async function stop(child: ChildProcess | undefined): Promise<void> {
    if (child === undefined || child.exitCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGTERM')
    await closed
  }

  /** The status and the body, as curl has them. */
  async function drop(to: string, ...args: readonly string[]): Promise<readonly [status: number, body: string]> {
    const headers = ['-H', `x-cdn-token: Bearer ${cdnToken}`, '-H', `Authorization: Bearer ${clientToken}`]
    const { code, stdout } = await run('curl', ['-sS', '-w', '\n%{http_code}', ...headers, ...args, to])
    expect(code).toBe(0)
    const end = stdout.lastIndexOf('\n')
    return [Number(stdout.slice(end + 1)), stdout.slice(0, end)]
  }

  /** Asks radosgw itself. */
  async function stored(path: string): Promise<Response> {
    if (ceph === undefined) throw new Error('radosgw does not run')
    const { host } = new URL(ceph.endpoint)
    const key = { id: ceph.accessKeyId, secret: ceph.secretAccessKey }
    const { headers, target } = signedRequest({ key, path: `/${bucket}${path}`, host })
    // `fetch` sends the host itself.
    const others = Object.entries(headers).filter(([name]) => name !== 'host')
    return fetch(`${ceph.endpoint}${target}`, { headers: Object.fromEntries(others) })
  }

  async function keys(): Promise<readonly string[]> {
    const text = await (await stored('')).text()
    return [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key ?? '')
  }

  it('makes one object of each drop, whose receipt is true', async () => {
    const before = await keys()
    const [status, body] = await drop(`${url}/v1/drop`, '-H', 'Accept: application/json', '-d', 'a letter')
    expect(status).toBe(202)
    const receipt = JSON.parse(body) as { readonly key: string; readonly size: number; readonly sha256: string }
    expect(receipt.key).toMatch(dropKey)
    const found = Buffer.from(await (await stored(`/${receipt.key}`)).arrayBuffer())
    expect(found.toString()).toBe('a letter')
    expect([receipt.size, receipt.sha256]).toEqual([8, createHash('sha256').update(found).digest('hex')])
    expect((await keys()).filter((key) => !before.includes(key))).toEqual([receipt.key])
  })

  it('takes an empty one and one as large as the limit, and nothing that is larger', async () => {
    const before = await keys()
    const full = join(folder, 'full')
    writeFileSync(full, Buffer.alloc(10_240, 7))
    expect(await drop(url, '-d', '')).toEqual([202, ''])
    expect(await drop(url, '--data-binary', `@${full}`)).toEqual([202, ''])
    writeFileSync(full, Buffer.alloc(10_241, 7))
    expect(await drop(url, '--data-binary', `@${full}`)).toEqual([413, 'The request body must be less 10240 bytes'])
    rmSync(full)
    expect(await keys()).toHaveLength(before.length + 2)
  })

  it('makes one object of many attempts with one Idempotency-Key, by the condition of radosgw alone', async () => {
    const before = await keys()
    const attempts = ['one', 'two', 'three', 'four', 'five'].map(async (text) =>
      drop(url, '-H', 'Idempotency-Key: letter-7', '-d', text),
    )
    expect((await Promise.all(attempts)).map(([status]) => status)).toEqual([202, 202, 202, 202, 202])
    expect(await keys()).toHaveLength(before.length + 1)
  })

  it('gives nothing back and keeps nothing beside the bucket', async () => {
    const [key = ''] = await keys()
    expect(await drop(`${url}/${key}`, '-G')).toEqual([405, 'Only POST is supported'])
    expect(await drop(`${url}/${key}`, '-X', 'PUT', '-d', 'other')).toEqual([405, 'Only POST is supported'])
    expect(await drop(`${url}/`, '-X', 'PROPFIND')).toEqual([405, 'Only POST is supported'])
    expect(readdirSync(folder)).toEqual([])
  })

  it('answers 503 while there is no bucket, and does not name it', async () => {
    const missing = await serve('postern-no-such-bucket')
    try {
      const [status, body] = await drop(missing.url, '-d', 'x')
      expect(status).toBe(503)
      expect(body).not.toContain('bucket')
    } finally {
      await stop(missing.server)
    }
  })
})
