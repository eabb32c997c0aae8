import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DsqlRules } from './dsql-rules.js'
import { password, TestPostgres } from './postgres.js'

let server: TestPostgres
let database = ''
beforeAll(async () => {
  server = await TestPostgres.start()
}, 60_000)
afterAll(() => server.stop())
const emptied = async (): Promise<void> => {
  database = await server.newDatabase('bytes')
  await server.query(database, 'CREATE TABLE t (id integer PRIMARY KEY, v text)')
}

async function through<T>(conflicts: number, work: (client: Client, rules: DsqlRules) => Promise<T>): Promise<T> {
  await emptied()
  const rules = await DsqlRules.start(server.port, { conflicts })
  const client = new Client({ host: '127.0.0.1', port: rules.port, user: 'postern', password, database })
  await client.connect()
  try {
    return await work(client, rules)
  } finally {
    await client.end()
    await rules.close()
  }
}

const count = async (): Promise<unknown> => (await server.query(database, 'SELECT count(*)::int AS n FROM t'))[0]?.['n']
const notSupported = { code: '0A000' }

describe('refused, whichever protocol it comes by', () => {
  let rules: DsqlRules
  let client: Client
  beforeAll(async () => {
    await emptied()
    rules = await DsqlRules.start(server.port)
    client = new Client({ host: '127.0.0.1', port: rules.port, user: 'postern', password, database })
    await client.connect()
  })
  afterAll(async () => {
    await client.end()
    await rules.close()
  })

  it.each([
    'SAVEPOINT s',
    'ROLLBACK TO SAVEPOINT s',
    'TRUNCATE t',
    '/* harmless */ truncate t',
    '-- harmless\nTRUNCATE t',
    'VACUUM t',
    'LOCK TABLE t',
    'LISTEN x',
    'DO $$ BEGIN NULL; END $$',
    'CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
    'CREATE TEMP TABLE x (id integer)',
    'CREATE TEMPORARY TABLE x (id integer)',
    'CREATE UNLOGGED TABLE x (id integer)',
    'CREATE EXTENSION pgcrypto',
    'CREATE MATERIALIZED VIEW x AS SELECT 1',
    'CREATE FUNCTION x() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$',
    'CREATE SEQUENCE x',
    'CREATE TABLE x (id bigserial PRIMARY KEY)',
    'CREATE TABLE x (id integer GENERATED ALWAYS AS IDENTITY)',
    'CREATE TABLE x (id integer) PARTITION BY RANGE (id)',
    'CREATE TABLE x (id integer REFERENCES t (id))',
    'CREATE TABLE x (id text COLLATE "C" PRIMARY KEY)',
    'CREATE TABLE x (ids integer[])',
    'CREATE TABLE x (id bytea PRIMARY KEY)',
    'CREATE TABLE x (grp text, name bytea NOT NULL, PRIMARY KEY (grp, name))',
    'CREATE INDEX x ON t (v)',
    'CREATE INDEX CONCURRENTLY x ON t (v)',
    'CREATE INDEX ASYNC x ON t USING btree (v)',
    'CREATE INDEX ASYNC x ON t (v) WHERE v IS NOT NULL',
    'ALTER TABLE t ADD COLUMN w text NOT NULL',
    "ALTER TABLE t ADD COLUMN w text DEFAULT 'x'",
    'ALTER TABLE t ADD CONSTRAINT x UNIQUE (v)',
    'ALTER TABLE t DROP COLUMN v',
    'ALTER TABLE t ALTER COLUMN v TYPE varchar',
    'ALTER SYSTEM SET work_mem = 1',
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
    'SET statement_timeout = 1',
    "SELECT set_config('work_mem', '1MB', false)",
    'SELECT pg_advisory_lock(1)',
    'SELECT * FROM t FOR SHARE',
    'SELECT * FROM t FOR UPDATE SKIP LOCKED',
  ])('%s', async (statement) => {
    const before = rules.refused.length
    await expect(client.query(statement)).rejects.toMatchObject(notSupported)
    const extended = { text: statement, queryMode: 'extended' }
    await expect(client.query(extended)).rejects.toMatchObject(notSupported)
    expect(rules.refused).toHaveLength(before + 2)
    // The connection is as good as before.
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  })

  it('two statements at once', async () => {
    await expect(client.query('INSERT INTO t VALUES (1); DROP TABLE t')).rejects.toMatchObject(notSupported)
  })
})

it('what Aurora DSQL understands is done', async () => {
  await through(0, async (client, rules) => {
    await client.query('CREATE TABLE x (id text PRIMARY KEY, body bytea, n integer NOT NULL DEFAULT 0)')
    await client.query('CREATE UNIQUE INDEX ASYNC IF NOT EXISTS x_n ON x (n)')
    await client.query('ALTER TABLE x ADD COLUMN later bigint')
    await client.query('INSERT INTO x (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET n = 1', ["it's -- TRUNCATE"])
    expect((await client.query('SELECT id, n FROM x WHERE id = ANY ($1)', [["it's -- TRUNCATE"]])).rows).toEqual([
      { id: "it's -- TRUNCATE", n: 0 },
    ])
    await client.query('BEGIN')
    await client.query('SELECT * FROM x FOR UPDATE')
    await client.query('COMMIT')
    expect(rules.refused).toEqual([])
  })
})

it('a transaction holds one change of the schema, and nothing beside it', async () => {
  await through(0, async (client) => {
    for (const [first, second] of [
      ['CREATE TABLE x (id integer)', 'CREATE TABLE y (id integer)'],
      ['CREATE TABLE x (id integer)', 'INSERT INTO t VALUES (1)'],
      ['INSERT INTO t VALUES (1)', 'DROP TABLE t'],
    ] as const) {
      await client.query('BEGIN')
      await client.query(first)
      await expect(client.query(second)).rejects.toMatchObject(notSupported)
      await client.query('ROLLBACK')
    }
    expect(await count()).toBe(0)
  })
})

it('a transaction changes at most 3,000 rows', async () => {
  await through(0, async (client) => {
    const many = 'INSERT INTO t SELECT generate_series($1::integer, $2::integer)'
    await expect(client.query(many, [1, 3001])).rejects.toMatchObject({ code: '54000' })
    expect(await count()).toBe(0)
    await client.query('BEGIN')
    await client.query(many, [1, 2000])
    await client.query(many, [2001, 3001])
    await expect(client.query('COMMIT')).rejects.toMatchObject({ code: '54000' })
    expect(await count()).toBe(0)
    await client.query(many, [1, 3000])
    expect(await count()).toBe(3000)
  })
})

it('a commit that fails has changed nothing, and says so by a code of DSQL', async () => {
  await through(1, async (client, rules) => {
    const conflict = { code: expect.stringMatching(/^(?:40001|OC000|OC001)$/) as unknown }
    await expect(client.query('INSERT INTO t VALUES ($1)', [1])).rejects.toMatchObject(conflict)
    await client.query('BEGIN')
    await client.query('INSERT INTO t VALUES ($1)', [2])
    await expect(client.query('COMMIT')).rejects.toMatchObject(conflict)
    await expect(client.query('CREATE TABLE x (id integer)')).rejects.toMatchObject(conflict)
    expect(rules.conflicts).toBe(3)
    expect(await count()).toBe(0)
    // What changes nothing cannot be in conflict.
    await client.query('UPDATE t SET v = $1', ['x'])
    expect((await client.query('SELECT * FROM t')).rows).toEqual([])
  })
})

it('a transaction sees what was there when it began, and may be written askew', async () => {
  await through(0, async (one, rules) => {
    await server.query(database, "INSERT INTO t VALUES (1, 'on'), (2, 'on')")
    const other = new Client({ host: '127.0.0.1', port: rules.port, user: 'postern', password, database })
    await other.connect()
    const both = [one, other]
    for (const client of both) await client.query('BEGIN')
    for (const client of both) expect((await client.query("SELECT * FROM t WHERE v = 'on'")).rows).toHaveLength(2)
    await one.query("UPDATE t SET v = 'off' WHERE id = $1", [1])
    await other.query("UPDATE t SET v = 'off' WHERE id = $1", [2])
    for (const client of both) await client.query('COMMIT')
    expect((await one.query("SELECT * FROM t WHERE v = 'on'")).rows).toEqual([])
    await other.end()
  })
})
