import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import { loadNative } from '../store/native.js'
import type { Catalog, NamedItem } from './catalog.js'
import { ReadCache } from './read-cache.js'
import { openDatabase } from './sqlite-engine.js'
import { openSqliteCatalog } from './sqlite.js'
import { openWalIndex, WalIndex } from './wal-index.js'

const directory = mkdtempSync(join(tmpdir(), 'postern-cache-'))
afterAll(() => rmSync(directory, { recursive: true }))

const clock = new ManualClock()
const canSee = process.platform === 'linux' && loadNative() !== undefined
const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString()

async function all(catalog: Catalog, prefix: string): Promise<NamedItem[]> {
  const found: NamedItem[] = []
  for await (const batch of catalog.list('g', { prefix })) found.push(...batch)
  return found
}

let opened = 0
const newFile = (): string => join(directory, String(++opened))

it('knows that it cannot see a database that is not open', () => {
  expect(openWalIndex(newFile())).toBeUndefined()
})

describe.runIf(canSee)('between two connections', () => {
  it('the very next read sees every commit of the other one, ten thousand times', async () => {
    const file = newFile()
    const one = await openSqliteCatalog({ file, clock, durability: 'fast' })
    await one.swap('g', 'd//n', bytes('0'), undefined)
    const other = openDatabase(file)
    const put = other.prepare("UPDATE items SET value = ?, version = 'other' || ? WHERE name = x'642f2f6e'")
    for (let at = 1; at <= 10_000; at++) {
      put.run(bytes(String(at)), String(at))
      expect(text((await one.get('g', 'd//n'))?.value)).toBe(String(at))
      if (at % 10 === 0) expect((await all(one, 'd//'))[0]?.version).toBe(`other${at}`)
      // Its own commits must not hide one that was made just before or behind them.
      if (at % 7 === 0) await one.swap('g', `d//other${at % 3}`, bytes(''), 'any')
      if (at % 11 === 0) expect(await one.swap('g', 'd//n', bytes('late'), 'no such version')).toBe(false)
    }
    other.close()
    await one.close()
  })

  it('of another process, which says when it has committed', async () => {
    const file = newFile()
    const catalog = await openSqliteCatalog({ file, clock, durability: 'fast' })
    await catalog.swap('g', 'n', bytes('0'), undefined)
    const script = `
      const { DatabaseSync } = process.getBuiltinModule('node:sqlite') ?? await import('@photostructure/sqlite');
      const database = new DatabaseSync(process.argv[1]); database.exec('PRAGMA busy_timeout = 10000');
      const put = database.prepare("UPDATE items SET value = ?, version = 'v' || ? WHERE grp = 'g' AND name = x'6e'");
      process.stdin.on('data', (data) => { put.run(data, String(data)); process.stdout.write(data) });
      process.stdin.on('end', () => process.exit());
      process.stdout.write('ready');`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    for (let at = 1; at <= 2000; at++) {
      const told = once(child.stdout, 'data')
      child.stdin.write(String(at))
      for (let reads = at % 4; reads > 0; reads--) await catalog.get('g', 'n')
      await told
      expect(text((await catalog.get('g', 'n'))?.value)).toBe(String(at))
    }
    child.stdin.end()
    await once(child, 'exit')
    await catalog.close()
  })

  it('after a checkpoint that begins the log anew', async () => {
    const file = newFile()
    const one = await openSqliteCatalog({ file, clock, durability: 'fast' })
    const two = await openSqliteCatalog({ file, clock, durability: 'fast' })
    const other = openDatabase(file)
    for (let at = 0; at < 50; at++) {
      await two.swap('g', 'n', bytes(String(at)), 'any')
      expect(text((await one.get('g', 'n'))?.value)).toBe(String(at))
      other.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      expect(text((await one.get('g', 'n'))?.value)).toBe(String(at))
    }
    other.close()
    await one.close()
    await two.close()
  })
})

const anyName = fc.constantFrom('a//', 'a//x', 'a//xy', 'a//y', 'a/b//x', 'b//x', '')
const anyPrefix = fc.constantFrom('', 'a', 'a//', 'a//x', 'a/', 'b//')
const handle = fc.nat(1)
const step = fc.oneof(
  fc.record({ kind: fc.constant('get' as const), handle, name: anyName }),
  fc.record({ kind: fc.constant('list' as const), handle, name: anyPrefix }),
  fc.record({
    kind: fc.constant('swap' as const),
    handle,
    name: anyName,
    next: fc.option(fc.constantFrom('1', '2', 'x'.repeat(20_000)), { nil: undefined }),
    expected: fc.constantFrom('any', 'none', 'present', 'wrong'),
    seconds: fc.option(fc.constantFrom(1, 5), { nil: undefined }),
  }),
  fc.record({ kind: fc.constant('both' as const), handle, name: anyName, next: fc.constantFrom('3', undefined) }),
  fc.record({ kind: fc.constant('count' as const), handle, name: anyName }),
  fc.record({ kind: fc.constant('pass' as const), seconds: fc.constantFrom(1, 3, 11) }),
  // More than a small group holds, and back.
  fc.record({ kind: fc.constant('crowd' as const), handle, next: fc.constantFrom('4', undefined) }),
)

it('gives what a catalog without a cache gives, whatever is done with two handles', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
      const run = async (cached: boolean): Promise<unknown[]> => {
        const clock = new ManualClock()
        const file = newFile()
        const open = (): Promise<Catalog> => openSqliteCatalog({ file, clock, durability: 'fast', cached })
        const handles = [await open(), await open()] as const
        const seen: unknown[] = []
        for (const one of steps) {
          if (one.kind === 'pass') {
            clock.advanceSeconds(one.seconds)
            continue
          }
          const catalog = handles[one.handle === 0 ? 0 : 1]
          if (one.kind === 'crowd') {
            const next = one.next === undefined ? undefined : bytes(one.next)
            await Promise.all(Array.from({ length: 20 }, (_, at) => catalog.swap('g', `a//crowd${at}`, next, 'any')))
            continue
          }
          const { name } = one
          if (one.kind === 'get') seen.push(text((await catalog.get('g', name))?.value))
          else if (one.kind === 'list')
            seen.push((await all(catalog, name)).map((item) => [item.name, text(item.value)]))
          else if (one.kind === 'count') seen.push(await catalog.add('g', name, 1, new Date(clock.now() + 2000)))
          else if (one.kind === 'both')
            seen.push(
              ...(await Promise.all([
                catalog.swap('g', name, one.next === undefined ? undefined : bytes(one.next), 'any').then(Boolean),
                catalog.swap('g', name, bytes('4'), undefined).then(Boolean),
              ])),
            )
          else {
            const present = (await handles[0].get('g', name))?.version
            const expected = { any: 'any', none: undefined, present, wrong: 'wrong' }[one.expected]
            const next = one.next === undefined ? undefined : bytes(one.next)
            const expires = one.seconds === undefined ? undefined : new Date(clock.now() + one.seconds * 1000)
            const swapped = await catalog.swap('g', name, next, expected, expires)
            seen.push(swapped === '' ? 'removed' : swapped !== false)
          }
        }
        for (const catalog of handles) await catalog.close()
        return seen
      }
      expect(await run(true)).toEqual(await run(false))
    }),
    { numRuns: 60 },
  )
}, 60_000)

describe('what is kept', () => {
  const item = (value: string) => ({ value: bytes(value), version: value })
  const made = (): { cache: ReadCache; live: Int32Array; clock: ManualClock } => {
    const live = new Int32Array(12)
    const clock = new ManualClock()
    return { cache: new ReadCache(new WalIndex(live), clock), live, clock }
  }

  it('is forgotten when any word of the header changes', () => {
    for (let word = 0; word < 12; word++) {
      const { cache, live } = made()
      cache.keep('g', 'n', item('1'))
      cache.refresh()
      expect(cache.find('g', 'n')).toBeDefined()
      live[word] = 1
      cache.refresh()
      expect(cache.find('g', 'n')).toBeUndefined()
    }
  })

  it('is not what a transaction has written when somebody else came behind it, or alone committed', () => {
    for (const [writes, commits, kept] of [
      [true, 1, '2'],
      [true, 2, undefined],
      [false, 1, undefined],
      [false, 0, '1'],
    ] as const) {
      const { cache, live } = made()
      cache.keep('g', 'n', item('1'))
      cache.begin()
      if (writes) cache.write('g', 'n', item('2'))
      live[2] = commits
      cache.commit()
      expect(cache.find('g', 'n')?.item?.version).toBe(kept)
    }
  })

  it('is gone after a transaction that has failed, and so is what that had written', () => {
    const { cache } = made()
    cache.keep('g', 'n', item('1'))
    cache.begin()
    cache.write('g', 'n', item('2'))
    expect(cache.version('g', 'n')).toMatchObject({ version: '2' })
    cache.fail()
    expect(cache.version('g', 'n')).toBeUndefined()
  })

  it('loses exactly the lists in which a written name stands', () => {
    const { cache, live } = made()
    for (const prefix of ['', 'a/', 'a//', 'b/', 'a//xy']) cache.keepList('g', prefix, [], Infinity)
    cache.keepList('other', 'a/', [], Infinity)
    cache.begin()
    cache.write('g', 'a//x', undefined)
    live[2] = 1
    cache.commit()
    const left = ['', 'a/', 'a//', 'b/', 'a//xy'].filter((prefix) => cache.list('g', prefix) !== undefined)
    expect(left).toEqual(['b/', 'a//xy'])
    expect(cache.list('other', 'a/')).toEqual([])
  })

  it('ends with its time, for lists with that of their first', () => {
    const { cache, clock } = made()
    cache.keep('g', 'n', item('1'), clock.now() + 1000)
    cache.keepList('g', '', [{ name: 'n', ...item('1') }], clock.now() + 1000)
    expect(cache.list('g', '')).toHaveLength(1)
    clock.advanceSeconds(1)
    expect(cache.find('g', 'n')).toEqual({ item: undefined })
    expect(cache.list('g', '')).toBeUndefined()
  })

  it('is bounded', () => {
    const { cache } = made()
    const value = 'x'.repeat(16 * 1024)
    for (let at = 0; at < 2000; at++) cache.keep('g', `n${at}`, item(value))
    const kept = Array.from({ length: 2000 }, (_, at) => at).filter((at) => cache.find('g', `n${at}`) !== undefined)
    expect(kept.length * value.length).toBeLessThanOrEqual(8 * 1024 * 1024)
    expect(kept).toContain(1999)
    cache.keep('g', 'large', item(value + 'x'))
    expect(cache.find('g', 'large')).toBeUndefined()
  })
})
