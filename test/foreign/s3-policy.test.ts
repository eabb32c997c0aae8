import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bucketStatements } from '../../src/config/policy-statements.js'
import type { Statement } from '../../src/config/policy-statements.js'
import type { StorePath } from '../../src/core/path.js'
import { openS3Service } from '../../src/store/s3/http-service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { openS3Store } from '../../src/store/s3.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { describeForeign } from './tools.js'

/** What IAM judges of a request to S3. */
interface Asked {
  readonly action: string
  readonly resource: string
  /** `s3:prefix` */
  readonly prefix?: string
}

const awayFrom = 'files/${odd}*'

describeForeign('the policy of a bucket', cephNeeds, () => {
  let ceph: Ceph
  let bucket: string
  let recorder: Server
  const asked: Asked[] = []

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
    const { hostname, port } = new URL(ceph.endpoint)
    recorder = createServer((incoming, answer) => {
      asked.push(...askedBy(incoming))
      pass(hostname, port, incoming, answer)
    }).listen(0, '127.0.0.1')
    await once(recorder, 'listening')
  })

  afterAll(async () => {
    recorder.closeAllConnections()
    recorder.close()
    await ceph.stop()
  })

  it('allows all that a store asks for, and nothing that it does not', async () => {
    const url = new URL(ceph.url(bucket, encodeURIComponent(awayFrom)))
    url.searchParams.set('endpoint', `http://127.0.0.1:${(recorder.address() as AddressInfo).port}`)
    const settings = parseS3Url(url.href)
    const service = await openS3Service({ settings, selfTest: true })
    const store = await openS3Store({ service })
    const small = [Buffer.from('small')]
    const large = Array.from({ length: 20 }, (_, at) => Buffer.alloc(2 ** 20, at))
    const at = (path: string): StorePath => path as StorePath
    await store.makeDirectory(at('/d'))
    await store.write(at('/d/small'), body(small))
    await store.write(at('/d/large'), body(large))
    await store.write(at('/d/large'), body(small))
    await store.copy(at('/d/small'), at('/copied'), { overwrite: false })
    await store.move(at('/copied'), at('/d/moved'), { overwrite: true })
    expect(await all(store.list(at('/d')))).not.toEqual([])
    await (await store.open(at('/d/moved'))).close()
    expect(await store.stat(at('/missing'))).toBeUndefined()
    const failing = store.write(at('/broken'), breaking(large))
    await expect(failing).rejects.toThrow()
    expect(await all(service.listUploads())).toEqual([])
    await store.remove(at('/d/small'))
    await store.remove(at('/d/moved'))
    await store.remove(at('/d/large'))
    await store.close()

    const statements = bucketStatements({ bucket, prefix: settings.prefix, readOnly: false }, settings.region)
    const refused = asked.filter((each) => !statements.some((statement) => allows(statement, each)))
    expect(refused).toEqual([])
    const used = new Set(asked.map(({ action }) => action))
    // Asked for only where nobody knows whether an upload was completed.
    used.add('s3:ListMultipartUploadParts')
    expect([...used].sort()).toEqual([...new Set(statements.flatMap(({ Action }) => Action))].sort())
  })

  it('allows nothing beside its prefix', () => {
    const statements = bucketStatements({ bucket: 'b', prefix: 'a*/', readOnly: false }, 'eu-west-1')
    const object = (action: string, key: string): Asked => ({ action, resource: `arn:aws:s3:::b/${key}` })
    const list = (prefix?: string): Asked => ({
      action: 's3:ListBucket',
      resource: 'arn:aws:s3:::b',
      ...(prefix !== undefined && { prefix }),
    })
    const isAllowed = (one: Asked): boolean => statements.some((statement) => allows(statement, one))
    expect([object('s3:GetObject', 'a*/x'), object('s3:PutObject', 'a*/.postern-test/x'), list('a*/'), list('a*/d/')].every(isAllowed)).toBe(true) // prettier-ignore
    for (const key of ['x', 'a/x', 'ab/x', 'a*', 'a*x/y']) expect(isAllowed(object('s3:GetObject', key))).toBe(false)
    for (const prefix of [undefined, '', 'a', 'a*', 'ab/']) expect(isAllowed(list(prefix))).toBe(false)
    expect(isAllowed(object('s3:DeleteObjectVersion', 'a*/x'))).toBe(false)
    expect(isAllowed({ action: 's3:GetObject', resource: 'arn:aws:s3:::other/a*/x' })).toBe(false)
  })
})

/** What Amazon's "Actions, resources, and condition keys for Amazon S3" says of each request. */
function askedBy({ method = '', url = '', headers }: IncomingMessage): readonly Asked[] {
  const { pathname, searchParams: query } = new URL(url, 'http://recorder')
  const [, bucket = '', key = ''] = /^\/([^/]*)\/?(.*)$/.exec(pathname) ?? []
  const resource = `arn:aws:s3:::${bucket}`
  if (key === '') {
    if (method === 'GET' && query.has('list-type')) return [{ action: 's3:ListBucket', resource, prefix: query.get('prefix') ?? '' }] // prettier-ignore
    if (method === 'GET' && query.has('uploads')) return [{ action: 's3:ListBucketMultipartUploads', resource }]
    // Which keys they are stands in the body; each is judged as if it were removed alone.
    if (method === 'POST' && query.has('delete')) return []
    return [{ action: `unknown: ${method} ${url}`, resource }]
  }
  const on = (action: string, name = decodeURIComponent(key)): Asked => ({ action, resource: `${resource}/${name}` })
  const source = headers['x-amz-copy-source']
  const copied = typeof source === 'string' ? [on('s3:GetObject', decodeURIComponent(source).replace(/^\/?[^/]*\//, ''))] : [] // prettier-ignore
  const conditional = method !== 'GET' && method !== 'HEAD' && 'if-match' in headers ? [on('s3:GetObject')] : []
  if (method === 'GET' && query.has('uploadId')) return [on('s3:ListMultipartUploadParts')]
  // Of a missing object S3 says so only to those who may list it.
  if (method === 'GET' || method === 'HEAD') return [on('s3:GetObject'), { action: 's3:ListBucket', resource, prefix: decodeURIComponent(key) }] // prettier-ignore
  if (method === 'DELETE') return [on(query.has('uploadId') ? 's3:AbortMultipartUpload' : 's3:DeleteObject'), ...conditional] // prettier-ignore
  return [on('s3:PutObject'), ...copied, ...conditional]
}

/** IAM's judgement, as far as these statements go. */
function allows({ Action, Resource, Condition }: Statement, { action, resource, prefix }: Asked): boolean {
  const patterns = Condition?.['StringLike']?.['s3:prefix']
  return (
    Action.includes(action) &&
    [Resource].flat().some((each) => isLike(resource, each)) &&
    (patterns === undefined || (prefix !== undefined && patterns.some((each) => isLike(prefix, each))))
  )
}

function isLike(text: string, pattern: string): boolean {
  const parts = pattern.match(/\$\{[*?$]\}|[^]/g) ?? []
  const source = parts.map((part) => {
    if (part === '*') return '[^]*'
    if (part === '?') return '[^]'
    return (part.length > 1 ? (part[2] ?? '') : part).replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  })
  return new RegExp(`^${source.join('')}$`, 'u').test(text)
}

function pass(hostname: string, port: string, incoming: IncomingMessage, answer: ServerResponse): void {
  const onward = request({ hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers })
  onward.on('error', () => answer.destroy())
  onward.on('response', (response) => {
    answer.writeHead(response.statusCode ?? 502, response.headers)
    response.pipe(answer)
  })
  incoming.pipe(onward)
}

async function all<Item>(batches: AsyncIterable<readonly Item[]>): Promise<readonly Item[]> {
  const found: Item[] = []
  for await (const batch of batches) found.push(...batch)
  return found
}

async function* body(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

async function* breaking(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
  throw new Error('the client is gone')
}
