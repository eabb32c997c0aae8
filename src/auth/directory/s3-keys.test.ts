import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toPath } from '../../core/path.js'
import { compileGrants } from '../grant.js'
import type { Directory, SigningKey } from '../identity.js'
import { grantOfGlob, parseS3KeyFile } from './s3-key-file.js'
import { s3KeysDirectory } from './s3-keys.js'

const id = 'AKIAEXAMPLE1'
let outside: string
let folder: string
let warnings: object[]
let directory: Directory

beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'postern-s3-keys-'))
  folder = join(outside, 'keys')
  mkdirSync(folder)
  writeFileSync(join(folder, id), 'sEcret/+1:test-bucket/*\nsEcret/+1:other-bucket/**/*.json\n', { mode: 0o600 })
  warnings = []
  directory = s3KeysDirectory({ name: 's3-keys', folder, warn: (facts) => warnings.push(facts) })
})

afterEach(() => {
  rmSync(outside, { recursive: true })
})

async function key(of: string): Promise<SigningKey | undefined> {
  await turn()
  return directory.signingKey?.(of)
}

describe('globs of key files', () => {
  it.each([
    ['test-bucket/*', '/test-bucket/a', true],
    ['test-bucket/*', '/test-bucket/a/b/c', true],
    ['test-bucket/*', '/test-bucket', true],
    ['test-bucket/*', '/test-bucket-other/a', false],
    ['test-bucket/*', '/test-bucketa', false],
    ['test-bucket/*', '/x/test-bucket/a', false],
    ['test-bucket/*', '/', false],
    ['/test-bucket/*', '/test-bucket/a', true],
    ['test-bucket/dir/*', '/test-bucket/dir/a/b', true],
    ['test-bucket/dir/*', '/test-bucket/other', false],
    ['test-bucket/**', '/test-bucket/a/b', true],
    ['other-bucket/**/*.json', '/other-bucket/x.json', true],
    ['other-bucket/**/*.json', '/other-bucket/a/b/x.json', true],
    ['other-bucket/**/*.json', '/other-bucket/a/x.txt', false],
    ['other-bucket/**/*.json', '/other-bucket/x.json/y', false],
    ['b/*/x', '/b/a/x', true],
    ['b/*/x', '/b/a/c/x', false],
    ['b/a*', '/b/abc', true],
    ['b/a*', '/b/abc/d', false],
    ['test-*', '/test-a', true],
    ['test-*', '/test-a/key', false],
    ['b/key', '/b/key', true],
    ['b/key', '/b/key/x', false],
    ['*', '/any/thing', true],
    ['**', '/any/thing', true],
    ['b/a:b', '/b/a:b', true],
    ['b/*', '/B/a', false],
    ['caf\u00e9/*', '/cafe\u0301/x', true],
  ])('%s on %s: %s', (glob, path, allowed) => {
    const grant = grantOfGlob(glob) ?? ''
    for (const action of ['read', 'list', 'create', 'replace', 'delete'] as const)
      expect(compileGrants([grant], 'test').allows(action, toPath(path))).toBe(allowed)
  })

  it.each(['', 'b/?', 'b/[a-z]', 'b/../c', './b', 'b/./c', 'b/a**', '***', 'b/\0', `b/${'x'.repeat(300)}`])(
    '%j is none',
    (glob) => {
      expect(grantOfGlob(glob)).toBeUndefined()
    },
  )
})

describe('lines of a key file', () => {
  it.each([
    ['nothing', '', { grants: [] }],
    ['a comment', '# s:b/*\n\n', { grants: [] }],
    ['no secret', ':b/*\n', { grants: [] }],
    ['no colon', 'secret\n', { grants: [] }],
    ['no glob', 'secret:\n', { secret: 'secret', grants: [] }],
    ['a glob with a colon', 's:b/a:c\n', { secret: 's', grants: ['rw:/b/a:c'] }],
    ['line ends of Windows', 's:b/*\r\ns:c/*\r\n', { secret: 's', grants: ['rw:/b/**', 'rw:/c/**'] }],
    ['a second secret', 's:b/*\nt:c/*\n', { secret: 's', grants: ['rw:/b/**'] }],
  ])('%s', (_what, text, facts) => {
    expect(parseS3KeyFile(text).facts).toEqual(facts)
  })

  it('tell the owner where they are wrong, without a secret', () => {
    const { problems } = parseS3KeyFile('topsecret\n:x\ntopsecret:b/[a]\nanother-topsecret:b/*\n')
    expect(problems.map(({ line }) => line)).toEqual([1, 2, 3, 4])
    expect(JSON.stringify(problems)).not.toContain('topsecret')
  })
})

describe('there is no key', () => {
  it.each([
    '',
    '.',
    '..',
    '../keys/AKIAEXAMPLE1',
    './AKIAEXAMPLE1',
    '/etc/passwd',
    'AKIAEXAMPLE',
    'AKIAEXAMPLE1 ',
    'akiaexample1',
    'AKIAEXAMPLE1\0',
    '.hidden',
    'sub',
    'x'.repeat(300),
  ])(
    // prettier-ignore
    'under %j',
    async (name) => {
      writeFileSync(join(folder, '.hidden'), 's:b/*')
      mkdirSync(join(folder, 'sub'))
      expect(await key(name)).toBeUndefined()
    },
  )

  it('behind a link out of the folder', async () => {
    writeFileSync(join(outside, 'planted'), 's:b/*')
    symlinkSync('../planted', join(folder, 'LINKED'))
    for (const asked of ['LINKED', 'LINKED']) expect(await key(asked)).toBeUndefined()
    expect(warnings).toHaveLength(1)
  })

  it('in a file that everybody may write', async () => {
    chmodSync(join(folder, id), 0o666)
    await expect(key(id)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('in a folder that everybody may write, or that is gone', async () => {
    chmodSync(folder, 0o777)
    await expect(key(id)).rejects.toMatchObject({ kind: 'unavailable' })
    chmodSync(folder, 0o700)
    expect(await key(id)).toBeDefined()
    renameSync(folder, `${folder}-away`)
    await expect(key(id)).rejects.toMatchObject({ kind: 'unavailable' })
  })
})

describe('a key', () => {
  it('has its secret and what its globs cover', async () => {
    expect(await key(id)).toEqual({
      secret: 'sEcret/+1',
      identity: { name: id, source: 's3-keys', grants: ['rw:/test-bucket/**', 'rw:/other-bucket/**/*.json'] },
    })
    expect((await key(id))?.identity.grants).toBe((await key(id))?.identity.grants)
  })

  it('is changed, removed and made by its file, from the next request', async () => {
    writeFileSync(join(folder, id), 'another:b/*\n')
    expect(await key(id)).toMatchObject({ secret: 'another', identity: { grants: ['rw:/b/**'] } })
    unlinkSync(join(folder, id))
    expect(await key(id)).toBeUndefined()
    writeFileSync(join(folder, id), 'third:b/*\n')
    expect(await key(id)).toMatchObject({ secret: 'third' })
    writeFileSync(join(folder, 'NEW'), 'fourth:b/*\n')
    expect(await key('NEW')).toMatchObject({ secret: 'fourth' })
  })

  it('may be a link within the folder, as container platforms mount secrets', async () => {
    mkdirSync(join(folder, '..v1'))
    writeFileSync(join(folder, '..v1', 'K8S'), 'one:b/*')
    symlinkSync('..v1', join(folder, '..data'))
    symlinkSync('..data/K8S', join(folder, 'K8S'))
    expect(await key('K8S')).toMatchObject({ secret: 'one' })
    mkdirSync(join(folder, '..v2'))
    writeFileSync(join(folder, '..v2', 'K8S'), 'two:b/*')
    symlinkSync('..v2', join(folder, '..next'))
    renameSync(join(folder, '..next'), join(folder, '..data'))
    expect(await key('K8S')).toMatchObject({ secret: 'two' })
  })
})
