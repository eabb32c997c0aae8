import { afterEach, describe, expect, it } from 'vitest'
import { generation, judging, ticketSeconds, workerKey } from '../../../test/judged-behind-the-door.js'
import { sha256, signedChunks, signedPolicy, type SentRequest } from '../../../test/s3-signer.js'
import { link, put } from '../../../test/s3-tampering.js'
import { arrived, exampleKey, exampleTime, identityOf, keySource } from '../../../test/s3-verification.js'
import type { LoginEvent } from '../../auth/audit.js'
import type { Directory, Identity } from '../../auth/identity.js'
import type { KeyedJudgeOptions } from '../../auth/sigv4/keyed-judge.js'
import { derivedKey } from '../../auth/sigv4/signing-keys.js'
import { ManualClock } from '../../core/clock.js'
import { isFailure } from '../../core/failure.js'
import { sentRequest } from '../sent-request.js'
import { readTicket } from '../ticket.js'
import type { Head } from '../wire/link.js'

const al: Identity = { ...identityOf(exampleKey), unixUser: 'al' }
const start = exampleTime
const minutes = 60_000

function owner(identity: Identity): Directory {
  return { ...keySource('keys'), signingKey: async (id) => id === exampleKey.id ? { secret: exampleKey.secret, identity } : undefined } // prettier-ignore
}

let told: Head[] = []

afterEach(() => {
  told = []
})

/** A door, and whoever has taken the front before it. */
function taken(options: Partial<KeyedJudgeOptions> = {}) {
  const clock = new ManualClock(start)
  const events: LoginEvent[] = []
  const door = judging({ directories: [owner(al)], clock, basePath: '', audit: (event) => events.push(event), ...options }) // prettier-ignore
  const ask = async (name: string, head: unknown, bytes?: Uint8Array): Promise<Head | string> => {
    try {
      const answer = await door.ask(name, head as Head, bytes && { bytes })
      told.push(answer.head)
      return answer.head
    } catch (error) {
      if (!isFailure(error)) throw error
      told.push({ kind: error.kind, reason: error.reason, message: error.message })
      return error.reason ?? error.kind
    }
  }
  const verify = (sent: SentRequest): Promise<Head | string> => ask('verify', { request: sentRequest(arrived(sent)) })
  return { clock, events, door, ask, verify }
}

function secondsOf(answer: Head | string, clock: ManualClock): number {
  if (typeof answer === 'string') throw new Error(answer)
  const ticket = readTicket(workerKey, answer.ticket, { uid: 1001, generation, now: clock.now() })
  expect(ticket?.expires).toBe(answer.ticketExpires)
  expect([answer.unixUser, ticket?.user]).toEqual(['al', 'al'])
  return ((ticket?.expires ?? 0) - clock.now()) / 1000
}

describe('a ticket', () => {
  it('comes with a signature that holds, and lasts no longer than others do', async () => {
    const { clock, verify } = taken()
    expect(secondsOf(await verify(put({ time: start + 10 * minutes })), clock)).toBe(ticketSeconds)
    expect(secondsOf(await verify(link({ expires: 604_800 })), clock)).toBe(ticketSeconds)
  })

  it('lasts as long as the proof does, but long enough to be of use', async () => {
    const { clock, verify } = taken()
    expect(secondsOf(await verify(put({ time: start - 10 * minutes })), clock)).toBe(5 * 60)
    expect(secondsOf(await verify(put({ time: start - 15 * minutes })), clock)).toBe(60)
    expect(secondsOf(await verify(link({ expires: 300 })), clock)).toBe(300)
    expect(secondsOf(await verify(link({ expires: 1 })), clock)).toBe(60)
  })

  it('cannot be had for a request that was kept', async () => {
    const { clock, verify } = taken()
    const [request, url] = [put(), link({ expires: 3600 })]
    clock.advanceSeconds(15 * 60 + 1)
    expect(await verify(request)).toBe('RequestTimeTooSkewed')
    expect(secondsOf(await verify(url), clock)).toBe(ticketSeconds)
    clock.advanceSeconds(45 * 60)
    expect(await verify(url)).toBe('AccessDenied')
  })

  it('cannot be had for somebody whose account is refused, which is written down', async () => {
    const { verify, events } = taken({ directories: [owner({ ...al, unixUser: 'root' })] })
    expect(await verify(put())).toBe('denied')
    const why = { event: 'login-failed', name: al.name, source: 'keys', why: 'there is no such account' }
    expect(events).toContainEqual({ ...why, address: '192.0.2.1' })
  })

  it('is none where nobody acts as a user of the system', async () => {
    const { verify } = taken({ directories: [owner(identityOf(exampleKey))] })
    expect(await verify(put())).toEqual({ identity: identityOf(exampleKey), by: 'header' })
  })

  it('of callers without a login is that of their user', async () => {
    const anonymous = { grants: ['r:/**'], unixUser: 'al' }
    const { clock, verify } = taken({ anonymous })
    const plain = { ...put(), headers: { host: 'h' } }
    expect(secondsOf(await verify(plain), clock)).toBe(ticketSeconds)
    expect(await taken().verify(plain)).toBe('AccessDenied')
  })
})

describe('nothing is gained by', () => {
  const chunked = put({ payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', body: '' })
  const chunks = signedChunks({ key: exampleKey, seed: chunked.signature, time: start, chunks: ['abc'] }).toString()
  const [, chunkSignature = ''] = /chunk-signature=([0-9a-f]{64})/.exec(chunks) ?? []
  const policyFields = signedPolicy(exampleKey, { expiration: new Date(start + minutes).toISOString(), conditions: [] }, start) // prettier-ignore
  const policySignature = policyFields['x-amz-signature'] ?? ''
  const withSignature = (sent: SentRequest, signature: string): SentRequest => ({
    ...sent,
    headers: {
      ...sent.headers,
      authorization: String(sent.headers.authorization).replace(/Signature=.*/, `Signature=${signature}`),
    },
  })
  const url = link({ expires: 1 })
  const parameter = (name: string): string => new URL(url.target, 'http://h').searchParams.get(name) ?? ''
  const urlAsHeader = {
    ...url,
    headers: {
      ...url.headers,
      'x-amz-date': parameter('X-Amz-Date'),
      'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
      authorization: `AWS4-HMAC-SHA256 Credential=${parameter('X-Amz-Credential')}, SignedHeaders=host, Signature=${url.signature}`,
    },
  }

  it.each<[string, SentRequest, string]>([
    ['the signature of a chunk as that of a request', withSignature(put(), chunkSignature), 'SignatureDoesNotMatch'],
    ['that of a policy', withSignature(put(), policySignature), 'SignatureDoesNotMatch'],
    ['that of another request', withSignature(put(), put({ path: '/b' }).signature), 'SignatureDoesNotMatch'],
    ['a URL for a longer time', { ...url, target: url.target.replace('Expires=1', 'Expires=600') }, 'SignatureDoesNotMatch'], // prettier-ignore
    ['a URL that has become a header', { ...urlAsHeader, target: url.target.replace(/\?.*/, '') }, 'AccessDenied'],
    ['a URL that is a header too', urlAsHeader, 'InvalidRequest'],
    ['a lie about the time', { ...put({ time: start - 1e7 }), headers: { ...put({ time: start - 1e7 }).headers, 'x-amz-date': '20130524T000000Z' } }, 'AuthorizationHeaderMalformed'], // prettier-ignore
    ['another region', withSignature(put({ region: 'eu-central-1' }), put().signature), 'SignatureDoesNotMatch'],
    ['another service', { ...put(), headers: { ...put().headers, authorization: String(put().headers.authorization).replace('/s3/', '/iam/') } }, 'AuthorizationHeaderMalformed'], // prettier-ignore
    ['another body', { ...put(), headers: { ...put().headers, 'x-amz-content-sha256': sha256('x') } }, 'SignatureDoesNotMatch'], // prettier-ignore
    ['a key that nobody has', put({ key: { id: 'AKIANOBODY', secret: exampleKey.secret } }), 'InvalidAccessKeyId'],
  ])('%s', async (_name, sent, code) => {
    expect(await taken().verify(sent)).toBe(code)
  })

  it('a method, a header or a target that holds the rest of another request', async () => {
    const { ask } = taken()
    const request = sentRequest(arrived(put()))
    for (const changed of [
      { method: 'PUT\n/a%20key' },
      { target: '/a key\n' },
      { authority: 'h\nx-amz-date:20130524T000000Z' },
      { headers: [['host', 'h\r\nx: y']] },
      { headers: [['Host', 'h']] },
      { headers: [['host']] },
      { headers: [['host', 'h'], ['host', 'i']] }, // prettier-ignore
      { headers: 'host' },
      { scheme: 'ftp' },
      { trusted: 1 },
      { address: 'me\n' },
      { address: 'x'.repeat(1000) },
      { method: 1 },
      { target: undefined },
    ])
      expect(await ask('verify', { request: { ...request, ...changed } }), JSON.stringify(changed)).toBe(
        'InvalidRequest',
      )
    for (const other of [undefined, null, 1, 'GET /', []]) expect(await ask('verify', { request: other })).toBe('InvalidRequest') // prettier-ignore
  })

  it('more than a message may hold: then there is no door any more', async () => {
    const { door, ask } = taken()
    const link = await door.link()
    expect(await ask('verify', { request: { headers: [['x', 'x'.repeat(600_000)]] } })).toBe('unavailable')
    expect((await link.closed).how).not.toBe('closed')
  })
})

describe('a chain of chunks', () => {
  const seed = put().signature
  const date = '20130524T000000Z'
  const { sign } = derivedKey(exampleKey.secret, '20130524', 'us-east-1')
  const question = { accessKeyId: exampleKey.id, day: '20130524', region: 'us-east-1', date, previous: seed, trailers: false } // prettier-ignore

  function linksOf(...hashes: readonly string[]): Buffer {
    let previous = seed
    const scope = '20130524/us-east-1/s3/aws4_request'
    const links = hashes.map((hash) => {
      const text = `AWS4-HMAC-SHA256-PAYLOAD\n${date}\n${scope}\n${previous}\n${sha256('')}\n${hash}`
      previous = Buffer.from(sign(text), 'base64').toString('hex')
      return hash + previous
    })
    return Buffer.from(links.join(''), 'hex')
  }

  const chain = linksOf(sha256('a'), sha256('b'), sha256('c'))

  it('is right, or wrong from a link on', async () => {
    const { ask } = taken()
    expect(await ask('verify-chunks', question, chain)).toEqual({})
    for (let at = 0; at < chain.length; at += 1) {
      const other = Buffer.from(chain)
      other[at] = (other[at] ?? 0) ^ 1
      expect(await ask('verify-chunks', question, other)).toEqual({ wrong: Math.floor(at / 64) })
    }
    expect(await ask('verify-chunks', question, chain.subarray(64))).toEqual({ wrong: 0 })
  })

  it.each<[string, object]>([
    ['a key that nobody has', { accessKeyId: 'AKIANOBODY' }],
    ['another day', { day: '20130525' }],
    ['another region', { region: 'eu-west-1' }],
    ['another time', { date: '20130524T000001Z' }],
    ['another beginning', { previous: '0'.repeat(64) }],
  ])('is not that of %s', async (_name, changed) => {
    expect(await taken().ask('verify-chunks', { ...question, ...changed }, chain)).toEqual({ wrong: 0 })
  })

  it('is no text of the caller’s choice', async () => {
    const { ask } = taken()
    for (const changed of [
      { accessKeyId: 'A\nB' },
      { accessKeyId: '' },
      { day: '2013052\n' },
      { region: 'us-east-1/s3/aws4_request\n' },
      { date: `${date}\n` },
      { previous: `${seed}\n` },
      { previous: 1 },
      { trailers: 'yes' },
    ])
      expect(await ask('verify-chunks', { ...question, ...changed }, chain), JSON.stringify(changed)).toBe('InvalidRequest') // prettier-ignore
    for (const bytes of [Buffer.alloc(0), chain.subarray(1), Buffer.alloc(513 * 64)])
      expect(await ask('verify-chunks', question, bytes)).toBe('InvalidRequest')
  })

  it('may end with trailers, which no chunk stands for', async () => {
    const { ask } = taken()
    expect(await ask('verify-chunks', { ...question, trailers: true }, chain)).toEqual({ wrong: 2 })
  })

  it('of a key that is looked up anew is none once the key has changed', async () => {
    let secret = exampleKey.secret
    const source: Directory = { ...owner(al), signingKey: async () => ({ secret, identity: al }) }
    const { ask } = taken({ directories: [source] })
    expect(await ask('verify-chunks', question, chain)).toEqual({})
    secret = 'another'
    expect(await ask('verify-chunks', question, chain)).toEqual({ wrong: 0 })
  })
})

describe('a form', () => {
  const policy = (expiresIn: number): Readonly<Record<string, string>> =>
    signedPolicy(exampleKey, { expiration: new Date(start + expiresIn).toISOString(), conditions: [{ bucket: 'b' }, ['starts-with', '$key', 'u/'], ...['x-amz-algorithm', 'x-amz-credential', 'x-amz-date'].map((name) => ['starts-with', `$${name}`, ''])] }, start) // prettier-ignore
  const request = sentRequest(arrived({ method: 'POST', headers: { host: 'h', 'content-type': 'multipart/form-data; boundary=x' } })) // prettier-ignore
  const form = (fields: Readonly<Record<string, string>>, more: object = {}): object => ({
    request,
    bucket: 'b',
    fileName: 'f',
    fields: Object.entries({ key: 'u/1', ...fields }),
    ...more,
  })

  it('brings a ticket that does not outlive its policy', async () => {
    const { clock, ask } = taken()
    expect(await ask('verify', { request })).toEqual({ form: true })
    expect(secondsOf(await ask('verify-form', form(policy(5 * minutes))), clock)).toBe(300)
    expect(secondsOf(await ask('verify-form', form(policy(600 * minutes))), clock)).toBe(ticketSeconds)
    clock.advanceSeconds(301)
    expect(await ask('verify-form', form(policy(5 * minutes)))).toBe('AccessDenied')
  })

  it('is not signed by what signs something else', async () => {
    const { ask } = taken()
    const other = policy(6 * minutes)
    for (const fields of [
      { ...policy(5 * minutes), policy: other.policy ?? '' },
      { ...policy(5 * minutes), 'x-amz-signature': put().signature },
      { ...policy(5 * minutes), 'x-amz-signature': 'x' },
    ])
      expect(await ask('verify-form', form(fields))).toBe('SignatureDoesNotMatch')
    expect(await ask('verify-form', form({ ...policy(5 * minutes), key: 'v/1' }))).toBe('AccessDenied')
    expect(await ask('verify-form', form(policy(5 * minutes), { bucket: 'c' }))).toBe('AccessDenied')
    expect(await ask('verify-form', form({}))).toBe('AccessDenied')
  })

  it('is refused where it has not the shape of one', async () => {
    const { ask } = taken()
    for (const more of [
      { bucket: undefined },
      { fileName: 1 },
      { fields: {} },
      { fields: [['key']] },
      { fields: [['key', 'a', 'b']] },
      { fields: [['key', 'a'], ['key', 'b']] }, // prettier-ignore
      { fields: ['key'] },
      { request: {} },
    ])
      expect(await ask('verify-form', form({}, more)), JSON.stringify(more)).toBe('InvalidRequest')
  })
})

describe('the door', () => {
  it('tells no secret, no key and no signature, whatever is asked', async () => {
    const { ask, verify, events } = taken()
    const secrets = [exampleKey.secret, workerKey.toString('base64'), put().signature, link().signature]
    for (const sent of [put(), link(), put({ key: { id: exampleKey.id, secret: 'x' } })]) await verify(sent)
    await verify({ ...put(), headers: { ...put().headers, authorization: 'AWS4-HMAC-SHA256 x' } })
    await ask('verify-form', { bucket: 'b' })
    const text = JSON.stringify([told, events])
    expect(told).toHaveLength(5)
    expect(secrets.filter((secret) => text.includes(secret))).toEqual([])
  })
})
