import { describe, expect, it } from 'vitest'
import { judging } from '../../../test/judged-behind-the-door.js'
import { doorTo } from '../../../test/privsep-door.js'
import { signedChunks } from '../../../test/s3-signer.js'
import { put, textOf } from '../../../test/s3-tampering.js'
import { arrived, bucketTarget, exampleKey, exampleTime, keySource } from '../../../test/s3-verification.js'
import { ManualClock } from '../../core/clock.js'
import { toPath } from '../../core/path.js'
import type { VerifiedRequest } from '../../auth/sigv4/verified.js'
import { openMemoryStore } from '../../store/memory.js'
import type { Link } from '../wire/link.js'
import { remoteSignatures } from './remote-signatures.js'
import { KeptTickets } from './ticket-book.js'

type Door = Pick<Link, 'ask'>

function judge(): ReturnType<typeof judging> {
  return judging({
    directories: [keySource('keys', exampleKey)],
    clock: new ManualClock(exampleTime),
    basePath: '',
    audit: () => undefined,
  })
}

/** A body of these chunks, in pieces as they come, whose request is signed. */
async function verified(
  door: Door,
  chunks: readonly string[],
  change: (body: Buffer) => Buffer = (body) => body,
): Promise<VerifiedRequest> {
  const length = chunks.join('').length
  const headers = { 'x-amz-decoded-content-length': String(length), 'content-encoding': 'aws-chunked' }
  const sent = put({ headers, payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', body: '' })
  const body = change(signedChunks({ key: exampleKey, seed: sent.signature, time: exampleTime, chunks }))
  const pieces = (async function* () {
    for (let at = 0; at < body.length; at += 1000) {
      await Promise.resolve()
      yield body.subarray(at, at + 1000)
    }
  })()
  const signatures = remoteSignatures({ door, book: new KeptTickets(new ManualClock(exampleTime)) })
  const { request } = await signatures.verify(arrived(sent, { body: pieces }), bucketTarget)
  return request
}

const many = Array.from({ length: 3000 }, (_, index) => `chunk ${index} `)

describe('a body in signed chunks', () => {
  it('is asked about in few questions, none of them long', async () => {
    const door = judge()
    const questions: number[] = []
    const counted: Door = {
      ask: (name, head, options) => {
        if (name === 'verify-chunks') questions.push((options?.bytes?.length ?? 0) / 64)
        return door.ask(name, head, options)
      },
    }
    const { body } = await verified(counted, many)
    expect(await textOf(body)).toBe(many.join(''))
    expect(questions.reduce((sum, count) => sum + count, 0)).toBe(many.length + 1)
    expect(Math.max(...questions)).toBeLessThanOrEqual(512)
    expect(questions.length).toBeLessThan(many.length / 10)
  })

  it.each([
    ['the first', 0],
    ['one in the middle', 1500],
    ['the last but one', 2998],
  ])('with other content in %s changes nothing that is stored', async (_name, at) => {
    const store = openMemoryStore()
    const path = toPath('/file')
    await store.write(path, arrived({ body: Buffer.from('old') }).body)
    const change = (body: Buffer): Buffer =>
      Buffer.from(body.toString('latin1').replace(`chunk ${at} `, `chunk ${at}!`), 'latin1')
    const { body } = await verified(judge(), many, change)
    await expect(store.write(path, body)).rejects.toMatchObject({ kind: 'denied', reason: 'SignatureDoesNotMatch' })
    const content = await store.open(path)
    expect(content.entry.size).toBe(3)
    await content.close()
    await store.close()
  })

  it('does not end where nobody says any more whether it is right', async () => {
    const door = judge()
    const request = await verified(door, many)
    ;(await door.link()).close()
    const read = request.body[Symbol.asyncIterator]()
    const all = async (): Promise<void> => {
      while ((await read.next()).done !== true);
    }
    await expect(all()).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(read.next()).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('does not end where the answer comes and the link goes at the same time', async () => {
    const door = judge()
    let asked = 0
    const leaving: Door = {
      ask: async (name, head, options) => {
        asked += 1
        if (asked === 3) (await door.link()).close()
        return door.ask(name, head, options)
      },
    }
    const { body } = await verified(leaving, many)
    await expect(textOf(body)).rejects.toMatchObject({ kind: 'unavailable' })
  })
})

describe('an answer that is none', () => {
  const answering = (head: object): Door => doorTo({ verify: { maxBytes: 1e6, handle: () => ({ head: { ...head } }) } }) // prettier-ignore

  it.each<[string, object]>([
    ['nothing', {}],
    ['a proof of another kind', { identity: {}, by: 'form' }],
  ])('lets nobody in: %s', async (_name, head) => {
    await expect(verified(answering(head), ['a'])).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('about a chunk is a no', async () => {
    const door = doorTo({
      verify: { maxBytes: 1e6, handle: () => ({ head: { identity: { name: 'x' }, by: 'header' } }) },
      'verify-chunks': { maxBytes: 1e6, handle: () => ({ head: { wrong: 'no' } }) },
    })
    const { body } = await verified(door, ['a'])
    await expect(textOf(body)).rejects.toMatchObject({ reason: 'SignatureDoesNotMatch' })
  })
})

describe('a request whose head is too large to be told of', () => {
  it('is refused, and the link stays', async () => {
    const door = judge()
    const signatures = remoteSignatures({ door, book: new KeptTickets(new ManualClock(exampleTime)) })
    const large = put({ headers: { 'x-amz-meta-a': 'x'.repeat(100_000) } })
    await expect(signatures.verify(arrived(large), bucketTarget)).rejects.toMatchObject({ kind: 'too-large' })
    const odd = put({ headers: { 'x-amz-meta-a': '\u00ff"\\\t'.repeat(12_000) } })
    await signatures.verify(arrived(odd), bucketTarget)
  })
})
