import { describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import type { Catalog } from './catalog.js'
import { Credentials } from './credentials.js'
import type { Issued, IssuedKind } from './credentials.js'
import { openMemoryCatalog } from './memory.js'

const kinds: readonly IssuedKind[] = ['key', 's3-key', 'token']
const day = 24 * 3600
const grants = ['r:/a/**']

function setUp() {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  return { clock, catalog, credentials: new Credentials(catalog, clock, new Uint8Array(32)) }
}

async function listed(credentials: Credentials, kind: IssuedKind): Promise<readonly Issued[]> {
  const all: Issued[] = []
  for await (const some of credentials.list(kind)) all.push(...some)
  return all
}

/** Everything that the catalog keeps, as text. */
async function kept(catalog: Catalog): Promise<string> {
  let text = ''
  for (const group of ['keys', 's3-keys', 'tokens'])
    for await (const items of catalog.list(group))
      for (const { name, value } of items) text += `${name} ${Buffer.from(value).toString()}\n`
  return text
}

describe.each(kinds)('%s', (kind) => {
  it('is kept without its secret', async () => {
    const { catalog, credentials } = setUp()
    const { secret, issued } = await credentials.issue(kind, { name: 'backup', grants })
    const text = await kept(catalog)
    expect(text).toContain(issued.id)
    expect(text).not.toContain(secret)
    // The id of a token is its beginning; what follows must not be there.
    expect(text).not.toContain(secret.slice(20))
    expect(text).not.toContain(Buffer.from(secret).toString('base64').slice(0, 40))
    expect(JSON.stringify(await listed(credentials, kind))).not.toContain(secret)
  })

  it.each(['', '.', '..', 'a/b', 'a\\b', 'a:b', ' a', 'a\n', 'x'.repeat(65), '\ud800', 'a\u202eb'])(
    'has no name like %j',
    async (name) => {
      const { credentials } = setUp()
      await expect(credentials.issue(kind, { name, grants })).rejects.toMatchObject({ kind: 'invalid' })
      expect(await listed(credentials, kind)).toEqual([])
    },
  )

  it('is not found, revoked or rotated under what is no id', async () => {
    const { credentials } = setUp()
    await credentials.issue(kind, { name: 'backup', grants })
    for (const id of ['', '.', 'backup', '\0', 'a\nb', '__proto__', '\ud800', '-x', 'x'.repeat(200_000), 'é']) {
      expect(await credentials.find(kind, id)).toBeUndefined()
      await expect(credentials.revoke(kind, id)).rejects.toMatchObject({ kind: 'not-found' })
      await expect(credentials.rotate(kind, id, { overlapSeconds: 0 })).rejects.toMatchObject({ kind: 'not-found' })
    }
    expect(await listed(credentials, kind)).toHaveLength(1)
  })

  it('of one kind is none of another', async () => {
    const { credentials } = setUp()
    const { issued } = await credentials.issue(kind, { name: 'backup', grants })
    for (const other of kinds.filter((one) => one !== kind)) {
      expect(await credentials.find(other, issued.id)).toBeUndefined()
      await expect(credentials.revoke(other, issued.id)).rejects.toMatchObject({ kind: 'not-found' })
    }
  })

  it('is gone once it is revoked, and its stamp holds no more', async () => {
    const { credentials } = setUp()
    const { issued } = await credentials.issue(kind, { name: 'backup', grants })
    const stamp = (await credentials.find(kind, issued.id))?.stamp ?? ''
    expect(await credentials.isCurrent(stamp)).toBe(true)
    expect(await credentials.revoke(kind, issued.id)).toEqual(issued)
    expect(await credentials.isCurrent(stamp)).toBe(false)
    expect(await credentials.find(kind, issued.id)).toBeUndefined()
    await expect(credentials.revoke(kind, issued.id)).rejects.toMatchObject({ kind: 'not-found' })
  })

  it('expires, is listed for a month as expired, and is forgotten', async () => {
    const { clock, credentials } = setUp()
    const expires = clock.now() + day * 1000
    const { issued } = await credentials.issue(kind, { name: 'backup', grants, expires })
    expect(credentials.hasExpired(issued)).toBe(false)
    clock.advanceSeconds(day)
    expect(credentials.hasExpired(issued)).toBe(true)
    expect(await listed(credentials, kind)).toEqual([issued])
    await expect(credentials.rotate(kind, issued.id, { overlapSeconds: 0 })).rejects.toMatchObject({ kind: 'conflict' })
    clock.advanceSeconds(30 * day)
    expect(await listed(credentials, kind)).toEqual([])
    expect(await credentials.find(kind, issued.id)).toBeUndefined()
  })

  it('is replaced at once, or after the overlap, by one with the same name and grants', async () => {
    const { clock, credentials } = setUp()
    const first = await credentials.issue(kind, { name: 'backup', grants, expires: clock.now() + 90 * day * 1000 })
    const second = await credentials.rotate(kind, first.issued.id, { overlapSeconds: 0 })
    expect(second.issued).toEqual({ ...first.issued, id: second.issued.id })
    expect(second.secret).not.toBe(first.secret)
    expect(await credentials.find(kind, first.issued.id)).toBeUndefined()

    clock.advanceSeconds(10 * day)
    const stamp = (await credentials.find(kind, second.issued.id))?.stamp ?? ''
    const third = await credentials.rotate(kind, second.issued.id, { overlapSeconds: 7 * day })
    expect(third.issued.expires).toBe(clock.now() + 90 * day * 1000)
    expect(third.old.expires).toBe(clock.now() + 7 * day * 1000)
    expect((await credentials.find(kind, second.issued.id))?.issued).toEqual(third.old)
    // What was remembered of it must learn of its new end.
    expect(await credentials.isCurrent(stamp)).toBe(false)
    await expect(credentials.rotate(kind, second.issued.id, { overlapSeconds: 0 })).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining(third.issued.id) as string,
    })
  })

  it('never lives longer by an overlap', async () => {
    const { clock, credentials } = setUp()
    const expires = clock.now() + day * 1000
    const { issued } = await credentials.issue(kind, { name: 'backup', grants, expires })
    const { old } = await credentials.rotate(kind, issued.id, { overlapSeconds: 7 * day })
    expect(old.expires).toBe(expires)
  })

  it('has one successor, however many rotate it at once', async () => {
    const { credentials } = setUp()
    const { issued } = await credentials.issue(kind, { name: 'backup', grants })
    const rotations = Array.from({ length: 8 }, () => credentials.rotate(kind, issued.id, { overlapSeconds: 60 }))
    const done = await Promise.allSettled(rotations)
    expect(done.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await listed(credentials, kind)).toHaveLength(2)
  })

  it('is not known where its record is damaged', async () => {
    const { catalog, credentials } = setUp()
    const group = { key: 'keys', 's3-key': 's3-keys', token: 'tokens' }[kind]
    for (const value of [
      '',
      '{}',
      'null',
      '[]',
      '{"name":"a","grants":[1],"created":1,"proof":"x"}',
      '{"name":"a","grants":[],"created":1,"proof":""}',
    ]) {
      // prettier-ignore
      await catalog.swap(group, 'damaged', Buffer.from(value), 'any')
      await expect(credentials.find(kind, 'damaged')).rejects.toMatchObject({ kind: 'unavailable' })
    }
  })
})

describe('checking a secret', () => {
  it('says whether it is right, and knows no other id', async () => {
    const { credentials } = setUp()
    const { issued, secret } = await credentials.issue('key', { name: 'backup', grants })
    const other = await credentials.issue('key', { name: 'other', grants })
    expect(await credentials.check('key', issued.id, secret)).toMatchObject({ issued, right: true })
    for (const wrong of ['', other.secret, `${secret}x`, '\0', '\ud800'])
      expect(await credentials.check('key', issued.id, wrong)).toMatchObject({ right: false })
    expect(await credentials.check('key', 'nobody', secret)).toBeUndefined()
    expect(await credentials.check('token', issued.id, secret)).toBeUndefined()
  })

  it('is wrong against a hash that is none', async () => {
    const { catalog, credentials } = setUp()
    const record = { name: 'a', grants: [], created: 0, proof: 'x'.repeat(100) }
    await catalog.swap('keys', 'odd', Buffer.from(JSON.stringify(record)), undefined)
    expect(await credentials.check('key', 'odd', 'secret')).toMatchObject({ right: false })
  })

  it('of a token finds it by itself', async () => {
    const { credentials } = setUp()
    const { issued, secret } = await credentials.issue('token', { name: 'sensor', grants })
    expect(await credentials.checkToken(secret)).toMatchObject({ issued, right: true })
    for (const wrong of ['', issued.id, `${secret}x`, secret.slice(0, -1), 'eyJ.eyJ.x'])
      expect(await credentials.checkToken(wrong)).toBeUndefined()
  })
})

describe('an S3 key', () => {
  it('gives its secret back, to this installation only', async () => {
    const { clock, catalog, credentials } = setUp()
    const { issued, secret } = await credentials.issue('s3-key', { name: 'backup', grants })
    expect(await credentials.signingKey(issued.id)).toMatchObject({ issued, secret })
    expect(await credentials.signingKey('PSTNnone')).toBeUndefined()
    const stranger = new Credentials(catalog, clock, new Uint8Array(32).fill(1))
    await expect(stranger.signingKey(issued.id)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('cannot be given the secret of another by whoever may write to the catalog', async () => {
    const { catalog, credentials } = setUp()
    const mine = await credentials.issue('s3-key', { name: 'mine', grants })
    const other = await credentials.issue('s3-key', { name: 'other', grants: ['rw:/**'] })
    const record = await catalog.get('s3-keys', mine.issued.id)
    await catalog.swap('s3-keys', other.issued.id, record?.value, 'any')
    await expect(credentials.signingKey(other.issued.id)).rejects.toMatchObject({ kind: 'unavailable' })
  })
})

describe('a key of another program', () => {
  const secret = 'ab'.repeat(32)

  it('is taken over once, with its own secret', async () => {
    const { credentials } = setUp()
    const id = 'PUTFS_0123456789ABCDEF'
    await credentials.importKey(id, secret, { name: 'acme', grants })
    expect(await credentials.check('key', id, secret)).toMatchObject({ right: true, issued: { id, name: 'acme' } })
    expect(await credentials.check('key', id.toLowerCase(), secret)).toBeUndefined()
    expect(await credentials.check('key', id, secret.toUpperCase())).toMatchObject({ right: false })
    await expect(credentials.importKey(id, secret, { name: 'acme', grants })).rejects.toMatchObject({ kind: 'exists' })
  })

  it.each([
    ['', secret],
    ['-x', secret],
    ['a b', secret],
    ['a\n', secret],
    ['a/b', secret],
    ['x'.repeat(129), secret],
    ['id', ''],
    ['id', 'x'.repeat(1025)],
    ['id', `${secret} `],
    ['id', `${secret}é`],
  ])('is refused as %j with the secret %j', async (id, wrong) => {
    const { credentials } = setUp()
    const error: unknown = await credentials
      .importKey(id, wrong, { name: 'acme', grants })
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ kind: 'invalid' })
    if (wrong.length > 4) expect((error as Error).message).not.toContain(wrong)
  })
})
