import { existsSync } from 'node:fs'
import { mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { namesBelow, run } from '../harness.js'
import { expectFile, expectSameTree, md5, multipartEtag, randomFile, smallTree, withS3Site } from './s3-site.js'
import { describeForeign } from './tools.js'

describeForeign('aws cli', ['program: aws', 'program: curl'], () => {
  const site = withS3Site()

  /** Runs `aws`, which must succeed; gives what it printed. */
  async function aws(...args: readonly string[]): Promise<string> {
    return await site.ok('aws', ['--endpoint-url', site.http, ...args])
  }

  /** One operation; gives its answer. */
  async function api(operation: string, ...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    const text = await aws('s3api', operation, ...args)
    return text === '' ? {} : (JSON.parse(text) as Readonly<Record<string, unknown>>)
  }

  async function bucket(name: string): Promise<string> {
    await mkdir(join(site.server.root, name))
    return name
  }

  it('is refused with a wrong secret, an unknown key and without a grant', async () => {
    await bucket('closed')
    await writeFile(join(site.server.root, 'closed/file'), 'secret')
    const get = ['--endpoint-url', site.http, 's3', 'cp', 's3://closed/file', 'got']
    const wrong = await site.client('aws', get, { ...site.env, AWS_SECRET_ACCESS_KEY: 'x'.repeat(40) })
    expect(wrong.code).toBe(1)
    const direct = ['--endpoint-url', site.http, 's3api', 'get-object', '--bucket', 'closed', '--key', 'file', 'got']
    const told = await site.client('aws', direct, { ...site.env, AWS_SECRET_ACCESS_KEY: 'x'.repeat(40) })
    expect(told.code).toBe(254)
    expect(told.stderr).toContain('SignatureDoesNotMatch')
    const elsewhere = await site.issue('elsewhere', 'rw:/other/**')
    const denied = await site.client('aws', direct, {
      ...site.env,
      AWS_ACCESS_KEY_ID: elsewhere.accessKeyId,
      AWS_SECRET_ACCESS_KEY: elsewhere.secretAccessKey,
    })
    expect(denied.code).toBe(254)
    expect(denied.stderr).toMatch(/AccessDenied|NoSuchKey|NoSuchBucket/)
    expect(existsSync(join(site.home, 'got'))).toBe(false)
  })

  it('makes a bucket, copies in and out, lists, moves and removes', async () => {
    expect(await aws('s3', 'mb', 's3://made')).toContain('make_bucket: made')
    const small = await randomFile(join(site.home, 'small'), 1024)
    await aws('s3', 'cp', 'small', 's3://made/folder/small copy+1.bin')
    expect((await readFile(join(site.server.root, 'made/folder/small copy+1.bin'))).equals(small)).toBe(true)
    await aws('s3', 'cp', 's3://made/folder/small copy+1.bin', 'small-back')
    await expectFile(join(site.home, 'small-back'), small)
    expect(await aws('s3', 'ls')).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d made$/m)
    expect(await aws('s3', 'ls', 's3://made/')).toMatch(/^ +PRE folder\/\n$/)
    expect(await aws('s3', 'ls', '--recursive', 's3://made')).toMatch(/ 1024 folder\/small copy\+1\.bin\n$/)
    await aws('s3', 'mv', 's3://made/folder/small copy+1.bin', 's3://made/moved.bin')
    expect(await namesBelow(join(site.server.root, 'made'))).toEqual(['moved.bin'])
    const full = await site.client('aws', ['--endpoint-url', site.http, 's3', 'rb', 's3://made'])
    expect(full.code).toBe(1)
    expect(full.stderr).toContain('BucketNotEmpty')
    await aws('s3', 'rm', '--recursive', 's3://made')
    expect(await aws('s3', 'rb', 's3://made')).toContain('remove_bucket: made')
    expect(existsSync(join(site.server.root, 'made'))).toBe(false)
  })

  it('uploads and downloads 20 MiB in parts', async () => {
    await bucket('large')
    const big = await randomFile(join(site.home, 'big'), 20 << 20)
    await aws('s3', 'cp', 'big', 's3://large/big')
    await expectFile(join(site.server.root, 'large/big'), big)
    await aws('s3', 'cp', 's3://large/big', 'big-back')
    await expectFile(join(site.home, 'big-back'), big)
    const head = await api('head-object', '--bucket', 'large', '--key', 'big')
    expect(head).toMatchObject({ ContentLength: big.length, ETag: `"${multipartEtag(big, 8 << 20)}"` })
  })

  it('syncs a tree both ways, and takes over only what has changed', async () => {
    await bucket('synced')
    const tree = join(site.home, 'tree')
    await smallTree(tree)
    // What is as old as the object is taken for the same.
    const earlier = new Date(Date.now() - 3_600_000)
    for (const name of await namesBelow(tree)) await utimes(join(tree, name), earlier, earlier)
    await aws('s3', 'sync', 'tree', 's3://synced/tree')
    await expectSameTree(tree, join(site.server.root, 'synced/tree'))
    expect(await aws('s3', 'sync', 'tree', 's3://synced/tree'), 'nothing to do').toBe('')
    await aws('s3', 'sync', 's3://synced/tree', 'tree-back')
    await expectSameTree(tree, join(site.home, 'tree-back'))
    await writeFile(join(site.server.root, 'synced/tree/sub/b.txt'), 'changed\n')
    const changed = await aws('s3', 'sync', '--delete', 's3://synced/tree', 'tree-back')
    expect(changed.match(/^download: .*$/gm)).toHaveLength(1)
    expect(await readFile(join(site.home, 'tree-back/sub/b.txt'), 'utf8')).toBe('changed\n')
  })

  it('reads heads, ranges, lists, tags, attributes and copies by single operations', async () => {
    await bucket('single')
    await writeFile(join(site.home, 'digits'), '0123456789')
    const at = ['--bucket', 'single', '--key', 'digits'] as const
    const put = await api(
      'put-object',
      ...at,
      '--body',
      'digits',
      '--metadata',
      'colour=blue',
      '--content-type',
      'text/x',
    )
    expect(put).toMatchObject({ ETag: `"${md5('0123456789')}"` })
    expect(await api('head-object', ...at)).toMatchObject({
      ContentLength: 10,
      ContentType: 'text/x',
      Metadata: { colour: 'blue' },
    })
    const part = await api('get-object', ...at, '--range', 'bytes=2-4', 'part')
    expect(part).toMatchObject({ ContentLength: 3, ContentRange: 'bytes 2-4/10' })
    expect(await readFile(join(site.home, 'part'), 'utf8')).toBe('234')
    await api('copy-object', '--bucket', 'single', '--key', 'copy', '--copy-source', 'single/digits')
    expect(await api('head-object', '--bucket', 'single', '--key', 'copy')).toMatchObject({
      Metadata: { colour: 'blue' },
      ETag: `"${md5('0123456789')}"`,
    })
    const listed = await api('list-objects-v2', '--bucket', 'single', '--fetch-owner')
    expect(listed).toMatchObject({ Contents: [{ Key: 'copy', Size: 10 }, { Key: 'digits' }] })
    await api('put-object-tagging', ...at, '--tagging', 'TagSet=[{Key=state,Value=a b+c}]')
    expect(await api('get-object-tagging', ...at)).toMatchObject({ TagSet: [{ Key: 'state', Value: 'a b+c' }] })
    const attributes = await api('get-object-attributes', ...at, '--object-attributes', 'ETag', 'ObjectSize')
    expect(attributes).toMatchObject({ ETag: md5('0123456789'), ObjectSize: 10 })
    const missing = await site.client('aws', ['--endpoint-url', site.http, 's3api', 'head-object', '--bucket', 'single', '--key', 'none']) // prettier-ignore
    expect(missing.code).toBe(254)
    expect(missing.stderr).toContain('(404)')
  })

  it('signs links that anybody may follow until they end', async () => {
    await bucket('linked')
    await writeFile(join(site.server.root, 'linked/a b.txt'), 'for anybody\n')
    const url = (await aws('s3', 'presign', 's3://linked/a b.txt', '--expires-in', '60')).trim()
    expect((await run('curl', ['-sS', '-w', '%{http_code}', url])).stdout).toBe('for anybody\n200')
    const other = await run('curl', ['-sS', '-w', '%{http_code}', url.replace('.txt', '.txu')])
    expect(other.stdout).toMatch(/<Code>SignatureDoesNotMatch<\/Code>[^]*403$/)
    const short = (await aws('s3', 'presign', 's3://linked/a b.txt', '--expires-in', '1')).trim()
    await expect
      .poll(async () => (await run('curl', ['-sS', short])).stdout, { timeout: 5000 })
      .toContain('AccessDenied')
  })

  it('works over TLS, with the certificate of the server as the one it trusts', async () => {
    await bucket('secure')
    const env = { ...site.env, AWS_CA_BUNDLE: site.certificate }
    const big = await randomFile(join(site.home, 'over-tls'), 9 << 20)
    const secure = ['--endpoint-url', site.https, 's3', 'cp']
    await site.ok('aws', [...secure, 'over-tls', 's3://secure/big'], env)
    await site.ok('aws', [...secure, 's3://secure/big', 'over-tls-back'], env)
    await expectFile(join(site.home, 'over-tls-back'), big)
    expect((await stat(join(site.server.root, 'secure/big'))).size).toBe(big.length)
  })
})
