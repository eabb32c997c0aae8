import { describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import { Accounts, checkUserName } from './accounts.js'
import { openMemoryCatalog } from './memory.js'

const clock = new ManualClock()

function fresh() {
  const catalog = openMemoryCatalog({ clock })
  return { catalog, accounts: new Accounts(catalog, clock) }
}

describe('user names', () => {
  it.each([
    '',
    '.',
    '..',
    'a/b',
    '/',
    '../x',
    'a:b',
    'a\\b',
    'DOMAIN\\a',
    'a\0',
    'a\nb',
    'a\x7f',
    'a\x85',
    '\u202eabc',
    'a\u200b',
    'a\u2028b',
    ' a',
    'a ',
    '\u00a0a',
    'x'.repeat(65),
    '😀'.repeat(65),
    'a\ud800',
    'x'.repeat(100_000),
  ])('refuses %j', async (name) => {
    const { accounts } = fresh()
    expect(() => checkUserName(name)).toThrow(expect.objectContaining({ kind: 'invalid' }))
    await expect(accounts.add({ name, grants: [] })).rejects.toMatchObject({ kind: 'invalid' })
    await expect(accounts.setDisabled(name, true)).rejects.toMatchObject({ kind: 'invalid' })
    expect(await accounts.find(name)).toBeUndefined()
    expect(await accounts.isCurrent(name, 'any')).toBe(false)
  })

  it.each(['a', 'alice@example.org', 'Anna Müller', '...', 'x'.repeat(64), '😀'.repeat(64), '*', "o'brien"])(
    'takes %j',
    (name) => {
      expect(checkUserName(name)).toBe(name)
    },
  )

  it('are one in both forms of Unicode', async () => {
    const { accounts } = fresh()
    await accounts.add({ name: 'jose\u0301', grants: [] })
    expect((await accounts.find('jos\u00e9'))?.account.name).toBe('jos\u00e9')
    await expect(accounts.add({ name: 'jos\u00e9', grants: [] })).rejects.toMatchObject({ kind: 'exists' })
  })
})

describe('accounts', () => {
  it('cannot be changed where there are none', async () => {
    const { accounts } = fresh()
    const notFound = { kind: 'not-found' }
    await expect(accounts.remove('a')).rejects.toMatchObject(notFound)
    await expect(accounts.setPassword('a', 'x')).rejects.toMatchObject(notFound)
    await expect(accounts.setDisabled('a', true)).rejects.toMatchObject(notFound)
    await expect(accounts.setGrants('a', [])).rejects.toMatchObject(notFound)
    expect(await accounts.isEmpty()).toBe(true)
  })

  it('say unavailable, not nobody, when a record is damaged', async () => {
    const { accounts, catalog } = fresh()
    for (const value of [
      '',
      '{',
      'null',
      '[]',
      '{"grants":"rw:/**","disabled":false,"created":1}',
      '{"grants":[],"disabled":0,"created":1}',
    ]) {
      await catalog.swap('users', 'a', Buffer.from(value), 'any')
      await expect(accounts.find('a')).rejects.toMatchObject({ kind: 'unavailable' })
    }
  })

  it('are added once, changed, listed and removed, each change making a new version', async () => {
    const { accounts } = fresh()
    const made = await accounts.add({ name: 'bob', grants: ['r:/**'], passwordHash: 'h1', unixUser: 'bob' })
    expect(made).toEqual({
      name: 'bob',
      grants: ['r:/**'],
      passwordHash: 'h1',
      unixUser: 'bob',
      disabled: false,
      created: clock.now(),
    })
    await expect(accounts.add({ name: 'bob', grants: [] })).rejects.toMatchObject({ kind: 'exists' })
    await accounts.add({ name: 'alice', grants: [] })
    const versions: string[] = []
    const note = async (): Promise<void> => {
      const found = await accounts.find('bob')
      if (found) versions.push(found.version)
    }
    await note()
    await accounts.setPassword('bob', 'h2')
    await note()
    await accounts.setDisabled('bob', true)
    await note()
    await accounts.setDisabled('bob', false)
    await note()
    expect(await accounts.setGrants('bob', ['rw:/b/**'])).toEqual({ ...made, passwordHash: 'h2', grants: ['rw:/b/**'] })
    await note()
    expect(new Set(versions).size).toBe(5)
    expect(await accounts.isCurrent('bob', versions.at(-1) ?? '')).toBe(true)
    expect(await accounts.isCurrent('bob', versions[0] ?? '')).toBe(false)
    const names: string[] = []
    for await (const batch of accounts.list()) names.push(...batch.map(({ name }) => name))
    expect(names).toEqual(['alice', 'bob'])
    expect(await accounts.isEmpty()).toBe(false)
    await accounts.remove('bob')
    expect(await accounts.find('bob')).toBeUndefined()
    await accounts.add({ name: 'bob', grants: [] })
    expect(versions).not.toContain((await accounts.find('bob'))?.version)
  })

  it('lose no change when many come at once', async () => {
    const { accounts } = fresh()
    await accounts.add({ name: 'a', grants: [] })
    await Promise.all([
      accounts.setPassword('a', 'h'),
      accounts.setGrants('a', ['r:/**']),
      accounts.setDisabled('a', true),
    ])
    expect((await accounts.find('a'))?.account).toMatchObject({ passwordHash: 'h', grants: ['r:/**'], disabled: true })
  })
})
