import { createHash, randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { Failure } from '../../src/core/failure.js'
import { openS3Service } from '../../src/store/s3/http-service.js'
import type { S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { openS3Store, type S3Store } from '../../src/store/s3.js'
import type { Body, Piece } from '../../src/store/store.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { body, bytesOf, failureOf, p, put, textOf } from '../contract/store/subject.js'
import { startRelay, type Fate, type Relay } from '../s3-relay.js'
import { describeForeign } from './tools.js'

const mebibyte = 2 ** 20
const patience = { attempts: 4, pause: 10 }

/** Bytes that differ everywhere. */
function bytes(mebibytes: number, seed = 1): Buffer {
  const all = Buffer.alloc(mebibytes * mebibyte)
  for (let at = 0, value = seed; at < all.length; at += 4)
    all.writeUInt32LE((value = (value * 1664525 + 1013904223) >>> 0), at)
  return all
}

async function* inChunks(all: Buffer, then?: () => Promise<void>): Body & AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < all.length; at += 65_536) yield all.subarray(at, at + 65_536)
  await then?.()
}

const md5 = (all: Uint8Array): Uint8Array => new Uint8Array(createHash('md5').update(all).digest())

describeForeign('writes to a bucket', cephNeeds, () => {
  let ceph: Ceph
  let bucket: string
  let relay: Relay
  /** Goes through the relay. */
  let store: S3Store
  /** Goes past it. */
  let others: S3Service

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
    relay = await startRelay(ceph.endpoint)
  })
  afterAll(async () => {
    await relay.stop()
    await ceph.stop()
  })

  beforeEach(async () => {
    const prefix = randomUUID()
    const settings = parseS3Url(ceph.url(bucket, prefix))
    others = await openS3Service({ settings, selfTest: true })
    const endpoint = new URL(relay.endpoint)
    const service = await openS3Service({ settings: { ...settings, endpoint }, selfTest: true, limits: patience })
    store = await openS3Store({ service, bufferBytes: 48 * mebibyte })
    relay.forget()
  })
  afterEach(async () => {
    relay.decide = () => 'pass'
    expect(await uploads()).toEqual([])
    await store.close()
    await others.close()
  })

  async function keys(): Promise<readonly string[]> {
    return (await others.list({})).objects.map(({ key }) => key)
  }

  async function uploads(): Promise<readonly string[]> {
    const found: string[] = []
    for await (const batch of others.listUploads()) found.push(...batch.map(({ key }) => key))
    return found
  }

  async function read(path: string): Promise<Buffer> {
    return await bytesOf(await store.open(p(path)))
  }

  const counted = (): Readonly<Record<string, number>> => {
    const counts: Record<string, number> = {}
    for (const verb of relay.verbs()) counts[verb] = (counts[verb] ?? 0) + 1
    return counts
  }

  it('leaves nothing of a large file that does not come to be, and the old one as it was', async () => {
    await put(store, '/d/f', 'old')
    const before = await keys()
    const large = bytes(20)
    const broken = new Error('the line broke')
    const refused = new Failure('locked', 'not now')
    for (const path of ['/d/f', '/d/new', '/x/y/new']) {
      const write = (source: Body, options: object = {}): Promise<unknown> =>
        store.write(p(path), source, { parents: true, ...options })
      await expect(write(inChunks(large, async () => Promise.reject(broken)))).rejects.toBe(broken)
      await expect(write(inChunks(large), { beforeCommit: async () => Promise.reject(refused) })).rejects.toBe(refused)
      expect(await failureOf(write(inChunks(large), { length: large.length + 1 }))).toBe('incomplete')
      expect(await failureOf(write(inChunks(large), { length: large.length - 1 }))).toBe('incomplete')
      const controller = new AbortController()
      const aborts = inChunks(large, async () => controller.abort('gone'))
      await expect(write(aborts, { signal: controller.signal })).rejects.toMatchObject({
        kind: 'incomplete',
        cause: 'gone',
      })
      const late = new AbortController()
      const beforeCommit = async (): Promise<void> => late.abort()
      expect(await failureOf(write(inChunks(large), { signal: late.signal, beforeCommit }))).toBe('incomplete')
      for (const verb of ['Begin', 'PutPart', 'Complete', 'List']) {
        relay.decide = (request) => (request.verb === verb ? 'deny' : 'pass')
        expect([verb, await failureOf(write(inChunks(large)))]).toEqual([verb, 'unavailable'])
        relay.decide = () => 'pass'
      }
      expect(await keys()).toEqual(before)
      expect(await uploads()).toEqual([])
    }
    expect(await textOf(store, '/d/f')).toBe('old')
  })

  it('stops a large body as soon as a part of it is refused', async () => {
    relay.decide = ({ verb }) => (verb === 'PutPart' ? 'deny' : 'pass')
    let given = 0
    async function* endless(): AsyncGenerator<Uint8Array, void> {
      for (;;) {
        given++
        yield Buffer.alloc(mebibyte)
      }
    }
    expect(await failureOf(store.write(p('/f'), endless()))).toBe('unavailable')
    expect(given).toBeLessThan(100)
  })

  it('counts an answer that was lost as what it was', async () => {
    for (const [verb, all] of [
      ['PUT', Buffer.from('small')],
      ['Complete', bytes(9)],
      ['PutPart', bytes(9)],
    ] as const) {
      let isLost = false
      relay.decide = (request) => {
        if (isLost || request.verb !== verb) return 'pass'
        isLost = true
        return 'lose-answer'
      }
      const { created, entry } = await store.write(p(`/${verb}`), inChunks(all), { ifNoneMatch: '*' })
      expect([verb, isLost, created]).toEqual([verb, true, true])
      expect((await store.stat(p(`/${verb}`)))?.etag).toBe(entry.etag)
      expect((await read(`/${verb}`)).equals(all)).toBe(true)
    }
  })

  it('makes few requests', async () => {
    await store.makeDirectory(p('/d'))
    relay.forget()
    await store.write(p('/d/new'), body('x'))
    expect(counted()).toMatchObject({ List: 1, PUT: 1 })
    relay.forget()
    await store.write(p('/d/new'), body('y'))
    expect(counted()).toMatchObject({ List: 1, PUT: 1 })
    relay.forget()
    await store.write(p('/d/large'), inChunks(bytes(20)))
    expect(counted()).toMatchObject({ Begin: 1, PutPart: 3, Complete: 1 })
    relay.forget()
    await store.write(p('/d/exact'), inChunks(bytes(8)))
    expect(counted()).toMatchObject({ List: 1, PUT: 1 })
    relay.forget()
    await store.copy(p('/d/large'), p('/d/copy'), { overwrite: false })
    expect(counted()).toMatchObject({ Copy: 1 })
  })

  it('keeps large files as they are, whether they say how long they are or not', async () => {
    const large = bytes(21).subarray(0, 21 * mebibyte - 17)
    for (const length of [undefined, large.length]) {
      let judged: Uint8Array | undefined
      const { entry, created } = await store.write(p('/f'), inChunks(large), {
        ...(length === undefined ? {} : { length }),
        digests: ['md5'],
        attributes: { 'content-type': 'text/plain', 'x-amz-meta-a': '\u00e4' },
        beforeCommit: async ({ digests, size }) => {
          expect(size).toBe(large.length)
          judged = digests.md5
        },
      })
      expect(judged).toEqual(md5(large))
      expect(created).toBe(length === undefined)
      expect(await store.stat(p('/f'))).toEqual(entry)
      expect(entry.attributes).toEqual({ 'content-type': 'text/plain', 'x-amz-meta-a': '\u00e4' })
      expect((await read('/f')).equals(large)).toBe(true)
    }
  })

  it('lets exactly one of several large writers of a new name win, and none over a newer file', async () => {
    const writers = [1, 2, 3].map((seed) =>
      failureOf(store.write(p('/f'), inChunks(bytes(9, seed)), { ifNoneMatch: '*' })),
    )
    const small = failureOf(store.write(p('/f'), body('small'), { ifNoneMatch: '*' }))
    expect((await Promise.all([...writers, small])).sort()).toEqual([
      'none',
      'precondition',
      'precondition',
      'precondition',
    ])
    const { etag } = (await store.stat(p('/f')))!
    const beforeCommit = async (): Promise<void> => {
      await put(store, '/f', 'newer')
    }
    expect(await failureOf(store.write(p('/f'), inChunks(bytes(9)), { ifMatch: [etag], beforeCommit }))).toBe(
      'precondition',
    )
    expect(await textOf(store, '/f')).toBe('newer')
  })

  it('lets many large uploads go on in little memory', async () => {
    const large = bytes(24)
    const whole = md5(large)
    await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        await store.write(p(`/f${index}`), inChunks(large), index % 2 === 0 ? {} : { length: large.length })
      }),
    )
    for (let index = 0; index < 8; index++) expect(md5(await read(`/f${index}`))).toEqual(whole)
  })

  it('puts files together within the service, but for what is small', async () => {
    const [one, two] = [bytes(12, 1), bytes(7, 2)]
    await store.write(p('/one'), inChunks(one))
    await store.write(p('/two'), inChunks(two))
    relay.forget()
    const pieces = (): readonly Piece[] => [
      { from: p('/one'), range: { start: 5, end: one.length } },
      { body: body('between') },
      { from: p('/two'), range: { start: 0, end: two.length } },
      { from: p('/one'), range: { start: 0, end: 10 } },
    ]
    const expected = Buffer.concat([one.subarray(5), Buffer.from('between'), two, one.subarray(0, 10)])
    const { entry } = await store.assemble(p('/out'), pieces(), { attributes: { a: 'b' } })
    expect([entry.size, entry.attributes]).toEqual([expected.length, { a: 'b' }])
    expect(counted()).toMatchObject({ Begin: 1, CopyPart: 1, Complete: 1 })
    expect((await read('/out')).equals(expected)).toBe(true)
    const own = { from: p('/out'), range: { start: 0, end: 6 * mebibyte } }
    const longer = Buffer.concat([expected, expected.subarray(0, own.range.end)])
    relay.forget()
    await store.assemble(p('/out'), [...pieces(), own], {
      digests: ['md5'],
      beforeCommit: async ({ digests }) => {
        expect(digests.md5).toEqual(md5(longer))
      },
    })
    expect(counted()).toMatchObject({ Begin: 1, CopyPart: 2, Complete: 1 })
    expect((await read('/out')).equals(longer)).toBe(true)
  })

  it('appends to large files without reading them, and never to another one than was seen', async () => {
    const large = bytes(10)
    await store.write(p('/f'), inChunks(large))
    relay.forget()
    const whole = { from: p('/f'), range: { start: 0, end: large.length } }
    await store.assemble(p('/f'), [whole, { body: body('+') }])
    expect(counted()['GET']).toBeUndefined()
    expect((await read('/f')).equals(Buffer.concat([large, Buffer.from('+')]))).toBe(true)
    const meddle = async (): Promise<void> => {
      await put(store, '/f', 'of another')
    }
    const late = store.assemble(p('/f'), [whole, { body: body('+') }], { beforeCommit: meddle })
    expect(await failureOf(late)).toBe('unavailable')
    expect(await textOf(store, '/f')).toBe('of another')
    async function* meddling(): AsyncGenerator<Uint8Array, void> {
      await put(store, '/g', 'of another')
      yield Buffer.from('+')
    }
    await store.write(p('/g'), inChunks(large))
    const own = { from: p('/g'), range: { start: 0, end: large.length } }
    expect(await failureOf(store.assemble(p('/h'), [{ body: meddling() }, own]))).toBe('unavailable')
    expect(await keys()).toEqual(['f', 'g'])
  })

  it('moves what is written to the source meanwhile as well', async () => {
    await put(store, '/from', 'first')
    let isMeddled = false
    relay.decide = async ({ verb, target }): Promise<Fate> => {
      // The copy is there, the source is about to go.
      if (!isMeddled && relay.verbs().includes('Copy') && verb !== 'Copy' && target.endsWith('/from')) {
        isMeddled = true
        await others.put('from', [Buffer.from('second')])
      }
      return 'pass'
    }
    const moved = await store.move(p('/from'), p('/to'), { overwrite: false })
    expect(moved.created).toBe(true)
    expect(await textOf(store, '/to')).toBe('second')
    expect(await store.stat(p('/from'))).toBeUndefined()
  })

  it('loses nothing where the source of a move cannot go', async () => {
    await put(store, '/from', 'content')
    relay.decide = ({ method }) => (method === 'DELETE' ? 'deny' : 'pass')
    expect(await failureOf(store.move(p('/from'), p('/to'), { overwrite: false }))).toBe('unavailable')
    expect(await textOf(store, '/from')).toBe('content')
  })

  it('makes files of parts within the service, and keeps the room where that fails', async () => {
    const all = [bytes(6, 1), bytes(9, 2), bytes(5, 3), bytes(1, 4)]
    const room = await store.parts.open(p('/f'))
    const stored = await Promise.all(
      all.map((each, index) => store.parts.put(room, index + 1, inChunks(each), { length: each.length })),
    )
    const before = await keys()
    for (const verb of ['Begin', 'CopyPart', 'Complete']) {
      relay.decide = (request) => (request.verb === verb ? 'deny' : 'pass')
      expect([verb, await failureOf(store.parts.become(room, p('/f'), stored))]).toEqual([verb, 'unavailable'])
      expect(await keys()).toEqual(before)
      expect(await uploads()).toEqual([])
    }
    relay.decide = () => 'pass'
    relay.forget()
    await store.parts.become(room, p('/f'), stored)
    expect(counted()).toMatchObject({ Begin: 1, CopyPart: 3, PutPart: 1, Complete: 1 })
    expect((await read('/f')).equals(Buffer.concat(all))).toBe(true)
    expect(await keys()).toEqual(['f'])
  })

  it('leaves nothing of a part that does not come to be, or comes too late', async () => {
    const room = await store.parts.open(p('/f'))
    const before = await keys()
    const broken = new Error('the line broke')
    const breaking = inChunks(bytes(20), async () => Promise.reject(broken))
    await expect(store.parts.put(room, 1, breaking)).rejects.toBe(broken)
    expect(await keys()).toEqual(before)
    const late = inChunks(bytes(20), async () => store.parts.close(room))
    expect(await failureOf(store.parts.put(room, 1, late))).toBe('not-found')
    expect(await keys()).toEqual([])
  })
})
