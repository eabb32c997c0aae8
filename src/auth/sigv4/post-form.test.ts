import { createHmac, hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { waysNow } from '../../../test/s3-verification.js'
import { ManualClock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import type { Directory, Identity } from '../identity.js'
import { verifyForm } from './post-form.js'

const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const credential = `${accessKeyId}/20151229/us-east-1/s3/aws4_request`
const date = '20151229T000000Z'
const alice: Identity = { name: 'alice', source: 'catalog', grants: ['rw:/**'] }
const anybody: Identity = { name: 'anonymous', source: 'anonymous', grants: [] }
const boundary = '----9431149156168'
const content = 'the content\r\n--of a file\r\n'

function keyOf(day: string, region: string): Uint8Array {
  const parts = [day, region, 's3', 'aws4_request']
  return parts.reduce<Uint8Array>((key, part) => hmac(key, part), Buffer.from(`AWS4${secret}`))
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/** What forms are judged by. */
interface Judge {
  readonly anonymous?: Identity
  readonly now: number
}

const judge: Judge = { now: Date.UTC(2015, 11, 29, 12) }

const keys: Directory = {
  name: 'catalog',
  accepts: new Set(),
  check: async () => ({ kind: 'unknown' }),
  signingKey: async (id) => (id === accessKeyId ? { secret, identity: alice } : undefined),
}

function judging({ anonymous, now }: Judge): Parameters<typeof verifyForm>[2] {
  return waysNow().form({
    directories: [keys],
    clock: new ManualClock(now),
    basePath: '',
    ...(anonymous && { anonymous }),
    audit: () => undefined,
  })
}

type Fields = Readonly<Record<string, string>>

const conditions: readonly unknown[] = [
  { bucket: 'bucket' },
  ['starts-with', '$key', 'user/'],
  { 'x-amz-credential': credential },
  { 'x-amz-algorithm': 'AWS4-HMAC-SHA256' },
  { 'x-amz-date': date },
]

function encoded(policy: unknown): string {
  return Buffer.from(typeof policy === 'string' ? policy : JSON.stringify(policy)).toString('base64')
}

function policyOf(more: readonly unknown[] = []): unknown {
  return { expiration: '2015-12-30T12:00:00.000Z', conditions: [...conditions, ...more] }
}

/** The fields that sign a policy. */
function signedFields(policy: unknown = policyOf(), text = encoded(policy)): Fields {
  return {
    key: 'user/name',
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': credential,
    'X-Amz-Date': date,
    Policy: text,
    'X-Amz-Signature': hmac(keyOf('20151229', 'us-east-1'), text).toString('hex'),
  }
}

function without(fields: Fields, name: string): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([other]) => other.toLowerCase() !== name))
}

function partOf(name: string, value: string): string {
  return `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
}

function fileOf(
  value = content,
  head = 'Content-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain',
): string {
  return `--${boundary}\r\n${head}\r\n\r\n${value}\r\n--${boundary}--\r\n`
}

function formOf(fields: Fields, file = fileOf()): string {
  return (
    Object.entries(fields)
      .map(([name, value]) => partOf(name, value))
      .join('') + file
  )
}

function bytewise(text: string): readonly Buffer[] {
  return Array.from(Buffer.from(text), (byte) => Buffer.of(byte))
}

interface Sent {
  readonly pieces: readonly (string | Uint8Array)[]
  readonly type?: string
  readonly bucket?: string
  readonly target?: string
  readonly judge?: Partial<Judge>
}

function requestOf({
  pieces,
  target = '/bucket',
  type = `multipart/form-data; boundary=${boundary}`,
}: Sent): HttpRequest {
  return {
    method: 'POST',
    target,
    headers: new Map([['content-type', [type]]]),
    body: (async function* () {
      for (const piece of pieces) {
        await Promise.resolve()
        yield Buffer.from(piece)
      }
    })(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
}

async function take(sent: Sent) {
  const verified = await verifyForm(requestOf(sent), sent.bucket ?? 'bucket', judging({ ...judge, ...sent.judge }))
  const chunks: Uint8Array[] = []
  const read = verified.body[Symbol.asyncIterator]()
  try {
    for (let next = await read.next(); next.done !== true; next = await read.next()) chunks.push(next.value)
  } catch (error) {
    await expect(read.next()).rejects.toBe(error)
    throw error
  }
  return { ...verified, content: Buffer.concat(chunks).toString() }
}

/** `accepted`, or the code of the failure: nothing but a Failure may be thrown. */
async function verdictOf(sent: Sent): Promise<string> {
  try {
    return `accepted ${(await take(sent)).content.length}`
  } catch (error) {
    if (error instanceof Failure) return error.reason ?? error.kind
    throw error
  }
}

const all = `accepted ${content.length}`
const form = (fields: Fields, file?: string): Sent => ({ pieces: [formOf(fields, file)] })
const withPolicy = (policy: unknown, fields: Fields = {}): Sent => form({ ...signedFields(policy), ...fields })

describe('a form that somebody tampered with', () => {
  it.each([
    ['no key', form(without(signedFields(), 'key')), 'InvalidArgument'],
    ['no policy', form(without(signedFields(), 'policy')), 'InvalidArgument'],
    ['no signature', form(without(signedFields(), 'x-amz-signature')), 'InvalidArgument'],
    ['no credential', form(without(signedFields(), 'x-amz-credential')), 'InvalidArgument'],
    ['no date', form(without(signedFields(), 'x-amz-date')), 'InvalidArgument'],
    ['no algorithm', form(without(signedFields(), 'x-amz-algorithm')), 'InvalidArgument'],
    ['another algorithm', form({ ...signedFields(), 'x-amz-algorithm': 'AWS4-ECDSA-P256-SHA256' }), 'InvalidArgument'],
    ['an empty signature', form({ ...signedFields(), 'X-Amz-Signature': '' }), 'SignatureDoesNotMatch'],
    ['another signature', form({ ...signedFields(), 'X-Amz-Signature': '0'.repeat(64) }), 'SignatureDoesNotMatch'],
    [
      'the signature in upper case',
      form({ ...signedFields(), 'X-Amz-Signature': signedFields()['X-Amz-Signature']?.toUpperCase() ?? '' }),
      'SignatureDoesNotMatch',
    ],
    [
      'another policy',
      form({ ...signedFields(), Policy: encoded(policyOf([['starts-with', '$acl', '']])) }),
      'SignatureDoesNotMatch',
    ],
    ['an empty policy', form({ ...signedFields(), Policy: '' }), 'SignatureDoesNotMatch'],
    [
      'a policy and not a word of who signed it',
      form({ key: 'user/a', policy: encoded(policyOf()) }),
      'InvalidArgument',
    ],
    [
      'an unknown access key',
      form({ ...signedFields(), 'X-Amz-Credential': `NOBODY/20151229/us-east-1/s3/aws4_request` }),
      'InvalidAccessKeyId',
    ],
    [
      'a scope of another day',
      form({ ...signedFields(), 'X-Amz-Credential': `${accessKeyId}/20151230/us-east-1/s3/aws4_request` }),
      'InvalidArgument',
    ],
    [
      'a scope of another region',
      form({ ...signedFields(), 'X-Amz-Credential': `${accessKeyId}/20151229/eu-west-1/s3/aws4_request` }),
      'SignatureDoesNotMatch',
    ],
    [
      'a scope of another service',
      form({ ...signedFields(), 'X-Amz-Credential': `${accessKeyId}/20151229/us-east-1/iam/aws4_request` }),
      'InvalidArgument',
    ],
    ['a security token', form({ ...signedFields(), 'x-amz-security-token': 'x' }), 'InvalidToken'],
    [
      'Signature Version 2',
      form({ key: 'user/a', AWSAccessKeyId: accessKeyId, policy: encoded(policyOf()), signature: 'x' }),
      'InvalidRequest',
    ],
    ['a field of no condition', form({ ...signedFields(), acl: 'public-read' }), 'AccessDenied'],
    ['metadata of no condition', form({ ...signedFields(), 'x-amz-meta-a': '' }), 'AccessDenied'],
    [
      'a redirection of no condition',
      form({ ...signedFields(), success_action_redirect: 'http://evil/' }),
      'AccessDenied',
    ],
    ['another key', form({ ...signedFields(), key: 'other/name' }), 'AccessDenied'],
    ['another bucket', { ...form(signedFields()), bucket: 'other' }, 'AccessDenied'],
    ['another bucket in a field', form({ ...signedFields(), bucket: 'other' }), 'AccessDenied'],
    [
      'a second key',
      {
        pieces: [partOf('key', 'user/first') + partOf('KEY', 'other/second') + formOf(without(signedFields(), 'key'))],
      },
      'InvalidArgument',
    ],
    [
      'a second policy',
      { pieces: [partOf('policy', encoded(policyOf())) + formOf(signedFields())] },
      'InvalidArgument',
    ],
    [
      'after the policy expired',
      { ...form(signedFields()), judge: { now: Date.UTC(2015, 11, 30, 12) } },
      'AccessDenied',
    ],
    [
      'a key that the name of the file leads out of',
      form(
        { ...signedFields(), key: '${filename}' },
        fileOf(content, 'Content-Disposition: form-data; name="file"; filename="user"'),
      ),
      'AccessDenied',
    ],
  ])('is refused: %s', async (_, sent: Sent, code) => {
    expect(await verdictOf(sent)).toBe(code)
  })

  it('is refused where its address asks for something else in the name of the signer', async () => {
    for (const target of [
      '/bucket/key?uploads',
      '/bucket/key?uploadId=abc',
      '/bucket?delete',
      '/bucket?x=y',
      '/bucket?\n',
    ])
      expect(await verdictOf({ ...form(signedFields()), target })).toBe('InvalidRequest')
    expect(await verdictOf({ ...form(signedFields()), target: '/bucket/?' })).toBe(all)
  })

  it('is refused without a policy, but from anybody where that is allowed', async () => {
    expect(await verdictOf(form({ key: 'user/a' }))).toBe('AccessDenied')
    const allowed = { ...form({ key: 'user/a', acl: 'private' }), judge: { anonymous: anybody } }
    expect(await take(allowed)).toMatchObject({ identity: anybody, signed: false, content })
    expect(await verdictOf({ ...form({ ...signedFields(), key: 'x' }), judge: { anonymous: anybody } })).toBe(
      'AccessDenied',
    )
    expect(await verdictOf({ ...form({ key: 'user/a', 'x-amz-signature': 'x' }), judge: { anonymous: anybody } })).toBe(
      'InvalidArgument',
    )
    expect(await verdictOf({ ...form({ key: 'a', bucket: 'other' }), judge: { anonymous: anybody } })).toBe(
      'AccessDenied',
    )
  })

  it('never ends when cut off before the file does, nor with another file when any byte is another', async () => {
    const text = Buffer.from(formOf(signedFields(policyOf([['content-length-range', 1, 100]]))))
    const end = text.lastIndexOf(`\r\n--${boundary}--`) + boundary.length + 6
    for (let at = 0; at < end; at++) expect(await verdictOf({ pieces: [text.subarray(0, at)] })).toBe('IncompleteBody')
    const file = text.indexOf(content)
    for (let at = 0; at < file; at++) {
      const other = Buffer.from(text)
      other[at] = (other[at] ?? 0) ^ 1
      const verdict = await verdictOf({ pieces: [other] })
      if (verdict.startsWith('accepted')) expect(verdict, `byte ${at}`).toBe(all)
    }
  })
})

describe('the policy of a form', () => {
  it.each([
    ['no base64', 'x'],
    ['base64 and more', `${encoded(policyOf())}=`],
    ['no JSON', encoded('{')],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22]).toString('base64')],
    ['a list', encoded([])],
    ['null', encoded('null')],
    ['no expiration', encoded({ conditions })],
    ['no conditions', encoded({ expiration: '2015-12-30T12:00:00Z' })],
    ['conditions that are no list', encoded({ expiration: '2015-12-30T12:00:00Z', conditions: {} })],
    ['something unknown', encoded({ ...(policyOf() as object), version: 1 })],
    ['an expiration without a zone', encoded({ expiration: '2015-12-30T12:00:00', conditions })],
    ['an expiration that is no day', encoded({ expiration: '2015-13-30T12:00:00Z', conditions })],
    ['an expiration in seconds', encoded({ expiration: 1893456000, conditions })],
    ['an unknown condition', encoded(policyOf([['ends-with', '$key', '.txt']]))],
    ['a condition of two', encoded(policyOf([['eq', '$acl']]))],
    ['a condition of four', encoded(policyOf([['eq', '$acl', 'a', 'b']]))],
    ['a field without a dollar sign', encoded(policyOf([['eq', 'acl', 'a']]))],
    ['a field without a name', encoded(policyOf([['eq', '$', 'a']]))],
    ['a value that is no text', encoded(policyOf([['eq', '$acl', 1]]))],
    ['a simple condition of two', encoded(policyOf([{ acl: 'a', 'content-type': 'b' }]))],
    ['a simple condition of none', encoded(policyOf([{}]))],
    ['a simple condition on no text', encoded(policyOf([{ acl: ['private'] }]))],
    ['a condition that is a text', encoded(policyOf(['acl']))],
    ['a condition that is nothing', encoded(policyOf([null]))],
    ['a range of one', encoded(policyOf([['content-length-range', 1]]))],
    ['a range of three', encoded(policyOf([['content-length-range', 1, 2, 3]]))],
    ['a range the wrong way round', encoded(policyOf([['content-length-range', 2, 1]]))],
    ['a negative range', encoded(policyOf([['content-length-range', -1, 1]]))],
    ['a range of fractions', encoded(policyOf([['content-length-range', 0, 1.5]]))],
    ['a range of words', encoded(policyOf([['content-length-range', 'a', 'b']]))],
  ])('may not be: %s', async (_, text) => {
    expect(await verdictOf(form(signedFields(undefined, text)))).toBe('InvalidPolicyDocument')
  })

  it('must name the bucket', async () => {
    const policy = { expiration: '2015-12-30T12:00:00Z', conditions: conditions.slice(1) }
    expect(await verdictOf(withPolicy(policy))).toBe('AccessDenied')
  })

  it.each([
    [['eq', '$acl', 'private'], { acl: 'private' }, true],
    [['EQ', '$ACL', 'private'], { Acl: 'private' }, true],
    [{ acl: 'private' }, { acl: 'private' }, true],
    [{ acl: 'private' }, { acl: 'Private' }, false],
    [{ acl: 'private' }, { acl: 'private ' }, false],
    [{ acl: 'private' }, {}, false],
    [['eq', '$acl', ''], {}, true],
    [['starts-with', '$acl', 'p'], { acl: 'private' }, true],
    [['starts-with', '$acl', 'p'], { acl: 'x' }, false],
    [['starts-with', '$acl', ''], { acl: 'x' }, true],
    [['starts-with', '$acl', ''], {}, true],
    [['starts-with', '$acl', 'p'], {}, false],
    [['starts-with', '$Content-Type', 'image/'], { 'Content-Type': 'image/png' }, true],
    [['starts-with', '$Content-Type', 'image/'], { 'Content-Type': 'image/png, image/gif' }, true],
    [['starts-with', '$Content-Type', 'image/'], { 'Content-Type': 'image/png,text/html' }, false],
    [['eq', '$toString', ''], { toString: 'x' }, false],
  ])('with the condition %j and the fields %j: %s', async (condition, fields, holds) => {
    expect(await verdictOf(withPolicy(policyOf([condition]), fields as Fields))).toBe(holds ? all : 'AccessDenied')
  })

  it('must have all its conditions hold, also two on one field', async () => {
    const policy = policyOf([['starts-with', '$acl', 'p'], { acl: 'private' }])
    expect(await verdictOf(withPolicy(policy, { acl: 'public-read' }))).toBe('AccessDenied')
    expect(await verdictOf(withPolicy(policy, { acl: 'private' }))).toBe(all)
  })

  it.each([
    [[['content-length-range', content.length, content.length]], all],
    [[['content-length-range', '0', '100']], all],
    [[['content-length-range', 0, content.length - 1]], 'EntityTooLarge'],
    [[['content-length-range', content.length + 1, 1000]], 'EntityTooSmall'],
    [
      [
        ['content-length-range', 0, 1000],
        ['content-length-range', 0, 5],
      ],
      'EntityTooLarge',
    ],
    [[['content-length-range', 0, 0]], 'EntityTooLarge'],
  ])('holds the file to its real size: %j', async (ranges, verdict) => {
    expect(await verdictOf(withPolicy(policyOf(ranges)))).toBe(verdict)
    expect(await verdictOf({ pieces: bytewise(formOf(signedFields(policyOf(ranges)))) })).toBe(verdict)
  })

  it('asks nothing of fields that are to be ignored', async () => {
    expect(await verdictOf(form({ ...signedFields(), 'X-Ignore-This': 'x' }))).toBe(all)
  })
})

describe('a form that cannot be read', () => {
  const good = formOf(signedFields())
  it.each([
    ['another type', { pieces: [good], type: 'application/x-www-form-urlencoded' }, 'PreconditionFailed'],
    ['no boundary', { pieces: [good], type: 'multipart/form-data' }, 'PreconditionFailed'],
    ['an empty boundary', { pieces: [good], type: 'multipart/form-data; boundary=""' }, 'PreconditionFailed'],
    [
      'a boundary too long',
      { pieces: [good], type: `multipart/form-data; boundary=${'b'.repeat(71)}` },
      'PreconditionFailed',
    ],
    ['another boundary', { pieces: [good], type: 'multipart/form-data; boundary=other' }, 'MalformedPOSTRequest'],
    ['nothing', { pieces: [] }, 'IncompleteBody'],
    ['no file', { pieces: [formOf(signedFields(), `--${boundary}--\r\n`)] }, 'InvalidArgument'],
    ['the end only', { pieces: [`--${boundary}--\r\n`] }, 'InvalidArgument'],
    [
      'fields after the file only',
      { pieces: [fileOf().replace(/--\r\n$/, '\r\n') + formOf(signedFields())] },
      'InvalidArgument',
    ],
    [
      'something after a delimiter',
      { pieces: [good.replace(`${boundary}\r\n`, `${boundary}x\r\n`)] },
      'MalformedPOSTRequest',
    ],
    [
      'something after the last delimiter',
      { pieces: [good.replace(`${boundary}--\r\n`, `${boundary}xx\r\n`)] },
      'MalformedPOSTRequest',
    ],
    [
      'a part without headers',
      { pieces: [good.replace(/Content-Disposition: [^\r]*\r\n/, '')] },
      'MalformedPOSTRequest',
    ],
    ['a part without a name', { pieces: [good.replace('; name="key"', '')] }, 'MalformedPOSTRequest'],
    [
      'a part with two names',
      { pieces: [good.replace('name="key"', 'name="key"; name="acl"')] },
      'MalformedPOSTRequest',
    ],
    [
      'a part with two dispositions',
      { pieces: [good.replace('name="key"', 'name="key"\r\nContent-Disposition: form-data; name="acl"')] },
      'MalformedPOSTRequest',
    ],
    [
      'an attachment',
      { pieces: [good.replace('form-data; name="key"', 'attachment; name="key"')] },
      'MalformedPOSTRequest',
    ],
    ['a name without its end', { pieces: [good.replace('name="key"', 'name="key')] }, 'MalformedPOSTRequest'],
    [
      'invalid UTF-8',
      { pieces: [Buffer.from(good.replace('user/name', 'user/\xff'), 'latin1')] },
      'MalformedPOSTRequest',
    ],
    [
      'more than 20 KiB before the file',
      { pieces: [formOf({ 'x-ignore-a': 'x'.repeat(20_000), ...signedFields() })] },
      'MaxPostPreDataLengthExceededError',
    ],
    [
      'endless headers',
      { pieces: [`--${boundary}\r\nContent-Disposition: form-data; x=`, Buffer.alloc(1 << 20, 'x')] },
      'MaxPostPreDataLengthExceededError',
    ],
    [
      'very many fields',
      { pieces: [Array.from({ length: 2000 }, (_, at) => partOf(`x-ignore-${at}`, '')).join('')] },
      'MaxPostPreDataLengthExceededError',
    ],
    ['endlessly more after the file', { pieces: [good, Buffer.alloc(1 << 20)] }, 'MalformedPOSTRequest'],
  ])('is refused: %s', async (_, sent: Sent, code) => {
    expect(await verdictOf(sent)).toBe(code)
  })
})

describe('a form', () => {
  it('is that of the documented example', async () => {
    const text =
      'eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9'
    const fields = {
      key: 'user/user1/${filename}',
      acl: 'public-read',
      success_action_redirect: 'http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html',
      'Content-Type': 'image/jpeg',
      'x-amz-meta-uuid': '14365123651274',
      'x-amz-server-side-encryption': 'AES256',
      'X-Amz-Credential': credential,
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Date': date,
      'x-amz-meta-tag': '',
      Policy: text,
      'X-Amz-Signature': '8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e',
    }
    const found = await take({ ...form(fields), bucket: 'sigv4examplebucket' })
    expect(found).toMatchObject({ identity: alice, signed: true, content })
    expect(found.form.fields.get('key')).toBe('user/user1/a.txt')
    expect([...found.form.fields.keys()]).not.toContain('policy')
    expect([...found.form.fields.keys()]).not.toContain('x-amz-signature')
  })

  it.each([
    ['filename="a.txt"', 'a.txt'],
    ['filename=a.txt', 'a.txt'],
    ['filename="C:\\Files\\a.txt"', 'a.txt'],
    ['filename="/home/a.txt"', 'a.txt'],
    ['filename="../../a.txt"', 'a.txt'],
    ['filename=".."', '..'],
    ['filename="a \\"b\\".txt"', 'a "b".txt'],
    ['filename="a %22b%22.txt"', 'a "b".txt'],
    ['filename="größe 😀.txt"', 'größe 😀.txt'],
    ['filename="$& $1"', '$& $1'],
    ['filename=""', ''],
  ])('gives its file the name %s', async (said, name) => {
    const file = fileOf(content, `Content-Type: text/plain\r\ncontent-disposition: form-data; name="file"; ${said}`)
    const { form: found } = await take(form({ ...signedFields(), key: 'user/${filename}' }, file))
    expect(found.fields.get('key')).toBe(`user/${name}`)
  })

  it('may say what its file has, and is then held to it', async () => {
    const policy = policyOf([
      ['starts-with', '$content-md5', ''],
      ['starts-with', '$x-amz-checksum-sha256', ''],
    ])
    const md5 = (text: string): string => hash('md5', text, 'base64')
    const sha256 = (text: string): string => hash('sha256', text, 'base64')
    expect(
      await verdictOf(withPolicy(policy, { 'Content-MD5': md5(content), 'x-amz-checksum-sha256': sha256(content) })),
    ).toBe(all)
    expect(await verdictOf(withPolicy(policy, { 'Content-MD5': md5('other') }))).toBe('BadDigest')
    expect(await verdictOf(withPolicy(policy, { 'x-amz-checksum-sha256': sha256('other') }))).toBe('BadDigest')
  })

  it('ignores what follows its file, and takes an empty file', async () => {
    const more = fileOf().replace(/--\r\n$/, '\r\n') + partOf('key', 'other') + `--${boundary}--\r\n`
    expect(await verdictOf(form(signedFields(), more))).toBe(all)
    expect(await verdictOf(form(signedFields(), fileOf('')))).toBe('accepted 0')
  })

  it('takes its boundary in quotes', async () => {
    const type = `Multipart/Form-Data; charset=utf-8; Boundary="${boundary}"`
    expect(await verdictOf({ ...form(signedFields()), type })).toBe(all)
  })

  it('gives the same file however it is cut', async () => {
    const head = formOf(signedFields(), '')
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('\r', '\n', '\r\n', '--', `\r\n--${boundary.slice(0, -1)}`, 'x'), { maxLength: 12 }),
        fc.array(fc.nat(2000), { maxLength: 20 }),
        async (words, cuts) => {
          const value = words.join('')
          const bytes = Buffer.from(head + fileOf(value))
          const at = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length]
          const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end))
          expect((await take({ pieces })).content).toBe(value)
        },
      ),
    )
  })

  it('gives the file that was sent or fails on purpose, whatever is changed', async () => {
    const bytes = Buffer.from(formOf(signedFields()))
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(60), fc.uint8Array({ maxLength: 8 }), async (where, removed, added) => {
        const at = where % bytes.indexOf(content)
        const end = Math.min(at + removed, bytes.indexOf(content))
        const changed = Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(end)])
        const verdict = await verdictOf({ pieces: [changed] })
        // Nobody signs where the head of the file ends: where that is changed, more of what follows belongs to the file.
        const begin = changed.indexOf('\r\n\r\n', changed.indexOf('name="file"')) + 4
        const sent = `accepted ${changed.lastIndexOf(`\r\n--${boundary}--`) - begin}`
        expect(verdict.startsWith('accepted') ? [all, sent] : [verdict]).toContain(verdict)
      }),
    )
  })

  it('may have any policy: it is read or refused on purpose', async () => {
    const anything = fc.anything({ maxDepth: 2, withNullPrototype: false })
    const condition = fc.oneof(
      anything,
      fc.tuple(fc.constantFrom('eq', 'starts-with', 'content-length-range'), anything, anything),
      fc.dictionary(fc.string(), anything, { maxKeys: 2 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(condition, { maxLength: 3 }), fc.boolean(), async (more, isPlain) => {
        const policy = isPlain ? more : policyOf(more)
        const verdict = await verdictOf(withPolicy(policy))
        expect([all, 'AccessDenied', 'InvalidPolicyDocument', 'EntityTooLarge', 'EntityTooSmall']).toContain(verdict)
      }),
    )
  })

  it('comes through byte by byte', async () => {
    expect(await verdictOf({ pieces: bytewise(formOf(signedFields())) })).toBe(all)
  })
})
