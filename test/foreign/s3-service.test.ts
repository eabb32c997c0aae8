import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isFailure } from '../../src/core/failure.js'
import { openS3Service } from '../../src/store/s3/http-service.js'
import { minPartBytes } from '../../src/store/s3/service.js'
import type { ObjectHeaders, OpenObject, OpenUpload, S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { cephNeeds, freshBucket, startCeph } from '../ceph.js'
import type { Ceph } from '../ceph.js'
import { startServer } from '../harness.js'
import { startRelay } from '../s3-relay.js'
import type { Relay } from '../s3-relay.js'
import { issueKey } from './s3-site.js'
import { describeForeign } from './tools.js'

/** A service to test against, with a bucket of its own. */
interface Rig {
  readonly location: string
  stop(): Promise<void>
}

/** What is expected of it. */
interface Expected {
  readonly abilities: S3Service['abilities']
  /** It keeps names as they are, whatever they are. */
  readonly keepsAnyKey: boolean
}

const none: Expected['abilities'] = {
  conditionalPut: false,
  conditionalCopy: false,
  conditionalComplete: false,
  conditionalRemove: false,
  etagIsMd5: true,
  checksums: false,
}
const every: Expected['abilities'] = {
  conditionalPut: true,
  conditionalCopy: true,
  conditionalComplete: true,
  conditionalRemove: true,
  etagIsMd5: true,
  checksums: true,
}
const otherEtag = '0123456789abcdef0123456789abcdef'
const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex')

function serviceContract({ abilities, keepsAnyKey }: Expected, open: () => Promise<Rig>): void {
  let rig: Rig
  let service: S3Service
  /** The same bucket without a prefix. */
  let bucket: S3Service

  beforeAll(async () => {
    rig = await open()
    service = await openS3Service({ settings: parseS3Url(rig.location.replace('?', 'some/folder?')), selfTest: true })
    bucket = await openS3Service({ settings: parseS3Url(rig.location), selfTest: false })
  })
  afterAll(async () => {
    await service.close()
    await bucket.close()
    await rig.stop()
  })

  const fresh = (): string => `x/${randomUUID()}`
  const put = async (key: string, content: string | Uint8Array, headers?: ObjectHeaders): Promise<string> =>
    (await service.put(key, [Buffer.from(content)], headers && { headers })).etag
  const kindOf = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work
      return 'done'
    } catch (error) {
      if (isFailure(error)) return error.kind
      throw error
    }
  }

  it('refuses a bucket that is not there, and a wrong secret, and says what to do', async () => {
    const settings = parseS3Url(rig.location)
    const missing = { ...settings, bucket: `no-${randomUUID()}` }
    await expect(openS3Service({ settings: missing, selfTest: true })).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining(missing.bucket) as unknown,
    })
    const secretAccessKey = 'a secret that is not right'
    const wrong = { ...settings, credentials: { ...settings.credentials, secretAccessKey } }
    const failure: unknown = await openS3Service({ settings: wrong, selfTest: true }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('credentials') as unknown })
    expect(JSON.stringify(failure) + String(failure)).not.toContain(secretAccessKey)
  })

  it('leaves nothing of its self-test', async () => {
    const left = await service.list({ prefix: '.postern-test/' })
    expect(left).toEqual({ objects: [], prefixes: [], token: undefined })
    expect(await all(service.listUploads())).toEqual([])
  })

  it('finds out what the service can do', () => {
    expect(service.abilities).toEqual(abilities)
  })

  it('has nothing where nothing is', async () => {
    const key = fresh()
    expect(await service.head(key)).toBeUndefined()
    expect(await kindOf(service.get(key))).toBe('not-found')
    expect(await kindOf(service.get(key, { range: { start: 0, end: 1 } }))).toBe('not-found')
    expect(await kindOf(service.copy(key, fresh()))).toBe('not-found')
    expect(await kindOf(service.remove(key))).toBe('done')
    expect(await service.removeMany([key])).toEqual([])
    const upload = { key, id: 'no-such-upload' }
    expect(await kindOf(service.putPart(upload, 1, [Buffer.from('x')]))).toBe('not-found')
    expect(await kindOf(service.completeUpload(upload, [{ number: 1, etag: otherEtag }]))).toBe('not-found')
    expect(await kindOf(service.abortUpload(upload))).toBe('done')
    const from = { key: fresh(), etag: otherEtag, range: { start: 0, end: 1 } }
    const begun = { key, id: await service.beginUpload(key) }
    expect(await kindOf(service.copyPart(begun, 1, from))).toBe('not-found')
    await service.abortUpload(begun)
  })

  if (abilities.conditionalPut)
    it('judges the conditions of writes', async () => {
      const key = fresh()
      const absent = { condition: { absent: true } } as const
      const bytes = [Buffer.from('one')]
      expect(await kindOf(service.put(key, bytes, { condition: { etag: otherEtag } }))).toBe('precondition')
      const { etag } = await service.put(key, bytes, absent)
      expect(await kindOf(service.put(key, [Buffer.from('two')], absent))).toBe('precondition')
      expect(await kindOf(service.put(key, [Buffer.from('two')], { condition: { etag: otherEtag } }))).toBe(
        'precondition',
      )
      expect(await text(await service.get(key))).toBe('one')
      await service.put(key, [Buffer.from('two')], { condition: { etag } })
      expect(await text(await service.get(key))).toBe('two')
      expect(await kindOf(service.put(key, bytes, { condition: { etag } }))).toBe('precondition')
    })

  if (abilities.conditionalPut)
    it('lets one of many win who write what is not there', async () => {
      const key = fresh()
      const writers = Array.from({ length: 8 }, (_, index) => String(index))
      const outcomes = await Promise.all(
        writers.map((name) => kindOf(service.put(key, [Buffer.from(name)], { condition: { absent: true } }))),
      )
      expect(outcomes.toSorted()).toEqual(['done', ...Array.from({ length: 7 }, () => 'precondition')])
      expect(await text(await service.get(key))).toBe(String(outcomes.indexOf('done')))
    })

  it('judges the conditions of reads', async () => {
    const key = fresh()
    const etag = await put(key, 'one')
    expect(await kindOf(service.get(key, { ifMatch: otherEtag }))).toBe('precondition')
    expect(await text(await service.get(key, { ifMatch: etag }))).toBe('one')
  })

  it('judges the conditions of copies and removals', async () => {
    const [from, to] = [fresh(), fresh()]
    const etag = await put(from, 'source')
    expect(await kindOf(service.copy(from, to, { ifMatch: otherEtag }))).toBe('precondition')
    expect(await service.head(to)).toBeUndefined()
    const copied = await service.copy(from, to, { ifMatch: etag })
    if (abilities.conditionalCopy) {
      expect(await kindOf(service.copy(from, to, { condition: { absent: true } }))).toBe('precondition')
      expect(await kindOf(service.copy(from, to, { condition: { etag: otherEtag } }))).toBe('precondition')
      await service.copy(from, to, { condition: { etag: copied.etag } })
    }
    if (abilities.conditionalRemove) {
      expect(await kindOf(service.remove(to, { ifMatch: otherEtag }))).toBe('precondition')
      expect(await service.head(to)).toBeDefined()
      await service.remove(to, { ifMatch: copied.etag })
      expect(await service.head(to)).toBeUndefined()
    }
  })

  it('gives up where the signal does', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    const key = fresh()
    expect(await kindOf(service.put(key, [Buffer.from('x')], { signal }))).toBe('incomplete')
    expect(await service.head(key)).toBeUndefined()
    await put(key, randomBytes(4_000_000))
    const giving = new AbortController()
    const { bytes } = await service.get(key, { signal: giving.signal })
    const chunks = bytes[Symbol.asyncIterator]()
    await chunks.next()
    giving.abort()
    expect(
      await kindOf(
        (async () => {
          while ((await chunks.next()).done !== true);
        })(),
      ),
    ).toBe('incomplete')
  })

  it('keeps bytes, headers and metadata, and says the same of them by HEAD, GET and LIST', async () => {
    const key = fresh()
    const content = randomBytes(100_000)
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
      'content-disposition': 'attachment; filename="a  b.txt"',
      'content-language': 'de',
      'x-amz-meta-mtime': '1795390560.123456789',
      'x-amz-meta-odd': 'a = "b"; c, d',
    }
    const stored = await service.put(key, [content.subarray(0, 10), content.subarray(10)], { headers })
    const facts = await service.head(key)
    expect(facts).toMatchObject({ size: 100_000, etag: md5(content), headers })
    expect(stored.etag).toBe(facts?.etag)
    expect((facts?.modified ?? 1) % 1000).toBe(0)
    expect(Math.abs((facts?.modified ?? 0) - stored.modified)).toBeLessThanOrEqual(2000)
    const found = await service.get(key)
    expect(found.facts).toEqual(facts)
    expect((await bytesOf(found)).equals(content)).toBe(true)
    const { objects } = await service.list({ prefix: key })
    expect(objects).toEqual([{ key, size: facts?.size, etag: facts?.etag, modified: facts?.modified }])
  })

  it('keeps nothing too, and two runs of spaces', async () => {
    const key = fresh()
    expect((await service.put(key, [], { headers: { 'x-amz-meta-a': 'b   c' } })).etag).toBe(md5(Buffer.alloc(0)))
    const found = await service.get(key)
    expect(found.facts.size).toBe(0)
    expect(found.facts.headers['x-amz-meta-a']?.replace(/ +/g, ' ')).toBe('b c')
    expect(await text(found)).toBe('')
    expect(await kindOf(service.get(key, { range: { start: 0, end: 1 } }))).toBe('bad-range')
  })

  it('reads parts, and says of what', async () => {
    const key = fresh()
    await put(key, '0123456789')
    const part = await service.get(key, { range: { start: 2, end: 5 } })
    expect(part.facts.size).toBe(10)
    expect(await text(part)).toBe('234')
    expect(await text(await service.get(key, { range: { start: 8, end: 100 } }))).toBe('89')
    expect(await kindOf(service.get(key, { range: { start: 10, end: 11 } }))).toBe('bad-range')
  })

  it('lets go of a body that nobody wants', async () => {
    const key = fresh()
    await put(key, randomBytes(2_000_000))
    const found = await service.get(key)
    found.close()
    found.close()
    const second = await service.get(key)
    for await (const chunk of second.bytes) if (chunk.length > 0) break
    expect((await bytesOf(await service.get(key))).length).toBe(2_000_000)
  })

  it('copies with the metadata of the source, or with others', async () => {
    const [from, to, other] = [fresh() + ' ü+%41', fresh(), fresh()]
    await put(from, 'copied', { 'content-type': 'text/x-one', 'x-amz-meta-a': '1' })
    const { etag } = await service.copy(from, to)
    expect(await service.head(to)).toMatchObject({
      etag,
      headers: { 'content-type': 'text/x-one', 'x-amz-meta-a': '1' },
    })
    await service.copy(from, other, { headers: { 'content-type': 'text/x-two', 'x-amz-meta-b': '2' } })
    const facts = await service.head(other)
    expect(facts?.headers).toMatchObject({ 'content-type': 'text/x-two', 'x-amz-meta-b': '2' })
    expect(facts?.headers).not.toHaveProperty('x-amz-meta-a')
    expect(await text(await service.get(other))).toBe('copied')
    await service.copy(to, to, { headers: { 'content-type': 'text/x-three' } })
    expect((await service.head(to))?.headers['content-type']).toBe('text/x-three')
  })

  it('keeps any name', async () => {
    const folder = `names-${randomUUID()}/`
    const names = ['a b', 'a+b', 'a%20b', 'a%2Fb', '\u00fc', 'q\'(!)*&<>"', '日本', '💾', '~', '=;,@:$#?']
    if (keepsAnyKey)
      names.push('u\u0308', 'tab\there', 'line\nend', 'return\rhere', '\u0001', 'x//y', '../z', './z', '/', '\\')
    const unique = [...new Set(names)].map((name) => folder + name)
    for (const key of unique) await put(key, key)
    for (const key of unique) expect(await text(await service.get(key))).toBe(key)
    const { objects } = await service.list({ prefix: folder })
    const order = unique.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
    expect(objects.map(({ key }) => key)).toEqual(order)
    const to = fresh()
    for (const key of unique) {
      await service.copy(key, to)
      expect(await text(await service.get(to))).toBe(key)
    }
    expect(await service.removeMany(unique)).toEqual([])
    expect((await service.list({ prefix: folder })).objects).toEqual([])
  })

  it('stays below its prefix', async () => {
    const name = `outside-${randomUUID()}`
    await bucket.put(name, [Buffer.from('outside')])
    await bucket.put(`some/folder-other/${name}`, [Buffer.from('outside')])
    await put(name, 'inside')
    expect(await text(await bucket.get(`some/folder/${name}`))).toBe('inside')
    const upload = { key: name, id: await bucket.beginUpload(name) }
    const listed = await all(service.listUploads())
    expect(listed.map(({ id }) => id)).not.toContain(upload.id)
    await bucket.abortUpload(upload)
    const keys = await keysOf((token) => service.list(token === undefined ? {} : { token }))
    expect(keys).toContain(name)
    expect(keys.filter((key) => key.includes('folder') || key === '')).toEqual([])
    await service.remove(name)
    expect(await bucket.head(name)).toBeDefined()
  })

  it('lists in pages, behind a name, and by folders', async () => {
    const folder = `pages-${randomUUID()}/`
    const keys = Array.from({ length: 23 }, (_, index) => `${folder}${String(index).padStart(2, '0')}`)
    await Promise.all(keys.map((key) => put(key, key)))
    const deep = [`${folder}deep/a`, `${folder}deep/b`, `${folder}zz/c`]
    await Promise.all(deep.map((key) => put(key, key)))
    const paged = await keysOf((token) =>
      service.list({ prefix: folder, max: 5, ...(token !== undefined && { token }) }),
    )
    expect(paged).toEqual([...keys, ...deep])
    const behind = await service.list({ prefix: folder, after: keys[20]!, max: 1 })
    expect(behind.objects.map(({ key }) => key)).toEqual([keys[21]])
    expect(behind.token).toBeDefined()
    const top = await service.list({ prefix: folder, delimiter: '/' })
    expect(top.objects.map(({ key }) => key)).toEqual(keys)
    expect(top.prefixes).toEqual([`${folder}deep/`, `${folder}zz/`])
    expect(top.token).toBeUndefined()
    const nothing = await service.list({ prefix: `${folder}none/` })
    expect(nothing).toEqual({ objects: [], prefixes: [], token: undefined })
    expect(await service.removeMany([...keys, ...deep, `${folder}missing`])).toEqual([])
    expect((await service.list({ prefix: folder })).objects).toEqual([])
  })

  it('puts parts together, in its own order, and of other objects', async () => {
    const key = fresh()
    const [one, two] = [randomBytes(minPartBytes), randomBytes(1000)]
    const source = fresh()
    const sourceEtag = await put(source, Buffer.concat([Buffer.from('skipped'), one]))
    const headers = { 'content-type': 'text/x-parts', 'x-amz-meta-a': 'b' }
    const upload = { key, id: await service.beginUpload(key, headers) }
    const listed = await all(service.listUploads())
    expect(listed).toContainEqual({ ...upload, begun: expect.any(Number) as number })
    expect(Math.abs(Date.now() - (listed.find(({ id }) => id === upload.id)?.begun ?? 0))).toBeLessThan(60_000)
    const second = await service.putPart(upload, 2, [two.subarray(0, 1), two.subarray(1)])
    const range = { start: 7, end: 7 + one.length }
    expect(await kindOf(service.copyPart(upload, 1, { key: source, etag: otherEtag, range }))).toBe('precondition')
    const first = await service.copyPart(upload, 1, { key: source, etag: sourceEtag, range })
    expect([first, second]).toEqual([md5(one), md5(two)])
    expect(await service.head(key)).toBeUndefined()
    const parts = [
      { number: 1, etag: first },
      { number: 2, etag: second },
    ]
    const stored = await service.completeUpload(upload, parts)
    const facts = await service.head(key)
    expect(facts).toMatchObject({ etag: stored.etag, size: minPartBytes + 1000, headers })
    expect(stored.etag).toMatch(/^[0-9a-f]{32}-2$/)
    expect((await bytesOf(await service.get(key))).equals(Buffer.concat([one, two]))).toBe(true)
    expect(await service.completeUpload(upload, parts)).toMatchObject({ etag: stored.etag })
    await put(key, 'another')
    expect(await kindOf(service.completeUpload(upload, parts))).not.toBe('done')
    expect(await all(service.listUploads())).toEqual([])
  })

  if (abilities.conditionalComplete)
    it('judges the condition of what is put together', async () => {
      const key = fresh()
      const complete = async (condition: { absent: true } | { etag: string }): Promise<string> => {
        const upload = { key, id: await service.beginUpload(key) }
        const etag = await service.putPart(upload, 1, [Buffer.from('x')])
        const outcome = await kindOf(service.completeUpload(upload, [{ number: 1, etag }], { condition }))
        await service.abortUpload(upload)
        return outcome
      }
      expect(await complete({ etag: otherEtag })).toBe('precondition')
      expect(await complete({ absent: true })).toBe('done')
      expect(await complete({ absent: true })).toBe('precondition')
      expect(await complete({ etag: (await service.head(key))!.etag })).toBe('done')
    })

  it('forgets an upload that is given up', async () => {
    const key = fresh()
    const upload = { key, id: await service.beginUpload(key) }
    const etag = await service.putPart(upload, 1, [Buffer.from('x')])
    await service.abortUpload(upload)
    await service.abortUpload(upload)
    expect(await kindOf(service.completeUpload(upload, [{ number: 1, etag }]))).toBe('not-found')
    expect(await service.head(key)).toBeUndefined()
  })

  it('gives URLs that hold for what they say and nothing else', async () => {
    const key = `${fresh()} ü&+`
    const headers = { 'content-type': 'text/x-signed' }
    const target = await service.presign({ method: 'PUT', key, expiresSeconds: 60, headers })
    expect(await fetched('PUT', target, 'signed')).toBe('403')
    expect(await fetched('PUT', target, 'signed', headers)).toBe('200')
    expect((await service.head(key))?.headers['content-type']).toBe('text/x-signed')
    const source = await service.presign({ method: 'GET', key, expiresSeconds: 60 })
    expect(await fetched('GET', source)).toBe('200 signed')
    expect(await fetched('PUT', source, 'other')).toBe('403')
    const elsewhere = new URL(source)
    elsewhere.pathname = elsewhere.pathname.replace(/[^/]*$/, 'other')
    expect(await fetched('GET', elsewhere)).toBe('403')
    const upload = { key, id: await service.beginUpload(key) }
    const part = await service.presign({
      method: 'PUT',
      key,
      expiresSeconds: 60,
      part: { uploadId: upload.id, number: 3 },
    })
    expect(await fetched('PUT', part, 'a part')).toBe('200')
    await service.completeUpload(upload, [{ number: 3, etag: md5(Buffer.from('a part')) }])
    expect(await text(await service.get(key))).toBe('a part')
  })
}

describeForeign('the S3 service over radosgw', cephNeeds, () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph()
  })
  afterAll(() => ceph.stop())

  serviceContract({ abilities: { ...none, conditionalPut: true }, keepsAnyKey: true }, async () => ({
    location: ceph.url(await freshBucket(ceph)),
    stop: async () => undefined,
  }))
})

describeForeign('the S3 service over a service that refuses conditions', cephNeeds, () => {
  let ceph: Ceph
  let relay: Relay
  beforeAll(async () => {
    ceph = await startCeph()
    relay = await startRelay(ceph.endpoint)
    relay.decide = ({ isConditional }) => (isConditional ? 'refuse' : 'pass')
  })
  afterAll(async () => {
    await relay.stop()
    await ceph.stop()
  })

  serviceContract({ abilities: none, keepsAnyKey: true }, async () => {
    const location = ceph.url(await freshBucket(ceph))
    return {
      location: location.replace(encodeURIComponent(ceph.endpoint), encodeURIComponent(relay.endpoint)),
      stop: async () => undefined,
    }
  })
})

describe("the S3 service over Postern's own", () => {
  serviceContract({ abilities: every, keepsAnyKey: false }, async () => {
    const server = await startServer({ config: 'listen: []\n' })
    const key = await issueKey(server, 'store', 'rw:/**')
    const at = { endpoint: server.url, ...key }
    const bucket = await freshBucket(at)
    return {
      location:
        `s3://${bucket}/?endpoint=${encodeURIComponent(server.url)}` +
        `&access_key_id=${key.accessKeyId}&secret_access_key=${encodeURIComponent(key.secretAccessKey)}`,
      stop: () => server[Symbol.asyncDispose](),
    }
  })
})

async function bytesOf({ bytes }: OpenObject): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function text(object: OpenObject): Promise<string> {
  return (await bytesOf(object)).toString()
}

async function all(pages: AsyncIterable<readonly OpenUpload[]>): Promise<readonly OpenUpload[]> {
  const found: OpenUpload[] = []
  for await (const page of pages) found.push(...page)
  return found
}

async function keysOf(page: (token: string | undefined) => ReturnType<S3Service['list']>): Promise<readonly string[]> {
  const keys: string[] = []
  let token: string | undefined
  do {
    const found = await page(token)
    keys.push(...found.objects.map(({ key }) => key))
    token = found.token
  } while (token !== undefined)
  return keys
}

/** The status, and the body of a success. */
function fetched(method: string, url: URL, body = '', headers: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { method, headers: { 'content-length': Buffer.byteLength(body), ...headers } })
    sent.on('response', (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => {
        const content = answer.statusCode === 200 ? Buffer.concat(chunks).toString() : ''
        resolve(`${answer.statusCode ?? 0} ${content}`.trim())
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
