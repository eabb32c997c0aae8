import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDynamodb } from '../dynalite-server.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { run, startServer } from '../harness.js'
import type { Finished } from '../harness.js'
import { password, TestPostgres } from '../postgres.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const secret = 'secret: { env: FILES_SECRET }'
const env = {
  FILES_SECRET: '0f'.repeat(32),
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'a key for tests',
}

let folder: string
let postgres: TestPostgres
let dynamodb: LocalDynamodb

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-migrate-'))
  postgres = await TestPostgres.start()
  dynamodb = await startDynamodb()
})
afterAll(async () => {
  await postgres.stop()
  await dynamodb.stop()
  rmSync(folder, { recursive: true })
})

async function migrate(config: string, ...args: readonly string[]): Promise<Finished> {
  const file = join(folder, 'postern.yaml')
  writeFileSync(file, config)
  const done = await run(process.execPath, [program, 'migrate', '--config', file, ...args], {
    env: { PATH: process.env['PATH'], ...env },
  })
  for (const word of [password, encodeURIComponent(password)]) expect(done.stdout + done.stderr).not.toContain(word)
  return done
}

describe('postern migrate', () => {
  it('shows and makes the tables in PostgreSQL, and a server uses them', async () => {
    const database = await postgres.newDatabase()
    const config = `catalog: { postgres: "${postgres.url(database)}" }\n${secret}\n`
    const tables = async (): Promise<number> =>
      (await postgres.query(database, "SELECT 1 FROM pg_tables WHERE tablename LIKE 'postern%'")).length
    const shown = await migrate(config)
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(
      /^To be done \(an empty database becomes schema 1\):\n {2}CREATE TABLE [^]*\nNothing was changed: postern migrate --apply does it\.\n$/,
    )
    expect(await tables()).toBe(0)
    expect((await migrate(config, '--dry-run')).stdout).toBe(shown.stdout)
    const done = await migrate(config, '--apply')
    expect(done.stdout).toMatch(/^Done \(an empty database becomes schema 1\):\n {2}CREATE TABLE /)
    expect(await tables()).toBe(3)
    expect((await migrate(config)).stdout).toBe('The database of the catalog is as it should be (schema 1).\n')
    expect(JSON.parse((await migrate(config, '--apply', '--json')).stdout)).toEqual({
      database: 'postgres',
      from: 1,
      to: 1,
      steps: [],
      applied: true,
    })
    await using server = await startServer({ config, env })
    expect((await server.request('PUT', '/f', { body: 'x' })).status).toBe(201)
  })

  it('says that a newer Postern was there, and so does a server', async () => {
    const database = await postgres.newDatabase()
    const config = `catalog: { postgres: "${postgres.url(database)}" }\n${secret}\n`
    await migrate(config, '--apply')
    await postgres.query(database, 'INSERT INTO postern_schema VALUES (9, 0)')
    const refused = await migrate(config, '--apply')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/newer Postern \(schema 9, this one knows 1\)/)
    const root = join(folder, 'files')
    const file = join(folder, 'serve.yaml')
    writeFileSync(file, config)
    const args = [program, 'serve', root, '--config', file, '--listen', '127.0.0.1:0', '--state', join(folder, 'state')]
    const served = await run(process.execPath, args, { env: { PATH: process.env['PATH'], ...env } })
    expect(served.code).toBe(1)
    expect(served.stderr).toMatch(/newer Postern \(schema 9, this one knows 1\)/)
  })

  it('shows and makes the table of DynamoDB', async () => {
    const config = `catalog: { dynamodb: { table: postern-migrated, region: eu-west-1, endpoint: "${dynamodb.endpoint}" } }\n${secret}\n`
    expect((await migrate(config)).stdout).toMatch(/^To be done:\n {2}Make the DynamoDB table postern-migrated, /)
    expect((await migrate(config, '--apply')).stdout).toMatch(/^Done:\n {2}Make the DynamoDB table postern-migrated, /)
    expect((await migrate(config)).stdout).toBe('The database of the catalog is as it should be.\n')
  })

  it('a command over that database tells what it did on standard error where there is no audit log to write it to', async () => {
    const url = new URL(postgres.url(await postgres.newDatabase()))
    const [own, given] = [url.password, { PGPASSWORD: decodeURIComponent(url.password) }]
    url.password = ''
    const file = join(folder, 'no-state.yaml')
    writeFileSync(file, `catalog: { postgres: "${url.href}" }\n${secret}\nstate: ${join(folder, 'not', 'there')}\n`)
    const cli = (...args: readonly string[]): Promise<Finished> =>
      run(process.execPath, [program, ...args, '--config', file], {
        stdin: 'a long password of ann\n',
        env: { PATH: process.env['PATH'], ...env, ...given },
      })
    expect((await cli('migrate', '--apply')).stdout).toMatch(/^Done/)
    const added = await cli('user', 'add', 'ann', '--grant', 'rw:/**', '--password-stdin')
    expect([added.code, added.stderr]).toEqual([0, expect.stringContaining('"event":"user-changed"')])
    const line = added.stderr.split('\n').find((each) => each.includes('user-changed')) ?? ''
    expect(JSON.parse(line)).toMatchObject({
      what: 'made',
      user: 'ann',
      by: expect.stringMatching(/^command:/) as string,
    })
    expect(added.stderr).not.toContain(own)
  })

  it('has nothing to do for a file, and refuses what contradicts itself', async () => {
    expect((await migrate('')).stdout).toMatch(/^The catalog is a file in the state directory/)
    expect(JSON.parse((await migrate('', '--json')).stdout)).toEqual({ database: 'file', steps: [], applied: false })
    const both = await migrate('', '--apply', '--dry-run')
    expect([both.code, both.stderr]).toEqual([2, '--apply and --dry-run exclude each other.\n'])
  })
})
