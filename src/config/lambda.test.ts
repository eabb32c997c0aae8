import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lambdaConfig } from './lambda.js'
import type { Config } from './load.js'

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

const sound = {
  POSTERN_MOUNTS: '[{ path: /, s3: "s3://my-files/?region=eu-west-1" }]',
  POSTERN_CATALOG: '{ dynamodb: { table: postern, region: eu-west-1 } }',
  POSTERN_SECRET: '{ env: FILES_SECRET }',
}

function configOf(variables: Readonly<Record<string, string | undefined>>): Config {
  return lambdaConfig({ LAMBDA_TASK_ROOT: folder, ...variables })
}

describe('the configuration of a function', () => {
  it('is that of the manual, beside the bundle', () => {
    const manual = readFileSync(new URL('../../docs/aws.md', import.meta.url), 'utf8')
    const [, example = ''] = /```yaml\n(mounts:[^`]*)```/.exec(manual) ?? []
    writeFileSync(join(folder, 'postern.yaml'), example)
    expect(configOf({})).toMatchObject({
      mounts: [{ kind: 's3', url: 's3://my-files/?region=eu-west-1', selfTest: false }],
      catalog: { dynamodb: { table: 'postern' } },
      log: { format: 'json' },
    })
  })

  it('speaks everything but WebDAV, and keeps no state on a disk', () => {
    const { listen, state, workers } = configOf({ ...sound, POSTERN_STATE: folder, POSTERN_WORKERS: '4' })
    expect(listen).toMatchObject([{ name: 'lambda', tls: false }])
    expect(listen[0]?.surfaces).not.toContain('webdav')
    expect(listen[0]?.surfaces).toEqual(expect.arrayContaining(['http', 's3']))
    expect([state, workers]).toEqual(['/dev/null/postern', 1])
  })

  it('tests the store of another service, unless it is told not to', () => {
    const at = (more: string): string => `[{ path: /, s3: "s3://my-files/?endpoint=http://127.0.0.1:1"${more} }]`
    const tested = (mounts: string): unknown => configOf({ ...sound, POSTERN_MOUNTS: mounts }).mounts[0]
    expect(tested(at(''))).toMatchObject({ selfTest: true })
    expect(tested(at(', selfTest: false'))).toMatchObject({ selfTest: false })
  })

  it.each([
    ['no catalog', { POSTERN_CATALOG: undefined }, /^catalog: a function keeps nothing on its disk/],
    ['no secret', { POSTERN_SECRET: undefined }, /secret/],
    ['nothing to serve', { POSTERN_MOUNTS: undefined }, /^mounts: \/ would be in .*data/],
    ['the folder of the bundle', { POSTERN_MOUNTS: '[{ path: /, local: ./files }]' }, /can only read/],
    ['privilege separation', { POSTERN_PRIVSEP: 'true' }, /^privsep: /],
    ['no place to listen at', { AWS_LAMBDA_HTTP_ENDPOINT: 'nowhere' }, /^AWS_LAMBDA_HTTP_ENDPOINT: nowhere/],
    ['a key that is none', { POSTERN_MOUNTS: '[{ path: /, s4: x }]' }, /POSTERN_MOUNTS/],
  ])('says what is wrong with it: %s', (_, change, message) => {
    expect(() => configOf({ ...sound, ...change })).toThrow(
      expect.objectContaining({ kind: 'invalid', message: expect.stringMatching(message) as string }),
    )
  })

  it('sends past it what is larger than it can take or give, or less where that is said', () => {
    const { redirectOver = 0, mostPart } = configOf(sound).transfers
    expect([redirectOver > 4_500_000, (redirectOver * 4) / 3 < 6_291_456, mostPart]).toEqual([true, true, redirectOver])
    expect(configOf({ ...sound, POSTERN_TRANSFERS: '{ redirectOver: 700K }' }).transfers).toEqual({
      redirectOver: 700 * 1024,
      mostPart,
    })
  })

  it('listens where the platform says', () => {
    expect(configOf({ ...sound, AWS_LAMBDA_HTTP_ENDPOINT: '127.0.0.1:9001' }).listen[0]?.at).toEqual({
      kind: 'tcp',
      host: '127.0.0.1',
      port: 9001,
    })
  })
})
