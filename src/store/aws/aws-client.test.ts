import { getEventListeners, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createSecureServer } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { answer, cut, cutAfter, hang, openScriptedServer, s3Error } from '../../../test/scripted-server.js'
import type { ScriptedServer } from '../../../test/scripted-server.js'
import { ManualClock } from '../../core/clock.js'
import { Failure, isFailure } from '../../core/failure.js'
import { openCertificate } from '../../transport/self-signed.js'
import { errorCodeOf } from '../s3/service-errors.js'
import { createAwsClient } from './aws-client.js'
import type { AwsClient, AwsClientLimits, AwsClientOptions } from './aws-client.js'
import { createCredentials } from './credentials.js'

const secretAccessKey = 'a secret of the client'
const fixed = createCredentials({ settings: { accessKeyId: 'AKIA', secretAccessKey }, region: 'us-east-1' })
const quick: Partial<AwsClientLimits> = { pause: 1, silence: 150, connect: 500 }

let server: ScriptedServer
let client: AwsClient
let clock: ManualClock

beforeEach(async () => {
  server = await openScriptedServer(answer(200))
  clock = new ManualClock()
  client = clientOf()
})
afterEach(async () => {
  client.close()
  await server.close()
})

function clientOf(options: Partial<AwsClientOptions> = {}): AwsClient {
  return createAwsClient({
    endpoint: server.url,
    region: 'us-east-1',
    service: 's3',
    title: 'The storage service',
    codeOf: errorCodeOf,
    credentials: fixed,
    limits: quick,
    clock,
    ...options,
  })
}

const get = { method: 'GET', path: '/b/k' }
const put = { method: 'PUT', path: '/b/k', body: [Buffer.from('one '), Buffer.from('body')] }

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work
  } catch (error) {
    if (isFailure(error)) return error
    throw error
  }
  throw new Error('nothing failed')
}

describe('a service that fails for good', () => {
  it.each([
    ['cuts every connection', cut],
    ['never answers', hang],
    ['breaks off in every answer', cutAfter('<a', 100)],
    ['stops in every answer', cutAfter('<a', 100, { stays: true })],
    ['is broken', s3Error(500, 'InternalError')],
    ['is behind a broken gateway', answer(502, '<html>')],
    ['is too busy', s3Error(503, 'SlowDown')],
    ['is out of capacity', answer(400, '<Error><Code>ThrottlingException</Code></Error>')],
    ['says 429', answer(429)],
    ['is damaged on every way', s3Error(400, 'BadDigest')],
  ])('is unavailable after four attempts where it %s', async (_, act) => {
    server.play(act)
    const failure = await failureOf(client.send(put))
    expect(failure).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 5 })
    expect(failure.message).toBe('The storage service cannot be reached or is too busy. Try again soon.')
    expect(server.taken.map(({ body }) => body.toString())).toEqual(Array.from({ length: 4 }, () => 'one body'))
    expect(new Set(server.taken.map(({ headers }) => headers.authorization)).size).toBe(1)
  })

  it('is unavailable where nobody listens, and no message holds what was sent', async () => {
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as { port: number }
    closed.close()
    await once(closed, 'close')
    const away = clientOf({ endpoint: new URL(`http://127.0.0.1:${port}`) })
    const failure = await failureOf(away.send({ ...get, query: { 'X-Amz-Security-Token': 'a token' } }))
    away.close()
    expect(failure.kind).toBe('unavailable')
    let text = ''
    for (let error: unknown = failure; error instanceof Error; error = error.cause)
      text += `${error.message} ${JSON.stringify(error)} `
    expect(text).toContain('ECONNREFUSED')
    expect(text).not.toMatch(/a token|a secret|Signature/)
  })

  it('is unavailable where nobody vouches for its certificate, and is sent nothing', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'postern-tls-'))
    const { cert, key } = await openCertificate({ directory, hosts: [] })
    let requests = 0
    const secure = createSecureServer({ cert, key }, (_, response) => {
      requests += 1
      response.end()
    }).listen(0, '127.0.0.1')
    await once(secure, 'listening')
    const { port } = secure.address() as { port: number }
    const away = clientOf({ endpoint: new URL(`https://localhost:${port}`) })
    expect((await failureOf(away.send(get))).kind).toBe('unavailable')
    expect(requests).toBe(0)
    away.close()
    secure.close()
    rmSync(directory, { recursive: true })
  })

  it('is unavailable where it takes connections and speaks no HTTP', async () => {
    const odd = createServer((socket) => socket.end('SSH-2.0-x\r\n')).listen(0, '127.0.0.1')
    await once(odd, 'listening')
    const { port } = odd.address() as { port: number }
    const away = clientOf({ endpoint: new URL(`http://127.0.0.1:${port}`) })
    expect((await failureOf(away.send(get))).kind).toBe('unavailable')
    away.close()
    odd.close()
  })

  it('is not waited for longer than it asks to be by ten seconds', async () => {
    server.play(s3Error(503, 'SlowDown', { 'retry-after': '11' }))
    expect((await failureOf(client.send(get))).retryAfterSeconds).toBe(11)
    server.play(s3Error(503, 'SlowDown', { 'retry-after': '99999' }))
    expect((await failureOf(client.send(get))).retryAfterSeconds).toBe(300)
    expect(server.taken).toHaveLength(1)
  })

  it('is not asked again once patience is at its end', async () => {
    client.close()
    client = clientOf({ limits: { ...quick, patience: 200 } })
    server.play(hang)
    expect((await failureOf(client.send(get))).kind).toBe('unavailable')
    expect(server.taken.length).toBeLessThan(4)
  })

  it('cannot fill the memory', async () => {
    server.play(answer(200, Buffer.alloc(3000)))
    expect((await failureOf(client.send({ ...get, mostBytes: 2999 }))).kind).toBe('unavailable')
    expect((await client.send({ ...get, mostBytes: 3000 })).bytes).toHaveLength(3000)
    server.play(answer(404, Buffer.alloc(2 * 1024 * 1024)))
    expect((await failureOf(client.send(get))).kind).toBe('unavailable')
  })
})

describe('a service that fails for a while', () => {
  it.each([
    ['a cut connection', cut, true],
    ['silence', hang, true],
    ['half an answer', cutAfter('<a', 100), true],
    ['500', s3Error(500, 'InternalError'), true],
    ['503 of nobody knows whom', answer(503), true],
    ['SlowDown', s3Error(503, 'SlowDown'), false],
    ['a request that has timed out', s3Error(400, 'RequestTimeout'), false],
    ['a conflict', s3Error(409, 'OperationAborted'), false],
  ])('is asked again after %s, and says whether it may have been done before', async (_, act, mayHaveBeenDone) => {
    server.play(act, act, answer(200, 'done'))
    const found = await client.send(put)
    expect(found).toMatchObject({ status: 200, attempts: 3, mayHaveBeenDone, code: undefined })
    expect(found.bytes.toString()).toBe('done')
  })

  it('is asked again where a success turns out to be an error', async () => {
    server.play(s3Error(200, 'InternalError'), s3Error(200, 'SlowDown'), answer(200, '<CopyObjectResult/>'))
    expect(await client.send({ ...get, failsLate: true })).toMatchObject({ status: 200, code: undefined, attempts: 3 })
    server.play(s3Error(200, 'AccessDenied'))
    expect(await client.send({ ...get, failsLate: true })).toMatchObject({ status: 200, code: 'AccessDenied' })
    expect(await client.send(get)).toMatchObject({ status: 200, code: undefined })
  })

  it('is waited for as long as it asks', async () => {
    server.play(s3Error(503, 'SlowDown', { 'retry-after': '1' }), answer(200))
    const begun = performance.now()
    await client.send(get)
    expect(performance.now() - begun).toBeGreaterThan(990)
  })

  it('is asked again at once where it has just closed a connection that was kept', async () => {
    client.close()
    client = clientOf({ limits: { ...quick, pause: 60_000 } })
    await client.send(get)
    server.play((response) => response.socket?.destroy(), answer(200))
    expect(await client.send(get)).toMatchObject({ status: 200, attempts: 2 })
    server.closeIdle()
    expect((await client.send(get)).status).toBe(200)
  })
})

describe('an answer that no further attempt betters', () => {
  it.each([
    [403, 'AccessDenied'],
    [404, 'NoSuchKey'],
    [412, 'PreconditionFailed'],
    [409, 'BucketNotEmpty'],
    [301, 'PermanentRedirect'],
    [403, 'SignatureDoesNotMatch'],
    [403, 'RequestTimeTooSkewed'],
    [501, 'NotImplemented'],
  ])('is given as it is: %i %s', async (status, code) => {
    server.play(s3Error(status, code, { date: new Date(clock.now()).toUTCString() }))
    expect(await client.send(put)).toMatchObject({ status, code, attempts: 1, mayHaveBeenDone: false })
    const open = await client.open(put)
    expect(open).toMatchObject({ status, code, body: undefined })
    expect(server.taken).toHaveLength(2)
  })

  it('may have no code', async () => {
    server.play(answer(404))
    expect(await client.send({ method: 'HEAD', path: '/b/k' })).toMatchObject({ status: 404, code: '' })
  })
})

describe('a clock that is wrong', () => {
  const day = 24 * 3600_000
  const theirs = (): string => new Date(clock.now() + day).toUTCString()

  it.each([
    ['GET', s3Error],
    ['HEAD', (status: number, _: string, headers: Record<string, string>) => answer(status, '', headers)],
  ])('is corrected by the Date of the answer to %s, and stays so', async (method, error) => {
    server.play(error(403, 'RequestTimeTooSkewed', { date: theirs() }), answer(200))
    expect(await client.send({ method, path: '/b/k' })).toMatchObject({ status: 200, attempts: 2 })
    await client.send(get)
    const dates = server.taken.map(({ headers }) => headers['x-amz-date'])
    const signed = new Date(clock.now() + day).toISOString().replace(/[-:]|\.\d+/g, '')
    expect(dates).toEqual([new Date(clock.now()).toISOString().replace(/[-:]|\.\d+/g, ''), signed, signed])
    expect((await client.presign(get, 60)).searchParams.get('X-Amz-Date')).toBe(signed)
  })

  it('is corrected once only', async () => {
    let times = 0
    server.play((response, taken) => {
      times += 1
      s3Error(403, 'RequestTimeTooSkewed', { date: new Date(clock.now() + times * day).toUTCString() })(response, taken)
    })
    expect(await client.send(get)).toMatchObject({ status: 403, code: 'RequestTimeTooSkewed', attempts: 2 })
  })
})

describe('credentials that have expired', () => {
  it('are fetched anew, once', async () => {
    let asked = 0
    const credentials = createCredentials({
      settings: {},
      region: 'us-east-1',
      fetch: async () => ({ accessKeyId: `KEY${++asked}`, secretAccessKey: 'x', sessionToken: `token ${asked}` }),
    })
    client.close()
    client = clientOf({ credentials })
    server.play(s3Error(400, 'ExpiredToken'), answer(200))
    expect(await client.send(get)).toMatchObject({ status: 200, attempts: 2 })
    expect(server.taken.map(({ headers }) => headers['x-amz-security-token'])).toEqual(['token 1', 'token 2'])
    server.play(s3Error(400, 'ExpiredToken'))
    expect(await client.send(get)).toMatchObject({ status: 400, code: 'ExpiredToken', attempts: 2 })
    expect(asked).toBe(3)
  })

  it('may be none at all', async () => {
    client.close()
    client = clientOf({ credentials: createCredentials({ settings: { anonymous: true }, region: 'us-east-1' }) })
    await client.send(put)
    expect(server.taken[0]?.headers).not.toHaveProperty('authorization')
    expect((await client.presign(get, 60)).search).toBe('')
  })
})

describe('a signal', () => {
  const reason = new Failure('timeout', 'Too late.')

  it('that has aborted lets nothing be sent', async () => {
    expect(await failureOf(client.send({ ...get, signal: AbortSignal.abort(reason) }))).toBe(reason)
    expect(server.taken).toHaveLength(0)
  })

  it.each([
    ['an answer', hang],
    ['the rest of an answer', cutAfter('<a', 100, { stays: true })],
    ['a pause to end', s3Error(503, 'SlowDown', { 'retry-after': '10' })],
  ])('ends the wait for %s', async (_, act) => {
    const giving = new AbortController()
    server.play((response, taken) => {
      act(response, taken)
      setTimeout(() => giving.abort(reason), 20)
    })
    expect(await failureOf(client.send({ ...get, signal: giving.signal }))).toBe(reason)
    expect(server.taken).toHaveLength(1)
  })

  it('may end many requests at once, without a warning, and keeps no listener of those that are done', async () => {
    const giving = new AbortController()
    const warnings: Error[] = []
    const onWarning = (warning: Error): void => void warnings.push(warning)
    process.on('warning', onWarning)
    await Promise.all(Array.from({ length: 30 }, () => client.send({ ...get, signal: giving.signal })))
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
    expect(getEventListeners(giving.signal, 'abort')).toEqual([])
  })

  it('without a failure as its reason means that the request was given up', async () => {
    const giving = new AbortController()
    server.play(hang)
    const sent = client.send({ ...get, signal: giving.signal })
    giving.abort(new Error('gone'))
    expect((await failureOf(sent)).kind).toBe('incomplete')
  })

  it('ends a body that is being read', async () => {
    const giving = new AbortController()
    server.play(cutAfter('some', 100, { stays: true }))
    const { body } = await client.open({ ...get, signal: giving.signal })
    expect((await body?.next())?.value?.toString()).toBe('some')
    const next = body!.next()
    giving.abort(reason)
    await expect(next).rejects.toBe(reason)
    await expect(body!.next()).rejects.toBe(reason)
  })
})

describe('a body', () => {
  it('comes as it is read, and is not given up because it is read slowly', async () => {
    const content = Buffer.alloc(8 * 1024 * 1024, 'x')
    server.play(answer(200, content))
    const { body } = await client.open(get)
    let size = (await body?.next())?.value?.length ?? 0
    await new Promise((resolve) => setTimeout(resolve, 400))
    for await (const chunk of body!) size += chunk.length
    expect(size).toBe(content.length)
  })

  it('that stops coming is an error, as is one that breaks off', async () => {
    for (const stays of [true, false]) {
      server.play(cutAfter('some', 100, { stays }))
      const { body } = await client.open(get)
      expect((await body?.next())?.value?.toString()).toBe('some')
      await expect(body?.next()).rejects.toThrow()
      await expect(body?.next()).rejects.toThrow()
    }
  })

  it('that is let go ends its connection, and no other', async () => {
    server.play(cutAfter('some', 100, { stays: true }), answer(200, 'whole'))
    const { body } = await client.open(get)
    body?.close()
    body?.close()
    await expect(body?.next()).rejects.toMatchObject({ kind: 'incomplete' })
    expect((await client.send(get)).bytes.toString()).toBe('whole')
  })
})

describe('connections', () => {
  it('are kept, and never more than they may be', async () => {
    client.close()
    client = clientOf({ limits: { ...quick, maxSockets: 3 } })
    await Promise.all(Array.from({ length: 30 }, () => client.send(get)))
    expect(server.connections).toBe(3)
    for (let count = 0; count < 5; count += 1) await client.send(get)
    expect(server.connections).toBe(3)
  })
})
