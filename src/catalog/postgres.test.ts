import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DsqlRules } from '../../test/dsql-rules.js'
import { password, TestPostgres } from '../../test/postgres.js'
import { PostgresProxy } from '../../test/postgres-proxy.js'
import { ManualClock, systemClock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import { migratePostgres, openPostgresCatalog, planPostgresMigration, postgresTarget } from './postgres.js'
import type { PostgresTarget } from './postgres.js'
import { index, type Migration, migrations } from './postgres/schema.js'

let server: TestPostgres
let certificate: string
beforeAll(async () => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'db.example.org' }])
  certificate = cert
  server = await TestPostgres.start({ tls: { key, cert } })
}, 60_000)
afterAll(() => server.stop())

const clock = systemClock
const value = new Uint8Array([1])
const newUrl = async (): Promise<string> => server.url(await server.newDatabase())
const databaseOf = (url: string): string => new URL(url).pathname.slice(1)

const refusal = async (opening: Promise<unknown>): Promise<unknown> => {
  const thrown: unknown = await opening.then(
    () => new Error('it was opened'),
    (error: unknown) => error,
  )
  expect(isFailure(thrown)).toBe(true)
  for (const secret of [password, encodeURIComponent(password)]) expect(String(thrown)).not.toContain(secret)
  return thrown
}

describe('what cannot be opened', () => {
  it('a database that is not there, saying which', async () => {
    const free = createServer().listen(0, '127.0.0.1')
    await once(free, 'listening')
    const { port } = free.address() as AddressInfo
    free.close()
    expect(await refusal(openPostgresCatalog({ at: server.url('x', port), clock }))).toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${port} cannot be used: .*ECONNREFUSED`)) as unknown,
    })
  })

  it('one that takes the connection and says nothing, in bounded time', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const times = { connect: 100, statement: 1000 }
    const begun = performance.now()
    expect(await refusal(openPostgresCatalog({ at: server.url('x', port), clock, times }))).toMatchObject({
      kind: 'unavailable',
    })
    expect(performance.now() - begun).toBeLessThan(4500)
    silent.close()
  })

  it('with a wrong password or none, nor one of another name', async () => {
    const url = new URL(await newUrl())
    url.password = 'guessed'
    expect(await refusal(openPostgresCatalog({ at: url.href, clock }))).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('password authentication failed') as unknown,
    })
    url.password = ''
    expect(await refusal(openPostgresCatalog({ at: url.href, clock }))).toMatchObject({
      message: expect.stringContaining('it asks for a password, and neither the URL nor PGPASSWORD has one') as unknown,
    })
    expect(await refusal(openPostgresCatalog({ at: server.url('nowhere'), clock }))).toMatchObject({
      message: expect.stringContaining('"nowhere" does not exist') as unknown,
    })
  })

  it('without the right to make tables, saying so', async () => {
    const url = new URL(await newUrl())
    await server.query('postgres', "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    url.username = url.password = 'guest'
    expect(await refusal(openPostgresCatalog({ at: url.href, clock }))).toMatchObject({
      message: expect.stringContaining('cannot be used: permission denied for schema public') as unknown,
    })
  })

  it('one that cannot hold every name', async () => {
    await server.query(
      'postgres',
      "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'",
    )
    expect(await refusal(openPostgresCatalog({ at: server.url('latin'), clock }))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('has the encoding LATIN1') as unknown,
    })
  })

  it('a database of a newer Postern, naming both schemas', async () => {
    const at = await newUrl()
    await (await openPostgresCatalog({ at, clock })).catalog.close()
    await server.query(databaseOf(at), 'INSERT INTO postern_schema VALUES (7, 0)')
    expect(await refusal(openPostgresCatalog({ at, clock }))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/newer Postern \(schema 7, this one knows 1\)/) as unknown,
    })
    expect(await refusal(migratePostgres({ at, clock }))).toMatchObject({ kind: 'unsupported' })
  })

  it('a database of an older Postern, naming the way out', async () => {
    const at = await newUrl()
    await (await openPostgresCatalog({ at, clock })).catalog.close()
    expect(await refusal(openPostgresCatalog({ at, clock, known: [...migrations, second] }))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/has schema 1, this Postern needs 2: run "postern migrate --apply"/) as unknown,
    })
  })
})

describe('TLS', () => {
  const isEncrypted = async (at: PostgresTarget | string): Promise<unknown> => {
    const { catalog } = await openPostgresCatalog({ at, clock })
    try {
      const rows = await server.query(
        'postgres',
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'postern'",
      )
      return rows[0]?.['ssl']
    } finally {
      await catalog.close()
    }
  }

  it('is refused with a certificate that nobody vouches for, or that is for another host', async () => {
    const url = await newUrl()
    const directory = mkdtempSync(join(tmpdir(), 'postern-authorities-'))
    const file = join(directory, 'ca.pem')
    writeFileSync(file, certificate)
    for (const query of ['sslmode=verify-full', 'sslmode=verify-ca', `sslmode=verify-full&sslrootcert=${file}`])
      expect(await refusal(openPostgresCatalog({ at: `${url}?${query}`, clock }))).toMatchObject({
        kind: 'unavailable',
        message: expect.stringMatching(/certificate|altnames/) as unknown,
      })
    expect(await isEncrypted(`${url}?sslmode=verify-ca&sslrootcert=${file}`)).toBe(true)
    rmSync(directory, { recursive: true })
  })

  it('is refused to be gone without where it is required', async () => {
    const plain = await PostgresProxy.start(server.port, ({ toServer, toClient }) => ({
      fromClient: toServer,
      fromServer: toClient,
    }))
    const url = server.url(await server.newDatabase(), plain.port)
    expect(await refusal(openPostgresCatalog({ at: `${url}?sslmode=require`, clock }))).toMatchObject({
      message: expect.stringContaining('does not support SSL') as unknown,
    })
    expect(await isEncrypted(url)).toBe(false)
    await plain.close()
  })

  it('is used where the server has it, and left out where it is not wanted', async () => {
    const url = await newUrl()
    expect(await isEncrypted(url)).toBe(true)
    expect(await isEncrypted(`${url}?sslmode=require`)).toBe(true)
    expect(await isEncrypted(`${url}?sslmode=disable`)).toBe(false)
    expect(await isEncrypted(`${url}?host=${encodeURIComponent(server.directory)}`)).toBe(false)
  })
})

/** What a later Postern might do: only what Aurora DSQL allows. */
const second: Migration = {
  version: 2,
  statements: (dialect) => [
    'ALTER TABLE postern_items ADD COLUMN IF NOT EXISTS made bigint',
    index(dialect, 'postern_items_made', 'postern_items (made)'),
  ],
}

describe('migrations', () => {
  const tablesOf = async (database: string): Promise<readonly unknown[]> =>
    (
      await server.query(
        database,
        "SELECT relname FROM pg_class WHERE relname LIKE 'postern%' AND relname NOT LIKE '%pkey' ORDER BY 1",
      )
    ).map(({ relname }) => relname)
  const all = [
    'postern_counters',
    'postern_counters_expires',
    'postern_items',
    'postern_items_expires',
    'postern_schema',
  ]

  it('are shown without a change, made, and not made again', async () => {
    const at = await newUrl()
    const shown = await planPostgresMigration({ at, clock })
    expect(shown).toMatchObject({ from: 0, to: 1 })
    expect(shown.statements[0]).toMatch(/^CREATE TABLE IF NOT EXISTS postern_schema/)
    expect(await tablesOf(databaseOf(at))).toEqual([])
    expect(await migratePostgres({ at, clock })).toEqual(shown)
    expect(await tablesOf(databaseOf(at))).toEqual(all)
    expect(await planPostgresMigration({ at, clock })).toEqual({ from: 1, to: 1, statements: [] })
    expect(await migratePostgres({ at, clock })).toMatchObject({ statements: [] })
  })

  it('go on where they were cut off', async () => {
    const at = await newUrl()
    for (const statement of migrations[0]!.statements('postgres').slice(0, 2))
      await server.query(databaseOf(at), statement)
    await (await openPostgresCatalog({ at, clock })).catalog.close()
    expect(await tablesOf(databaseOf(at))).toEqual(all)
  })

  it('can be made by many at once, who then use the tables', async () => {
    const at = await newUrl()
    const opened = await Promise.all(Array.from({ length: 8 }, () => openPostgresCatalog({ at, clock })))
    const made = await Promise.all(opened.map(({ catalog }) => catalog.swap('g', 'n', value, undefined)))
    expect(made.filter((version) => version !== false)).toHaveLength(1)
    await Promise.all(opened.map(({ catalog }) => catalog.close()))
  })

  it('keep what is there, under the rules of DSQL too, whatever conflicts there are', async () => {
    const rules = await DsqlRules.start(server.port, { conflicts: 0.5 })
    const database = await server.newDatabase('bytes')
    const at = { ...postgresTarget(server.url(database, rules.port)), dialect: 'dsql' as const }
    const { catalog } = await openPostgresCatalog({ at, clock })
    await catalog.swap('g', 'n', value, undefined)
    await catalog.close()
    const known = [...migrations, second]
    const plans = await Promise.all(Array.from({ length: 4 }, () => migratePostgres({ at, clock, known })))
    expect(plans[0]?.statements).toEqual(second.statements('dsql'))
    const later = await openPostgresCatalog({ at, clock, known })
    expect((await later.catalog.get('g', 'n'))?.value).toEqual(value)
    await later.catalog.close()
    expect(await tablesOf(database)).toContain('postern_items_made')
    expect(rules.refused).toEqual([])
    expect(rules.conflicts).toBeGreaterThan(0)
    await rules.close()
  })
})

it('measures how far the clock of the database is from ours, and warns', async () => {
  const warnings: unknown[] = []
  const warn = (facts: object, message: string): void => void warnings.push([facts, message])
  const at = await newUrl()
  const right = await openPostgresCatalog({ at, clock, warn })
  expect(Math.abs(right.skewMilliseconds)).toBeLessThan(2000)
  expect(warnings).toEqual([])
  const late = await openPostgresCatalog({ at, clock: new ManualClock(Date.now() - 3600_000), warn })
  expect(Math.abs(late.skewMilliseconds - 3600_000)).toBeLessThan(2000)
  expect(warnings).toEqual([
    [{ skewMilliseconds: late.skewMilliseconds }, expect.stringContaining("the clock of the catalog's database")],
  ])
  await right.catalog.close()
  await late.catalog.close()
})

it('follows the clock of the database where ours is set while it is open', async () => {
  let skew = 0
  let step = 0
  let tell: (milliseconds: number) => void = () => undefined
  const followed = new Promise<number>((resolve) => (tell = resolve))
  const stepping = { now: () => Date.now() + step + skew }
  const { catalog, skewMilliseconds } = await openPostgresCatalog({
    at: await newUrl(),
    clock: stepping,
    skewInterval: 20,
    followSkew: (milliseconds) => {
      skew += milliseconds
      tell(milliseconds)
    },
  })
  skew = skewMilliseconds
  // A lock of an hour would be over here, and taken a second time, while its owner still writes.
  step = 2 * 3600_000
  expect(Math.abs((await followed) + step)).toBeLessThan(2000)
  expect(Math.abs(stepping.now() - Date.now())).toBeLessThan(2000)
  await catalog.close()
})
