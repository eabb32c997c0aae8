import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import type { Catalog } from './catalog.js'
import { openDatabase, sqliteFailure } from './sqlite-engine.js'
import { openSqliteCatalog, refuseNetworkDisk } from './sqlite.js'

const directory = mkdtempSync(join(tmpdir(), 'postern-sqlite-'))
afterAll(() => rmSync(directory, { recursive: true }))

const clock = new ManualClock()
const open = (file: string): Promise<Catalog> => openSqliteCatalog({ file, clock, durability: 'fast' })
const loadEngine = `const { DatabaseSync } = process.getBuiltinModule('node:sqlite') ?? await import('@photostructure/sqlite');`
const childArguments = (script: string, file: string): string[] => [
  '--input-type=module',
  '-e',
  loadEngine + script,
  file,
]

describe('what is refused', () => {
  it('a database of a newer Postern, naming both versions', async () => {
    const file = join(directory, 'newer')
    const newer = openDatabase(file)
    newer.exec('PRAGMA user_version = 7')
    newer.close()
    await expect(open(file)).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/newer Postern \(schema 7, this one knows 1\)/) as unknown,
    })
  })

  it('a database of another program, and leaves it as it is', async () => {
    const file = join(directory, 'other')
    const other = openDatabase(file)
    other.exec('CREATE TABLE bookmarks (url)')
    other.close()
    await expect(open(file)).rejects.toMatchObject({ kind: 'unsupported' })
    const after = openDatabase(file)
    expect(after.prepare('SELECT name FROM sqlite_schema').get()).toEqual({ name: 'bookmarks' })
    after.close()
  })

  it('a file that is no database', async () => {
    const file = join(directory, 'text')
    writeFileSync(file, 'not a database, but long enough to be read as the header of one: '.repeat(20))
    await expect(open(file)).rejects.toMatchObject({ kind: 'unsupported' })
  })

  it('a directory that is not there', async () => {
    await expect(open(join(directory, 'absent', 'catalog'))).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('a network disk, naming the shared catalogs', () => {
    for (const type of [0x6969, 0x517b, 0xff534d42 | 0, 0xfe534d42])
      expect(() => refuseNetworkDisk(type)).toThrow(
        expect.objectContaining({
          kind: 'unsupported',
          message: expect.stringMatching(/postgres or dynamodb/) as unknown,
        }),
      )
    for (const type of [0xef53, 0x9123683e, 0x01021994, 0x794c7630]) expect(() => refuseNetworkDisk(type)).not.toThrow()
  })
})

it('says no-space when the disk is full', async () => {
  const database = openDatabase(join(directory, 'full'))
  database.exec('CREATE TABLE t (v); PRAGMA max_page_count = 3')
  const thrown = ((): unknown => {
    try {
      database.prepare('INSERT INTO t VALUES (?)').run(new Uint8Array(100_000))
      return undefined
    } catch (error) {
      return sqliteFailure(error)
    }
  })()
  database.close()
  expect(thrown).toMatchObject({ kind: 'no-space' })
})

it('keeps its files from other users, and takes back what was opened up', async () => {
  const file = join(directory, 'private')
  const catalog = await open(file)
  await catalog.swap('g', 'n', new Uint8Array(1), undefined)
  for (const suffix of ['', '-wal', '-shm']) expect(statSync(file + suffix).mode & 0o777).toBe(0o600)
  await catalog.close()
  chmodSync(file, 0o644)
  await (await open(file)).close()
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

it('can be opened anew by many at once', async () => {
  const file = join(directory, 'rush')
  const catalogs = await Promise.all(Array.from({ length: 8 }, () => open(file)))
  const made = await Promise.all(catalogs.map((catalog) => catalog.swap('g', 'n', new Uint8Array(1), undefined)))
  expect(made.filter((version) => version !== false)).toHaveLength(1)
  await Promise.all(catalogs.map((catalog) => catalog.close()))
})

it('adds up right with another process that writes all the time', async () => {
  const file = join(directory, 'shared')
  const catalog = await open(file)
  const expires = new Date(clock.now() + 1_000_000)
  await catalog.add('g', 'n', 1, expires)
  const script = `
    const database = new DatabaseSync(process.argv[1]); database.exec('PRAGMA busy_timeout = 10000');
    const add = database.prepare("UPDATE counters SET sum = sum + 1 WHERE grp = 'g'");
    for (let at = 0; at < 500; at++) add.run();
    database.close();`
  const child = promisify(execFile)(process.execPath, childArguments(script, file))
  for (let at = 0; at < 100; at++) await Promise.all(Array.from({ length: 5 }, () => catalog.add('g', 'n', 1, expires)))
  await child
  expect(await catalog.add('g', 'n', 0, expires)).toBe(1 + 500 + 500)
  await catalog.close()
})

it('waits for another process without holding up the event loop, and reads meanwhile', async () => {
  const file = join(directory, 'busy')
  const catalog = await open(file)
  await catalog.swap('g', 'n', new Uint8Array([1]), undefined)
  const script = `
    const database = new DatabaseSync(process.argv[1]); database.exec('PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE');
    console.log('held');
    process.stdin.once('data', () => { database.exec('COMMIT'); database.close(); process.exit() });`
  const child = spawn(process.execPath, childArguments(script, file), { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  let written = false
  const writing = catalog.swap('g', 'n', new Uint8Array([2]), 'any').then(() => (written = true))
  let turns = 0
  for (const until = performance.now() + 100; performance.now() < until; turns++)
    await new Promise((resolve) => setImmediate(resolve))
  expect(turns).toBeGreaterThan(2)
  expect(written).toBe(false)
  expect((await catalog.get('g', 'n'))?.value[0]).toBe(1)
  child.stdin.write('go on\n')
  await writing
  expect((await catalog.get('g', 'n'))?.value[0]).toBe(2)
  await catalog.close()
})

it('removes expired items from the file in time', async () => {
  const file = join(directory, 'swept')
  const catalog = await open(file)
  const soon = new Date(clock.now() + 1000)
  const many = Array.from({ length: 600 }, (_, at) => at)
  await Promise.all(many.map((at) => catalog.swap('g', `old${at}`, new Uint8Array(1), undefined, soon)))
  await Promise.all(many.map((at) => catalog.add('g', `old${at}`, 1, soon)))
  clock.advanceSeconds(2)
  for (let at = 0; at < 2000; at++) void catalog.swap('g', 'n', new Uint8Array(1), 'any')
  await catalog.close()
  const database = openDatabase(file)
  const left = database.prepare(
    'SELECT (SELECT count(*) FROM items) AS items, (SELECT count(*) FROM counters) AS counters',
  )
  expect(left.get()).toEqual({ items: 1, counters: 0 })
  database.close()
})

it('says nothing of an experimental SQLite', async () => {
  const warnings: string[] = []
  const note = (warning: Error): void => void warnings.push(warning.name)
  process.on('warning', note)
  const database = openDatabase(join(directory, 'quiet'))
  database.close()
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', note)
  expect(warnings).toEqual([])
})
