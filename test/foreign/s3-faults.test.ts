import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { FailureKind } from '../../src/core/failure.js'
import { openS3Service } from '../../src/store/s3/http-service.js'
import type { S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { openS3Store, type S3Store } from '../../src/store/s3.js'
import * as tree from '../../src/store/tree.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { body, failureOf, p, put, textOf } from '../contract/store/subject.js'
import { startServer } from '../harness.js'
import { startFaultProxy, times, type Fault, type FaultProxy, type ProxiedRequest } from '../s3-fault-proxy.js'
import { describeForeign } from './tools.js'

const mebibyte = 2 ** 20
const impatience = { attempts: 3, pause: 10, silence: 400, patience: 1500 }
/** Nothing may take longer than the patience, and one last attempt. */
const mostMilliseconds = 8000

const slowDown: Fault = { kind: 'answer', status: 503, code: 'SlowDown', retryAfter: 1 }
const internalError: Fault = { kind: 'answer', status: 500, code: 'InternalError' }
const lostAnswer: Fault = { kind: 'lose-answer' }
const cutAnswer: Fault = { kind: 'cut-answer', bytes: 20 }
const cutRequest: Fault = { kind: 'cut-request', bytes: 1000 }

const isVerb =
  (...verbs: readonly string[]) =>
  ({ verb }: ProxiedRequest): boolean =>
    verbs.includes(verb)

/** Differs everywhere, so that two halves of different texts would show. */
const large = (seed: string): Buffer => Buffer.alloc(20 * mebibyte, `${seed}-0123456789abcdef`)

async function* inChunks(all: Buffer): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < all.length; at += 2 ** 20) yield all.subarray(at, at + 2 ** 20)
}

describeForeign('faults of a storage service', cephNeeds, () => {
  let ceph: Ceph
  let bucket: string
  let proxy: FaultProxy
  /** Goes through the proxy. */
  let store: S3Store
  /** Goes past it. */
  let others: S3Service
  let calm: S3Store
  let prefix = ''

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
    proxy = await startFaultProxy(ceph.endpoint)
  })
  afterAll(async () => {
    await proxy.stop()
    await ceph.stop()
  })

  beforeEach(async () => {
    prefix = randomUUID()
    const settings = parseS3Url(ceph.url(bucket, prefix))
    others = await openS3Service({ settings, selfTest: true })
    calm = await openS3Store({ service: others })
    const endpoint = new URL(proxy.endpoint)
    const service = await openS3Service({ settings: { ...settings, endpoint }, selfTest: true, limits: impatience })
    store = await openS3Store({ service })
  })
  afterEach(async () => {
    proxy.fault = () => undefined
    await store.close()
    await calm.sweep({ before: Date.now() + 60_000, silence: 0 })
    const uploads: string[] = []
    for await (const batch of others.listUploads()) uploads.push(...batch.map(({ key }) => key))
    expect(uploads).toEqual([])
    const { objects } = await others.list({ prefix: '.postern-moves/' })
    expect(objects).toEqual([])
    await calm.close()
  })

  async function timed<Result>(work: Promise<Result>): Promise<Result> {
    const begun = Date.now()
    try {
      return await work
    } finally {
      expect(Date.now() - begun).toBeLessThan(mostMilliseconds)
    }
  }

  async function fill(): Promise<void> {
    await put(calm, '/d/a', 'one')
    await put(calm, '/d/b/c', 'two')
    await calm.makeDirectory(p('/empty'))
  }

  async function all(): Promise<Readonly<Record<string, string>>> {
    const found: Record<string, string> = {}
    for await (const batch of calm.list(p('/'), { depth: 'infinity' }))
      for (const { path, kind } of batch) found[path] = kind === 'file' ? await textOf(calm, path) : ''
    return found
  }

  type Work = readonly [name: string, work: () => Promise<unknown>]
  const works: readonly Work[] = [
    ['write', () => store.write(p('/d/a'), body('new'))],
    ['write in parts', () => store.write(p('/d/a'), inChunks(large('x')))],
    ['stat', () => store.stat(p('/d/a'))],
    ['open', () => textOf(store, '/d/a')],
    ['list', () => store.list(p('/d'))[Symbol.asyncIterator]().next()],
    ['change', () => store.change(p('/d/a'), { attributes: { a: 'b' } })],
    ['makeDirectory', () => store.makeDirectory(p('/new'))],
    ['remove', () => store.remove(p('/d/a'))],
    ['copy', () => store.copy(p('/d/a'), p('/d/copy'), { overwrite: false })],
    ['move', () => store.move(p('/d/a'), p('/d/moved'), { overwrite: false })],
    ['removeTree', () => store.removeTree(p('/d'))],
    ['copyTree', () => store.copyTree(p('/d'), p('/e'))],
    ['moveTree', () => store.moveTree(p('/d'), p('/e'))],
  ]

  const outages: readonly (readonly [name: string, fault: Fault])[] = [
    ['is throttling', slowDown],
    ['fails', internalError],
    ['cannot be reached', { kind: 'refuse' }],
    ['is silent', { kind: 'stall' }],
    ['breaks off', { kind: 'cut-answer', bytes: 0 }],
  ]

  describe.each(outages)('a service that %s', (_name, fault) => {
    it('is told of in bounded time, whatever is done, and nothing has changed', async () => {
      await fill()
      const before = await all()
      // A line that breaks tells nothing of what the service has done.
      const mayBeDone = fault.kind === 'cut-answer'
      proxy.fault = () => fault
      for (const [name, work] of works)
        expect([name, await timed(failureOf(work()))]).toEqual([name, 'unavailable' satisfies FailureKind])
      proxy.fault = () => undefined
      if (!mayBeDone) expect(await all()).toEqual(before)
      await put(store, '/d/a', 'again')
      expect(await textOf(calm, '/d/a')).toBe('again')
    })
  })

  const passing: readonly (readonly [name: string, fault: Fault, count: number])[] = [
    ['throttles twice', { kind: 'answer', status: 503, code: 'SlowDown' }, 2],
    ['fails twice', internalError, 2],
    ['breaks the line twice', { kind: 'refuse' }, 2],
    ['loses an answer', lostAnswer, 1],
    ['cuts an answer short', cutAnswer, 1],
  ]
  it.each(passing)('a service that %s is asked again, at every request', async (_name, fault, count) => {
    const done: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      write: { '/d/a': 'new' },
      copy: { '/d/copy': 'one' },
      move: { '/d/moved': 'one' },
      makeDirectory: { '/new': '' },
      copyTree: { '/e': '', '/e/a': 'one', '/e/b': '', '/e/b/c': 'two' },
      moveTree: { '/e': '', '/e/a': 'one', '/e/b': '', '/e/b/c': 'two' },
    }
    const verbs = ['HEAD', 'PUT', 'List', 'Copy', 'DELETE', 'DeleteMany', 'GET']
    for (const [name, work] of works) {
      const expected = done[name]
      if (expected === undefined) continue
      for (const verb of verbs) {
        await fill()
        proxy.fault = times(count, fault, isVerb(verb))
        expect([name, verb, await timed(failureOf(work()))]).toEqual([name, verb, 'none'])
        proxy.fault = () => undefined
        expect(await all()).toMatchObject(expected)
        for (const path of ['/d', '/e', '/new', '/empty']) await calm.removeTree(p(path)).catch(() => undefined)
      }
    }
  })

  it.each([
    ['a lost answer', lostAnswer],
    ['a request that was cut', cutRequest],
    ['an answer that was cut', cutAnswer],
    ['a failure', internalError],
  ])('an upload in parts outlives %s of each of its requests', async (_name, fault) => {
    // What a service makes of half a Complete it does not say for a while.
    for (const verb of fault === cutRequest ? ['Begin', 'UploadPart'] : ['Begin', 'UploadPart', 'Complete']) {
      const content = large(verb)
      proxy.fault = times(1, fault, isVerb(verb))
      const { entry } = await timed(store.write(p('/large'), inChunks(content)))
      proxy.fault = () => undefined
      expect((await calm.stat(p('/large')))?.etag).toBe(entry.etag)
      expect(Buffer.from(await textOf(calm, '/large')).equals(content)).toBe(true)
    }
  })

  it('shows whole files only, and keeps all that was said to be written, whatever happens in between', async () => {
    await put(calm, '/f', 'v0 '.repeat(10_000))
    let turn = 0
    const faults = [
      lostAnswer,
      cutRequest,
      cutAnswer,
      slowDown,
      internalError,
      { kind: 'delay', milliseconds: 30 } as const,
    ]
    proxy.fault = ({ verb }) => {
      turn++
      return verb === 'GET' || turn % 3 !== 0 ? undefined : faults[Math.floor(turn / 3) % faults.length]
    }
    let isOver = false as boolean
    const seen = new Set<string>()
    const reader = (async () => {
      while (!isOver) {
        const text = await textOf(calm, '/f')
        const [version = ''] = text.split(' ', 1)
        seen.add(version)
        const size = version.endsWith('L') ? 9 * mebibyte : 30_000
        expect([
          version,
          text === text.slice(0, version.length + 1).repeat(text.length / (version.length + 1)),
        ]).toEqual([version, true])
        expect(text.length).toBeGreaterThan(size / 2)
      }
    })()
    let last = 'v0'
    try {
      for (let version = 1; version <= 30; version++) {
        const text = version % 5 === 0 ? `v${version}L ` : `v${version} `
        const content = Buffer.from(text.repeat(text.includes('L') ? 2 * mebibyte : 10_000))
        const kind = await timed(failureOf(store.write(p('/f'), inChunks(content))))
        expect(['none', 'unavailable']).toContain(kind)
        if (kind === 'none') last = text.trim()
        const [now = ''] = (await textOf(calm, '/f')).split(' ', 1)
        if (kind === 'none') expect(now).toBe(last)
        else expect([last, text.trim()]).toContain(now)
        last = now
      }
    } finally {
      isOver = true
      await reader
    }
    expect(seen.size).toBeGreaterThan(3)
  })

  it('loses nothing of a tree whose listings are old', async () => {
    proxy.fault = () => ({ kind: 'stale', milliseconds: 1500 })
    for (let i = 0; i < 20; i++) await put(store, `/d/${i}`, `text ${i}`)
    await failureOf(tree.moveTree(store, p('/d'), p('/e'), { overwrite: true }))
    const found = await all()
    for (let i = 0; i < 20; i++) expect(found[`/e/${i}`] ?? found[`/d/${i}`]).toBe(`text ${i}`)
    proxy.fault = () => undefined
    await calm.sweep({ silence: 0 })
    const after = await all()
    for (let i = 0; i < 20; i++) expect(after[`/e/${i}`] ?? after[`/d/${i}`]).toBe(`text ${i}`)
  })

  it.each([-3600_000, 3600_000, 48 * 3600_000])(
    'works with a service that says it is %d ms later there',
    async (milliseconds) => {
      await fill()
      proxy.fault = () => ({ kind: 'date', milliseconds })
      await put(store, '/d/new', 'new')
      await store.moveTree(p('/d'), p('/e'))
      expect(await all()).toMatchObject({ '/e/a': 'one', '/e/b/c': 'two', '/e/new': 'new' })
      expect(await store.stat(p('/d'))).toBeUndefined()
    },
  )

  it('a move that is broken off anywhere by the service is repeated to its end by the same request', async () => {
    for (const verb of ['Copy', 'DeleteMany', 'PUT', 'DELETE']) {
      await fill()
      let broken = 0
      proxy.fault = (request) => (request.verb === verb && broken++ < 12 ? internalError : undefined)
      const first = await timed(failureOf(tree.moveTree(store, p('/d'), p('/e'), { overwrite: true })))
      expect([verb, ['none', 'unavailable'].includes(first)]).toEqual([verb, true])
      proxy.fault = () => undefined
      await calm.sweep({ silence: 0 })
      const again = await failureOf(tree.moveTree(store, p('/d'), p('/e'), { overwrite: true }))
      expect(['none', 'not-found', 'unavailable']).toContain(again)
      expect(await all()).toEqual({ '/e': '', '/e/a': 'one', '/e/b': '', '/e/b/c': 'two', '/empty': '' })
      await calm.removeTree(p('/e'))
      await calm.removeTree(p('/empty'))
    }
  })

  it('members that the service refuses are reported one by one, and the rest is done', async () => {
    const refused: Fault = { kind: 'answer', status: 403, code: 'AccessDenied' }
    await fill()
    proxy.fault = ({ verb, key }) => (verb === 'Copy' && key.endsWith('/b/c') ? refused : undefined)
    const copied = await tree.copyTree(store, p('/d'), p('/e'), { overwrite: false })
    expect(copied.failures.map(({ path, failure }) => [path, failure.kind])).toEqual([['/e/b/c', 'unavailable']])
    const expected = { '/d': '', '/d/a': 'one', '/d/b': '', '/d/b/c': 'two', '/empty': '' }
    expect(await all()).toEqual({ ...expected, '/e': '', '/e/a': 'one', '/e/b': '' })
    await calm.removeTree(p('/e'))
    const moved = await tree.moveTree(store, p('/d'), p('/e'), { overwrite: false })
    expect(moved.failures.map(({ path, failure }) => [path, failure.kind])).toEqual([['/e/b/c', 'unavailable']])
    expect(await all()).toEqual({
      '/d': '',
      '/d/b': '',
      '/d/b/c': 'two',
      '/empty': '',
      '/e': '',
      '/e/a': 'one',
      '/e/b': '',
    })
  })

  it('the real program answers 503 with Retry-After while the service is away or shut to it, and goes on afterwards', async () => {
    const endpoint = encodeURIComponent(proxy.endpoint)
    const url = ceph.url(bucket, prefix).replace(/endpoint=[^&]*/, `endpoint=${endpoint}`)
    await using server = await startServer({
      mounts: true,
      config: JSON.stringify({ mounts: [{ path: '/', s3: url }] }),
    })
    expect((await server.request('PUT', '/f', { body: 'acknowledged' })).status).toBe(201)
    const requests: readonly (readonly [string, string, object?])[] = [
      ['GET', '/f'],
      ['PUT', '/f', { body: 'new' }],
      ['PUT', '/g', { body: 'new' }],
      ['DELETE', '/f'],
      ['MKCOL', '/new'],
      ['COPY', '/f', { headers: { destination: `${server.url}/h` } }],
      ['MOVE', '/f', { headers: { destination: `${server.url}/h` } }],
      ['PROPFIND', '/f', { headers: { depth: '0' } }],
      ['PROPFIND', '/', { headers: { depth: '1' } }],
    ]
    const forbidden = { kind: 'answer', status: 403, code: 'AccessDenied' } as const
    for (const fault of [slowDown, { kind: 'refuse' } as const, forbidden]) {
      proxy.fault = () => fault
      const begun = Date.now()
      const answers = await Promise.all(
        requests.map(async ([method, target, more]) => server.request(method, target, more ?? {})),
      )
      expect(Date.now() - begun).toBeLessThan(60_000)
      for (const [index, answer] of answers.entries())
        expect([
          requests[index]?.[0],
          answer.status,
          /^[0-9]+$/.test(answer.headers.get('retry-after')?.[0] ?? ''),
        ]).toEqual([requests[index]?.[0], 503, true])
      expect((await server.request('GET', '/-/ready')).status).toBe(503)
      proxy.fault = () => undefined
      const answer = await server.request('GET', '/f')
      expect([answer.status, answer.body.toString()]).toEqual([200, 'acknowledged'])
    }
  })
})
