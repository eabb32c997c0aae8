import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDynamodb } from '../dynalite-server.js'
import type { LocalDynamodb } from '../dynalite-server.js'
import { run, startServer } from '../harness.js'
import type { Finished } from '../harness.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const files = 's3://files/team?region=eu-west-1&access_key_id=AKIAEXAMPLE&secret_access_key=hidden'

let folder: string
let dynamodb: LocalDynamodb

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-policy-'))
  dynamodb = await startDynamodb()
})
afterAll(async () => {
  await dynamodb.stop()
  await rm(folder, { recursive: true })
})

async function policy(config: string, ...args: readonly string[]): Promise<Finished> {
  const file = join(folder, 'postern.yaml')
  await writeFile(file, config)
  // The variable of the secret is not set: whoever prints policies needs no secrets.
  return run(process.execPath, [program, 'policy', '--config', file, ...args], { env: { PATH: process.env['PATH'] } })
}

describe('postern policy', () => {
  const config = `
catalog: { dynamodb: { table: postern, region: eu-west-1 } }
secret: { env: FILES_SECRET }
identity: [catalog, dynamodb: { table: users, realm: dav, region: eu-west-1 }]
mounts: [{ path: /, local: ./data }, { path: /files, s3: "${files}" }]
`

  it('prints nothing but policies on standard output, and never a secret', async () => {
    const { code, stdout, stderr } = await policy(config, '--account', '123456789012')
    expect(code).toBe(0)
    const documents = stdout.split(/^(?=\{)/m).map((text) => JSON.parse(text) as { Statement: { Sid: string }[] })
    expect(documents.map(({ Statement }) => Statement.map(({ Sid }) => Sid))).toEqual([
      ['Catalog', 'Users'],
      ['Objects', 'List', 'Uploads'],
    ])
    expect(stderr).toBe('For the role of this server:\nFor the owner of the access key AKIAEXAMPLE:\n')
    expect(stdout + stderr).not.toContain('hidden')
  })

  it('prints one object of JSON for programs, and the other rights for migrate', async () => {
    const { stdout, stderr } = await policy(config, '--json', '--migrate')
    const { policies, notes } = JSON.parse(stdout) as { policies: { document: { Statement: object[] } }[]; notes: [] }
    expect(policies.map(({ document }) => document.Statement)).toEqual([
      [expect.objectContaining({ Sid: 'MakeCatalog' })],
    ])
    expect(notes).toEqual([])
    expect(stderr).toBe('')
  })

  it('says where nothing is needed, and what is wrong', async () => {
    const nothing = await policy('root: ./data\n')
    expect(nothing).toEqual({ code: 0, stdout: '', stderr: 'This configuration needs no rights at AWS.\n' })
    expect(await policy('root: ./data\n', '--account', '1')).toMatchObject({ code: 2, stdout: '' })
    expect(await policy('mounts: [{ path: /, s3: "s3://files?regoin=x" }]\n')).toMatchObject({ code: 2, stdout: '' })
  })
})

it('a table that is missing keeps the server from starting, and the message names who makes it', async () => {
  const config = `catalog: { dynamodb: { table: missing, region: eu-west-1, endpoint: "${dynamodb.endpoint}" } }\nsecret: { env: FILES_SECRET }\n`
  const env = {
    FILES_SECRET: 'a'.repeat(64),
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'a key for tests',
  }
  await expect(startServer({ config, env })).rejects.toThrow(
    `There is no DynamoDB table missing in ${dynamodb.endpoint}: "postern migrate" makes it.`,
  )
})
