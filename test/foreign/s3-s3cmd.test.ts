import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { namesBelow } from '../harness.js'
import { expectFile, expectSameTree, md5, randomFile, smallTree, withS3Site } from './s3-site.js'
import { describeForeign } from './tools.js'

describeForeign('s3cmd', ['program: s3cmd'], () => {
  const site = withS3Site()

  beforeAll(async () => {
    const { accessKeyId, secretAccessKey } = site.key
    const host = new URL(site.http).host
    const lines = [
      '[default]',
      `access_key = ${accessKeyId}`,
      `secret_key = ${secretAccessKey}`,
      `host_base = ${host}`,
      `host_bucket = ${host}`,
      'use_https = False',
      'bucket_location = us-east-1',
      'max_retries = 1',
    ]
    await writeFile(join(site.home, '.s3cfg'), lines.join('\n') + '\n')
  })

  async function s3cmd(...args: readonly string[]): Promise<string> {
    return await site.ok('s3cmd', ['--no-progress', ...args])
  }

  it('makes a bucket, puts, lists, tells, copies, moves, deletes and removes it', async () => {
    expect(await s3cmd('mb', 's3://made')).toContain("Bucket 's3://made/' created")
    const small = await randomFile(join(site.home, 'small file'), 1024)
    await s3cmd('put', '--mime-type=x/y', '--add-header=x-amz-meta-colour:blue', 'small file', 's3://made/in/a b+ü.bin')
    await expectFile(join(site.server.root, 'made/in/a b+ü.bin'), small)
    expect(await s3cmd('ls')).toMatch(/ s3:\/\/made$/m)
    expect(await s3cmd('ls', 's3://made/')).toMatch(/DIR +s3:\/\/made\/in\/$/m)
    expect(await s3cmd('ls', '--recursive', 's3://made')).toMatch(/ 1024 +s3:\/\/made\/in\/a b\+ü\.bin$/m)
    const told = await s3cmd('info', 's3://made/in/a b+ü.bin')
    expect(told).toMatch(new RegExp(`MIME type: +x/y\n[^]*MD5 sum: +${md5(small)}\n[^]*x-amz-meta-colour: blue`))
    expect(await s3cmd('info', 's3://made')).toMatch(/Location: +us-east-1/)
    await s3cmd('cp', 's3://made/in/a b+ü.bin', 's3://made/copy')
    await s3cmd('mv', 's3://made/copy', 's3://made/moved')
    await s3cmd('get', 's3://made/moved', 'back')
    await expectFile(join(site.home, 'back'), small)
    await s3cmd('del', 's3://made/moved')
    expect(await namesBelow(join(site.server.root, 'made'))).toEqual(['in', 'in/a b+ü.bin'])
    const full = await site.client('s3cmd', ['rb', 's3://made'])
    expect(full.code).not.toBe(0)
    expect(full.stderr).toContain('BucketNotEmpty')
    await s3cmd('del', '--recursive', '--force', 's3://made')
    await s3cmd('rb', 's3://made')
    expect(existsSync(join(site.server.root, 'made'))).toBe(false)
  })

  it('uploads in parts', async () => {
    await s3cmd('mb', 's3://large')
    const big = await randomFile(join(site.home, 'big'), 12 << 20)
    await s3cmd('put', '--multipart-chunk-size-mb=5', 'big', 's3://large/big')
    await expectFile(join(site.server.root, 'large/big'), big)
    await s3cmd('get', 's3://large/big', 'big-back')
    await expectFile(join(site.home, 'big-back'), big)
  })

  it('syncs both ways, and then finds nothing to do', async () => {
    await s3cmd('mb', 's3://synced')
    const tree = join(site.home, 'tree')
    await smallTree(tree)
    await s3cmd('sync', 'tree/', 's3://synced/tree/')
    await expectSameTree(tree, join(site.server.root, 'synced/tree'))
    expect(await s3cmd('sync', 'tree/', 's3://synced/tree/')).not.toContain('upload:')
    await writeFile(join(tree, 'a.txt'), 'b\n')
    await s3cmd('sync', '--delete-removed', 'tree/', 's3://synced/tree/')
    expect(await readFile(join(site.server.root, 'synced/tree/a.txt'), 'utf8')).toBe('b\n')
    await s3cmd('sync', 's3://synced/tree/', 'tree-back/')
    await expectSameTree(tree, join(site.home, 'tree-back'))
  })

  it('fails with the reason where its secret is wrong', async () => {
    const done = await site.client('s3cmd', ['--secret_key', 'x'.repeat(40), 'ls'])
    expect(done.code).not.toBe(0)
    expect(done.stderr).toContain('SignatureDoesNotMatch')
  })
})
