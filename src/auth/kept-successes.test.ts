import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUp, temporaryFolder } from '../../test/serving.js'
import { openKeptValues } from '../catalog/kept-values.js'
import type { KeptValues, KeptValuesOptions } from '../catalog/kept-values.js'
import { openDatabase } from '../catalog/sqlite-engine.js'
import { ManualClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { cached, createCredentialKey } from './cached.js'
import type { Credential, Directory, Verdict } from './identity.js'
import type { KeptSuccesses } from './kept-successes.js'
import { keptSuccesses } from './kept-successes.js'

const facts = { method: 'GET', target: '/' }
const secret = new Uint8Array(32).fill(7)
const alice: Credential = { kind: 'password', name: 'alice', password: 'the right one' }

let opened: KeptValues[] = []
afterEach(async () => {
  for (const kept of opened) kept.close()
  opened = []
  await cleanUp()
})

async function setUp(more: Partial<Omit<KeptValuesOptions, 'clock'>> = {}) {
  const clock = new ManualClock()
  const warnings: string[] = []
  const warn = (_facts: object, message: string): void => void warnings.push(message)
  const options = { file: join(temporaryFolder(), 'postern-staff.sqlite'), secret, scope: 'staff', ttlSeconds: 120, clock, warn, ...more }
  const open = async (other: Partial<KeptValuesOptions> = {}): Promise<(KeptSuccesses & { close(): void }) | undefined> => {
    const values = await openKeptValues({ ...options, ...other })
    if (values === undefined) return undefined
    opened.push(values)
    return { ...keptSuccesses(values), close: () => values.close() }
  }
  return { ...options, warnings, open }
} // prettier-ignore

const success = (expires: number, stamp = 'v1') => ({
  verdict: { kind: 'identity', identity: { name: 'alice', source: 'staff', grants: ['rw:/alice/**'] }, stamp } as const,
  expires,
})

describe('a file of successes', () => {
  it('tells a reader neither who nor what nor how', async () => {
    const { file, open, clock } = await setUp()
    const kept = await open()
    kept?.keep(alice, success(clock.now() + 60_000))
    kept?.keep({ kind: 'api-key', id: 'KEYID12345', secret: 'secret of the key' }, success(clock.now() + 60_000))
    kept?.close()
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const bytes = readFileSync(file).toString('latin1')
    for (const text of ['alice', 'the right one', 'KEYID12345', 'secret of the key', 'rw:/']) expect(bytes).not.toContain(text)
  }) // prettier-ignore

  it('is nothing to another installation, another source or another setting', async () => {
    const { open, clock } = await setUp()
    ;(await open())?.keep(alice, success(clock.now() + 60_000))
    for (const other of [{ secret: new Uint8Array(32).fill(8) }, { scope: 'staff with other grants' }])
      expect((await open(other))?.find(alice)).toBeUndefined()
    expect((await open())?.find(alice)).toBeDefined()
  })

  it('knows the credential only whole', async () => {
    const { open, clock } = await setUp()
    const kept = await open()
    kept?.keep(alice, success(clock.now() + 60_000))
    for (const other of [
      { ...alice, password: 'the right one ' },
      { ...alice, name: 'Alice' },
      { kind: 'password', name: 'alicethe', password: ' right one' },
      { kind: 'api-key', id: 'alice', secret: 'the right one' },
      { kind: 'bearer', token: 'the right one' },
    ] satisfies Credential[])
      expect(kept?.find(other)).toBeUndefined()
  })

  it('gains nothing for who writes to it: rows made up, moved or touched are none', async () => {
    const { file, open, clock } = await setUp()
    const kept = await open()
    const bob: Credential = { kind: 'password', name: 'bob', password: 'x' }
    kept?.keep(alice, success(clock.now() + 60_000))
    kept?.keep(bob, success(clock.now() + 60_000))
    const intruder = openDatabase(file)
    try {
      const rows = [...intruder.prepare('SELECT key, sealed FROM kept').iterate()] as { key: string; sealed: string }[]
      const [one, other] = rows
      intruder.prepare('UPDATE kept SET sealed = ? WHERE key = ?').run(other!.sealed, one!.key)
      intruder.prepare('UPDATE kept SET sealed = ? WHERE key = ?').run(one!.sealed, other!.key)
      for (const credential of [alice, bob]) expect(kept?.find(credential)).toBeUndefined()
      for (const sealed of ['', 'A', '{}', JSON.stringify(success(clock.now() + 60_000)), one!.sealed.slice(0, -8), one!.sealed.replace(/^..../, 'AAAA')]) {
        intruder.prepare('UPDATE kept SET sealed = ?').run(sealed)
        expect([sealed, kept?.find(alice)]).toEqual([sealed, undefined])
      }
      intruder.prepare('UPDATE kept SET sealed = 5').run()
      expect(kept?.find(alice)).toBeUndefined()
    } finally {
      intruder.close()
    }
  }) // prettier-ignore

  it('forgets in time, and does not believe what lasts longer than anything may', async () => {
    const { open, clock } = await setUp()
    const kept = await open()
    kept?.keep(alice, success(clock.now() + 120_000))
    expect(kept?.find(alice)).toBeDefined()
    clock.advanceSeconds(-1)
    expect(kept?.find(alice)).toBeUndefined()
    clock.advanceSeconds(120)
    expect(kept?.find(alice)).toBeDefined()
    clock.advanceSeconds(1)
    expect(kept?.find(alice)).toBeUndefined()
  })

  it('keeps within its bound, those that last longest', async () => {
    const { file, open, clock } = await setUp({ maxEntries: 100 })
    const kept = await open()
    for (let at = 0; at < 500; at++) kept?.keep({ kind: 'bearer', token: `t${at}` }, success(clock.now() + 1000 + at))
    kept?.close()
    const reader = openDatabase(file)
    const { count } = reader.prepare('SELECT count(*) AS count FROM kept').get() as { count: number }
    reader.close()
    expect(count).toBeLessThanOrEqual(100 + 64)
    expect((await open())?.find({ kind: 'bearer', token: 't499' })).toBeDefined()
  })

  it('is one for all workers', async () => {
    const { open, clock } = await setUp()
    const [one, other] = [await open(), await open()]
    one?.keep(alice, success(clock.now() + 60_000))
    expect(other?.find(alice)).toEqual(success(clock.now() + 60_000))
    other?.forget(alice)
    expect(one?.find(alice)).toBeUndefined()
  })
})

describe('a file that cannot be used', () => {
  it.each([
    ['another kind of file', 'no database at all, but long enough to be looked at'.repeat(40)],
    ['a database in name only', 'SQLite format 3\0' + '\0'.repeat(5000)],
  ])('is made anew where it is broken: %s', async (_what, broken) => {
    const { file, open, clock, warnings } = await setUp()
    writeFileSync(file, broken)
    const kept = await open()
    expect(kept?.find(alice)).toBeUndefined()
    kept?.keep(alice, success(clock.now() + 60_000))
    expect(kept?.find(alice)).toBeDefined()
    expect(warnings).toEqual(['The file of remembered logins is broken; it is made anew.'])
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('is passed over from the moment it breaks', async () => {
    const { file, open, clock, warnings } = await setUp()
    const kept = await open()
    const intruder = openDatabase(file)
    intruder.exec('DROP TABLE kept')
    intruder.close()
    kept?.keep(alice, success(clock.now() + 60_000))
    expect(kept?.find(alice)).toBeUndefined()
    kept?.forget(alice)
    expect(warnings).toEqual(['Logins are remembered in memory only from now on: the file for them fails.'])
  })

  it('is passed over while somebody locks it, without waiting', async () => {
    const { file, open, clock, warnings } = await setUp()
    const kept = await open()
    kept?.keep(alice, success(clock.now() + 60_000))
    const intruder = openDatabase(file)
    intruder.exec('BEGIN EXCLUSIVE')
    const began = performance.now()
    kept?.keep({ kind: 'bearer', token: 'x' }, success(clock.now() + 60_000))
    kept?.forget({ kind: 'bearer', token: 'x' })
    expect(performance.now() - began).toBeLessThan(100)
    intruder.exec('ROLLBACK')
    intruder.close()
    expect(kept?.find(alice)).toBeDefined()
    expect(warnings).toEqual([])
  })

  const strange: readonly (readonly [what: string, make: (file: string, folder: string) => void])[] = [
    ['a link', (file, folder) => {
      writeFileSync(join(folder, 'x'), '')
      symlinkSync(join(folder, 'x'), file)
    }],
    ['a link to nothing', (file) => symlinkSync('/nowhere/at/all', file)],
    ['a second name of a file', (file, folder) => {
      writeFileSync(join(folder, 'x'), '')
      linkSync(join(folder, 'x'), file)
    }],
    ['a link beside it', (file, folder) => {
      writeFileSync(join(folder, 'x'), '')
      symlinkSync(join(folder, 'x'), `${file}-wal`)
    }],
    ['a directory', (file) => mkdirSync(file)],
  ] // prettier-ignore
  it.each(strange)('is left alone: %s', async (_what, make) => {
    const { file, open, warnings } = await setUp()
    const folder = temporaryFolder()
    make(file, folder)
    expect(await open()).toBeUndefined()
    expect(warnings).toEqual(['Logins are remembered in memory only: the file for them cannot be used.'])
    if (existsSync(join(folder, 'x'))) expect(readFileSync(join(folder, 'x'), 'utf8')).toBe('')
    expect(readdirSync(folder).length).toBeLessThanOrEqual(1)
  })

  it('is left alone where its folder is missing', async () => {
    const { open, warnings } = await setUp({ file: join(temporaryFolder(), 'missing', 'x.sqlite') })
    expect(await open()).toBeUndefined()
    expect(warnings).toHaveLength(1)
  })

  it('is closed to others where it was open to them', async () => {
    const { file, open } = await setUp()
    ;(await open())?.close()
    chmodSync(file, 0o666)
    expect(await open()).toBeDefined()
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })
})

describe('a cache with a file', () => {
  /** A source that counts, and its cache as a fresh process has it. */
  async function source() {
    const { open, clock, warnings } = await setUp()
    const state = { checks: 0, down: false, stamp: 'v1' }
    const directory: Directory = {
      name: 'staff',
      accepts: new Set(['password'] as const),
      async check(credential): Promise<Verdict> {
        state.checks++
        if (state.down) throw new Failure('unavailable', 'down')
        if (credential.kind !== 'password' || credential.password !== 'the right one') return { kind: 'refused', why: 'wrong-password' }
        return { kind: 'identity', identity: { name: credential.name, source: 'staff', grants: [] }, stamp: state.stamp }
      },
      current: async (_identity, stamp) => stamp === state.stamp,
    } // prettier-ignore
    const start = async () => {
      const persisted = await open()
      const cache = cached(directory, { clock, keyOf: createCredentialKey(), ...(persisted && { persisted }) })
      return { check: (credential: Credential) => cache.check(credential, facts), remembered: (credential: Credential) => cache.remembered({ key: createCredentialKey()(credential), credential, facts }) }
    } // prettier-ignore
    return { state, start, clock, warnings }
  }

  it('survives a restart, so that the source is not asked again, nor has to be there', async () => {
    const { state, start, clock } = await source()
    await (await start()).check(alice)
    state.down = true
    const again = await start()
    expect((await again.remembered(alice))?.identity.name).toBe('alice')
    expect((await again.check(alice)).kind).toBe('identity')
    expect(state.checks).toBe(1)
    clock.advanceSeconds(121)
    await expect(again.check(alice)).rejects.toMatchObject({ kind: 'unavailable' })
    await expect((await start()).check(alice)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('does not last longer by being remembered again', async () => {
    const { state, start, clock } = await source()
    await (await start()).check(alice)
    clock.advanceSeconds(100)
    const again = await start()
    await again.check(alice)
    clock.advanceSeconds(21)
    await again.check(alice)
    expect(state.checks).toBe(2)
  })

  it('does not let in whose account has changed', async () => {
    const { state, start } = await source()
    await (await start()).check(alice)
    state.stamp = 'v2'
    const again = await start()
    expect(await again.remembered(alice)).toBeUndefined()
    state.stamp = 'v1'
    expect(await (await start()).remembered(alice)).toBeUndefined()
    expect(state.checks).toBe(1)
  })

  it('keeps no failure, and asks once for many that come together', async () => {
    const { state, start } = await source()
    const wrong: Credential = { kind: 'password', name: 'alice', password: 'wrong' }
    await (await start()).check(wrong)
    await (await start()).check(wrong)
    expect(state.checks).toBe(2)
    const cache = await start()
    await Promise.all(Array.from({ length: 50 }, () => cache.check(alice)))
    expect(state.checks).toBe(3)
  })
})
